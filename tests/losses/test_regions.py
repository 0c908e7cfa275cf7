"""Guided moments: of the masked positions alone, exact in tiles, masks that lie inside."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.errors import SettingError, UnknownNameError
from stylize.gradients.tiled import TiledEngine
from stylize.losses import regions as module
from stylize.losses.content import ContentLoss
from stylize.losses.edges import EdgesLoss
from stylize.losses.gram import GramLoss
from stylize.losses.loss import Objective
from stylize.losses.moments import MomentsLoss
from stylize.losses.regions import RegionLoss, region_losses
from stylize.losses.statistics import Moments, by_position
from stylize.losses.wasserstein import WassersteinLoss
from stylize.masks.masks import erode, feather, mask_at, partition
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG

KINDS = (GramLoss, MomentsLoss, WassersteinLoss)
SHAPE = (1, 5, 6, 7)


def random(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def exact(features: Tensor, weights: Tensor | None = None) -> Moments:
    rows = by_position(features)
    share = torch.ones(len(rows), 1).to(rows) if weights is None else weights.flatten()[:, None]
    share = share / share.sum()
    return Moments((rows * share).sum(0), (rows * share).T @ rows)


def soft(seed: int = 9) -> Tensor:
    """A mask with zeros, ones and values in between."""
    return (3 * random(seed, (1, 1, *SHAPE[2:])) - 1).clamp(0, 1)


def evaluate(term: Any, features: Tensor) -> tuple[Tensor, Tensor]:
    value, slope = term.value_and_slope(
        term.statistics(features), features.shape[2] * features.shape[3]
    )
    return value, term.feature_gradient(features, slope)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_mask_is_no_mask(kind: Any) -> None:
    inner, full = kind("relu1_1", exact(random(1)), 1.0), torch.ones(1, 1, *SHAPE[2:]).double()
    for found, expected in zip(
        evaluate(RegionLoss(inner, full, "all", 1.0), random(2)),
        evaluate(inner, random(2)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hard_mask_is_the_part_alone(kind: Any) -> None:
    inner, features = kind("relu1_1", exact(random(1)), 1.0), random(2)
    mask = torch.zeros(1, 1, *SHAPE[2:]).double()
    mask[..., 1:4, 2:6] = 1
    value, seed = evaluate(RegionLoss(inner, mask, "part", 1.0), features)
    expected, part = evaluate(inner, features[..., 1:4, 2:6])
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(seed[..., 1:4, 2:6], part)
    assert float((seed * (1 - mask)).abs().max()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_is_the_derivative(kind: Any) -> None:
    target = exact(random(1))
    term = RegionLoss(kind("relu1_1", target, 1.0), soft(), "soft", 1.0)

    class Value(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, features: Tensor) -> Tensor:
            value, context.seed = evaluate(term, features)
            return value

        @staticmethod
        def backward(context: Any, *slopes: Tensor) -> Tensor:
            return context.seed * slopes[0]

    assert torch.autograd.gradcheck(Value.apply, random(2).requires_grad_())


def test_the_value_is_that_of_weighted_moments() -> None:
    features, target = random(2), exact(random(1))
    found, _ = evaluate(RegionLoss(GramLoss("relu1_1", target, 1.0), soft(), "r", 1.0), features)
    wanted = exact(features, soft()).second - target.second
    torch.testing.assert_close(found, wanted.square().sum() / target.second.square().sum())


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_chunks_add_up(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    term = RegionLoss(MomentsLoss("relu1_1", exact(random(1)), 1.0), soft(), "r", 1.0)
    value, seed = evaluate(term, random(2))
    monkeypatch.setattr(module, "_CHUNK", chunk)
    found = evaluate(term, random(2))
    torch.testing.assert_close(found[0], value)
    torch.testing.assert_close(found[1], seed)


def test_memory_layouts_agree() -> None:
    term = RegionLoss(MomentsLoss("relu1_1", exact(random(1)), 1.0), soft(), "r", 1.0)
    one = evaluate(term, random(2))[1]
    other = evaluate(term, random(2).contiguous(memory_format=torch.channels_last))[1]
    torch.testing.assert_close(one, other)


def test_weights_follow_the_areas() -> None:
    left = torch.zeros(1, 1, 4, 8)
    left[..., :2] = 1
    masks = {"left": left, "right": 1 - left}
    targets = {name: exact(random(1)) for name in masks}
    terms = region_losses(MomentsLoss, "relu3_1", targets, masks, 0.8)
    assert [term.weight for term in terms] == pytest.approx([0.2, 0.6])
    assert [term.name for term in terms] == ["style relu3_1 in left", "style relu3_1 in right"]


@pytest.fixture(scope="module")
def vgg(vgg16: Weights) -> VGG:
    return VGG(vgg16, ("relu1_1", "relu2_1", "relu3_2"), precision="fp64")


def two_styles(vgg: VGG, size: tuple[int, int], kind: Any) -> Objective:
    """A disc with soft edges in one style, what is around it in another."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side).double() for side in size), indexing="ij")
    disc = feather(((x**2 + y**2) < 0.6).double()[None, None], 6)
    masks = dict(zip(("disc", "rest"), partition(disc).split(1), strict=True))
    with torch.no_grad():
        styles = {name: vgg(random(i, (1, 3, 40, 44))) for i, name in enumerate(masks)}
        content = vgg(random(7, (1, 3, *size)))["relu3_2"]
    terms: list[Any] = [ContentLoss("relu3_2", content, 0.1)]
    for layer in vgg.layers:
        targets = {name: exact(features[layer]) for name, features in styles.items()}
        here = {name: mask_at(mask, layer, "vgg16", name=name) for name, mask in masks.items()}
        terms += region_losses(kind, layer, targets, here, 1 / 3)
    return Objective(terms, [EdgesLoss(random(7, (1, 3, *size)), 0.1)])


