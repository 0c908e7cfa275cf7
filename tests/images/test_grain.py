"""The grain of a style image lies on calm areas of its colour, as strong as there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.images.grain import grain_of, with_grain

RED, BLUE = (0.7, 0.2, 0.2), (0.2, 0.3, 0.7)


def plain(colour: tuple[float, ...], height: int = 96, width: int = 96) -> Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, height, width).contiguous()


def rough(image: Tensor, amount: float, seed: int = 0) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + amount * noise).clamp(0, 1)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 100), st.floats(0, 2))
def test_any_size(height: int, width: int, seed: int, amount: float) -> None:
    image = rough(plain(RED, height, width), 0.2, seed)
    found = with_grain(image, grain_of(rough(plain(BLUE, 16, 40), 0.02)), amount)
    assert found.shape == image.shape
    assert 0 <= found.min() <= found.max() <= 1


def test_as_strong_as_in_the_style_image() -> None:
    grain = grain_of(rough(plain(RED), 0.02))
    image = plain(RED, 128, 160)
    change = with_grain(image, grain, 1) - image
    assert float(change.std()) == pytest.approx(float(grain.patches.std()), rel=0.05)
    assert float(change.mean().abs()) < 0.1 * float(change.std())
    twice = with_grain(image, grain, 2) - image
    torch.testing.assert_close(twice, 2 * change, atol=1e-6, rtol=0)
    assert torch.equal(with_grain(image, grain, 0), image)


def test_it_shows_evenly() -> None:
    """No seams: neither the overlap of patches nor their borders are seen in the strength."""
    image = plain(RED, 256, 256)
    change = with_grain(image, grain_of(rough(plain(RED), 0.02)), 1) - image
    squares = change.square().reshape(3, 32, 8, 32, 8)
    for others in ((0, 1, 2, 3), (0, 1, 3, 4)):
        phases = squares.mean(others)
        assert float(phases.max() / phases.min()) < 1.2


def test_no_patch_is_seen_twice_in_a_row() -> None:
    image = plain(RED, 16, 800)
    change = with_grain(image, grain_of(rough(plain(RED), 0.02)), 1) - image
    parts = change[..., 16:-16].reshape(3, 16, -1, 16).permute(2, 0, 1, 3).flatten(1)
    alike = torch.corrcoef(parts) - torch.eye(len(parts))
    assert float((alike.abs() > 0.8).float().mean()) < 0.05


def test_rounding_errors_change_nothing() -> None:
    grain = grain_of(rough(plain(BLUE), 0.02))
    image = rough(plain(RED, 160, 160), 0.01)
    other = image + 1e-6 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    found = [with_grain(each, grain, 1) for each in (image, other)]
    torch.testing.assert_close(*found, atol=1e-4, rtol=0)


def test_grain_goes_where_the_colour_is() -> None:
    """Red is smooth, blue is rough, in the style image and so in the painting."""
    style = torch.cat([plain(RED), rough(plain(BLUE), 0.03)], 3)
    image = torch.cat([plain(BLUE), plain(RED)], 3)
    change = (with_grain(image, grain_of(style), 1) - image).abs()
    assert float(change[..., :80].mean()) > 20 * float(change[..., 112:].mean())


def test_strokes_stay_as_they_are() -> None:
    """Of stripes and a calm sky, only the sky gets a grain."""
    image = plain(RED, 96, 96)
    image[:, :, 48:, ::4] = image[:, :, 48:, 1::4] = 0.9
    change = (with_grain(image, grain_of(rough(plain(RED), 0.02)), 1) - image).abs()
    assert float(change[:, :, 56:].max()) == 0
    assert float(change[:, :, :40].mean()) > 0.001


def test_outlines_of_the_style_image_are_no_grain() -> None:
    style = plain(RED)
    style[..., 48:] = 0.9
    image = plain(RED)
    assert float((with_grain(image, grain_of(style), 1) - image).abs().max()) < 0.01
