"""Write pictures: choose the format, encode, embed the recipe, replace atomically."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from PIL import Image, ImageFile

from stylize.errors import OutputError, SettingError
from stylize.images import png16, tiff
from stylize.images.atomic import new_file
from stylize.images.color_profiles import srgb_profile
from stylize.images.metadata import KEYWORD, SOFTWARE, ascii_json, check_recipe, embed
from stylize.images.names import unknown_suffix
from stylize.images.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("png", "jpeg", "webp", "avif", "tiff")

DEEP_FORMATS = ("png", "tiff")

WITHOUT_ALPHA = ("jpeg",)

_SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".avif": "avif",
    ".tif": "tiff",
    ".tiff": "tiff",
}

_MAX_SIDE_PX = {"jpeg": 65_500, "webp": 16_383, "avif": 65_536}  # limits of the encoders

# Noise at the highest quality takes 3.4. Unused memory of the buffer is never touched.
_MOST_JPEG_BYTES_PER_PX = 6

# The size of Pillow's buffers is a setting of the whole process.
_buffer_size = threading.Lock()


def format_of(path: Path) -> str:
    """Return the format of a file's suffix.

    Raises:
        OutputError: no format that can be written has this suffix.
    """
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        raise unknown_suffix(path, "picture", _SUFFIXES)
    return format


def check_request(format: str, *, depth: int, quality: int) -> None:
    """Check format, depth and quality before a long run.

    Raises:
        SettingError: one is unknown or out of range, or the format does not have the depth.
    """
    if format not in FORMATS:
        raise SettingError(f"no such picture format: '{format}'", hint=f"use {' '.join(FORMATS)}")
    if depth not in (8, 16):
        raise SettingError(f"the depth is 8 or 16 bits per channel, not {depth}")
    if depth == 16 and format not in DEEP_FORMATS:
        raise SettingError(
            f"{format} holds 8 bits per channel, not 16", hint=f"use {' or '.join(DEEP_FORMATS)}"
        )
    if not 1 <= quality <= 100:
        raise SettingError(f"the quality is 1 to 100, not {quality}")


def check_alpha(format: str, what: str) -> None:
    """Check that a format holds transparency.

    Args:
        format: one of :data:`FORMATS`.
        what: needs it.

    Raises:
        SettingError: it does not.
    """
    if format in WITHOUT_ALPHA:
        others = ", ".join(each for each in FORMATS if each not in WITHOUT_ALPHA)
        raise SettingError(
            f"{format} holds no transparency, which {what} needs", hint=f"use {others}"
        )


def check_sides(size: tuple[int, int], format: str) -> None:
    """Check that a format can hold a picture of this size.

    Args:
        size: ``(height, width)`` in pixels.
        format: one of :data:`FORMATS`.

    Raises:
        OutputError: a side is too long.
    """
    limit = _MAX_SIDE_PX.get(format)
    if limit and max(size) > limit:
        raise OutputError(
            f"{format} holds at most {limit} pixels per side, the picture is {size[1]}×{size[0]}",
            hint="write png or tiff",
        )


def encode(
    file: BinaryIO, samples: Samples, format: str, *, recipe: str | None, quality: int
) -> None:
    """Encode a picture with an sRGB profile and its recipe.

    Args:
        file: empty, and seekable.
        samples: 16 bits per channel for png and tiff only; without alpha for jpeg.
        format: one of :data:`FORMATS`; see :func:`check_sides`.
        recipe: JSON text of at most 16 kB.
        quality: 1 to 100, for the lossy formats.

    Raises:
        OSError: the file cannot be written.
        OutputError: the encoder fails.
        MissingExtraError: the format needs a library that is not installed.
    """
    if samples.depth == 16:
        _encode_deep(file, samples, format, recipe)
        return
    options = {**_options(format, quality), **embed(recipe, format)}
    image, stream = _pillow_image(samples), cast(BinaryIO, _WriteOnly(file))
    try:
        with _buffer_for(image.size) if format == "jpeg" else nullcontext():
            image.save(stream, format.upper(), icc_profile=srgb_profile(), **options)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OutputError(f"the {format} encoder failed: {error}") from error


class _WriteOnly(io.BufferedIOBase):
    """A file without a descriptor.

    Given a descriptor, Pillow's libraries would write to it directly and lose the reason of an
    error.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


