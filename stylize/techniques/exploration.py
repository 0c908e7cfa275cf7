"""Sheets of small dreams to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylize.engine.machine import resolve
from stylize.errors import InterruptedRunError, SettingError
from stylize.images import Picture
from stylize.images.metadata import MAX_RECIPE_BYTES
from stylize.images.sheet import cell_name, contact_sheet
from stylize.networks.store import load_weights
from stylize.networks.targets import Target, parse_targets, to_text
from stylize.networks.trunk import Trunk
from stylize.presets import find_preset, preset_names
from stylize.recipes import compose
from stylize.recipes import to_text as recipe_text
from stylize.settings import DreamSettings, Execution, from_document, to_document
from stylize.techniques.dream import Dream, picture_size, starting_pixels
from stylize.techniques.painting import Painting
from stylize.techniques.studio import Studio


@dataclass(frozen=True)
class Cell:
    """One dream of a sheet.

    Attributes:
        label: what stands beneath it.
        settings: how it looks.
    """

    label: str
    settings: DreamSettings


Rows = Sequence[Sequence[Cell]]
# For what a sheet's recipe says beside its cells: input, weights, machine.
_HEAD_BYTES = 1500


def in_rows(cells: Sequence[Cell], columns: int) -> list[list[Cell]]:
    """Cells laid out in rows of ``columns``."""
    return [list(cells[start : start + columns]) for start in range(0, len(cells), columns)]


def preset_cells(overrides: Mapping[str, Any]) -> list[Cell]:
    """A cell for each of the program's presets."""
    return [
        Cell(name, find_preset("dream", name).apply(overrides)) for name in preset_names("dream")
    ]


def layer_cells(
    settings: DreamSettings, layers: Sequence[str], strengths: Sequence[float]
) -> list[list[Cell]]:
    """A row for each layer expression, a column for each strength."""
    return [
        [
            Cell(f"{layer} @ {strength:g}", _changed(settings, layers=layer, strength=strength))
            for strength in strengths
        ]
        for layer in layers
    ]


@torch.no_grad()
def channel_cells(
    photo: Picture, settings: DreamSettings, layer: str, count: int, machine: Execution
) -> list[Cell]:
    """A cell for each of the channels of one layer that a photograph excites most."""
    (target,) = parse_targets(layer)
    weights = load_weights(settings.network)
    _changed(settings, layers=layer).check_layers(weights.architecture)
    found = resolve(machine, weights)
    name = target.layer.replace("conv", "relu")
    trunk = Trunk(weights, (name,), precision=found.precision, device=found.device)
    pixels = starting_pixels(photo, settings, picture_size(photo, settings)).to(found.device)
    energy = trunk(pixels)[name].float().square().mean((0, 2, 3))
    strongest = energy.topk(min(count, energy.numel())).indices.tolist()
    texts = [to_text([Target(target.layer, 1.0, (channel,))]) for channel in strongest]
    return [Cell(text, _changed(settings, layers=text)) for text in texts]


def _changed(settings: DreamSettings, **changes: Any) -> DreamSettings:
    changed: DreamSettings = from_document(DreamSettings, changes, settings)
    return changed


class Exploration:
    """A sheet, prepared.

    Args:
        photo: the picture to dream on; None for noise.
        rows: the cells.
        execution: where it is done.

    Raises:
        SettingError: so many cells that their recipes do not fit into one picture.
    """

    def __init__(
        self, photo: Picture | None, rows: Rows, execution: Execution | None = None
    ) -> None:
        self.photo = photo
        self.rows = rows
        self.execution = execution or Execution()
        self._studio = Studio()
        self._check_room()

    def _check_room(self) -> None:
        shared, own = _documents(dict(self._named()))
        size = len(recipe_text({"settings": shared, "cells": own}).encode())
        if size + _HEAD_BYTES > MAX_RECIPE_BYTES:
            raise SettingError(
                f"{self.count} cells are too many for one sheet",
                hint="the picture has no room for all their recipes",
            )

    @property
    def count(self) -> int:
        """Number of cells."""
        return sum(map(len, self.rows))

    def run(
        self,
        told: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Painting:
        """Dream them all.

        Args:
            told: is told the label of every cell that is done.
            stop: asked after every step; True ends the sheet with the whole cells so far.

        Raises:
            StylizeError: a cell cannot be dreamt, see :mod:`stylize.errors`.
            InterruptedRunError: stopped before the first cell was done.
        """
        done: dict[str, tuple[Cell, Painting]] = {}
        for name, cell in self._named():
            if stop is not None and stop():
                break
            painting = self._dreamt(cell, stop)
            if painting is None:
                break
            done[name] = cell, painting
            if told is not None:
                told(cell.label)
        if not done:
            raise InterruptedRunError("stopped before the first cell")
        return Painting(
            pixels=contact_sheet(self._pictures(done)),
            alpha=None,
            recipe=self._recipe(done),
            interrupted=len(done) < self.count,
        )

    def _dream(self, cell: Cell) -> Dream:
        return Dream(self.photo, cell.settings, self.execution, studio=self._studio)

    def _dreamt(self, cell: Cell, stop: Callable[[], bool] | None) -> Painting | None:
        """A cell; None if it was stopped, however early."""
        try:
            painting = self._dream(cell).run(stop=stop)
        except InterruptedRunError:
            return None
        return None if painting.interrupted else painting

    def _named(self) -> Iterator[tuple[str, Cell]]:
        for row, cells in enumerate(self.rows):
            for column, cell in enumerate(cells):
                yield cell_name(row, column), cell

    def _pictures(
        self, done: Mapping[str, tuple[Cell, Painting]]
    ) -> list[list[tuple[str, Tensor] | None]]:
        grid: list[list[tuple[str, Tensor] | None]] = []
        for row, cells in enumerate(self.rows):
            names = [cell_name(row, column) for column in range(len(cells))]
            grid.append(
                [
                    (done[name][0].label, done[name][1].pixels) if name in done else None
                    for name in names
                ]
            )
        return [line for line in grid if any(line)]

    def _recipe(self, done: Mapping[str, tuple[Cell, Painting]]) -> dict[str, Any]:
        """One recipe for all: what the cells share, and in what each differs."""
        shared, cells = _documents({name: cell for name, (cell, _) in done.items()})
        one = next(iter(done.values()))[1].recipe
        recipe = compose(
            "explore",
            shared,
            [] if self.photo is None else [("content", self.photo)],
            weights=one["weights"],
            resolved={key: value for key, value in one["resolved"].items() if key != "scales"},
            losses={},
            interrupted=len(done) < self.count,
        )
        return recipe | {"of": "dream", "cells": cells}


def _documents(cells: Mapping[str, Cell]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that all cells share; and for each its label and the settings of its own."""
    documents = {name: to_document(cell.settings) for name, cell in cells.items()}
    first = next(iter(documents.values()), {})
    shared = {
        key: value
        for key, value in first.items()
        if all(key in each and each[key] == value for each in documents.values())
    }
    own = {
        name: {
            "label": cells[name].label,
            "settings": {key: value for key, value in each.items() if key not in shared},
        }
        for name, each in documents.items()
    }
    return shared, own
