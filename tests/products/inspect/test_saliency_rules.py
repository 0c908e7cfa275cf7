"""The rules of the ReLU by hand, and against captum on the real network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import pytest
import torch
from captum import attr
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from stylize.errors import UnknownNameError
from stylize.networks.architecture import convolutions
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG, fold_preprocessing
from stylize.products.inspect.response import TargetResponse
from stylize.products.inspect.saliency import (
    RULES,
    attribution,
    backward_rule,
    grad_cam,
    gradient_of,
)
from tests.conftest import cat


def back(rule: str, x: Tensor, seed: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    with backward_rule(rule):
        rectified = F.relu(leaf)
    assert torch.equal(rectified, x.clamp_min(0)), "the way there is the same for all"
    (gradient,) = torch.autograd.grad(rectified, leaf, seed)
    return gradient


class TestOneRelu:
    """Four cases: open or shut, and what comes back positive or negative."""

    x = torch.tensor([2.0, 2.0, -1.0, -1.0])
    seed = torch.tensor([3.0, -3.0, 5.0, -5.0])

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("gradient", [3.0, -3.0, 0.0, 0.0]),
            ("deconvnet", [3.0, 0.0, 5.0, 0.0]),
            ("guided", [3.0, 0.0, 0.0, 0.0]),
        ],
    )
    def test_by_hand(self, rule: str, expected: list[float]) -> None:
        assert back(rule, self.x, self.seed).tolist() == expected

    @given(st.integers(0, 1000))
    def test_guided_is_what_both_others_let_through(self, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        x, seed = torch.randn(2, 20, generator=generator)
        found = {rule: back(rule, x, seed) for rule in RULES}
        both = (found["gradient"] != 0) & (found["deconvnet"] != 0)
        assert torch.equal(found["guided"], torch.where(both, seed, 0))

    @pytest.mark.parametrize("relu", [F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu])
    def test_whatever_the_relu_is_called(self, relu) -> None:
        leaf = self.x.clone().requires_grad_()
        with backward_rule("guided"):
            rectified = relu(leaf * 1)
        assert torch.autograd.grad(rectified, leaf, self.seed)[0].tolist() == [3, 0, 0, 0]

    def test_it_ends(self) -> None:
        with backward_rule("guided"):
            pass
        assert back("gradient", self.x, self.seed).tolist() == [3, -3, 0, 0]

    def test_no_such_rule(self) -> None:
        with (
            pytest.raises(UnknownNameError, match="unknown rule 'guidde'"),
            backward_rule("guidde"),
        ):
            pass


class TestTwoLayers:
    """y = w2 · relu(w1 x), by hand: w1 = [[1, -1], [1, 1]], w2 = [-2, 3], x = (1, 3)."""

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            # h = (-2, 4): the first unit is shut.
            ("gradient", [3.0, 3.0]),
            ("guided", [3.0, 3.0]),
            # What comes back is (-2, 3): the negative part does not pass, shut or not.
            ("deconvnet", [3.0, 3.0]),
        ],
    )
    def test_first_unit_shut(self, rule: str, expected: list[float]) -> None:
        assert self.found(rule, torch.tensor([1.0, 3.0])) == expected

    @pytest.mark.parametrize(
        ("rule", "expected"),
        # h = (2, 4): both open; -2·(1, -1) + 3·(1, 1), or the second row alone.
        [("gradient", [1.0, 5.0]), ("guided", [3.0, 3.0]), ("deconvnet", [3.0, 3.0])],
    )
    def test_both_open(self, rule: str, expected: list[float]) -> None:
        assert self.found(rule, torch.tensor([3.0, 1.0])) == expected

    @staticmethod
    def found(rule: str, x: Tensor) -> list[float]:
        leaf = x.requires_grad_()
        with backward_rule(rule):
            y = torch.tensor([-2.0, 3.0]) @ F.relu(torch.tensor([[1.0, -1], [1, 1]]) @ leaf)
        gradient: list[float] = torch.autograd.grad(y, leaf)[0].tolist()
        return gradient


def module_of(weights: Weights, deepest: str) -> nn.Sequential:
    """The network again, as modules that captum can hook."""
    parts: list[nn.Module] = []
    for layer in convolutions(weights.architecture):
        weight = weights.tensors[f"{layer.name}.weight"].double()
        bias = weights.tensors[f"{layer.name}.bias"].double()
        if layer.channels_in == 3:
            weight, bias = fold_preprocessing(weights, weight, bias)
        if layer.pooled:
            parts.append(nn.MaxPool2d(2))
        mode = "replicate" if layer.channels_in == 3 else "zeros"
        convolution = nn.Conv2d(
            layer.channels_in, layer.channels, 3, padding=1, padding_mode=mode, dtype=torch.float64
        )
        convolution.weight.data, convolution.bias.data = weight, bias
        parts.append(convolution)
        if layer.name == deepest:
            break
        parts.append(nn.ReLU())
    return nn.Sequential(*parts, Answer())


class Answer(nn.Module):
    """The mean of channel 7, as a network's only class."""

    def forward(self, features: Tensor) -> Tensor:
        return features[:, 7].mean((1, 2))[:, None]


