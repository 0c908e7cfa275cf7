from __future__ import annotations

import io
import json
import zlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from stylize.errors import OutputError, PictureError
from stylize.images import open as opening
from stylize.images.metadata import MAX_RECIPE_BYTES, ascii_json, read_recipe
from stylize.images.read import read_picture
from stylize.images.write import write_picture
from stylize.version import __version__

PIXELS = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
KINDS = [("png", 8), ("png", 16), ("jpeg", 8), ("webp", 8), ("avif", 8), ("tiff", 8), ("tiff", 16)]
EVERYWHERE = pytest.mark.parametrize(("format", "depth"), KINDS)
RECIPE = {"schema": 1, "inputs": [{"name": "Grüße 猫 🎨.png"}], "quote": 'a "b" \\ \n c'}


def _written(recipe: str | None, format: str, depth: int = 8) -> bytes:
    stream = io.BytesIO()
    write_picture(stream, PIXELS, recipe=recipe, format=format, depth=depth)
    return stream.getvalue()


@EVERYWHERE
@pytest.mark.parametrize("ascii", [True, False])
def test_the_recipe_survives(format, depth, ascii):
    data = _written(json.dumps(RECIPE, ensure_ascii=ascii), format, depth)
    assert json.loads(read_recipe(data)) == RECIPE


@EVERYWHERE
def test_the_longest_recipe_survives(tmp_path, format, depth):
    empty = len(json.dumps({"text": ""}))
    recipe = json.dumps({"text": "é" * ((MAX_RECIPE_BYTES - empty) // 2)}, ensure_ascii=False)
    assert MAX_RECIPE_BYTES - 1 <= len(recipe.encode()) <= MAX_RECIPE_BYTES
    path = tmp_path / "long.picture"
    path.write_bytes(_written(recipe, format, depth))
    assert json.loads(read_recipe(path)) == json.loads(recipe)


def test_a_poster_beyond_the_pixel_limit_says_how_it_was_made(monkeypatch):
    data = _written(json.dumps(RECIPE), "png")
    monkeypatch.setitem(opening._limit, "max_pixels", 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert json.loads(read_recipe(data)) == RECIPE


@EVERYWHERE
def test_a_longer_one_is_refused(format, depth):
    recipe = json.dumps({"text": "x" * MAX_RECIPE_BYTES})
    with pytest.raises(OutputError, match="at most 16384"):
        _written(recipe, format, depth)


@EVERYWHERE
def test_without_a_recipe_there_is_none(format, depth):
    assert read_recipe(_written(None, format, depth)) is None


@EVERYWHERE
def test_the_program_is_named(format, depth):
    image = Image.open(io.BytesIO(_written(None, format, depth)))
    software = image.info.get("Software") or image.getexif()[ExifTags.Base.Software]
    assert software == f"stylize {__version__}"


@EVERYWHERE
def test_a_recipe_changes_no_pixel(format, depth):
    plain, reported = _written(None, format, depth), _written(json.dumps(RECIPE), format, depth)
    assert torch.equal(read_picture(plain).pixels, read_picture(reported).pixels)


JSON = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ),
    max_size=4,
)


@given(JSON)
def test_ascii_json_is_the_same_document(document):
    text = ascii_json(json.dumps(document, ensure_ascii=False))
    assert text.isascii()
    assert json.loads(text) == document


@given(JSON, st.sampled_from(["png", "webp", "tiff"]))
def test_any_object_survives(document, format):
    text = json.dumps(document)
    assert read_recipe(_written(text, format)) == text


ODD = ["", "not json", "[1, 2]", '"text"', "{", '{"a": NaN', "[" * 5000, "{}" * 9, " "]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("format", ["png", "jpeg", "tiff"])
def test_what_is_no_object_is_no_recipe(text, format):
    assert read_recipe(_written(text, format)) is None


def test_nesting_without_end_is_no_recipe():
    assert read_recipe(_written('{"a":' * 2500 + "1" + "}" * 2500, "png")) is None


def test_an_endless_foreign_text_is_no_recipe(raw_png):
    text = b"stylize\0\0\0\0\0" + json.dumps({"a": "x" * 200_000}).encode()
    assert read_recipe(raw_png(1, 1, 8, 0, b"\0\0", (b"iTXt", text))) is None
    short = text[: text.index(b"x")] + text[-2:]
    assert read_recipe(raw_png(1, 1, 8, 0, b"\0\0", (b"iTXt", short))) == '{"a": ""}'


@pytest.mark.parametrize(
    "comment",
    [
        b"",
        b"{}",
        b"ASCII\0\0\0\xff\xfe",
        b"UNICODE\0\xd8\x00\x00",
        b"JIS\0\0\0\0\0{}",
        "text",
        7,
    ],
)
def test_odd_user_comments_are_no_recipe(encoded, comment):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    data = encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif)
    assert read_recipe(data) is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_either_byte_order_of_exif(encoded, encoding):
    """Programs that edit EXIF write its text again, in the byte order of the file."""
    exif = Image.Exif()
    comment = b"UNICODE\0" + '{"a": "ü"}'.encode(encoding)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    assert read_recipe(encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif)) == '{"a": "ü"}'


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0junk"])
def test_broken_exif_is_no_recipe(encoded, exif):
    assert read_recipe(encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif)) is None


def test_formats_that_carry_none(encoded):
    assert read_recipe(encoded(Image.new("RGB", (8, 8)), "GIF", comment=b'{"a": 1}')) is None
    assert read_recipe(encoded(Image.new("RGB", (8, 8)), "BMP")) is None


def test_a_text_that_unpacks_to_a_flood_is_no_recipe(raw_png):
    flood = b"stylize\0\0" + zlib.compress(b" " * 3_000_000)
    assert read_recipe(raw_png(1, 1, 8, 0, b"\0\0", (b"zTXt", flood))) is None


def test_no_picture(tmp_path):
    with pytest.raises(PictureError, match="there is no such file"):
        read_recipe(tmp_path / "gone.png")
    with pytest.raises(PictureError, match="not a picture"):
        read_recipe(b'{"schema": 1}')


def test_reading_decodes_nothing():
    data = _written(json.dumps(RECIPE), "png")
    assert json.loads(read_recipe(data[: data.index(b"IDAT") + 8])) == RECIPE
