"""The two functions that a program calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stylize
from stylize import DreamSettings, Result, StylizeError, dream, transfer
from stylize.errors import (
    InterruptedRunError,
    PictureError,
    SettingError,
    UnknownNameError,
    UsageError,
)
from stylize.images.read import read_picture
from stylize.optimize.loop import Step
from stylize.runs.recipe import load_recipe
from stylize.settings.presets import find_preset
from tests.conftest import as_picture, photo, save, strokes

FP32: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
QUICK: dict[str, Any] = {"layers": "conv1_2", "steps": 1, "size": "32", **FP32}
FEW: dict[str, Any] = {
    "style_layers": {"relu1_1": 1, "relu2_1": 1},
    "content_layers": {"relu2_2": 1},
}
STYLED: dict[str, Any] = {"size": "32", "min_size": 32, "steps": 2, **FEW, **FP32}

Files = tuple[Path, Path]


def test_what_is_promised_is_there() -> None:
    for name in stylize.__all__:
        assert getattr(stylize, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'drema'"):
        _ = stylize.drema


def test_a_dream_by_path_by_text_or_by_picture(files: Files) -> None:
    path = files[0]
    found = [dream(each, **QUICK) for each in (path, str(path), read_picture(path))]
    assert all(isinstance(each, Result) for each in found)
    assert all(torch.equal(each.pixels, found[0].pixels) for each in found)
    assert all(each.recipe == found[0].recipe for each in found)


def test_a_size_may_be_a_number(files: Files) -> None:
    assert dream(files[0], **QUICK | {"size": 40}).pixels.shape == (1, 3, 40, 40)


def test_a_dream_from_noise() -> None:
    found = dream(from_noise="40x24", **QUICK)
    assert found.pixels.shape == (1, 3, 24, 40)
    with pytest.raises(SettingError, match="either from a photo or from noise"):
        dream(as_picture(photo()), from_noise="40x24", **QUICK)
    with pytest.raises(SettingError, match="either from a photo or from noise"):
        dream(**QUICK)


def test_guide_and_mask_are_read_too(files: Files, tmp_path: Path) -> None:
    mask = save(torch.ones(1, 3, 64, 64), tmp_path / "mask.png")
    found = dream(files[0], guide=str(files[1]), mask=mask, **QUICK)
    roles = {each["role"]: each["name"] for each in found.recipe["inputs"]}
    assert roles == {"content": "photo.png", "guide": "strokes.png", "mask": "mask.png"}


def test_settings_beat_the_preset_and_the_preset_the_defaults(files: Files) -> None:
    recipe = dream(files[0], preset="bad-trip", **QUICK).recipe
    look = find_preset("dream", "bad-trip").apply()
    assert recipe["settings"]["palette"] == look.palette != DreamSettings().palette
    assert recipe["settings"]["layers"] == "conv1_2"
    assert recipe["preset"] == "bad-trip"


def test_the_default_preset_is_not_mentioned(files: Files) -> None:
    assert "preset" not in dream(files[0], **QUICK).recipe
    assert "preset" not in transfer(files[0], files[1], **STYLED).recipe


@pytest.mark.parametrize("technique", ["dream", "transfer"])
def test_a_recipe_names_a_presets_file_and_not_its_place(
    technique: str, files: Files, tmp_path: Path
) -> None:
    preset = tmp_path / "private" / "look.toml"
    preset.parent.mkdir()
    preset.write_text("[settings]\nseed = 7\n")
    if technique == "dream":
        result = dream(files[0], preset=str(preset), **QUICK)
    else:
        result = transfer(files[0], files[1], preset=str(preset), **STYLED)
    result.save(tmp_path / "out.png")
    recipe = load_recipe(tmp_path / "out.png")
    assert (recipe["preset"], recipe["settings"]["seed"]) == ("look", 7)
    assert "private" not in str(recipe)


def test_listeners_and_stops(files: Files) -> None:
    events: list[Step] = []
    settings = QUICK | {"steps": 5, "octaves": 1}
    found = dream(files[0], progress=events.append, stop=lambda: len(events) == 2, **settings)
    assert found.interrupted
    assert len(events) == 2
    with pytest.raises(InterruptedRunError):
        dream(files[0], stop=lambda: True, **QUICK)


def test_a_transfer_of_one_style_or_several(files: Files) -> None:
    one = transfer(str(files[0]), str(files[1]), **STYLED)
    assert torch.equal(transfer(files[0], [files[1]], **STYLED).pixels, one.pixels)
    other = as_picture(strokes(64, 64, 20.0), "waves.png")
    both = transfer(files[0], (files[1], other), **STYLED)
    assert [each["role"] for each in both.recipe["inputs"]].count("content") == 1
    assert len(both.recipe["inputs"]) == 3
    assert not torch.equal(both.pixels, one.pixels)


def test_a_start_sets_the_beginning(files: Files) -> None:
    found = transfer(files[0], files[1], start=files[1], **STYLED)
    assert found.recipe["settings"]["init"] == "file"


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"preset": "dgos"}, UnknownNameError, "unknown preset 'dgos'.*did you mean dogs"),
        ({"strenght": 3}, UnknownNameError, "unknown setting 'strenght'.*did you mean strength"),
        ({"strength": -1}, SettingError, "^strength: -1 is too small"),
        ({"layers": "conv9_1"}, UsageError, "unknown layer of vgg16 'conv9_1'"),
        ({"guide": "gone.png"}, PictureError, "gone.png"),
        ({"mask": "gone.png"}, PictureError, "gone.png"),
    ],
)
def test_requests_that_make_no_sense(
    files: Files, changes: dict[str, Any], error: type[StylizeError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        dream(files[0], **QUICK | changes)


class TestRegions:
    """Areas of the photo with styles of their own."""

    @staticmethod
    def left(colour: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
        shown = np.zeros((64, 64, 3), dtype=np.float32)
        shown[:, :32] = colour
        return shown

    def test_a_mask_and_a_coloured_map_say_the_same(self) -> None:
        red = self.left((1, 0, 0))
        first, second = (
            stylize.transfer(photo(), strokes(), regions=[region], size=64, steps=2, feather=0)
            for region in [(self.left(), strokes(period=16)), (red, strokes(period=16), "#ff0000")]
        )
        assert torch.equal(first.pixels, second.pixels)

    def test_without_a_style_the_photo_stays(self) -> None:
        result = stylize.transfer(
            photo(), strokes(), regions=[(self.left(), None)], size=64, steps=2, feather=0
        )
        changed = (result.pixels - photo()).abs()
        assert changed[..., :30].max() < 1 / 255 < changed[..., 34:].max()

    @pytest.mark.parametrize("region", [["mask.png", "style.png"], ("mask.png",), "mask.png"])
    def test_what_is_no_region(self, region: object) -> None:
        with pytest.raises(stylize.StylizeError, match="regions: each is"):
            stylize.transfer(photo(), strokes(), regions=[region], size=64)
