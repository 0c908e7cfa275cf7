"""A loss is ``statistics`` and ``value``; closed forms are what autograd makes of these two."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stylize.gradients.tiled import TiledEngine
from stylize.losses.channels import ChannelLoss, EnergyLoss, PositionLoss
from stylize.losses.content import ContentLoss
from stylize.losses.edges import EdgesLoss
from stylize.losses.gram import GramLoss
from stylize.losses.guide import GuideLoss
from stylize.losses.loss import FeatureLoss, ImageLoss, Objective
from stylize.losses.moments import MomentsLoss
from stylize.losses.regions import RegionLoss
from stylize.losses.smoothness import SmoothnessLoss
from stylize.losses.statistics import Moments
from stylize.losses.wasserstein import WassersteinLoss
from stylize.networks.architecture import Rect
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.optimize.lbfgs import LBFGS
from stylize.optimize.loop import Descent, Step
from stylize.settings.schedule import Scale

LAYER, CHANNELS = "relu1_1", 5


def random(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape or (1, CHANNELS, 6, 7), generator=generator, dtype=torch.float64)


def moments(seed: int) -> Moments:
    rows = random(seed, 40, CHANNELS)
    return Moments(rows.mean(0), rows.T @ rows / len(rows))


MASK = random(9, 1, 1, 6, 7).sigmoid()
LOSSES: dict[str, FeatureLoss] = {
    "gram": GramLoss(LAYER, moments(1), 1.0),
    "moments": MomentsLoss(LAYER, moments(1), 1.0),
    "wasserstein": WassersteinLoss(LAYER, moments(1), 1.0),
    "content": ContentLoss(LAYER, random(2), 1.0),
    "energy": EnergyLoss("energy", LAYER, 1.0, border=1),
    "some energies": EnergyLoss("e", LAYER, 1.0, channels=random(3, CHANNELS)),
    "channels": ChannelLoss("channels", LAYER, 1.0, channels=(1, 3), border=1),
    "guide": GuideLoss("guide", LAYER, 1.0, guide=random(4)),
    "region": RegionLoss(MomentsLoss(LAYER, moments(1), 1.0), MASK, "sky", 1.0),
    "region, gram": RegionLoss(GramLoss(LAYER, moments(1), 1.0), MASK, "sky", 1.0),
}


def parts(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


@pytest.fixture(params=LOSSES)
def loss(request: pytest.FixtureRequest) -> FeatureLoss:
    return LOSSES[request.param]


class TestClosedForms:
    """Each against the default of the base class, in double precision."""

    def test_value_and_slope(self, loss: FeatureLoss) -> None:
        sums = loss.statistics(random(5))
        value, slope = loss.value_and_slope(sums, 42)
        expected, by_autograd = FeatureLoss.value_and_slope(loss, sums, 42)
        torch.testing.assert_close(value.double(), expected.double())
        for one, other in zip(parts(slope), parts(by_autograd), strict=True):
            torch.testing.assert_close(one.double(), other.double(), rtol=1e-6, atol=1e-9)

    def test_feature_gradient(self, loss: FeatureLoss) -> None:
        features = random(5)
        _, slope = loss.value_and_slope(loss.statistics(features), 42)
        slope = tuple(each.double() for each in slope) if isinstance(slope, tuple) else slope
        found = loss.feature_gradient(features, slope)
        expected = FeatureLoss.feature_gradient(loss, features, slope)
        torch.testing.assert_close(found, expected)

    def test_gradient_of_an_amount(self, loss: FeatureLoss) -> None:
        if isinstance(loss, PositionLoss):
            expected = PositionLoss.amount_gradient(loss, random(6))
            torch.testing.assert_close(loss.amount_gradient(random(6)), expected)

    def test_statistics_of_parts_add_up(self, loss: FeatureLoss) -> None:
        features = random(5)
        left, right = Rect(0, 0, 6, 3, 6, 7), Rect(0, 3, 6, 4, 6, 7)
        found = [parts(loss.crop(each).statistics(each.of(features))) for each in (left, right)]
        for whole, *halves in zip(parts(loss.statistics(features)), *found, strict=True):
            torch.testing.assert_close(halves[0] + halves[1], whole)


@pytest.mark.parametrize(
    "loss", [SmoothnessLoss(1.0), EdgesLoss(random(1, 1, 3, 9, 8), 1.0, sizes_px=(1, 2))]
)
def test_pixel_losses(loss: ImageLoss) -> None:
    image = random(7, 1, 3, 9, 8)
    value, gradient = loss.value_and_gradient(image)
    torch.testing.assert_close(value, loss.value(image))
    step = random(8, 1, 3, 9, 8) * 1e-6
    change = loss.value(image + step) - loss.value(image - step)
    torch.testing.assert_close(change, 2 * (gradient * step).sum(), rtol=1e-6, atol=1e-12)


class PeakedLoss(FeatureLoss):
    """A new loss: the fourth moments of the channels are to be those of a style."""

    def __init__(self, layer: str, target: Tensor, weight: float) -> None:
        super().__init__(f"peaks {layer}", layer, weight)
        self._target = target

    def statistics(self, features: Tensor) -> Tensor:
        return features.pow(4).sum((0, 2, 3))

    def value(self, sums: Tensor, positions: float) -> Tensor:
        error = sums / positions - self._target
        return error.square().sum() / self._target.square().sum()


class TestNewLoss:
    """What those two methods are enough for."""

    @staticmethod
    def objective(network: VGG) -> Objective:
        with torch.no_grad():
            style = network(random(1, 1, 3, 40, 48).sigmoid().to(network.dtype))
        targets = {name: features.pow(4).mean((0, 2, 3)) for name, features in style.items()}
        return Objective([PeakedLoss(name, target, 1.0) for name, target in targets.items()])

    def test_in_tiles(self, vgg16: Weights) -> None:
        network = VGG(vgg16, ("relu1_2", "relu2_1"), precision="fp64")
        objective, image = self.objective(network), random(2, 1, 3, 90, 70).sigmoid()
        whole = TiledEngine(network, objective, tile_px=None)(image)
        tiled = TiledEngine(network, objective, tile_px=32)(image)
        torch.testing.assert_close(tiled.total, whole.total, rtol=1e-12, atol=0)
        assert (tiled.gradient - whole.gradient).norm() < 1e-12 * whole.gradient.norm()

    def test_painted_and_shown(self, vgg16: Weights) -> None:
        network = VGG(vgg16, ("relu1_2", "relu2_1"))
        engine = TiledEngine(network, self.objective(network), tile_px=None)
        steps: list[Step] = []
        descent = Descent(LBFGS(), [Scale(32, 48, 8)], on_step=steps.append)
        image = random(3, 1, 3, 32, 48).sigmoid().float()
        descent.run(0, image, engine, lambda picture: picture)
        assert set(steps[0].losses) == {"peaks relu1_2", "peaks relu2_1"}
        assert steps[-1].total < 0.5 * steps[0].total
