"""Damaged masks, and hostile words about them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.amount import inputs
from tests.fuzz.conftest import BRIEF, QUICK
from tests.fuzz.mutations import HOSTILE_TEXTS, damaged
from tests.fuzz.pictures import photo_file, pictures, style_file
from tests.fuzz.rule import Sandbox

pytestmark = pytest.mark.slow

_LAYERS = ("--style-layers", "relu1_1:1", "--content-layers", "relu1_1:1")
_TRANSFER = ("transfer", "photo.png", "style.png", *QUICK, "--steps", 1, *_LAYERS, "-o", "made.png")

_COMMANDS: list[tuple[Any, ...]] = [
    (*_TRANSFER, "--mask", "input"),
    (*_TRANSFER, "--mask", "input=style.png"),
    (*_TRANSFER, "--mask", "input=keep", "--mask", "photo.png=style.png"),
    (*_TRANSFER, "--regions", "input", "--region", "#000000=keep"),
    (*_TRANSFER, "--regions", "input", "--region", "red=style.png"),
    ("dream", "photo.png", *BRIEF, "--mask", "input", "-o", "made.png", "--feather", 9),
    ("dream", "photo.png", *BRIEF, "--guide", "input", "-o", "made.png"),
]

# The system takes neither of these in a command line.
_WORDS = [text for text in HOSTILE_TEXTS if "\0" not in text and "\ud800" not in text]
_WORDS += ["photo.png", "#ff0000", "red", "keep", "style.png", "#", "rgb(1,2,3)", "hsl(1,2%,3%)"]
_WORDS += ["hsv(1e999,2%,3%)", "#ff00", "rgb(999999999999999999999,0,0)", "transparent"]


@inputs(100)
@given(data=st.deferred(lambda: damaged(pictures())), words=st.sampled_from(_COMMANDS))
def test_damaged_masks(
    sandbox: Sandbox, network: None, data: bytes, words: tuple[Any, ...]
) -> None:
    files = {"input": data, "photo.png": photo_file(), "style.png": style_file()}
    sandbox.check(words, files, makes=_is_made)


@inputs(100)
@given(
    option=st.sampled_from(("--mask", "--region", "--regions")),
    text=st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map("=".join),
    both=st.booleans(),
)
def test_hostile_words(sandbox: Sandbox, network: None, option: str, text: str, both: bool) -> None:
    files = {"photo.png": photo_file(), "style.png": style_file()}
    more = ("--regions", "photo.png", "--region", "#e54c4c=style.png") if both else ()
    sandbox.check((*_TRANSFER, *more, option, text), files, makes=_is_made)


def _is_made(name: str) -> bool:
    return name.startswith("work/made.")
