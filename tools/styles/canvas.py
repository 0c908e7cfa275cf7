"""What the painters share: noise, palettes, flow fields, strokes, relief and the canvas itself.

Lengths are in units, UNITS to the side of the picture; pictures are painted at SCALE pixels to a
unit and reduced at the end, which smooths every edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage, special

UNITS = 1024
SCALE = 2
SIDE = UNITS * SCALE

Array: TypeAlias = np.ndarray
Widths: TypeAlias = Callable[[Array], Array]


# --- colour -------------------------------------------------------------------------------------


def colours(*codes: str) -> Array:
    """Hexadecimal colour codes as rows of red, green and blue in 0…1."""
    return np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes]) / 255.0


def ramp(palette: Array, t: Array | float) -> Array:
    """The palette read as a smooth scale: t = 0 is its first colour, t = 1 its last."""
    stops = np.linspace(0.0, 1.0, len(palette))
    return np.stack([np.interp(t, stops, channel) for channel in palette.T], axis=-1)


def mix(a: Array, b: Array, amount: Array | float) -> Array:
    """From a (amount 0) to b (amount 1); a map of amounts is spread over the channels."""
    amount = np.asarray(amount)
    return a + (b - a) * (amount[..., None] if amount.ndim > 1 else amount)


# --- fields -------------------------------------------------------------------------------------


def grid(side: int = SIDE) -> tuple[Array, Array]:
    """The x and y of every pixel's centre, in units."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) * (UNITS / side)
    x, y = np.meshgrid(axis, axis)
    return x, y


def smoothstep(low: float, high: float, value: Array) -> Array:
    """0 below low, 1 above high, and an easy slope between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def noise(rng: Generator, grain: float | tuple[float, float], side: int = SIDE) -> Array:
    """Smooth noise of mean 0 and deviation 1 with lumps `grain` units wide (or wide, high)."""
    wide, high = grain if isinstance(grain, tuple) else (grain, grain)
    shape = [max(2, round(UNITS / g)) + 3 for g in (high, wide)]
    lattice = Image.fromarray(rng.normal(size=shape).astype(np.float32))
    box = (1.5, 1.5, shape[1] - 1.5, shape[0] - 1.5)
    field = np.asarray(lattice.resize((side, side), Image.Resampling.BICUBIC, box=box))
    return (field - field.mean()) / field.std()


def fractal(rng: Generator, grain: float, octaves: int = 4, side: int = SIDE) -> Array:
    """Noise at several scales, each half as wide and a bit over half as strong as the last."""
    total = sum(0.55**k * noise(rng, grain / 2**k, side) for k in range(octaves))
    return total / total.std()


def speckle(rng: Generator, radius: float, side: int = SIDE) -> Array:
    """Fine grain of mean 0 and deviation 1: white noise blurred by a radius in pixels."""
    field = rng.normal(size=(side, side)).astype(np.float32)
    field = ndimage.gaussian_filter(field, radius, mode="wrap") if radius else field
    return field / field.std()


def pick(field: Array, points: Array) -> Array:
    """The field's values (a map over the whole picture, any resolution) at points in units."""
    side = field.shape[0]
    index = np.clip((points * (side / UNITS)).astype(int), 0, side - 1)
    return field[index[..., 1], index[..., 0]]


