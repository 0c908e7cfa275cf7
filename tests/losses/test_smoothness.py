import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.losses.smoothness import SmoothnessLoss, total_variation


def picture(seed: int, height: int = 7, width: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


def test_a_constant_is_smooth() -> None:
    assert float(total_variation(torch.full((1, 3, 8, 8), 0.4))) == 0


def test_a_ramp_has_the_square_of_its_slope() -> None:
    slope, width = 0.1, 10
    ramp = (slope * torch.arange(width)).expand(1, 3, 6, width).double()
    # One axis and both diagonals change by the slope, wherever there is a neighbour.
    expected = slope**2 * (width - 1) / width * (2 / 3 + 2 / 6 * 5 / 6)
    assert float(total_variation(ramp)) == pytest.approx(expected, rel=1e-6)


def test_a_checkerboard_differs_along_the_axes_only() -> None:
    board = (torch.arange(8).view(-1, 1) + torch.arange(8)).remainder(2).double()
    found = float(total_variation(board.expand(1, 3, 8, 8)))
    assert found == pytest.approx(2 * (2 / 3) * 7 / 8, rel=1e-6)


def test_the_gradient_is_the_nine_point_laplacian() -> None:
    image = picture(0, 12, 12)
    _, gradient = SmoothnessLoss(1.0).value_and_gradient(image)
    kernel = -np.array([[1, 4, 1], [4, -20, 4], [1, 4, 1]]) / 6
    plane = scipy.ndimage.correlate(image[0, 0].numpy(), kernel) * 2 / image.numel()
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(gradient[0, 0].numpy()[inner], plane[inner], rtol=1e-9, atol=1e-15)


@given(st.integers(0, 1000))
def test_turning_and_mirroring_change_nothing(seed: int) -> None:
    image = picture(seed, 6, 6)
    value = total_variation(image)
    torch.testing.assert_close(total_variation(image.rot90(1, (2, 3))), value)
    torch.testing.assert_close(total_variation(image.transpose(2, 3)), value)


def test_the_gradient_is_that_of_the_value() -> None:
    assert torch.autograd.gradcheck(total_variation, picture(1, 4, 5).requires_grad_())


def test_nothing_is_left_on_the_image() -> None:
    image = picture(2)
    SmoothnessLoss(1.0).value_and_gradient(image)
    assert not image.requires_grad
