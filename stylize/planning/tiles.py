"""Places of tiles, and how far they see beyond the area that they own. Pure arithmetic.

Every position of a feature map is *owned* by one tile. A tile's *window* is what it owns and a
halo that holds all pixels that an owned position sees: so its activations there are exactly those
of the whole picture, and so is their derivative with respect to the window's pixels. The gradient
of the whole is the sum of the windows' gradients, each seeded at owned positions only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from stylize.networks.architecture import Rect, find_layer

# Of the largest activation in a strip. Small enough for the C library to keep such buffers
# instead of returning them to the system, and for processors' caches to help; large enough for
# the overlap not to matter.
STRIP_BYTES = 12 << 20

# A device has no such cache to keep to, and every strip costs it a round of launches: with the
# strips above, an H200 takes three times as long at 1024 px and more.
DEVICE_STRIP_BYTES = 256 << 20


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels; or a strip, in rows of a feature map.

    Attributes:
        start, stop: of the window.
        first, last: bounds of the area that it owns, ``last`` excluded.
    """

    start: int
    stop: int
    first: int
    last: int


def halo_px(architecture: str, layers: Iterable[str]) -> int:
    """What a tile has to see beyond the pixels it owns, for these layers to be exact there.

    Rounded up to the deepest stride, since windows begin at its multiples.
    """
    found = [find_layer(architecture, name) for name in layers]
    reach = max(layer.reach_px for layer in found)
    stride = max(layer.stride for layer in found)
    return -(-reach // stride) * stride


def deepest_stride(architecture: str, layers: Iterable[str]) -> int:
    """Pixels between positions of the deepest of these layers."""
    return max(find_layer(architecture, name).stride for name in layers)


def spans(length: int, tile: int, halo: int, stride: int) -> list[Span]:
    """Tiles along one axis, of almost equal size, with windows of one size.

    Args:
        length: of the axis.
        tile: at most so many pixels are owned by one; rounded down to ``stride``.
        halo: as :func:`halo_px` says.
        stride: of the deepest layer; windows and owned parts begin at its multiples.
    """
    most = max(stride, tile // stride * stride)
    count = max(1, -(-length // most))
    owned = max(stride, -(-length // (count * stride)) * stride)
    window = owned + 2 * halo
    found = []
    for first in range(0, length, owned):
        last = min(first + owned, length)
        if length - last < stride:
            last = length  # the poolings drop what is left: it belongs to no position
        latest = max(0, (length - window) // stride * stride)
        start = min(max(0, first - halo), latest)
        stop = length if start == latest else min(length, start + window)
        found.append(Span(start, stop, first, last))
        if last == length:
            break
    return found


def owned_region(
    row: Span,
    column: Span,
    size: tuple[int, int],
    stride: int,
    positions: tuple[int, int] | None = None,
) -> Rect:
    """The positions of a layer that a tile owns.

    Args:
        row, column: the tile along both axes.
        size: ``(height, width)`` of the picture.
        stride: of the layer.
        positions: rows and columns of its map; None for all whole strides of the picture.
    """
    rows, columns = positions or (size[0] // stride, size[1] // stride)
    top, left = min(row.first // stride, rows), min(column.first // stride, columns)
    bottom = rows if row.last == size[0] else min(row.last // stride, rows)
    right = columns if column.last == size[1] else min(column.last // stride, columns)
    return Rect(top, left, bottom - top, right - left, rows, columns)


@dataclass(frozen=True)
class Tile:
    """A window of a picture, and what of each layer it owns.

    Attributes:
        row, column: along both axes.
        regions: what it owns of each layer, in positions of the whole picture.
        strides: of the layers.
    """

    row: Span
    column: Span
    regions: Mapping[str, Rect]
    strides: Mapping[str, int]


Positions = Mapping[str, tuple[int, int]]


def tiles_of(
    strides: Mapping[str, int],
    size: tuple[int, int],
    tile_px: int,
    halo: int,
    positions: Positions | None = None,
) -> Iterator[Tile]:
    """The tiles of a picture, row by row.

    Args:
        strides: of the layers that are read.
        size: ``(height, width)`` of the picture.
        tile_px: longest side of the area that a tile owns.
        halo: pixels around that, as :func:`halo_px` says.
        positions: see :func:`owned_region`, by layer.
    """
    deepest = max(strides.values())
    for row in spans(size[0], tile_px, halo, deepest):
        for column in spans(size[1], tile_px, halo, deepest):
            yield _tile(strides, size, row, column, positions)


def whole_tile(
    strides: Mapping[str, int], size: tuple[int, int], positions: Positions | None = None
) -> Tile:
    """The tile that is all of a picture; see :func:`tiles_of`."""
    row, column = (Span(0, side, 0, side) for side in size)
    return _tile(strides, size, row, column, positions)


def _tile(
    strides: Mapping[str, int],
    size: tuple[int, int],
    row: Span,
    column: Span,
    positions: Positions | None,
) -> Tile:
    regions = {
        name: owned_region(row, column, size, each, positions[name] if positions else None)
        for name, each in strides.items()
    }
    return Tile(row, column, regions, strides)
