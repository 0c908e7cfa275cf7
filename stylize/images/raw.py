"""Camera raw: recognize it, and develop it with LibRaw."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, TiffImagePlugin

from stylize.errors import PictureError
from stylize.extras import optional_module
from stylize.images.samples import row_bands

# Where the file begins: (offset, signature).
_SIGNATURES = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"FOVb"),
    (0, b"\0MRM"),
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"MMOR"),
    (0, b"IIU\0"),
    (4, b"ftypcrx "),
    (6, b"HEAPCCDR"),
    (4, b"\x10\0\0\0CR\2"),
    (8, b"MMMMRaw"),
)

_COMPRESSION, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 259, 262, 330, 50706

_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892

# Compressions of Sony, Nikon, Samsung, Kodak and Pentax for what their sensors record.
_SENSOR_COMPRESSIONS = {32767, 32769, 32770, 34713, 65000, 65535}

_MOST_SUB_IFDS = 8

SRGB_CURVE = (2.4, 12.92)  # the power and the slope at black

DEVELOPED = "camera raw: developed with the camera's white balance"


class RawPicture(ImageFile.ImageFile):
    """A camera's raw file. Only its header is read; :func:`develop` decodes it."""

    format = "raw"

    def _open(self) -> None:
        assert self.fp is not None
        with _libraw(self.fp) as raw:
            sizes = raw.sizes
            size = (sizes.iwidth or sizes.width, sizes.iheight or sizes.height)
            self._size = size[::-1] if sizes.flip in (5, 6) else size
        self._mode = "RGB"


def is_raw_signature(head: bytes) -> bool:
    """Return whether the first bytes alone show that a file is camera raw."""
    if head[8:12] == b"IIII" and head[13:16] == b"waR":  # Phase One
        return True
    return any(head.startswith(magic, at) for at, magic in _SIGNATURES)


def is_raw(head: bytes, stream: BinaryIO) -> bool:
    """Return whether a file is camera raw, whatever small pictures it carries.

    Args:
        head: its first bytes.
        stream: the whole file; its position is restored.
    """
    if is_raw_signature(head):
        return True
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return False
    try:
        return any(_is_sensor_data(tags) for tags in _directories(head, stream))
    except Exception:  # a damaged file is for its reader to report
        return False
    finally:
        stream.seek(0)


def _directories(head: bytes, stream: BinaryIO) -> Iterator[TiffImagePlugin.ImageFileDirectory_v2]:
    """The first directory of a TIFF and those that it names."""
    header = head[:16] if 43 in head[2:4] else head[:8]
    first = TiffImagePlugin.ImageFileDirectory_v2(header)
    stream.seek(first.next)
    first.load(stream)
    yield first
    offsets = first.get(_SUB_IFDS, ())
    for offset in (offsets if isinstance(offsets, tuple) else (offsets,))[:_MOST_SUB_IFDS]:
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        stream.seek(offset)
        directory.load(stream)
        yield directory


def _is_sensor_data(tags: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    return (
        _DNG_VERSION in tags
        or tags.get(_PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW)
        or tags.get(_COMPRESSION) in _SENSOR_COMPRESSIONS
    )


def open_raw(stream: BinaryIO, title: str) -> RawPicture:
    """Open camera raw without decoding it.

    Raises:
        PictureError: LibRaw does not know the camera or its way to write.
        MissingExtraError: rawpy is not installed.
    """
    rawpy = optional_module("rawpy", what=f"{title}: developing camera raw", requirement="rawpy")
    try:
        return RawPicture(stream)
    except (rawpy.LibRawFileUnsupportedError, rawpy.NotSupportedError) as error:
        raise _unsupported(title) from error


def develop(image: RawPicture, title: str, notes: list[str]) -> NDArray[np.float32]:
    """Develop to sRGB with the camera's white balance, upright.

    Returns:
        ``(3, H, W)`` float32 in [0, 1].

    Raises:
        PictureError: LibRaw cannot develop what it opened.
    """
    rawpy = optional_module("rawpy", what="developing camera raw", requirement="rawpy")
    assert image.fp is not None
    with _libraw(image.fp) as raw:
        try:
            developed = raw.postprocess(
                use_camera_wb=True,
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=SRGB_CURVE,
            )
        except (rawpy.LibRawFileUnsupportedError, rawpy.NotSupportedError) as error:
            raise _unsupported(title) from error
    notes.append(DEVELOPED)
    colour = np.empty((3, *developed.shape[:2]), dtype=np.float32)
    for rows in row_bands(developed.shape[:2]):
        np.divide(developed[rows].transpose(2, 0, 1), np.float32(65535), out=colour[:, rows])
    return colour


def _unsupported(title: str) -> PictureError:
    return PictureError(
        f"{title} is camera raw of a kind that LibRaw does not read, or damaged",
        hint="convert it to TIFF or JPEG with the camera's program",
    )


@contextmanager
def _libraw(stream: Any) -> Iterator[Any]:
    rawpy = optional_module("rawpy", what="developing camera raw", requirement="rawpy")
    stream.seek(0)
    name = getattr(stream, "name", None)
    # LibRaw reads a named file piece by piece, and any other stream as a whole.
    with rawpy.imread(name if isinstance(name, str) else io.BytesIO(stream.read())) as raw:
        yield raw
