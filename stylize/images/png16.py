"""PNG with 16 bits per channel.

Pillow has no colour mode above 8 bits per channel, and the libraries that write such files depend
on OpenCV or a bundle of codecs. The format needs only four kinds of chunks and deflate.

Reference:
    Portable Network Graphics Specification (Third Edition), W3C.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stylize.images.samples import Samples

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_COLOUR_TYPE = {3: 2, 4: 6}  # by number of channels

_FILTER_UP = 2

_LEVEL = 6

_LEAST_PIECE_BYTES = 2**16


def encode(file: BinaryIO, samples: Samples, *, profile: bytes, texts: Mapping[str, str]) -> None:
    """Write a PNG file, band by band.

    Args:
        file: written from its current position.
        samples: 16 bits per channel; alpha not premultiplied.
        profile: ICC profile of the colours.
        texts: contents of iTXt chunks by keyword, of 1 to 79 Latin-1 letters.
    """
    height, width = samples.size
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPE[samples.channels], 0, 0, 0)
    file.write(_SIGNATURE)
    file.write(chunk(b"IHDR", header))
    file.write(chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    for key, text in texts.items():
        file.write(chunk(b"iTXt", _international(key, text)))
    for data in _compressed(samples):
        file.write(chunk(b"IDAT", data))
    file.write(chunk(b"IEND", b""))


def _compressed(samples: Samples) -> Iterator[bytes]:
    """Compress the rows to one deflate stream, in pieces."""
    deflate, piece = zlib.compressobj(_LEVEL), b""
    above = np.zeros((1, samples.size[1] * samples.channels * 2), dtype=np.uint8)
    for _, values in samples.bands():
        rows = values.astype(">u2").view(np.uint8).reshape(len(values), -1)
        piece += deflate.compress(_filtered(rows, above))
        if len(piece) >= _LEAST_PIECE_BYTES:
            yield piece
            piece = b""
        above = rows[-1:]
    yield piece + deflate.flush()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Frame the data of one PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _international(keyword: str, text: str) -> bytes:
    """Format an iTXt chunk: uncompressed, without language and translated keyword."""
    return keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8]) -> bytes:
    """Apply filter 2, the byte-wise difference from the row above, and prefix its number."""
    filtered = np.empty((len(rows), rows.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0] = _FILTER_UP
    np.subtract(rows[:1], above, out=filtered[:1, 1:])
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered.tobytes()
