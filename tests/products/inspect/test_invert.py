"""How much of a photo the layers know."""

from __future__ import annotations

import math

import pytest
import torch

from stylize.errors import PictureError
from stylize.losses.smoothness import total_variation
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.products.inspect.invert import invert, psnr_db, show_inversion
from stylize.settings.execution import Execution
from stylize.settings.inspect import InversionSettings
from tests.conftest import as_picture, cat

EXACT = Execution(precision="fp32")


def test_psnr() -> None:
    image = torch.rand(1, 3, 4, 4)
    assert psnr_db(image, image) == math.inf
    assert psnr_db(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1)) == pytest.approx(20)


def test_the_first_layer_knows_all_and_the_deeper_know_less(vgg16: Weights) -> None:
    photo = cat(32)
    found = [
        invert(VGG(vgg16, (layer,)), photo, layer, steps=40, smoothness=0.05).psnr_db
        for layer in ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
    ]
    assert found[0] > 25
    assert found == sorted(found, reverse=True)


def test_more_steps_come_nearer(vgg16: Weights) -> None:
    vgg, photo = VGG(vgg16, ("conv2_2",)), cat(32)
    few, many = (invert(vgg, photo, "conv2_2", steps=steps, smoothness=0.0) for steps in (5, 40))
    assert many.error < few.error / 2
    assert (few.steps_done, many.steps_done) == (5, 40)


def test_smoothness_smooths(vgg16: Weights) -> None:
    vgg, photo = VGG(vgg16, ("conv3_2",)), cat(32)
    rough, smooth = (
        invert(vgg, photo, "conv3_2", steps=20, smoothness=weight).pixels for weight in (0, 50)
    )
    assert total_variation(smooth) < total_variation(rough) / 2


def test_the_seed_decides(vgg16: Weights) -> None:
    vgg, photo = VGG(vgg16, ("conv2_1",)), cat(24)
    first, again, other = (
        invert(vgg, photo, "conv2_1", steps=3, smoothness=0.1, seed=seed).pixels
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.usefixtures("network")
class TestShow:
    """From photo and settings to the picture."""

    photo = as_picture(cat(64), "cat.png")

    def test_one_layer(self) -> None:
        settings = InversionSettings(layer="conv1_2", size="32", steps=20)
        finding = show_inversion(self.photo, settings, EXACT)
        assert finding.result.pixels.shape == (1, 3, 32, 32)
        (row,) = finding.numbers["layers"]
        assert row["layer"] == "conv1_2"
        assert row["psnr_db"] > 15
        assert finding.result.recipe["technique"] == "inspect invert"

    def test_a_strip(self) -> None:
        calls: list[tuple[int, int]] = []
        settings = InversionSettings(strip=True, size="32", steps=2)
        finding = show_inversion(
            self.photo, settings, EXACT, on_step=lambda *each: calls.append(each)
        )
        names = [row["layer"] for row in finding.numbers["layers"]]
        assert names == ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
        assert finding.result.pixels.shape[3] == 6 * 32 + 7 * 8
        assert calls == [(number, 10) for number in range(1, 11)]

    def test_stopped(self) -> None:
        settings = InversionSettings(strip=True, size="32", steps=5)
        finding = show_inversion(self.photo, settings, EXACT, stop=lambda: True)
        assert [row["steps"] for row in finding.numbers["layers"]] == [1]
        assert finding.result.interrupted
        assert finding.result.recipe["interrupted"]

    def test_too_small(self) -> None:
        with pytest.raises(PictureError, match="too small for conv5_1"):
            show_inversion(self.photo, InversionSettings(layer="conv5_1", size="12"), EXACT)
