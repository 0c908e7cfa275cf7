"""Values against closed forms, seeds against autograd, for every term on features."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylize.gradients.tiled import scaled
from stylize.losses.content import ContentLoss
from stylize.losses.gram import GramLoss
from stylize.losses.loss import FeatureLoss
from stylize.losses.moments import MomentsLoss
from stylize.losses.statistics import Moments
from stylize.losses.wasserstein import WassersteinLoss

SHAPE = (1, 5, 4, 6)


def random(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(SHAPE, generator=generator, dtype=torch.float64)


def exact_moments(features: Tensor) -> Moments:
    rows = features[0].flatten(1)
    return Moments(rows.mean(1), rows @ rows.T / rows.shape[1])


def relative(x: Tensor, target: Tensor) -> Tensor:
    return (x - target).square().sum() / target.square().sum()


def gram_loss(features: Tensor) -> Tensor:
    return relative(exact_moments(features).second, exact_moments(random(1)).second)


def moments_loss(features: Tensor) -> Tensor:
    found, target = exact_moments(features), exact_moments(random(1))
    return relative(found.covariance, target.covariance) + relative(found.mean, target.mean)


def content_loss(features: Tensor) -> Tensor:
    return relative(features, random(1))


TERMS: list[tuple[FeatureLoss, Callable[[Tensor], Tensor]]] = [
    (GramLoss("relu1_1", exact_moments(random(1)), 1.0), gram_loss),
    (MomentsLoss("relu1_1", exact_moments(random(1)), 1.0), moments_loss),
    (ContentLoss("relu1_1", random(1), 1.0), content_loss),
]


def evaluate(term: FeatureLoss, features: Tensor) -> tuple[Tensor, Tensor]:
    value, slope = term.value_and_slope(
        term.statistics(features), features.shape[2] * features.shape[3]
    )
    return value, term.feature_gradient(features, slope)


@pytest.mark.parametrize(("term", "loss"), TERMS)
def test_value_and_seed_agree_with_autograd(
    term: FeatureLoss, loss: Callable[[Tensor], Tensor]
) -> None:
    features = random(2).requires_grad_()
    expected = loss(features)
    (gradient,) = torch.autograd.grad(expected, features)
    value, seed = evaluate(term, features.detach())
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(seed, gradient)


@pytest.mark.parametrize(("term", "loss"), TERMS)
def test_the_target_is_the_minimum(term: FeatureLoss, loss: object) -> None:
    value, seed = evaluate(term, random(1))
    assert float(value) < 1e-28
    assert float(seed.abs().max()) < 1e-14


@pytest.mark.parametrize(("term", "loss"), TERMS[:2])
def test_style_sums_over_parts_add_up(term: FeatureLoss, loss: object) -> None:
    features = random(3)
    whole = term.statistics(features)
    parts = [term.statistics(part) for part in features.split(2, dim=2)]
    for found, expected in zip(map(sum, zip(*parts, strict=True)), whole, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", [GramLoss, MomentsLoss, WassersteinLoss])
def test_style_does_not_depend_on_the_number_of_positions(kind: type) -> None:
    features = random(4)
    term = kind("relu1_1", exact_moments(random(5)), 1.0)
    larger = torch.cat([features, features, features], dim=3)
    torch.testing.assert_close(evaluate(term, larger)[0], evaluate(term, features)[0])


@pytest.mark.parametrize("kind", [GramLoss, MomentsLoss, WassersteinLoss])
def test_style_does_not_depend_on_the_scale_of_a_layer(kind: type) -> None:
    plain = kind("relu1_1", exact_moments(random(5)), 1.0)
    scaled = kind("relu1_1", exact_moments(100 * random(5)), 1.0)
    torch.testing.assert_close(evaluate(scaled, 100 * random(4))[0], evaluate(plain, random(4))[0])


def test_gram_cannot_tell_contrast_from_mean_and_moments_can() -> None:
    """Activations of equal second moment: one constant, one of mean zero."""
    flat = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    alternating = torch.tensor([1.0, -1, -1, 1], dtype=torch.float64).view(1, 1, 2, 2)
    target = exact_moments(alternating)
    assert float(evaluate(GramLoss("relu1_1", target, 1.0), flat)[0]) == 0
    assert float(evaluate(MomentsLoss("relu1_1", target, 1.0), flat)[0]) > 0.5


@pytest.mark.parametrize("kind", [MomentsLoss, WassersteinLoss])
def test_a_style_without_contrast_gives_finite_values(kind: type) -> None:
    flat = exact_moments(torch.full(SHAPE, 0.7))
    value, seed = evaluate(kind("relu1_1", flat, 1.0), random(6).float())
    assert torch.isfinite(value)
    assert torch.isfinite(seed).all()


def wasserstein(target: Moments) -> WassersteinLoss:
    return WassersteinLoss("relu1_1", target, 1.0)


def test_the_seed_of_wasserstein_is_the_derivative() -> None:
    """Also of fewer positions than channels."""
    term = wasserstein(exact_moments(random(1)))
    for features in (random(2), random(3)[..., :1, :3]):
        seed, step = evaluate(term, features)[1], 1e-6 * random(7)[..., : features.shape[2], :]
        step = step[..., : features.shape[3]]
        change = evaluate(term, features + step)[0] - evaluate(term, features - step)[0]
        assert float(change) == pytest.approx(float(2 * (seed * step).sum()), rel=1e-5)


def test_wasserstein_at_its_target_is_zero() -> None:
    value, seed = evaluate(wasserstein(exact_moments(random(1))), random(1))
    assert float(value) == pytest.approx(0, abs=1e-12)
    assert float(seed.abs().max()) < 1e-10


def test_wasserstein_of_a_shift_is_the_shift() -> None:
    """Distributions of equal shape are as far apart as their means."""
    target = exact_moments(random(1))
    found, _ = evaluate(wasserstein(target), random(1) + 0.5)
    assert float(found) == pytest.approx(float(5 * 0.25 / target.second.trace()), rel=1e-9)


def test_wasserstein_of_nothing_is_one() -> None:
    found, _ = evaluate(wasserstein(exact_moments(random(1))), 0 * random(1))
    assert float(found) == pytest.approx(1, rel=0.05)


def test_dead_activations_give_finite_values() -> None:
    dead = torch.zeros(SHAPE)
    for term in (
        GramLoss("relu1_1", exact_moments(dead), 1.0),
        MomentsLoss("relu1_1", exact_moments(dead), 1.0),
        WassersteinLoss("relu1_1", exact_moments(dead), 1.0),
        ContentLoss("relu1_1", dead, 1.0),
    ):
        value, seed = evaluate(term, dead)
        assert float(value) == 0
        assert torch.isfinite(seed).all()


@pytest.mark.parametrize("kind", [GramLoss, MomentsLoss, WassersteinLoss])
def test_in_bfloat16_the_seed_is_nearly_the_same(
    kind: type[GramLoss] | type[MomentsLoss] | type[WassersteinLoss],
) -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.rand(2, 1, 32, 20, 24, generator=generator).bfloat16().square()
    term = kind("relu1_1", exact_moments((two * 1.5).float()), 1.0)
    (value, seed), (expected, slope) = evaluate(term, one), evaluate(term, one.float())
    assert seed.dtype is torch.bfloat16
    torch.testing.assert_close(value, expected, rtol=5e-3, atol=0)
    assert float((seed - slope).norm() / slope.norm()) < 0.01


@pytest.mark.parametrize(("term", "loss"), TERMS)
def test_the_seed_is_linear_in_the_slope(term: FeatureLoss, loss: object) -> None:
    features = random(2)
    _, slope = term.value_and_slope(term.statistics(features), 24)
    torch.testing.assert_close(
        term.feature_gradient(features, scaled(slope, 3.0)),
        3 * term.feature_gradient(features, slope),
    )
