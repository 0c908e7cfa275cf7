"""The engine's gradient against autograd through the whole loss, in double precision."""

import pytest
import torch
from torch import Tensor

from stylize.gradients.tiled import TiledEngine
from stylize.losses.content import ContentLoss
from stylize.losses.loss import Objective
from stylize.losses.moments import MomentsLoss
from stylize.losses.smoothness import SmoothnessLoss, total_variation
from stylize.losses.statistics import Moments
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from tests.conftest import photo, strokes

LAYERS = ("relu1_1", "relu2_1", "relu3_1")
CONTENT = "relu2_2"


@pytest.fixture(scope="module")
def vgg(vgg16: Weights) -> VGG:
    return VGG(vgg16, (*LAYERS, CONTENT), precision="fp64")


def moments(features: Tensor) -> Moments:
    rows = features[0].flatten(1)
    return Moments(rows.mean(1), rows @ rows.T / rows.shape[1])


def objective(vgg: VGG) -> Objective:
    with torch.no_grad():
        style, content = vgg(strokes(32, 32).double()), vgg(photo(32, 32).double())
    terms = [MomentsLoss(name, moments(style[name]), 0.2) for name in LAYERS]
    return Objective([*terms, ContentLoss(CONTENT, content[CONTENT], 0.7)], [SmoothnessLoss(0.3)])


def written_out(vgg: VGG, image: Tensor) -> Tensor:
    with torch.no_grad():
        style, content = vgg(strokes(32, 32).double()), vgg(photo(32, 32).double())
    features = vgg(image)
    total = 0.3 * total_variation(image)
    for name in LAYERS:
        found, wanted = moments(features[name]), moments(style[name])
        gap = (found.covariance - wanted.covariance).square().sum()
        total = total + 0.2 * gap / wanted.covariance.square().sum()
        shift = (found.mean - wanted.mean).square().sum()
        total = total + 0.2 * shift / wanted.mean.square().sum()
    error = (features[CONTENT] - content[CONTENT]).square().sum()
    return total + 0.7 * error / content[CONTENT].square().sum()


def test_value_and_gradient_are_those_of_the_written_out_loss(vgg: VGG) -> None:
    image = (0.5 * photo(32, 32) + 0.5 * strokes(32, 32, 5.0)).double()
    leaf = image.clone().requires_grad_()
    expected = written_out(vgg, leaf)
    (gradient,) = torch.autograd.grad(expected, leaf)
    found = TiledEngine(vgg, objective(vgg), tile_px=None)(image)
    torch.testing.assert_close(found.total, expected.detach())
    torch.testing.assert_close(found.gradient, gradient)


def test_losses_are_named_and_add_up(vgg: VGG) -> None:
    found = TiledEngine(vgg, objective(vgg), tile_px=None)(photo(32, 32).double())
    assert list(found.losses) == [
        *(f"style {name}" for name in LAYERS),
        f"content {CONTENT}",
        "smoothness",
    ]
    torch.testing.assert_close(sum(found.losses.values()), found.total)
    assert float(found.losses[f"content {CONTENT}"]) == 0


def test_the_image_is_left_as_it_was(vgg: VGG) -> None:
    image = photo(32, 32).double()
    before = image.clone()
    TiledEngine(vgg, objective(vgg), tile_px=None)(image)
    assert torch.equal(image, before)
    assert not image.requires_grad
    assert image.grad is None


def test_pixels_alone_need_no_network(vgg: VGG) -> None:
    found = TiledEngine(vgg, Objective([], [SmoothnessLoss(2.0)]), tile_px=None)(photo(16, 16))
    torch.testing.assert_close(found.total, 2 * total_variation(photo(16, 16)))
