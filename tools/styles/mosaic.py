"""Mosaic: a star-strewn vault over waves, tessera after tessera along the lines of the drawing."""

from __future__ import annotations

from collections import defaultdict, deque

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw
from scipy import ndimage

from .canvas import (
    SCALE,
    SIDE,
    UNITS,
    Array,
    colours,
    contour_flow,
    finish,
    grid,
    mix,
    noise,
    pick,
    ramp,
    smoothstep,
    speckle,
)

GOLD = colours("8a5a14", "c08a22", "e3b23c", "f6d878", "fff0b8")
LAPIS = colours("0a1440", "13256b", "1d3f9a", "2f63c0", "5b93d6")
SEA = colours("07364a", "0e5f6b", "1f8d86", "6cc0a4", "cfe8cf")
WHITE = colours("cfc8b4", "f4efe0", "fffaf0")
RED = colours("6e1220", "a51d25", "cf3a22", "e8683a")
GROUT = colours("4a4238")[0]
CENTRE = np.array([512.0, 400.0])
TILE = 12.5


def star_distance(
    x: Array, y: Array, centre: Array, radius: float, points: int, turn: float
) -> Array:
    """A field that is 1 on the outline of a star and grows outwards in star-shaped contours."""
    dx, dy = x - centre[0], y - centre[1]
    wave = np.cos(points * (np.arctan2(dy, dx) + turn))
    return np.hypot(dx, dy) / (radius * (1 + 0.34 * np.abs(wave) ** 1.5 * np.sign(wave)))


def drawing(rng: Generator) -> tuple[Array, Array]:
    """The cartoon under the tiles: a colour map and the lines the rows follow."""
    x, y = grid(UNITS)
    shade = noise(rng, 130, UNITS)
    away = np.hypot(x - CENTRE[0], y - CENTRE[1])
    level = away.copy()
    colour = ramp(LAPIS, np.clip(0.15 + away / 1100 + 0.08 * shade, 0, 1))

    heart = star_distance(x, y, CENTRE, 118, 4, 0.0)
    rays = star_distance(x, y, CENTRE, 118, 4, np.pi / 4)
    star = np.minimum(heart, rays)
    bands = (
        (away < 330, ramp(LAPIS, 0.30 + 0.1 * shade)),
        (away < 312, ramp(WHITE, 0.5 + 0.2 * shade)),
        (away < 298, ramp(RED, 0.55 + 0.15 * shade)),
        (away < 268, ramp(GOLD, np.clip(0.62 - (away - 190) / 420 + 0.1 * shade, 0, 1))),
        (away < 202, ramp(WHITE, 0.5 + 0.2 * shade)),
        (away < 190, ramp(LAPIS, 0.72 - 0.5 * away / 190)),
        (star < 1.12, ramp(WHITE, 0.7 + 0.2 * shade)),
        (star < 1.0, ramp(GOLD, np.clip(1.0 - 0.75 * star + 0.08 * shade, 0, 1))),
        (away < 44, ramp(RED, 0.6 + 0.1 * shade)),
        (away < 22, ramp(GOLD, 0.9 + 0.05 * shade)),
    )
    for where, paint in bands:
        colour = np.where(where[..., None], paint, colour)
    level = np.where((star < 1.45) & (away < 190), star * 118, level)

    for ring, count in ((410, 14), (520, 18), (640, 22), (760, 26)):
        for k in range(count):
            angle = 2 * np.pi * (k + 0.5 * (ring % 4 == 2)) / count
            spot = CENTRE + ring * np.array([np.cos(angle), np.sin(angle)])
            near = star_distance(x, y, spot, 27, 4, angle)
            colour = np.where(
                (near < 1.0)[..., None], ramp(GOLD, np.clip(1.05 - 0.6 * near, 0, 1)), colour
            )
            level = np.where(near < 1.6, near * 27, level)

    crest = 800 + 34 * np.sin(x / 82) + 14 * np.sin(x / 41 + 1)
    depth = y - crest
    roll = depth + 16 * np.sin(x / 51 + depth / 34)
    band = (roll / 76) % 1.0
    water = ramp(SEA, np.clip(0.12 + 0.75 * band + 0.06 * shade, 0, 1))
    water = np.where((band > 0.84)[..., None], ramp(WHITE, 0.6 + 0.2 * shade), water)
    water = np.where((depth < 34)[..., None], ramp(GOLD, np.clip(0.7 + 0.1 * shade, 0, 1)), water)
    water = np.where((depth < 13)[..., None], ramp(RED, np.clip(0.5 + 0.2 * shade, 0, 1)), water)
    colour = np.where((depth > 0)[..., None], water, colour)
    return colour, np.where(depth > 0, roll, level)


