"""Styles are measured at the size in which their strokes are wanted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from stylize.gradients.tiled import moments_of_layers
from stylize.images.clarity import clarified
from stylize.images.read import Picture
from stylize.images.resampling import resize_clamped
from stylize.losses.statistics import Moments
from stylize.networks.models import load_weights
from stylize.networks.vgg import VGG
from stylize.planning.device import Device
from stylize.products.transfer.style_targets import LEAST_STYLE_SIDE, StyleStatistics
from stylize.runs.session import Session
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, cat, strokes

LAYERS = ("relu1_1", "relu2_1", "relu3_1")
GRAIN = ("relu1_1", "relu2_1")


@pytest.fixture(scope="module")
def gauge() -> StyleStatistics:
    weights = load_weights("vgg16")
    device = Device("cpu", "fp32", 1)
    settings = TransferSettings(clarity=0)
    vgg, photo = VGG(weights, LAYERS), as_picture(cat(64))
    return StyleStatistics(vgg, photo, settings, device, Session(), 128)


@pytest.fixture(scope="module")
def style() -> Picture:
    return as_picture(strokes(48, 64, 5.0), "strokes.png")


def expected(gauge: StyleStatistics, style: Picture, size: tuple[int, int]) -> dict[str, Moments]:
    return moments_of_layers(gauge.vgg, resize_clamped(style.pixels, size), LAYERS)


@pytest.mark.parametrize("side", [64, 56, 44])
def test_a_style_shrinks_for_all_layers(gauge: StyleStatistics, style: Picture, side: int) -> None:
    found = gauge.moments(style, side, LAYERS)
    wanted = expected(gauge, style, (side * 3 // 4, side))
    for name in LAYERS:
        assert torch.equal(found[name].second, wanted[name].second)


def test_the_shallow_layers_see_no_enlarged_style(gauge: StyleStatistics, style: Picture) -> None:
    found = gauge.moments(style, 128, LAYERS)
    own, enlarged = expected(gauge, style, (48, 64)), expected(gauge, style, (96, 128))
    for name in LAYERS:
        wanted = own if name in GRAIN else enlarged
        assert torch.equal(found[name].mean, wanted[name].mean)
        assert not torch.equal(own[name].mean, enlarged[name].mean)


def test_only_what_is_asked_for(gauge: StyleStatistics, style: Picture) -> None:
    assert set(gauge.moments(style, 128, ["relu1_1"])) == {"relu1_1"}
    assert set(gauge.moments(style, 128, ["relu3_1"])) == {"relu3_1"}


def test_a_style_never_vanishes(gauge: StyleStatistics, style: Picture) -> None:
    found = gauge.moments(style, 1, LAYERS)
    wanted = expected(gauge, style, (LEAST_STYLE_SIDE, round(LEAST_STYLE_SIDE * 4 / 3)))
    assert torch.equal(found["relu3_1"].second, wanted["relu3_1"].second)


def test_clarity_removes_the_grain_of_a_style(gauge: StyleStatistics) -> None:
    plain = (strokes(48, 64, 24.0) > 0.5).float() * 0.6 + 0.2
    grain = 0.01 * torch.randn(plain.shape, generator=torch.Generator().manual_seed(3))
    clean, grainy = as_picture(plain), as_picture((plain + grain).clamp(0, 1), "grainy.png")

    def distance(clarity: float) -> float:
        settings = dataclasses.replace(gauge.settings, clarity=clarity)
        each = dataclasses.replace(gauge, settings=settings)
        one, other = (each.moments(style, 64, LAYERS) for style in (clean, grainy))
        return float((one["relu1_1"].second - other["relu1_1"].second).norm())

    assert distance(1) < 0.7 * distance(0)


def test_grain_is_removed_once_at_the_largest_size(
    gauge: StyleStatistics, style: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = dataclasses.replace(gauge, settings=TransferSettings(clarity=0.5), side=56)
    calls = []

    def counted(*args: Any) -> torch.Tensor:
        calls.append(args)
        return clarified(*args)

    monkeypatch.setattr("stylize.products.transfer.style_targets.clarified", counted)
    cleared = clarified(resize_clamped(style.pixels, (42, 56)), 0.5)
    wanted = moments_of_layers(gauge.vgg, resize_clamped(cleared, (36, 48)), LAYERS)
    other = as_picture(strokes(48, 64, 9.0), "other.png")
    for side in (40, 48, 56):
        for one in (style, other):
            found = each.moments(one, side, LAYERS)
            if side == 48 and one is style:
                for name in LAYERS:
                    assert torch.equal(found[name].second, wanted[name].second)
    assert len(calls) == 2


@pytest.mark.parametrize(("side", "sharpening"), [(64, 1), (96, 0.5), (128, 0), (200, 0)])
def test_an_enlarged_style_is_sharpened_less(
    gauge: StyleStatistics, style: Picture, side: int, sharpening: float
) -> None:
    each = dataclasses.replace(gauge, settings=TransferSettings(), side=side)
    soft = clarified(style.pixels, 1.0, sharpening)
    wanted = moments_of_layers(gauge.vgg, soft, ["relu1_1"])["relu1_1"]
    assert torch.equal(each.moments(style, side, ["relu1_1"])["relu1_1"].second, wanted.second)
