"""Picture files made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image


def _encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _raw_png(
    width: int, height: int, bits: int, colour_type: int, data: bytes, *extra: tuple[bytes, bytes]
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """``encoded(image, format, **options)``: the bytes of a file that Pillow writes."""
    return _encoded


@pytest.fixture(scope="session")
def raw_png() -> Callable[..., bytes]:
    """``raw_png(width, height, bits, colour_type, rows, *chunks)``: a PNG written by hand."""
    return _raw_png
