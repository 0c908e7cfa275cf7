"""Contact sheets to choose from: presets, styles, layers, channels, blends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor

from stylize.errors import InterruptedRunError, SettingError
from stylize.gradients.self_test import resolve
from stylize.images.contact_sheet import Margins, cell_name, contact_sheet, sheet_size
from stylize.images.metadata import MAX_RECIPE_BYTES
from stylize.images.read import Picture
from stylize.networks.layer_expressions import Target, parse_targets, to_text
from stylize.networks.models import find_model, load_weights
from stylize.networks.network import network_of
from stylize.planning.device import require_own_threads
from stylize.products.dream.dream import Dream, picture_size, starting_pixels
from stylize.products.transfer.style_crop import merged_crops
from stylize.products.transfer.transfer import Transfer
from stylize.runs.recipe import compose
from stylize.runs.recipe import to_text as recipe_text
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import from_document, to_document
from stylize.settings.layers import amplified_layer
from stylize.settings.presets import find_preset, preset_names
from stylize.settings.transfer import TransferSettings


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet.

    Attributes:
        label: the text below it.
        settings: how it looks.
        style: the style image of a transfer; None for a dream.
    """

    label: str
    settings: DreamSettings | TransferSettings
    style: Picture | None = None


Rows = Sequence[Sequence[Cell]]

# The title of a row, and for each column its title and settings.
Look = tuple[str, Sequence[tuple[str, TransferSettings]]]


@dataclass(frozen=True)
class Titles:
    """Titles around the cells of a sheet.

    Attributes:
        columns: one for each column; without them each cell shows its own label.
        rows: one for each row.
        styles: labels of the style images, in the order of the rows; by default their names.
    """

    columns: Sequence[str] = ()
    rows: Sequence[str] = ()
    styles: Sequence[str] = ()


# Room in a sheet's recipe for everything but cells and inputs: weights and machine.
_HEAD_BYTES = 1000

# For the part of a style image that was used.
_CROP_BYTES = 42


def preset_cells(overrides: Mapping[str, Any]) -> list[Cell]:
    """Make a cell for each preset of the program."""
    return [
        Cell(name, find_preset("dream", name).apply(overrides)) for name in preset_names("dream")
    ]


def layer_cells(
    settings: DreamSettings, layers: Sequence[str], strengths: Sequence[float]
) -> list[list[Cell]]:
    """Make a row for each layer expression and a column for each strength."""
    return [
        [
            Cell(f"{layer} @ {strength:.12g}", _changed(settings, layers=layer, strength=strength))
            for strength in strengths
        ]
        for layer in layers
    ]


def transfer_cells(
    styles: Sequence[Picture], looks: Sequence[Look], names: Sequence[str]
) -> tuple[list[list[Cell]], Titles]:
    """Make a row for each look in each style.

    Args:
        styles: the style images.
        looks: titles of rows, with the titles and settings of their columns.
        names: a label for each style.

    Returns:
        The cells, whose labels name the style where there are several; and the titles.
    """
    several = len(styles) > 1
    rows = [
        [
            Cell(joined(column, row, name if several else ""), settings, style)
            for column, settings in columns
        ]
        for style, name in zip(styles, names, strict=True)
        for row, columns in looks
    ]
    titles = Titles(
        columns=[column for column, _ in looks[0][1]],
        rows=[row for row, _ in looks] * len(styles) if any(row for row, _ in looks) else (),
        styles=names,
    )
    return rows, titles


def joined(*parts: str) -> str:
    """Join the parts of a label that are not empty."""
    return " · ".join(filter(None, parts))


@torch.no_grad()
def channel_cells(
    photo: Picture, settings: DreamSettings, layer: str, count: int, device: Execution
) -> list[Cell]:
    """Make a cell for each of the channels of one layer that a photo excites most."""
    (target,) = parse_targets(layer)
    require_own_threads()
    weights = load_weights(settings.network)
    _changed(settings, layers=layer).check_layers(weights.architecture)
    found = resolve(device, weights)
    name = amplified_layer(Target(target.layer, 1.0, None), weights.architecture)
    network = network_of(weights, (name,), precision=found.precision, device=found.name)
    pixels = starting_pixels(photo, settings, picture_size(photo, settings)).to(found.name)
    energy = network(pixels)[name].float().square().mean((0, 2, 3))
    strongest = energy.topk(min(count, energy.numel())).indices.tolist()
    texts = [to_text([Target(target.layer, 1.0, (channel,))]) for channel in strongest]
    return [Cell(text, _changed(settings, layers=text)) for text in texts]


def _changed(settings: DreamSettings, **changes: Any) -> DreamSettings:
    changed: DreamSettings = from_document(DreamSettings, changes, settings)
    return changed


