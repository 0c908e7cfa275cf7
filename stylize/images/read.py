"""Read pictures: from an opened file to ``(1, 3, H, W)`` float32 sRGB in [0, 1]."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile
from torch import Tensor

from stylize.errors import PictureError
from stylize.images import tiff16
from stylize.images.color_profiles import srgb_converter
from stylize.images.open import opened, pixel_limit, printable
from stylize.images.samples import row_bands

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

# By EXIF orientation: the planes as the file stores them, seen in the upright ones. The last two
# axes are height and width.
_AS_STORED: dict[int, Callable[[Plane], Plane]] = {
    1: lambda planes: planes,
    2: lambda planes: planes[..., ::-1],
    3: lambda planes: planes[..., ::-1, ::-1],
    4: lambda planes: planes[..., ::-1, :],
    5: lambda planes: planes.swapaxes(-1, -2),
    6: lambda planes: planes.swapaxes(-1, -2)[..., ::-1, :],
    7: lambda planes: planes.swapaxes(-1, -2)[..., ::-1, ::-1],
    8: lambda planes: planes.swapaxes(-1, -2)[..., ::-1],
}

_LYING = {5, 6, 7, 8}


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
    if tiff16.is_deep_rgb(image):
        planes = _deep_colour(*tiff16.read(image))
    else:
        _load(image)
        # Read after loading: Pillow turns a TIFF upright by itself, and then drops the tag.
        planes = _Planes((image.height, image.width), _orientation(image))
        deep = image.mode == "F" or image.mode.startswith("I")
        (_fill_deep_grey if deep else _fill_eight_bit)(planes, image, notes)
    if planes.alpha is not None:
        _cover_hidden(planes.colour, planes.alpha)
    return Raster(planes.colour, planes.alpha)


def _load(image: ImageFile.ImageFile) -> None:
    image.load()
    if vars(image).get("_decoder") is not None:  # WebP's and AVIF's, with three copies of its own
        vars(image).update(_decoder=None, fp=None)


class _Planes:
    """Upright planes, filled band by band with what the file stores.

    Turned while they are filled, since a picture and its turned copy would take twice the memory;
    and stored in order, since torch takes no negative strides.

    Args:
        size: ``(height, width)`` as stored.
        orientation: EXIF's number; 1 for one that does not exist.

    Attributes:
        colour: ``(3, H, W)`` float32, upright.
        alpha: ``(H, W)`` float32, upright; None while all that came was opaque.
    """

    def __init__(self, size: tuple[int, int], orientation: int) -> None:
        self.bands = row_bands(size)
        self._size = size[::-1] if orientation in _LYING else size
        self._as_stored = _AS_STORED[orientation if orientation in _AS_STORED else 1]
        self.colour = np.empty((3, *self._size), dtype=np.float32)
        self.alpha: Plane | None = None

    def put(self, rows: slice, values: NDArray[Any], full_scale: float) -> None:
        """Colours of some stored rows, ``(rows, W, 3)``, or ``(rows, W, 1)`` for grey."""
        stored = self._as_stored(self.colour)
        for index, plane in enumerate(stored):
            channel = values[..., index % values.shape[-1]]
            np.divide(channel, np.float32(full_scale), out=plane[rows])

    def put_alpha(self, rows: slice, values: NDArray[Any], full_scale: float) -> None:
        """Alpha of some stored rows, ``(rows, W)``."""
        if self.alpha is None:
            if values.min() >= full_scale:
                return
            self.alpha = np.ones(self._size, dtype=np.float32)
        np.divide(values, np.float32(full_scale), out=self._as_stored(self.alpha)[rows])


def _cover_hidden(colour: Plane, alpha: Plane) -> None:
    """Composite over the mean visible colour, in place.

    Pixels nobody sees may hold any colour; it must reach neither the network nor its statistics.
    """
    visible = alpha.sum()
    for plane in colour:
        np.multiply(plane, alpha, out=plane)
        mean = np.float32(plane.sum() / visible) if visible else np.float32(0.5)
        for rows in row_bands(alpha.shape):
            plane[rows] += mean * (1 - alpha[rows])


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken metadata must not cost the picture
        return 1


def _band(image: Image.Image, rows: slice) -> Image.Image:
    return image.crop((0, rows.start, image.width, rows.stop))


def _deep_colour(values: NDArray[np.uint16], orientation: int) -> _Planes:
    planes = _Planes(values.shape[:2], orientation)
    for rows in planes.bands:
        planes.put(rows, values[rows, :, :3], 65535)
        if values.shape[-1] == 4:
            planes.put_alpha(rows, values[rows, :, 3], 65535)
    return planes


def _fill_eight_bit(planes: _Planes, image: Image.Image, notes: list[str]) -> None:
    with_alpha = None
    if image.has_transparency_data:
        with_alpha = "LA" if image.mode in _GREY_MODES else "RGBA"
    mode = _OPAQUE_MODE.get(with_alpha or image.mode)
    if mode is None:
        raise PictureError(f"is of colour mode {image.mode}, which is not read")
    to_srgb = srgb_converter(mode, image.info.get("icc_profile"), notes)
    for rows in planes.bands:
        band = _band(image, rows)
        if with_alpha:
            band = band.convert(with_alpha)
            planes.put_alpha(rows, np.asarray(band.getchannel("A")), 255)
        planes.put(rows, np.asarray(to_srgb(band.convert(mode))), 255)


def _fill_deep_grey(planes: _Planes, image: Image.Image, notes: list[str]) -> None:
    """Grey of more than 8 bits, which Pillow itself would cut off at 255."""
    key = image.info.get("transparency")
    if image.info.get("icc_profile"):
        notes.append("colour profile of a grey picture above 8 bits not applied, taken as sRGB")
    full_scale = 1 if image.mode == "F" else 65535
    beyond = False
    for rows in planes.bands:
        values = np.asarray(_band(image, rows))
        if isinstance(key, int):
            planes.put_alpha(rows, values != key, 1)
        if not np.isfinite(values).all():
            raise PictureError("holds values that are not finite")
        beyond = beyond or values.min() < 0 or values.max() > full_scale
        if beyond and full_scale > 1:
            raise PictureError("holds grey values of 32 bits", hint="save it with 16 bits")
        planes.put(rows, values.clip(0, full_scale)[..., None], full_scale)
    if beyond:
        notes.append("values outside 0 to 1 were cut off")


_MANY_FRAMES = {"GIF", "PNG", "WEBP", "AVIF"}


@dataclass(frozen=True)
class Picture:
    """A decoded picture: upright, sRGB, with its transparency set aside.

    Attributes:
        pixels: ``(1, 3, H, W)`` float32 RGB in [0, 1]; where the file is transparent, the mean of
            its visible colour shows through.
        alpha: ``(1, 1, H, W)`` float32 in [0, 1]; None when opaque everywhere.
        name: the file's name without its folders and without control characters.
        sha256: hexadecimal digest of the file's bytes.
        notes: what a user may want to know of how it was read.
    """

    pixels: Tensor
    alpha: Tensor | None
    name: str
    sha256: str
    notes: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @property
    def nbytes(self) -> int:
        """Memory of the pixels, with their transparency."""
        return self.pixels.nbytes + (0 if self.alpha is None else self.alpha.nbytes)


def read_picture(
    source: Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF or HEIC picture, told by its content.

    Args:
        source: a file, or a file's content.
        name: what to call it; by default the file's own name.
        max_pixels: refuse more pixels than this before decoding; by default the limit in force,
            see :func:`~stylize.images.set_pixel_limit`.

    Raises:
        PictureError: missing, unreadable, no picture, too large, damaged.
        MissingExtraError: the format needs a library that is not installed.
    """
    given = name if name is not None else "" if isinstance(source, bytes) else str(source)
    title = printable(given) or "the picture"
    notes: list[str] = []
    limit = pixel_limit() if max_pixels is None else max_pixels
    with opened(source, title=title, max_pixels=limit) as image:
        stream = cast(
            io.BufferedReader, image.fp
        )  # some readers let go of it once they have decoded
        notes.extend(_frame_notes(image))
        raster = decode(image, notes)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    pixels, alpha = _tensors(raster)
    return Picture(pixels, alpha, _base_name(given), digest, tuple(notes))


def _base_name(path: str) -> str:
    return printable(re.split(r"[/\\]", path)[-1]) or "picture"


def _frame_notes(image: ImageFile.ImageFile) -> list[str]:
    frames = getattr(image, "n_frames", 1)
    if frames < 2:
        return []
    if image.format in _MANY_FRAMES:
        return [f"animated, {frames} frames: took the first"]
    return [f"holds {frames} pictures: took the first"]


def _tensors(raster: Raster) -> tuple[Tensor, Tensor | None]:
    alpha = None if raster.alpha is None else torch.from_numpy(raster.alpha)[None, None]
    return torch.from_numpy(raster.colour)[None], alpha
