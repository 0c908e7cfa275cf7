"""How a finished picture leaves the program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stylize.errors import NumericalError, OutputError
from stylize.images.atomic import write_atomically
from stylize.images.encoding import WITHOUT_ALPHA, check_request, encode, format_of
from stylize.images.metadata import check_recipe

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
    planes = _planes(pixels, alpha, over_white=format in WITHOUT_ALPHA)
    data = encode(_quantised(planes, depth), format, recipe=recipe, quality=quality)
    if isinstance(target, Path):
        write_atomically(target, data, token=token)
    else:
        _write_stream(target, data)


def _planes(pixels: Tensor, alpha: Tensor | None, *, over_white: bool) -> NDArray[np.float32]:
    """``(3 or 4, H, W)``, finite; with ``over_white``, three channels that hide no colour."""
    colour = _finite(pixels, channels=3)
    if alpha is None:
        return colour
    opacity = _finite(alpha, channels=1)
    if opacity.shape[1:] != colour.shape[1:]:
        raise ValueError(f"alpha is {opacity.shape[1:]}, the picture {colour.shape[1:]}")
    if over_white:
        opacity = np.clip(opacity, 0, 1)
        return np.clip(colour, 0, 1) * opacity + (1 - opacity)
    return np.concatenate([colour, opacity])


def _finite(tensor: Tensor, *, channels: int) -> NDArray[np.float32]:
    if tensor.ndim != 4 or tensor.shape[:2] != (1, channels):
        raise ValueError(f"expected (1, {channels}, H, W), not {tuple(tensor.shape)}")
    values: NDArray[np.float32] = tensor.detach().cpu().float().numpy()[0]
    if not np.isfinite(values).all():
        raise NumericalError("the picture holds values that are not finite")
    return values


def _quantised(planes: NDArray[np.float32], depth: int) -> NDArray[Any]:
    """``(C, H, W)`` in [0, 1] to ``(H, W, C)`` integers, to the nearest, a plane at a time."""
    channels, height, width = planes.shape
    levels = 2**depth - 1
    values = np.empty((height, width, channels), dtype=np.uint8 if depth == 8 else np.uint16)
    for index, plane in enumerate(planes):
        values[..., index] = np.clip(plane, 0, 1) * levels + 0.5
    return values


def _write_stream(target: BinaryIO, data: bytes) -> None:
    try:
        target.write(data)
        target.flush()
    except OSError as error:
        raise OutputError(f"cannot write the picture: {error.strerror or error}") from error
