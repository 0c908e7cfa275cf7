"""Pastel: the sun going down over the sea, hatched in soft chalk on dark toned paper."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image

from .canvas import (
    SIDE,
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
    ribbon,
    scatter,
    smoothstep,
    speckle,
)

PAPER = colours("33223c")[0]
SKY = colours("2c2f6e", "5a4a9c", "a3589e", "e0657a", "f58a5a", "fbb65e", "fde3a0")
CLOUD = colours("3a2c66", "6c3f86", "b34f84", "ee6e62", "ffa873", "ffe0b0")
SEA = colours("1b2450", "2d4480", "4f6aa6", "b0688f", "f0906a", "ffd28c")
LAND = colours("1a1230", "34204c", "5c2f5c", "8d4458", "c9724e")
STICKS = colours("fff0c4", "ffb25a", "f2615c", "c44f9a", "6a5ad0", "3fa0b8", "251a40")
SUN = np.array([380.0, 560.0])
HORIZON = 610.0


def view(rng: Generator) -> tuple[Array, Array]:
    """The colours to reach and the way the hatching leans."""
    x, y = grid(UNITS)
    away = np.hypot((x - SUN[0]) * 0.8, (y - SUN[1]) * 1.15)
    soft = fractal(rng, 200, 4, UNITS)
    colour = ramp(SKY, np.clip(1.02 - away / 640 + 0.05 * soft, 0, 1))
    lean = 0.55 * np.ones_like(x)

    billow = fractal(rng, 250, 5, UNITS) + 0.9 * np.sin(
        y / 62 + 1.1 * noise(rng, (420, 150), UNITS)
    )
    billow -= 0.55
    edge = np.gradient(billow, axis=0) * 30
    lit = np.clip(0.42 + 0.5 * edge - 0.00028 * away + 0.16 * soft, 0, 1)
    cloudy = smoothstep(0.0, 0.25, billow) * smoothstep(HORIZON - 20, HORIZON - 90, y)
    colour = mix(colour, ramp(CLOUD, lit), cloudy)
    flow = contour_flow(billow)
    roll = np.arctan2(flow[..., 1], flow[..., 0])
    roll = np.where(np.abs(roll) > np.pi / 2, roll - np.sign(roll) * np.pi, roll)
    lean = lean + cloudy * (0.6 * roll)

    disc = np.hypot(x - SUN[0], y - SUN[1])
    colour = mix(colour, colours("fff4cc")[0], smoothstep(60, 48, disc))

    depth = (y - HORIZON) / (UNITS - HORIZON)
    swell = np.sin(y / (3.5 + 17 * np.clip(depth, 0, 1)) + 1.8 * noise(rng, (260, 60), UNITS))
    path = np.exp(-(((x - SUN[0]) / (60 + 190 * np.clip(depth, 0, 1))) ** 2))
    shine = (
        0.22
        + 0.20 * swell
        + 0.10 * soft
        + 0.72 * path * smoothstep(-0.6, 0.5, swell)
        - 0.12 * depth
    )
    wet = y > HORIZON
    colour = np.where(wet[..., None], ramp(SEA, np.clip(shine, 0, 1)), colour)
    lean = np.where(wet, 0.10 * swell, lean)

    cape = (
        HORIZON + 8 - 150 * smoothstep(600, 1010, x) - 20 * np.sin(x / 47) * smoothstep(640, 900, x)
    )
    rock = (y > cape) & (y < HORIZON + 16 + 22 * smoothstep(640, 1024, x))
    glow = 0.32 + 0.26 * noise(rng, (46, 30), UNITS) - 0.0016 * (y - cape)
    colour = np.where(rock[..., None], ramp(LAND, np.clip(glow, 0, 1)), colour)
    lean = np.where(rock, 0.9, lean)

    dune = 905 - 70 * smoothstep(700, 80, x) + 16 * np.sin(x / 70)
    near = y > dune
    grass = 0.35 + 0.25 * noise(rng, (30, 80), UNITS) - 0.0016 * (y - dune)
    colour = np.where(near[..., None], ramp(LAND, np.clip(grass, 0, 1)), colour)
    lean = np.where(near, -1.25 + 0.3 * noise(rng, 140, UNITS), lean)
    return colour, lean


def chalk(
    rng: Generator,
    canvas: Canvas,
    tooth: Array,
    scene: tuple[Array, Array],
    stick: tuple[float, float, float, float],
) -> None:
    """Hatch the sheet with sticks of a length, width, spacing and pressure."""
    length, width, spacing, pressure = stick
    colour, lean = scene
    bristles = Bristles(rng, 18, 0.9)
    t = np.linspace(-0.5, 0.5, 6)[:, None]
    for start in scatter(rng, spacing):
        tone = pick(colour, start) + rng.normal(0, 0.045) + rng.normal(0, 0.03, 3)
        if rng.random() < 0.10:
            tone = mix(tone, STICKS[rng.integers(len(STICKS))], rng.uniform(0.35, 0.8))
        angle = pick(lean, start) + rng.normal(0, 0.09)
        way = np.array([np.cos(angle), np.sin(angle)])
        bow = np.array([-way[1], way[0]]) * rng.normal(0, 0.035) * length
        reach = length * rng.uniform(0.6, 1.25)
        stroke = ribbon(
            start + way * t * reach + bow * (1 - 4 * t**2), width * rng.uniform(0.7, 1.3)
        )
        rows, cols = np.clip(stroke.rows, 0, SIDE - 1), np.clip(stroke.cols, 0, SIDE - 1)
        press = pressure * rng.uniform(0.75, 1.2) * (1 - 0.35 * stroke.along**2)
        press = press - 0.22 * np.abs(stroke.across) ** 3 - 0.35 * bristles.cut(stroke)
        cover = smoothstep(-0.08, 0.16, press - tooth[rows, cols])
        canvas.paint(stroke, tone, 0.92 * cover)


def pastel(rng: Generator) -> Image.Image:
    """Layers of hatching from broad to fine, broken by the tooth of an aubergine paper."""
    scene = view(rng)
    weave = 0.75 * speckle(rng, 1.3) + 0.5 * speckle(rng, 2.6) + 0.25 * noise(rng, (3.2, 6))
    tooth = np.clip(0.5 + 0.2 * weave, 0.1, 0.74)
    canvas = Canvas(PAPER)
    canvas.colour *= (1 + 0.10 * weave)[..., None]
    for stick in ((95, 30, 24, 0.78), (76, 12, 13, 0.84), (58, 7, 11, 0.92), (46, 3.6, 11, 1.15)):
        chalk(rng, canvas, tooth, scene, stick)
    return finish(canvas.colour * (1 + 0.03 * weave)[..., None])
