"""What to make of a clip, and where to write it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from stylize.errors import OutputError, PictureError
from stylize.images import mp4
from stylize.images.atomic import check_writable
from stylize.images.film import MAX_GIF_FPS, animation_format, check_sides
from stylize.images.read import Picture
from stylize.images.sound import encoder_for, is_copied
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import to_document
from stylize.settings.schedule import result_size
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.version import __version__
from stylize.video.clip import Clip, Cut, FrameFiles, Outline, cut_times
from stylize.video.painter import ClipPainter, DreamClipPainter
from stylize.video.record import folder_for
from stylize.video.work import (
    PAINTED_BYTES_PER_PX,
    PHOTO_BYTES_PER_PX,
    Work,
    holds_only_painted,
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
        compare: also write a clip of the photos next to the result, ``side``, or of the left half
            of the photos over it, ``split``.
    """

    path: Path
    format: str
    codec: str | None = None
    quality: int = 90
    overwrite: bool = False
    keep_frames: bool = False
    compare: str | None = None

    @property
    def compare_path(self) -> Path | None:
        """The clip that shows the photos, too; None if it is not wanted."""
        if self.compare is None or self.format == FOLDER:
            return None
        return self.path.with_stem(f"{self.path.stem}-compare")

    def compare_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """``(height, width)`` of that clip, given the size of the result."""
        height, width = size
        return height, width * (2 if self.compare == "side" else 1)

    def require_free(self, inputs: Sequence[Path] = ()) -> None:
        """Check that the file or folder can be written, and that nothing else would be lost.

        Args:
            inputs: files that are never replaced.

        Raises:
            OutputError: it cannot.
        """
        if self.format == FOLDER:
            self._require_free_folder(inputs)
        else:
            for each in filter(None, (self.path, self.compare_path)):
                self._require_free_file(each, inputs)
        frames = folder_for(self.path)
        if frames.is_dir() and any(each.samefile(frames) for each in _with_folders(inputs)):
            raise OutputError(
                f"{frames} holds an input of this run, and would be replaced",
                hint="choose another output",
            )

    def _require_free_folder(self, inputs: Sequence[Path]) -> None:
        path = self.path
        if not os.path.lexists(path):
            check_writable(path)
            return
        if not path.is_dir():
            raise OutputError(f"{path} is not a folder")
        if any(each.samefile(path) for each in _with_folders(inputs)):
            raise OutputError(f"{path} holds an input of this run", hint="choose another one")
        if os.listdir(path) and not self.overwrite:
            raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
        if not holds_only_painted(path):
            raise OutputError(f"{path} holds other files", hint="choose another folder")
        # Who is in a folder that is replaced sees no files any more; a mount point stays.
        if path.samefile(os.curdir) or os.path.ismount(path):
            raise OutputError(
                f"{path} is the current folder or a mount point, which cannot be replaced",
                hint="name a new folder in it",
            )
        check_writable(path.absolute().parent / "picture.png")

    def _require_free_file(self, path: Path, inputs: Sequence[Path]) -> None:
        check_writable(path)
        require_no_input([path], inputs)
        if os.path.lexists(path) and not self.overwrite:
            raise OutputError(f"{path} already exists", hint="replace it with --overwrite")

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
            self._check_compare_sides(size)
        shortest = min(
            (after - before for before, after in zip(clip.times, clip.times[1:], strict=False)),
            default=Fraction(1),
        )
        if self.format == "gif" and shortest < Fraction(1, MAX_GIF_FPS) - Fraction(1, 1000):
            raise OutputError(
                f"a gif plays at most {MAX_GIF_FPS} frames per second", hint="--fps 25, or webp"
            )
        if clip.transparent and not self.holds_alpha:
            notes.append(f"{self.format} holds no transparency: white shows instead")
        return notes + self._sound_notes(clip.sound)

    def _check_compare_sides(self, size: tuple[int, int]) -> None:
        try:
            check_sides(self.compare_size(size)[::-1], self.format)
        except OutputError as error:
            message = f"--compare {self.compare}: {error.message}"
            raise OutputError(message, hint="use --compare split") from error

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


