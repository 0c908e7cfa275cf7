"""Paint a few frames of a clip, to see its look before the long run."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import Tensor

from stylize.errors import InterruptedRunError, PictureError
from stylize.images.contact_sheet import contact_sheet
from stylize.images.read import Picture
from stylize.images.write import write_picture
from stylize.optimize.loop import Step
from stylize.runs.recipe import to_text
from stylize.runs.result import Result
from stylize.video.clip import Clip, Frame, cut_frames, open_clip
from stylize.video.request import Painter, Request
from stylize.video.run import seconds_of
from stylize.video.turns import Turn, turns_of

OnStep = Callable[[Step], None]

Stop = Callable[[], bool]


def frames_at(request: Request, places: Collection[int]) -> dict[int, Picture]:
    """Some of the wanted frames as pictures, by number.

    Raises:
        PictureError: the clip has fewer frames than it says.
    """
    clip, sha256 = request.clip, request.clip.sha256()
    chosen = cut_frames(clip.frames(request.cut.start), request.cut, clip.outline.times[-1])
    found: dict[int, Picture] = {}
    for index, (frame, _) in enumerate(chosen):
        if index in places:
            found[index] = _picture(frame, clip, sha256)
        if len(found) == len(places):
            return found
    raise PictureError(f"{clip.name} is incomplete", hint="download or export it again")


def _picture(frame: Frame, clip: Clip, sha256: str) -> Picture:
    values = torch.from_numpy(frame.pixels.copy()).permute(2, 0, 1)[None].float() / 255
    alpha = values[:, 3:].contiguous() if values.shape[1] == 4 else None
    return Picture(values[:, :3].contiguous(), alpha, clip.name, sha256, ())


def first_frame(path: Path, *, name: str) -> Picture:
    """Read the first frame of a video file as a picture.

    Args:
        path: the file.
        name: of the clip, in messages and recipes.

    Raises:
        PictureError: it cannot be read.
        MissingExtraError: PyAV is not installed.
    """
    clip = open_clip(str(path), path, name=name)
    for frame in clip.frames():
        return _picture(frame, clip, clip.sha256())
    raise PictureError(f"{clip.name} holds no frames")


def still_painter(request: Request, reference: Picture) -> Painter:
    """The painter before any frame is kept: masks that move stay as they are at first."""

    def first(number: int, index: int) -> Picture:
        mask = request.masks[number]
        for frame in mask.frames():
            return _picture(frame, mask, mask.sha256())
        raise PictureError(f"{mask.name} holds no frames")

    return request.make(reference, first)


def whole_seconds(request: Request, painter: Painter) -> float | None:
    """How long the whole clip will take, as if it were one shot; None where nobody knows."""
    shot = range(len(request.outline.times) - 1)
    costs = seconds_of(painter, [(turn, shot) for turn in turns_of(shot, request.video)])
    return None if costs is None else sum(costs)


class Preview:
    """The first, the middle and the last frame, each painted by itself.

    Args:
        request: the clip.

    Attributes:
        places: numbers of these frames, from 0.
        painter: of the clip.
    """

    def __init__(self, request: Request) -> None:
        count = len(request.outline.times) - 1
        self.places = sorted({0, count // 2, count - 1})
        self._photos = frames_at(request, self.places)
        self.painter = still_painter(request, self._photos[0])

    def paint(
        self, place: int, on_step: OnStep | None = None, stop: Stop | None = None
    ) -> Result | None:
        """Paint one of the frames; None if it was stopped."""
        photo, shot = self._photos.__getitem__, range(place, place + 1)
        try:
            result = self.painter.paint(Turn(place), shot, photo, photo, on_step, stop)
        except InterruptedRunError:
            return None
        return None if result.interrupted else result


def paint_preview(
    request: Request,
    stem: Path,
    on_frame: Callable[[int], None],
    stop: Stop,
) -> list[Path] | None:
    """Paint the first, the middle and the last frame, and make a sheet of them.

    Args:
        request: the clip.
        stem: path of the pictures without the number and the extension.
        on_frame: called with the number of painted frames.
        stop: asked after every step.

    Returns:
        What was written, the sheet last; None if it was stopped.
    """
    preview = Preview(request)
    cells: list[tuple[str, Tensor]] = []
    saved: list[Path] = []
    overwrite = request.target.overwrite
    for done, place in enumerate(preview.places, 1):
        result = preview.paint(place, stop=stop)
        if result is None:
            return None
        path = stem.with_name(f"{stem.name}-{place + 1:06d}.png")
        written = write_picture(
            path,
            result.pixels,
            alpha=result.alpha,
            recipe=to_text(result.recipe),
            overwrite=overwrite,
        )
        saved += [] if written is None else [written]
        cells.append((f"frame {place + 1}", result.pixels))
        on_frame(done)
    sheet = contact_sheet([cells], title=request.clip.name)
    written = write_picture(stem.with_name(f"{stem.name}.png"), sheet, overwrite=overwrite)
    return [*saved, *([] if written is None else [written])]
