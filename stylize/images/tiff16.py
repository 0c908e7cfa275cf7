"""Colour TIFF with 16 bits per channel, which Pillow reads at 8 and cannot write."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, TiffImagePlugin

from stylize.errors import PictureError
from stylize.extras import optional_module
from stylize.images.color_profiles import is_srgb, srgb_profile
from stylize.images.samples import Samples, row_bands

_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274

_PHOTOMETRIC_RGB = 2

_STRIP_BYTES = 2**18  # before compression: what other programs write too


def is_deep_rgb(image: ImageFile.ImageFile) -> bool:
    """Return whether an opened picture is a 16-bit RGB TIFF without a profile to apply.

    Profiles are applied at 8 bits, so a picture that has one gains nothing from 16.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    profile = image.info.get("icc_profile")
    return (
        image.tag_v2.get(_PHOTOMETRIC) == _PHOTOMETRIC_RGB
        and set(image.tag_v2.get(_BITS_PER_SAMPLE, ())) == {16}
        and (not profile or is_srgb(profile))
    )


def read(image: ImageFile.ImageFile, title: str) -> NDArray[np.uint16]:
    """Decode the first page at full depth, upright.

    Args:
        image: opened, for which :func:`is_deep_rgb` holds; within the pixel limit.
        title: the name of the picture in error messages.

    Returns:
        ``(H, W, 3 or 4)``, not premultiplied.

    Raises:
        PictureError: the compression or the channels are not supported.
        MissingExtraError: tifffile is not installed.
    """
    tifffile, stream = _tifffile(), cast(BinaryIO, image.fp)
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = file.pages[0]
        size = page.imagelength * page.imagewidth
        if size != image.height * image.width or page.imagedepth != 1:
            raise ValueError("two readers see two sizes")
        values = _decoded(page, title)
        orientation = page.tags.valueof(_ORIENTATION, 1)
        if values.shape[-1] == 4 and int(page.extrasamples[0]) == 1:
            _unassociate(values)
    return _upright(values, orientation)


def _upright(values: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
    """Follow EXIF's orientation, ``(H, W, channels)``; a number that does not exist is ignored."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values[::-1] if orientation in (3, 4, 7, 8) else values


def encode(file: BinaryIO, samples: Samples, *, description: str | None, software: str) -> None:
    """Write a TIFF file with an sRGB profile, strip by strip.

    Args:
        file: empty, and seekable.
        samples: 16 bits per channel; alpha not premultiplied.
        description: ASCII text for the ImageDescription.
        software: ASCII text for the Software tag.

    Raises:
        MissingExtraError: tifffile is not installed.
    """
    height, width = samples.size
    strip = max(1, _STRIP_BYTES // (2 * samples.channels * width))
    _tifffile().imwrite(
        file,
        _strips(samples, strip),
        shape=(height, width, samples.channels),
        dtype=np.uint16,
        byteorder="<",
        photometric="rgb",
        extrasamples=["unassalpha"] if samples.channels == 4 else None,
        compression="zlib",
        predictor=True,
        rowsperstrip=strip,
        iccprofile=srgb_profile(),
        description=description,
        software=software,
        metadata=None,
    )


def _strips(samples: Samples, strip: int) -> Iterator[bytes]:
    """Compress strips of rows with deflate and TIFF's predictor 2: differences between pixels."""
    for top in range(0, samples.size[0], strip):
        values = samples.rows(slice(top, top + strip))
        values[:, 1:] -= values[:, :-1].copy()
        yield zlib.compress(values.astype("<u2").tobytes())


def _tifffile() -> Any:
    return optional_module("tifffile", what="16-bit TIFF", requirement="tifffile")


def _decoded(page: Any, title: str) -> NDArray[np.uint16]:
    try:
        values = page.asarray()
    except KeyError as error:  # this is how tifffile reports a codec that is missing
        raise PictureError(
            f"{title} is a 16-bit TIFF with the compression {page.compression.name}, which is not"
            " read",
            hint="pip install imagecodecs, or save it uncompressed",
        ) from error
    planar = page.axes.startswith("S")
    values = np.moveaxis(values, 0, -1) if planar else values
    if values.ndim != 3 or values.dtype != np.uint16 or values.shape[-1] not in (3, 4):
        raise PictureError(f"{title} has more channels than red, green, blue and alpha")
    return np.asarray(values)


def _unassociate(values: NDArray[np.uint16]) -> None:
    """Divide premultiplied colours by their alpha, in place."""
    for rows in row_bands(values.shape[:2]):
        band = values[rows].astype(np.uint32)
        alpha = np.maximum(band[..., 3:], 1)
        colour = (band[..., :3] * 65535 + alpha // 2) // alpha
        values[rows, :, :3] = np.minimum(colour, 65535)
