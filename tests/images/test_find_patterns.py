"""Patterns of paths, against the regular expressions that they stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.images.find import Pattern

PARTS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=5)
MAGIC = st.sampled_from(["*", "a*", "?", "[!a]", "**"])
PATTERNS = st.tuples(MAGIC).flatmap(
    lambda first: st.lists(MAGIC | st.sampled_from(["a", "b"]), max_size=3).map([*first].__add__)
)


def matches(pattern: Sequence[str], path: PurePath) -> bool:
    """What a pattern means, written as a regular expression."""
    words = {"**": "([^/]+/)*", "*": "[^/]*/", "a*": "a[^/]*/", "?": "[^/]/", "[!a]": "[^/a]/"}
    expression = "".join(words.get(part, f"{part}/") for part in pattern)
    return bool(path.parts) and re.fullmatch(expression, f"{path}/") is not None


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("*.jpg", "."),
        ("photos/2024/*.jpg", "photos/2024"),
        ("/photos/*/a.jpg", "/photos"),
        ("photos/**", "photos"),
        ("photos/[ab]/*", "photos"),
    ],
)
def test_the_base(text: str, base: str) -> None:
    assert Pattern(text, recursive=False).base == Path(base)


@given(PATTERNS, PARTS, st.booleans())
def test_agrees_with_a_regular_expression(
    pattern: list[str], parts: list[str], recursive: bool
) -> None:
    """A file is meant by itself, with its folder, or, if all is, with one above."""
    path = PurePath(*parts)
    chances = (path, *path.parents) if recursive else (path, path.parent)
    expected = any(matches(pattern, each) for each in chances)
    assert Pattern("/".join(pattern), recursive=recursive).admits_file(path) == expected


@given(PATTERNS, PARTS, st.booleans())
def test_no_file_is_meant_behind_a_closed_folder(
    pattern: list[str], parts: list[str], recursive: bool
) -> None:
    found = Pattern("/".join(pattern), recursive=recursive)
    path = PurePath(*parts)
    if found.admits_file(path):
        assert all(found.admits_folder(each) for each in path.parents)


def test_what_cannot_match_is_not_entered() -> None:
    pattern = Pattern("20*/raw/*.jpg", recursive=False)
    assert pattern.admits_folder(PurePath("2024/raw"))
    assert not pattern.admits_folder(PurePath("1999"))
    assert not pattern.admits_folder(PurePath("2024/edited"))
    assert not pattern.admits_folder(PurePath("2024/raw/old"))
