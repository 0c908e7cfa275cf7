"""What a style is: means and second moments, and their mixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylize.objectives import Moments, blend
from stylize.objectives.moments import by_position


def features(seed: int, channels: int = 4, height: int = 5, width: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=generator)


def exact_moments(found: torch.Tensor) -> Moments:
    rows = found[0].flatten(1)
    return Moments(rows.mean(1), rows @ rows.T / rows.shape[1])


def test_covariance_agrees_with_numpy() -> None:
    found = exact_moments(features(0))
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


def test_blend_is_the_moments_of_the_mixture() -> None:
    one, two = features(2, height=3), features(3, height=9)
    both = exact_moments(torch.cat([one, two], dim=2))
    mixed = blend([exact_moments(one), exact_moments(two)], [3, 9])
    torch.testing.assert_close(mixed.mean, both.mean)
    torch.testing.assert_close(mixed.covariance, both.covariance)


@pytest.mark.parametrize("weights", [(1, 0), (7.5, 0)])
def test_blend_with_a_weight_of_zero_is_the_other(weights: tuple[float, float]) -> None:
    one, two = exact_moments(features(4)), exact_moments(features(5))
    torch.testing.assert_close(blend([one, two], weights).second, one.second)
