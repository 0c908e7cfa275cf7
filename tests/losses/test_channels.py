"""Dream terms: values against loops, seeds against autograd, alone and through the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.gradients.tiled import TiledEngine
from stylize.losses import guide as module
from stylize.losses.channels import ChannelLoss, EnergyLoss, PositionLoss
from stylize.losses.guide import GuideLoss
from stylize.losses.loss import Objective
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from tests.conftest import photo, strokes

SHAPE = (1, 5, 7, 9)
POSITIONS = 7 * 9
SHARES = torch.tensor([0.5, 0.0, 2.0, 0.25, -1.0], dtype=torch.float64)
Loss = Callable[[Tensor], Tensor]


def random(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """Activations before the ReLU: of both signs, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


GUIDE = random(9, (1, 5, 3, 4))


def energy(features: Tensor) -> Tensor:
    return features.relu().square().sum() / 2


def shared_energy(features: Tensor) -> Tensor:
    return (features.relu().square() * SHARES.view(1, -1, 1, 1)).sum() / 2


def response(features: Tensor) -> Tensor:
    return features[:, 1].sum() + features[:, 3].sum()


def similarity(features: Tensor) -> Tensor:
    return torch.einsum("chw,cj->hwj", features[0], GUIDE[0].flatten(1)).amax(2).sum()


def terms(border: int = 0) -> list[tuple[PositionLoss, Loss]]:
    return [
        (EnergyLoss("all", "conv1_1", 1.0, border=border), energy),
        (EnergyLoss("some", "conv1_1", 1.0, channels=SHARES, border=border), shared_energy),
        (ChannelLoss("two", "conv1_1", 1.0, channels=(1, 3), border=border), response),
        (GuideLoss("guide", "conv1_1", 1.0, guide=GUIDE, border=border), similarity),
    ]


CASES = [
    pytest.param(term, loss, border, id=f"{term.name}-{border}")
    for border in (0, 1, 2)
    for term, loss in terms(border)
]
PLAIN = [case for case in CASES if case.values[2] == 0]


def evaluate(term: PositionLoss, features: Tensor) -> tuple[Tensor, Tensor]:
    value, slope = term.value_and_slope(
        term.statistics(features), features.shape[2] * features.shape[3]
    )
    return value, term.feature_gradient(features, slope)


@pytest.mark.parametrize(("term", "loss", "border"), CASES)
def test_value_and_seed_agree_with_autograd(term: PositionLoss, loss: Loss, border: int) -> None:
    features = random(1).requires_grad_()
    inner = features[..., border : 7 - border, border : 9 - border]
    expected = loss(inner) / POSITIONS
    (gradient,) = torch.autograd.grad(expected, features)
    value, seed = evaluate(term, features.detach())
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(seed, gradient)


@pytest.mark.parametrize(("term", "loss", "border"), CASES)
def test_the_activations_are_left_as_they_were(term: PositionLoss, loss: Loss, border: int) -> None:
    features = random(2)
    evaluate(term, features)
    assert torch.equal(features, random(2))


@pytest.mark.parametrize(("term", "loss", "border"), PLAIN)
def test_sums_over_parts_add_up(term: PositionLoss, loss: Loss, border: int) -> None:
    features = random(3)
    parts = sum(term.statistics(part) for part in features.split((3, 6), dim=3))
    torch.testing.assert_close(parts, term.statistics(features))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_the_border_never_takes_everything(height: int, width: int, border: int) -> None:
    term = ChannelLoss("one", "conv1_1", 1.0, channels=(0,), border=border)
    _, seed = evaluate(term, torch.zeros(1, 2, height, width))
    counted = seed[0, 0] != 0
    rows, columns = int(counted.any(1).sum()), int(counted.any(0).sum())
    assert rows == (height - 2 * border if height > 2 * border else 2 - height % 2)
    assert columns == (width - 2 * border if width > 2 * border else 2 - width % 2)
    assert torch.equal(counted, counted.flip(0).flip(1)), "as much on each side"


def test_a_silent_channel_has_a_slope_before_the_relu() -> None:
    """After the ReLU there would be none, and no picture would ever wake the channel."""
    silent = -1 - random(4).abs()
    _, seed = evaluate(ChannelLoss("dead", "conv1_1", 1.0, channels=(2,)), silent)
    torch.testing.assert_close(seed[:, 2], torch.full_like(seed[:, 2], 1 / POSITIONS))
    assert torch.equal(seed[:, :2], torch.zeros_like(seed[:, :2]))
    assert float(evaluate(EnergyLoss("all", "conv1_1", 1.0), silent)[1].abs().max()) == 0


