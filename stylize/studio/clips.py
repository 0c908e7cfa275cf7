"""Clips as the engine paints them: what to paint, how far it is, and where the result goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from stylize.errors import PictureError
from stylize.images.atomic import move_without_replacing, numbered_names, refusals_named
from stylize.images.read import Picture
from stylize.optimize.loop import Step
from stylize.products.transfer.style_groups import Masks
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.studio.work import Source, Work
from stylize.video.clip import open_clip
from stylize.video.painter import ClipPainter, DreamClipPainter
from stylize.video.request import MaskFrames, Painter, Request, Target
from stylize.video.run import ClipRun

# Something for every turn, so that those that only carry paint count, too.
_LEAST_WORK_S = 0.01


def clip_request(work: Work, read: Callable[[Source], Picture], session: Session) -> Request:
    """Open the clip and the pictures of a work.

    Args:
        work: with clips.
        read: reads a picture.
        session: keeps networks and style statistics.

    Raises:
        StylizeError: one of them cannot be read.
    """
    clips, settings = work.clips, work.settings
    assert clips is not None
    source = dict(work.inputs)["content"]
    clip = open_clip(str(source.path), work.target, name=source.name)
    if clip.sha256() != source.sha256:
        raise PictureError(f"{source.name} has changed since it was chosen")
    pictures = [(role, read(each)) for role, each in work.inputs if role != "content"]
    parts: dict[str, list[Picture]] = {}
    for role, picture in pictures:
        parts.setdefault(role, []).append(picture)
    one = {role: found[0] for role, found in parts.items()}

    def make(reference: Picture, frames: MaskFrames) -> Painter:
        if isinstance(settings, DreamSettings):
            return DreamClipPainter(
                reference,
                settings,
                clips.video,
                work.execution,
                guide=one.get("guide"),
                mask=one.get("mask"),
                preset=work.preset,
                session=session,
            )
        return ClipPainter(
            reference,
            parts.get("style", []),
            settings,
            clips.video,
            work.execution,
            start=one.get("start"),
            masks=Masks.of_inputs(parts),
            preset=work.preset,
            session=session,
        )

    inputs = [(role, picture.sha256) for role, picture in pictures]
    target = Target(work.target, clips.format, overwrite=True)
    return Request(clip, clips.cut, settings, clips.video, make, inputs, (), target)


class ClipProgress:
    """How much of a clip is painted, by the estimated seconds of each turn.

    Args:
        run: the clip.

    Attributes:
        begun: the share that was there when the run began or went on.
        estimate_s: seconds that the rest will take; None where nobody knows.
    """

    def __init__(self, run: ClipRun) -> None:
        costs = run.costs()
        self._run = run
        self._turns: Sequence[object] = ()
        self._work: list[float] = []
        self.begun = self.share()
        self.estimate_s = None if costs is None else sum(costs) - run.painted_of(costs)

    def share(self, step: Step | None = None) -> float:
        """The share that is done, given the last step of the frame in progress."""
        run, turns = self._run, self._run.turns
        if turns is not self._turns:  # at first, and when a cut was found
            costs = run.costs() or [1.0] * len(turns)
            self._turns, self._work = turns, [each + _LEAST_WORK_S for each in costs]
        done = run.painted_of(self._work)
        if step is not None and run.painted < len(turns):
            part = (step.scale - 1 + step.step / step.steps) / step.scales
            done += part * self._work[run.place]
        return done / sum(self._work)

    def place(self) -> dict[str, int]:
        """The frame in progress, and how many there are and are done."""
        run = self._run
        turn = run.turns[run.place][0]
        return {"frame": turn.index + 1, "frames": run.count, "frames_done": run.frames_done}


def publish(file: Path, folder: Path) -> Path:
    """Move a finished clip to the folder of results, under its name or the next free one.

    Raises:
        OutputError: the system refuses.
    """
    with refusals_named(folder):
        for free in numbered_names(folder / file.name):
            with suppress(FileExistsError):
                move_without_replacing(file, free)
                return free
    raise AssertionError("there is always a next number")
