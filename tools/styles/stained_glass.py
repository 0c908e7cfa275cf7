"""Stained glass: a sun over waves in leaded panes, the panes streaked, seeded and painted."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from .canvas import (
    SIDE,
    UNITS,
    Array,
    Canvas,
    colours,
    finish,
    fractal,
    grid,
    mix,
    noise,
    pick,
    relief,
    ribbon,
    scatter,
    smoothstep,
    speckle,
)

CENTRE = np.array([640.0, 360.0])
ZONES = (  # sun, fire, dusk, sky, waves, foam
    colours("fff3b0", "ffe27a", "ffd23f"),
    colours("f9a51a", "ee6c17", "ffc233", "d93a12"),
    colours("b8142f", "8c1046", "d42a3a", "6d1a6e", "e0531f"),
    colours("123a9c", "1c55c4", "0e2a78", "2f86d6", "3a1f86", "69b4e4"),
    colours("0c6b5c", "128a6e", "0b4a63", "2aa88a", "0f5f8c", "7ac29a"),
    colours("e8f2dc", "bfe3d6", "f7e9b8"),
)
LEAD = colours("12110f", "6f7278")


def wave_line(x: Array) -> Array:
    """Where the water begins."""
    return 665 + 46 * np.sin(x / 128 + 0.6) + 18 * np.sin(x / 57)


def sites(rng: Generator) -> tuple[Array, Array]:
    """The hearts of the panes and their zones: rings round the sun, rows in the water."""
    points, zones = [CENTRE[None]], [np.zeros(1, int)]
    for ring, radius in enumerate([62, 128, 205, 285, 370, 455, 545, 640, 740, 850]):
        count = max(9, int(2 * np.pi * radius / (70 + 16 * np.sin(1.7 * ring))))
        turn = (np.arange(count) + 0.5 * (ring % 2) + rng.normal(0, 0.1, count)) / count
        reach = radius + rng.normal(0, 5 + 0.018 * radius, count)
        angle = 2 * np.pi * turn
        points.append(CENTRE + np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None])
        zone = min(3, (0, 1, 2, 2)[ring]) if ring < 4 else 3
        zones.append(np.where(rng.random(count) < 0.1 * (2 < ring < 6), 2, zone))
    sky, kind = np.concatenate(points), np.concatenate(zones)
    above = sky[:, 1] < wave_line(sky[:, 0]) - 16
    row, col = np.meshgrid(np.arange(10), np.arange(-1, 13))
    water = np.stack([col * 92 + 46 * (row % 2), 24 + row * 44], -1).reshape(-1, 2).astype(float)
    water += rng.normal(0, (12, 4), water.shape)
    crest = np.where(rng.random(len(water)) < np.where(water[:, 1] < 40, 0.75, 0.10), 5, 4)
    water[:, 1] += wave_line(water[:, 0])
    return np.concatenate([sky[above], water]), np.concatenate([kind[above], crest])


def panes(rng: Generator) -> tuple[Array, Array, Array]:
    """For every pixel its pane and the distance to the lead's centre line; and each pane's zone."""
    points, zones = sites(rng)
    x, y = grid(UNITS)
    x = x + 9 * noise(rng, 120, UNITS) + 2.0 * noise(rng, 30, UNITS)
    y = y + 9 * noise(rng, 120, UNITS) + 2.0 * noise(rng, 30, UNITS)
    spots = np.stack([x, y], axis=-1)
    _, near = cKDTree(points).query(spots.reshape(-1, 2), k=3)
    near = near.reshape(UNITS, UNITS, 3)
    first = points[near[..., 0]]
    gaps = []
    for k in (1, 2):
        other = points[near[..., k]]
        bisector = ((spots - other) ** 2).sum(-1) - ((spots - first) ** 2).sum(-1)
        gaps.append(bisector / (2 * np.hypot(*np.moveaxis(other - first, -1, 0))))
    edge = -1.6 * np.log(np.exp(-gaps[0] / 1.6) + np.exp(-gaps[1] / 1.6))  # joints swell
    border = zones[near[..., 0]] != zones[near[..., 1]]
    edge = edge - 2.2 * ndimage.gaussian_filter(border.astype(np.float32), 3)
    return near[..., 0], ndimage.zoom(edge, SIDE / UNITS, order=1), zones


def glass(rng: Generator, pane: Array, zones: Array) -> Array:
    """The panes' light: a colour each, a gradient, streaks that run their own way, ripples."""
    count = len(zones)
    palette = [ZONES[z][rng.integers(len(ZONES[z]))] for z in zones]
    hue = np.clip(np.array(palette) * rng.uniform(0.8, 1.15, (count, 1)), 0, 1)
    second = np.array([ZONES[z][rng.integers(len(ZONES[z]))] for z in zones])
    angle = rng.uniform(0, np.pi, count)[pane]
    x, y = grid()
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    shift = rng.integers(0, SIDE, count)[pane]
    streaks = fractal(rng, 60, 4)
    rows, cols = (v * 3.1 + shift).astype(int) % SIDE, (u * 0.55 + shift).astype(int) % SIDE
    streak = ndimage.gaussian_filter(streaks[rows, cols], 0.8)
    colour = mix(hue[pane], second[pane], smoothstep(-0.2, 2.2, streak) * 0.8)
    slope = np.sin(u / 38 + shift) * 0.16 + 0.13 * streak + 0.05 * fractal(rng, 14, 3)
    return colour * (1.0 + slope)[..., None]


