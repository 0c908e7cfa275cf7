"""Listeners of a run: the bar, JSON lines, previews, the Ctrl-C that stops it."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.messages import INTERRUPTED, TERMINATED, say, shown
from stylize.cli.requests import Messages
from stylize.errors import OutputError

if TYPE_CHECKING:
    from stylize.optimize.loop import Step
    from stylize.settings.schedule import Scale

Listener = Callable[["Step"], None]

PREVIEW_EVERY = 10

PREVIEW_NAMES = "scale-*-step-*.png"


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
        """Of a command that was stopped."""
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
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bar(total: float | None, unit: str, messages: Messages, **look: Any) -> Any:
    """A tqdm bar on stderr, shown if that is a capable terminal and the messages ask for it."""
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, leave=False, disable=not bars_shown(messages), **look)


def bars_shown(messages: Messages) -> bool:
    """Whether progress is shown by bars; a dumb terminal cannot redraw a line."""
    return messages.bars and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def step_bar(scales: Sequence[Scale], messages: Messages) -> Iterator[Listener]:
    """A bar over all steps of a run.

    Its unit is the share of the pixels to be evaluated, since a step at a fine scale takes many
    times as long as one at a coarse scale: so the time left is right.
    """
    pixels = [scale.height * scale.width for scale in scales]
    total = sum(count * scale.steps for count, scale in zip(pixels, scales, strict=True))
    look = "{desc} {percentage:3.0f}%|{bar}| {elapsed} < {remaining}{postfix}"
    with bar(total, "px", messages, bar_format=look) as drawn:

        def listen(event: Step) -> None:
            height, width = event.size
            drawn.set_description_str(
                f"{event.scale}/{event.scales} {width}×{height} {event.step}/{event.steps}",
                refresh=False,
            )
            drawn.set_postfix(_grouped(event.losses), refresh=False)
            done = sum(
                count * scale.steps
                for count, scale in zip(pixels[: event.scale - 1], scales, strict=False)
            )
            pixels_a_step = pixels[event.scale - 1]
            done += pixels_a_step * event.step
            if drawn.n == 0:  # what an earlier run has done took none of this one's time
                drawn.initial = drawn.n = drawn.last_print_n = done - pixels_a_step
            drawn.update(done - drawn.n)

        yield listen


def _grouped(losses: dict[str, float]) -> dict[str, str]:
    """Losses added up by the first word of their names: style, content, smoothness."""
    sums: dict[str, float] = {}
    for name, value in losses.items():
        group = name.split()[0]
        sums[group] = sums.get(group, 0.0) + value
    return {shown(name): f"{value:.3f}" for name, value in sums.items()}


def previews(folder: Path, every: int = PREVIEW_EVERY) -> Listener:
    """Save the picture every so many steps and at the end of each scale.

    A picture that cannot be saved ends no run: it is said once, and no further one is tried.
    """
    from stylize.images.write import write_picture

    failed = False

    def listen(event: Step) -> None:
        nonlocal failed
        if failed or (event.step % every and event.step != event.steps):
            return
        height, width = event.size
        name = f"scale-{event.scale}-{width}x{height}-step-{event.step:04d}.png"
        try:
            write_picture(folder / name, event.picture())
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


def emit(event: str, **values: Any) -> None:
    """Print one JSON line on stdout.

    A reader that has gone, or a full disk, ends no run: it is said once, and nothing more is
    printed.
    """
    try:
        click.echo(json.dumps({"event": event, **values}))
        sys.stdout.flush()
    except OSError as error:
        # Later lines, and Python's own flush at the end, go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"stdout: {(error.strerror or str(error)).lower()}; the run continues without events")


def all_of(listeners: Sequence[Listener]) -> Listener:
    """Several listeners as one."""

    def listen(event: Step) -> None:
        for each in listeners:
            each(event)

    return listen
