"""OKLab against its author's figures, and the border of sRGB."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.images import oklab
from stylize.images.oklab import from_linear, from_oklab, in_strips, to_linear, to_oklab

levels = st.floats(0, 1)


def colour(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("srgb", "lab"),
    [  # to four digits, as other implementations print them
        ((1, 1, 1), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (0.6280, 0.2249, 0.1258)),
        ((0, 1, 0), (0.8664, -0.2339, 0.1795)),
        ((0, 0, 1), (0.4520, -0.0325, -0.3115)),
    ],
)
def test_known_colours(srgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    torch.testing.assert_close(to_oklab(colour(*srgb)), colour(*lab), rtol=0, atol=6e-5)


def test_middle_grey_has_a_fifth_of_the_light() -> None:
    assert float(to_linear(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)
    assert float(to_linear(torch.tensor(0.02))) == pytest.approx(0.02 / 12.92)


@given(levels)
def test_light_and_back(level: float) -> None:
    value = torch.tensor(level, dtype=torch.float64)
    assert float(from_linear(to_linear(value))) == pytest.approx(level, abs=1e-7)


@given(levels, levels, levels)
def test_there_and_back(red: float, green: float, blue: float) -> None:
    there = to_oklab(colour(red, green, blue))
    # To a tenth of a level.
    torch.testing.assert_close(from_oklab(there), colour(red, green, blue), rtol=0, atol=4e-4)


@given(levels)
def test_grey_has_no_chroma(level: float) -> None:
    assert float(to_oklab(colour(level, level, level))[:, 1:].abs().max()) < 1e-6


@given(st.floats(0.05, 0.98), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_beyond_srgb_only_chroma_is_lost(lightness: float, a: float, b: float) -> None:
    shown = from_oklab(colour(lightness, a, b))
    assert float(shown.min()) >= 0
    assert float(shown.max()) <= 1
    found = to_oklab(shown).flatten()
    assert float(found[0]) == pytest.approx(lightness, abs=3e-3)
    chroma = torch.tensor([a, b], dtype=torch.float64)
    # The same hue: on the ray from grey, and not further out.
    assert float(found[1] * b - found[2] * a) == pytest.approx(0, abs=3e-3)
    assert float(found[1:].norm()) <= float(chroma.norm()) + 3e-3
    assert float(found[1:] @ chroma) >= -1e-4


def test_what_is_kept_reaches_the_border() -> None:
    shown = from_oklab(colour(0.6280, 10 * 0.2249, 10 * 0.1258))
    torch.testing.assert_close(shown, colour(1, 0, 0), rtol=0, atol=0.04)


@pytest.mark.parametrize("lightness", [-0.3, 1.4])
def test_beyond_black_and_white(lightness: float) -> None:
    found = from_oklab(colour(lightness, 0.1, 0.0))
    torch.testing.assert_close(found, colour(*[float(lightness > 1)] * 3), rtol=0, atol=1e-3)


@pytest.mark.parametrize("strip_px", [1, 7, 100, 10_000])
def test_strips_are_the_whole(strip_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.rand(1, 3, 13, 9, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(oklab, "_STRIP_PX", strip_px)
    darker = in_strips(torch.minimum, picture, 1 - picture)
    assert torch.equal(darker, torch.minimum(picture, 1 - picture))
    torch.testing.assert_close(in_strips(to_oklab, picture), to_oklab(picture))