def contour_flow(level: Array, turn: float = 0.0) -> Array:
    """Unit vectors along the contours of a field, turned by an angle (positive: uphill)."""
    dy, dx = np.gradient(level)
    angle = np.arctan2(-dx, dy) + turn
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def trace(flow: Array, starts: Array, length: float, steps: int) -> Array:
    """Paths that follow a flow both ways from their starts: (paths, steps, 2)."""
    stride = length / (steps - 1)
    halves = []
    for sign, count in ((-1, (steps - 1) // 2), (1, steps - 1 - (steps - 1) // 2)):
        points, way = [starts], None
        for _ in range(count):
            step = sign * pick(flow, points[-1])
            if way is not None:  # a flow may be a field of axes: never turn back
                step = np.where((step * way).sum(-1, keepdims=True) < 0, -step, step)
            way = step
            points.append(points[-1] + stride * step)
        halves.append(points)
    return np.stack(halves[0][:0:-1] + halves[1], axis=1)


def snap(level: Array, points: Array, spacing: float) -> Array:
    """Move points onto the nearest contours of a field, the contours `spacing` apart in value."""
    unit = level.shape[0] / UNITS
    slope = np.stack(np.gradient(level)[::-1], axis=-1) * unit
    for _ in range(4):
        value, way = pick(level, points), pick(slope, points)
        off = value - np.round(value / spacing) * spacing
        step = (off / ((way**2).sum(-1) + 1e-4))[:, None] * way
        points = points - np.clip(step, -spacing, spacing)
    return points


def scatter(rng: Generator, spacing: float, margin: float = 20.0) -> Array:
    """Points about `spacing` apart over the whole picture, in random order."""
    axis = np.arange(-margin, UNITS + margin, spacing)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    points = points + rng.uniform(-0.5, 0.5, points.shape) * spacing
    return rng.permutation(points)


# --- strokes ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ribbon:
    """A stroke laid out as a bent grid of samples, dense enough to leave no pixel between them.

    rows and cols say where each sample falls on the canvas; along runs from 0 to 1 (a column),
    across from -1 to 1 (a row).
    """

    rows: Array
    cols: Array
    along: Array
    across: Array


def lens(along: Array) -> Array:
    """A width that swells from nothing and tapers off."""
    return np.sqrt(np.clip(np.sin(np.pi * along), 0.0, 1.0))


def round_tip(along: Array) -> Array:
    """A width that is full all along, with rounded ends."""
    return np.clip(np.minimum(along, 1.0 - along) * 8.0, 0.02, 1.0) ** 0.5


def ribbon(path: Array, width: float, profile: Widths = round_tip) -> Ribbon:
    """Lay a stroke of some width (in units) along a path of points (in units)."""
    path = np.asarray(path, dtype=float) * SCALE
    legs = np.hypot(*np.diff(path, axis=0).T)
    reach = np.concatenate([[0.0], np.cumsum(legs)])
    count = max(3, int(reach[-1] * 1.25))
    along = np.linspace(0.0, 1.0, count, dtype=np.float32)
    line = np.stack([np.interp(along * reach[-1], reach, axis) for axis in path.T], axis=1)
    line = line.astype(np.float32)
    line = ndimage.uniform_filter1d(line, max(1, count // len(path)), axis=0, mode="nearest")
    tangent = np.gradient(line, axis=0)
    tangent /= np.hypot(*tangent.T)[:, None] + 1e-9
    half = 0.5 * width * SCALE * profile(along)[:, None]
    across = np.linspace(-1.0, 1.0, max(3, int(width * SCALE * 1.3)), dtype=np.float32)[None, :]
    cols = np.rint(line[:, :1] - tangent[:, 1:] * half * across).astype(np.int32)
    rows = np.rint(line[:, 1:] + tangent[:, :1] * half * across).astype(np.int32)
    return Ribbon(rows, cols, along[:, None], across)


class Bristles:
    """A sheet of streaks to cut each stroke's texture from: long one way, fine the other."""

    def __init__(self, rng: Generator, length: float, fineness: float) -> None:
        self.rng = rng
        sheet = rng.normal(size=(1024, 1024))
        for axis, radius in ((0, length), (1, fineness)):
            sheet = ndimage.gaussian_filter1d(sheet, radius, axis=axis, mode="wrap")
        self.sheet = special.ndtr(sheet / sheet.std()).astype(np.float32)

    def cut(self, stroke: Ribbon) -> Array:
        """Streaks in 0…1, evenly distributed, the shape of the stroke's grid."""
        down, right = self.rng.integers(0, 1024, 2)
        rows = (down + np.arange(stroke.along.size)) % 1024
        cols = (right + np.arange(stroke.across.size)) % 1024
        return self.sheet[np.ix_(rows, cols)]


class Canvas:
    """Wet colour and the height of the paint, with a border that is cut off at the end."""

    def __init__(self, ground: Array) -> None:
        self.colour = np.empty((SIDE, SIDE, 3), dtype=np.float32)
        self.colour[:] = ground
        self.height = np.zeros((SIDE, SIDE), dtype=np.float32)

    def paint(
        self, stroke: Ribbon, colour: Array, alpha: Array | float = 1.0, height: Array | None = None
    ) -> None:
        """Lay colour over the canvas; where samples share a pixel the last one holds."""
        rows, cols = stroke.rows, stroke.cols
        inside = (rows >= 0) & (rows < SIDE) & (cols >= 0) & (cols < SIDE)
        if not inside.any():
            return
        spot = rows[inside] * SIDE + cols[inside]
        cover = np.broadcast_to(np.float32(alpha), inside.shape)[inside]
        fresh = np.broadcast_to(np.float32(colour), (*inside.shape, 3))[inside]
        below = self.colour.reshape(-1, 3)
        under = below.take(spot, axis=0)
        under += cover[:, None] * (fresh - under)
        below[spot] = under
        if height is not None:
            level = self.height.reshape(-1)
            under = level.take(spot)
            raised = np.broadcast_to(np.float32(height), inside.shape)[inside]
            level[spot] = under + cover * (raised - under)


def relief(height: Array, blur: float = 1.0) -> Array:
    """How much each spot faces a light from the upper left: around 0, negative in shade."""
    height = ndimage.gaussian_filter(height, blur)
    dy, dx = np.gradient(height)
    return -(0.6 * dx + 0.8 * dy)


def finish(colour: Array) -> Image.Image:
    """Reduce a painting to its final size."""
    pixels = (np.clip(colour, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return Image.fromarray(pixels).resize((UNITS, UNITS), Image.Resampling.LANCZOS)
