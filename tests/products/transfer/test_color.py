"""Whose colours a transfer has, how much of the photo shows, and what else steers it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.images.oklab import to_oklab
from stylize.images.palette import colours_of, with_palette_of
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.losses.edges import laplacian
from stylize.planning import memory as layout_module
from stylize.products.transfer import color as colouring
from stylize.products.transfer.color import finished, mixed, palette, style_pixels
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.replay import job_of
from stylize.runs.recipe import settings_of
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, cat, photo, strokes

FP32 = Execution(device="cpu", precision="fp32")
# The network is loaded once.
STUDIO = Session()
CONTENT, STYLE = as_picture(cat(48), "cat.png"), as_picture(strokes(40, 56), "strokes.png")
BLUE = as_picture(strokes(48, 48, 5.0).flip(1), "blue.png")
# Layers that are quick.
FEW: dict[str, Any] = {
    "size": "48",
    "min_size": 48,
    "steps": 8,
    "final_steps": 8,
    "style_layers": (("relu1_1", 1.0), ("relu2_1", 1.0)),
    "content_layers": (("relu2_2", 1.0),),
}


def job(content: Picture, *styles: Picture, **changes: Any) -> Transfer:
    return Transfer(content, styles, TransferSettings(**FEW | changes), FP32, session=STUDIO)


def paint(**changes: Any) -> Result:
    return job(CONTENT, STYLE, **changes).run()


@pytest.fixture(scope="module")
def plain() -> Result:
    return paint()


def chroma(pixels: torch.Tensor) -> torch.Tensor:
    return to_oklab(pixels)[:, 1:]


def lightness(pixels: torch.Tensor) -> torch.Tensor:
    return to_oklab(pixels)[:, :1]


class TestColour:
    """``--color``."""

    def test_luminance_has_the_photos_colours(self, plain: Result) -> None:
        """Where sRGB has them at the painting's lightness, which is most of the cat."""
        found = paint(color="luminance").pixels
        torch.testing.assert_close(lightness(found), lightness(plain.pixels), atol=2e-3, rtol=0)
        away = (chroma(found) - chroma(CONTENT.pixels)).norm(dim=1)
        assert float((away < 2e-3).float().mean()) > 0.8
        assert float(away.mean()) < 0.2 * float(
            (chroma(plain.pixels) - chroma(CONTENT.pixels)).norm(dim=1).mean()
        )

    def test_luminance_of_a_grey_photo_is_grey(self) -> None:
        grey = as_picture(photo(48, 48).mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous())
        found = job(grey, STYLE, color="luminance", steps=2).run().pixels
        assert float(chroma(found).abs().max()) < 1e-3

    def test_match_asks_for_the_photos_colours(self, plain: Result) -> None:
        """The style that the network sees has the photo's mean; so has the result, nearly."""
        settings = TransferSettings(color="match")
        seen = style_pixels(STYLE.pixels, CONTENT, settings)
        wanted, found = colours_of(CONTENT.pixels).mean, colours_of(seen).mean
        torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)
        means = [
            float((colours_of(result.pixels).mean - wanted).norm())
            for result in (paint(color="match", steps=20), plain)
        ]
        assert means[0] < 0.5 * means[1]

    def test_statistics_of_a_matched_style_are_of_one_photo(self) -> None:
        """Two photos with one studio: each gets the style in its own colours."""
        other = as_picture(BLUE.pixels, "other.png")
        first = job(CONTENT, STYLE, color="match", steps=2).run()
        second = job(other, STYLE, color="match", steps=2).run()
        alone = Transfer(other, [STYLE], second_settings(), FP32, session=Session()).run()
        assert torch.equal(second.pixels, alone.pixels)
        assert not torch.equal(first.pixels, second.pixels)

    def test_match_reaches_the_start(self) -> None:
        """A start from the style is one from the matched style."""
        found = job(CONTENT, STYLE, color="match", init="style")._initial((40, 56))
        torch.testing.assert_close(found, style_pixels(STYLE.pixels, CONTENT, found_settings()))

    def test_palette_puts_the_styles_colours_in_the_photos_places(self, plain: Result) -> None:
        found = paint(color="palette").pixels
        lent = with_palette_of(CONTENT.pixels, STYLE.pixels)
        torch.testing.assert_close(lightness(found), lightness(plain.pixels), atol=2e-3, rtol=0)
        away = (chroma(found) - chroma(lent)).norm(dim=1)
        assert float((away < 2e-3).float().mean()) > 0.6

    def test_style_leaves_the_painting_alone(self) -> None:
        painted = torch.rand(1, 3, 8, 8)
        assert finished(painted, CONTENT, [STYLE], TransferSettings()) is painted


def second_settings() -> TransferSettings:
    return TransferSettings(**FEW | {"color": "match", "steps": 2})


def found_settings() -> TransferSettings:
    return TransferSettings(color="match")


