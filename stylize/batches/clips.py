"""Clips in a batch: each is one piece of work, which continues through its work folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylize.batches.tasks import Task
from stylize.errors import OutputError, StylizeError
from stylize.images.atomic import refusals_named, reserved
from stylize.images.find import Kind
from stylize.images.open import printable
from stylize.optimize.loop import Step
from stylize.video.clip import Clip, Cut, cut_times, is_clip, open_clip
from stylize.video.record import folder_for
from stylize.video.request import MaskFrames, Painter, Request, Target
from stylize.video.run import ClipRun
from stylize.video.sharing import Joined, Sharing, join

SUFFIXES = frozenset(
    (".apng", ".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".qt", ".webm", ".webp")
)

NO_CLIP = "not a clip"


# Files with these names may be still pictures.
_PICTURES = (".gif", ".webp")


@dataclass
class Measuring:
    """Measures clips, and remembers how many frames each of them has.

    Attributes:
        cut: the part of each clip that is wanted.
        frames: the number of wanted frames of each file that was measured.
    """

    cut: Cut
    frames: dict[Path, int] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What to look for."""
        return Kind(SUFFIXES, self._measure, NO_CLIP, _is_moving)

    def _measure(self, path: Path) -> tuple[tuple[int, int] | None, str | None]:
        try:
            outline = open_clip(str(path), path).outline
        except StylizeError as error:
            return None, printable(str(error))
        self.frames[path] = max(1, len(cut_times(outline.times, self.cut)) - 1)
        return outline.size, None


def _is_moving(path: Path) -> bool:
    return path.suffix.lower() not in _PICTURES or is_clip(str(path))


class ClipPainting:
    """A clip of a batch: its frames are painted first, then it is written.

    Args:
        task: a task with :attr:`stylize.batches.tasks.Look.clips`.
        clip: its source.
        make: prepares the painter.
        inputs: role and SHA-256 of all other pictures.
        sharing: lets other runs paint some of the shots.
        quality: 1 to 100.
        overwrite: replace what has the target's name.

    Attributes:
        interrupted: whether it was stopped; its frames are kept.
        notes: messages for the user, one line each.

    Raises:
        StylizeError: the clip cannot be painted.
    """

    def __init__(
        self,
        task: Task,
        clip: Clip,
        make: Callable[[Any, MaskFrames], Painter],
        inputs: list[tuple[str, str]],
        sharing: Sharing | None = None,
        *,
        quality: int,
        overwrite: bool,
    ) -> None:
        clips = task.look.clips
        assert clips is not None
        target = Target(task.target, clips.format, clips.codec, quality, overwrite)
        self._request = Request(
            clip, clips.cut, task.look.settings, clips.video, make, inputs, (), target
        )
        self._sharing = sharing
        self._held = ExitStack()
        self._run: ClipRun | None = None
        self._stop: Callable[[], bool] | None = None
        self.interrupted = False
        self.notes: tuple[str, ...] = tuple(self._request.check())

    def paint(
        self, on_step: Callable[[Step], None] | None, stop: Callable[[], bool] | None
    ) -> None:
        """Paint the frames that are missing.

        Raises:
            InterruptedRunError: stopped before the first frame.
            StylizeError: the clip cannot be painted; finished frames are kept.
        """
        path, self._stop = self._request.target.path, stop
        with refusals_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            if not held.enter_context(reserved(Path(os.path.realpath(folder_for(path))))):
                raise OutputError(f"another run is making {path}")
            run = self._run = held.enter_context(ClipRun(self._request, stop, self._sharing))
            self.notes += tuple(run.painter.notes)
            last: list[Step] = []

            def report(step: Step) -> None:
                last[:] = [step]
                if on_step is not None:
                    on_step(_within(step, run.painted, len(run.turns)))

            def report_others() -> None:
                if last and on_step is not None:
                    begun = dataclasses.replace(last[0], scale=1, step=0)
                    on_step(_within(begun, run.painted, len(run.turns)))

            run.on_others = report_others
            for _ in run.results(report, stop):
                pass  # the clip is encoded while the next one is painted
            self.interrupted = not run.is_painted
            if not self.interrupted:
                self._held = held.pop_all()

    def join(
        self, on_step: Callable[[Step], None] | None, stop: Callable[[], bool] | None
    ) -> Joined:
        """Paint a shot of the clip, which another run owns.

        Raises:
            OutputError: the other run paints in another way or on another machine.
            StylizeError: the shot cannot be painted.
        """

        def report(step: Step, done: int, turns: int) -> None:
            if on_step is not None:
                on_step(_within(step, done, turns))

        if self._sharing is None:
            return "nothing"
        return join(self._request, self._sharing, report, stop)

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe of a clip whose frames are painted."""
        assert self._run is not None
        return self._run.summary or self._run.recipe()

    def save(self) -> None:
        """Write the clip and remove its work folder.

        Raises:
            InterruptedRunError: stopped; the painted frames are kept.
            OutputError: the system refuses; the painted frames are kept.
        """
        assert self._run is not None
        with self._held:
            self._run.finish(self._stop)


def _within(step: Step, done: int, turns: int) -> Step:
    """A step of a frame as one of the whole clip, as if each turn were a scale."""
    return dataclasses.replace(
        step,
        scale=done + 1,
        scales=turns,
        step=(step.scale - 1) * step.steps + step.step,
        steps=step.scales * step.steps,
    )
