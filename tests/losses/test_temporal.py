"""The temporal loss: its value, its gradient, and how paint of several frames is combined."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylize.gradients.tiled import TiledEngine
from stylize.losses.content import ContentLoss
from stylize.losses.loss import Objective
from stylize.losses.temporal import TemporalLoss, nearest_first
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG


def noise(seed: int, channels: int = 3, height: int = 10, width: int = 14) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, height, width, generator=generator, dtype=torch.float64)


def test_only_trusted_pixels_count() -> None:
    target, image = noise(0), noise(1)
    trust = torch.zeros(1, 1, 10, 14, dtype=torch.float64)
    trust[..., 3, 5] = 1
    value, gradient = TemporalLoss(target, trust, 1.0).value_and_gradient(image)
    wanted = (image - target)[..., 3, 5].square().sum() / image.numel()
    assert float(value) == pytest.approx(float(wanted))
    assert float(gradient[..., 3, 5].abs().sum()) > 0
    gradient[..., 3, 5] = 0
    assert float(gradient.abs().max()) == 0


def test_the_gradient_is_that_of_the_value() -> None:
    loss = TemporalLoss(noise(0), noise(1, 1), 1.0)
    image, step = noise(2), 1e-3 * (noise(3) - 0.5)
    change = float(loss.value(image + step) - loss.value(image - step))
    _, gradient = loss.value_and_gradient(image)
    # Quadratic, so central differences are exact.
    assert change == pytest.approx(float(2 * (gradient * step).sum()), rel=1e-9)


def test_tiles_change_nothing(vgg16: Weights) -> None:
    vgg = VGG(vgg16, ["relu1_2"])
    image, target, trust = (
        noise(seed, channels, 64, 64).float() for seed, channels in ((0, 3), (1, 3), (2, 1))
    )
    objective = Objective(
        [ContentLoss("relu1_2", vgg(target)["relu1_2"], 1.0)],
        [TemporalLoss(target, trust, 100.0)],
    )
    whole = TiledEngine(vgg, objective, tile_px=None)(image)
    tiled = TiledEngine(vgg, objective, tile_px=32)(image)
    assert float(tiled.total) == pytest.approx(float(whole.total), rel=1e-5)
    torch.testing.assert_close(tiled.gradient, whole.gradient, rtol=1e-3, atol=1e-8)


def test_further_frames_count_where_nearer_ones_show_nothing() -> None:
    near, far = torch.zeros(1, 3, 1, 4), torch.ones(1, 3, 1, 4)
    trust = torch.tensor([1.0, 0.5, 0.0, 0.0]).view(1, 1, 1, 4)
    other = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 1, 4)
    paint, total = nearest_first([(near, trust), (far, other)])
    assert paint[0, 0, 0, :3].tolist() == [0.0, 0.5, 1.0]
    assert total[0, 0, 0].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_one_pair_stands_for_the_errors_to_all() -> None:
    parts = [(noise(seed), noise(seed + 10, 1)) for seed in range(3)]
    image = noise(9)
    paint, total = nearest_first(parts)
    _, gradient = TemporalLoss(paint, total, 1.0).value_and_gradient(image)
    used, wanted = torch.zeros_like(total), torch.zeros_like(image)
    for each, trust in parts:
        share = (trust - used).clamp_min(0)
        used = used + share
        wanted += TemporalLoss(each, share, 1.0).value_and_gradient(image)[1]
    torch.testing.assert_close(gradient, wanted)
