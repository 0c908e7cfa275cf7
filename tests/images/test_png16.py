from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from stylize.images import png16
from stylize.images.samples import Samples


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every chunk of a PNG, its checksum verified."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length) == (zlib.crc32(body),)
        chunks.append((body[:4], body[4:]))
        place += 12 + length
    return chunks


def _decode(data: bytes) -> np.ndarray:
    """Straight from the specification: byte by byte, row by row, filters None and Up."""
    chunks = dict(_chunks(data))
    width, height, bits, colour_type, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (bits, rest) == (16, [0, 0, 0])
    channels = {2: 3, 6: 4}[colour_type]
    stride = width * channels * 2
    stream = zlib.decompress(chunks[b"IDAT"])
    assert len(stream) == height * (stride + 1)
    above, rows = bytes(stride), []
    for start in range(0, len(stream), stride + 1):
        kind, row = stream[start], stream[start + 1 : start + 1 + stride]
        assert kind in (0, 2)
        above = bytes((a + b) % 256 for a, b in zip(row, above, strict=True)) if kind else row
        rows.append(above)
    return np.frombuffer(b"".join(rows), ">u2").reshape(height, width, channels)


def _encoded(values: np.ndarray, **options) -> bytes:
    planes = torch.from_numpy(np.moveaxis(values, -1, 0)[None].astype(np.float32)) / 65535
    alpha = planes[:, 3:] if values.shape[-1] == 4 else None
    samples = Samples(planes[:, :3], alpha, depth=16, over_white=False)
    stream = io.BytesIO()
    png16.encode(stream, samples, **options)
    return stream.getvalue()


SHAPES = st.tuples(array_shapes(min_dims=2, max_dims=2, max_side=7), st.sampled_from([3, 4])).map(
    lambda parts: (*parts[0], parts[1])
)


@given(arrays(np.uint16, SHAPES))
def test_a_decoder_from_the_specification_gets_the_same_numbers(values):
    data = _encoded(values, profile=b"profile", texts={})
    np.testing.assert_array_equal(_decode(data), values)


@given(arrays(np.uint16, SHAPES))
def test_pillow_sees_the_high_bytes(values):
    data = _encoded(values, profile=b"profile", texts={})
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    assert image.mode == ("RGBA" if values.shape[-1] == 4 else "RGB")
    np.testing.assert_array_equal(np.asarray(image), values >> 8)


def test_chunks_stand_in_order_and_hold_what_was_given():
    values = np.zeros((2, 3, 3), np.uint16)
    data = _encoded(values, profile=b"colours", texts={"Title": "Grüße 猫", "Software": "x"})
    chunks = _chunks(data)
    assert [kind for kind, _ in chunks] == [b"IHDR", b"iCCP", b"iTXt", b"iTXt", b"IDAT", b"IEND"]
    image = Image.open(io.BytesIO(data))
    assert image.info["icc_profile"] == b"colours"
    assert image.text == {"Title": "Grüße 猫", "Software": "x"}


def test_smooth_pictures_are_smaller_than_their_numbers():
    ramp = np.linspace(0, 65535, 200).astype(np.uint16)
    values = np.broadcast_to(ramp[:, None, None], (200, 100, 3))
    assert len(_encoded(values, profile=b"", texts={})) < values.nbytes / 50
