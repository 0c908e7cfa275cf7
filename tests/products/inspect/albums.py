"""Folders of small pictures with something hidden in them."""

from __future__ import annotations

from pathlib import Path

import torch

from stylize.products.inspect.folder import Album, open_album
from tests.conftest import cat, photo, save, strokes


def noise(seed: int, side: int = 64, level: float = 0.03) -> torch.Tensor:
    """Nearly grey, ``(1, 3, side, side)``."""
    generator = torch.Generator().manual_seed(seed)
    return 0.5 + level * (torch.rand(1, 3, side, side, generator=generator) - 0.5)


def checks(side: int = 16) -> torch.Tensor:
    """A chequerboard of black and white squares of 2 px, ``(1, 3, side, side)``."""
    places = torch.arange(side) // 2
    return ((places[:, None] + places) % 2).float().expand(1, 3, -1, -1)


def plant(ground: torch.Tensor, top: int, left: int, side: int = 16) -> torch.Tensor:
    """A picture with a chequerboard in it."""
    planted = ground.clone()
    planted[..., top : top + side, left : left + side] = checks(side)
    return planted


# Where the chequerboards are: top and left by photo.
PLANTED = {"p03.png": (8, 40), "p07.png": (30, 4), "p10.png": (44, 44)}


def planted_folder(folder: Path, count: int = 12) -> Album:
    """Grey pictures, three of them with a chequerboard."""
    folder.mkdir()
    for number in range(count):
        name = f"p{number:02}.png"
        ground = noise(number)
        save(plant(ground, *PLANTED[name]) if name in PLANTED else ground, folder / name)
    return open_album(folder, recursive=False)


def grouped_folder(folder: Path, each: int = 6) -> Album:
    """Three groups of pictures, by the first letter of their names, mixed in order."""
    folder.mkdir()
    for number in range(each):
        shifted = cat(96).roll(3 * number, dims=3)[..., 8:72, 8:72]
        save(shifted, folder / f"{number}-cat.png")
        save(strokes(64, 64, 6.0 + number / 3).clamp(0, 1), folder / f"{number}-strokes.png")
        save((photo(64, 64) * (0.7 + number / 20)).clamp(0, 1), folder / f"{number}-disc.png")
    return open_album(folder, recursive=False)
