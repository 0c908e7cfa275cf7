"""A transfer uses the part of its style images inside their frames."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from stylize.batches.tasks import identity_of
from stylize.errors import RecipeError, SettingError
from stylize.images.crop import Crop
from stylize.images.read import Picture
from stylize.products.transfer.style_groups import MaskRegion, Masks
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.explore import Cell, Exploration
from stylize.reruns.replay import job_of
from stylize.runs.recipe import of_cell, settings_of
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, cat, strokes

FAST = Execution(device="cpu", precision="fp32", threads=1)

QUICK: dict[str, Any] = {
    "size": "32",
    "steps": 1,
    "min_size": 32,
    "style_layers": (("relu1_1", 1.0), ("relu2_1", 1.0)),
    "content_layers": (("relu2_2", 1.0),),
}

INNER = strokes(48, 64, 5.0)

CROP = Crop(left=9, top=7, width=64, height=48)


def mounted(inner: torch.Tensor = INNER, value: float = 1.0) -> Picture:
    page = torch.full((1, 3, 48 + 7 + 11, 64 + 9 + 8), value)
    page[..., 7:55, 9:73] = inner
    return dataclasses.replace(as_picture(page, "mounted.png"), sha256="a1" * 32)


def job(*styles: Picture, session: Session | None = None, **settings: Any) -> Transfer:
    wanted = TransferSettings(**QUICK, **settings)
    return Transfer(as_picture(cat(48)), styles, wanted, FAST, session=session)


def pixels(*styles: Picture, **settings: Any) -> torch.Tensor:
    return job(*styles, **settings).run().pixels


@pytest.mark.parametrize(
    "settings",
    [{}, {"init": "style"}, {"color": "match"}, {"color": "palette"}, {"style_loss": "gram"}],
    ids=str,
)
def test_a_mount_changes_nothing(settings: dict[str, Any]) -> None:
    bare = pixels(as_picture(INNER.contiguous(), "bare.png"), **settings)
    assert torch.equal(pixels(mounted(), **settings), bare)
    assert not torch.equal(pixels(mounted(), **settings, style_crop="none"), bare)


def test_a_rectangle() -> None:
    assert torch.equal(pixels(mounted(), style_crop=str(CROP)), pixels(mounted()))
    part = as_picture(INNER[..., 4:36, 6:46].contiguous(), "part.png")
    assert torch.equal(pixels(mounted(), style_crop="40x32+15+11"), pixels(part))


def test_every_style_is_cropped() -> None:
    other = as_picture(strokes(40, 40, 3.0), "other.png")
    bare = as_picture(INNER.contiguous(), "bare.png")
    assert torch.equal(pixels(other, mounted()), pixels(other, bare))
    mask = as_picture((torch.arange(48) < 24).float().expand(1, 3, 48, 48).contiguous(), "m.png")

    def regional(style: Picture) -> Transfer:
        parts = Masks(regions=(MaskRegion(mask, style),))
        return Transfer(as_picture(cat(48)), [], TransferSettings(**QUICK), FAST, parts=parts)

    assert torch.equal(regional(mounted()).run().pixels, regional(bare).run().pixels)
    assert "9 px on the left" in regional(mounted()).notes[0]


def test_the_note_and_the_recipe() -> None:
    result = job(mounted()).run()
    assert result.notes == (
        "left out a frame of the style image mounted.png: 9 px on the left, 8 px on the right,"
        " 7 px at the top, 11 px at the bottom; --style-crop none keeps it",
    )
    assert result.recipe["settings"]["style_crop"] == "auto"
    assert result.recipe["resolved"]["style_crops"] == {"a1" * 6: str(CROP)}
    assert result.recipe["inputs"][1]["size"] == [81, 66]
    whole = job(mounted(), style_crop="none", final_steps=1).run()
    assert whole.notes == ()
    assert "style_crops" not in whole.recipe["resolved"]


def test_statistics_of_two_parts_are_kept_apart() -> None:
    session = Session()
    parts = ["none", "auto", "64x48+0+0", "auto", "none"]
    found = [job(mounted(), session=session, style_crop=part).run().pixels for part in parts]
    for part, shared in zip(parts, found, strict=True):
        assert torch.equal(shared, pixels(mounted(), style_crop=part))
    assert not torch.equal(found[1], found[2])


def replayed(recipe: dict[str, Any], *styles: Picture) -> Transfer:
    inputs = [("content", as_picture(cat(48))), *(("style", style) for style in styles)]
    found = job_of(recipe, inputs, settings_of(recipe), FAST)
    assert isinstance(found, Transfer)
    return found


def test_a_recipe_of_an_earlier_version_uses_the_whole_image() -> None:
    result = job(mounted(), style_crop="none", final_steps=1).run()
    earlier = {k: v for k, v in result.recipe["settings"].items() if k != "style_crop"}
    again = replayed({**result.recipe, "settings": earlier}, mounted())
    assert again.settings.style_crop == "none"
    assert torch.equal(again.run().pixels, result.pixels)


def test_a_replay_uses_the_recorded_crop() -> None:
    recipe = job(mounted()).run().recipe
    recorded = {**recipe, "resolved": {**recipe["resolved"], "style_crops": {}}}
    assert replayed(recorded, mounted()).styles[0].crop is None
    assert replayed(recipe, mounted()).styles[0].crop == CROP
    other = dataclasses.replace(mounted(), sha256="b2" * 32)
    assert replayed(recorded, other).styles[0].crop == CROP, "another image is searched"


@pytest.mark.parametrize("damage", ["nonsense", 7, "0x5+0+0", "999x999+0+0", [1]])
def test_a_damaged_crop(damage: Any) -> None:
    recipe = job(mounted()).run().recipe
    resolved = {**recipe["resolved"], "style_crops": {"a1" * 6: damage}}
    with pytest.raises(RecipeError):
        replayed({**recipe, "resolved": resolved}, mounted())


def test_a_contact_sheet_records_all_crops() -> None:
    second = dataclasses.replace(mounted(strokes(48, 64, 9.0)), sha256="b2" * 32)
    settings = TransferSettings(**QUICK)
    cells = [Cell(style.sha256[:2], settings, style) for style in (mounted(), second)]
    sheet = Exploration(as_picture(cat(48)), [cells], FAST).run()
    assert set(sheet.recipe["resolved"]["style_crops"]) == {"a1" * 6, "b2" * 6}
    cell = of_cell(sheet.recipe, "B1")
    assert replayed(cell, second).styles[0].crop == CROP


@pytest.mark.parametrize("text", ["80x60+2+0", "81x66+0+1", "16x16+70+0"])
def test_a_rectangle_outside_of_the_image(text: str) -> None:
    with pytest.raises(SettingError, match=r"is not inside mounted\.png"):
        job(mounted(), style_crop=text)


@pytest.mark.parametrize("text", ["", "some", "64x48", "64x48-1+0", "15x40+0+0", "40x0+0+0"])
def test_texts_that_are_no_rectangle(text: str) -> None:
    with pytest.raises(SettingError, match="--style-crop"):
        TransferSettings(style_crop=text)


def test_pictures_of_earlier_versions_belong_to_a_batch_of_whole_images() -> None:
    recipe = job(mounted(), style_crop="none", final_steps=1, size_ratio=2.0).run().recipe
    since = ("style_crop", "style_variance", "size_ratio")
    earlier = {k: v for k, v in recipe["settings"].items() if k not in since}
    assert identity_of({**recipe, "settings": earlier}) == identity_of(recipe)
