"""Ink wash: mountains in mist behind bamboo, in washes that dry to dark edges and dry brush."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from .canvas import (
    SIDE,
    UNITS,
    Array,
    Bristles,
    Canvas,
    colours,
    finish,
    fractal,
    grid,
    lens,
    noise,
    ribbon,
    round_tip,
    scatter,
    smoothstep,
    speckle,
)

PAPER, INK, SEAL = colours("efe6d2", "17181c", "b3271e")
SOOT = np.array([1.0, 0.96, 0.90])  # what ink takes from red, green and blue
INDIGO = np.array([1.0, 0.72, 0.45])
CINNABAR = np.array([0.12, 1.0, 1.05])


def wash(colour: Array, depth: Array, density: Array, hue: Array, rim: float = 5.0) -> None:
    """Dry a pool of ink onto the colour; depth is each pixel's distance in from its edge."""
    edge = 0.85 * np.exp(-((np.maximum(depth, 0) / rim) ** 1.3))
    film = smoothstep(-0.7, 0.9, depth) * density * (1 + edge)
    colour *= np.exp(-film[..., None] * hue).astype(np.float32)


def ridge(rng: Generator, base: float, rise: float, rough: float) -> Array:
    """A skyline of worn peaks, one height per column of pixels."""
    x = (np.arange(SIDE) + 0.5) / SIDE
    line = sum(
        0.5**k * np.abs(np.sin(np.pi * (x * 1.35 * 2.1**k + rng.random()))) ** 1.2 for k in range(4)
    )
    line = line + rough * sum(0.5**k * np.sin(x * 60 * 2**k + rng.uniform(0, 6)) for k in range(4))
    return base - rise * (line - 0.9)


def mountain(rng: Generator, canvas: Canvas, top: Array, dark: float, tooth: Array) -> None:
    """One range: a wash that is darkest under the skyline and sinks into mist, then cun strokes."""
    _, y = grid()
    ragged = 2.2 * noise(rng, 12) + 1.2 * noise(rng, 5)
    below = y - top + ragged
    bloom = fractal(rng, 120, 5)
    fade = np.exp(-np.maximum(below, 0) / (80 + 80 * dark)) * (1 + 0.42 * bloom + 0.10 * tooth)
    wash(
        canvas.colour,
        below,
        dark * np.clip(fade, 0.02, None),
        SOOT + 0.25 * (1 - dark) * (INDIGO - SOOT),
        6,
    )

    bristles = Bristles(rng, 26, 1.0)
    slope = np.gradient(ndimage.gaussian_filter1d(top, 24)) * (SIDE / UNITS)
    for start in scatter(rng, 14.5):
        column = int(np.clip(start[0] * SIDE / UNITS, 0, SIDE - 1))
        under = start[1] - top[column]
        if not 4 < under < 190 or rng.random() < under / 230:
            continue
        lean = np.sign(slope[column] + rng.normal(0, 0.15))
        length = rng.uniform(16, 52)
        t = np.linspace(0, 1, 7)[:, None]
        bend = np.array([lean * (0.9 - 0.5 * rng.random()), 1.0])
        path = start + t * length * bend / np.hypot(*bend) + np.array([lean * 6, 0]) * t**2
        stroke = ribbon(path, rng.uniform(3, 10), lambda s: np.clip(1.1 - s, 0.05, 1) ** 0.6)
        dry = smoothstep(0.35, 0.7, 1.12 - 0.7 * stroke.along - 0.55 * bristles.cut(stroke))
        canvas.paint(
            stroke, INK, dry * min(1.0, 0.2 + dark) * rng.uniform(0.35, 0.9) * np.exp(-under / 150)
        )


def brush(
    canvas: Canvas, bristles: Bristles, path: Array, width: float, dark: float, dryness: float = 0.5
) -> None:
    """A loaded brush pressed along a path: darker at its edges, running dry towards the end."""
    stroke = ribbon(path, width, round_tip)
    streak = bristles.cut(stroke)
    wet = 1.25 - dryness * (0.35 + 1.1 * stroke.along) + 0.12 * np.abs(stroke.across)
    cover = smoothstep(0.0, 0.3, wet - streak)
    tone = dark * (0.70 + 0.34 * np.abs(stroke.across) ** 2.5 + 0.22 * (streak - 0.5))
    canvas.paint(stroke, INK, np.clip(cover * tone, 0, 0.97))