class TestPalette:
    """The colours of several styles together."""

    def test_of_one_style_are_its_own(self) -> None:
        assert torch.equal(palette([STYLE, BLUE], (1.0, 0.0)), STYLE.pixels)
        assert torch.equal(palette([STYLE], ()), STYLE.pixels)

    @given(st.floats(0.05, 0.95))
    def test_are_as_many_as_their_weights_say(self, share: float) -> None:
        found = colours_of(palette([STYLE, BLUE], (share, 1 - share)))
        one, other = colours_of(STYLE.pixels), colours_of(BLUE.pixels)
        expected = share * one.mean + (1 - share) * other.mean
        torch.testing.assert_close(found.mean, expected, atol=2e-3, rtol=0)

    def test_their_contrast_is_not_averaged_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With far fewer pixels than the pictures have."""
        monkeypatch.setattr(colouring, "_PALETTE_PX", 500)
        found = colours_of(palette([STYLE, STYLE], ())).covariance.trace()
        expected = colours_of(STYLE.pixels).covariance.trace()
        assert float(found / expected) == pytest.approx(1, abs=0.1)


class TestBlend:
    """``--blend``."""

    def test_nothing_is_the_photo_to_the_bit(self) -> None:
        assert torch.equal(paint(blend=0.0, steps=1).pixels, CONTENT.pixels)
        smaller = paint(blend=0.0, size="32", min_size=32, steps=1).pixels
        assert torch.equal(smaller, resize(CONTENT.pixels, (32, 32)).clamp(0, 1))

    def test_a_half_is_half_way(self, plain: Result) -> None:
        half = lightness(paint(blend=0.5).pixels)
        between = (lightness(CONTENT.pixels) + lightness(plain.pixels)) / 2
        torch.testing.assert_close(half, between, atol=2e-3, rtol=0)

    def test_more_is_further_from_the_photo(self) -> None:
        away = [
            float((mixed(CONTENT.pixels, BLUE.pixels, share) - CONTENT.pixels).abs().mean())
            for share in (0.0, 0.2, 0.5, 0.9, 1.0)
        ]
        assert away[0] == 0
        assert away == sorted(set(away))
        assert mixed(CONTENT.pixels, BLUE.pixels, 1) is BLUE.pixels

    def test_of_a_stopped_run(self) -> None:
        asked = iter([False, True, True, True])
        stopped = job(CONTENT, STYLE, blend=0.0).run(stop=lambda: next(asked))
        assert stopped.interrupted
        assert torch.equal(stopped.pixels, CONTENT.pixels)

    def test_half_way_from_black_to_white_looks_half_way(self) -> None:
        """A lightness of a half, which OKLab gives a light of an eighth."""
        grey = mixed(torch.zeros(1, 3, 5, 7), torch.ones(1, 3, 5, 7), 0.5)
        expected = 1.055 * 0.125 ** (1 / 2.4) - 0.055
        torch.testing.assert_close(grey, torch.full_like(grey, expected), atol=1e-5, rtol=0)


class TestWanted:
    """What the objective is made of."""

    def test_moments_are_another_style(self, plain: Result) -> None:
        found = paint(style_loss="moments")
        assert float((found.pixels - plain.pixels).abs().mean()) > 0.005
        assert set(found.recipe["losses"]) == set(plain.recipe["losses"])

    def test_wasserstein_descends(self) -> None:
        totals: list[float] = []
        job(CONTENT, STYLE, style_loss="wasserstein", steps=20, final_steps=20).run(
            lambda event: totals.append(event.total)
        )
        assert totals[-1] < 0.5 * totals[0]

    def test_more_edges_keep_more_of_the_contours(self) -> None:
        def lost(weight: float) -> float:
            found = paint(edges=weight, steps=16, final_steps=16).pixels
            return float((laplacian(found, 4) - laplacian(CONTENT.pixels, 4)).square().mean())

        none, some, many = (lost(weight) for weight in (0.0, 0.02, 0.5))
        assert none > some > many

    def test_edges_are_told_of(self) -> None:
        assert "edges" in paint(edges=0.02, steps=1, final_steps=1).recipe["losses"]


LOOKS: dict[str, dict[str, Any]] = {
    "luminance": {"color": "luminance", "blend": 0.7},
    "match": {"color": "match", "edges": 0.02},
    "palette": {"color": "palette", "style_loss": "wasserstein"},
}


class TestTogether:
    """With replay and with tiles."""

    @pytest.mark.parametrize("look", LOOKS)
    def test_replayed(self, look: str) -> None:
        first = paint(**LOOKS[look], steps=2, final_steps=2)
        settings = settings_of(first.recipe)
        inputs = [("content", CONTENT), ("style", STYLE)]
        again = job_of(first.recipe, inputs, settings, FP32).run()
        assert settings == dataclasses.replace(
            TransferSettings(**FEW), **LOOKS[look], steps=2, final_steps=2
        )
        assert torch.equal(first.pixels, again.pixels)

    @pytest.mark.parametrize("look", LOOKS)
    def test_in_tiles(self, look: str, monkeypatch: pytest.MonkeyPatch) -> None:
        values = {"size": "96", "min_size": 96, "steps": 2, "final_steps": 2} | LOOKS[look]
        scene = as_picture(cat(96))
        whole = job(scene, STYLE, **values).run()
        monkeypatch.setattr(layout_module, "TILES_PX", (32,))
        tiled = job(scene, STYLE, **values)
        tiled.memory_plan = layout_module.MemoryPlan(32)
        found = tiled.run()
        assert found.recipe["resolved"]["engine"] == "tiles"
        assert float((whole.pixels - found.pixels).abs().max()) < 2 / 255