@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        ("gradient", lambda net: attr.Saliency(net).attribute),
        ("guided", lambda net: attr.GuidedBackprop(net).attribute),
        ("deconvnet", lambda net: attr.Deconvolution(net).attribute),
        ("input-x-gradient", lambda net: attr.InputXGradient(net).attribute),
    ],
)
@pytest.mark.parametrize("layer", ["conv2_2", "conv5_1"])
def test_against_captum(vgg16: Weights, method: str, theirs, layer: str) -> None:
    vgg = VGG(vgg16, (layer,), precision="fp64")
    image = cat(48).double()
    ours = attribution(vgg, TargetResponse(parse_targets(f"{layer}:7")), image, method)
    extra = {"abs": False} if method == "gradient" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum says that it sets hooks
        found = theirs(module_of(vgg16, layer))(image.clone().requires_grad_(), target=0, **extra)
    found = found.detach()
    assert float(ours.abs().max()) > 0
    assert float((ours - found).norm() / found.norm()) < 1e-5


class Scores(nn.Module):
    """Random scores of three classes from the pooled activations."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pooled = nn.MaxPool2d(2)
        self.last = nn.Linear(channels, 3, dtype=torch.float64)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.last(torch.tanh(self.pooled(features)).mean((2, 3)))
        return scores


class ScoreOf:
    """One of the scores as a response of ours."""

    def __init__(self, scores: Scores, layer: str, index: int) -> None:
        self.layers = (layer,)
        self.scores, self.index = scores, index

    def __call__(self, features: Mapping[str, Tensor]) -> Tensor:
        return self.scores(features[self.layers[0]].double())[:, self.index]


@pytest.mark.parametrize("index", [0, 2])
def test_grad_cam_against_captum(vgg16: Weights, index: int) -> None:
    torch.manual_seed(3)
    scores, image = Scores(256), cat(48).double()
    *parts, _ = module_of(vgg16, "conv3_2")
    net = nn.Sequential(*parts, nn.ReLU(), scores)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = (
            attr.LayerGradCam(net, net[-2])
            .attribute(image, target=index, relu_attributions=True)
            .detach()
        )
    vgg = VGG(vgg16, ("relu3_2",), precision="fp64")
    response = ScoreOf(scores, "relu3_2", index)
    ours = grad_cam(response, {"relu3_2": vgg(image)["relu3_2"].detach()})
    assert float(ours.max()) > 0
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-5


def test_grad_cam_of_a_channel_is_its_own_map() -> None:
    maps = torch.randn(1, 8, 3, 5, generator=torch.Generator().manual_seed(0))
    found = grad_cam(TargetResponse(parse_targets("conv1_1:2")), {"conv1_1": maps})
    torch.testing.assert_close(found[0, 0] * 15, maps[0, 2].clamp_min(0))


def test_the_rules_differ_on_the_real_network(vgg16: Weights) -> None:
    vgg, image = VGG(vgg16, ("conv3_1",)), cat(32)
    response = TargetResponse(parse_targets("conv3_1:7"))
    found = [gradient_of(vgg, response, image, rule) for rule in RULES]
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        assert float((found[first] - found[second]).norm() / found[first].norm()) > 0.1
