"""Paint a few frames of a clip, to see its look before the long run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
from stylize.video.reading import shown_at
from stylize.video.request import Painter, Request, require_no_input
from stylize.video.run import seconds_of
from stylize.video.turns import Turn, turns_of

OnStep = Callable[[Step], None]

Stop = Callable[[], bool]


def frames_at(request: Request, places: Collection[int]) -> dict[int, list[Picture]]:
    """Some of the wanted frames as pictures, by number, each followed by those of the masks.

    Raises:
        PictureError: the clip has fewer frames than it says, or a mask has none.
    """
    clip, hashes = request.clip, [request.sha256, *request.masks_sha256]
    chosen = cut_frames(clip.frames(request.cut.start), request.cut, clip.outline.times[-1])
    masks = [shown_at(each) for each in request.masks]
    found: dict[int, list[Picture]] = {}
    for index, (frame, time) in enumerate(chosen):
        if index in places:
            frames = [frame, *(shown(time) for shown in masks)]
            found[index] = list(map(_picture, frames, (clip, *request.masks), hashes))
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


def still_painter(request: Request, frames: Mapping[int, Sequence[Picture]]) -> Painter:
    """The painter before any frame is kept, for some frames with those of the masks."""
    return request.make(frames[0][0], lambda number, index: frames[index][1 + number])


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
        self._frames = frames_at(request, self.places)
        self.painter = still_painter(request, self._frames)

    def paint(
        self, place: int, on_step: OnStep | None = None, stop: Stop | None = None
    ) -> Result | None:
        """Paint one of the frames; None if it was stopped."""
        shot = range(place, place + 1)

        def photo(index: int) -> Picture:
            return self._frames[index][0]

        try:
            result = self.painter.paint(Turn(place), shot, photo, photo, on_step, stop)
        except InterruptedRunError:
            return None
        return None if result.interrupted else result


def paint_preview(
    request: Request,
    stem: Path,
    pictures: Sequence[Path],
    on_frame: Callable[[int], None],
    stop: Stop,
) -> list[Path] | None:
    """Paint the first, the middle and the last frame, and make a sheet of them.

    Args:
        request: the clip.
        stem: path of the pictures without the number and the extension.
        pictures: files that are never replaced, besides those of the clip and its masks.
        on_frame: called with the number of painted frames.
        stop: asked after every step.

    Returns:
        What was written, the sheet last; None if it was stopped.

    Raises:
        OutputError: one of the pictures would replace an input.
    """
    preview = Preview(request)
    sheet_path = stem.with_name(f"{stem.name}.png")
    paths = {each: stem.with_name(f"{stem.name}-{each + 1:06d}.png") for each in preview.places}
    if overwrite := request.target.overwrite:
        clips = (request.clip, *request.masks)
        inputs = [*pictures, *(file for clip in clips for file in clip.files)]
        require_no_input([*paths.values(), sheet_path], inputs)
    cells: list[tuple[str, Tensor]] = []
    saved: list[Path] = []
    for done, place in enumerate(preview.places, 1):
        result = preview.paint(place, stop=stop)
        if result is None:
            return None
        written = write_picture(
            paths[place],
            result.pixels,
            alpha=result.alpha,
            recipe=to_text(result.recipe),
            overwrite=overwrite,
        )
        saved += [] if written is None else [written]
        cells.append((f"frame {place + 1}", result.pixels))
        on_frame(done)
    sheet = contact_sheet([cells], title=request.clip.name)
    written = write_picture(sheet_path, sheet, overwrite=overwrite)
    return [*saved, *([] if written is None else [written])]
