"""The Laplacian term: what it measures, and that its gradient is exact."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.images.blur import blur
from stylize.losses.edges import EdgesLoss, laplacian
from tests.conftest import cat


def picture(seed: int, height: int = 12, width: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


def value(photo: Tensor, image: Tensor, *sizes: int, clear: bool = False) -> float:
    term = EdgesLoss(photo, 1.0, sizes_px=sizes, clear=clear)
    return float(term.value_and_gradient(image)[0])


def test_is_scipys_laplacian() -> None:
    expected = scipy.ndimage.laplace(picture(0).numpy(), mode="nearest", axes=(2, 3))
    np.testing.assert_allclose(laplacian(picture(0)), expected, atol=1e-12)


def test_a_ramp_has_none_inside() -> None:
    ramp = torch.arange(24.0).expand(1, 3, 24, 24)
    assert float(laplacian(ramp, 2)[..., 1:-1].abs().max()) < 1e-5


def test_averages_come_first() -> None:
    board = (torch.arange(16).view(-1, 1) + torch.arange(16)).remainder(2).double()
    assert float(laplacian(board.expand(1, 3, -1, -1), 4).abs().max()) < 1e-12
    assert float(laplacian(board.expand(1, 3, -1, -1)).abs().max()) == 4


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4, 16]))
def test_every_size_of_picture_goes(height: int, width: int, size: int) -> None:
    found = laplacian(picture(0, height, width), size)
    assert found.shape == (1, 3, -(-height // size), -(-width // size))


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("sizes", [(1,), (2,), (4,), (3, 5)])
def test_the_gradient_is_that_of_the_value(sizes: tuple[int, ...], clear: bool) -> None:
    term = EdgesLoss(picture(0), 1.0, sizes_px=sizes, clear=clear)
    image, step = picture(1), 1e-3 * (picture(2) - 0.5)
    above, below = (
        value(picture(0), each, *sizes, clear=clear) for each in (image + step, image - step)
    )
    change = above - below
    _, gradient = term.value_and_gradient(image)
    # Quadratic, so central differences are exact.
    assert change == pytest.approx(float(2 * (gradient * step).sum()), rel=1e-9)


def test_values_are_shares_of_the_photographs_own() -> None:
    photo = picture(3)
    flat = torch.full_like(photo, 0.5)
    assert value(photo, photo, 1, 4) == 0
    assert value(photo, flat, 1, 4) == pytest.approx(1)
    assert value(photo, photo + 0.2, 1, 4) == pytest.approx(0, abs=1e-12)
    assert value(0.3 * photo, 0.3 * picture(4), 4) == pytest.approx(value(photo, picture(4), 4))


def test_lost_contours_cost_more_than_changed_colours() -> None:
    photo = cat(64)
    assert value(photo, blur(photo, 3.0), 2) > 10 * value(photo, 0.9 * photo + 0.05, 2)


def test_clear_outlines_leave_plain_areas_free() -> None:
    """Strokes cost as much as lost outlines where there are any, and hardly anything elsewhere."""
    photo = torch.full((1, 3, 64, 64), 0.4)
    photo[..., 36:] = 0.7
    strokes = 0.1 * (picture(8, 64, 64).float() - 0.5)
    sky, outline = photo.clone(), photo.clone()
    sky[..., :24] += strokes[..., :24]
    outline[..., 28:44] += strokes[..., 28:44]
    assert value(photo, sky, 4, clear=True) < 0.02 * value(photo, sky, 4)
    assert value(photo, outline, 4, clear=True) > 0.3 * value(photo, outline, 4)


def test_larger_squares_see_larger_shapes_only() -> None:
    speckled = cat(64) + 0.1 * (picture(5, 64, 64).float() - 0.5)
    assert value(cat(64), speckled, 8) < 0.2 * value(cat(64), speckled, 1)


def test_a_flat_photograph_gives_finite_values() -> None:
    flat = torch.full((1, 3, 16, 16), 0.4)
    term = EdgesLoss(flat, 1.0)
    found, gradient = term.value_and_gradient(picture(6, 16, 16).float())
    assert torch.isfinite(found)
    assert torch.isfinite(gradient).all()
    assert float(term.value_and_gradient(flat)[0]) == 0


def test_following_the_gradient_brings_contours_back() -> None:
    photo = picture(7)
    image = blur(photo, 2.0)
    term = EdgesLoss(photo, 1.0, sizes_px=(1,))
    before, gradient = term.value_and_gradient(image)
    after, _ = term.value_and_gradient(image - 0.5 * gradient)
    assert float(after) < float(before)
    assert not image.requires_grad
