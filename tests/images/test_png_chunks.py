from __future__ import annotations

import zlib

import pytest

from stylize.images.read import read_picture
from tests.images.test_color_profiles import LINEAR_SRGB

ROW = b"\0" + bytes([128, 128, 128])


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 3_000_000)),
        (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"x" * 3_000_000)),
        (b"tEXt", b"workflow\0" + b"x" * 3_000_000),
    ],
)
@pytest.mark.parametrize("times", [1, 30])
def test_large_texts(raw_png, kind, data, times):
    picture = read_picture(raw_png(1, 1, 8, 2, ROW, *[(kind, data)] * times))
    assert picture.pixels.flatten().tolist() == pytest.approx([128 / 255] * 3)
    assert picture.notes == ()


def test_a_large_profile_is_applied(raw_png):
    """Half the light is 0.735 in sRGB (IEC 61966-2-1)."""
    size = 3_000_000
    profile = size.to_bytes(4, "big") + LINEAR_SRGB[4:].ljust(size - 4, b"\0")
    data = raw_png(1, 1, 8, 2, ROW, (b"iCCP", b"large\0\0" + zlib.compress(profile)))
    assert read_picture(data).pixels.flatten().tolist() == pytest.approx([0.735] * 3, abs=0.005)


@pytest.mark.parametrize(
    ("transfer", "what"), [(16, "HDR with the PQ"), (18, "HDR with the HLG"), (8, "linear light")]
)
def test_what_is_not_for_an_ordinary_screen_is_said(raw_png, transfer, what):
    data = raw_png(1, 1, 8, 2, ROW, (b"cICP", bytes([9, transfer, 0, 1])))
    (note,) = read_picture(data).notes
    assert note.startswith(what)


def test_srgb_is_no_news(raw_png):
    assert read_picture(raw_png(1, 1, 8, 2, ROW, (b"cICP", bytes([1, 13, 0, 1])))).notes == ()


def test_a_linear_png_is_said(raw_png):
    data = raw_png(1, 1, 8, 2, ROW, (b"gAMA", (100_000).to_bytes(4, "big")))
    assert read_picture(data).notes == ("the PNG declares gamma 1: taken as sRGB",)
