"""How a finished picture leaves the program."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stylize.errors import OutputError
from stylize.images.atomic import replacing
from stylize.images.encoding import WITHOUT_ALPHA, check_request, check_sides, encode, format_of
from stylize.images.metadata import check_recipe
from stylize.images.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


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
