"""Damaged pictures of every format."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.amount import inputs
from tests.fuzz.conftest import BRIEF, QUICK
from tests.fuzz.mutations import damaged
from tests.fuzz.pictures import pictures, style_file
from tests.fuzz.rule import Sandbox

pytestmark = pytest.mark.slow

_COMMANDS: list[tuple[Any, ...]] = [
    ("info", "input"),
    ("dream", "input", *BRIEF, "-o", "made.png"),
    ("dream", "input", *BRIEF, "-o", "made.png"),
    ("dream", "input", *BRIEF, "-o", "made.tiff", "--depth", 16),
    ("transfer", "input", "style.png", *QUICK, "--steps", 1, "-o", "made.jpg"),
    ("transfer", "style.png", "input", *QUICK, "--steps", 1, "-o", "made.webp"),
    ("batch", "dream", "input", *BRIEF, "-o", "folder", "--dry-run"),
    ("replay", "input", "-o", "made.png"),
]


def test_the_seeds_are_pictures(sandbox: Sandbox, network: None) -> None:
    """Otherwise the first check would stop all that is made of them."""
    words = ["dream", "input", *BRIEF, "-o", "made.png"]
    codes = [sandbox.check(words, {"input": data}, makes=is_made).exit_code for data in pictures()]
    # One has a single pixel, which is too few; some kinds of TIFF are not read.
    assert codes.count(0) >= len(codes) - 3


@inputs(300)
@given(data=st.deferred(lambda: damaged(pictures())), words=st.sampled_from(_COMMANDS))
def test_damaged_pictures(
    sandbox: Sandbox, network: None, data: bytes, words: tuple[Any, ...]
) -> None:
    sandbox.check(words, {"input": data, "style.png": style_file()}, makes=is_made)


def is_made(name: str) -> bool:
    return name.startswith("work/made.")