def _with_folders(inputs: Sequence[Path]) -> list[Path]:
    """Inputs, and the folders that they are in."""
    return [place for each in inputs for place in (each, each.parent)]


def require_no_input(paths: Iterable[Path], inputs: Sequence[Path]) -> None:
    """Check that files to write are no inputs.

    Raises:
        OutputError: one is.
    """
    for path in paths:
        if path.exists() and any(each.exists() and each.samefile(path) for each in inputs):
            raise OutputError(f"{path} is an input of this run", hint="write to another file")


def existing(sources: Iterable[str]) -> list[Path]:
    """The files and folders among the sources of inputs; of a pattern, its folder."""
    paths = map(Path, sources)
    named = (path if path.exists() else path.parent for path in paths)
    return [path for path in named if path.exists()]


def folder_at(path: Path) -> Path:
    """A folder under its own name where a link or dots lead to it: it is replaced as a whole."""
    is_other_name = path.is_symlink() or path.name in ("", os.pardir)
    return path.resolve() if is_other_name and path.is_dir() else path


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
        inputs: role and SHA-256 of all other pictures, in order; where a mask is a clip, ``clip``
            and its number in ``masks``.
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

    def __post_init__(self) -> None:
        if isinstance(self.clip, FrameFiles) and self.cut.fps is not None:
            self.clip.at_rate(self.cut.fps)
        for each in self.masks:
            if isinstance(each, FrameFiles):
                each.at(self.outline.times if self._is_cut_like(each) else self.clip.outline.times)

    def _is_cut_like(self, mask: FrameFiles) -> bool:
        """Whether a folder has a mask for each wanted frame, not for each frame of the clip."""
        count = len(mask.outline.names)
        return count == self.count and count != len(self.clip.outline.times) - 1

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
    def count(self) -> int:
        """The number of wanted frames, as far as the clip says."""
        return len(self.outline.times) - 1

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

    @cached_property
    def sha256(self) -> str:
        """Of the clip."""
        return self.clip.sha256()

    @cached_property
    def masks_sha256(self) -> list[str]:
        """Of the clips among the masks."""
        return [each.sha256() for each in self.masks]

    @property
    def essence(self) -> dict[str, Any]:
        """Everything that decides the frames, except the machine."""
        return {
            "version": __version__,
            "technique": self.settings.TECHNIQUE,
            "clip": self.sha256,
            "cut": {name: _text(value) for name, value in vars(self.cut).items()},
            "settings": to_document(self.settings),
            "video": to_document(self.video),
            "inputs": [list(each) for each in self.inputs],
            "masks": self.masks_sha256,
        }

    def painter(self, work: Work) -> Painter:
        """Prepare the painter, given the work folder with the first frame.

        Raises:
            StylizeError: the clip cannot be painted.
        """

        def mask(number: int, index: int) -> Picture:
            path = work.photo_path(index, f"mask-{number + 1}")
            return work.renamed(path, self.masks[number].name, self.masks_sha256[number])

        return self.make(work.photo(0), mask)

    def place(self, frames: int) -> dict[str, Any]:
        """What recipes say about the clip, given the number of its frames."""
        cut = {name: _text(value) for name, value in vars(self.cut).items() if value}
        return {"frames": frames, **cut, **to_document(self.video)}

    def check(self) -> list[str]:
        """Check that the clip can be written; see :meth:`Target.check`."""
        written = self.target.path.name
        found = [f"{self.clip.name}: {each}" for each in self.clip.outline.notes]
        counts = {1, self.count, len(self.clip.outline.times) - 1}
        for each in self.masks:
            if isinstance(each, FrameFiles) and (count := len(each.outline.names)) not in counts:
                found.append(f"{each.name}: {count} frames, {self.clip.name} has {max(counts)}")
        notes = self.target.check(self.outline, self.size)
        return [*found, *(f"{written}: {each}" for each in notes)]

    def bytes_needed(self) -> float:
        """Room that the work folder takes on the disk."""
        kept, painted = (height * width for height, width in (self.kept_size, self.size))
        per_frame = PHOTO_BYTES_PER_PX * kept * (1 + len(self.masks))
        per_frame += PAINTED_BYTES_PER_PX * painted * (self.video.passes + 1)
        return per_frame * self.count


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)
