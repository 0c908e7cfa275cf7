"""Ukiyo: rank behind rank of waves under a red sun, as a colour print from cherry-wood blocks."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw
from scipy import ndimage

from .canvas import (
    SCALE,
    SIDE,
    Array,
    Canvas,
    colours,
    finish,
    grid,
    mix,
    noise,
    ramp,
    ribbon,
    scatter,
    smoothstep,
    speckle,
)

CREAM, DEEP, BLUE, PALE, LINE, RED, GREY = colours(
    "f1e6c9", "16305c", "2d619a", "9fc0c4", "10203f", "cf3b22", "c9bfa0"
)
SKY = colours("1c3a6b", "6f93a8", "e9dcb8", "f1e3c2", "eeb489")
SUN, SUN_RADIUS = (330.0, 250.0), 112.0
CLOUDS = (  # left end, right end, height
    *((560, 900, 64), (690, 1100, 92), (620, 800, 120)),
    *((-60, 160, 70), (-60, 90, 98), (-60, 240, 126)),
    *((500, 1100, 268), (720, 1100, 296), (590, 860, 324)),
    *((-60, 330, 338), (60, 430, 366)),
)
Rank: TypeAlias = tuple[float, float, float, float]
RANKS: tuple[Rank, ...] = (  # base, height, length of the waves, phase
    (520.0, 60.0, 250.0, 0.1),
    (610.0, 105.0, 370.0, 2.3),
    (735.0, 150.0, 520.0, 4.6),
    (850.0, 130.0, 440.0, 1.0),
    (985.0, 120.0, 600.0, 3.4),
)


def swell(x: Array, rank: Rank) -> Array:
    """How high a rank of waves is at x: sharp crests, long hollows."""
    base, height, length, phase = rank
    turn = 2 * np.pi * x / length + phase
    crest = np.exp(1.5 * (np.cos(turn) - 1)) + 0.16 * np.exp(2 * (np.cos(2.7 * turn + 1) - 1))
    return base - height * (2 * crest - 0.5)


def below(x: Array, y: Array, rank: Rank) -> Array:
    """How far under the surface of a rank: its crests lean over to the left as they rise."""
    base, height, length, _ = rank
    lift = np.clip((base - y) / height, -0.6, 1.6)
    lean = 0.23 * length * smoothstep(-0.6, 1.6, lift) * lift
    return y - swell(x + lean, rank)


def stripes(depth: Array, wobble: Array) -> Array:
    """The body of a wave: bands of blues that follow its back, narrow near the crest."""
    run = np.sqrt(np.maximum(depth, 0) * 16 + 40) + 1.3 * wobble
    band = (run / 9.0) % 1.0
    colour = np.empty((*depth.shape, 3))
    colour[:] = DEEP
    colour = mix(colour, BLUE, smoothstep(0.30, 0.34, band))
    colour = mix(colour, PALE, smoothstep(0.62, 0.66, band))
    colour = mix(colour, CREAM, smoothstep(0.80, 0.84, band))
    fine = np.abs((run / 1.5) % 1.0 - 0.5)
    colour = mix(colour, LINE, 0.85 * smoothstep(0.13, 0.06, fine) * (band > 0.32))
    return colour


def disc(pencil: ImageDraw.ImageDraw, spot: Array, radius: float, line: float) -> None:
    """A round of foam with its outline."""
    x, y, r, edge = spot[0] * SCALE, spot[1] * SCALE, radius * SCALE, line * SCALE
    ink, cream = (tuple(int(255 * c) for c in colour) for colour in (LINE, CREAM))
    pencil.ellipse((x - r - edge, y - r - edge, x + r + edge, y + r + edge), fill=ink)
    pencil.ellipse((x - r, y - r, x + r, y + r), fill=cream)


def claw(rng: Generator, canvas: Canvas, spot: Array, size: float) -> None:
    """A finger of foam that reaches out from the crest and hooks down, outlined."""
    t = np.linspace(0, 1, 10)
    angle = np.pi + rng.normal(0.25, 0.3) - t * rng.uniform(1.4, 2.3)
    way = np.stack([np.cos(angle), np.sin(angle)], 1) * (size / 9)
    path = spot + np.cumsum(way, axis=0)
    for colour, width in ((LINE, 0.40 * size + 3.2), (CREAM, 0.40 * size)):
        canvas.paint(ribbon(path, width, lambda s: np.clip(1.02 - s, 0.06, 1) ** 0.7), colour)


def foam(rng: Generator, colour: Array, rank: Rank) -> Array:
    """Scallops that hang from the crests of a rank, claws that reach forward, and spray."""
    base, height, *_ = rank
    size = 0.55 + height / 230
    points = scatter(rng, 5.6 * size)
    depth = below(points[:, 0], points[:, 1], rank)
    near = smoothstep(
        base - 0.25 * height, base - 1.15 * height, points[:, 1] - np.maximum(depth, 0)
    )
    cap = near * size * (22 + 16 * np.sin(points[:, 0] / 17) * np.sin(points[:, 1] / 23))
    kept = (depth > -3) & (depth < cap) & (near > 0.2)
    points, depth, near = points[kept], depth[kept], near[kept]

    sheet = Image.fromarray((np.clip(colour, 0, 1) * 255).astype(np.uint8))
    pencil = ImageDraw.Draw(sheet)
    for k in np.argsort(-depth):
        disc(pencil, points[k], size * rng.uniform(4.2, 7.4), 1.3)
    canvas = Canvas(0.0)
    canvas.colour[:] = np.asarray(sheet) / np.float32(255)
    front = (depth < 5) & (below(points[:, 0] - 12, points[:, 1], rank) < depth - 5)
    for k in np.flatnonzero(front & (rng.random(len(points)) < 0.5)):
        claw(rng, canvas, points[k], rng.uniform(15, 34) * size)

    sheet = Image.fromarray((np.clip(canvas.colour, 0, 1) * 255).astype(np.uint8))
    pencil = ImageDraw.Draw(sheet)
    for k in np.flatnonzero(front & (rng.random(len(points)) < 0.8 * near)):
        spot = points[k] - [abs(rng.normal(14, 30)) * size, rng.normal(10, 26) * size]
        disc(pencil, spot, rng.gamma(2.0, 0.7) + 0.6, 0.9)
    return np.asarray(sheet) / np.float32(255)


def haze(x: Array, y: Array) -> Array:
    """Bars of cloud with round ends, some joined: how far inside one each pixel is."""
    depth = np.full_like(x, -99)
    for left, right, height in CLOUDS:
        off = x - np.clip(x, left, right)
        depth = np.maximum(depth, 15.0 - np.hypot(off, y - height))
    return depth


def sky(rng: Generator, x: Array, y: Array) -> Array:
    """Bokashi from Prussian blue to cream to a warm horizon, bars of cloud, the sun."""
    drift = 14 * noise(rng, (500, 120))
    colour = ramp(SKY, np.clip((y + drift) / 520, 0, 1))
    sun = SUN_RADIUS - np.hypot(x - SUN[0], y - SUN[1])
    fade = np.clip(0.75 + (SUN[1] + 60 - y) / 400, 0, 1)
    colour = mix(colour, mix(colour, RED, fade), smoothstep(-0.7, 0.7, sun))
    bar = haze(x + 2 * noise(rng, 40), y + 2 * noise(rng, 60))
    cloud = mix(CREAM, PALE, np.clip(0.5 + 0.03 * (bar - 8) + 0.3 * noise(rng, (200, 20)), 0, 1))
    colour = mix(colour, cloud, smoothstep(-0.6, 0.6, bar))
    colour = mix(colour, LINE, 0.85 * smoothstep(1.7, 0.9, np.abs(bar)))
    colour = mix(colour, LINE, 0.5 * smoothstep(1.0, 0.4, np.abs(bar - 7)))
    ray = np.abs(((np.hypot(x - SUN[0], y - SUN[1]) + 4 * noise(rng, 60)) / 9.5) % 1.0 - 0.5)
    return mix(
        colour, mix(colour, DEEP, 0.55), smoothstep(0.12, 0.06, ray) * (sun < -3) * (bar < -2)
    )


def ukiyo(rng: Generator) -> Image.Image:
    """Outlined bands of water and hooked foam in Prussian blue and cream, a vermilion sun."""
    x, y = grid()
    colour = sky(rng, x, y)
    wander_x, wander_y = 3.0 * noise(rng, 60), 3.0 * noise(rng, 60)
    for rank in RANKS:
        depth = below(x + wander_x, y + wander_y, rank)
        shade = mix(stripes(depth, noise(rng, 90)), DEEP, 0.30 * smoothstep(60, 260, depth))
        colour = np.where((depth > 0)[..., None], shade, colour)
        colour = mix(colour, LINE, smoothstep(2.0, 1.2, np.abs(depth)))
        colour = foam(rng, colour, rank)

    grain = np.sin((y + 30 * noise(rng, (900, 170)) + 4 * noise(rng, (300, 9))) / 1.7)
    baren = 0.5 * noise(rng, (44, 14)) + 0.5 * noise(rng, 9) + 0.5 * speckle(rng, 0.9)
    inked = smoothstep(0.85, 0.35, colour.mean(-1))
    tone = 1 + inked * (0.07 * grain + 0.07 * baren) + (1 - inked) * 0.018 * baren
    printed = colour * tone[..., None] + (inked * np.clip(baren, 0, 2) * 0.02)[..., None]
    fibre = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), (0.6, 4.0))
    return finish(printed * (1 + 0.05 * fibre)[..., None])