def bamboo(rng: Generator, canvas: Canvas) -> None:
    """Culms joint by joint, twigs, and leaves in hanging sprays."""
    bristles = Bristles(rng, 70, 1.5)
    for foot, lean, width, dark in (
        (205, -0.05, 32, 0.86),
        (86, 0.035, 22, 0.62),
        (322, 0.07, 15, 0.42),
    ):
        y, x = UNITS + 30.0, float(foot)
        while y > -40:
            length = rng.uniform(120, 165)
            t = np.linspace(0, 1, 9)
            bow = np.stack([x + lean * length * t + 3 * np.sin(np.pi * t), y - length * t], 1)
            brush(canvas, bristles, bow, width * rng.uniform(0.92, 1.05), dark * 1.12, 0.5)
            x, y = bow[-1, 0], bow[-1, 1] - 7
            node = np.array([[x - 0.62 * width, y + 1], [x, y + 5], [x + 0.62 * width, y - 1]])
            brush(canvas, bristles, node, 5.5, min(1.0, dark + 0.25), 0.2)
            spray(rng, canvas, bristles, np.array([x, y]), dark)


def spray(rng: Generator, canvas: Canvas, bristles: Bristles, joint: Array, dark: float) -> None:
    """A twig from a joint with a hand of leaves at its end, some wet and black, some pale."""
    side = rng.choice((-1.0, 1.0))
    reach = np.array([side * rng.uniform(60, 165), rng.uniform(-70, 20)])
    t = np.linspace(0, 1, 8)[:, None]
    twig = joint + reach * t + np.array([0, -26]) * np.sin(np.pi * t)
    brush(canvas, bristles, twig, 3.2, dark, 0.4)
    for spot in (3, 5, 7, 7):
        shade = np.clip(dark * rng.uniform(0.5, 1.25), 0.2, 0.97)
        for _ in range(rng.integers(3, 6)):
            angle = rng.normal(np.pi / 2 - side * 0.5, 0.55)
            length = rng.uniform(50, 115)
            way = np.array([np.cos(angle), np.sin(angle)])
            curl = np.array([-way[1], way[0]]) * rng.normal(0, 10)
            leaf = twig[spot] + way * t * length + curl * t**2
            stroke = ribbon(leaf, rng.uniform(9, 17), lambda s: lens(s**0.7))
            streak = bristles.cut(stroke)
            cover = smoothstep(0, 0.3, 1.3 - 0.75 * stroke.along - 0.7 * streak)
            canvas.paint(stroke, INK, cover * shade * (0.75 + 0.25 * np.abs(stroke.across)))


def water(rng: Generator, canvas: Canvas) -> None:
    """Flying white: wide dry sweeps across the foot of the picture."""
    bristles = Bristles(rng, 160, 1.2)
    for start in scatter(rng, 46):
        depth = (start[1] - 700) / 324
        if not 0 < depth < 1.1:
            continue
        length = rng.uniform(90, 300)
        t = np.linspace(-0.5, 0.5, 12)
        y = start[1] + rng.uniform(3, 10) * np.sin(7 * t + rng.uniform(0, 6)) + 8 * t
        path = np.stack([start[0] + length * t, y], 1)
        stroke = ribbon(path, rng.uniform(8, 15 + 22 * depth))
        wet = 1.08 - 0.85 * stroke.along - 0.2 * np.abs(stroke.across)
        cover = smoothstep(0.0, 0.25, wet - 0.95 * bristles.cut(stroke))
        canvas.paint(stroke, INK, cover * rng.uniform(0.12, 0.6) * (0.6 + 0.5 * depth))


def splashes(rng: Generator, canvas: Canvas) -> None:
    """Drops flung off the brush, dried with a dark rim."""
    x, y = grid()
    for _ in range(70):
        spot, size = rng.uniform(0, UNITS, 2), min(1.2 + rng.gamma(1.0, 2.4), 13)
        left, top = (np.clip((spot - 3 * size) * SIDE / UNITS, 0, SIDE - 1)).astype(int)
        right, foot = (np.clip((spot + 3 * size) * SIDE / UNITS, 1, SIDE)).astype(int)
        box = slice(top, foot), slice(left, right)
        dx, dy = x[box] - spot[0], y[box] - spot[1]
        bumpy = 1 + 0.10 * np.sin(2 * np.arctan2(dy, dx) + spot[0])
        pool = size * bumpy - np.hypot(dx, dy)
        wash(canvas.colour[box], pool, np.full(pool.shape, rng.uniform(0.2, 1.2)), SOOT, 1.4)


