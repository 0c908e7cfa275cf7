"""Lay out small pictures: rows, enlargements, mosaics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor
from torch.nn.functional import pad

from stylize.images.contact_sheet import BACKGROUND

Cell = TypeVar("Cell")


def in_rows(cells: Sequence[Cell], columns: int) -> list[list[Cell]]:
    """Split cells into rows of ``columns``."""
    return [list(cells[start : start + columns]) for start in range(0, len(cells), columns)]


def figure(number: float) -> str:
    """Format a number to three digits: ``0.0123``, ``45.6``, ``1234``."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def enlarged(picture: Tensor, side_px: int) -> Tensor:
    """Enlarge a small picture by a whole factor, so that each pixel becomes a square.

    Args:
        picture: ``(..., h, w)``.
        side_px: limit for the longer side of the result; a larger picture stays as it is.
    """
    factor = max(1, side_px // max(picture.shape[-2:]))
    return picture.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def mosaic(tiles: Tensor, *, gap_px: int = 1) -> Tensor:
    """Arrange tiles in a nearly square grid on the dark background of contact sheets.

    Args:
        tiles: ``(n, h, w)``, at least one.
        gap_px: gap between neighbours.

    Returns:
        ``(H, W)``.
    """
    count, height, width = tiles.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    ground = BACKGROUND / 255
    full = pad(tiles, (0, 0, 0, 0, 0, rows * columns - count), value=ground)
    spaced = pad(full, (0, gap_px, 0, gap_px), value=ground)
    spaced = spaced.reshape(rows, columns, height + gap_px, width + gap_px)
    whole = spaced.permute(0, 2, 1, 3).reshape(rows * (height + gap_px), columns * (width + gap_px))
    return whole[: whole.shape[0] - gap_px, : whole.shape[1] - gap_px]
