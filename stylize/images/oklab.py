"""OKLab: a colour space with perceptual lightness, hue and chroma.

Reference:
    Ottosson, "A perceptual color space for image processing" (2020), the source of both matrices;
    IEC 61966-2-1 (sRGB) for the transfer curve.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Linear sRGB to the responses of three kinds of cones, and their cube roots to L, a, b.
_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)

_OPPONENTS = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)

# Bisections in the search for the border of the gamut, to a thousandth of the chroma.
_HALVINGS = 10

# Rounding error that does not count as outside the gamut.
_SLACK = 2e-6

# Pixels converted at a time, to save memory.
_STRIP_PX = 1 << 20


def to_linear(srgb: Tensor) -> Tensor:
    """Convert sRGB values in [0, 1] to linear light in [0, 1]."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def from_linear(light: Tensor) -> Tensor:
    """Convert linear light to sRGB, the inverse of :func:`to_linear`."""
    bright = 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, bright)


def to_oklab(picture: Tensor) -> Tensor:
    """Convert ``(1, 3, H, W)`` sRGB in [0, 1] to L in [0, 1] and a, b in about ±0.32."""
    cones = _times(_CONES, to_linear(picture))
    return _times(_OPPONENTS, cones.clamp_min(0) ** (1 / 3))


def from_oklab(lab: Tensor) -> Tensor:
    """Convert ``(1, 3, H, W)`` OKLab to sRGB in [0, 1].

    A colour outside sRGB keeps its lightness and hue and loses chroma until it fits.
    """
    lightness = lab[:, :1].clamp(0, 1)
    chroma = lab[:, 1:]
    outside = ~_inside(_light(torch.cat([lightness, chroma], 1)))
    if outside.any():
        chroma = chroma * _share_in_gamut(lightness, chroma, outside)
    light = _light(torch.cat([lightness, chroma], 1))
    return from_linear(light.clamp(0, 1))


def in_strips(change: Callable[..., Tensor], *pictures: Tensor) -> Tensor:
    """Apply a pixel-wise function to whole pictures, some rows at a time.

    Args:
        change: takes tensors of equal size and returns one of that size.
        pictures: ``(1, 3, H, W)`` each.
    """
    height, width = pictures[0].shape[2:]
    result = torch.empty_like(pictures[0])
    rows = max(1, _STRIP_PX // width)
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        result[:, :, part] = change(*(each[:, :, part] for each in pictures))
    return result


def _share_in_gamut(lightness: Tensor, chroma: Tensor, outside: Tensor) -> Tensor:
    """Find the share of the chroma, ``(1, 1, H, W)``, that sRGB has at that lightness and hue."""
    share = torch.ones_like(lightness)
    where = outside[:, 0]
    grey = lightness[:, 0][where].view(1, 1, -1, 1)
    colour = chroma.permute(1, 0, 2, 3)[:, where].view(1, 2, -1, 1)
    low, high = torch.zeros_like(grey), torch.ones_like(grey)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        good = _inside(_light(torch.cat([grey, colour * middle], 1)))
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    share[:, 0][where] = low.flatten()
    return share


def _inside(light: Tensor) -> Tensor:
    """Return where linear light ``(N, 3, H, W)`` is inside the gamut, ``(N, 1, H, W)``."""
    return ((light >= -_SLACK) & (light <= 1 + _SLACK)).all(1, keepdim=True)


def _light(lab: Tensor) -> Tensor:
    roots = _times(_OPPONENTS, lab, inverse=True)
    return _times(_CONES, roots**3, inverse=True)


def _times(rows: tuple[tuple[float, ...], ...], planes: Tensor, *, inverse: bool = False) -> Tensor:
    """Multiply every pixel's colour by a 3×3 matrix or its inverse."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    if inverse:
        matrix = torch.linalg.inv(matrix)
    return torch.einsum("ij,njhw->nihw", matrix.to(planes.device, planes.dtype), planes)
