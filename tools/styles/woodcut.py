"""Woodcut: mountains under a red sun, carved gouge by gouge out of a black block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from .canvas import (
    UNITS,
    Array,
    Canvas,
    colours,
    contour_flow,
    finish,
    fractal,
    grid,
    lens,
    mix,
    noise,
    pick,
    ribbon,
    scatter,
    smoothstep,
    snap,
    speckle,
    trace,
)

PAPER, INK, RED, OCHRE, TEAL = colours("efe3c6", "17130f", "c8371d", "dba23f", "4f8a86")
SUN, SUN_RADIUS = (650.0, 270.0), 128.0


@dataclass(frozen=True)
class Plane:
    """A part of the block: where it is, the field whose contours are carved, and how light."""

    mask: Array
    level: Array
    tone: Array
    spacing: float
    length: float


def ridge_line(rng: Generator, base: float, rise: float, side: int) -> Array:
    """A jagged skyline: for each column how high up the picture it is, in units."""
    x = np.linspace(0, UNITS, side)
    line = np.full(side, float(base))
    for k, period in enumerate((430, 190, 84, 36)):
        saw = np.abs(((x / period + rng.random()) % 1.0) * 2 - 1)
        line -= rise * 0.45**k * (saw - 0.5)
    return line.astype(np.float32)


def planes(rng: Generator, side: int = UNITS) -> list[Plane]:
    """Sky, sun, two ranges of mountains and the water, from the back to the front."""
    x, y = grid(side)
    dx, dy = x - SUN[0], y - SUN[1]
    away, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    everywhere = np.ones_like(x, dtype=bool)
    cloud = fractal(rng, 240, 3, side)

    beam = np.sin(angle * 15 + 0.5 * cloud)
    sky = Plane(
        everywhere,
        away + 16 * cloud,
        np.clip(0.47 + 0.34 * smoothstep(-0.35, 0.35, beam) - 0.00042 * away, 0.08, 0.9),
        11,
        70,
    )
    sun = Plane(away < SUN_RADIUS + 3, away, 0.62 - 0.0032 * away + 0.1 * cloud, 12, 70)
    ring = (away > SUN_RADIUS + 6) & (away < SUN_RADIUS + 46)
    halo = Plane(ring, angle * 150, np.full_like(x, 0.66), 150 * np.pi / 50, 34)

    layers = [sky, halo, sun]
    for base, rise, spacing in ((545, 300, 8.5), (715, 190, 9.5)):
        top = ridge_line(rng, base, rise, side)
        below = y - top
        run = np.gradient(ndimage.gaussian_filter1d(top, 6)) * side / UNITS
        bend = 26 * noise(rng, 110, side) + 8 * noise(rng, 34, side)
        column = np.clip((x + 0.22 * below + bend) * side / UNITS, 0, side - 1).astype(int)
        lit = run[column] < 0.0
        wave = 7 * noise(rng, 80, side)
        light = np.where(below < 6, 0, 0.30 + 0.55 * np.exp(-below / 120) + 0.08 * cloud)
        shade = np.where(below < 6, 0, 0.20 - 0.10 * np.exp(-below / 90))
        body = below > 0
        layers.append(Plane(body, y + 0.55 * x + wave, np.where(lit, light, 0), spacing, 52))
        layers.append(Plane(body & ~lit, y - 0.9 * x + wave, shade, spacing * 1.1, 44))

    shore = 770 + 14 * np.sin(x / 90) + 8 * np.sin(x / 37)
    depth = np.clip((y - shore) / (UNITS - shore), 0, 1)
    swell = noise(rng, (260, 70), side)
    path = smoothstep(150 + 60 * depth, 40, np.abs(dx + 20 * swell))
    tone = 0.30 + 0.22 * np.sin(y / (6 + 12 * depth) + 2.5 * swell) + 0.36 * path
    level = y + 9 * swell + 8 * np.sin(x / 46 + y / 30) * (0.4 + depth)
    layers.append(Plane(y > shore, level, np.clip(tone, 0.05, 0.88), 10, 84))
    return layers


def carve(rng: Generator, canvas: Canvas, plane: Plane) -> None:
    """Cut a plane's gouges: slivers along its contours, the wider the lighter the tone."""
    canvas.colour[np.kron(plane.mask, np.ones((2, 2), bool))] = 0
    starts = scatter(rng, plane.spacing * 1.55)
    starts = snap(plane.level, starts[pick(plane.mask, starts)], plane.spacing)
    tone = np.where(plane.mask, plane.tone, 0)
    for path in trace(contour_flow(plane.level), starts, plane.length, 11):
        light = pick(tone, path)
        inside = pick(plane.mask, path)
        middle = light[5] + rng.normal(0, 0.05)
        if middle < 0.1 or inside.mean() < 0.7:
            continue
        reach = np.flatnonzero(inside & (light > 0.4 * middle))
        if len(reach) < 4:
            continue
        part = path[reach[0] : reach[-1] + 1]
        width = plane.spacing * np.clip(0.22 + 0.95 * middle, 0, 1) * rng.uniform(0.8, 1.12)
        canvas.paint(ribbon(part + rng.normal(0, 0.4, 2), width, lens), 1.0)


def chatter(rng: Generator, canvas: Canvas) -> None:
    """Ridges the gouge left standing in the cleared wood."""
    for start in scatter(rng, 34):
        path = start + np.outer(np.linspace(-1, 1, 4), rng.normal(0, 6, 2))
        canvas.paint(ribbon(path, rng.uniform(0.8, 1.8), lens), 0.0, 0.9)


def woodcut(rng: Generator) -> Image.Image:
    """A black key block printed over flat colour on warm paper, with the grain of the plank."""
    block = Canvas(0.0)
    layers = planes(rng)
    for plane in layers:
        carve(rng, block, plane)
    chatter(rng, block)
    bare = ndimage.gaussian_filter(block.colour[..., 0], 0.9) + 0.05 * speckle(rng, 1.2)
    key = smoothstep(0.62, 0.38, bare)

    x, y = grid()
    grain = np.sin((y + 26 * noise(rng, (700, 190)) + 5 * noise(rng, (240, 12))) / 1.9)
    fibre = 0.5 * speckle(rng, 0.8) + 0.7 * noise(rng, (26, 5))
    print_ = mix(PAPER, PAPER * 0.90, np.clip(0.35 * fibre, 0, 1))
    disc = smoothstep(SUN_RADIUS + 1, SUN_RADIUS - 1, np.hypot(x - SUN[0] - 5, y - SUN[1] + 4))
    far, near, water = (np.kron(layers[k].mask, np.ones((2, 2), bool)) for k in (3, 5, 7))
    tints = np.select([water, near, far], [3, 2, 1])
    tints = ndimage.shift(tints, (6, -8), order=0, mode="nearest")
    wear = np.clip(0.86 - 0.16 * fibre - 0.10 * grain, 0, 1)
    for tint, area in ((RED, disc * (tints == 0)), (OCHRE, tints == 2), (TEAL, tints == 3)):
        print_ = mix(print_, print_ * tint / PAPER, wear * area)
    cover = key * np.clip(
        0.95 - 0.13 * np.clip(grain - 0.45, 0, 1) - 0.10 * np.clip(fibre, 0, 2), 0, 1
    )
    return finish(mix(print_, INK, cover))