@pytest.mark.parametrize("factor", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("kind", ["all", "guide"])
def test_in_units_of_a_picture_that_picture_has_1(kind: str, factor: float) -> None:
    features = factor * random(5).relu()
    (term,) = (term for term, _ in terms() if term.name == kind)
    value, _ = evaluate(term.relative_to(features), features)
    assert float(value) == pytest.approx(1, rel=1e-6)


def test_responses_are_in_units_of_their_size_whatever_their_sign() -> None:
    features = random(5)
    term = ChannelLoss("two", "conv1_1", 1.0, channels=(1, 3)).relative_to(features)
    value, seed = evaluate(term, features)
    size = float(features[:, [1, 3]].abs().sum())
    assert float(value) == pytest.approx(float(response(features)) / size, rel=1e-6)
    assert float(seed[0, 1, 0, 0]) == pytest.approx(1 / size, rel=1e-6)


def test_the_term_in_other_units_is_another_term() -> None:
    term = EnergyLoss("all", "conv1_1", -2.0, border=1)
    before = evaluate(term, random(6))[0]
    relative = term.relative_to(random(7))
    assert torch.equal(evaluate(term, random(6))[0], before)
    assert (relative.name, relative.layer, relative.weight) == ("all", "conv1_1", -2.0)
    ratio = evaluate(relative, random(6))[0] / before
    torch.testing.assert_close(
        evaluate(relative, random(8))[0], ratio * evaluate(term, random(8))[0]
    )


@pytest.mark.parametrize(("term", "loss", "border"), CASES)
def test_nothing_to_compare_with_gives_finite_values(
    term: PositionLoss, loss: Loss, border: int
) -> None:
    relative = term.relative_to(torch.zeros(SHAPE, dtype=torch.float64))
    for features in (torch.zeros(SHAPE, dtype=torch.float64), 100 * random(1)):
        value, seed = evaluate(relative, features)
        assert torch.isfinite(value.float())
        assert torch.isfinite(seed.float()).all()


def test_similarity_is_that_of_a_plain_loop() -> None:
    features = random(10).numpy()[0]
    guide = GUIDE.numpy()[0].reshape(5, -1)
    amounts, slopes = np.empty((7, 9)), np.empty((5, 7, 9))
    for y in range(7):
        for x in range(9):
            products = [float(features[:, y, x] @ guide[:, j]) for j in range(guide.shape[1])]
            amounts[y, x] = max(products)
            slopes[:, y, x] = guide[:, products.index(max(products))]
    term = GuideLoss("guide", "conv1_1", 1.0, guide=GUIDE)
    np.testing.assert_allclose(term.amount(random(10))[0, 0], amounts, rtol=1e-12)
    np.testing.assert_array_equal(term.amount_gradient(random(10))[0], slopes)


@pytest.mark.parametrize("chunk", [1, 7, 62, 63, 64])
def test_similarity_does_not_depend_on_the_chunks(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    term = GuideLoss("guide", "conv1_1", 1.0, guide=GUIDE, border=1)
    value, seed = evaluate(term, random(11))
    monkeypatch.setattr(module, "_CHUNK", chunk)
    torch.testing.assert_close(evaluate(term, random(11))[0], value)
    assert torch.equal(evaluate(term, random(11))[1], seed)


def test_a_guide_in_half_precision_is_compared_in_single() -> None:
    term = GuideLoss("guide", "conv1_1", 1.0, guide=GUIDE.bfloat16())
    assert term.amount(random(1).float()).dtype is torch.float32


def test_the_gradient_at_the_pixels_with_all_kinds_and_signs(vgg16: Weights) -> None:
    vgg = VGG(vgg16, ("relu1_2", "conv2_1", "relu2_1"), precision="fp64")
    with torch.no_grad():
        guide = vgg(strokes(16, 16).double())["relu2_1"]
    objective = Objective(
        [
            EnergyLoss("energy", "relu1_2", 0.7, border=2),
            ChannelLoss("channels", "conv2_1", -0.3, channels=(4, 90), border=1),
            GuideLoss("guide", "relu2_1", 0.2, guide=guide),
        ]
    )
    image = photo(20, 24).double().requires_grad_()
    found = vgg(image)
    products = found["relu2_1"].flatten(2)[0].T @ guide.flatten(2)[0]
    expected = (
        0.7 * found["relu1_2"][..., 2:-2, 2:-2].square().sum() / 2 / (20 * 24)
        - 0.3 * found["conv2_1"][:, [4, 90], 1:-1, 1:-1].sum() / (10 * 12)
        + 0.2 * products.amax(1).sum() / (10 * 12)
    )
    (gradient,) = torch.autograd.grad(expected, image)
    evaluation = TiledEngine(vgg, objective, tile_px=None)(image.detach())
    torch.testing.assert_close(evaluation.total, expected.detach())
    torch.testing.assert_close(evaluation.gradient, gradient)
    assert set(evaluation.losses) == {"energy", "channels", "guide"}
    torch.testing.assert_close(sum(evaluation.losses.values()), evaluation.total)
