"""Rectangles of pictures, in ImageMagick's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.images.crop import Crop

numbers = st.integers(0, 999_999)


@given(st.builds(Crop, numbers, numbers, numbers, numbers))
def test_the_text_of_a_rectangle_reads_back(crop: Crop) -> None:
    assert Crop.parse(str(crop)) == crop


def test_width_comes_first_and_left_before_top() -> None:
    assert Crop.parse(" 800X600+40+30 ") == Crop(left=40, top=30, width=800, height=600)


@pytest.mark.parametrize(
    "text", ["", "800x600", "800x600+40", "800x600-1+0", "8.5x6+0+0", "²x2+0+0"]
)
def test_other_texts_are_no_rectangle(text: str) -> None:
    assert Crop.parse(text) is None


def test_what_is_left_out() -> None:
    crop = Crop(left=40, top=0, width=100, height=80)
    assert crop.left_out((90, 150)) == "40 px on the left, 10 px on the right, 10 px at the bottom"
    assert Crop.whole((90, 150)).left_out((90, 150)) == ""


@pytest.mark.parametrize(
    ("crop", "is_inside"),
    [
        (Crop(0, 0, 150, 90), True),
        (Crop(50, 0, 100, 90), True),
        (Crop(51, 0, 100, 90), False),
        (Crop(0, 11, 150, 80), False),
    ],
)
def test_inside(crop: Crop, is_inside: bool) -> None:
    assert crop.is_inside((90, 150)) == is_inside