def paint_lines(rng: Generator, canvas: Canvas, flow: Array) -> None:
    """Fine strokes of brown glass paint, following the waves and the rays of the sun."""
    for start in scatter(rng, 15):
        way = pick(flow, start)
        length = rng.uniform(20, 58)
        bend = np.array([-way[1], way[0]]) * rng.normal(0, 3)
        t = np.linspace(-0.5, 0.5, 7)[:, None]
        path = start + way * t * length + bend * (1 - 4 * t**2)
        stroke = ribbon(path, rng.uniform(1.2, 3.4), lambda s: 1 - 0.85 * s)
        light = rng.random() < 0.25
        canvas.paint(stroke, colours("fff6da" if light else "1a0d0a")[0], 0.42 if light else 0.55)


def seeds(rng: Generator) -> Array:
    """Bubbles in the glass as a height: a few round ones everywhere, of several sizes."""
    height = np.zeros((SIDE, SIDE), np.float32)
    for radius, count in ((2, 1500), (3, 900), (5, 260)):
        dots = np.zeros_like(height)
        dots[tuple(rng.integers(0, SIDE, (2, count)))] = 1
        dots = ndimage.gaussian_filter(dots, radius)
        height += radius * dots / dots.max()
    return height


def stained_glass(rng: Generator) -> Image.Image:
    """Curved panes of jewel colours between dark leads of varying width, lit from behind."""
    small, edge, zones = panes(rng)
    pane = np.kron(small, np.ones((SIDE // UNITS,) * 2, dtype=small.dtype))
    canvas = Canvas(0.0)
    canvas.colour[:] = glass(rng, pane, zones)
    x, y = grid(UNITS)
    away = np.stack([x, y], -1) - CENTRE
    away /= np.hypot(*np.moveaxis(away, -1, 0))[..., None] + 1e-6
    swell = np.stack([np.ones_like(x), (46 / 128) * np.cos(x / 128 + 0.6)], -1)
    in_water = (y > wave_line(x) - 10)[..., None]
    paint_lines(rng, canvas, np.where(in_water, swell / np.hypot(1, swell[..., 1:]), away))

    width = 3.2 + 0.6 * noise(rng, 90) + 0.25 * noise(rng, 22)
    vignette = 0.62 + 0.42 * smoothstep(0, 13, edge - width)
    ripple = relief(seeds(rng) * 1.1 + 1.5 * noise(rng, (9, 22)) + 3 * noise(rng, 26), 0.8)
    lit = canvas.colour * (vignette * (1 + np.clip(0.55 * ripple, -0.3, 0.5)))[..., None]
    halo = ndimage.gaussian_filter(lit, (14, 14, 0))
    lead = smoothstep(0.7, -0.7, edge - width)
    came = np.sqrt(np.clip(1 - (edge / width) ** 2, 0, 1)) * lead * 14
    shine = relief(came + 0.25 * speckle(rng, 2.0), 1.6)
    metal = mix(LEAD[0], LEAD[1], np.clip(0.12 + 0.28 * shine, 0, 1))
    lit = mix(lit + 0.10 * halo, metal + 0.22 * halo, lead)
    return finish(lit)
