"""Motifs of the style image: anywhere, or only in plain areas of the photo."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import stylize
from stylize.planning.memory import MemoryPlan
from stylize.products.transfer.style_groups import MaskRegion, Masks
from stylize.products.transfer.transfer import Transfer
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, strokes

LAYERS = {"relu1_1": 1, "relu5_1": 1}

QUICK: dict[str, Any] = {
    "network": "vgg16",
    "size": 128,
    "steps": 6,
    "precision": "fp32",
    "match": 0,
    "style_loss": "moments",
    "style_layers": LAYERS,
    "style_crop": "none",
}


def landscape(busy: slice) -> Tensor:
    """A grey photo with stripes in some of its columns."""
    picture = torch.full((1, 3, 128, 128), 0.5)
    picture[..., busy] += 0.3 * torch.sin(torch.arange(128) * 1.5)[busy]
    return picture


def names(result: stylize.Result) -> list[str]:
    return [name for name in result.recipe["losses"] if "relu5_1" in name]


def test_plain_areas_are_painted_and_others_are_spared() -> None:
    """relu5_1 alone: the paint differs from the photo mostly where that is plain."""
    picture = landscape(slice(64, 128))
    words = QUICK | {"style_layers": {"relu5_1": 1}, "strength": 60}
    words |= {"cleanup": 0, "retouch": 0}
    shares = {}
    for motifs in ("anywhere", "plain"):
        painted = stylize.transfer(picture, strokes(), motifs=motifs, **words)
        change = (painted.pixels - picture).abs().mean((0, 1, 2))
        shares[motifs] = float(change[96:].sum() / change.sum())
    assert shares["plain"] < 0.7 * shares["anywhere"]


def test_the_loss_says_where_it_is_read() -> None:
    picture = landscape(slice(64, 128))
    plain = stylize.transfer(picture, strokes(), motifs="plain", **QUICK | {"steps": 1})
    assert names(plain) == ["style relu5_1 in plain areas"]
    anywhere = stylize.transfer(picture, strokes(), **QUICK | {"steps": 1})
    assert names(anywhere) == ["style relu5_1"]


def test_a_photo_that_is_plain_all_over_has_room_everywhere() -> None:
    flat = torch.full((1, 3, 128, 128), 0.4)
    words = QUICK | {"steps": 3}
    plain, anywhere = (
        stylize.transfer(flat, strokes(), motifs=motifs, **words)
        for motifs in ("plain", "anywhere")
    )
    torch.testing.assert_close(plain.pixels, anywhere.pixels, atol=0.02, rtol=0)


def test_a_busy_photo_has_no_room_and_a_note_says_so() -> None:
    busy = landscape(slice(0, 128))
    result = stylize.transfer(busy, strokes(), motifs="plain", **QUICK | {"steps": 1})
    assert names(result) == []
    assert any("no plain area" in note for note in result.notes)


def test_a_note_says_so_where_the_plain_area_is_kept() -> None:
    picture, keep = landscape(slice(64, 128)), torch.zeros(1, 3, 128, 128)
    keep[..., :64] = 1
    result = stylize.transfer(
        picture, strokes(), keep=keep, motifs="plain", **QUICK | {"steps": 1, "feather": 0}
    )
    assert [note for note in result.notes if "no motifs: the painted part" in note]
    result = stylize.transfer(
        picture, strokes(), keep=1 - keep, motifs="plain", **QUICK | {"steps": 1, "feather": 0}
    )
    assert not [note for note in result.notes if "no motifs" in note]


def test_regions_have_room_where_they_are_plain() -> None:
    """The right half is busy: the style of that region gets no motifs."""
    picture, mask = landscape(slice(64, 128)), torch.zeros(1, 3, 128, 128)
    mask[..., 64:] = 1
    other = strokes(period=5.0)
    words = QUICK | {"steps": 1, "feather": 0}
    result = stylize.transfer(picture, strokes(), regions=[(mask, other)], motifs="plain", **words)
    assert names(result) == ["style relu5_1 in the rest"]


@pytest.mark.parametrize("regions", [False, True])
def test_tiles_change_nothing(regions: bool) -> None:
    """Rounding aside: each tile knows which of its positions count."""
    mask = torch.zeros(1, 3, 128, 128)
    mask[..., 64:] = 1
    other = MaskRegion(as_picture(mask, "mask.png"), as_picture(strokes(period=5.0)))
    settings = TransferSettings(
        size="128",
        min_size=128,
        steps=2,
        network="vgg16",
        match=0.0,
        motifs="plain",
        style_layers=(("relu1_1", 1.0), ("relu5_1", 1.0)),
    )
    photograph, style = as_picture(landscape(slice(80, 128))), as_picture(strokes())
    parts = Masks(None, (other,) if regions else ())
    found = []
    for plan in (MemoryPlan(), MemoryPlan(64)):
        execution = Execution(precision="fp32", device="cpu")
        job = Transfer(photograph, [style], settings, execution, parts=parts)
        job.memory_plan = plan
        found.append(job.run())
    assert [each.recipe["resolved"]["engine"] for each in found] == ["whole", "tiles"]
    assert float((found[0].pixels - found[1].pixels).abs().max()) < 0.002