class Exploration:
    """A prepared contact sheet.

    Args:
        photo: the picture to work on; None for a dream from noise.
        rows: the cells, all dreams or all transfers.
        execution: device, precision and threads.
        titles: texts around the cells.

    Raises:
        SettingError: so many cells that their recipes do not fit into one picture.
    """

    def __init__(
        self,
        photo: Picture | None,
        rows: Rows,
        execution: Execution | None = None,
        titles: Titles | None = None,
    ) -> None:
        self.photo = photo
        self.rows = rows
        self.execution = execution or Execution()
        self.titles = titles or Titles()
        self._session = Session()
        # In the order of the rows, each once however many cells it is in.
        self._styles = {cell.style.sha256: cell.style for _, cell in self._named() if cell.style}
        self._check_room()

    def _check_room(self) -> None:
        document = self._document(dict(self._named()), weights={}, resolved={})
        head = _HEAD_BYTES + _CROP_BYTES * len(self._styles)
        if len(recipe_text(document).encode()) + head > MAX_RECIPE_BYTES:
            raise SettingError(
                f"{self.count} cells are too many for one sheet",
                hint="the picture has no room for all their recipes",
            )

    @property
    def count(self) -> int:
        """Number of cells."""
        return sum(map(len, self.rows))

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of the whole sheet in pixels."""
        sizes = {cell.settings.size: cell for _, cell in self._named()}.values()
        heights, widths = zip(*(self._job(cell).size for cell in sizes), strict=True)
        shape = self._margins(range(len(self.rows))).shape
        columns = max(map(len, self.rows))
        return sheet_size((max(heights), max(widths)), len(self.rows), columns, margins=shape)

    def estimate(self) -> float | None:
        """Estimate the seconds that all cells will take; None if the machine's speed is unknown.

        It prepares every cell, so that an impossible one is found before any is made.

        Raises:
            StylizeError: a cell cannot be made, see :mod:`stylize.errors`.
        """
        seconds = [self._job(cell).cost().seconds for _, cell in self._named()]
        return sum(each for each in seconds if each) if all(seconds) else None

    def run(
        self,
        on_step: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Result:
        """Make the cells and the sheet.

        Args:
            on_step: called with the label of every finished cell.
            stop: asked after every step; True ends the sheet with the cells that are complete.

        Raises:
            StylizeError: a cell cannot be made, see :mod:`stylize.errors`.
            InterruptedRunError: stopped before the first cell was done.
        """
        done: dict[str, tuple[Cell, Result]] = {}
        for name, cell in self._named():
            if stop is not None and stop():
                break
            result = self._made(cell, stop)
            if result is None:
                break
            done[name] = cell, result
            if on_step is not None:
                on_step(cell.label)
        if not done:
            raise InterruptedRunError("stopped before the first cell")
        cells = self._pictures(done)
        return Result(
            pixels=contact_sheet(list(cells.values()), margins=self._margins(list(cells))),
            alpha=None,
            recipe=self._recipe(done),
            interrupted=len(done) < self.count,
        )

    def _job(self, cell: Cell) -> Dream | Transfer:
        if isinstance(cell.settings, DreamSettings):
            return Dream(self.photo, cell.settings, self.execution, session=self._session)
        assert self.photo is not None and cell.style is not None, "a transfer has both"
        return Transfer(
            self.photo, [cell.style], cell.settings, self.execution, session=self._session
        )

    def _made(self, cell: Cell, stop: Callable[[], bool] | None) -> Result | None:
        """Make a cell; None if it was stopped."""
        try:
            result = self._job(cell).run(stop=stop)
        except InterruptedRunError:
            return None
        return None if result.interrupted else result

    def _named(self) -> Iterator[tuple[str, Cell]]:
        for row, cells in enumerate(self.rows):
            for column, cell in enumerate(cells):
                yield cell_name(row, column), cell

    def _pictures(
        self, done: Mapping[str, tuple[Cell, Result]]
    ) -> dict[int, list[tuple[str, Tensor] | None]]:
        """Arrange the finished pictures by row number; rows without any are left out."""
        grid: dict[int, list[tuple[str, Tensor] | None]] = {}
        for row, cells in enumerate(self.rows):
            names = [cell_name(row, column) for column in range(len(cells))]
            line = [self._picture(*done[name]) if name in done else None for name in names]
            if any(line):
                grid[row] = line
        return grid

    def _picture(self, cell: Cell, result: Result) -> tuple[str, Tensor]:
        return "" if self.titles.columns else cell.label, result.pixels

    def _margins(self, rows: Sequence[int]) -> Margins:
        """The titles, and the pictures to the left of these rows."""
        titles = [self.titles.rows[row] for row in rows] if self.titles.rows else ()
        inputs = [self._inputs[row] for row in rows]
        return Margins(columns=self.titles.columns, rows=titles, inputs=inputs)

    @cached_property
    def _inputs(self) -> list[list[tuple[str, str, Tensor] | None]]:
        """The photo at the left of the first row, each style at the left of its first row."""
        rows: list[list[tuple[str, str, Tensor] | None]] = [[] for _ in self.rows]
        if self.photo is None:
            return rows
        photo = ("photo", PurePath(self.photo.name).stem, self.photo.pixels)
        images = list(self._style_images)
        names = self.titles.styles or [PurePath(style.name).stem for style in images]
        styles = [("style", name, style.pixels) for name, style in zip(names, images, strict=True)]
        rows[0] = [photo]
        if len(rows) == 1:
            rows[0] += styles
        elif len(styles) == 1:
            rows[1] = [*styles]
        else:
            for place, style in enumerate(styles):
                first = place * len(rows) // len(styles)
                rows[first] = [photo if first == 0 else None, style]
        return rows

    @property
    def _style_images(self) -> Iterable[Picture]:
        return self._styles.values()

    def _recipe(self, done: Mapping[str, tuple[Cell, Result]]) -> dict[str, Any]:
        recipes = [result.recipe for _, result in done.values()]
        one, crops = recipes[0], merged_crops([each["resolved"] for each in recipes])
        return self._document(
            {name: cell for name, (cell, _) in done.items()},
            weights=one["weights"],
            resolved={k: v for k, v in one["resolved"].items() if k != "scales"} | crops,
        )

    def _document(
        self, cells: Mapping[str, Cell], weights: Mapping[str, str], resolved: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make one recipe for all cells: their common settings, and those of each."""
        shared, own = _documents(cells)
        photo = [] if self.photo is None else [("content", self.photo)]
        if len(self._styles) > 1:
            places = {sha256: place for place, sha256 in enumerate(self._styles, len(photo))}
            for name, cell in cells.items():
                assert cell.style is not None, "all are transfers"
                own[name]["inputs"] = [0, places[cell.style.sha256]]
        first = next(cell for _, cell in self._named())
        for name, cell in cells.items():
            if cell.settings.network != first.settings.network:
                model = find_model(cell.settings.network)
                own[name]["weights"] = {"name": model.name, "sha256": model.sha256}
        recipe = compose(
            "explore",
            shared,
            [*photo, *(("style", style) for style in self._styles.values())],
            weights=weights,
            resolved=resolved,
            losses={},
            interrupted=len(cells) < self.count,
        )
        return recipe | {"of": first.settings.TECHNIQUE, "cells": own}


