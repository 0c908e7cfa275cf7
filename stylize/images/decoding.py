"""From an opened Pillow image to planes of numbers, whatever its mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from stylize.errors import PictureError
from stylize.images import deep_tiff
from stylize.images.colour import in_srgb

Plane = NDArray[np.float32]

_GREY_MODES = {"1", "L", "LA", "La"}

# What is left of a mode once its transparency is taken out.
_OPAQUE_MODE = {
    "1": "L",
    "L": "L",
    "LA": "L",
    "P": "RGB",
    "RGB": "RGB",
    "RGBA": "RGB",
    "RGBX": "RGB",
    "YCbCr": "RGB",
    "CMYK": "CMYK",
}

# By EXIF orientation; the last two axes are height and width.
_UPRIGHT: dict[int, Callable[[Plane], Plane]] = {
    2: lambda planes: planes[..., ::-1],
    3: lambda planes: planes[..., ::-1, ::-1],
    4: lambda planes: planes[..., ::-1, :],
    5: lambda planes: planes.swapaxes(-1, -2),
    6: lambda planes: planes.swapaxes(-1, -2)[..., ::-1],
    7: lambda planes: planes.swapaxes(-1, -2)[..., ::-1, ::-1],
    8: lambda planes: planes.swapaxes(-1, -2)[..., ::-1, :],
}


@dataclass(frozen=True)
class Raster:
    """A decoded picture.

    Attributes:
        colour: ``(3, H, W)`` float32 sRGB in [0, 1].
        alpha: ``(H, W)`` float32 in [0, 1]; None when the picture is opaque everywhere.
    """

    colour: Plane
    alpha: Plane | None


def decode(image: ImageFile.ImageFile, notes: list[str]) -> Raster:
    """Decode the first frame: upright, in sRGB, hidden colours covered.

    Args:
        image: opened, not yet loaded.
        notes: is told what a user may want to know.

    Raises:
        PictureError: a predicate without subject: what the picture is or holds that is not read.
        MissingExtraError: it needs a library that is not installed.
        Exception: whatever Pillow raises on damaged data.
    """
    if deep_tiff.is_deep_rgb(image):
        values, orientation = deep_tiff.read(image)
        colour, alpha = _planes(values[..., :3]), None
        if values.shape[-1] == 4:
            alpha = _planes(values[..., 3:])[0]
    else:
        image.load()
        # Read after loading: Pillow turns a TIFF upright by itself, and then drops the tag.
        orientation = _orientation(image)
        deep = image.mode == "F" or image.mode.startswith("I")
        colour, alpha = (_deep_grey if deep else _eight_bit)(image, notes)
    return _finished(colour, alpha, orientation)


def _finished(colour: Plane, alpha: Plane | None, orientation: int) -> Raster:
    if alpha is not None and alpha.min() == 1:
        alpha = None
    if alpha is not None:
        _cover_hidden(colour, alpha)
        alpha = _upright(alpha, orientation)
    return Raster(_upright(colour, orientation), alpha)


def _cover_hidden(colour: Plane, alpha: Plane) -> None:
    """Composite over the mean visible colour, in place.

    Pixels nobody sees may hold any colour; it must reach neither the network nor its statistics.
    """
    visible = bool(alpha.any())
    for index in range(len(colour)):
        mean = np.average(colour[index], weights=alpha) if visible else 0.5
        colour[index] *= alpha
        colour[index] += np.float32(mean) * (1 - alpha)


def _upright(planes: Plane, orientation: int) -> Plane:
    turn = _UPRIGHT.get(orientation)
    # A copy, since torch takes no negative strides, not even along an axis of length 1.
    return turn(planes).copy() if turn else planes


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken metadata must not cost the picture
        return 1


def _planes(values: NDArray[Any]) -> Plane:
    """``(H, W, C)`` unsigned integers to ``(C, H, W)`` float32 in [0, 1], a plane at a time."""
    height, width, channels = values.shape
    planes = np.empty((channels, height, width), dtype=np.float32)
    full_scale = np.float32(np.iinfo(values.dtype).max)
    for index, plane in enumerate(planes):
        np.divide(values[..., index], full_scale, out=plane)
    return planes


def _eight_bit(image: Image.Image, notes: list[str]) -> tuple[Plane, Plane | None]:
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in _GREY_MODES else "RGBA")
        alpha = _planes(np.asarray(image.getchannel("A"))[..., None])[0]
    if image.mode not in _OPAQUE_MODE:
        raise PictureError(f"is of colour mode {image.mode}, which is not read")
    image = in_srgb(image.convert(_OPAQUE_MODE[image.mode]), notes)
    return _planes(np.asarray(image)), alpha


def _deep_grey(image: Image.Image, notes: list[str]) -> tuple[Plane, Plane | None]:
    """Grey of more than 8 bits, which Pillow itself would cut off at 255."""
    values = np.asarray(image)
    key = image.info.get("transparency")
    alpha = (values != key).astype(np.float32) if isinstance(key, int) else None
    if image.info.get("icc_profile"):
        notes.append("colour profile of a grey picture above 8 bits not applied, taken as sRGB")
    grey = _unit_floats(values, notes) if image.mode == "F" else _unit_integers(values)
    return np.repeat(grey[None], 3, axis=0), alpha


def _unit_integers(values: NDArray[Any]) -> Plane:
    if values.min() < 0 or values.max() > 65535:
        raise PictureError("holds grey values of 32 bits", hint="save it with 16 bits")
    return values.astype(np.float32) / np.float32(65535)


def _unit_floats(values: NDArray[Any], notes: list[str]) -> Plane:
    if not np.isfinite(values).all():
        raise PictureError("holds values that are not finite")
    if values.min() < 0 or values.max() > 1:
        notes.append("values outside 0 to 1 were cut off")
    return values.astype(np.float32).clip(0, 1)
