"""The tiled engine is exact: the whole picture's gradient, in the memory of a tile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import stylize.gradients.fast_pass as sweep_module
from stylize.gradients.fast_pass import FastPass
from stylize.gradients.periodic import PeriodicEngine
from stylize.gradients.tiled import TiledEngine, features_of, moments_of_layers
from stylize.losses.channels import ChannelLoss, EnergyLoss
from stylize.losses.content import ContentLoss
from stylize.losses.gram import GramLoss
from stylize.losses.guide import GuideLoss
from stylize.losses.loss import Objective
from stylize.losses.moments import MomentsLoss
from stylize.losses.smoothness import SmoothnessLoss
from stylize.losses.statistics import Moments, by_position
from stylize.networks.models import Weights, load_weights
from stylize.networks.vgg import VGG
from stylize.planning.tiles import halo_px

STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
# Long and narrow, so that deep layers are cut into tiles without much work; the crossing of rows
# and columns is left to shallow layers, whose halo is small.
SIZES = [(304, 32), (333, 37), (40, 347)]
EVEN = pytest.param(SIZES[0], marks=pytest.mark.slow)  # easier than the odd ones
TILE = 80


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, *shape, generator=generator, dtype=torch.float64)


def exact_moments(features: Tensor) -> Moments:
    rows = by_position(features)
    return Moments(rows.mean(0), rows.T @ rows / rows.shape[0])


@pytest.fixture(scope="module", params=["vgg16", pytest.param("vgg19", marks=pytest.mark.slow)])
def vgg(request: pytest.FixtureRequest) -> Iterator[VGG]:
    yield VGG(load_weights(request.param), (*STYLE, "relu4_2"), precision="fp64")


@pytest.fixture(scope="module")
def shallow(vgg16: Weights) -> VGG:
    return VGG(vgg16, ("conv3_2", "relu3_2"), precision="fp64")


def transfer_objective(vgg: VGG, size: tuple[int, int], kind: type[Any]) -> Objective:
    with torch.no_grad():
        style, content = vgg(noise(48, 40, seed=1)), vgg(noise(*size, seed=2))
    terms = [kind(name, exact_moments(style[name]), 1.0) for name in STYLE]
    terms.append(ContentLoss("relu4_2", content["relu4_2"], 0.05))
    return Objective(terms, [SmoothnessLoss(0.5)])


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize("size", [EVEN, *SIZES[1:]])
def test_a_transfer_is_exact(vgg: VGG, size: tuple[int, int]) -> None:
    objective = transfer_objective(vgg, size, MomentsLoss)
    whole = TiledEngine(vgg, objective, tile_px=None)(noise(*size))
    tiled = TiledEngine(vgg, objective, tile_px=TILE)(noise(*size))
    assert distance(whole.gradient, tiled.gradient) < 1e-12
    assert float(tiled.total) == pytest.approx(float(whole.total), rel=1e-12)
    for name, loss in whole.losses.items():
        assert float(tiled.losses[name]) == pytest.approx(float(loss), rel=1e-11, abs=1e-15)


@pytest.mark.slow
def test_gram_matrices_too(vgg: VGG) -> None:
    objective = transfer_objective(vgg, SIZES[1], GramLoss)
    whole = TiledEngine(vgg, objective, tile_px=None)(noise(*SIZES[1]))
    tiled = TiledEngine(vgg, objective, tile_px=TILE)(noise(*SIZES[1]))
    assert distance(whole.gradient, tiled.gradient) < 1e-12


def test_one_stride_less_is_too_little(vgg: VGG) -> None:
    """The halo is what it has to be, not more."""
    halo = halo_px(vgg.architecture, vgg.layers) - 16
    objective = transfer_objective(vgg, SIZES[0], MomentsLoss)
    whole = TiledEngine(vgg, objective, tile_px=None)(noise(*SIZES[0]))
    tiled = TiledEngine(vgg, objective, tile_px=TILE, halo=halo)(noise(*SIZES[0]))
    assert distance(whole.gradient, tiled.gradient) > 1e-7


@pytest.mark.parametrize(
    "size",
    [*(pytest.param(size, marks=pytest.mark.slow) for size in [(96, 72), (101, 67)]), (37, 130)],
)
@pytest.mark.parametrize("kind", ["energy", "response", "match"])
def test_dreams_are_exact(shallow: VGG, size: tuple[int, int], kind: str) -> None:
    with torch.no_grad():
        guide = shallow(noise(48, 56, seed=3))["relu3_2"]
    term: Any = {
        "energy": EnergyLoss("e", "relu3_2", 1.0, border=2),
        "response": ChannelLoss("r", "conv3_2", -0.5, channels=(3, 5), border=3),
        "match": GuideLoss("m", "relu3_2", 1.0, guide=guide, border=1),
    }[kind]
    whole = TiledEngine(shallow, Objective([term]), tile_px=None)(noise(*size))
    tiled = TiledEngine(shallow, Objective([term]), tile_px=24)(noise(*size))
    # The guide is held in float32, so its products are.
    assert distance(whole.gradient, tiled.gradient) < (1e-6 if kind == "match" else 1e-12)
    assert float(tiled.total) == pytest.approx(float(whole.total), rel=1e-6)


def test_a_picture_that_tiles_in_tiles(shallow: VGG) -> None:
    objective = Objective([EnergyLoss("e", "relu3_2", 1.0, border=5)])
    engines = [
        PeriodicEngine(inner, 20, 4)
        for inner in (
            TiledEngine(shallow, objective, tile_px=None),
            TiledEngine(shallow, objective, tile_px=32),
        )
    ]
    one, other = (engine(noise(60, 52)).gradient for engine in engines)
    assert distance(one, other) < 1e-12


def test_local_terms_take_one_pass(shallow: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    plain = FastPass.forward

    def spied(self: FastPass, image: Tensor, visit: Any, *, remember: bool = True) -> None:
        seen.append(remember)
        plain(self, image, visit, remember=remember)

    monkeypatch.setattr(FastPass, "forward", spied)
    image = noise(64, 64)
    TiledEngine(shallow, Objective([EnergyLoss("e", "relu3_2", 1.0)]), tile_px=32)(image)
    assert seen == [True] * 4
    seen.clear()
    target = exact_moments(noise(4, 4).repeat(1, 86, 1, 1)[:, :256])
    TiledEngine(shallow, Objective([MomentsLoss("relu3_2", target, 1.0)]), tile_px=32)(image)
    assert seen == [False] + [True] * 4


@pytest.mark.parametrize("size", [(90, 84), (77, 61)])
def test_activations_and_moments_without_a_gradient(
    shallow: VGG, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "LEAST_ROWS", 4)
    names, image = ("conv3_2", "relu3_2"), noise(*size)
    with torch.no_grad():
        expected = shallow(image)
    for strip_bytes in (1, 1 << 30):
        found = features_of(shallow, image, names, strip_bytes=strip_bytes)
        moments = moments_of_layers(shallow, image, names, strip_bytes=strip_bytes)
        for name in names:
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-9)
            wanted = exact_moments(expected[name])
            assert distance(wanted.second, moments[name].second) < 1e-12
            assert distance(wanted.mean, moments[name].mean) < 1e-12
    assert features_of(shallow, image, names[:1]).keys() == {"conv3_2"}


def test_an_objective_without_features(shallow: VGG) -> None:
    objective = Objective([], [SmoothnessLoss(1.0)])
    one = TiledEngine(shallow, objective, tile_px=None)(noise(40, 40))
    other = TiledEngine(shallow, objective, tile_px=16)(noise(40, 40))
    torch.testing.assert_close(one.gradient, other.gradient)


def test_in_float32_tiles_are_no_worse_than_layouts(vgg16: Weights) -> None:
    """The distance is of the size of that between two orders of the same sums."""
    layers = ("relu2_1", "relu4_1")
    single = VGG(vgg16, layers, precision="fp32")
    double = VGG(vgg16, layers, precision="fp64")
    image = noise(112, 96)
    with torch.no_grad():
        style = double(noise(64, 64, seed=1))
    terms = [MomentsLoss(name, exact_moments(style[name]), 1.0) for name in layers]
    floats = [
        MomentsLoss(n, Moments(m.mean.float(), m.second.float()), 1.0)
        for n, m in ((n, exact_moments(style[n])) for n in layers)
    ]
    truth = TiledEngine(double, Objective(terms), tile_px=None)(image).gradient
    whole = TiledEngine(single, Objective(floats), tile_px=None)(image.float()).gradient
    tiled = TiledEngine(single, Objective(floats), tile_px=48)(image.float()).gradient
    assert distance(truth, tiled.double()) < 2 * distance(truth, whole.double()) + 1e-6
