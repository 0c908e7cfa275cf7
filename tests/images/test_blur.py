"""Blurs against scipy, bands against what they were cut from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor

from stylize.images.blur import blur, map_bands

few = settings(max_examples=25, deadline=None)


def random(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.2, 5.0])
@pytest.mark.parametrize(("periodic", "mode"), [(False, "nearest"), (True, "wrap")])
def test_the_blur_is_scipys(sigma: float, periodic: bool, mode: str) -> None:
    image = random(23, 31)
    expected = gaussian_filter(
        image.numpy(), sigma, mode=mode, axes=(2, 3), radius=max(1, round(3 * sigma))
    )
    np.testing.assert_allclose(blur(image, sigma, periodic=periodic), expected, atol=1e-12)


@pytest.mark.parametrize("periodic", [False, True])
def test_a_point_becomes_the_gaussian(periodic: bool) -> None:
    point = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    point[..., 20, 20] = 1
    found = blur(point, 4.0, periodic=periodic)[0, 0]
    bell = torch.exp(-torch.arange(-12.0, 13.0, dtype=torch.float64).square() / 32)
    bell /= bell.sum()
    torch.testing.assert_close(found[8:33, 8:33], torch.outer(bell, bell))
    assert float(found.sum()) == pytest.approx(1)


@few
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.2, 20), st.booleans())
def test_a_flat_picture_stays_flat(height: int, width: int, sigma: float, periodic: bool) -> None:
    """However small the picture is compared with the blur."""
    flat = torch.full((1, 3, height, width), 0.7, dtype=torch.float64)
    torch.testing.assert_close(blur(flat, sigma, periodic=periodic), flat)


@few
@given(st.integers(2, 30), st.integers(2, 30), st.integers(-40, 40), st.floats(0.3, 12))
def test_a_periodic_blur_begins_anywhere(height: int, width: int, shift: int, sigma: float) -> None:
    image = random(height, width)
    found = blur(image.roll((shift, -shift), (2, 3)), sigma, periodic=True)
    expected = blur(image, sigma, periodic=True).roll((shift, -shift), (2, 3))
    torch.testing.assert_close(found, expected)


@few
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 7))
def test_unchanged_bands_add_up_to_the_picture(height: int, width: int, levels: int) -> None:
    image = random(height, width)
    torch.testing.assert_close(map_bands(image, levels, lambda band: band), image)


@pytest.mark.parametrize("factor", [0.0, 2.5, -1.0])
def test_the_change_is_applied_to_every_band(factor: float) -> None:
    image = random(40, 56)
    torch.testing.assert_close(map_bands(image, 4, lambda band: factor * band), factor * image)


def test_bands_are_halved_until_nothing_is_left() -> None:
    def shapes(height: int, width: int, levels: int) -> list[tuple[int, ...]]:
        seen = []
        map_bands(random(height, width), levels, lambda band: seen.append(band.shape[2:]) or band)
        return sorted(tuple(shape) for shape in seen)

    assert shapes(48, 33, 3) == [(6, 5), (12, 9), (24, 17), (48, 33)]
    assert shapes(3, 40, 5) == [(1, 10), (2, 20), (3, 40)]
    assert shapes(1, 40, 5) == [(1, 40)]


def test_fine_and_coarse_are_in_different_bands() -> None:
    x = torch.arange(64, dtype=torch.float64)
    fine = (0.2 * (-1) ** x).expand(1, 1, 64, 64)
    coarse = torch.sin(2 * torch.pi * (x + 0.5) / 64).expand(1, 1, 64, 64)
    sizes: dict[int, float] = {}

    def note(band: Tensor) -> Tensor:
        sizes[band.shape[3]] = float(band[..., 2:-2].abs().max())
        return band

    map_bands((fine + coarse).contiguous(), 3, note)
    assert sizes[64] == pytest.approx(0.2, abs=0.02)
    assert sizes[8] > 0.8
    assert sizes[32] < 0.03
