"""Marbling: drops of colour on a bath, drawn out by styluses and combs, lifted with paper.

Each act on the bath is a closed-form motion of the plane that can be undone exactly, so every
pixel is followed back through the acts, from the last to the first, until the drop it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from .canvas import UNITS, Array, colours, finish, fractal, grid, mix, noise, relief, speckle

BATH = colours("f2e8d2")[0]
INKS = colours("14203f", "1f5577", "c8381f", "eab24a", "f4ecd8", "5f9a96", "7c1f2d")
INDIGO, CREAM = 0, 4

Motion = Callable[[Array], Array]  # points are complex numbers: x + iy, in units


@dataclass(frozen=True)
class Drop:
    """A drop pushes all that floats outwards by as much as its own area."""

    centre: np.complex64
    radius: float
    ink: int


def sweep(angle: float, pull: float, gap: float, phase: float) -> Motion:
    """Undo a wide comb led to and fro: the paint sways in a wave."""
    way = np.complex64(np.exp(1j * angle))

    def undo(points: Array) -> Array:
        across = (points * way.conjugate()).imag
        return points - np.float32(pull) * np.sin(across * np.float32(np.pi / gap) + phase) * way

    return undo


def comb(angle: float, pull: float, gap: float, sharpness: float) -> Motion:
    """Undo a comb drawn one way: every tooth drags a peak along, with hollows between."""
    way = np.complex64(np.exp(1j * angle))

    def undo(points: Array) -> Array:
        across = (points * way.conjugate()).imag
        away = np.abs(across - gap * np.round(across / gap))
        return points - np.float32(pull) * np.exp(-away / np.float32(sharpness)) * way

    return undo


def whirl(centre: complex, radius: float, turn: float) -> Motion:
    """Undo a stylus stirred round one spot: a turn that dies away outwards."""
    centre = np.complex64(centre)

    def undo(points: Array) -> Array:
        off = points - centre
        angle = turn * np.exp(-(off.real**2 + off.imag**2) / np.float32(radius**2))
        return centre + off * np.exp(np.complex64(-1j) * angle)

    return undo


def drops(rng: Generator) -> list[Drop]:
    """Rings of ink on ink in a loose lattice, thick ones and thin veins, then a fine spray."""
    axis = np.arange(-40, UNITS + 80, 128)
    hearts = rng.permutation((axis[:, None] + 1j * axis[None, :]).ravel())
    hearts = hearts + rng.normal(0, 24, len(hearts)) + 1j * rng.normal(0, 24, len(hearts))
    falls = []
    for turn in range(9):
        vein = turn % 2 == 1
        for heart in hearts:
            spot = np.complex64(heart + rng.normal(0, 5) + 1j * rng.normal(0, 5))
            ink = rng.choice((INDIGO, INDIGO, CREAM)) if vein else rng.choice((1, 2, 3, 5, 6, 1, 2))
            falls.append(Drop(spot, rng.uniform(14, 22) if vein else rng.uniform(28, 50), int(ink)))
    for _ in range(150):
        spot = np.complex64(rng.uniform(0, UNITS) + 1j * rng.uniform(0, UNITS))
        falls.append(Drop(spot, rng.gamma(3.0, 2.4) + 3, int(rng.choice((0, 0, 2, 3, 4)))))
    return falls


def gestures(rng: Generator) -> list[Motion]:
    """The pattern, in the order of the hand: sway both ways, comb finely, stir three shells."""
    return [
        sweep(0.0, 46, 128, rng.uniform(0, 6)),
        sweep(np.pi / 2, 62, 96, rng.uniform(0, 6)),
        comb(0.0, 62, 64, 17),
        comb(np.pi, 34, 32, 8),
        whirl(300 + 360j, 150, 2.6),
        whirl(735 + 250j, 120, -2.4),
        whirl(610 + 730j, 165, -2.8),
        whirl(150 + 835j, 105, 2.2),
        whirl(930 + 590j, 100, 2.3),
    ]


def float_inks(points: Array, falls: list[Drop]) -> Array:
    """Which ink is at each point of the undisturbed bath; -1 where the bath shows."""
    inks = np.full(len(points), -1, np.int8)
    left = np.arange(len(points))
    for drop in reversed(falls):
        off = points - drop.centre
        share = 1.0 - np.float32(drop.radius**2) / (off.real**2 + off.imag**2 + np.float32(1e-6))
        within = share < 0
        if within.any():
            inks[left[within]] = drop.ink
            keep = ~within
            left, off, share = left[keep], off[keep], share[keep]
        points = drop.centre + off * np.sqrt(share)
    return inks


def marbling(rng: Generator) -> Image.Image:
    """Combed and stirred inks with fine veins, granulated and laid on warm laid paper."""
    x, y = grid()
    bath = x + 3 * noise(rng, 130) + 1j * (y + 3 * noise(rng, 130))
    acts, falls = gestures(rng), drops(rng)
    rows = []
    for band in np.split(bath.astype(np.complex64), 16):
        points = band.ravel()
        for undo in reversed(acts):
            points = undo(points)
        rows.append(float_inks(points, falls).reshape(band.shape))
    inks = np.concatenate(rows)

    colour = np.concatenate([INKS, BATH[None]])[inks]
    settle = ndimage.gaussian_filter(colour, (7, 7, 0))
    rim = np.clip((settle - colour).mean(-1), -0.3, 0.3)
    grain = speckle(rng, 1.0)
    cloud = fractal(rng, 60, 4)
    tone = 1 + 0.05 * cloud + 0.045 * grain + 0.25 * rim
    voids = (speckle(rng, 2.2) > 3.0) & (inks >= 0)
    colour = mix(colour * tone[..., None], BATH, 0.75 * ndimage.gaussian_filter(voids * 1.0, 0.8))
    laid = 0.5 * speckle(rng, 1.5) + 0.35 * noise(rng, (40, 4))
    return finish(colour * (1 + 0.05 * np.clip(relief(laid * 1.5, 1.0), -1, 1))[..., None])
