"""TIFF with 16 bits a channel in colour, which Pillow reads at 8 and cannot write."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, TiffImagePlugin

from stylize.errors import PictureError
from stylize.images.colour import is_srgb, srgb_profile
from stylize.images.extras import optional_module

_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_PHOTOMETRIC_RGB = 2


def is_deep_rgb(image: ImageFile.ImageFile) -> bool:
    """Whether an opened picture is a 16-bit RGB TIFF that has no profile to be applied.

    Profiles are applied at 8 bits; such a picture gains nothing from being read at 16.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    profile = image.info.get("icc_profile")
    return (
        image.tag_v2.get(_PHOTOMETRIC) == _PHOTOMETRIC_RGB
        and set(image.tag_v2.get(_BITS_PER_SAMPLE, ())) == {16}
        and (not profile or is_srgb(profile))
    )


def read(image: ImageFile.ImageFile) -> tuple[NDArray[np.uint16], int]:
    """Decode the first page at full depth.

    Args:
        image: opened, for which :func:`is_deep_rgb` holds; within the pixel limit.

    Returns:
        ``(H, W, 3 or 4)`` as stored, not premultiplied, and its EXIF orientation.

    Raises:
        PictureError: a predicate without subject: what the picture is or has that is not read.
        MissingExtraError: tifffile is not installed.
    """
    tifffile, stream = _tifffile(), cast(BinaryIO, image.fp)
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = file.pages[0]
        size = page.imagelength * page.imagewidth
        if size != image.height * image.width or page.imagedepth != 1:
            raise ValueError("two readers see two sizes")
        values = _decoded(page)
        orientation = page.tags.valueof(_ORIENTATION, 1)
        if values.shape[-1] == 4 and int(page.extrasamples[0]) == 1:
            values = _unassociated(values)
    return values, orientation


def encode(values: NDArray[np.uint16], *, description: str | None, software: str) -> bytes:
    """A TIFF file with an sRGB profile.

    Args:
        values: ``(H, W, 3 or 4)``; the fourth channel is alpha, not premultiplied.
        description: ASCII text for the ImageDescription.
        software: ASCII text for the Software tag.

    Raises:
        MissingExtraError: tifffile is not installed.
    """
    buffer = io.BytesIO()
    _tifffile().imwrite(
        buffer,
        values,
        photometric="rgb",
        extrasamples=["unassalpha"] if values.shape[-1] == 4 else None,
        compression="zlib",
        predictor=True,
        iccprofile=srgb_profile(),
        description=description,
        software=software,
        metadata=None,
    )
    return buffer.getvalue()


def _tifffile() -> Any:
    return optional_module("tifffile", what="16-bit TIFF", extra="tiff")


def _decoded(page: Any) -> NDArray[np.uint16]:
    try:
        values = page.asarray()
    except KeyError as error:  # tifffile's own way to say so
        raise PictureError(
            f"is a 16-bit TIFF with the compression {page.compression.name}, which is not read",
            hint="pip install imagecodecs, or save it uncompressed",
        ) from error
    planar = page.axes.startswith("S")
    values = np.moveaxis(values, 0, -1) if planar else values
    if values.ndim != 3 or values.dtype != np.uint16 or values.shape[-1] not in (3, 4):
        raise PictureError("has more channels than red, green, blue and alpha")
    return np.asarray(values)


def _unassociated(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    alpha = np.maximum(values[..., 3:], 1).astype(np.uint32)
    colour = np.minimum((values[..., :3].astype(np.uint32) * 65535 + alpha // 2) // alpha, 65535)
    return np.concatenate([colour.astype(np.uint16), values[..., 3:]], axis=-1)
