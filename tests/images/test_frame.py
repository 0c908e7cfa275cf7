"""Margins, mounts and frames are found; paintings and drawings without them are left alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from stylize.images.crop import Crop
from stylize.images.frame import inside_frame

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
STYLES = sorted((SAMPLES / "styles").glob("*.jpg"))

Pixels = NDArray[np.float64]
Depths = tuple[int, int, int, int]

WHITE, BLACK, PAPER, BROWN = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.94, 0.9, 0.78), (0.4, 0.25, 0.1)


def painting(name: str, height: int = 180, width: int = 240) -> Pixels:
    image = Image.open(SAMPLES / "styles" / f"{name}.jpg").convert("RGB")
    return np.asarray(image.resize((width, height), Image.Resampling.BOX)) / 255


def mounted(pixels: Pixels, depths: Depths, colour: tuple[float, float, float]) -> Pixels:
    left, top, right, bottom = depths
    planes = [
        np.pad(pixels[..., c], ((top, bottom), (left, right)), constant_values=colour[c])
        for c in range(3)
    ]
    return np.stack(planes, -1)


def carved(pixels: Pixels, depth: int, spread: float = 0.12) -> Pixels:
    """A golden frame of many small lights and shadows."""
    frame = mounted(pixels, (depth,) * 4, BLACK)
    light = np.random.default_rng(1).normal(0, spread, (*frame.shape[:2], 1))
    gold = (np.array([0.6, 0.45, 0.2]) + light).clip(0, 1)
    is_inside = mounted(np.ones_like(pixels), (depth,) * 4, BLACK)
    return np.where(is_inside > 0, frame, gold)


def drawing(height: int = 240, width: int = 300, seed: int = 0) -> Pixels:
    """Scribbles and an oval in the middle of a blank sheet."""
    image = Image.new("RGB", (width, height), (245, 240, 228))
    pen = ImageDraw.Draw(image)
    points = np.random.default_rng(seed).uniform((40, 40), (width - 40, height - 40), (40, 2))
    pen.line([tuple(map(float, point)) for point in points], fill=(30, 30, 40), width=2)
    pen.ellipse((60, 50, width - 60, height - 50), outline=(0, 0, 0), width=3)
    return np.asarray(image) / 255


def left_out(pixels: Pixels) -> Depths:
    height, width = pixels.shape[:2]
    tensor = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    crop = inside_frame(tensor)
    right, bottom = width - crop.left - crop.width, height - crop.top - crop.height
    return crop.left, crop.top, right, bottom


def as_jpeg(pixels: Pixels, degrees: float = 0, quality: int = 80) -> Pixels:
    image = Image.fromarray((pixels * 255).round().astype(np.uint8))
    corner = image.getpixel((0, 0))
    turned = image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=corner)
    buffer = io.BytesIO()
    turned.save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(buffer)) / 255


depths = st.integers(4, 40)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["marbling", "mosaic", "pastel", "woodcut", "brushwork"]),
    around=st.tuples(depths, depths, depths, depths),
    colour=st.sampled_from([WHITE, (0.55, 0.6, 0.66), BROWN]),
)
def test_margins_of_any_widths(
    name: str, around: Depths, colour: tuple[float, float, float]
) -> None:
    found = left_out(mounted(painting(name), around, colour))
    for left, depth in zip(found, around, strict=True):
        assert depth <= left <= depth + 4, found


@pytest.mark.parametrize("around", [(0, 30, 0, 30), (50, 0, 50, 0), (0, 12, 0, 60)])
@pytest.mark.parametrize("name", ["pastel", "ukiyo", "brushwork"])
def test_black_bars(name: str, around: Depths) -> None:
    assert left_out(mounted(painting(name), around, BLACK)) == around


@pytest.mark.parametrize("side", range(4))
def test_a_narrow_margin_on_one_side(side: int) -> None:
    around = tuple(8 if index == side else 0 for index in range(4))
    assert left_out(mounted(painting("mosaic"), around, PAPER)) == around


def test_a_wide_band_on_one_side_may_be_a_sky() -> None:
    assert left_out(mounted(painting("mosaic"), (0, 60, 0, 0), PAPER)) == (0, 0, 0, 0)


def test_grain_of_paper() -> None:
    page = mounted(painting("pastel"), (20, 20, 20, 20), PAPER)
    grain = np.random.default_rng(0).normal(0, 0.02, page.shape)
    assert left_out((page + grain).clip(0, 1)) == (20, 20, 20, 20)


@pytest.mark.parametrize("degrees", [-0.5, 0, 0.7])
def test_a_scan_that_is_not_quite_upright(degrees: float) -> None:
    scan = as_jpeg(mounted(painting("mosaic", 420, 560), (40, 40, 40, 40), PAPER), degrees)
    shift = abs(np.sin(np.radians(degrees))) * 320
    for depth in left_out(scan):
        assert 40 <= depth <= 40 + shift + 3


@pytest.mark.parametrize("name", ["ukiyo", "brushwork", "mosaic", "ink-wash", "woodcut"])
@pytest.mark.parametrize("depth", [10, 24])
def test_a_carved_frame(name: str, depth: int) -> None:
    for found in left_out(carved(painting(name), depth)):
        assert depth <= found <= depth + 3


def test_a_frame_with_its_mount_on_a_wall() -> None:
    framed = carved(mounted(painting("pastel", 300, 400), (20, 20, 20, 20), PAPER), 24)
    for found in left_out(mounted(framed, (15, 10, 15, 10), (0.5, 0.55, 0.6))):
        assert 54 <= found <= 68


def test_a_ruled_line_in_the_margin() -> None:
    ruled = mounted(mounted(painting("ukiyo"), (6, 6, 6, 6), WHITE), (2, 2, 2, 2), BLACK)
    assert left_out(mounted(ruled, (12, 12, 12, 12), WHITE)) == (20, 20, 20, 20)


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("side", [128, 400, 1024])
def test_paintings_that_fill_their_picture_are_left_alone(path: Path, side: int) -> None:
    assert left_out(painting(path.stem, side, side)) == (0, 0, 0, 0)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), coarse=st.sampled_from([1, 3, 8, 20]))
def test_textures_are_left_alone(seed: int, coarse: int) -> None:
    small = np.random.default_rng(seed).uniform(0, 1, (160 // coarse + 1, 200 // coarse + 1, 3))
    texture = small.repeat(coarse, 0).repeat(coarse, 1)[:160, :200]
    assert left_out(texture) == (0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_blank_paper_around_a_drawing_is_left_alone(seed: int) -> None:
    sheet = drawing(seed=seed)
    assert left_out(sheet) == (0, 0, 0, 0)
    assert left_out(as_jpeg(sheet)) == (0, 0, 0, 0)


@pytest.mark.parametrize("colour", [(0.6, 0.62, 0.6), BROWN, BLACK])
def test_the_mount_of_a_drawing_goes_and_its_paper_stays(
    colour: tuple[float, float, float],
) -> None:
    assert left_out(mounted(drawing(), (25, 20, 25, 30), colour)) == (25, 20, 25, 30)


@pytest.mark.parametrize("colour", [WHITE, PAPER, BLACK])
def test_a_picture_of_one_colour_is_left_alone(colour: tuple[float, float, float]) -> None:
    assert left_out(np.broadcast_to(np.array(colour), (90, 120, 3)).copy()) == (0, 0, 0, 0)


def test_a_quarter_of_the_picture_always_remains() -> None:
    stamp = mounted(painting("mosaic", 90, 120), (90, 70, 90, 70), WHITE)
    assert left_out(stamp) == (0, 0, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (16, 16), (33, 20), (2000, 3)])
def test_tiny_pictures_are_left_alone(size: tuple[int, int]) -> None:
    pixels = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    assert inside_frame(pixels) == Crop.whole(size)


def test_large_pictures_lose_no_less_than_the_margin() -> None:
    page = mounted(painting("marbling", 1600, 2000), (110, 90, 100, 120), PAPER)
    for found, depth in zip(left_out(page), (110, 90, 100, 120), strict=True):
        assert depth <= found <= depth + 8
