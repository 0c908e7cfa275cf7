from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from stylize.batches.gallery import thumbnail
from stylize.errors import PictureError
from stylize.images.read import read_picture

NO_END = ("the JPEG has no end marker; all of its pixels are there",)

NOISE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)

KINDS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"subsampling": 0},
        {"restart_marker_rows": 1},
        {"optimize": True, "quality": 100},
    ],
)


def _jpeg(options: dict, values: np.ndarray = NOISE) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", **options)
    assert stream.getvalue().endswith(b"\xff\xd9")
    return stream.getvalue()


@KINDS
@pytest.mark.parametrize("padding", [b"", b"\xff", b"\0" * 700, b"\xff" + b"\0" * 9])
def test_only_the_end_marker_is_missing(tmp_path, options, padding):
    whole = _jpeg(options)
    path = tmp_path / "photo.jpg"
    path.write_bytes(whole[:-2] + padding)
    picture = read_picture(path)
    assert picture.notes == NO_END
    assert torch.equal(picture.pixels, read_picture(whole).pixels)
    assert Image.open(io.BytesIO(thumbnail(path))).size == (96, 64)


@pytest.mark.parametrize("seed", range(40))
def test_every_last_byte(seed):
    """The last byte of the pixels may look like padding or half a marker."""
    values = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    whole = _jpeg({}, values)
    picture = read_picture(whole[:-2])
    assert torch.equal(picture.pixels, read_picture(whole).pixels)


@KINDS
@pytest.mark.parametrize("cut", [20, 100, 1000])
@pytest.mark.parametrize("padding", [b"", b"\0" * 5000])
def test_pixels_are_missing(options, cut, padding):
    whole = _jpeg(options)
    with pytest.raises(PictureError, match=r"half\.jpg is damaged or incomplete"):
        read_picture(whole[:-cut] + padding, name="half.jpg")


def test_turned_upright_without_end_marker():
    exif = Image.Exif()
    exif[274] = 6
    picture = read_picture(_jpeg({"exif": exif})[:-2])
    assert picture.size == (96, 64)


@KINDS
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_an_end_marker_does_not_hide_that_pixels_are_missing(options, share):
    """Programs that rescue files append one, and libjpeg fills up with grey."""
    whole = _jpeg({**options, "subsampling": 0})
    data = whole[: int(share * len(whole))] + b"\xff\xd9"
    with pytest.raises(PictureError, match="damaged or incomplete"):
        read_picture(data)


@KINDS
@pytest.mark.parametrize("trailer", [b"", b"\xff\xd8\xff" + b"trailer of a phone" * 9])
def test_whole_files_are_read_without_a_word(options, trailer):
    assert read_picture(_jpeg(options) + trailer).notes == ()
