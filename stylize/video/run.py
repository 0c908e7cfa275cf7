"""Paint a clip: keep its frames, paint those that are missing, put the new clip together."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stylize.errors import InterruptedRunError, OutputError, PictureError
from stylize.images import mp4
from stylize.images.atomic import check_writable, refusals_named
from stylize.images.film import MAX_GIF_FPS, animation_format, check_sides, write_clip
from stylize.images.open import opened, pixel_limit
from stylize.images.read import Picture
from stylize.images.sound import Sound, encoder_for, is_copied
from stylize.optimize.loop import Step
from stylize.planning.device import processor
from stylize.planning.memory import MemoryPlan
from stylize.runs.recipe import load_recipe, to_text
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import to_document
from stylize.settings.schedule import result_size
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.version import __version__
from stylize.video.clip import Clip, Cut, Outline, cut_frames, cut_times
from stylize.video.flow import opencv
from stylize.video.painter import ClipPainter, DreamClipPainter
from stylize.video.shots import find_shots, small
from stylize.video.turns import SECONDS_PER_PX, SECONDS_PER_TURN, Turn, turns_of
from stylize.video.work import (
    PAINTED_BYTES_PER_PX,
    PHOTO_BYTES_PER_PX,
    Record,
    Work,
    holds_only_painted,
    require_same,
    require_space,
)

Painter = ClipPainter | DreamClipPainter

# Gives a frame of the clip of a mask: by the number of the mask and of the frame.
MaskFrames = Callable[[int, int], Picture]

# A folder of PNG files, instead of a file.
FOLDER = "folder"

_WITH_ALPHA = ("webp", "apng", FOLDER)


@dataclass(frozen=True)
class Target:
    """What is written.

    Attributes:
        path: a file, or a folder.
        format: ``mp4 webm gif webp apng`` or :data:`FOLDER`.
        codec: of mp4 and WebM; None for the usual one.
        quality: 1 to 100.
        overwrite: replace what is there.
        keep_frames: keep the painted frames next to the file.
    """

    path: Path
    format: str
    codec: str | None = None
    quality: int = 90
    overwrite: bool = False
    keep_frames: bool = False

    def require_free(self, inputs: Sequence[Path] = ()) -> None:
        """Check that the file or folder can be written, and that nothing else would be lost.

        Args:
            inputs: files that are never replaced.

        Raises:
            OutputError: it cannot.
        """
        path = self.path
        if self.format != FOLDER:
            check_writable(path)
            if any(path.exists() and each.samefile(path) for each in inputs):
                raise OutputError(f"{path} is an input of this run", hint="write to another file")
            if os.path.lexists(path) and not self.overwrite:
                raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
            return
        if os.path.lexists(path):
            if not path.is_dir():
                raise OutputError(f"{path} is not a folder")
            names = os.listdir(path)
            if any(each.samefile(path) or each.parent.samefile(path) for each in inputs):
                raise OutputError(f"{path} holds an input of this run", hint="choose another one")
            if names and not self.overwrite:
                raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
            if not holds_only_painted(path):
                raise OutputError(f"{path} holds other files", hint="choose another folder")
        check_writable(path.absolute().parent / "picture.png")

    def check(self, clip: Outline, size: tuple[int, int]) -> list[str]:
        """Check that the clip can be written; return what a user may want to know.

        Args:
            clip: the frames that are wanted.
            size: ``(height, width)`` of the result.

        Raises:
            OutputError: the format cannot hold it.
            MissingExtraError: PyAV is not installed.
        """
        notes = []
        height, width = size
        if self.format in mp4.CONTAINERS:
            codec = mp4.check_codec(self.format, self.codec)
            mp4.check_least_side(size, codec)
            if (height % 2 or width % 2) and mp4.needs_even_sides(codec):
                larger = f"{width + width % 2}×{height + height % 2}"
                notes.append(f"{codec} needs even sides: {larger}, the last pixels are repeated")
        if self.format != FOLDER:
            check_sides((width, height), self.format)
        shortest = min(
            (after - before for before, after in zip(clip.times, clip.times[1:], strict=False)),
            default=Fraction(1),
        )
        if self.format == "gif" and shortest < Fraction(1, MAX_GIF_FPS) - Fraction(1, 1000):
            raise OutputError(
                f"a gif plays at most {MAX_GIF_FPS} frames per second", hint="--fps 25, or webp"
            )
        if clip.transparent and not self.holds_alpha:
            notes.append(f"{self.format} holds no transparency: it is left out")
        return notes + self._sound_notes(clip.sound)

    @property
    def holds_alpha(self) -> bool:
        """Whether the format holds transparency."""
        vp9 = self.format == "webm" and self.codec in (None, "vp9")
        return vp9 or self.format in _WITH_ALPHA

    def _sound_notes(self, codec: str | None) -> list[str]:
        if codec is None:
            return []
        if self.format not in mp4.CONTAINERS:
            return ["the sound is left out"]
        if not is_copied(self.format, codec):
            return [f"the sound is encoded again as {encoder_for(self.format)}"]
        return []


def format_for(path: Path) -> str:
    """The format of a file's suffix.

    Raises:
        OutputError: no format of clips has it.
    """
    if path.suffix.lower() == ".webm":
        return "webm"
    try:
        return animation_format(path)
    except OutputError as error:
        error.hint = "use .mp4 .webm .gif .webp .apng, or a name without extension for a folder"
        raise


@dataclass(frozen=True)
class Request:
    """A clip to paint.

    Attributes:
        clip: the clip.
        cut: the wanted part of it.
        settings: how a frame looks.
        video: how frames follow from each other.
        make: prepares the painter, given the first frame and the frames of masks.
        inputs: role and SHA-256 of all other pictures.
        masks: the clips among the masks.
        target: what is written.
        command: the current folder and the words of the command, to continue it.
    """

    clip: Clip
    cut: Cut
    settings: TransferSettings | DreamSettings
    video: VideoSettings
    make: Callable[[Picture, MaskFrames], Painter]
    inputs: Sequence[tuple[str, str]]
    masks: Sequence[Clip]
    target: Target
    command: Sequence[str] = ()

    @cached_property
    def outline(self) -> Outline:
        """The wanted part of the clip.

        Raises:
            PictureError: there is nothing in it.
        """
        outline = self.clip.outline
        times = cut_times(outline.times, self.cut)
        if not times:
            length = f"{float(outline.times[-1]):.2f} s"
            raise PictureError(
                f"{self.clip.name} has no frames in this interval", hint=f"it lasts {length}"
            )
        return replace(outline, times=times)

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of the result."""
        return result_size(self.settings, self.clip.outline.size)

    @property
    def kept_size(self) -> tuple[int, int]:
        """``(height, width)`` at which frames are kept: no larger than the result needs."""
        size, source = self.size, self.clip.outline.size
        if size[0] >= source[0] or size[1] >= source[1]:
            return source
        return size if result_size(self.settings, size) == size else source

    def check(self) -> list[str]:
        """Check that the clip can be written; see :meth:`Target.check`."""
        written = self.target.path.name
        found = [f"{self.clip.name}: {each}" for each in self.clip.outline.notes]
        notes = self.target.check(self.outline, self.size)
        return [*found, *(f"{written}: {each}" for each in notes)]

    def bytes_needed(self) -> float:
        """Room that the work folder takes on the disk."""
        kept, painted = (height * width for height, width in (self.kept_size, self.size))
        per_frame = PHOTO_BYTES_PER_PX * kept * (1 + len(self.masks))
        per_frame += PAINTED_BYTES_PER_PX * painted * (self.video.passes + 1)
        return per_frame * (len(self.outline.times) - 1)


