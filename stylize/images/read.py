"""Read pictures: from a file to ``(1, 3, H, W)`` float32 sRGB in [0, 1].

torch is imported only to make tensors, so that pictures can be decoded without it.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from stylize.errors import PictureError
from stylize.images import raw, tiff
from stylize.images.color_profiles import srgb_converter
from stylize.images.crop import Crop
from stylize.images.dynamic_range import dynamic_range_notes
from stylize.images.open import opened, pixel_limit, printable
from stylize.images.orientation import load_upright
from stylize.images.samples import row_bands

if TYPE_CHECKING:
    from torch import Tensor

Plane = NDArray[np.float32]

_GREY_MODES = {"1", "L", "LA", "La"}

# What remains of a mode without its transparency.
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

_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}


@dataclass(frozen=True)
class Raster:
    """A decoded picture.

    Attributes:
        colour: ``(3, H, W)`` float32 sRGB in [0, 1].
        alpha: ``(H, W)`` float32 in [0, 1]; None when the picture is opaque everywhere.
    """

    colour: Plane
    alpha: Plane | None


def decode(image: ImageFile.ImageFile, notes: list[str], title: str = "the picture") -> Raster:
    """Decode the first frame: upright, in sRGB, with hidden colours replaced.

    Args:
        image: opened, not yet loaded.
        notes: receives what a user may want to know.
        title: the name of the picture in error messages.

    Raises:
        PictureError: the picture is of a kind that is not read.
        MissingExtraError: it needs a library that is not installed.
        Exception: whatever Pillow raises on damaged data.
    """
    notes.extend(dynamic_range_notes(image))
    if isinstance(image, raw.RawPicture):
        raster = Raster(raw.develop(image, title, notes), None)
    elif tiff.is_deep(image):
        colour, alpha = tiff.read(image, title, notes)
        raster = Raster(colour, None if alpha is None else _opacity(alpha, 1))
    else:
        load_upright(image, notes)
        if vars(image).get("_decoder") is not None:  # WebP's and AVIF's hold three more copies
            vars(image).update(_decoder=None, fp=None)
        is_deep = image.mode.startswith("I")
        raster = (_deep_grey if is_deep else _eight_bit)(image, notes, title)
    if raster.alpha is not None:
        cover_hidden(raster.colour, raster.alpha)
    return raster


def _eight_bit(image: Image.Image, notes: list[str], title: str) -> Raster:
    with_alpha = None
    if isinstance(image, TiffImagePlugin.TiffImageFile) and not tiff.declares_alpha(image):
        if image.mode in ("LA", "RGBA", "RGBX"):
            notes.append(tiff.UNDECLARED)
    elif image.has_transparency_data:
        with_alpha = "LA" if image.mode in _GREY_MODES else "RGBA"
    mode = _OPAQUE_MODE.get(with_alpha or image.mode)
    if mode is None:
        raise PictureError(
            f"{title} has the unsupported colour mode {image.mode}",
            hint="save it as RGB",
        )
    to_srgb = srgb_converter(mode, image.info.get("icc_profile"), notes)
    colour = np.empty((3, image.height, image.width), dtype=np.float32)
    alpha = np.empty(colour.shape[1:], dtype=np.uint8) if with_alpha else None
    for rows in row_bands(colour.shape[1:]):  # several converted copies of a poster are too much
        band = image.crop((0, rows.start, image.width, rows.stop))
        if alpha is not None:
            band = band.convert(with_alpha)
            alpha[rows] = band.getchannel("A")
        rgb = np.asarray(to_srgb(band.convert(mode)))
        np.divide(rgb.transpose(2, 0, 1), np.float32(255), out=colour[:, rows])
    return Raster(colour, None if alpha is None else _opacity(alpha, 255))


def _deep_grey(image: Image.Image, notes: list[str], title: str) -> Raster:
    """Read grey PNG of 16 bits, which Pillow itself would clip at 255."""
    key, values = image.info.pop("transparency", None), np.asarray(image)
    alpha = _opacity(values != key, 1) if isinstance(key, int) else None
    if image.info.get("icc_profile"):  # applied at 8 bits
        shallow = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
        shallow.info = image.info
        return Raster(_eight_bit(shallow, notes, title).colour, alpha)
    colour = np.empty((3, *values.shape), dtype=np.float32)
    np.divide(values, np.float32(65535), out=colour[0])
    colour[1:] = colour[0]
    return Raster(colour, alpha)


def _opacity(values: NDArray[Any], full_scale: float) -> Plane | None:
    """Scale alpha to [0, 1]; None when it is opaque everywhere."""
    if values.min() >= full_scale:
        return None
    alpha: Plane = np.divide(values, np.float32(full_scale), dtype=np.float32, order="C")
    return alpha


def cover_hidden(colour: Plane, alpha: Plane) -> None:
    """Give pixels that nobody sees the mean visible colour, in place.

    They may hold any colour, and it must not reach the network or its statistics. Pixels that show
    only a little keep their own, which the result must have where it is not painted.
    """
    bands, visible = list(row_bands(alpha.shape)), alpha.sum(dtype=np.float64)
    for plane in colour:
        total = sum(np.multiply(plane[rows], alpha[rows]).sum(dtype=np.float64) for rows in bands)
        mean = np.float32(total / visible) if visible else np.float32(0.5)
        for rows in bands:
            np.copyto(plane[rows], mean, where=alpha[rows] == 0)


@dataclass(frozen=True)
class Picture:
    """A decoded picture: upright, sRGB, with its transparency set aside.

    Attributes:
        pixels: ``(1, 3, H, W)`` float32 RGB in [0, 1]; where nothing of the file is visible, the
            mean of its visible colours.
        alpha: ``(1, 1, H, W)`` float32 in [0, 1]; None when opaque everywhere.
        name: the file's name without its folders and without control characters.
        sha256: hexadecimal digest of the file's bytes.
        notes: what a user may want to know about how it was read.
        crop: the part of the file that the pixels show; None for all of it.
    """

    pixels: Tensor
    alpha: Tensor | None
    name: str
    sha256: str
    notes: tuple[str, ...]
    crop: Crop | None = None

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @property
    def nbytes(self) -> int:
        """Memory that the pixels and their transparency take."""
        return self.pixels.nbytes + (0 if self.alpha is None else self.alpha.nbytes)

    def cropped(self, crop: Crop) -> Picture:
        """Return a part of the whole picture, which shares its memory."""
        rows = slice(crop.top, crop.top + crop.height)
        columns = slice(crop.left, crop.left + crop.width)
        alpha = None if self.alpha is None else self.alpha[..., rows, columns]
        return replace(self, pixels=self.pixels[..., rows, columns], alpha=alpha, crop=crop)


@dataclass(frozen=True)
class Decoded:
    """A picture before torch is there.

    Attributes:
        raster: its pixels.
        name, sha256, notes: see :class:`Picture`.
    """

    raster: Raster
    name: str
    sha256: str
    notes: tuple[str, ...]

    def picture(self) -> Picture:
        """The same as tensors, which share the memory."""
        import torch  # noqa: PLC0415

        hidden = self.raster.alpha
        alpha = None if hidden is None else torch.from_numpy(hidden)[None, None]
        pixels = torch.from_numpy(self.raster.colour)[None]
        return Picture(pixels, alpha, self.name, self.sha256, self.notes)


def read_picture(
    source: Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF or HEIC picture, whatever its file is called.

    Args:
        source: a file, or a file's content.
        name: what to call it; by default the file's own name.
        max_pixels: refuse more pixels than this before decoding; by default the limit in force,
            see :func:`stylize.images.open.set_pixel_limit`.

    Raises:
        PictureError: missing, unreadable, no picture, too large, damaged.
        MissingExtraError: the format needs a library that is not installed.
    """
    return decode_file(source, name=name, max_pixels=max_pixels).picture()


def decode_file(
    source: Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> Decoded:
    """Read a picture without torch, see :func:`read_picture`."""
    given = name if name is not None else "" if isinstance(source, bytes) else str(source)
    title = printable(given) or "the picture"
    notes: list[str] = []
    limit = pixel_limit() if max_pixels is None else max_pixels
    with opened(source, title=title, max_pixels=limit) as image:
        stream = cast(io.BufferedReader, image.fp)  # some readers drop it once they have decoded
        notes.extend(_frame_notes(image))
        raster = decode(image, notes, title)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Decoded(raster, _base_name(given), digest, tuple(notes))


def _base_name(path: str) -> str:
    return printable(re.split(r"[/\\]", path)[-1]) or "picture"


def _frame_notes(image: ImageFile.ImageFile) -> list[str]:
    # Only whether there are others: to count the frames of a GIF or TIFF takes a walk through all.
    if image.format == "HEIF":
        several = getattr(image, "n_frames", 1) > 1
    else:
        several = bool(getattr(image, "is_animated", False))
    if not several or image.format == "MPO":  # a camera's second picture is a small copy
        return []
    if image.format in _ANIMATED:
        return ["animated: took the first frame"]
    return ["holds several pictures: took the first"]
