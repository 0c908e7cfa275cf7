"""Gradients against differences, the mean over noisy copies, and what a picture of them says."""

from __future__ import annotations

import pytest
import torch

from stylize.errors import ExpressionError, PictureError, SettingError
from stylize.images.read import Picture
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.products.inspect.response import TargetResponse
from stylize.products.inspect.saliency import (
    attribution,
    gradient_of,
    saliency_map,
    show_saliency,
    smooth_gradient,
)
from stylize.settings.execution import Execution
from stylize.settings.inspect import SaliencySettings
from tests.conftest import as_picture, cat, photo

pytestmark = pytest.mark.usefixtures("network")
EXACT = Execution(precision="fp32")


def settings(**changes: object) -> SaliencySettings:
    return SaliencySettings(**({"target": "conv3_2:7", "size": "48"} | changes))


@pytest.fixture(scope="module")
def scene() -> Picture:
    return as_picture(cat(48), "cat.png")


class TestGradient:
    """What the pixels do to the response."""

    @pytest.mark.parametrize("target", ["conv2_1:7", "relu3_1", "0.5*conv3_1:7 - conv1_2"])
    def test_against_finite_differences(self, vgg16: Weights, target: str) -> None:
        response = TargetResponse(parse_targets(target))
        vgg = VGG(vgg16, response.layers, precision="fp64")
        image = cat(24).double()
        gradient = gradient_of(vgg, response, image)
        for seed in range(3):
            way = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)).double()
            step = 1e-6 * way
            with torch.no_grad():
                rise = response(vgg(image + step)) - response(vgg(image - step))
            assert float(rise) / 2e-6 == pytest.approx(float((gradient * way).sum()), rel=1e-4)

    def test_of_one_neuron_reaches_as_far_as_its_field(self, vgg16: Weights) -> None:
        response = TargetResponse(parse_targets("conv2_1:7"), place=(0.5, 0.5))
        vgg = VGG(vgg16, response.layers, precision="fp64")
        reached = saliency_map(gradient_of(vgg, response, cat(48).double()))[0, 0] > 0
        rows = reached.any(1).nonzero().flatten()
        # Two convolutions, a pooling and a convolution: 3 + 2 + 1 + 4 pixels.
        assert rows.max() - rows.min() + 1 <= 10
        assert rows.min() <= 24 <= rows.max()

    def test_times_the_pixels(self, vgg16: Weights) -> None:
        response = TargetResponse(parse_targets("conv2_1:7"))
        vgg, image = VGG(vgg16, response.layers), cat(24)
        image[..., :12] = 0
        found = attribution(vgg, response, image, "input-x-gradient")
        assert torch.equal(found, image * gradient_of(vgg, response, image))
        assert float(found[..., :12].abs().max()) == 0


class TestSmoothGradient:
    """The mean over noisy copies."""

    def test_of_little_noise_is_the_gradient(self, vgg16: Weights) -> None:
        response = TargetResponse(parse_targets("conv2_1:7"))
        vgg, image = VGG(vgg16, response.layers, precision="fp64"), cat(24).double()
        plain = gradient_of(vgg, response, image)
        for noise, low, high in [(1e-7, 0, 1e-3), (0.2, 0.1, 10)]:
            found = attribution(vgg, response, image, "smoothgrad", samples=3, noise=noise)
            assert low <= float((found - plain).norm() / plain.norm()) < high

    def test_more_copies_agree_better(self, vgg16: Weights) -> None:
        response = TargetResponse(parse_targets("conv2_1:7"))
        vgg, image = VGG(vgg16, response.layers), cat(24)

        def found(samples: int, seed: int) -> torch.Tensor:
            generator = torch.Generator().manual_seed(seed)
            return smooth_gradient(
                vgg, response, image, samples=samples, noise=0.2, generator=generator
            )

        few = float((found(2, 0) - found(2, 1)).norm())
        many = float((found(16, 0) - found(16, 1)).norm())
        assert many < 0.6 * few

    def test_tells_of_every_copy(self, vgg16: Weights) -> None:
        response = TargetResponse(parse_targets("conv1_1:7"))
        calls: list[tuple[int, int]] = []
        attribution(
            VGG(vgg16, response.layers),
            response,
            cat(16),
            "smoothgrad",
            samples=5,
            on_step=lambda *each: calls.append(each),
        )
        assert calls == [(number, 5) for number in range(1, 6)]


def test_the_map_is_the_largest_of_the_channels() -> None:
    values = torch.tensor([1.0, -3.0, 2.0]).view(1, 3, 1, 1)
    assert saliency_map(values).tolist() == [[[[3.0]]]]


class TestShow:
    """From photo and settings to the picture."""

    def test_every_method_and_view_has_its_own_picture(self, scene: Picture) -> None:
        wanted = [{"method": each} for each in ("gradient", "guided", "deconvnet")]
        wanted += [{"method": "input-x-gradient"}, {"method": "smoothgrad", "samples": 2}]
        wanted += [{"view": "overlay"}, {"view": "mask"}]
        found = [show_saliency(scene, settings(**each), EXACT).result for each in wanted]
        assert {tuple(each.pixels.shape) for each in found} == {(1, 3, 48, 48)}
        for index, first in enumerate(found):
            for second in found[index + 1 :]:
                assert float((first.pixels - second.pixels).abs().mean()) > 1e-3
        mask = found[-1].pixels
        assert torch.equal(mask[:, 0], mask[:, 2])

    def test_the_recipe_and_the_numbers(self, scene: Picture) -> None:
        finding = show_saliency(scene, settings(at="40,10"), EXACT)
        recipe = finding.result.recipe
        assert recipe["technique"] == "inspect saliency"
        assert recipe["settings"]["at"] == "40,10"
        assert recipe["inputs"][0]["name"] == "cat.png"
        assert recipe["resolved"]["precision"] == "fp32"
        across, down = finding.numbers["peak"]
        assert abs(across - 40) <= 16 and abs(down - 10) <= 16, "within the neuron's field"
        assert finding.numbers["target"] == "conv3_2:7"

    def test_the_place_is_one_of_the_photo_not_of_what_is_seen(self) -> None:
        large = as_picture(cat(96), "cat.png")
        across, down = show_saliency(large, settings(at="80,20"), EXACT).numbers["peak"]
        assert abs(across - 80) <= 32 and abs(down - 20) <= 32

    def test_similarity(self, scene: Picture) -> None:
        question = settings(target="conv3_2")
        itself = show_saliency(scene, question, EXACT, like=scene)
        other = show_saliency(scene, question, EXACT, like=as_picture(photo(48, 48), "disc.png"))
        assert itself.numbers["response"] == pytest.approx(1, abs=1e-5)
        assert other.numbers["response"] < 0.95
        assert [each["role"] for each in other.result.recipe["inputs"]] == ["content", "like"]

    def test_what_cannot_be_asked(self, scene: Picture) -> None:
        with pytest.raises(SettingError, match="outside the photo"):
            show_saliency(scene, settings(at="48,0"), EXACT)
        with pytest.raises(ExpressionError, match="no channel 300"):
            show_saliency(scene, settings(target="conv3_2:300"), EXACT)
        with pytest.raises(PictureError, match="8×8 px is too small for conv5_3"):
            show_saliency(scene, settings(target="conv5_3", size="8"), EXACT)
