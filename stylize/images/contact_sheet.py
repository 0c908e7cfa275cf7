"""Contact sheets: many small pictures in a grid, each with a name and a label.

torch is not imported here, because commands parse the names of cells before they need it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stylize.errors import SettingError
from stylize.images.sizes import SizeSpec

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont
    from torch import Tensor

Cells = Sequence[Sequence[tuple[str, "Tensor"] | None]]

# sRGB levels: neutral, so that they do not affect how the pictures' colours look.
BACKGROUND, LABEL, NAME, TITLE = 28, 165, 235, 225
# Size of the text, as a share of a cell's width and as limits in pixels.
LABEL_SHARE, LABEL_PX = 0.055, (11, 22)
TITLE_FACTOR = 1.35
LINE_FACTOR = 1.7

_CELL = re.compile(r"([A-Z]{1,6})([1-9][0-9]{0,5})")
_LETTERS = 26
# Characters beyond ASCII in Pillow's own font, and replacements for others that our labels have.
_DRAWABLE = "…·°"
_REPLACED = str.maketrans({"×": "x", "–": "-", "—": "-", "−": "-", "→": ">"})
_FONT_SEARCH_S = 10


def cell_name(row: int, column: int) -> str:
    """Return the name of a cell, such as ``B3`` for the second column's third row.

    Args:
        row, column: counted from 0.

    Raises:
        ValueError: a negative number.
    """
    if row < 0 or column < 0:
        raise ValueError(f"row {row}, column {column}")
    letters, rest = "", column + 1
    while rest:
        rest, letter = divmod(rest - 1, _LETTERS)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row + 1}"


def parse_cell(text: str) -> tuple[int, int]:
    """Parse the name of a cell, in either case, to row and column, counted from 0.

    Raises:
        SettingError: it is not the name of a cell.
    """
    match = _CELL.fullmatch(text.strip().upper())
    if match is None:
        raise SettingError(
            f"no such cell: '{text}'", hint="use the column's letter and the row's number: B3"
        )
    column = 0
    for letter in match[1]:
        column = column * _LETTERS + ord(letter) - ord("A") + 1
    return int(match[2]) - 1, column - 1


@dataclass(frozen=True)
class Margins:
    """Titles and inputs around the cells of a sheet.

    Attributes:
        columns: a title above each column.
        rows: a title to the left of each row, written upwards.
        inputs: pictures to the left of the cells, row by row, from the top: a word such as
            ``photo``, a label and ``(1, 3, h, w)``; None leaves a place empty.
    """

    columns: Sequence[str] = ()
    rows: Sequence[str] = ()
    inputs: Sequence[Sequence[tuple[str, str, Tensor] | None]] = ()

    @property
    def shape(self) -> MarginShape:
        """What they take of the sheet."""
        return MarginShape(bool(self.columns), bool(self.rows), max(map(len, self.inputs or [()])))


@dataclass(frozen=True)
class MarginShape:
    """Which titles a sheet has, and how many columns of inputs."""

    columns: bool = False
    rows: bool = False
    inputs: int = 0


def contact_sheet(
    cells: Cells,
    *,
    title: str | None = None,
    margins: Margins | None = None,
    gap_px: int = 8,
    max_cell_px: int = 512,
) -> Tensor:
    """Arrange pictures in a grid on a dark background, each above its cell's name and its label.

    All cells have the size of the largest picture; others are scaled to fit.

    Args:
        cells: rows of labels and pictures; None leaves a place empty, and rows may be shorter than
            others. Pictures are ``(1, 3, h, w)`` in [0, 1].
        title: a line above the grid.
        margins: titles of rows and columns, and pictures of the inputs.
        gap_px: gap between cells and around the grid.
        max_cell_px: larger pictures are shrunk to this longer side.

    Returns:
        ``(1, 3, H, W)`` float32 in [0, 1].

    Raises:
        ValueError: no picture, pictures of another shape, a negative gap or no room for a cell.
    """
    first, largest = _first_and_largest(cells)
    if gap_px < 0 or max_cell_px < 1:
        raise ValueError(f"gap of {gap_px} px, cells of at most {max_cell_px} px")
    margins = margins or Margins()
    size = _cell_size(largest, max_cell_px)
    columns = max(map(len, cells))
    grid = _Grid(size, len(cells), columns, gap_px, title is not None, margins.shape)
    sheet = first.float().new_full((1, 3, *grid.size), BACKGROUND / 255)
    if title is not None:
        strip = _strip([(title, TITLE)], grid.size[1] - 2 * gap_px, grid.title_font)
        _paste(sheet, _as_tensor(strip, sheet), gap_px, gap_px)
    _draw_margins(sheet, grid, margins)
    alike = _alike(_labels(cells), size[1], grid.label_font)
    for row, column, label, picture in _filled(cells):
        words = [(cell_name(row, column), NAME), (label, LABEL)]
        corner = grid.corner(row, column)
        _draw_cell(sheet, grid, corner, picture, words, both_ends=label in alike)
    return sheet


def _draw_margins(sheet: Tensor, grid: _Grid, margins: Margins) -> None:
    height, width = grid.cell
    for row, pictures in enumerate(margins.inputs):
        for column, each in enumerate(pictures):
            if each is not None:
                word, label, picture = each
                words = [(word, NAME), (label, LABEL)]
                corner = grid.input_corner(row, column)
                _draw_cell(sheet, grid, corner, picture, words, both_ends=True)
    alike = _alike(margins.columns, width, grid.label_font)
    for column, text in enumerate(margins.columns):
        top, left = grid.corner(0, column)
        strip = _strip([(text, TITLE)], width, grid.label_font, both_ends=text in alike)
        _paste(sheet, _as_tensor(strip, sheet), top - strip.height, left)
    # A long title may continue past the label below the picture.
    alike = _alike(margins.rows, grid.pitch[0] - grid.gap, grid.label_font)
    for row, text in enumerate(margins.rows):
        drawable, lettering = _drawable(text, grid.label_font)
        fits = lettering.length(drawable) <= height
        length = height if fits else grid.pitch[0] - grid.gap
        strip = _strip([(text, TITLE)], length, grid.label_font, both_ends=text in alike)
        upwards = strip.transpose(Image.Transpose.ROTATE_90)
        top, left = grid.corner(row, 0)
        _paste(sheet, _as_tensor(upwards, sheet), top, left - upwards.width)


def _draw_cell(
    sheet: Tensor,
    grid: _Grid,
    corner: tuple[int, int],
    picture: Tensor,
    words: Sequence[tuple[str, int]],
    *,
    both_ends: bool,
) -> None:
    """Draw a picture in the middle of a cell, and words below the cell."""
    from stylize.images.resampling import resize  # noqa: PLC0415

    (height, width), (top, left) = grid.cell, corner
    fitted = _fitted((picture.shape[-2], picture.shape[-1]), grid.cell)
    down, right = (height - fitted[0]) // 2, (width - fitted[1]) // 2
    _paste(sheet, resize(picture.float(), fitted).clamp(0, 1), top + down, left + right)
    strip = _strip(words, width, grid.label_font, both_ends=both_ends)
    _paste(sheet, _as_tensor(strip, sheet), top + height, left)


def sheet_size(
    picture: tuple[int, int],
    rows: int,
    columns: int,
    *,
    margins: MarginShape | None = None,
    gap_px: int = 8,
    max_cell_px: int = 512,
) -> tuple[int, int]:
    """Compute ``(height, width)`` in pixels of a :func:`contact_sheet` without a title.

    Args:
        picture: ``(height, width)`` of the largest picture.
        rows, columns: number of cells.
        margins: see :attr:`Margins.shape`.
        gap_px, max_cell_px: as for :func:`contact_sheet`.
    """
    cell = _cell_size(picture, max_cell_px)
    return _Grid(cell, rows, columns, gap_px, False, margins or MarginShape()).size


def _cell_size(picture: tuple[int, int], max_cell_px: int) -> tuple[int, int]:
    return SizeSpec(long_side_px=max_cell_px).fit(*picture)


def _fitted(picture: tuple[int, int], cell: tuple[int, int]) -> tuple[int, int]:
    """Scale ``(height, width)`` to fit into a cell."""
    scale = min(cell[0] / picture[0], cell[1] / picture[1])
    height, width = (max(1, round(scale * side)) for side in picture)
    return min(height, cell[0]), min(width, cell[1])


def _filled(cells: Cells) -> Iterator[tuple[int, int, str, Tensor]]:
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            if cell is not None:
                yield row, column, *cell


def _labels(cells: Cells) -> list[str]:
    return [label for _, _, label, _ in _filled(cells)]


def _first_and_largest(cells: Cells) -> tuple[Tensor, tuple[int, int]]:
    pictures = [picture for _, _, _, picture in _filled(cells)]
    if not pictures:
        raise ValueError("a contact sheet without a picture")
    for picture in pictures:
        if picture.dim() != 4 or picture.shape[:2] != (1, 3):
            raise ValueError(f"pictures (1, 3, h, w), not {tuple(picture.shape)}")
    height, width = (max(each.shape[axis] for each in pictures) for axis in (-2, -1))
    return pictures[0], (height, width)


@dataclass(frozen=True)
class _Grid:
    """The layout of a sheet in pixels; sizes and corners are vertical first."""

    cell: tuple[int, int]
    rows: int
    columns: int
    gap: int
    titled: bool
    margins: MarginShape

    @cached_property
    def label_font(self) -> FreeTypeFont:
        return _font(min(max(round(LABEL_SHARE * self.cell[1]), LABEL_PX[0]), LABEL_PX[1]))

    @cached_property
    def title_font(self) -> FreeTypeFont:
        return _font(round(TITLE_FACTOR * self.label_font.size))

    @property
    def pitch(self) -> tuple[int, int]:
        """The distance between the corners of neighbouring cells."""
        return self.cell[0] + _line_px(self.label_font) + self.gap, self.cell[1] + self.gap

    @property
    def head(self) -> int:
        """The height above the first row."""
        titles = _line_px(self.label_font) if self.margins.columns else 0
        return self.gap + titles + (_line_px(self.title_font) + self.gap if self.titled else 0)

    @property
    def side(self) -> int:
        """The width to the left of the first column."""
        titles = _line_px(self.label_font) if self.margins.rows else 0
        return self.gap + titles + self.margins.inputs * self.pitch[1]

    @property
    def size(self) -> tuple[int, int]:
        return self.head + self.rows * self.pitch[0], self.side + self.columns * self.pitch[1]

    def corner(self, row: int, column: int) -> tuple[int, int]:
        return self.head + row * self.pitch[0], self.side + column * self.pitch[1]

    def input_corner(self, row: int, column: int) -> tuple[int, int]:
        return self.head + row * self.pitch[0], self.gap + column * self.pitch[1]


def _font(size_px: int) -> FreeTypeFont:
    font = ImageFont.load_default(size=size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "with a size, it is the scalable one"
    return font


def _line_px(font: FreeTypeFont) -> int:
    return round(LINE_FACTOR * font.size)


def _strip(
    words: Sequence[tuple[str, int]], width: int, font: FreeTypeFont, *, both_ends: bool = False
) -> Image.Image:
    """Draw one line of words in their grey levels, shortened to the width."""
    strip = Image.new("L", (width, _line_px(font)), BACKGROUND)
    draw, left = ImageDraw.Draw(strip), 0.0
    for text, level in words:
        drawable, lettering = _drawable(text, font)
        shown = _fitting(drawable, width - left, lettering.length, both_ends=both_ends)
        for run, used in lettering.runs(shown):
            # Anchored at the baseline, so that a label without ascenders is not drawn higher.
            draw.text((left, 0.72 * strip.height), run, fill=level, font=used, anchor="ls")
            left += used.getlength(run)
        left += 0.6 * font.size
    return strip


def _alike(labels: Iterable[str], width: int, font: FreeTypeFont) -> set[str]:
    """Find the labels that could not be told apart if only their beginnings were shown."""
    room = width - font.getlength("AA99") - 0.6 * font.size
    shown: dict[str, set[str]] = {}
    for label in labels:
        drawable, lettering = _drawable(label, font)
        shown.setdefault(_fitting(drawable, room, lettering.length), set()).add(label)
    return {label for same in shown.values() if len(same) > 1 for label in same}


def _fitting(
    text: str, width: float, length: Callable[[str], float], *, both_ends: bool = False
) -> str:
    """Shorten a text to a width; an ellipsis takes the place of its end, or of its middle."""
    if length(text) <= width:
        return text

    def shortened(kept: int) -> str:
        last = kept // 2 if both_ends else 0
        return text[: kept - last].rstrip() + "…" + text[len(text) - last :].lstrip()

    places = range(len(text))
    kept = bisect_right(places, width, key=lambda kept: length(shortened(kept))) - 1
    return shortened(kept) if kept >= 0 else ""


@dataclass(frozen=True)
class _Lettering:
    """The fonts of a text: one for all characters but those that are listed."""

    font: FreeTypeFont
    others: Mapping[str, FreeTypeFont]

    def runs(self, text: str) -> Iterator[tuple[str, FreeTypeFont]]:
        for used, characters in groupby(text, lambda c: self.others.get(c, self.font)):
            yield "".join(characters), used

    def length(self, text: str) -> float:
        return sum(used.getlength(run) for run, used in self.runs(text))


def _drawable(text: str, font: FreeTypeFont) -> tuple[str, _Lettering]:
    """Reduce a text to one line that can be drawn with a font and those of the system.

    Characters that none of them has are escaped, so that different texts stay different.
    """
    plain = unicodedata.normalize("NFC", " ".join(text.split())).translate(_REPLACED)
    plain = plain.replace("...", "…")
    foreign = frozenset(filter(str.isprintable, plain)) - _OWN
    main = _system_font(foreign)
    if main is not None and main.has(plain):
        # One font for all, so that the letters of a word have one look.
        return plain, _Lettering(font, dict.fromkeys(plain, main.of_size(font.size)))
    others = {}
    for character in foreign:
        found = main if main and main.has(character) else _system_font(frozenset(character))
        if found and found.has(character):
            others[character] = found.of_size(font.size)
    known = _OWN | others.keys()
    return "".join(c if c in known else _escaped(c) for c in plain), _Lettering(font, others)


_OWN = frozenset(map(chr, range(ord(" "), ord("~") + 1))) | frozenset(_DRAWABLE)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@dataclass(frozen=True)
class _SystemFont:
    """A font of the system and the ranges of characters that it has."""

    path: str
    index: int
    ranges: tuple[tuple[int, int], ...]

    def has(self, text: str) -> bool:
        return text.isprintable() and all(
            any(first <= ord(character) <= last for first, last in self.ranges)
            for character in text
        )

    def of_size(self, size_px: float) -> FreeTypeFont:
        return _loaded(self.path, self.index, size_px)


@cache
def _loaded(path: str, index: int, size_px: float) -> FreeTypeFont:
    return ImageFont.truetype(path, size_px, index=index)


@cache
def _system_font(characters: frozenset[str]) -> _SystemFont | None:
    """Find the scalable font that has most of the characters, where there is fontconfig."""
    program = shutil.which("fc-match")
    if program is None or not characters:
        return None
    charset = " ".join(f"{ord(character):x}" for character in sorted(characters))
    pattern = f":charset={charset}:scalable=true:color=false"
    command = [program, "-f", "%{file}\n%{index}\n%{charset}", pattern]
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_FONT_SEARCH_S,
            check=True,
        )
        path, index, charset = os.fsdecode(answer.stdout).split("\n")
        ranges = [part.partition("-") for part in charset.split()]
        pairs = tuple((int(first, 16), int(last or first, 16)) for first, _, last in ranges)
        _loaded(path, int(index), LABEL_PX[0])  # some are of one size, or of no kind that is read
        return _SystemFont(path, int(index), pairs)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _as_tensor(strip: Image.Image, like: Tensor) -> Tensor:
    return like.new_tensor(np.asarray(strip, dtype=np.float32) / 255)


def _paste(sheet: Tensor, part: Tensor, top: int, left: int) -> None:
    height, width = part.shape[-2:]
    sheet[..., top : top + height, left : left + width] = part
