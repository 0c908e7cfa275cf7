from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.settings.schedule import Scale, schedule


def test_each_size_is_twice_the_one_before() -> None:
    scales = schedule(384, 512, steps=100, final_steps=30, ratio=2)
    assert [s.width for s in scales] == [128, 256, 512]
    assert [s.height for s in scales] == [96, 192, 384]
    assert [s.steps for s in scales] == [100, 55, 30]


@pytest.mark.parametrize(("side", "coarsest"), [(500, 125), (1000, 125), (700, 175), (730, 91)])
def test_the_coarsest_scale_is_about_the_one_asked_for(side: int, coarsest: int) -> None:
    """A picture a few pixels smaller than a usual one does not lose its coarsest scale."""
    assert schedule(side, side, steps=9, final_steps=9, ratio=2)[0].width == coarsest


def test_a_picture_smaller_than_the_coarsest_scale_gets_one() -> None:
    assert schedule(64, 64, steps=100, final_steps=30, ratio=2) == [Scale(64, 64, 100)]


def test_a_narrow_picture_does_not_vanish() -> None:
    assert min(s.height for s in schedule(60, 4000, steps=10, final_steps=5, ratio=2)) >= 32


def test_a_smaller_ratio_gives_more_sizes() -> None:
    scales = schedule(384, 512, steps=256, final_steps=16, ratio=2**0.5)
    assert [s.width for s in scales] == [128, 181, 256, 362, 512]
    assert [s.steps for s in scales] == [256, 128, 64, 32, 16]


@given(
    st.integers(1, 9000),
    st.integers(1, 9000),
    st.integers(1, 500),
    st.integers(1, 500),
    st.integers(32, 600),
    st.floats(1.2, 4),
)
def test_sizes_grow_to_the_one_asked_for(
    height: int, width: int, steps: int, final_steps: int, coarsest: int, ratio: float
) -> None:
    scales = schedule(
        height, width, steps=steps, final_steps=final_steps, coarsest=coarsest, ratio=ratio
    )
    assert scales[-1].size == (height, width)
    assert scales[0].steps == steps
    assert scales[-1].steps == (final_steps if len(scales) > 1 else steps)
    low, high = sorted((steps, final_steps))
    for one, two in pairwise(scales):
        assert one.height <= two.height
        assert one.width <= two.width
        assert max(two.size) == pytest.approx(max(one.size) * ratio, abs=0.5 + ratio / 2)
        assert low <= two.steps <= high
    if len(scales) > 1:
        assert max(scales[0].size) >= coarsest / ratio**0.5 - 1