class ClipRun:
    """A clip that is being painted.

    Args:
        request: what is asked for.
        on_photo: called with the number of frames that were read so far.
        stop: asked while frames are read.

    Attributes:
        record: what was noted at the start.
        turns: all the work, with the shot of each turn.
        done: number of turns that are done.
        summary: the recipe of the clip, once it is finished.

    Raises:
        InterruptedRunError: stopped while frames were read.
        StylizeError: the clip cannot be painted.
    """

    def __init__(
        self,
        request: Request,
        on_photo: Callable[[int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.request = request
        self.summary: dict[str, Any] = {}
        clip, target = request.clip, request.target
        self.work = Work.next_to(target.path, clip.name, clip.sha256())
        self._masks = [(each, each.sha256()) for each in request.masks]
        if not self._continue(on_photo, stop):
            self._begin(on_photo, stop)
        self.turns = [
            (turn, shot) for shot in self.record.ranges for turn in turns_of(shot, request.video)
        ]
        whole = self.record.complete
        count = len(self.turns)
        self.done = count if whole else self.work.done([turn for turn, _ in self.turns])

    def _continue(
        self, on_photo: Callable[[int], None] | None, stop: Callable[[], bool] | None
    ) -> bool:
        """Take up an earlier run of the same request on the same machine, if there is one."""
        folder, overwrite = self.work.folder, self.request.target.overwrite
        if overwrite and folder.is_dir() and holds_only_painted(folder):
            return False  # frames that an earlier run was told to keep
        record = self.work.record()
        if record is None:
            return False
        try:
            require_same(record, {**record.essence, **self._essence()}, folder)
            if not self.work.holds_photos(record.count, len(self._masks)):
                self._keep_photos(on_photo, stop)
            painter = self.request.make(self.work.photo(0), self._mask)
            require_same(record, {**record.essence, "machine": _machine(painter)}, folder)
        except OutputError:
            if not overwrite:
                raise
            return False
        painter.memory_plan = MemoryPlan(**record.memory)
        self.painter, self.record = painter, record
        return True

    def _begin(
        self, on_photo: Callable[[int], None] | None, stop: Callable[[], bool] | None
    ) -> None:
        """Keep the frames of the clip and note what decides the run."""
        request = self.request
        require_space(request.target.path.absolute().parent, request.bytes_needed())
        self.work.begin()
        try:
            times, shots, names = self._keep_photos(on_photo, stop)
            self.painter = painter = request.make(self.work.photo(0), self._mask)
        except BaseException:  # nothing is worth keeping yet
            self.work.remove()
            raise
        plan = painter.memory_plan
        self.record = Record(
            {**self._essence(), "machine": _machine(painter)},
            times,
            shots,
            names,
            {"tile_px": plan.tile_px, "history": plan.history},
            painter.size,
            command=request.command,
        )
        self.work.note(self.record)

    def _essence(self) -> dict[str, Any]:
        """What decides the frames, the machine apart."""
        request = self.request
        return {
            "version": __version__,
            "technique": request.settings.TECHNIQUE,
            "clip": self.work.sha256,
            "cut": {name: _text(value) for name, value in vars(request.cut).items()},
            "settings": to_document(request.settings),
            "video": to_document(request.video),
            "inputs": [list(each) for each in request.inputs],
            "masks": [sha256 for _, sha256 in self._masks],
        }

    def _keep_photos(
        self, on_photo: Callable[[int], None] | None, stop: Callable[[], bool] | None
    ) -> tuple[list[Fraction], list[int], list[str]]:
        """Keep the wanted frames; return their times, the cuts and the names of the files."""
        request, times, names, smalls = self.request, list[Fraction](), list[str](), []
        height, width = request.kept_size
        outline = request.clip.outline
        frames = request.clip.frames(request.cut.start)
        for frame, time in cut_frames(frames, request.cut, outline.times[-1]):
            if stop is not None and stop():
                raise InterruptedRunError("stopped before the first frame")
            image = Image.fromarray(frame.pixels)
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.LANCZOS)
            self.work.keep(len(times), image)
            smalls.append(small(np.ascontiguousarray(np.asarray(image)[..., :3])))
            times.append(time)
            names.append(frame.name)
            if on_photo is not None:
                on_photo(len(times))
        if not times:
            raise PictureError(f"{request.clip.name} holds no frames")
        for number, mask in enumerate(request.masks):
            self._keep_mask(number, mask, times)
        end = outline.times[-1]
        end = end if request.cut.end is None else min(end, request.cut.end)
        shots = find_shots(smalls)
        return (
            [*times, max(end, times[-1] + Fraction(1, 1000))],
            [*(shot.start for shot in shots), len(times)],
            _names(names),
        )

    def _keep_mask(self, number: int, mask: Clip, times: Sequence[Fraction]) -> None:
        """Keep the frame of a mask that is shown at each time; the last one stays."""
        frames = mask.frames()
        shown = next(frames, None)
        if shown is None:
            raise PictureError(f"{mask.name} holds no frames")
        after = next(frames, None)
        for index, time in enumerate(times):
            while after is not None and after.time <= time:
                shown, after = after, next(frames, None)
            self.work.keep(index, Image.fromarray(shown.pixels), f"mask-{number + 1}")

    def _mask(self, number: int, index: int) -> Picture:
        mask, sha256 = self._masks[number]
        path = self.work.photo_path(index, f"mask-{number + 1}")
        return self.work.renamed(path, mask.name, sha256)

    @property
    def count(self) -> int:
        """The number of frames."""
        return self.record.count

    @property
    def frames_done(self) -> int:
        """The number of frames that have a result."""
        return len({turn.index for turn, _ in self.turns[: self.done]})

    def costs(self) -> list[float] | None:
        """Seconds that each turn will take; None where nobody knows."""
        return seconds_of(self.painter, self.turns)

    def paint(
        self,
        on_turn: Callable[[Turn, Result], None] | None = None,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> bool:
        """Paint what is missing.

        Args:
            on_turn: called with every result that was written.
            on_step: called after every step of a frame.
            stop: asked after every step.

        Returns:
            Whether all frames are there.
        """
        while self.done < len(self.turns):
            if stop is not None and stop():
                return False
            turn = self.turns[self.done][0]
            saved = self.paint_next(on_step, stop)
            if saved is None:
                return False
            if on_turn is not None:
                on_turn(turn, saved)
        return True

    def paint_next(
        self,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Result | None:
        """Do the next turn; None if it was stopped."""
        turn, shot = self.turns[self.done]
        try:
            result = self.painter.paint(
                turn, shot, self.work.photo, self.work.newest, on_step, stop
            )
        except InterruptedRunError:
            return None
        if result.interrupted:
            return None
        saved = self.work.save(turn, result, self._place())
        self.done += 1
        return saved

    def _place(self) -> dict[str, Any]:
        """What recipes say about the clip."""
        cut = {name: _text(value) for name, value in vars(self.request.cut).items() if value}
        return {"frames": self.count, **cut, **to_document(self.request.video)}

    def result(self, index: int) -> Result:
        """The newest result of a frame."""
        path = self.work.newest_path(index)
        picture = self.work.newest(index)
        return Result(picture.pixels, picture.alpha, load_recipe(path), False)

    def recipe(self) -> dict[str, Any]:
        """The recipe of the whole clip."""
        recipe = load_recipe(self.work.newest_path(0))
        recipe["clip"] = self._place()
        return recipe

    def finish(self, compare: str | None = None) -> Path:
        """Write the clip, completely or not at all, and remove the work folder.

        Args:
            compare: also write the clip next to the photos, ``side`` or ``split``.

        Returns:
            What was written.
        """
        record, target = self.record, self.request.target
        self.summary = self.summary or self.recipe()
        if target.format == FOLDER:
            self.record = replace(record, complete=True)
            self.work.note(self.record)
            self._publish_folder()
            return target.path
        try:
            if compare is not None:
                self._write(_compared(target), self._side_by_side(compare), compare)
            saved = self._write(target, self._pictures())
        except OutputError as error:
            message = f"{error.message}; the painted frames are kept in {self.work.folder}"
            raise OutputError(message, hint=error.hint or "the same command continues") from error
        if target.keep_frames:
            self._lay_out()
        else:
            self.work.remove()
        return saved

    def _write(
        self, target: Target, pictures: Iterator[Image.Image], compare: str | None = None
    ) -> Path:
        record, outline = self.record, self.request.clip.outline
        height, width = record.size
        return write_clip(
            target.path,
            pictures,
            [each - record.times[0] for each in record.times],
            (width * (2 if compare == "side" else 1), height),
            format=target.format,
            codec=target.codec,
            sound=self._sound() if target.format in mp4.CONTAINERS else None,
            transparent=outline.transparent and target.holds_alpha and compare is None,
            recipe=to_text(self.summary),
            quality=target.quality,
            overwrite=target.overwrite,
        )

    def _sound(self) -> Sound | None:
        record, cut = self.record, self.request.cut
        start = record.times[0] if cut.start is not None else None
        return self.request.clip.sound(start, None if cut.end is None else record.times[-1])

    def _pictures(self) -> Iterator[Image.Image]:
        """The frames of the new clip."""
        transparent = self.request.clip.outline.transparent and self.request.target.holds_alpha
        for index in range(self.count):
            yield _image(self.work.newest_path(index), "RGBA" if transparent else "RGB")

    def _side_by_side(self, compare: str) -> Iterator[Image.Image]:
        for index in range(self.count):
            result = _image(self.work.newest_path(index), "RGB")
            photo = _image(self.work.photo_path(index), "RGB").resize(result.size)
            if compare == "split":
                box = (0, 0, result.width // 2, result.height)
                result.paste(photo.crop(box), box)
                yield result
                continue
            both = Image.new("RGB", (2 * result.width, result.height))
            both.paste(photo, (0, 0))
            both.paste(result, (result.width, 0))
            yield both

    def _lay_out(self) -> None:
        """Leave only the painted frames in the work folder."""
        folder = self.work.folder
        done = folder.with_name(folder.name + "-kept")
        self.work.gather(self.record.names or _numbered(self.count), done)
        self.work.remove()
        with refusals_named(folder):
            done.rename(folder)

    def _publish_folder(self) -> None:
        target, done = self.request.target.path, self.work.folder / "done"
        self.work.gather(self.record.names or _numbered(self.count), done)
        with refusals_named(target):
            if target.is_dir() and self.request.target.overwrite:
                shutil.rmtree(target)
            elif target.is_dir():
                target.rmdir()  # it is empty
            target.parent.mkdir(parents=True, exist_ok=True)
            done.rename(target)
        self.work.remove()


def seconds_of(painter: Painter, turns: Sequence[tuple[Turn, range]]) -> list[float] | None:
    """How long each turn will take, given with its shot; None where nobody knows."""
    known: dict[tuple[bool, bool, int], float | None] = {}
    pixels = painter.size[0] * painter.size[1]
    found = []
    for turn, shot in turns:
        key = (turn.carried, turn.index == shot.start, turn.number)
        if key not in known:
            known[key] = painter.cost(turn, shot).seconds
        seconds = known[key]
        if seconds is None:
            return None
        found.append(seconds + SECONDS_PER_TURN + SECONDS_PER_PX * pixels)
    return found


def _machine(painter: Painter) -> dict[str, Any]:
    """What decides about rounding, besides the settings."""
    device = painter.device
    return {
        "device": device.name,
        "precision": device.precision,
        "threads": device.threads,
        "torch": str(torch.__version__),
        "OpenCV": str(opencv().__version__),
        "processor": hashlib.sha256(processor().encode()).hexdigest()[:12],
        "weights": painter.weights.sha256,
    }


def _compared(target: Target) -> Target:
    path = target.path.with_stem(f"{target.path.stem}-compare")
    return replace(target, path=path)


def _image(path: Path, mode: str) -> Image.Image:
    with opened(path, title=str(path), max_pixels=pixel_limit()) as image:
        return image.convert(mode)


def _numbered(count: int) -> list[str]:
    return [f"{index + 1:06d}.png" for index in range(count)]


def _names(files: Sequence[str]) -> list[str]:
    """Names of the painted frames: those of the files of the clip, where they are distinct."""
    stems = [f"{Path(name).stem}.png" for name in files]
    if all(files) and len(set(map(str.lower, stems))) == len(stems):
        return stems
    return _numbered(len(files))


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)