def lay(rng: Generator, flow: Array) -> tuple[Array, Array]:
    """Set tiles next to each other along the rows, spreading from the middle: places and ways."""
    places, ways = [], []
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    queue = deque([CENTRE + np.array([0.0, 6.0])])
    seeds = rng.uniform(0, UNITS, (3000, 2)).tolist()

    def crowded(spot: Array, way: Array) -> bool:
        column, row = int(spot[0] // TILE), int(spot[1] // TILE)
        for i in range(column - 1, column + 2):
            for j in range(row - 1, row + 2):
                for k in cells[i, j]:
                    dx, dy = spot[0] - places[k][0], spot[1] - places[k][1]
                    along = abs(dx * way[0] + dy * way[1])
                    across = abs(dy * way[0] - dx * way[1])
                    if max(along, across) < 0.80 * TILE and along + across < 1.25 * TILE:
                        return True
        return False

    while queue or seeds:
        spot = queue.popleft() if queue else np.array(seeds.pop())
        if not (-TILE < spot[0] < UNITS + TILE and -TILE < spot[1] < UNITS + TILE):
            continue
        way = pick(flow, spot)
        if crowded(spot, way):
            continue
        cells[int(spot[0] // TILE), int(spot[1] // TILE)].append(len(places))
        places.append(spot)
        ways.append(way)
        normal = np.array([-way[1], way[0]])
        step = TILE * rng.uniform(0.97, 1.04, 2)
        queue += [spot + normal * step[1], spot - normal * step[1]]
        queue.extendleft([spot - way * step[0], spot + way * step[0]])  # finish the row first
    return np.array(places), np.array(ways)


def quads(rng: Generator, places: Array, ways: Array) -> Array:
    """The four hand-cut corners of every tile, in units: (tiles, 4, 2)."""
    normals = np.stack([-ways[:, 1], ways[:, 0]], 1)
    half = 0.47 * TILE * rng.uniform(0.86, 1.06, (len(places), 2))
    corners = []
    for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        chip = rng.normal(0, 0.6, places.shape)
        corners.append(places + a * half[:, :1] * ways + b * half[:, 1:] * normals + chip)
    return np.stack(corners, axis=1)


def mosaic(rng: Generator) -> Image.Image:
    """Gold, lapis and red tesserae, each tilted its own way to the light, in grey-brown grout."""
    picture, level = drawing(rng)
    flow = contour_flow(ndimage.gaussian_filter(level, 1.5))
    places, ways = lay(rng, flow)
    sheet = Image.new("I", (SIDE, SIDE), 0)
    pencil = ImageDraw.Draw(sheet)
    for number, corners in enumerate(quads(rng, places, ways), start=1):
        pencil.polygon([tuple(corner) for corner in corners * SCALE], fill=number)
    tile = np.asarray(sheet)

    count = len(places)
    hue = pick(picture, places) * rng.normal(1.0, 0.17, (count, 1)) + rng.normal(
        0, 0.022, (count, 3)
    )
    golden = (hue[:, 0] > 0.5) & (hue[:, 2] < 0.62 * hue[:, 0]) & (hue[:, 1] > 0.5 * hue[:, 0])
    glint = np.where(golden, rng.gamma(1.2, 0.17, count), 0.06)
    tilt = rng.normal(0, np.where(golden, 0.032, 0.016)[:, None], (count, 2))
    x, y = grid()
    own = np.maximum(tile - 1, 0)
    lean = (x - places[own, 0]) * tilt[own, 0] + (y - places[own, 1]) * tilt[own, 1]
    face = hue[own] * (1 + lean + 0.045 * speckle(rng, 1.6) + 0.05 * noise(rng, 5))[..., None]
    face += (glint[own] * smoothstep(0.0, 0.22, lean))[..., None] * np.array([1.0, 0.9, 0.6])

    inside = ndimage.distance_transform_edt((tile > 0) & (ndimage.maximum_filter(tile, 3) == tile))
    dome = np.minimum(inside, 4.5)
    dy, dx = np.gradient(ndimage.gaussian_filter(dome, 0.8))
    bevel = dx * 0.6 + dy * 0.8
    face = face * (1 + 0.30 * np.clip(bevel, -1, 1))[..., None]
    dark = smoothstep(9.0, 0.0, ndimage.distance_transform_edt(tile == 0))
    grout = (
        GROUT * (0.75 + 0.16 * speckle(rng, 1.2) + 0.08 * noise(rng, 20) - 0.2 * dark)[..., None]
    )
    return finish(mix(grout, face, smoothstep(0.2, 1.6, inside)))
