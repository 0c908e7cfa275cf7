"""Listeners of a run: the bar, JSON lines, previews, the Ctrl-C that stops it."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from stylize.cli.messages import INTERRUPTED, TERMINATED, emit, say, shown
from stylize.cli.requests import Messages
from stylize.errors import InterruptedRunError, OutputError
from stylize.planning.progress import Work

if TYPE_CHECKING:
    from torch import Tensor

    from stylize.optimize.loop import Step
    from stylize.settings.schedule import Scale

Listener = Callable[["Step"], None]

PREVIEW_EVERY = 10

PREVIEW_NAMES = "scale-*-step-*.png"

SECONDS_BETWEEN_DRAWINGS = 0.1

# In a log there is a line for every tenth, and after so many seconds without one; none of a run
# that is over at once.
SECONDS_BETWEEN_LINES, SECONDS_WITHOUT_LINES = 30.0, 5.0

# The estimate counts as much as so many seconds of the run itself.
TRUST_S = 3.0

# Columns.
LEAST_BAR, MOST_BAR = 4, 40

# What is not done yet, and what is done.
BLOCKS, ASCII_BLOCKS = "░█", "-#"


# What ends a run in an orderly way. A closed terminal (SIGHUP) does, unless it is to be survived.
_SIGNALS = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
]


class Stop:
    """Whether a signal has asked the run to stop: a function that returns it.

    Attributes:
        received: the signal; None for none so far.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def __call__(self) -> bool:
        return self.received is not None

    @property
    def exit_code(self) -> int:
        """The exit code of a command that was stopped."""
        by_user = self.received in (None, signal.SIGINT)
        return INTERRUPTED if by_user else TERMINATED


