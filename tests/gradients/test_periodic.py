"""The engine for tiles: exact, and blind to where the picture begins."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylize.gradients.periodic import PeriodicEngine
from stylize.gradients.tiled import TiledEngine
from stylize.images.periodic import wrap
from stylize.losses.channels import EnergyLoss
from stylize.losses.loss import Objective
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from tests.conftest import cat

# conv2_2 sees 14 px, two at a time.
LAYER, STRIDE, MARGIN = "relu2_2", 2, 8


@pytest.fixture(scope="module")
def vgg(vgg16: Weights) -> VGG:
    return VGG(vgg16, (LAYER,), precision="fp64")


@pytest.fixture(scope="module")
def engine(vgg: VGG) -> PeriodicEngine:
    objective = Objective([EnergyLoss("energy", LAYER, 1.0, border=MARGIN // STRIDE)])
    return PeriodicEngine(TiledEngine(vgg, objective, tile_px=None), MARGIN, STRIDE)


def picture(height: int, width: int) -> Tensor:
    return cat(48)[..., :height, :width].double()


@pytest.mark.parametrize("size", [(20, 26), (21, 25), (16, 33)])
def test_the_gradient_is_that_of_the_continued_picture(
    vgg: VGG, engine: PeriodicEngine, size: tuple[int, int]
) -> None:
    leaf = picture(*size).requires_grad_()
    after = (MARGIN + size[0] % STRIDE, MARGIN + size[1] % STRIDE)
    features = vgg(wrap(leaf, MARGIN, after))[LAYER]
    expected = features[..., 4:-4, 4:-4].square().sum() / 2 / features[0, 0].numel()
    (gradient,) = torch.autograd.grad(expected, leaf)
    found = engine(leaf.detach())
    torch.testing.assert_close(found.total, expected.detach())
    torch.testing.assert_close(found.losses["energy"], expected.detach())
    torch.testing.assert_close(found.gradient, gradient)


@pytest.mark.parametrize("shift", [(2, 0), (-6, 10), (16, -18)])
def test_it_is_the_same_wherever_the_picture_begins(
    engine: PeriodicEngine, shift: tuple[int, int]
) -> None:
    """In steps of a stride: within one, the poolings see other pixels together."""
    image = picture(32, 36)
    found, rolled = engine(image), engine(image.roll(shift, (2, 3)))
    torch.testing.assert_close(rolled.total, found.total)
    torch.testing.assert_close(rolled.gradient, found.gradient.roll(shift, (2, 3)))


def test_the_plain_engine_does_see_where_it_begins(vgg: VGG) -> None:
    whole = TiledEngine(vgg, Objective([EnergyLoss("energy", LAYER, 1.0)]), tile_px=None)
    image = picture(32, 36)
    found, rolled = whole(image).gradient, whole(image.roll((8, 8), (2, 3))).gradient
    difference = (rolled - found.roll((8, 8), (2, 3))).abs().max()
    assert float(difference) > 0.1 * float(found.abs().max())


def test_the_picture_is_left_as_it_was(engine: PeriodicEngine) -> None:
    image = picture(20, 26)
    engine(image)
    assert torch.equal(image, picture(20, 26))