@pytest.mark.parametrize("size", [pytest.param((96, 72), marks=pytest.mark.slow), (61, 77)])
@pytest.mark.parametrize("kind", KINDS)
def test_regions_are_exact_in_tiles(vgg: VGG, size: tuple[int, int], kind: Any) -> None:
    objective, image = two_styles(vgg, size, kind), random(8, (1, 3, *size))
    whole = TiledEngine(vgg, objective, tile_px=None)(image)
    tiled = TiledEngine(vgg, objective, tile_px=32)(image)
    assert float((whole.gradient - tiled.gradient).norm() / whole.gradient.norm()) < 1e-12
    for name, loss in whole.losses.items():
        assert float(tiled.losses[name]) == pytest.approx(float(loss), rel=1e-11)


def test_a_region_leaves_the_rest_of_the_picture_alone(vgg: VGG) -> None:
    mask = torch.zeros(1, 1, 64, 96).double()
    mask[..., :32] = 1
    target = exact(random(5, (1, 256, 4, 4)))
    term = RegionLoss(
        MomentsLoss("relu3_2", target, 1.0), mask_at(mask, "relu3_2", "vgg16"), "left", 1.0
    )
    gradient = TiledEngine(vgg, Objective([term]), tile_px=None)(random(6, (1, 3, 64, 96))).gradient
    assert float(gradient[..., :32].abs().max()) > 0
    # Positions within the mask see no further than their receptive field.
    assert float(gradient[..., 32 + 20 :].abs().max()) == 0


def test_masks_are_averaged_over_strides() -> None:
    mask = torch.zeros(1, 1, 37, 24)
    mask[..., :6] = 1
    found = mask_at(mask, "relu3_1", "vgg16", inside=0)
    assert found.shape == (1, 1, 9, 6)
    assert found[0, 0, 4].tolist() == [1, 0.5, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("layer", "margin"), [("relu1_1", 0), ("relu2_1", 1), ("relu4_1", 2), ("relu5_1", 2)]
)
def test_inside_is_a_share_of_the_receptive_field(layer: str, margin: int) -> None:
    """Half of 1, 5, 34 and 66 px, in cells of 1, 2, 8 and 16 px."""
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 128:] = 1
    plain = mask_at(mask, layer, "vgg16", inside=0)[0, 0, 3]
    found = mask_at(mask, layer, "vgg16")[0, 0, 3]
    assert int(plain.sum() - found.sum()) == margin
    assert found[-1] == 1, "the picture's border is no border of the region"


@given(st.integers(0, 1000), st.integers(1, 4))
def test_erosion_is_the_least_value_around(seed: int, cells: int) -> None:
    mask = random(seed, (1, 1, 9, 8))
    found = erode(mask, cells)
    row, column = seed % 9, seed % 8
    around = mask[
        ..., max(0, row - cells) : row + cells + 1, max(0, column - cells) : column + cells + 1
    ]
    assert float(found[0, 0, row, column]) == float(around.min())


def test_a_region_too_thin_for_a_layer_is_eroded_less() -> None:
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 96:144] = 1  # three cells of relu5_1, of which two on each side should go
    found = mask_at(mask, "relu5_1", "vgg16")
    assert found[0, 0, 5].nonzero().flatten().tolist() == [7]
    mask[..., 112:] = 0
    assert torch.equal(mask_at(mask, "relu5_1", "vgg16"), torch.nn.functional.avg_pool2d(mask, 16))


def test_an_empty_region_is_refused() -> None:
    with pytest.raises(SettingError, match="'sky' is empty at relu4_1"):
        mask_at(torch.zeros(1, 1, 64, 64), "relu4_1", "vgg16", name="sky")
    with pytest.raises(UnknownNameError):
        mask_at(torch.ones(1, 1, 64, 64), "relu9_1", "vgg16")