@contextmanager
def stop_on_interrupt(
    *, quiet: bool, action: str = "stopping after this step and saving the picture so far"
) -> Iterator[Stop]:
    """Make the first Ctrl-C, SIGTERM or SIGHUP a request to stop, the second an immediate end.

    Args:
        quiet: say nothing.
        action: what the message says.

    Raises:
        InterruptedRunError: the run raised it, or a second signal ended it; with the exit code
            that fits the signal.
    """
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop():
            raise KeyboardInterrupt
        stop.received = number
        if not quiet:
            say("", f"{action} (again to quit at once)")

    before = {
        number: signal.signal(number, handle)
        for number in _SIGNALS
        if signal.getsignal(number) != signal.SIG_IGN  # under nohup, for instance
    }
    try:
        yield stop
    except InterruptedRunError as error:
        if stop():  # else a manager within this one has heard the signal
            error.exit_code = stop.exit_code
        raise
    except KeyboardInterrupt as error:
        ended = InterruptedRunError("interrupted")
        ended.exit_code = stop.exit_code
        raise ended from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Meter:
    """The progress of a command on stderr: a bar on a terminal, otherwise lines for a log.

    Nothing is shown with ``--quiet`` or ``--json``.

    Args:
        messages: whether anything is shown.
        total: the work, in any unit; None if it is not known yet.
        estimate_s: seconds that all of it will take; None if nobody knows.
    """

    def __init__(
        self, messages: Messages, total: float | None, *, estimate_s: float | None = None
    ) -> None:
        from tqdm import tqdm

        self.total = total
        self._estimate_s = estimate_s
        self._as_bar, self._as_lines = bars_shown(messages), messages.bars
        # With a size of its own, because tqdm takes 0 rows or columns, which some terminals of
        # test machines say, for a terminal without any room.
        room = {"ncols": terminal_columns(), "nrows": 24}
        disabled = not self._as_bar
        self._bar = tqdm(total=1.0, leave=False, disable=disabled, bar_format=" ", **room)
        self._started = time.perf_counter()
        self._shown = -math.inf
        self._before: float | None = None
        self._tenths = 0

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def advance(self, done: float, *labels: str, unit: float = 1.0, detail: str = "") -> None:
        """Show how much is done.

        Args:
            done: of the total; what was done before the first call, but for one unit, took none
                of this run's time.
            labels: what is being done, the longest text first.
            unit: of the work, the part that was done just now.
            detail: shown after the time where there is room.
        """
        if self._before is None:
            self._before = max(0.0, done - unit)
        if not self._as_lines:
            return
        now = time.perf_counter()
        share = min(1.0, done / self.total) if self.total else None
        left = self._left(done, now - self._started)
        figures = "" if share is None else f"{100 * share:3.0f} %  {left}".rstrip()
        if self._as_bar:
            if now - self._shown >= SECONDS_BETWEEN_DRAWINGS or share == 1:
                self._shown = now
                self._draw(share, [shown(each) for each in labels], figures, detail)
            return
        tenths = int(10 * (share or 0))
        if now - self._started < SECONDS_WITHOUT_LINES or (
            tenths == self._tenths and now - self._shown < SECONDS_BETWEEN_LINES
        ):
            return
        self._tenths, self._shown = tenths, now
        say("  ".join(filter(None, [labels[0], figures.strip(), detail])))

    def skip(self, work: float) -> None:
        """Take work as done that took no time."""
        self._before = (self._before or 0.0) + work

    def _left(self, done: float, elapsed_s: float) -> str:
        """The time left: as estimated at first, then more and more by this run's own speed."""
        if not self.total or done >= self.total:
            return ""
        worked = done - (self._before or 0.0)
        if self._estimate_s:
            known = min(TRUST_S, self._estimate_s)
            elapsed_s += known
            speed = (worked + known / self._estimate_s * self.total) / elapsed_s
        else:
            speed = worked / elapsed_s if elapsed_s else 0.0
        if not speed:
            return ""
        left = clock_time(max(0.0, self.total - done) / speed)
        return f"{left} left" if worked else f"about {left} left"

    def _draw(self, share: float | None, labels: list[str], figures: str, detail: str) -> None:
        from tqdm.utils import disp_len

        columns = terminal_columns() - 1  # a full line would wrap on some terminals
        candidates = [(label, f"{figures}  {detail}") for label in labels if detail]
        candidates += [(label, figures) for label in (*labels, "")]
        for label, right in candidates:
            room = columns - sum(disp_len(each) + 2 for each in (label, right) if each)
            if room >= LEAST_BAR:
                break
        else:
            right = figures if disp_len(figures) <= columns else figures[:5]
        width, has_bar = min(MOST_BAR, room), share is not None
        parts = [label, f"{{bar:{width}}}" if has_bar and width >= LEAST_BAR else "", right]
        escaped = [part if part.startswith("{bar:") else _escaped(part) for part in parts]
        self._bar.bar_format = "  ".join(filter(None, escaped)) or " "
        self._bar.ascii = BLOCKS if _can_show(BLOCKS) else ASCII_BLOCKS
        self._bar.ncols = columns
        self._bar.n = share or 0.0
        self._bar.refresh()

    def clear(self) -> None:
        """Remove the bar, so that a line can be printed in its place."""
        self._bar.clear()

    def close(self) -> None:
        """Remove the bar for good."""
        self._bar.close()
        self._as_bar = self._as_lines = False


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _can_show(text: str) -> bool:
    try:
        text.encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def terminal_columns() -> int:
    """The width of the terminal behind stderr; 80 if it does not say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


def clock_time(seconds: float) -> str:
    """``0:12``, ``12:30``, ``1:02:30``."""
    minutes, second = divmod(math.ceil(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def bars_shown(messages: Messages) -> bool:
    """Whether progress is shown by bars; a dumb terminal cannot redraw a line."""
    return messages.bars and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def step_meter(
    scales: Sequence[Scale], messages: Messages, *, doing: str, estimate_s: float | None = None
) -> Iterator[Listener]:
    """Show the progress over all steps of a run.

    Args:
        scales: the schedule.
        messages: what is shown; the losses if verbose.
        doing: what the run does, such as ``painting``.
        estimate_s: seconds that the whole run will take.
    """
    work = Work(scales, estimate_s)
    with Meter(messages, work.total, estimate_s=estimate_s) as meter:

        def listen(event: Step) -> None:
            work.add(event)
            meter.total = work.total
            size = f"size {event.scale} of {event.scales}"
            labels = [f"{doing}, {size}", size] if event.scales > 1 else [doing]
            detail = "  ".join(_grouped(event.losses)) if messages.verbose else ""
            meter.advance(work.done, *labels, unit=work.unit, detail=detail)

        yield listen


def _grouped(losses: dict[str, float]) -> list[str]:
    """Losses added up by the first word of their names: style, content, smoothness."""
    sums: dict[str, float] = {}
    for name, value in losses.items():
        group = name.split()[0]
        sums[group] = sums.get(group, 0.0) + value
    return [f"{shown(name)} {value:.3g}" for name, value in sums.items()]


def previews(
    folder: Path,
    every: int = PREVIEW_EVERY,
    *,
    overwrite: bool = False,
    alpha: Tensor | None = None,
) -> Listener:
    """Save the picture every so many steps and at the end of each scale.

    Without ``overwrite``, a picture whose name is taken gets the next free one. All are as
    transparent as ``alpha``, that of the result.

    A picture that cannot be saved ends no run: it is said once, and no further one is tried.
    """
    from stylize.images.resampling import resize_clamped
    from stylize.images.write import write_picture

    failed = False

    def listen(event: Step) -> None:
        nonlocal failed
        if failed or (event.step % every and event.step != event.steps):
            return
        height, width = event.size
        name = f"scale-{event.scale}-{width}x{height}-step-{event.step:04d}.png"
        try:
            write_picture(
                folder / name,
                event.picture(),
                alpha=None if alpha is None else resize_clamped(alpha, event.size),
                overwrite=overwrite,
                follow_links=False,
            )
        except OutputError as error:
            failed = True
            say(f"{error}; the run continues without pictures of its steps")

    return listen


def json_steps() -> Listener:
    """A JSON line on stdout for each step."""

    def listen(event: Step) -> None:
        height, width = event.size
        emit(
            "step",
            scale=event.scale,
            scales=event.scales,
            size=[width, height],
            step=event.step,
            steps=event.steps,
            total=_brief(event.total),
            losses={name: _brief(value) for name, value in event.losses.items()},
            seconds=round(event.seconds, 3),
        )

    return listen


def _brief(value: float) -> float | None:
    """Six digits; null for what JSON cannot say."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def all_of(listeners: Sequence[Listener]) -> Listener:
    """Several listeners as one."""

    def listen(event: Step) -> None:
        for each in listeners:
            each(event)

    return listen
