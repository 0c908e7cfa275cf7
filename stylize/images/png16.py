"""PNG with 16 bits a channel.

Pillow has no colour mode above 8 bits a channel, and the libraries that write such files bring
OpenCV or a bundle of codecs. The format asks for four chunks and a deflate.

Reference:
    Portable Network Graphics Specification (Third Edition), W3C.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE = {3: 2, 4: 6}  # by number of channels
_FILTER_UP = 2
_LEVEL = 6


def encode(values: NDArray[np.uint16], *, profile: bytes, texts: Mapping[str, str]) -> bytes:
    """A PNG file.

    Args:
        values: ``(H, W, 3 or 4)``; the fourth channel is alpha, not premultiplied.
        profile: ICC profile of the colours.
        texts: what to put in iTXt chunks, by keyword of 1 to 79 Latin-1 letters.
    """
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPE[channels], 0, 0, 0)
    return b"".join(
        [
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)),
            *(_chunk(b"iTXt", _international(key, text)) for key, text in texts.items()),
            _chunk(b"IDAT", zlib.compress(_filtered(values), _LEVEL)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _international(keyword: str, text: str) -> bytes:
    """Uncompressed, of no language, its keyword not translated."""
    return keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()


def _filtered(values: NDArray[np.uint16]) -> bytes:
    """Every row as its byte-wise difference from the one above, each behind its filter's number."""
    height = values.shape[0]
    rows = values.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered.tobytes()
