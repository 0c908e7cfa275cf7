"""Hostile recipes, in every format that carries one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.images.metadata import embed, gif_comment
from stylize.images.mp4 import write_mp4
from tests.fuzz.amount import inputs
from tests.fuzz.conftest import QUICK
from tests.fuzz.made import recipes
from tests.fuzz.mutations import documents, texts, to_json
from tests.fuzz.pictures import encoded, photo_file, picture, style_file
from tests.fuzz.rule import Sandbox

pytestmark = pytest.mark.slow

FORMATS = ("png", "png", "png", "jpeg", "webp", "avif", "tiff", "gif", "mp4")

_COMMANDS: list[tuple[Any, ...]] = [
    ("info", "input"),
    ("info", "input", "--json"),
    ("replay", "input", *QUICK, "-o", "made.png"),
    ("replay", "input", *QUICK, "-o", "made.png", "--json"),
    ("replay", "input", *QUICK[2:], "-o", "made.png"),
    ("replay", "input", *QUICK[2:], "-o", "made.gif"),
    ("replay", "input", *QUICK, "-o", "made.png", "--cell", "A1"),
    ("replay", "input", *QUICK, "-o", "made.png", "--substitute", "--input", "style.png"),
]


def carrying(text: str, format: str, folder: Any) -> bytes:
    """A picture or a film with a text in the place of its recipe."""
    if format == "gif":
        return encoded(picture("P"), "GIF", comment=gif_comment(text))
    if format == "mp4":
        path = folder / "film.mp4"
        write_mp4(path, [picture()] * 2, fps=10, recipe=text, quality=50)
        return bytes(path.read_bytes())
    return encoded(picture(), format, **embed(text, format))


def made(name: str) -> bool:
    """Whether it is the output of the commands."""
    return name.startswith(("work/made.", "work/.made."))


def test_intact_recipes_are_followed(sandbox: Sandbox, network: None) -> None:
    pictures = {"photo.png": photo_file(), "style.png": style_file()}
    for format in set(FORMATS):
        data = carrying(to_json(recipes()[0]), format, sandbox.root / "cache")
        sandbox.check(["info", "input"], {"input": data}, codes=(0,))
    for recipe in recipes()[:6]:
        files = {"input": carrying(to_json(recipe), "png", sandbox.root), **pictures}
        words = ["replay", "input", *QUICK, "-o", "made.png"]
        sandbox.check(words, files, makes=made, codes=(0,))


@inputs(250)
@given(
    text=st.deferred(lambda: texts(documents(recipes()).map(to_json))),
    format=st.sampled_from(FORMATS),
    words=st.sampled_from(_COMMANDS),
)
def test_hostile_recipes(
    sandbox: Sandbox, network: None, text: bytes, format: str, words: tuple[Any, ...]
) -> None:
    legible = sandbox.placed(text).decode("utf-8", errors="replace")
    try:
        data = carrying(legible, format, sandbox.root / "cache")
    except (ValueError, OSError):  # the format does not take so much, or such letters
        data = carrying(legible, "png", sandbox.root / "cache")
    files = {"input": data, "photo.png": photo_file(), "style.png": style_file()}
    sandbox.check(words, files, makes=made, codes=(0, 1, 2, 130))
