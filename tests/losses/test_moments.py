"""What a style is: means and second moments, and their mixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.losses.statistics import Moments, blend, by_position, sums_of


def features(seed: int, channels: int = 4, height: int = 5, width: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=generator)


def moments_of(found: torch.Tensor) -> Moments:
    first, second = sums_of(found)
    positions = found.shape[2] * found.shape[3]
    return Moments(first / positions, second / positions)


def test_covariance_agrees_with_numpy() -> None:
    found = moments_of(features(0))
    rows = features(0)[0].flatten(1).numpy()
    np.testing.assert_allclose(found.covariance, np.cov(rows, bias=True), rtol=1e-4, atol=1e-5)


def test_constant_activations_have_no_covariance() -> None:
    constant = Moments(torch.full((3,), 2.0), torch.full((3, 3), 4.0))
    assert torch.equal(constant.covariance, torch.zeros(3, 3))


def test_rows_are_those_of_both_memory_layouts() -> None:
    plain = features(1)
    last = plain.contiguous(memory_format=torch.channels_last)
    assert torch.equal(by_position(plain), plain[0].flatten(1).T)
    assert torch.equal(by_position(last), by_position(plain))
    assert by_position(last).data_ptr() == last.data_ptr(), "no copy"
    torch.testing.assert_close(sums_of(plain), sums_of(last))


@pytest.mark.parametrize("shape", [(64, 40, 50), (512, 24, 32), (128, 7, 11), (256, 1, 1)])
def test_sums_of_bfloat16_are_better_than_bfloat16(shape: tuple[int, int, int]) -> None:
    halves = features(4, *shape).relu().bfloat16()
    found, expected = sums_of(halves), sums_of(halves.double())
    for one, other in zip(found, expected, strict=True):
        assert one.dtype is torch.float32
        assert float((one - other).norm() / other.norm()) < 1e-3


@given(st.integers(0, 10_000), st.permutations(range(4)))
def test_second_moment_is_psd_and_follows_the_channels(seed: int, order: list[int]) -> None:
    second = moments_of(features(seed)).second
    assert torch.linalg.eigvalsh(second.double()).min() > -1e-5
    permuted = moments_of(features(seed)[:, order]).second
    torch.testing.assert_close(permuted, second[order][:, order], rtol=1e-4, atol=1e-5)


def test_blend_is_the_moments_of_the_mixture() -> None:
    one, two = features(2, height=3), features(3, height=9)
    both = moments_of(torch.cat([one, two], dim=2))
    mixed = blend([moments_of(one), moments_of(two)], [3, 9])
    torch.testing.assert_close(mixed.mean, both.mean)
    torch.testing.assert_close(mixed.covariance, both.covariance)


@pytest.mark.parametrize("weights", [(1, 0), (7.5, 0)])
def test_blend_with_a_weight_of_zero_is_the_other(weights: tuple[float, float]) -> None:
    one, two = moments_of(features(4)), moments_of(features(5))
    torch.testing.assert_close(blend([one, two], weights).second, one.second)
