"""Convolutions with fewer multiplications give what the library's give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.gradients.fast_pass import FastPass
from stylize.networks import winograd
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.networks.winograd import Winograd
from stylize.planning.tiles import whole_tile


def values(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


SIDES = st.integers(1, 13)


@given(st.integers(1, 5), st.integers(1, 5), SIDES, SIDES, st.booleans())
def test_any_size(
    channels_in: int, channels_out: int, height: int, width: int, biased: bool
) -> None:
    x, weight = values(1, channels_in, height, width), values(channels_out, channels_in, 3, 3)
    bias = values(channels_out) if biased else None
    expected = F.conv2d(x, weight, bias, padding=1)
    found = Winograd(weight)(x.float(), None if bias is None else bias.float())
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5 * 9 * channels_in)


@pytest.mark.parametrize(
    ("weight", "side", "slow", "expected"),
    [
        (torch.zeros(256, 128, 3, 3), 32, True, True),
        (torch.zeros(256, 128, 3, 3), 32, False, False),
        (torch.zeros(256, 128, 3, 3), 16, True, False),
        (torch.zeros(128, 128, 3, 3), 32, True, False),
        (torch.zeros(256, 128, 3, 3, dtype=torch.bfloat16), 32, True, False),
        (torch.zeros(256, 128, 3, 3, dtype=torch.float64), 32, True, False),
    ],
)
def test_where_they_are_used(
    monkeypatch: pytest.MonkeyPatch, weight: Tensor, side: int, slow: bool, expected: bool
) -> None:
    monkeypatch.setattr(winograd, "_is_slow", lambda: slow)
    assert winograd.pays(weight, torch.zeros(1, 128, side, side)) == expected


@pytest.mark.parametrize("size", [(112, 104), (120, 131)])
def test_the_gradient_of_a_network(
    vgg16: Weights, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """As exact as the library's: both are compared with float64."""
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    used = []
    called = Winograd.__call__

    def counted(self: Winograd, x: Tensor, bias: Tensor | None = None) -> Tensor:
        used.append(bias is None)
        return called(self, x, bias)

    monkeypatch.setattr(Winograd, "__call__", counted)

    def gradient(precision: str, slow: bool) -> Tensor:
        monkeypatch.setattr(winograd, "_is_slow", lambda: slow)
        vgg = VGG(vgg16, ("conv3_2", "relu4_1"), precision=precision)
        sweep = FastPass(vgg, whole_tile(vgg.strides(), size))
        pixels = image.to(vgg.dtype)
        sweep.forward(pixels, lambda *_: None)
        return sweep.backward(pixels, lambda name, features, region: features).double()

    exact = gradient("fp64", slow=True)
    plain = gradient("fp32", slow=False)
    assert not used
    quick = gradient("fp32", slow=True)
    # conv3_1 to conv3_3, both ways; conv4_1 has too few positions.
    assert sorted(used) == [False] * 3 + [True] * 3
    errors = [float((each - exact).norm() / exact.norm()) for each in (plain, quick)]
    assert errors[1] < 1e-4
    assert errors[1] < 5 * errors[0]
