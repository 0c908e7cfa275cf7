"""Grain goes, edges stay; OpenCV's bilateral filter is the oracle."""

from __future__ import annotations

import cv2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.images.clarity import bilateral, clarified


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def halves(grain: float = 0.0) -> Tensor:
    """A dark half and a light half."""
    image = torch.full((1, 3, 24, 32), 0.25)
    image[..., 16:] = 0.75
    return (image + grain * (noise(1, 3, 24, 32) - 0.5)).clamp(0, 1)


@pytest.mark.parametrize("contrast", [0.05, 0.3, 1.0])
def test_it_is_the_bilateral_filter(contrast: float) -> None:
    image = 0.5 + contrast * (noise(1, 3, 29, 23) - 0.5)
    pixels = image[0].permute(1, 2, 0).contiguous().numpy()
    expected = torch.from_numpy(cv2.bilateralFilter(pixels, 9, 30 / 255, 3.0))
    found = bilateral(image)[0].permute(1, 2, 0)
    # At the border, OpenCV counts mirrored pixels.
    inner = (slice(4, -4), slice(4, -4))
    torch.testing.assert_close(found[inner], expected[inner], atol=2e-4, rtol=0)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 100), st.floats(0, 2))
def test_any_size(height: int, width: int, seed: int, amount: float) -> None:
    image = noise(1, 3, height, width, seed=seed)
    found = clarified(image, amount)
    assert found.shape == image.shape
    assert 0 <= found.min() <= found.max() <= 1
    for axis in (2, 3):
        torch.testing.assert_close(clarified(image.flip(axis), amount), found.flip(axis))


def test_strips_do_not_show() -> None:
    image = noise(1, 3, 300, 5)
    tall = clarified(image, 1.0)
    for first in (0, 90, 180):
        part = clarified(image[:, :, first : first + 120], 1.0)
        torch.testing.assert_close(part[:, :, 8:-8], tall[:, :, first + 8 : first + 112])


def test_the_ends() -> None:
    image, flat = noise(1, 3, 9, 9), torch.full((1, 3, 9, 9), 0.3)
    assert torch.equal(clarified(image, 0), image)
    torch.testing.assert_close(clarified(flat, 2), flat)


def test_grain_goes_and_edges_get_crisper() -> None:
    image = halves(grain=0.04)
    found = {amount: clarified(image, amount) for amount in (0.5, 1.0, 2.0)}
    spread = [float(each[..., :12].std()) for each in (image, found[0.5], found[1.0])]
    assert spread[2] < 0.5 * spread[0]
    assert spread[2] < spread[1] < spread[0]
    steps = [float((each[..., 16] - each[..., 15]).mean()) for each in (image, *found.values())]
    assert steps == sorted(steps)
    assert steps[2] > 1.2 * steps[0]
    soft = clarified(image, 1.0, sharpening=0)
    assert float((soft[..., 16] - soft[..., 15]).mean()) < steps[2]
