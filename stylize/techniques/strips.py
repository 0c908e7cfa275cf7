"""A strip of transfers from one style to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from stylize.images import Picture
from stylize.recipes import compose
from stylize.settings import Execution, TransferSettings
from stylize.techniques.exploration import Cell, Exploration
from stylize.techniques.transfer import Transfer


def strip_cells(
    settings: TransferSettings, styles: tuple[Picture, Picture], count: int
) -> list[Cell]:
    """A cell for each of some mixtures, from the first style alone to the second alone.

    Args:
        settings: all else.
        styles: whose names the labels say.
        count: of the cells, at least 2; their mixtures are equally far from each other.
    """
    first, last = (PurePath(style.name).stem for style in styles)
    shares = [index / (count - 1) for index in range(count)]
    between = [f"{100 * share:.0f} % {last}" for share in shares[1:-1]]
    return [
        Cell(label, dataclasses.replace(settings, style_weights=(1 - share, share)))
        for label, share in zip([first, *between, last], shares, strict=True)
    ]


class Strip(Exploration):
    """A sheet of one row on which every cell is painted in two styles.

    Args:
        photo: what is painted.
        styles: the first and the last.
        settings: all but the styles' weights.
        count: of the cells, at least 2.
        execution: where it is done.
    """

    def __init__(
        self,
        photo: Picture,
        styles: tuple[Picture, Picture],
        settings: TransferSettings,
        count: int,
        execution: Execution | None = None,
    ) -> None:
        self._content, self._pair = photo, styles
        super().__init__(photo, [strip_cells(settings, styles, count)], execution)

    def _job(self, cell: Cell) -> Transfer:
        assert isinstance(cell.settings, TransferSettings), "of strip_cells"
        return Transfer(
            self._content, self._pair, cell.settings, self.execution, studio=self._studio
        )

    def _document(
        self, cells: Mapping[str, Cell], weights: Mapping[str, str], resolved: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As on any sheet, but all cells have the same three inputs."""
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
