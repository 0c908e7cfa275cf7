"""The Bures distance against closed forms, its slope against differences."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.losses import wasserstein as bures
from stylize.losses.wasserstein import Bures


def covariance(seed: int, channels: int = 6, positions: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(positions, channels, generator=generator, dtype=torch.float64)
    return torch.cov((rows @ torch.randn(channels, channels, generator=generator).double()).T)


@pytest.fixture
def sharp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what makes the distance fast and finite: every direction, no blur."""
    monkeypatch.setattr(bures, "_BLUR", 1e-12)


@pytest.mark.usefixtures("sharp")
def test_is_the_formula() -> None:
    one, other = covariance(0), covariance(1)
    root = scipy.linalg.sqrtm(other.numpy())
    cross = scipy.linalg.sqrtm(root @ one.numpy() @ root).trace().real
    expected = float(one.trace() + other.trace()) - 2 * cross
    assert float(Bures(other)(one)[0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.usefixtures("sharp")
def test_between_diagonals_it_is_that_of_deviations() -> None:
    one, other = torch.tensor([1.0, 4, 9]).double(), torch.tensor([4.0, 4, 1]).double()
    value, slope = Bures(torch.diag(other))(torch.diag(one))
    assert float(value) == pytest.approx(1 + 0 + 4, rel=1e-6)
    torch.testing.assert_close(slope, torch.diag(1 - (other / one).sqrt()), rtol=1e-5, atol=1e-5)


@given(st.integers(0, 500), st.integers(0, 500))
def test_is_a_distance(one: int, other: int) -> None:
    there = float(Bures(covariance(other))(covariance(one))[0])
    assert there >= 0
    value, slope = Bures(covariance(other))(covariance(other))
    assert float(value) == pytest.approx(0, abs=1e-10)
    assert float(slope.abs().max()) < 1e-9


@pytest.mark.parametrize("positions", [40, 3])
@pytest.mark.parametrize("share", [1.0, 0.95, 0.5])
def test_the_slope_is_that_of_the_value(
    positions: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a covariance that lacks directions, of fewer positions than channels."""
    monkeypatch.setattr(bures, "_MOST_WHOLE", 0)
    distance, at = Bures(covariance(1), share), covariance(2, positions=positions)
    slope = distance(at)[1]
    torch.testing.assert_close(slope, slope.T)
    for seed in range(3):
        step = 1e-6 * covariance(seed + 5)
        change = distance(at + step)[0] - distance(at)[0]
        middle = distance(at + step / 2)[1]
        assert float(change) == pytest.approx(float((middle * step).sum()), rel=1e-2)


def test_directions_without_variance_have_a_bounded_slope() -> None:
    missing = torch.diag(torch.tensor([1.0, 1, 0, 0]).double())
    value, slope = Bures(torch.eye(4).double())(missing)
    assert float(value) == pytest.approx(2, rel=0.2)
    assert float(slope.abs().max()) < 1.1 / bures._BLUR**0.5
    assert float(slope[3, 3]) < -5  # more is wanted


def test_the_rest_counts_as_one_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned about within the faint directions nothing changes; made stronger, it does."""
    monkeypatch.setattr(bures, "_MOST_WHOLE", 0)
    target = torch.diag(torch.tensor([100.0, 90, 80, 1, 1, 1]).double())
    distance = Bures(target, 0.95)
    turned = target.clone()
    turned[3:, 3:] = torch.diag(torch.tensor([2.5, 0.5, 0.0]).double())
    assert float(distance(turned)[0]) == pytest.approx(0, abs=1e-9)
    assert float(Bures(target, 1.0)(turned)[0]) > 1
    assert float(distance(target + torch.diag(torch.tensor([0.0] * 5 + [9.0])))[0]) > 1


@pytest.mark.parametrize("scale", [1.0, 7.0, 0.3])
def test_directions_without_variance_are_left_out(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number is that of the positions, less one, and no matter of rounding."""
    monkeypatch.setattr(bures, "_MOST_WHOLE", 0)
    features = scale * torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    target = torch.cov(features).float()
    assert Bures(target, 1.0)._axes.shape == (40, 11)


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e6])
def test_stays_finite_whatever_the_size(scale: float) -> None:
    for one, other in [(scale, 1.0), (1.0, scale), (scale, scale)]:
        value, slope = Bures(other * covariance(0).float())(one * covariance(1).float())
        assert torch.isfinite(value)
        assert torch.isfinite(slope).all()
        assert slope.dtype is torch.float32


def test_what_is_not_finite_is_not_made_so() -> None:
    value, slope = Bures(covariance(0))(covariance(1) * torch.inf)
    assert torch.isnan(value)
    assert slope.isnan().all()


def test_faint_directions_count_in_shallow_layers() -> None:
    """A direction with a millionth of the variance, such as the hue of a nearly grey style."""
    target = torch.diag(torch.tensor([1e3, 1e3, 1e-3]).double())
    spotted = torch.diag(torch.tensor([1e3, 1e3, 1.0]).double())
    found = float(Bures(target)(spotted)[0])
    blur = bures._BLUR * float(target.trace()) / 3
    assert found == pytest.approx(((1 + blur) ** 0.5 - (1e-3 + blur) ** 0.5) ** 2)
    assert found > 0.3
