"""Find the margins, mounts and frames around a picture.

A border counts only if it ends in a straight edge along nearly the whole side:

- A *margin* has one colour, apart from the grain of paper: a mount, a page, a letterbox, a ruled
  line. Blank paper around a drawing is no margin, because the outline of a drawing is not straight.
  Neither is a plain sky or backdrop.
- A *frame* may look like anything. Its inner edge is parallel to the side, the colours on the two
  sides of the edge differ along nine tenths of it, and no edge like it follows farther inside.

A border on one side only may take 6 % of the picture. If another side has a border of the same
colour, a frame may take 15 %, a margin 45 %. Borders inside each other are removed one after the
other, as long as a quarter of the picture remains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from stylize.images.crop import Crop

Plane = NDArray[np.float32]

# Long side of the picture that is searched; at larger sizes, grain would count as edges.
SEARCHED_PX = 768

# Largest share of the height or width that a border takes: alone, and with one like it.
_LONE, _FRAME, _MARGIN = 0.06, 0.15, 0.45

# Share of the area, and the shortest side in px of the file, that always remain.
_LEAST_AREA, LEAST_SIDE_PX = 0.25, 32

# A frame's edge is looked for at this many places, in the means of so many rows on either side. A
# place is at least so many columns wide, which takes the grain of paper away.
_SAMPLES, _BAND, _WIDTH_PX = 50, 3, 3

# It is so many times as strong as what is usual near this side, and so many times as strong as any
# edge farther inside of which this share can be seen: the rows of a grid are no frame.
_CLEAR, _ALONE, _ALIKE = 2.0, 1.3, 0.7

# Borders inside each other: a frame, its mount, the margin of the print, a ruled line.
_MOST_BORDERS = 5

# Differences between colours, in the channel with the largest one, where black to white is 1: what
# paper, JPEG and light do to one colour at most, and what an edge does at least.
_GRAIN, _EDGE = 0.05, 0.06

# Share of a margin's row that has its colour, and of an edge that can be seen.
_PLAIN, _STRAIGHT = 0.97, 0.9

# How far an edge may be from straight, as a share of its length: scans are rarely quite upright.
_TILT = 0.03

_Depths = tuple[int, int, int, int]  # of left, top, right, bottom, in px


@dataclass(frozen=True)
class _Border:
    """A border on one side.

    Attributes:
        depth: in px, at least 1.
        share: of the height or width.
        colour: ``(3,)``.
    """

    depth: int
    share: float
    colour: Plane


def inside_frame(pixels: Tensor) -> Crop:
    """Find the part of a picture inside its margins, mounts and frames.

    Args:
        pixels: ``(1, 3, H, W)`` sRGB in [0, 1].

    Returns:
        The part; the whole of a picture without a border.
    """
    height, width = pixels.shape[2:]
    scale = max(1.0, max(height, width) / SEARCHED_PX)
    size = max(1, round(height / scale)), max(1, round(width / scale))
    small = interpolate(pixels, size, mode="area")[0].permute(1, 2, 0).cpu().numpy()
    found = _depths(small, LEAST_SIDE_PX / scale)
    left, top, right, bottom = (
        # A pixel of the small picture may show both the border and the rest.
        math.ceil((depth + 1) * scale) if depth and scale > 1 else depth
        for depth in found
    )
    return Crop(left, top, width - left - right, height - top - bottom)


def _depths(pixels: Plane, least_side: float) -> _Depths:
    """The depths of all borders together of ``(H, W, 3)``."""
    found: _Depths = (0, 0, 0, 0)
    for _ in range(_MOST_BORDERS):
        rest = _inside(pixels, found)
        borders = _borders(rest)
        left, top, right, bottom = (
            a + b.depth if b else a for a, b in zip(found, borders, strict=True)
        )
        height, width = pixels.shape[0] - top - bottom, pixels.shape[1] - left - right
        area = height * width / (pixels.shape[0] * pixels.shape[1])
        if not any(borders) or min(height, width) < least_side or area < _LEAST_AREA:
            break
        found = left, top, right, bottom
    return found


def _inside(pixels: Plane, depths: _Depths) -> Plane:
    left, top, right, bottom = depths
    return pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right]


def _views(pixels: Plane) -> tuple[Plane, Plane, Plane, Plane]:
    """The picture four times, with the left, top, right and bottom as first row."""
    turned = pixels.swapaxes(0, 1)
    return turned, pixels, turned[::-1], pixels[::-1]


def _difference(one: Plane, other: Plane) -> Plane:
    """The difference of colours in the last axis, in the channel with the largest one."""
    difference: Plane = np.abs(one - other).max(-1)
    return difference


def _borders(pixels: Plane) -> list[_Border | None]:
    """The outermost borders on the left, top, right and bottom."""
    views = _views(pixels)
    left, top, right, bottom = plain = [_plain_rows(view) for view in views]
    spans = [(top, bottom), (left, right)] * 2  # elsewhere the edge borders on other margins
    found = [
        _margin(view, rows, view[:, start : view.shape[1] - end]) or _frame(view, _FRAME)
        for view, rows, (start, end) in zip(views, plain, spans, strict=True)
    ]
    return [
        each if each and (each.share <= _LONE or _has_like(each, found)) else _frame(view, _LONE)
        for view, each in zip(views, found, strict=True)
    ]


def _plain_rows(view: Plane) -> int:
    """The number of first rows that have one colour; 0 if they are too many for a margin."""
    most = int(_MARGIN * len(view))
    rows = view[: most + 1]
    colours = np.median(rows, axis=1)
    plain = (_difference(_means(rows, _WIDTH_PX), colours[:, None]) <= _GRAIN).mean(1) >= _PLAIN
    plain &= _difference(colours, colours[0]) <= _GRAIN
    return 0 if plain.all() else int(plain.argmin())


def _margin(view: Plane, plain: int, between: Plane) -> _Border | None:
    """The margin at the top of a view, if it ends in a straight edge.

    Args:
        view: the picture.
        plain: its number of first rows that have one colour.
        between: its columns between the margins of the other sides.
    """
    if not plain:
        return None
    colour = np.median(view[plain - 1], axis=0)
    next_rows = between[plain : plain + max(2, round(_TILT * between.shape[1]))]
    if not next_rows.size:
        return None
    seen = np.logical_or.accumulate(_difference(next_rows, colour) > _EDGE, axis=0).mean(1)
    if seen[-1] < _STRAIGHT:
        return None
    depth = plain + int((seen >= _STRAIGHT).argmax())
    return _Border(depth, depth / len(view), colour)


def _has_like(border: _Border, others: Sequence[_Border | None]) -> bool:
    """Whether another side has a border of the same colour."""
    return any(
        other is not None
        and other is not border
        and float(_difference(border.colour, other.colour)) <= 2 * _EDGE
        for other in others
    )


def _frame(view: Plane, most: float) -> _Border | None:
    """The frame at the top of a view with the clearest edge in a share of its height."""
    rows, columns = int(most * len(view)), view.shape[1]
    ends = int(most * columns)  # the frames of other sides may be there
    if rows < 2:
        return None
    places = _means(view[: 3 * rows, ends : columns - ends], max(_WIDTH_PX, columns // _SAMPLES))
    steps = _steps(places)
    near = sliding_window_view(np.pad(steps, ((1, 1), (0, 0)), mode="edge"), 3, axis=0).max(-1)
    best, found = 0.0, None
    most_drift = round(_TILT / 3 * columns)
    for drift in range(-most_drift, most_drift + 1):
        strength = _levelled(steps, drift).mean(1)
        least = max(_EDGE, _CLEAR * float(np.median(steps[: 2 * rows])))
        seen = (_levelled(near, drift) >= least).mean(1)
        farther = (strength * (seen >= _ALIKE))[rows + 2 * _BAND :].max(initial=0)
        is_straight = (seen >= _STRAIGHT) & (strength > _ALONE * farther)
        row = int((strength * is_straight)[:rows].argmax())
        outside, inside = places[: row + 1].mean(0), places[row + 1 : 2 * row + 2].mean(0)
        is_apart = (_difference(outside, inside) > _EDGE).mean() >= _STRAIGHT
        if is_straight[row] and is_apart and strength[row] > best:
            depth = row + 1 + (abs(drift) + 1) // 2
            best = float(strength[row])
            found = _Border(depth, depth / len(view), np.median(outside, axis=0))
    return found


def _means(view: Plane, width: int) -> Plane:
    """The mean colours of so many neighbouring columns at a time, ``(H, W / width, 3)``."""
    width = min(width, view.shape[1])
    count = view.shape[1] // width
    means: Plane = view[:, : count * width].reshape(len(view), count, width, 3).mean(2)
    return means


def _levelled(view: Plane, drift: int) -> Plane:
    """A view in which an edge that sinks by some pixels from end to end becomes horizontal."""
    places = np.arange(view.shape[1])
    sinking = np.rint(drift * (places / len(places) - 0.5)).astype(int)
    rows = (np.arange(len(view))[:, None] + sinking).clip(0, len(view) - 1)
    levelled: Plane = view[rows, places]
    return levelled


def _steps(view: Plane) -> Plane:
    """The difference between the rows up to each row and those after it, ``(H, W)``."""
    sums = np.cumsum(np.pad(view, ((_BAND, _BAND), (0, 0), (0, 0)), mode="edge"), axis=0)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    before, middle, after = sums[1 : -_BAND * 2], sums[_BAND + 1 : -_BAND], sums[2 * _BAND + 1 :]
    return _difference(middle - before, after - middle) / np.float32(_BAND)