def seal(rng: Generator, canvas: Canvas) -> None:
    """A square red stamp in the corner, a maze cut into it."""
    x, y = grid()
    u, v = (x - 905) / 62, (y - 905) / 62
    inside = (np.abs(u - 0.5) < 0.5 + 0.012 * noise(rng, 6)) & (
        np.abs(v - 0.5) < 0.5 + 0.012 * noise(rng, 6)
    )
    cell = (np.clip(v * 9, 0, 8)).astype(int), (np.clip(u * 9, 0, 8)).astype(int)
    maze = np.ones((9, 9), bool)
    maze[1:8, 1:8] = False
    maze[2:7:2, 1:8] = True
    for row in (1, 3, 5, 7):
        maze[row, rng.integers(2, 7)] = True
        maze[min(row + 1, 7), rng.integers(1, 8)] = False
    stamp = ndimage.gaussian_filter((inside & maze[cell]).astype(np.float32), 1.2)
    stamp = smoothstep(0.3, 0.7, stamp + 0.10 * speckle(rng, 1.5)) * 0.92
    canvas.colour += stamp[..., None] * (SEAL - canvas.colour)


def ink_wash(rng: Generator) -> Image.Image:
    """Soot ink on ivory paper, from palest mist to black leaves, with a cinnabar sun and seal."""
    x, y = grid()
    tooth = 0.6 * speckle(rng, 1.2) + 0.5 * noise(rng, (14, 4))
    fibre = relief_paper(rng)
    canvas = Canvas(PAPER)

    mist = fractal(rng, 330, 6) + 0.6 * noise(rng, (420, 70))
    for level, strength in ((-0.9, 0.06), (0.0, 0.10), (0.7, 0.13)):
        pool = (mist - level) * 46 + 4 * noise(rng, 14)
        wash(canvas.colour, pool, strength * (1 + 0.25 * tooth + 0.3 * noise(rng, 40)), INDIGO, 9)
    sky = np.clip(1 - y / 420, 0, 1) ** 1.5 * (0.55 + 0.30 * noise(rng, (380, 26)) + 0.12 * tooth)
    wash(canvas.colour, np.full_like(x, 50), np.clip(0.36 * sky, 0, None), SOOT)

    disc = 92 - np.hypot(x - 706, y - 236) + 2.0 * noise(rng, 26) + 0.8 * noise(rng, 6)
    wash(canvas.colour, disc, 0.85 + 0.16 * fractal(rng, 70, 4) + 0.09 * tooth, CINNABAR, 5)

    for base, rise, dark in (
        (470, 190, 0.30),
        (560, 210, 0.52),
        (690, 200, 0.85),
        (800, 120, 1.10),
    ):
        mountain(rng, canvas, ridge(rng, base, rise, 0.012), dark, tooth)
    water(rng, canvas)
    bamboo(rng, canvas)
    splashes(rng, canvas)
    seal(rng, canvas)
    return finish(canvas.colour * fibre)


def relief_paper(rng: Generator) -> Array:
    """The shading of handmade paper: fine tooth and long fibres pressed into it."""
    sheet = Canvas(1.0)
    for start in scatter(rng, 17):
        angle = rng.uniform(0, np.pi)
        t = np.linspace(-0.5, 0.5, 6)[:, None]
        way = np.array([np.cos(angle), np.sin(angle)])
        path = (
            start
            + way * t * rng.uniform(8, 34)
            + np.array([-way[1], way[0]]) * rng.normal(0, 9) * t**2
        )
        sheet.paint(ribbon(path, rng.uniform(0.6, 1.3), lens), rng.choice((0.90, 1.05)), 0.55)
    return sheet.colour * (1 + 0.022 * speckle(rng, 0.9) + 0.012 * noise(rng, 9))[..., None]
