"""Masks: read from colours, softened within bounds, shared out completely."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from stylize.errors import SettingError
from stylize.masks.masks import (
    feather,
    find_colours,
    mask_weights,
    masks_by_colour,
    parse_colour,
    partition,
)
from tests.conftest import as_picture

few = settings(max_examples=40)
RED, GREEN, BLUE = (1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)


def paint(*stripes: tuple[float, ...], height: int = 40, width: int = 30) -> Tensor:
    """Vertical stripes of equal colours, each ``width`` wide."""
    columns = torch.tensor(stripes, dtype=torch.float32).T.repeat_interleave(width, 1)
    return columns[None, :, None].expand(1, 3, height, -1).contiguous()


def random_masks(seed: int, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 9, 11, generator=generator)


@pytest.mark.parametrize("text", ["#ff0000", "#F00", "red", " red ", "rgb(255, 0, 0)"])
def test_colours_are_read(text: str) -> None:
    assert parse_colour(text).tolist() == [1, 0, 0]


@pytest.mark.parametrize("text", ["", "#ff", "reddish", "#ff0000ff", "ff0000", "#gg0000"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="colour"):
        parse_colour(text)


def test_white_applies_and_black_does_not() -> None:
    found = mask_weights(as_picture(paint((0, 0, 0), (0.5, 0.5, 0.5), (1, 1, 1))), (40, 90))
    assert found.shape == (1, 1, 40, 90)
    assert found[0, 0, 0, 0] == 0
    assert found[0, 0, 0, -1] == 1
    assert found[0, 0, 0, 45] == 0.5


@pytest.mark.parametrize(("colour", "weight"), [(RED, 0.299), (GREEN, 0.587), (BLUE, 0.114)])
def test_colours_count_as_bright_as_they_look(colour: tuple[float, ...], weight: float) -> None:
    found = mask_weights(as_picture(paint(colour)), (40, 30))
    torch.testing.assert_close(found, torch.full_like(found, weight))


def test_what_is_transparent_does_not_apply() -> None:
    alpha = torch.zeros(1, 1, 40, 30)
    alpha[..., :10] = 1
    mask = dataclasses.replace(as_picture(paint((1, 1, 1))), alpha=alpha)
    assert torch.equal(mask_weights(mask, (40, 30)), alpha)


def test_each_colour_gives_its_region() -> None:
    found = masks_by_colour(paint(RED, GREEN, BLUE), ["#0000ff", "red"], name="seg.png")
    assert found.shape == (2, 1, 40, 90)
    assert torch.equal(found[0, 0, 0], torch.arange(90).ge(60).float())
    assert torch.equal(found[1, 0, 0], torch.arange(90).lt(30).float())


def test_near_colours_are_the_same_colour() -> None:
    found = masks_by_colour(paint((0.95, 0.05, 0.02), BLUE), ["red"], name="seg.png")
    assert float(found.mean()) == 0.5


def test_a_jpeg_is_read_as_if_it_were_none() -> None:
    levels = (paint(RED, GREEN, BLUE)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=60)
    pixels = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)[None] / 255
    colours = ["#ff0000", "#00ff00", "#0000ff"]
    found = masks_by_colour(pixels, colours, name="seg.jpg")
    clean = masks_by_colour(paint(RED, GREEN, BLUE), colours, name="seg.png")
    assert float((found - clean).abs().mean()) < 0.02


def test_a_soft_edge_is_divided_between_its_sides() -> None:
    pixels = paint(RED, BLUE, height=400, width=200)
    for step in range(1, 4):  # a ramp of four pixels, each less than what counts as a colour
        pixels[0, :, :, 198 + step] = torch.tensor([1 - step / 4, 0, step / 4])[:, None]
    found = masks_by_colour(pixels, ["red", "blue"], name="seg.png")
    assert torch.equal(found.sum(0), torch.ones(1, 400, 400))
    assert torch.equal(found[0, 0, 0, [198, 199, 201, 202]], torch.tensor([1.0, 1, 0, 0]))


def test_colours_that_are_not_asked_for_are_nobodys() -> None:
    found = masks_by_colour(paint(RED, GREEN, (0.9, 0.5, 0)), ["red"], name="seg.png")
    assert torch.equal(found[0, 0, 0], torch.arange(90).lt(30).float())


def test_a_small_region_is_found() -> None:
    pixels = paint(BLUE, height=100, width=100)
    pixels[0, :, 10:13, 20:23] = torch.tensor(RED)[:, None, None]
    assert float(masks_by_colour(pixels, ["red"], name="seg.png").sum()) == 9


def test_an_unknown_colour_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingError) as caught:
        masks_by_colour(paint(RED, RED, RED, BLUE), ["#ff0000", "#00ff00"], name="seg.png")
    assert caught.value.message == "seg.png has no region of the colour #00ff00"
    assert caught.value.hint == "it has #ff0000 (75 %), #0000ff (25 %)"


@pytest.mark.parametrize("names", [["red", "#f00"], ["#ff0000", "#fa0505"]])
def test_one_region_twice_is_refused(names: list[str]) -> None:
    with pytest.raises(SettingError, match="twice"):
        masks_by_colour(paint(RED, BLUE), names, name="seg.png")


def test_shares_of_the_colours_add_up() -> None:
    found = find_colours(paint(RED, BLUE, BLUE))
    assert [str(each) for each in found] == ["#0000ff", "#ff0000"]
    assert [each.share for each in found] == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize("width", [0, 1, 2, 3, 8, 13])
def test_no_more_pixels_are_soft_than_asked_for(width: int) -> None:
    mask = torch.zeros(1, 1, 20, 60)
    mask[..., 30:] = 1
    row = feather(mask, width)[0, 0, 7]
    soft = (row > 0) & (row < 1)
    assert width - 1 <= int(soft.sum()) <= width
    assert not soft.any() or bool((row.diff() >= 0).all())
    torch.testing.assert_close(row + row.flip(0), torch.ones(60))


@few
@given(st.integers(0, 1000), st.integers(0, 30))
def test_softness_stays_in_range_and_leaves_the_whole_alone(seed: int, width: int) -> None:
    found = feather(random_masks(seed), width)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    assert torch.equal(feather(torch.ones(1, 1, 9, 11), width), torch.ones(1, 1, 9, 11))
    assert torch.equal(feather(torch.zeros(1, 1, 9, 11), width), torch.zeros(1, 1, 9, 11))


@few
@given(st.integers(0, 1000), st.integers(1, 4))
def test_a_partition_is_complete_and_final(seed: int, count: int) -> None:
    shared = partition(random_masks(seed, count))
    assert shared.shape == (count + 1, 1, 9, 11)
    assert float(shared.min()) >= 0
    torch.testing.assert_close(shared.sum(0), torch.ones(1, 9, 11))
    torch.testing.assert_close(partition(shared[:-1]), shared, rtol=0, atol=1e-6)


def test_masks_that_do_not_overlap_stay_as_they_are() -> None:
    masks = masks_by_colour(paint(RED, GREEN, BLUE), ["red", "lime"], name="seg.png")
    shared = partition(masks)
    assert torch.equal(shared[:2], masks)
    assert torch.equal(shared[2, 0, 0], torch.arange(90).ge(60).float())


def test_where_masks_overlap_each_has_its_part() -> None:
    masks = torch.tensor([1.0, 1.0, 0.5]).view(3, 1, 1, 1)
    assert partition(masks).flatten().tolist() == pytest.approx([0.4, 0.4, 0.2, 0])
