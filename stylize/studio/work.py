"""What the server and the engine tell each other, as values that can be pickled. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylize.batches.tasks import Clips
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings


@dataclass(frozen=True)
class Source:
    """A picture to read.

    Attributes:
        sha256: of the file's content; a file that has changed is refused.
        path: of the file.
        name: for messages and recipes.
    """

    sha256: str
    path: Path
    name: str


@dataclass(frozen=True)
class Work:
    """A picture or a clip to make.

    Attributes:
        settings, execution, preset: how.
        inputs: role and source of each picture, as in a recipe.
        target: the file to write; if it exists, the next free number is added.
        folder: the batch's folder whose manifest gets an entry; None for none.
        clips: how the frames of a clip follow from each other; None for a picture.
    """

    settings: TransferSettings | DreamSettings
    execution: Execution
    preset: str | None
    inputs: tuple[tuple[str, Source], ...]
    target: Path
    folder: Path | None = None
    clips: Clips | None = None


@dataclass(frozen=True)
class Paint:
    """An order: make a picture.

    Attributes:
        job: its id.
        urgent: whether a job that is being painted waits for it.
    """

    job: str
    work: Work
    urgent: bool = False


@dataclass(frozen=True)
class PaintClip:
    """An order: make a clip, or go on with it.

    Attributes:
        job: its id.
        work: the target is in a folder of its own, in which the frames are kept; the finished clip
            moves to the work's folder.
    """

    job: str
    work: Work


@dataclass(frozen=True)
class PreviewClip:
    """An order: make three frames of a clip, as the cells 0 to 2.

    Attributes:
        job: its id.
        work: the target is that of the first cell.
        urgent: whether a job that is being painted waits for it.
    """

    job: str
    work: Work
    urgent: bool = False


@dataclass(frozen=True)
class PaintCells:
    """An order: make the cells of a sheet.

    Attributes:
        job: its id.
        cells: number and work of each cell.
        layer, count: find that many channels of this layer first, with the work of the only cell.
    """

    job: str
    cells: tuple[tuple[int, Work], ...]
    layer: str | None = None
    count: int = 0


@dataclass(frozen=True)
class FindSubject:
    """An order: find the subject of a photo.

    Attributes:
        call: tells the answers apart.
        target: the mask to write, a PNG.
    """

    call: str
    photo: Source
    target: Path
    invert: bool


@dataclass(frozen=True)
class WarmUp:
    """An order without haste: decode pictures for the next job."""

    pictures: tuple[Source, ...]


@dataclass(frozen=True)
class End:
    """Ends a job after its step: keeping the picture so far, or nothing."""

    job: str
    keep: bool


Order = Paint | PaintClip | PreviewClip | PaintCells | FindSubject | WarmUp | End


@dataclass(frozen=True)
class Event:
    """What the engine reports.

    Attributes:
        name: ``ready``, ``started``, ``step``, ``preview``, ``cells``, ``cell``, ``done``,
            ``failed``, ``cancelled`` or ``answer``.
        subject: the job or the call it is about.
        values: plain data.
        picture: an encoded picture.
    """

    name: Literal[
        "ready",
        "started",
        "step",
        "preview",
        "cells",
        "cell",
        "done",
        "failed",
        "cancelled",
        "answer",
    ]
    subject: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    picture: bytes | None = None