@contextmanager
def _buffer_for(size: tuple[int, int]) -> Iterator[None]:
    """Enlarge Pillow's buffer to hold any JPEG; its default is too small for noise."""
    with _buffer_size:
        before = ImageFile.MAXBLOCK
        ImageFile.MAXBLOCK = max(before, _MOST_JPEG_BYTES_PER_PX * size[0] * size[1])
        try:
            yield
        finally:
            ImageFile.MAXBLOCK = before


def _pillow_image(samples: Samples) -> Image.Image:
    height, width = samples.size
    image = Image.new("RGB" if samples.channels == 3 else "RGBA", (width, height))
    for rows, values in samples.bands():
        image.paste(Image.fromarray(values), (0, rows.start))
    return image


def _encode_deep(file: BinaryIO, samples: Samples, format: str, recipe: str | None) -> None:
    if format == "tiff":
        description = None if recipe is None else ascii_json(recipe)
        tiff.encode(file, samples, description=description, software=SOFTWARE)
        return
    texts = {"Software": SOFTWARE} | ({} if recipe is None else {KEYWORD: recipe})
    png16.encode(file, samples, profile=srgb_profile(), texts=texts)


def _options(format: str, quality: int) -> dict[str, Any]:
    # No chroma subsampling wherever there is a choice: it would blur fine coloured strokes.
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"quality": quality, "subsampling": 0, "optimize": True, "progressive": True},
        "webp": {"quality": quality},
        "avif": {"quality": quality, "subsampling": "4:4:4"},
        "tiff": {"compression": "tiff_adobe_deflate"},
    }
    return options.get(format, {})


def write_picture(  # noqa: PLR0913 (what decides a file)
    target: Path | BinaryIO,
    pixels: Tensor,
    *,
    alpha: Tensor | None = None,
    recipe: str | None = None,
    format: str | None = None,
    depth: int = 8,
    quality: int = 95,
    token: str | None = None,
    overwrite: bool = True,
    numbered: bool = True,
    follow_links: bool = True,
) -> Path | None:
    """Write a picture, completely or not at all, with an sRGB profile and its recipe.

    Large pictures are converted and written band by band;
    :func:`stylize.planning.memory.saving_bytes` estimates the memory that this takes.

    Args:
        target: a file, or a stream, which is not closed.
        pixels: ``(1, 3, H, W)`` sRGB; values outside [0, 1] are clamped.
        alpha: ``(1, 1, H, W)`` in [0, 1]; a JPEG gets the picture over white instead.
        recipe: JSON text of at most 16 kB.
        format: ``png jpeg webp avif tiff``; by default as the suffix says, png for a stream.
        depth: bits per channel, 8 or 16; values are rounded to the nearest.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        token, overwrite, numbered, follow_links: of a file, see
            :func:`stylize.images.atomic.new_file`.

    Returns:
        The file that was written; None for a stream.

    Raises:
        ValueError: a tensor has another shape.
        NumericalError: a value is not finite.
        SettingError: the format is unknown or lacks the depth, or the quality is out of range.
        OutputError: unknown suffix, recipe too long, or the system refuses to write.
        MissingExtraError: 16-bit TIFF without tifffile.
    """
    format = format or (format_of(target) if isinstance(target, Path) else "png")
    check_request(format, depth=depth, quality=quality)
    if recipe is not None:
        check_recipe(recipe)
    samples = Samples(pixels, alpha, depth=depth, over_white=format in WITHOUT_ALPHA)
    check_sides(samples.size, format)
    if isinstance(target, Path):
        with (
            new_file(
                target,
                overwrite=overwrite,
                numbered=numbered,
                token=token,
                follow_links=follow_links,
            ) as new,
            new.partial.open("wb") as file,
        ):
            encode(file, samples, format, recipe=recipe, quality=quality)
        return new.final
    buffer = io.BytesIO()
    encode(buffer, samples, format, recipe=recipe, quality=quality)
    write_stream(target, buffer.getbuffer())
    return None


def write_stream(target: BinaryIO, data: memoryview | bytes) -> None:
    """Write all of the data to a stream.

    Raises:
        OutputError: the stream takes no more, or the system refuses.
    """
    try:
        # A raw stream may write less than it is given; stdout is one under PYTHONUNBUFFERED.
        while data:
            written = target.write(data)
            if not written:
                raise OutputError("cannot write to the stream: it takes no more")
            data = data[written:]
        target.flush()
    except OSError as error:
        raise OutputError(f"cannot write to the stream: {error.strerror or error}") from error
