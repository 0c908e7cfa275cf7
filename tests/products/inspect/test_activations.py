"""Maps of channels."""

from __future__ import annotations

import pytest
import torch

from stylize.errors import ExpressionError, PictureError, SettingError
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.products.inspect.activations import by_strength, map_pictures, show_activations
from stylize.products.inspect.model import Model
from stylize.products.inspect.result import Finding, heat
from stylize.settings.execution import Execution
from stylize.settings.inspect import ActivationsSettings
from tests.conftest import as_picture, cat

pytestmark = pytest.mark.usefixtures("network")
EXACT = Execution(precision="fp32")


def shown(layer: str, side: int = 64, **changes: object) -> Finding:
    settings = ActivationsSettings(layer=layer, **changes)
    return show_activations(as_picture(cat(side), "cat.png"), settings, EXACT)


def test_the_strongest_come_first(vgg16: Weights) -> None:
    finding = shown("relu3_1", count=7)
    maps = VGG(vgg16, ["relu3_1"])(cat(64))["relu3_1"][0]
    means = maps.mean((1, 2))
    wanted = means.argsort(descending=True)[:7].tolist()
    assert [each["channel"] for each in finding.numbers["shown"]] == wanted
    for each in finding.numbers["shown"]:
        assert (
            each["strength"] == each["mean"] == pytest.approx(float(means[each["channel"]]), 1e-3)
        )
        assert each["largest"] == pytest.approx(float(maps[each["channel"]].max()), 1e-3)
    assert finding.numbers["channels"] == 256
    assert finding.numbers["positions"] == [16, 16]


def test_some_channels() -> None:
    finding = shown("relu2_1:3,7-9")
    assert {each["channel"] for each in finding.numbers["shown"]} == {3, 7, 8, 9}


def test_strength_counts_both_signs() -> None:
    maps = torch.tensor([[[1.0, -1.0]], [[0.5, 0.5]], [[-2.0, -2.0]]])
    assert by_strength(maps, (0, 1, 2)) == [(2, 2.0), (0, 1.0), (1, 0.5)]
    assert by_strength(maps, (1,)) == [(1, 0.5)]


def test_before_the_relu_responses_have_a_sign() -> None:
    assert any(each["mean"] < 0 for each in shown("conv2_1").numbers["shown"])
    assert all(each["mean"] >= 0 for each in shown("relu2_1").numbers["shown"])


def test_a_map_is_drawn_position_by_position() -> None:
    maps = torch.tensor([[[0.0, 1.0], [2.0, 4.0]]])
    settings = ActivationsSettings()
    found = map_pictures(maps, torch.zeros(1, 3, 32, 64), settings)
    assert found.shape == (1, 3, 32, 64)
    for (row, column), level in {(4, 4): 0.0, (4, 40): 0.25, (20, 10): 0.5, (20, 40): 1.0}.items():
        wanted = heat(torch.tensor(level).view(1, 1, 1, 1)).flatten()
        assert torch.equal(found[0, :, row, column], wanted)
    assert map_pictures(maps, torch.zeros(1, 3, 384, 768), settings).shape == (1, 3, 96, 192)


def test_a_scale_for_each_or_one_for_all() -> None:
    maps = torch.stack([torch.full((2, 2), 1.0), torch.full((2, 2), 4.0)])
    pixels = torch.zeros(1, 3, 4, 4)
    own = map_pictures(maps, pixels, ActivationsSettings(normalize="each"))
    common = map_pictures(maps, pixels, ActivationsSettings(normalize="all"))
    assert torch.equal(own[0], own[1])
    assert float(common[0].mean()) < float(common[1].mean()) == float(own[1].mean())


def test_overlay_shows_the_photo_where_the_map_is_small() -> None:
    maps = torch.zeros(1, 4, 4)
    maps[0, :, 2:] = 1.0
    dark, bright = (torch.full((1, 3, 8, 8), level) for level in (0.2, 0.8))
    over = ActivationsSettings(overlay=True)
    shown = [map_pictures(maps, each, over)[0] for each in (dark, bright)]
    gained = (shown[1] - shown[0]).mean(0)
    assert float(gained[:, 0].min()) > 0.3
    assert float(gained[:, -1].max()) < 0.2
    plain = [map_pictures(maps, each, ActivationsSettings()) for each in (dark, bright)]
    assert torch.equal(*plain)


def test_size_is_what_the_network_sees() -> None:
    assert shown("relu2_1", size="32").numbers["positions"] == [16, 16]
    assert shown("relu2_1", size="original").numbers["positions"] == [32, 32]


def test_recipe() -> None:
    recipe = shown("relu1_1", count=2).result.recipe
    assert recipe["technique"] == "inspect activations"
    assert recipe["inputs"][0]["name"] == "cat.png"
    assert recipe["settings"]["layer"] == "relu1_1"
    assert recipe["resolved"]["photo_size"] == [64, 64]
    assert recipe["resolved"]["precision"] == "fp32"


def test_a_model_gives_the_activations_of_the_network(vgg16: Weights) -> None:
    found = Model("vgg16", EXACT).activations(cat(64), ["relu4_1", "conv1_2"], "cat")
    for name, maps in VGG(vgg16, ["relu4_1", "conv1_2"])(cat(64)).items():
        torch.testing.assert_close(found[name], maps[0])
        assert not found[name].requires_grad


def test_too_small() -> None:
    with pytest.raises(PictureError, match=r"cat.png: 15×15 px is too small for relu5_1 .* 16 px"):
        shown("relu5_1", side=15)
    assert shown("relu5_1", side=16).numbers["positions"] == [1, 1]


def test_what_is_no_layer() -> None:
    for text in ("relu4_1 + relu4_2", "0.5*relu4_1", "-relu4_1"):
        with pytest.raises(SettingError):
            ActivationsSettings(layer=text)
    with pytest.raises(ExpressionError, match="no channel 64"):
        shown("relu1_1:64")
