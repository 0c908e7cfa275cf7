from __future__ import annotations

import pytest
import torch

from stylize.images import resampling
from stylize.images.resampling import resize, resize_clamped


def test_the_same_size_is_the_same_tensor():
    image = torch.rand(1, 3, 5, 7)
    assert resize(image, (5, 7)) is image


@pytest.mark.parametrize("size", [(3, 4), (20, 31), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_stays_constant(size, dtype):
    resized = resize(torch.full((2, 3, 10, 12), 0.3, dtype=dtype), size)
    assert resized.shape == (2, 3, *size)
    assert resized.dtype == dtype
    torch.testing.assert_close(resized, torch.full_like(resized, 0.3))


def test_shrinking_averages_instead_of_picking():
    checkers = torch.arange(64).remainder(2).float()
    image = (checkers[:, None] != checkers[None]).float()[None, None]
    torch.testing.assert_close(
        resize(image, (8, 8)), torch.full((1, 1, 8, 8), 0.5), atol=0.02, rtol=0
    )


@pytest.mark.parametrize("size", [(31, 40), (90, 70), (50, 70)])
def test_channel_by_channel_is_the_same(monkeypatch, size):
    image = torch.rand(2, 3, 50, 61, generator=torch.Generator().manual_seed(0))
    at_once = resize(image, size)
    monkeypatch.setattr(resampling, "LARGE_PX", 1)
    assert torch.equal(resize(image, size), at_once)


def test_overshoot_is_kept():
    step = (torch.arange(32) >= 16).float().expand(1, 1, 32, 32)
    resized = resize(step, (64, 64))
    assert 1.02 < resized.max() < 1.1
    assert -0.1 < resized.min() < -0.02


@pytest.mark.parametrize("size", [(64, 64), (31, 45), (5, 5)])
def test_clamped_is_resized_and_cut(size):
    step = (torch.arange(32) >= 16).float().expand(1, 3, 32, 32)
    before = step.clone()
    found = resize_clamped(step, size)
    assert torch.equal(found, resize(step, size).clamp(0, 1))
    assert torch.equal(step, before)


def test_clamped_makes_no_second_copy(monkeypatch):
    image = torch.rand(1, 3, 8, 8)
    assert resize_clamped(image, (8, 8)) is image
    resized = torch.full((1, 3, 4, 4), 1.5)
    monkeypatch.setattr(resampling, "resize", lambda image, size: resized)
    assert resize_clamped(image, (4, 4)) is resized
    assert resized.max() == 1
