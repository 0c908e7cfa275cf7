"""Turn pictures upright as EXIF says."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

from stylize.images import jpeg

SIDEWAYS = (5, 6, 7, 8)

_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Plane = NDArray[np.float32]


def orientation_number(value: Any) -> int:
    """Read an orientation of any type, such as BYTE instead of SHORT; 1 if there is none."""
    if isinstance(value, bytes):
        digit = value.strip(b"\0")
        value = digit if digit.isdigit() else int.from_bytes(digit[:1] or b"\1", "big")
    elif isinstance(value, tuple):
        value = value[0] if value else 1
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return 1
    return number if number in _METHODS else 1


def orientation(image: Image.Image) -> int:
    """Return the orientation of an opened picture, 1 to 8; broken metadata counts as upright."""
    with suppress(Exception):
        return orientation_number(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def is_sideways(image: Image.Image) -> bool:
    """Return whether decoding exchanges the height and width of an opened picture.

    For a PNG without EXIF before its pixels the answer is no: it would have to be decoded to look
    behind them.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return False
    return _turn(image) in SIDEWAYS


def _turn(image: Image.Image) -> int:
    """What remains to be turned: Pillow turns a TIFF by itself if its orientation is a SHORT."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and isinstance(
        image.tag_v2.get(ExifTags.Base.Orientation), int
    ):
        return 1
    return orientation(image)


def load_upright(image: Image.Image, notes: list[str]) -> None:
    """Decode a picture and turn it upright, in place, see :func:`stylize.images.jpeg.load`."""
    turn = _turn(image)
    jpeg.load(image, notes)
    method = _METHODS.get(turn)
    if method is not None:
        image.im = image.im.transpose(method)
        vars(image)["_size"] = image.im.size


def upright(values: Plane, turn: int) -> Plane:
    """Turn the last two axes of an array, rows and columns."""
    if turn in SIDEWAYS:
        values = values.swapaxes(-1, -2)
    if turn in (2, 3, 6, 7):
        values = values[..., ::-1]
    if turn in (3, 4, 7, 8):
        values = values[..., ::-1, :]
    return np.ascontiguousarray(values)
