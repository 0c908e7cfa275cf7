"""Sheets: their cells, and that each can be made again from the sheet's recipe."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor

from stylize.errors import InterruptedRunError, PictureError, SettingError
from stylize.images.contact_sheet import cell_name
from stylize.images.metadata import MAX_RECIPE_BYTES
from stylize.images.mosaic import in_rows
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.products.dream.dream import Dream
from stylize.products.transfer import style_targets as gauge
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.explore import (
    Cell,
    Exploration,
    Titles,
    channel_cells,
    layer_cells,
    preset_cells,
    transfer_cells,
)
from stylize.runs.recipe import of_cell, settings_of, to_text
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.presets import find_preset, preset_names
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, cat, strokes

pytestmark = pytest.mark.usefixtures("network")
FP32 = Execution(precision="fp32")
SMALL = DreamSettings(octaves=1, steps=1, size="16", layers="conv1_2")
PAINT = TransferSettings(steps=1, size="16", style_layers=(("relu1_1", 1),))
BOLD = dataclasses.replace(PAINT, strength=None, content_weight=0.0, smoothness=0.0)
STYLES = [as_picture(strokes(24, 32, period), f"{period}.png") for period in (4, 9)]


NAMES = ["4", "9"]


def some(number: int) -> list[Cell]:
    return [Cell(str(index), SMALL) for index in range(number)]


class TestCells:
    """What is on a sheet."""

    @pytest.mark.parametrize(
        ("number", "columns", "lengths"),
        [(7, 3, [3, 3, 1]), (3, 3, [3]), (2, 9, [2]), (0, 4, []), (3, 1, [1, 1, 1])],
    )
    def test_in_rows(self, number: int, columns: int, lengths: list[int]) -> None:
        cells = some(number)
        rows = in_rows(cells, columns)
        assert [len(row) for row in rows] == lengths
        assert [cell for row in rows for cell in row] == cells

    def test_of_presets(self) -> None:
        cells = preset_cells({"seed": 8})
        assert [cell.label for cell in cells] == preset_names("dream")
        for cell in cells:
            assert cell.settings == find_preset("dream", cell.label).apply({"seed": 8})

    def test_of_layers(self) -> None:
        rows = layer_cells(SMALL, ["conv3_3", "conv4_1:3"], [5, 60.5])
        assert [[cell.label for cell in row] for row in rows] == [
            ["conv3_3 @ 5", "conv3_3 @ 60.5"],
            ["conv4_1:3 @ 5", "conv4_1:3 @ 60.5"],
        ]
        assert rows[1][0].settings.layers == "conv4_1:3"
        assert rows[1][0].settings.strength == 5
        assert rows[1][0].settings.steps == SMALL.steps

    def test_of_channels(self, vgg16: Weights) -> None:
        """The strongest first; fewer than asked for where there are no more."""
        cells = channel_cells(as_picture(cat(16)), SMALL, "conv1_2", 4, FP32)
        vgg = VGG(vgg16, ("relu1_2",), precision="fp32", device="cpu")
        with torch.no_grad():
            energy = vgg(cat(16))["relu1_2"].square().mean((0, 2, 3))
        order = energy.argsort(descending=True)[:4].tolist()
        assert [cell.label for cell in cells] == [f"conv1_2:{channel}" for channel in order]
        assert [cell.settings.layers for cell in cells] == [cell.label for cell in cells]
        every = channel_cells(as_picture(cat(16)), SMALL, "relu1_1", 512, FP32)
        assert len({cell.label for cell in every}) == 64

    def test_no_such_layer(self) -> None:
        with pytest.raises(SettingError, match="conv4_9"):
            channel_cells(as_picture(cat(16)), SMALL, "conv4_9", 4, FP32)


class TestSheet:
    """Dreamt, and described."""

    def test_every_cell_is_the_dream_its_recipe_makes(self) -> None:
        photo = as_picture(cat(32))
        rows = [*layer_cells(SMALL, ["conv1_2"], [5, 50]), [Cell("neon", changed(palette="neon"))]]
        reported: list[str] = []
        sheet = Exploration(photo, rows, FP32).run(reported.append)
        assert reported == ["conv1_2 @ 5", "conv1_2 @ 50", "neon"]
        assert (sheet.interrupted, sheet.recipe["interrupted"]) == (False, False)
        assert list(sheet.recipe["cells"]) == ["A1", "B1", "A2"]
        assert sheet.recipe["cells"]["B1"]["settings"] == {"strength": 50, "palette": "natural"}
        for name, cell in zip(("A1", "B1", "A2"), [*rows[0], *rows[1]], strict=True):
            assert settings_of(of_cell(sheet.recipe, name)) == cell.settings
            picture = Dream(photo, cell.settings, FP32).run().pixels
            assert contains(sheet.pixels, picture), name

    def test_noise(self) -> None:
        rows = [[Cell("noise", changed(from_noise="20x16"))]]
        sheet = Exploration(None, rows, FP32).run()
        assert sheet.recipe["inputs"] == []
        assert settings_of(of_cell(sheet.recipe, "A1")).from_noise == "20x16"

    @pytest.mark.parametrize(("asked", "cells"), [(3, 1), (4, 1), (5, 1), (6, 2), (9, 3)])
    def test_stopped(self, asked: int, cells: int) -> None:
        rows = layer_cells(SMALL, ["conv1_1", "conv1_2"], [5, 50])
        calls = count(1)
        sheet = Exploration(as_picture(cat(16)), rows, FP32).run(stop=lambda: next(calls) > asked)
        assert sheet.interrupted
        assert sheet.recipe["interrupted"]
        assert list(sheet.recipe["cells"]) == ["A1", "B1", "A2"][:cells]
        assert not of_cell(sheet.recipe, "A1")["interrupted"], "its cells are whole"

    def test_stopped_before_the_first(self) -> None:
        with pytest.raises(InterruptedRunError, match="before the first cell"):
            Exploration(as_picture(cat(16)), [some(2)], FP32).run(stop=lambda: True)

    def test_as_many_cells_as_the_recipe_has_room_for(self) -> None:
        """Told before the first of them is dreamt."""
        cells = [Cell(f"conv4_1:{n}", changed(layers=f"conv4_1:{n}")) for n in range(400)]
        photo = as_picture(cat(16), name="ü" * 100)
        with pytest.raises(SettingError, match="400 cells are too many"):
            Exploration(photo, [cells], FP32)
        most = next(n for n in range(399, 0, -1) if fits(photo, cells[:n]))
        one = Dream(photo, SMALL, FP32).run()
        recipe = Exploration(photo, [cells[:most]], FP32)._recipe(
            {str(number): (cell, one) for number, cell in enumerate(cells[:most])}
        )
        assert MAX_RECIPE_BYTES - 1500 < len(to_text(recipe).encode()) <= MAX_RECIPE_BYTES


class TestTransfers:
    """A row for each style, in each row of looks."""

    def test_cells(self) -> None:
        looks = [("1", [("a", PAINT), ("b", BOLD)]), ("2", [("a", BOLD), ("b", PAINT)])]
        rows, titles = transfer_cells(STYLES, looks, ["four", "nine"])
        assert [[cell.label for cell in row] for row in rows] == [
            ["a · 1 · four", "b · 1 · four"],
            ["a · 2 · four", "b · 2 · four"],
            ["a · 1 · nine", "b · 1 · nine"],
            ["a · 2 · nine", "b · 2 · nine"],
        ]
        assert [row[0].style for row in rows] == [STYLES[0]] * 2 + [STYLES[1]] * 2
        assert rows[2][1].settings == BOLD
        assert titles == Titles(["a", "b"], ["1", "2", "1", "2"], ["four", "nine"])
        (row,), titles = transfer_cells(STYLES[:1], [("", [("bold", BOLD)])], ["four"])
        assert row == [Cell("bold", BOLD, STYLES[0])], "one style needs no name"
        assert titles == Titles(["bold"], (), ["four"])

    def test_every_cell_is_the_transfer_its_recipe_makes(self) -> None:
        content = as_picture(cat(32))
        rows, titles = transfer_cells(STYLES, [("", [("paint", PAINT), ("bold", BOLD)])], NAMES)
        exploration = Exploration(content, rows, FP32, titles)
        sheet = exploration.run()
        assert (sheet.recipe["technique"], sheet.recipe["of"]) == ("explore", "transfer")
        assert [each["name"] for each in sheet.recipe["inputs"]] == ["test.png", "4.png", "9.png"]
        assert sheet.pixels.shape[2:] == exploration.size
        for name, cell in zip(("A1", "B1", "A2", "B2"), [*rows[0], *rows[1]], strict=True):
            assert cell.style is not None
            recipe = of_cell(sheet.recipe, name)
            assert settings_of(recipe) == cell.settings
            parts = [(each["role"], each["sha256"]) for each in recipe["inputs"]]
            assert parts == [("content", content.sha256), ("style", cell.style.sha256)]
            settings: Any = cell.settings
            picture = Transfer(content, [cell.style], settings, FP32).run().pixels
            assert contains(sheet.pixels, picture), name
        for pixels, size in ((content.pixels, (16, 16)), (STYLES[1].pixels, (12, 16))):
            assert contains(sheet.pixels, resize(pixels, size).clamp(0, 1)), "an input"

    def test_one_style_is_not_named_in_every_cell(self) -> None:
        rows, _ = transfer_cells(STYLES[:1], [("", [("paint", PAINT), ("bold", BOLD)])], ["4"])
        sheet = Exploration(as_picture(cat(16)), rows, FP32).run()
        assert "inputs" not in sheet.recipe["cells"]["B1"]
        assert of_cell(sheet.recipe, "B1")["inputs"] == sheet.recipe["inputs"]

    def test_a_style_is_measured_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: Counter[str] = Counter()
        measured = gauge.moments_of_layers

        def spy(vgg: VGG, image: Tensor, names: Sequence[str]) -> Any:
            seen[str(float(image.sum()))] += 1
            return measured(vgg, image, names)

        monkeypatch.setattr(gauge, "moments_of_layers", spy)
        looks = [("a", PAINT), ("b", BOLD), ("c", dataclasses.replace(PAINT, steps=2))]
        rows, _ = transfer_cells(STYLES, [("", looks)], NAMES)
        Exploration(as_picture(cat(16)), rows, FP32).run()
        assert list(seen.values()) == [1, 1]

    def test_stopped(self) -> None:
        """In the second row: its first cell is there, and the style of the third is not named."""
        looks = [("1", [("a", PAINT)]), ("2", [("b", BOLD)])]
        rows, titles = transfer_cells(STYLES, looks, NAMES)
        reported: list[str] = []
        exploration = Exploration(as_picture(cat(16)), rows, FP32, titles)
        sheet = exploration.run(reported.append, stop=lambda: len(reported) == 2)
        assert sheet.interrupted
        assert list(sheet.recipe["cells"]) == ["A1", "A2"]
        assert sheet.pixels.shape[2] < exploration.size[0], "rows without a cell are left out"
        assert [each["sha256"] for each in of_cell(sheet.recipe, "A2")["inputs"]][1:] == [
            STYLES[0].sha256
        ]

    def test_what_cannot_be_painted_is_found_before_anything_is(self) -> None:
        tiny = as_picture(strokes(8, 8), "tiny.png")
        rows, _ = transfer_cells([STYLES[0], tiny], [("", [("a", PAINT)])], NAMES)
        with pytest.raises(PictureError, match=r"tiny\.png: 8×8 px is too small"):
            Exploration(as_picture(cat(16)), rows, FP32).estimate()

    def test_the_time_is_the_sum_of_all(self) -> None:
        content = as_picture(cat(32))
        looks = [("a", PAINT), ("b", dataclasses.replace(PAINT, steps=200))]
        rows, _ = transfer_cells(STYLES[:1], [("", looks)], ["4"])
        found = Exploration(content, rows, FP32).estimate()
        alone = [
            Transfer(content, STYLES[:1], settings, FP32).cost().seconds for _, settings in looks
        ]
        assert found == (None if None in alone else pytest.approx(sum(map(float, alone))))  # type: ignore[arg-type]

    def test_many_styles_take_their_room(self) -> None:
        """Their names are in the recipe, next to the cells."""
        names = ["ü" * 60 + f"{number}.png" for number in range(200)]
        styles = [
            dataclasses.replace(STYLES[0], name=name, sha256=f"{number:064}")
            for number, name in enumerate(names)
        ]
        content = as_picture(cat(16))
        rows, _ = transfer_cells(styles, [("", [("a", PAINT)])], names)
        with pytest.raises(SettingError, match="200 cells are too many"):
            Exploration(content, rows, FP32)
        cells = [row[0] for row in rows]
        most = next(n for n in range(200, 0, -1) if fits(content, cells[:n]))
        one = Transfer(content, styles[:1], PAINT, FP32).run()
        crops = {f"{place:012}": "12345x12345+12345+12345" for place in range(most)}
        resolved = {**one.recipe["resolved"], "style_crops": crops}
        one = dataclasses.replace(one, recipe={**one.recipe, "resolved": resolved})
        done = {cell_name(0, place): (cell, one) for place, cell in enumerate(cells[:most])}
        recipe = Exploration(content, [cells[:most]], FP32)._recipe(done)
        assert MAX_RECIPE_BYTES - 1500 < len(to_text(recipe).encode()) <= MAX_RECIPE_BYTES


def fits(photo: Picture, cells: list[Cell]) -> bool:
    try:
        Exploration(photo, [cells], FP32)
    except SettingError:
        return False
    return True


def changed(**settings: str) -> DreamSettings:
    return dataclasses.replace(SMALL, **settings)  # type: ignore[arg-type]


def contains(sheet: torch.Tensor, picture: torch.Tensor) -> bool:
    """Whether a picture is somewhere on a sheet, pixel for pixel."""
    height, width = picture.shape[-2:]
    windows = sheet.unfold(2, height, 1).unfold(3, width, 1)
    same = (windows - picture[:, :, None, None]).abs().amax((0, 1, 4, 5))
    return bool((same < 1e-6).any())
