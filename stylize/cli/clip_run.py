"""Paint a clip while a bar, or JSON lines, tell how it goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize.cli.messages import echo, emit, say
from stylize.cli.options import note, notes_on_options
from stylize.cli.output import emit_done, hold, open_viewer
from stylize.cli.progress import Meter, Stop, stop_on_interrupt
from stylize.cli.requests import Messages
from stylize.cli.run import DOING, emit_start
from stylize.errors import InterruptedRunError

if TYPE_CHECKING:
    from stylize.optimize.loop import Step
    from stylize.runs.result import Result
    from stylize.video.request import Painter, Request
    from stylize.video.run import ClipRun
    from stylize.video.turns import Turn


@dataclass(frozen=True)
class Reporting:
    """What is said and shown.

    Attributes:
        messages: what is said.
        show: open the clip in the desktop's viewer.
        started: when the command began, by :func:`time.perf_counter`.
    """

    messages: Messages
    show: bool = False
    started: float = field(default_factory=time.perf_counter)

    @property
    def speaks(self) -> bool:
        """Whether people are told how it goes."""
        return not self.messages.quiet and not self.messages.as_json

    @property
    def seconds(self) -> float:
        """The time that the command has taken."""
        return round(time.perf_counter() - self.started, 3)


def announce(job: Request) -> None:
    """Say what is unusual about the clip and what becomes of it."""
    for each in job.check():
        note(each)


def paint_clip(job: Request, reporting: Reporting) -> int:
    """Paint a clip, or what is missing of it; the exit code."""
    from stylize.video.record import folder_for
    from stylize.video.run import ClipRun

    hold(
        folder_for(job.target.path),
        f"another run is making {job.target.path}",
        hint="wait for its end, or name another output with -o",
    )
    action = "stopping; the same command continues"
    with stop_on_interrupt(quiet=reporting.messages.quiet, action=action) as stop:
        try:
            run = ClipRun(job, stop)
        except InterruptedRunError as error:
            if reporting.speaks:
                say(f"stylize: {error}")
            return stop.exit_code
        with run:
            return paint(run, reporting, stop)


def paint(run: ClipRun, reporting: Reporting, stop: Stop) -> int:
    """Paint what is missing, put the clip together, report; the exit code."""
    for each in run.painter.notes:
        note(each)
    if reporting.messages.verbose:
        device = run.painter.device
        threads = "1 thread" if device.threads == 1 else f"{device.threads} threads"
        say(f"device {device.name}, {device.precision}, {threads}")
    costs, needed = run.costs(), run.request.bytes_needed()
    left = None if costs is None else sum(costs) - run.painted_of(costs)
    if reporting.messages.as_json:
        plan = plan_of(run.painter, run.count, run.frames_done)
        emit_start(run.request.target.path, plan, estimate_of(left, needed))
    elif reporting.speaks and run.done:
        rest = f", about {duration(left)} left" if left else ""
        say(f"continuing after {run.frames_done} of {run.count} frames{rest}")
    elif reporting.speaks:
        say(describe(run.count, run.painter.size, left, needed))
    if not paint_frames(run, reporting, stop):
        report_stopped(run, reporting)
        return stop.exit_code
    if reporting.messages.verbose:
        shots = len(run.reading.shots)
        say(f"{shots} shot{'s' if shots > 1 else ''}")
    try:
        with Meter(reporting.messages, None) as meter:
            meter.advance(0, "writing the clip")
            saved = run.finish(stop)
    except InterruptedRunError:
        report_stopped(run, reporting)
        return stop.exit_code
    report(run, saved, reporting)
    return 0


def paint_frames(run: ClipRun, reporting: Reporting, stop: Stop) -> bool:
    """Paint with a bar or JSON lines; whether all frames are there."""
    messages, doing = reporting.messages, DOING[run.request.settings.TECHNIQUE]
    work = WorkList(run)
    total = sum(work.amounts())
    estimate = None if run.costs() is None else total
    with Meter(messages, total, estimate_s=estimate) as meter:
        meter.skip(run.painted_of(work.amounts()))

        def show(extra: float) -> None:
            amounts = work.amounts()
            index = run.turns[run.place][0].index
            place = f"frame {index + 1} of {run.count}"
            meter.total = sum(amounts)
            done = run.painted_of(amounts) + extra
            meter.advance(done, f"{doing}, {place}", place, unit=0)

        def on_step(step: Step) -> None:
            share = (step.scale - 1 + step.step / step.steps) / step.scales
            show(share * work.amounts()[run.place])

        def on_turn(turn: Turn, result: Result) -> None:
            show(0.0)
            if messages.as_json:
                emit(
                    "frame",
                    frame=turn.index + 1,
                    frames=run.count,
                    seconds=reporting.seconds,
                    **{"pass": turn.number},
                )

        return run.paint(on_turn, on_step, stop)


class WorkList:
    """How much work each turn of a clip is, in s where that is known."""

    def __init__(self, run: ClipRun) -> None:
        self._run = run
        self._turns: Sequence[object] = ()
        self._amounts: list[float] = []

    def amounts(self) -> list[float]:
        """The work of all turns, estimated anew when a cut was found."""
        turns = self._run.turns
        if turns is not self._turns:
            costs = self._run.costs() or [1.0] * len(turns)
            # Something for every turn, so that the last one counts, too.
            self._turns, self._amounts = turns, [each + 0.01 for each in costs]
        return self._amounts


def report_stopped(run: ClipRun, reporting: Reporting) -> None:
    """Say how to continue."""
    if reporting.messages.as_json:
        emit_clip(run, None, reporting)
    elif reporting.speaks:
        done = f"{run.frames_done} of {run.count} frames in {run.work.folder}"
        say(f"stopped after {done}; the same command continues")


def report(run: ClipRun, saved: Path, reporting: Reporting) -> None:
    """Say where the clip is."""
    height, width = run.painter.size
    if reporting.messages.as_json:
        if run.compared is not None:
            emit("film", file=str(run.compared), frames=run.count)
        emit_clip(run, saved, reporting)
    elif reporting.speaks:
        frames = f"{run.count} frame{'s' if run.count > 1 else ''} of {width}×{height}"
        say(f"saved {saved} ({frames}, {duration(reporting.seconds)})")
        if run.compared is not None:
            say(f"saved {run.compared} (the comparison)")
    if reporting.show:
        open_viewer(saved)


def emit_clip(run: ClipRun, saved: Path | None, reporting: Reporting) -> None:
    """Print the event that a clip is complete, or was stopped."""
    height, width = run.painter.size
    emit_done(
        saved,
        size=[width, height],
        frames=run.frames_done,
        interrupted=saved is None,
        notes=[*notes_on_options()],
        seconds=reporting.seconds,
        recipe=run.summary or (run.recipe() if run.frames_done else {}),
    )


def paint_preview(job: Request, pictures: Sequence[str], reporting: Reporting) -> int:
    """Paint the first, the middle and the last frame, and a sheet of them."""
    from stylize.video.preview import paint_preview as paint_three

    path = job.target.path
    stem = path.with_name(f"{path.stem}-preview")
    with (
        stop_on_interrupt(quiet=reporting.messages.quiet, action="stopping") as stop,
        Meter(reporting.messages, 3) as meter,
    ):
        files = list(map(Path, pictures))
        saved = paint_three(
            job, stem, files, lambda done: meter.advance(done, f"frame {done} of 3"), stop
        )
        if saved is None:
            return stop.exit_code
    if reporting.messages.as_json:
        height, width = job.size
        emit_done(
            saved[-1],
            size=[width, height],
            frames=len(saved) - 1,
            interrupted=False,
            notes=[*notes_on_options()],
            seconds=reporting.seconds,
            recipe={},
        )
    elif reporting.speaks:
        for each in saved:
            say(f"saved {each}")
    if reporting.show:
        open_viewer(saved[-1])
    return 0


def say_plan(job: Request, reporting: Reporting) -> int:
    """Say what the clip will cost, as if it were one shot."""
    from stylize.video.preview import frames_at, still_painter, whole_seconds

    count, needed = job.count, job.bytes_needed()
    painter = still_painter(job, frames_at(job, [0]))
    seconds = whole_seconds(job, painter)
    if reporting.messages.as_json:
        emit_start(job.target.path, plan_of(painter, count), estimate_of(seconds, needed))
    else:
        echo(describe(count, painter.size, seconds, needed))
    return 0


def plan_of(painter: Painter, count: int, done: int = 0) -> dict[str, Any]:
    """Describe a plan for programs."""
    last, device = painter.scales[-1], painter.device
    return {
        "size": [last.width, last.height],
        "scales": [[each.width, each.height, each.steps] for each in painter.scales],
        "device": device.name,
        "precision": device.precision,
        "threads": device.threads,
        "tile_px": painter.memory_plan.tile_px,
        "frames": count,
        "frames_done": done,
    }


def estimate_of(seconds: float | None, needed: float) -> dict[str, Any]:
    """Describe the cost of a clip for programs."""
    return {
        "seconds": None if seconds is None else round(seconds, 1),
        "disk_bytes": round(needed),
    }


def describe(count: int, size: tuple[int, int], seconds: float | None, needed: float) -> str:
    """The plan in one line: ``240 frames of 512×288, about 22 min, 300 MB on disk …``."""
    from stylize.video.work import amount

    parts = [f"{count} frame{'s' if count > 1 else ''} of {size[1]}×{size[0]}"]
    if seconds is not None:
        parts.append(f"about {duration(seconds)}")
    parts.append(f"{amount(needed)} on disk until the clip is complete")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """``40 s``, ``22 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
