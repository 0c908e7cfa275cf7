"""What a gradient goes through: colours by formula, washes, blurs and bands by closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stylize.images.blur import blur
from stylize.optimize.ascent import (
    cascade,
    conditioning,
    level_bands,
    natural_colours,
    without_washes,
)


def random(seed: int = 0, height: int = 32, width: int = 48) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)


def flat(value: float = 0.4) -> Tensor:
    return torch.full((1, 3, 40, 24), value, dtype=torch.float64)


def point(side: int = 65) -> Tensor:
    image = torch.zeros(1, 3, side, side, dtype=torch.float64)
    image[..., side // 2, side // 2] = 1
    return image


def seam(image: Tensor) -> float:
    """The mean jump across the two edges, relative to that between neighbours inside."""
    across = (image[..., 0] - image[..., -1]).abs().mean()
    down = (image[..., 0, :] - image[..., -1, :]).abs().mean()
    inside = image.diff(dim=3).abs().mean() + image.diff(dim=2).abs().mean()
    return float((across + down) / inside)


def test_natural_colours_are_those_of_the_formula() -> None:
    c = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
    c /= max(np.linalg.norm(c[:, column]) for column in range(3))
    gradient = random()
    expected = np.tensordot(c @ c.T, gradient[0].numpy(), axes=1)
    np.testing.assert_allclose(natural_colours(gradient)[0], expected, atol=1e-12)


def test_brightness_passes_and_green_against_magenta_hardly_does() -> None:
    grey = torch.ones(1, 3, 1, 1, dtype=torch.float64)
    garish = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64).view(1, 3, 1, 1)
    passed = [float(natural_colours(x).norm() / x.norm()) for x in (grey, garish)]
    assert passed[0] > 20 * passed[1]


@pytest.mark.parametrize("periodic", [False, True])
def test_most_of_a_wash_is_taken_out_and_grain_stays(periodic: bool) -> None:
    torch.testing.assert_close(without_washes(flat(), periodic=periodic), 0.3 * flat())
    y = torch.arange(96, dtype=torch.float64).view(-1, 1)
    grain = ((-1) ** (y + torch.arange(96))).expand(1, 3, -1, -1).contiguous()
    inner = slice(32, 64)
    found = without_washes(grain, periodic=periodic)[..., inner, inner]
    torch.testing.assert_close(found, grain[..., inner, inner], atol=0.02, rtol=0)


def test_a_cascade_is_the_mean_of_three_blurs_that_widen() -> None:
    gradient = random(1)
    for progress in (0.0, 0.5, 0.9):
        sigma = 0.5 + 2 * progress
        expected = sum(blur(gradient, sigma * factor) for factor in (0.5, 1, 2)) / 3
        torch.testing.assert_close(cascade(gradient, progress), expected)
    peaks = [float(cascade(point(), progress).max()) for progress in (0, 0.3, 0.6, 0.9)]
    assert peaks == sorted(peaks, reverse=True)
    torch.testing.assert_close(cascade(flat(), 0.5), flat())


@pytest.mark.parametrize("periodic", [False, True])
def test_bands_do_not_depend_on_the_gradients_scale(periodic: bool) -> None:
    gradient = random(2)
    found = level_bands(gradient, periodic=periodic)
    torch.testing.assert_close(level_bands(1e-9 * gradient, periodic=periodic), found)
    assert torch.equal(level_bands(0 * gradient, periodic=periodic), 0 * gradient)


def test_large_shapes_come_to_weigh_as_much_as_grain() -> None:
    x = torch.arange(96, dtype=torch.float64)
    waves = [torch.sin(2 * torch.pi * x / period) for period in (3.0, 48.0)]
    gradient = (waves[0] + 0.01 * waves[1]).expand(1, 3, 96, 96).contiguous()
    found = level_bands(gradient)[0, 0, 48]
    fine, coarse = (float((found @ wave).abs()) for wave in waves)
    assert coarse > 0.2 * fine


@pytest.mark.parametrize("palette", ["natural", "neon"])
@pytest.mark.parametrize("smoothing", ["none", "cascade", "laplacian"])
@pytest.mark.parametrize("size", [(64, 80), (50, 39)])
def test_a_periodic_gradient_stays_periodic(
    palette: str, smoothing: str, size: tuple[int, int]
) -> None:
    """Of a smooth gradient that tiles, nothing shows where the edges meet."""
    gradient = blur(random(3, *size), 3.0, periodic=True)
    found = conditioning(palette, smoothing, periodic=True)(gradient, 0.5)
    assert seam(found) < 1.3 * max(1.0, seam(gradient))


@pytest.mark.parametrize("palette", ["natural", "neon"])
@pytest.mark.parametrize("smoothing", ["none", "cascade", "laplacian"])
def test_a_periodic_way_begins_anywhere(palette: str, smoothing: str) -> None:
    """As far as the pyramid allows, whose coarsest pixels are 16 wide."""
    gradient = blur(random(4, 64, 96), 2.0, periodic=True)
    condition = conditioning(palette, smoothing, periodic=True)
    found = condition(gradient, 0.5)
    rolled = condition(gradient.roll((16, -32), (2, 3)), 0.5).roll((-16, 32), (2, 3))
    torch.testing.assert_close(rolled, found, rtol=0, atol=0.05 * float(found.abs().max()))


def test_the_whole_way_is_its_parts_in_order() -> None:
    gradient = random(5)
    assert torch.equal(conditioning("neon", "none")(gradient, 0.5), gradient)
    ways = {
        ("neon", "cascade"): cascade(gradient, 0.5),
        ("neon", "laplacian"): level_bands(gradient),
        ("natural", "none"): without_washes(natural_colours(gradient)),
        ("natural", "cascade"): without_washes(natural_colours(cascade(gradient, 0.5))),
    }
    for (palette, smoothing), expected in ways.items():
        assert torch.equal(conditioning(palette, smoothing)(gradient, 0.5), expected)
