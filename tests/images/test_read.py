from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from stylize.images.read import Picture, read_picture


def _animation(format: str, frames: int) -> bytes:
    colours = ("red", "lime", "blue")[:frames]
    images = [Image.new("RGB", (20, 10), colour) for colour in colours]
    buffer = io.BytesIO()
    images[0].save(buffer, format, save_all=True, append_images=images[1:])
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_frame_is_taken(format):
    picture = read_picture(_animation(format, 3))
    assert picture.notes == ("animated: took the first frame",)
    assert picture.pixels[0, :, 5, 5].tolist() == pytest.approx([1, 0, 0], abs=0.05)


def test_of_many_pages_the_first_is_taken():
    picture = read_picture(_animation("TIFF", 2))
    assert picture.notes == ("holds several pictures: took the first",)
    assert picture.pixels[0, :, 0, 0].tolist() == [1, 0, 0]


def test_the_second_picture_of_a_camera_jpeg_is_not_worth_a_note():
    picture = read_picture(_animation("MPO", 2))
    assert picture.notes == ()
    assert picture.size == (10, 20)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "GIF", "BMP"])
def test_name_size_and_hash(tmp_path, encoded, format):
    data = encoded(Image.new("RGB", (7, 5)), format)
    path = tmp_path / "my photo.picture"
    path.write_bytes(data)
    picture = read_picture(path)
    assert (picture.name, picture.size) == ("my photo.picture", (5, 7))
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert read_picture(data).sha256 == picture.sha256


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "picture"),
        ("", "picture"),
        ("/home/me/cat.png", "cat.png"),
        (r"C:\photos\cat.png", "cat.png"),
        ("ca\x1b\nt\u202e.png", "cat.png"),
        ("Grüße 猫.png", "Grüße 猫.png"),
        ("\udcff.png", ".png"),
        ("folder/", "picture"),
    ],
)
def test_names_are_harmless(encoded, given, name):
    assert read_picture(encoded(Image.new("L", (1, 1)), "PNG"), name=given).name == name


def test_a_given_name_goes_before_the_files(tmp_path, encoded):
    path = Path(tmp_path / "a.png")
    path.write_bytes(encoded(Image.new("L", (1, 1)), "PNG"))
    assert read_picture(path, name="b.png").name == "b.png"


def test_a_picture_is_a_value(encoded):
    picture = read_picture(encoded(Image.new("L", (3, 2)), "PNG"))
    assert isinstance(picture, Picture)
    with pytest.raises(dataclasses.FrozenInstanceError):
        picture.name = "other"
