"""Parts of the photo borrow from similar parts of the style images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import stylize
from stylize.products.transfer import matching
from tests.conftest import photo, strokes

QUICK = {
    "network": "vgg16",
    "smoothness": 0.4,
    "size": 64,
    "min_size": 64,
    "steps": 12,
    "precision": "fp32",
    "tolerance": 0.0,
    "style_crop": "none",
}


def stripes(horizontal: bool) -> torch.Tensor:
    """``(64, 64)`` grey waves."""
    waves = 0.5 + 0.4 * torch.sin(torch.arange(64) * (2 * torch.pi / 8)).expand(64, 64)
    return waves.T if horizontal else waves


@pytest.fixture(scope="module")
def halves() -> tuple[np.ndarray, np.ndarray]:
    """A grey photo, and a style whose upright waves are red and whose level ones are blue.

    The photo's upright waves are on the left. Those of the style are at the bottom.
    """
    columns = torch.arange(64)
    grey = torch.where(columns < 32, stripes(False), stripes(True)).expand(3, 64, 64)
    red, blue = torch.zeros(2, 3, 64, 64)
    red[0], blue[2] = stripes(False), stripes(True)
    colours = torch.where(columns[:, None] >= 32, red, blue)
    return grey.permute(1, 2, 0).numpy(), colours.permute(1, 2, 0).numpy()


def redness(result: stylize.Result) -> tuple[float, float]:
    """Red minus blue, on the left and on the right."""
    pixels = result.pixels[0]
    difference = pixels[0] - pixels[2]
    return float(difference[:, :24].mean()), float(difference[:, 40:].mean())


def test_colours_go_where_their_textures_are(halves: tuple[np.ndarray, np.ndarray]) -> None:
    """From noise and without a content loss, nothing else knows the photo."""
    blind = QUICK | {"init": "noise", "strength": 100, "steps": 15}
    left, right = redness(stylize.transfer(*halves, match=1, **blind))
    assert left > 0.1
    assert right < -0.1


@pytest.mark.slow  # three paintings
def test_more_match_is_more_alike(halves: tuple[np.ndarray, np.ndarray]) -> None:
    """The distance from the matched activations falls as their weight rises."""
    words = QUICK | {"style_layers": {"relu1_1": 1, "relu2_1": 1}}
    distances = [
        stylize.transfer(*halves, match=match, **words).recipe["losses"]["match relu4_1"] / match
        for match in (0.02, 0.2, 1)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[2] < 0.9 * distances[0]


def test_a_photo_is_most_similar_to_itself() -> None:
    """Two styles are offered, and the photo finds itself in the one that shows it."""
    picture = photo().squeeze(0).permute(1, 2, 0).numpy()
    other = strokes().squeeze(0).permute(1, 2, 0).numpy()
    alone, both = (
        stylize.transfer(picture, styles, match=1, **{**QUICK, "steps": 1})
        for styles in ([other], [other, picture])
    )
    assert both.recipe["losses"]["match relu4_1"] < 0.3 * alone.recipe["losses"]["match relu4_1"]


def test_a_few_positions_at_a_time(
    halves: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a style image several times larger than the result."""
    words = QUICK | {"match": 1, "steps": 1}
    once = stylize.transfer(*halves, **words).pixels
    monkeypatch.setattr(matching, "_COSINES_AT_ONCE", 3 * 64)
    torch.testing.assert_close(stylize.transfer(*halves, **words).pixels, once, atol=1e-4, rtol=0)


def test_without_a_coarse_style_there_is_nothing_to_match() -> None:
    picture = photo().squeeze(0).permute(1, 2, 0).numpy()
    other = strokes().squeeze(0).permute(1, 2, 0).numpy()
    words = QUICK | {"steps": 2, "style_parts": ["fine"]}
    losses = stylize.transfer(picture, other, match=1, **words).recipe["losses"]
    assert "match relu4_1" not in losses


def test_each_region_borrows_from_its_own_style(halves: tuple[np.ndarray, np.ndarray]) -> None:
    """The region's style is red all over, the other blue, whatever their textures."""
    grey, colours = halves
    red, blue = torch.zeros(2, 1, 3, 64, 64)
    red[:, 0], blue[:, 2] = (torch.from_numpy(colours.max(-1)) for _ in range(2))
    mask = torch.zeros(1, 3, 64, 64)
    mask[..., 32:] = 1
    blind = QUICK | {"init": "noise", "strength": 100, "steps": 20, "style_layers": {"relu4_1": 1}}
    found = stylize.transfer(grey, blue, regions=[(mask, red)], match=1, **blind)
    left, right = redness(found)
    assert right > 0.05
    assert left < -0.05