def _documents(cells: Mapping[str, Cell]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the settings into those that all cells share and those of each cell."""
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


def strip_cells(settings: TransferSettings, names: tuple[str, str], count: int) -> list[Cell]:
    """Make cells with mixtures of two styles, from the first alone to the second alone.

    Args:
        settings: all other settings.
        names: labels of the styles.
        count: number of cells, at least 2, with evenly spaced mixtures.
    """
    first, last = names
    shares = [index / (count - 1) for index in range(count)]
    between = [f"{100 * share:.0f} % {last}" for share in shares[1:-1]]
    return [
        Cell(label, dataclasses.replace(settings, style_weights=(1 - share, share)))
        for label, share in zip([first, *between, last], shares, strict=True)
    ]


class Strip(Exploration):
    """A sheet of one row on which every cell is painted in two styles.

    Args:
        photo: the photo.
        styles: the first and the last.
        names: labels of the styles.
        settings: all settings but the weights of the styles.
        count: number of cells, at least 2.
        execution: device, precision and threads.
    """

    def __init__(
        self,
        photo: Picture,
        styles: tuple[Picture, Picture],
        names: tuple[str, str],
        settings: TransferSettings,
        count: int,
        execution: Execution | None = None,
    ) -> None:
        self._content, self._pair = photo, styles
        cells = strip_cells(settings, names, count)
        super().__init__(photo, [cells], execution, Titles(styles=names))

    @property
    def _style_images(self) -> Iterable[Picture]:
        return self._pair

    def _job(self, cell: Cell) -> Transfer:
        assert isinstance(cell.settings, TransferSettings), "of strip_cells"
        return Transfer(
            self._content, self._pair, cell.settings, self.execution, session=self._session
        )

    def _document(
        self, cells: Mapping[str, Cell], weights: Mapping[str, str], resolved: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Describe the sheet, on which all cells have the same three inputs."""
        document = super()._document(cells, weights, resolved)
        recipe = compose(
            "explore",
            document["settings"],
            [("content", self._content), *(("style", style) for style in self._pair)],
            weights=weights,
            resolved=resolved,
            losses={},
            interrupted=document["interrupted"],
        )
        return document | {"inputs": recipe["inputs"]}
