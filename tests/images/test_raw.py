from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from stylize.errors import MissingExtraError, PictureError
from stylize.images.raw import is_raw
from stylize.images.read import read_picture

tifffile = pytest.importorskip("tifffile")


def _dng() -> bytes:
    """A green thumbnail, and behind it a sensor of 320×240 grey pixels, as cameras write it."""
    thumbnail = np.zeros((48, 64, 3), np.uint8)
    thumbnail[..., 1] = 255
    stream = io.BytesIO()
    version = [(50706, "B", 4, bytes([1, 4, 0, 0]), True)]
    pattern = [(33421, "H", 2, (2, 2), True), (33422, "B", 4, bytes([0, 1, 1, 2]), True)]
    sensor = np.full((240, 320), 9000, np.uint16)
    with tifffile.TiffWriter(stream) as file:
        options = {"metadata": None}
        file.write(
            thumbnail, photometric="rgb", subfiletype=1, subifds=1, extratags=version, **options
        )
        file.write(sensor, photometric=32803, subfiletype=0, extratags=pattern, **options)
    return stream.getvalue()


def test_it_is_developed_and_not_painted_from_its_thumbnail():
    pytest.importorskip("rawpy")
    picture = read_picture(_dng(), name="photo.dng")
    assert picture.size == (240, 320)
    assert picture.notes == ("camera raw: developed with the camera's white balance",)
    red, green, blue = picture.pixels[0, :, 120, 160].tolist()
    assert red == pytest.approx(green, abs=0.02)
    assert blue == pytest.approx(green, abs=0.02)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(MissingExtraError, match=r"photo\.dng: .*camera raw.*pip install rawpy"):
        read_picture(_dng(), name="photo.dng")


def test_the_pixel_limit_holds():
    pytest.importorskip("rawpy")
    with pytest.raises(PictureError, match="too large: 320×240"):
        read_picture(_dng(), max_pixels=320 * 240 - 1)


def test_a_file_that_is_cut_off():
    pytest.importorskip("rawpy")
    with pytest.raises(PictureError, match="damaged"):
        read_picture(_dng()[:-50_000])


@pytest.mark.parametrize(
    "head",
    [
        b"FUJIFILMCCD-RAW 0201",
        b"\0\0\0\x18ftypcrx \0\0\0\1",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
        b"II*\0\x10\0\0\0CR\2\0",
        b"FOVb\0\0\3\0",
    ],
)
def test_signatures(head):
    assert is_raw(head, io.BytesIO(head))


def test_an_ordinary_tiff_is_none():
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.full((9, 9), 0x49, np.uint8))
    data = stream.getvalue()
    assert not is_raw(data[:64], io.BytesIO(data))
