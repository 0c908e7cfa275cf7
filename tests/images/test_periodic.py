"""Pictures that tile: what crosses the seam is like what is inside."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stylize.images.periodic import periodic_part, resize_periodic, unwrap, wrap
from tests.conftest import cat, photo

sides = st.integers(2, 60)
frames = st.integers(0, 80)
few = settings(max_examples=25, deadline=None)  # Fourier transforms of odd sizes take their time


def random(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)


def waves(height: int, width: int, rows: int, columns: int, phase: float = 0.4) -> Tensor:
    """``rows × columns`` whole periods, sampled at the pixels' centres."""
    y = (torch.arange(height, dtype=torch.float64).view(-1, 1) + 0.5) / height
    x = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    return torch.cos(2 * math.pi * (rows * y + columns * x) + phase).expand(1, 3, -1, -1)


def jumps(image: Tensor) -> tuple[float, float]:
    """Mean jump across the edges, and between neighbours inside, over both axes."""
    across = (image[..., 0] - image[..., -1]).abs().mean()
    down = (image[..., 0, :] - image[..., -1, :]).abs().mean()
    inside = (image.diff(dim=3).abs().mean() + image.diff(dim=2).abs().mean()) / 2
    return float(across + down) / 2, float(inside)


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (48, 63), (64, 64)])
def test_a_photo_loses_its_jump(size: tuple[int, int]) -> None:
    image = cat(80)[..., : size[0], : size[1]]
    across, inside = jumps(image)
    assert across > inside, "there is something to take away"
    across, inside = jumps(periodic_part(image))
    assert across <= inside


def test_a_gradient_becomes_a_crease() -> None:
    """What differs by most of the range at the edges is smooth to a level or two."""
    across, _ = jumps(photo(48, 64))
    assert across > 0.2
    across, inside = jumps(periodic_part(photo(48, 64)))
    assert across < 2 / 255
    assert inside < 2 / 255


@few
@given(height=sides, width=sides)
def test_what_is_taken_away_is_smooth_and_has_no_mean(height: int, width: int) -> None:
    """Its Laplacian on the torus is nought but at the edges: Moisan's definition."""
    image = random(height, width)
    smooth = image - periodic_part(image)
    torch.testing.assert_close(smooth.mean((2, 3)), torch.zeros(1, 3, dtype=torch.float64))
    shifts = [(1, 2), (-1, 2), (1, 3), (-1, 3)]
    laplacian = sum(smooth.roll(*shift) for shift in shifts) - 4 * smooth
    inner = laplacian[..., 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.zeros_like(inner), atol=1e-9, rtol=0)
    column = laplacian[..., 1:-1, 0]
    torch.testing.assert_close(
        column, (image[..., -1] - image[..., 0])[..., 1:-1], atol=1e-9, rtol=0
    )


def test_a_picture_that_tiles_hardly_changes() -> None:
    image = waves(64, 64, 1, 1)
    torch.testing.assert_close(periodic_part(image), image, atol=0.08, rtol=0)


def test_single_precision_is_enough_for_a_wide_picture() -> None:
    ramp = torch.linspace(0, 1, 3000).expand(1, 1, 4, -1).contiguous()
    exact = periodic_part(ramp.double())
    # Up to 2.7e-5, as the processor's library has it: less than a hundredth of a grey level.
    torch.testing.assert_close(periodic_part(ramp).double(), exact, atol=6e-5, rtol=0)


@few
@given(height=sides, width=sides, other=st.tuples(sides, sides), data=st.data())
def test_a_wave_that_both_sizes_can_show_stays_that_wave(
    height: int, width: int, other: tuple[int, int], data: st.DataObject
) -> None:
    rows = data.draw(st.integers(0, (min(height, other[0]) - 1) // 2))
    columns = data.draw(st.integers(0, (min(width, other[1]) - 1) // 2))
    found = resize_periodic(waves(height, width, rows, columns), other)
    torch.testing.assert_close(found, waves(*other, rows, columns), atol=1e-5, rtol=0)


@few
@given(height=sides, width=sides)
def test_up_and_down_again(height: int, width: int) -> None:
    """All but the highest frequency of an even size, which has no direction."""
    image = random(2 * (height // 2) + 1, 2 * (width // 2) + 1)
    large = resize_periodic(image, (height + 17, width + 30))
    torch.testing.assert_close(
        resize_periodic(large, (image.shape[2], image.shape[3])), image, atol=1e-5, rtol=0
    )


@few
@given(periods=st.tuples(st.integers(1, 4), st.integers(1, 4)), data=st.data())
def test_resizing_begins_anywhere(periods: tuple[int, int], data: st.DataObject) -> None:
    """A roll by a whole part of the picture is the same part at the other size."""
    old, new = (12 * periods[0], 10 * periods[1]), (18 * periods[0], 4 * periods[1])
    shift = data.draw(st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
    image = random(*old)
    rolled = image.roll((2 * shift[0], 5 * shift[1]), (2, 3))
    expected = resize_periodic(image, new).roll((3 * shift[0], 2 * shift[1]), (2, 3))
    torch.testing.assert_close(resize_periodic(rolled, new), expected, atol=1e-5, rtol=0)


def test_resizing_keeps_the_mean_and_the_type() -> None:
    image = photo(30, 41)
    found = resize_periodic(image, (47, 20))
    assert found.dtype is torch.float32
    assert found.shape == (1, 3, 47, 20)
    torch.testing.assert_close(found.mean((2, 3)), image.mean((2, 3)), atol=1e-5, rtol=0)
    assert resize_periodic(image, (30, 41)) is image


def test_a_frame_is_the_picture_again() -> None:
    image = random(5, 7)
    tiled = image.tile(1, 1, 5, 5)
    assert torch.equal(wrap(image, 6, (3, 9)), tiled[..., 4 : 4 + 14, 1 : 1 + 22])
    assert torch.equal(wrap(image, 0, (0, 0)), image)


@few
@given(height=sides, width=sides, before=frames, after=st.tuples(frames, frames))
def test_unwrapping_is_the_adjoint(
    height: int, width: int, before: int, after: tuple[int, int]
) -> None:
    """``⟨wrap a, b⟩ = ⟨a, unwrap b⟩`` for any two pictures."""
    one = random(height, width)
    two = random(before + height + after[0], before + width + after[1], seed=1)
    left = (wrap(one, before, after) * two).sum()
    right = (one * unwrap(two, before, (height, width))).sum()
    torch.testing.assert_close(left, right)
