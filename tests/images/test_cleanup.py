"""Broken strokes are joined, whatever their direction; dots, tiles and edges stay."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.images.cleanup import clean_up


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def stripes(degrees: float, grain: float = 0.0, size: int = 48) -> Tensor:
    """Strokes 8 px wide, along a direction."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    angle = math.radians(degrees)
    wave = 0.5 + 0.3 * torch.sin(2 * math.pi * (x * math.sin(angle) - y * math.cos(angle)) / 16)
    return wave.expand(1, 3, size, size) + grain * (noise(1, 3, size, size) - 0.5)


def error(found: Tensor, expected: Tensor) -> float:
    inner = (..., slice(8, -8), slice(8, -8))
    return float((found - expected)[inner].square().mean().sqrt())


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 100), st.floats(0, 2))
def test_any_size(height: int, width: int, seed: int, amount: float) -> None:
    image = noise(1, 3, height, width, seed=seed)
    found = clean_up(image, amount)
    assert found.shape == image.shape
    assert image.min() - 1e-6 <= found.min() <= found.max() <= image.max() + 1e-6


def test_strips_do_not_show() -> None:
    image = noise(1, 3, 400, 40)
    tall = clean_up(image, 1.0)
    for first in (0, 90, 180):
        part = clean_up(image[:, :, first : first + 200], 1.0)
        torch.testing.assert_close(
            part[:, :, 24:-24], tall[:, :, first + 24 : first + 176], atol=1e-4, rtol=0
        )


def test_the_ends() -> None:
    image, flat = noise(1, 3, 30, 30), torch.full((1, 3, 30, 30), 0.3)
    assert torch.equal(clean_up(image, 0), image)
    torch.testing.assert_close(clean_up(flat, 3), flat)


def test_amounts_are_shares_of_passes() -> None:
    image = stripes(30, grain=0.2)
    once = clean_up(image, 1)
    torch.testing.assert_close(clean_up(image, 0.5), torch.lerp(image, once, 0.5))
    torch.testing.assert_close(clean_up(image, 2), clean_up(once, 1))


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 135, 170])
def test_strokes_are_cleared_in_every_direction(degrees: float) -> None:
    clean, dirty = stripes(degrees), stripes(degrees, grain=0.12)
    assert error(clean_up(dirty, 1), clean) < 0.8 * error(dirty, clean)
    assert error(clean_up(clean, 1), clean) < 0.02


def test_a_gap_in_a_stroke_fades() -> None:
    broken = stripes(90)
    broken[..., 22:24, :] -= 0.04
    gap = broken - stripes(90)
    left = clean_up(broken, 1) - clean_up(stripes(90), 1)
    assert left[..., 22:24, 8:-8].abs().mean() < 0.5 * gap[..., 22:24, 8:-8].abs().mean()


def test_dots_and_tiles_stay() -> None:
    dots = torch.full((1, 3, 40, 40), 0.1)
    dots[..., 18:21, 18:21] = 0.9
    assert clean_up(dots, 1)[..., 19, 19].min() > 0.85
    tiles = (torch.arange(40) // 5 % 2 ^ (torch.arange(40) // 5 % 2).view(-1, 1)).float()
    tiles = (0.2 + 0.6 * tiles).expand(1, 3, 40, 40)
    assert (clean_up(tiles, 1) - tiles).abs().mean() < 0.02


def test_the_more_the_smoother_along_the_stroke() -> None:
    dirty = stripes(0, grain=0.12)
    found = [clean_up(dirty, amount).diff(dim=3).abs().mean() for amount in (0, 0.5, 1, 2)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.4 * found[0]


def test_a_soft_edge_gets_crisper_without_a_halo() -> None:
    edge = (0.2 + 0.6 * torch.sigmoid((torch.arange(40) - 19.5) / 1.5)).expand(1, 3, 40, 40)
    found = clean_up(edge, 1)
    assert found.diff(dim=3).max() > 1.1 * edge.diff(dim=3).max()
    assert edge.min() - 1e-6 <= found.min()
    assert found.max() <= edge.max() + 1e-6
