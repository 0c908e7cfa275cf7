"""Brushwork: a night over water in thick oil, stroke by stroke along the swirl of the sky."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image

from .canvas import (
    UNITS,
    Array,
    Bristles,
    Canvas,
    colours,
    contour_flow,
    finish,
    fractal,
    grid,
    mix,
    noise,
    pick,
    ramp,
    relief,
    ribbon,
    scatter,
    smoothstep,
    trace,
)

SKY = colours("0a1238", "12246a", "1c3f9c", "2f6fc0", "6aa9d6", "d9e6d0", "f4e6a2")
GLOW = colours("2f6fc0", "8fb6a8", "e2cf6a", "f2b632", "fbe08a", "fff6cf")
HILLS = colours("070b22", "0d1d3f", "123a52", "1f5a5c", "4d8a74")
WATER = colours("081034", "0f2763", "1d4f94", "3f88b4", "9cc6bc")
ACCENT = colours("c8762a", "e7a83a", "8fd0c8", "b8552c")
STARS = (
    (790, 190, 104),
    (250, 150, 62),
    (520, 92, 44),
    (118, 392, 50),
    (640, 420, 36),
    (905, 470, 40),
)
EDDIES = ((400, 330, 190, 0.95), (690, 330, 120, -0.8), (90, 200, 150, -0.6), (960, 60, 160, 0.5))
SHORE, STRAND = 0.60, 0.74


def skylines(rng: Generator, side: int) -> tuple[Array, Array]:
    """The ridge of the hills and the edge of the water, as heights over x in units."""
    x = np.linspace(0, 1, side, dtype=np.float32)
    ridge = SHORE - 0.05 * np.sin(5.3 * x + 0.7) - 0.025 * np.sin(13 * x) + 0.10 * (x - 0.45) ** 2
    strand = STRAND + 0.012 * np.sin(7 * x + 2.0) + 0.006 * np.sin(19 * x + rng.uniform(0, 6))
    return ridge * UNITS, strand * UNITS


def scene(rng: Generator, side: int = UNITS) -> tuple[Array, Array]:
    """What to paint and which way: a colour map and a flow map."""
    x, y = grid(side)
    wobble = fractal(rng, 260, 3, side)
    stream = 0.9 * y + 30 * wobble + 60 * np.sin(x / 170 + 0.8)
    for cx, cy, radius, spin in EDDIES:
        stream += spin * 2.6 * radius * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / radius**2)
    light = 0.36 + 0.27 * np.sin(stream / 33) + 0.12 * np.sin(stream / 11.5) + 0.08 * wobble
    light += 0.25 * smoothstep(260, 620, y)
    colour = ramp(SKY, np.clip(light, 0, 0.93))
    flow = contour_flow(stream, 0.12)
    for cx, cy, radius in STARS:
        away = np.hypot(x - cx, y - cy) / radius
        rings = 1.08 - 0.62 * away + 0.13 * np.sin(away * 19 + radius)
        near = smoothstep(1.75, 0.75, away + 0.1 * wobble) ** 1.3
        colour = mix(colour, ramp(GLOW, np.clip(rings, 0, 1)), near)
        round_it = np.stack([-(y - cy), x - cx], axis=-1) / (away * radius + 1e-3)[..., None]
        flow = mix(flow, round_it, smoothstep(1.9, 1.2, away))

    ridge, strand = skylines(rng, side)
    slope = (y - ridge) / (strand - ridge)
    folds = noise(rng, (90, 40), side)
    bank = 0.36 + 0.30 * np.sin(slope * 8 + 1.5 * folds) + 0.12 * folds - 0.12 * slope
    hills = contour_flow(y - ridge * np.clip(1 - slope, 0, 1) + 11 * folds)
    on_hills, on_water = y > ridge, y > strand
    colour = np.where(on_hills[..., None], ramp(HILLS, np.clip(bank, 0, 1)), colour)
    flow = np.where(on_hills[..., None], hills, flow)

    depth = (y - strand) / (UNITS - strand)
    swell = np.sin(y / (5 + 14 * depth) + 2.2 * noise(rng, (220, 60), side))
    sheen = 0.34 + 0.22 * swell + 0.18 * noise(rng, (160, 24), side) - 0.2 * depth
    water = ramp(WATER, np.clip(sheen, 0, 1))
    for cx, _, radius in STARS:
        spread = np.abs(x - cx + 9 * noise(rng, (300, 18), side)) / (radius * (0.42 + 0.5 * depth))
        path = smoothstep(1.0, 0.25, spread) * smoothstep(-0.75, 0.5, swell)
        water = mix(water, ramp(GLOW, np.clip(0.9 - 0.5 * spread, 0, 1)), path * (1 - 0.35 * depth))
    ripple = contour_flow(y + 7 * noise(rng, (150, 40), side))
    colour = np.where(on_water[..., None], water, colour)
    return colour, np.where(on_water[..., None], ripple, flow)


def layer(
    canvas: Canvas, rng: Generator, view: tuple[Array, Array], size: tuple[float, float, float]
) -> None:
    """Cover the canvas with strokes of a length and width, so far apart."""
    length, width, spacing = size
    colour, flow = view
    bristles = Bristles(rng, 40, 1.3)
    starts = scatter(rng, spacing)
    for path in trace(flow, starts, length, 12):
        tone = pick(colour, path[5]) + rng.normal(0, 0.055) + rng.normal(0, 0.025, 3)
        if rng.random() < 0.022:
            tone = mix(tone, ACCENT[rng.integers(len(ACCENT))], 0.7)
        cut = sorted(rng.integers(0, 5, 2))
        stroke = ribbon(path[cut[0] : 12 - (4 - cut[1])], width * rng.uniform(0.7, 1.25))
        streak = bristles.cut(stroke)
        load = 1.12 - 0.75 * stroke.along**2 - 0.25 * stroke.across**2
        alpha = smoothstep(0.0, 0.25, load - 0.8 * streak)
        ridge = 0.75 * np.abs(stroke.across) ** 3 + 0.5 * (1 - stroke.along) + 0.9 * streak
        shade = 1.0 + 0.34 * (streak - 0.5)
        canvas.paint(stroke, tone * shade[..., None], alpha, ridge * width**0.5)


def brushwork(rng: Generator) -> Image.Image:
    """Thick strokes in nocturne blues and golds over a dark ground, lit from the upper left."""
    view = scene(rng)
    canvas = Canvas(SKY[0])
    for size in ((150, 30, 22), (104, 19, 14), (70, 11.5, 11.5), (44, 6.5, 15)):
        layer(canvas, rng, view, size)
    light = np.clip(relief(canvas.height, 0.9) * 0.42, -0.4, 0.5)[..., None]
    lit = canvas.colour * (1 + 0.8 * light) + 0.10 * np.clip(light, 0, 1)
    return finish(lit)
