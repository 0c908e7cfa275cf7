"""Strips: every owned position is shown once, and their gradients add up to the whole's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import stylize.gradients.fast_pass as sweep_module
from stylize.gradients.fast_pass import FastPass
from stylize.networks.architecture import Rect
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.planning.tiles import halo_px, tiles_of, whole_tile

LAYERS = ("relu1_1", "conv2_2", "relu3_1")


@pytest.fixture(scope="module")
def vgg(vgg16: Weights) -> VGG:
    return VGG(vgg16, LAYERS, precision="fp64")


@pytest.fixture(autouse=True)
def _short_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "LEAST_ROWS", 4)


def noise(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("size", [(64, 24), (53, 31), (16, 16)])
@pytest.mark.parametrize("strip_bytes", [1, 40_000, 1 << 30])
def test_everything_is_shown_once(vgg: VGG, size: tuple[int, int], strip_bytes: int) -> None:
    image = noise(*size)
    with torch.no_grad():
        expected = vgg(image)
    seen = {name: torch.zeros_like(each) for name, each in expected.items()}
    counts = {name: torch.zeros(each.shape[2:]) for name, each in expected.items()}

    def visit(name: str, features: Tensor, region: Rect) -> None:
        rows = slice(region.top, region.top + region.height)
        columns = slice(region.left, region.left + region.width)
        seen[name][..., rows, columns] = features
        counts[name][rows, columns] += 1

    FastPass(vgg, whole_tile(vgg.strides(), size), strip_bytes=strip_bytes).forward(image, visit)
    for name, each in expected.items():
        assert (counts[name] == 1).all()
        torch.testing.assert_close(seen[name], each, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(64, 24), (53, 31)])
@pytest.mark.parametrize("strip_bytes", [1, 40_000])
def test_the_way_back_in_strips(vgg: VGG, size: tuple[int, int], strip_bytes: int) -> None:
    image = noise(*size)
    found = []
    for each in (strip_bytes, 1 << 30):
        sweep = FastPass(vgg, whole_tile(vgg.strides(), size), strip_bytes=each)
        sweep.forward(image, lambda *_: None)
        found.append(sweep.backward(image, lambda name, features, region: features))
    torch.testing.assert_close(found[0], found[1], rtol=1e-11, atol=1e-13)


@given(st.integers(20, 70), st.integers(16, 40), st.integers(12, 40))
def test_tiles_own_every_position_once(height: int, width: int, tile_px: int) -> None:
    strides = {"relu1_1": 1, "conv2_2": 2, "relu3_1": 4}
    halo = halo_px("vgg16", LAYERS)
    counts = {name: torch.zeros(height // s, width // s) for name, s in strides.items()}
    for tile in tiles_of(strides, (height, width), tile_px, halo):
        for name, region in tile.regions.items():
            rows = slice(region.top, region.top + region.height)
            counts[name][rows, region.left : region.left + region.width] += 1
    assert all((each == 1).all() for each in counts.values())


def test_activations_are_shown_as_they_are(vgg16: Weights) -> None:
    vgg = VGG(vgg16, ("relu2_1",), precision="bf16")
    kinds = set()
    sweep = FastPass(vgg, whole_tile(vgg.strides(), (32, 32)))
    sweep.forward(noise(32, 32).float(), lambda name, features, region: kinds.add(features.dtype))
    assert kinds == {torch.bfloat16}
    gradient = sweep.backward(noise(32, 32).float(), lambda name, features, region: features)
    assert gradient.shape == (1, 3, 32, 32)
