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
from stylize.images import png16, tiff16
from stylize.images.atomic import replacing
from stylize.images.color_profiles import srgb_profile
from stylize.images.metadata import KEYWORD, SOFTWARE, ascii_json, check_recipe, embed
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

_MAX_SIDE_PX = {"jpeg": 65_500, "webp": 16_383, "avif": 65_536}  # of the encoders in use

# Noise at the highest quality takes 3.4; what is not filled is never touched.
_MOST_JPEG_BYTES_PER_PX = 6

# The size of Pillow's buffers belongs to the whole process.
_roomy = threading.Lock()


def format_of(path: Path) -> str:
    """The format that a file's suffix stands for.

    Raises:
        OutputError: it stands for none that can be written.
    """
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        what = f"suffix '{path.suffix}'" if path.suffix else "name without a suffix"
        raise OutputError(
            f"{path.name}: no picture format for a {what}", hint=f"use {' '.join(_SUFFIXES)}"
        )
    return format


def check_request(format: str, *, depth: int, quality: int) -> None:
    """Refuse what no encoder can do, before there is anything to encode.

    Raises:
        SettingError: unknown format, depth or quality, or a format that lacks the depth.
    """
    if format not in FORMATS:
        raise SettingError(f"no such picture format: '{format}'", hint=f"use {' '.join(FORMATS)}")
    if depth not in (8, 16):
        raise SettingError(f"the depth is 8 or 16 bits a channel, not {depth}")
    if depth == 16 and format not in DEEP_FORMATS:
        raise SettingError(
            f"{format} holds 8 bits a channel, not 16", hint=f"use {' or '.join(DEEP_FORMATS)}"
        )
    if not 1 <= quality <= 100:
        raise SettingError(f"the quality is 1 to 100, not {quality}")


def check_sides(size: tuple[int, int], format: str) -> None:
    """Refuse a picture that a format cannot hold.

    Args:
        size: ``(height, width)`` in pixels.
        format: one of :data:`FORMATS`.

    Raises:
        OutputError: a side is too long.
    """
    limit = _MAX_SIDE_PX.get(format)
    if limit and max(size) > limit:
        raise OutputError(
            f"{format} holds at most {limit} pixels a side, the picture is {size[1]}×{size[0]}",
            hint="write png or tiff",
        )


def encode(
    file: BinaryIO, samples: Samples, format: str, *, recipe: str | None, quality: int
) -> None:
    """Write a picture with an sRGB profile and its recipe.

    Args:
        file: empty, and seekable.
        samples: 16 bits deep for png and tiff only; without alpha for jpeg.
        format: one of :data:`FORMATS`, whose sides are long enough.
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
    image, outlet = _pillow_image(samples), cast(BinaryIO, _Outlet(file))
    try:
        with _room_for(image.size) if format == "jpeg" else nullcontext():
            image.save(outlet, format.upper(), icc_profile=srgb_profile(), **options)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OutputError(f"the {format} encoder failed: {error}") from error


class _Outlet(io.BufferedIOBase):
    """A file that can only be written to.

    Were Pillow given the file itself, its libraries would write to it by number, and would not
    say why they could not.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Hand bytes on to the file."""
        return self._file.write(data)


@contextmanager
def _room_for(size: tuple[int, int]) -> Iterator[None]:
    """Let Pillow's buffer hold any JPEG; what it grants one by itself is too little for noise."""
    with _roomy:
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
        tiff16.encode(file, samples, description=description, software=SOFTWARE)
        return
    texts = {"Software": SOFTWARE} | ({} if recipe is None else {KEYWORD: recipe})
    png16.encode(file, samples, profile=srgb_profile(), texts=texts)


def _options(format: str, quality: int) -> dict[str, Any]:
    """4:4:4 wherever there is a choice: stylised pictures live on fine coloured strokes."""
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"quality": quality, "subsampling": 0, "optimize": True, "progressive": True},
        "webp": {"quality": quality},
        "avif": {"quality": quality, "subsampling": "4:4:4"},
        "tiff": {"compression": "tiff_adobe_deflate"},
    }
    return options.get(format, {})


def write_picture(
    target: Path | BinaryIO,
    pixels: Tensor,
    *,
    alpha: Tensor | None = None,
    recipe: str | None = None,
    format: str | None = None,
    depth: int = 8,
    quality: int = 95,
    token: str | None = None,
) -> None:
    """Write a picture, whole or not at all, with an sRGB profile and its recipe.

    Large pictures are converted and written piece by piece; what that takes beside ``pixels`` is
    told by :func:`stylize.images.saving_bytes`.

    Args:
        target: a file, replaced if it exists; or a stream, which is not closed.
        pixels: ``(1, 3, H, W)`` sRGB; values outside [0, 1] are clamped.
        alpha: ``(1, 1, H, W)`` in [0, 1]; a JPEG gets the picture over white instead.
        recipe: JSON text of at most 16 kB.
        format: ``png jpeg webp avif tiff``; by default as the suffix says, png for a stream.
        depth: bits a channel, 8 or 16; values are rounded to the nearest.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        token: of the temporary file, see :func:`stylize.images.atomic.replacing`; not of a stream.

    Raises:
        ValueError: the tensors have other shapes.
        NumericalError: a value is not finite.
        SettingError: the format is unknown or has not this depth, the quality is out of range.
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
        with replacing(target, token=token) as partial, partial.open("wb") as file:
            encode(file, samples, format, recipe=recipe, quality=quality)
    else:
        buffer = io.BytesIO()
        encode(buffer, samples, format, recipe=recipe, quality=quality)
        _write_stream(target, buffer.getbuffer())


def _write_stream(target: BinaryIO, data: memoryview) -> None:
    try:
        target.write(data)
        target.flush()
    except OSError as error:
        raise OutputError(f"cannot write the picture: {error.strerror or error}") from error
