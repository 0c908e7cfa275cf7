import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.objectives import blend, moments_of
from stylize.objectives.moments import sums_of


def features(seed: int, channels: int = 4, height: int = 5, width: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=generator)


def test_agree_with_numpy() -> None:
    found = moments_of(features(0))
    rows = features(0)[0].flatten(1).numpy()
    np.testing.assert_allclose(found.mean, rows.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(rows, bias=True), rtol=1e-4, atol=1e-5)


def test_constant_activations_have_no_covariance() -> None:
    found = moments_of(torch.full((1, 3, 4, 4), 2.0))
    assert torch.equal(found.mean, torch.full((3,), 2.0))
    assert torch.equal(found.second, torch.full((3, 3), 4.0))
    assert torch.equal(found.covariance, torch.zeros(3, 3))


def test_channels_last_and_contiguous_agree() -> None:
    plain = features(1)
    last = plain.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(moments_of(plain).second, moments_of(last).second)


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
