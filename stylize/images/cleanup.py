"""Make the strokes of a painting whole: average along them, never across their edges."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.images.blur import blur
from stylize.images.strips import in_strips
from stylize.images.warp import warped

# How far around a pixel its direction is measured, as a standard deviation in px.
_DIRECTION_PX = 2.0

# Of the average along a stroke: standard deviation in px where the direction is clear, and where
# there is none; reach in px; standard deviation of the colour difference, summed over the channels.
_ALONG_PX, _SHORTEST_PX, _REACH_PX, _ALONG_COLOUR = 5.0, 0.25, 10, 0.15

# Of the average across it, which reaches one pixel to either side: the same deviations.
_ACROSS_PX, _ACROSS_COLOUR = 0.7, 0.08

# How much the edges are sharpened.
_SHARPENING = 0.6

# A row depends on so many above and below: those of the walk along the stroke, and of the
# directions that it meets. Strips are short enough for the processor's cache.
_STRIP_ROWS, _HALO_ROWS = 128, 24


def clean_up(image: Tensor, amount: float) -> Tensor:
    """Smooth a painting along its strokes, and sharpen it across them.

    Broken strokes are joined and a weave between them is cleared. Dots, tiles and outlines stay,
    because only similar colours are averaged, and no edge gets a halo.

    Args:
        image: ``(1, 3, H, W)`` in [0, 1].
        amount: 0 changes nothing, 1 is one pass, .5 half of it, 2 two passes.

    Returns:
        A picture of that shape in [0, 1].

    Reference:
        Kyprianidis and Döllner, "Image abstraction by structure adaptive filtering" (EG UK Theory
        and Practice of Computer Graphics 2008), for the filters; Osher and Rudin, "Feature-oriented
        image enhancement using shock filters" (SIAM J. Numer. Anal. 27, 1990), for the sharpening.
    """
    while amount > 0:
        one_pass = partial(_one_pass, amount=min(1.0, amount))
        image = in_strips(one_pass, image, rows=_STRIP_ROWS, halo=_HALO_ROWS)
        amount -= 1
    return image


def _one_pass(image: Tensor, amount: float) -> Tensor:
    along, clearness = _directions(image)
    across = torch.stack([-along[:, 1], along[:, 0]], 1)
    sharp = _sharpened(_averaged_across(image, across), across)
    whole = _averaged_along(sharp, along, clearness)  # last, so that no edge has stairs
    return torch.lerp(image, whole, amount).clamp_(0, 1)


def _directions(image: Tensor) -> tuple[Tensor, Tensor]:
    """The directions of the strokes, and how clear they are, from the structure tensor.

    Returns:
        ``(1, 2, H, W)``, unit vectors (x, y) whose sign means nothing; ``(1, 1, H, W)`` in [0, 1].
    """
    # Scharr's derivative: its angle errs least.
    kernel = image.new_tensor([[-3.0, 0, 3], [-10, 0, 10], [-3, 0, 3]]) / 32
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate").transpose(0, 1)
    slopes = F.conv2d(padded, torch.stack([kernel, kernel.T]).unsqueeze(1))
    x, y = slopes.unbind(1)
    products = torch.stack([(x * x).sum(0), (x * y).sum(0), (y * y).sum(0)]).unsqueeze(0)
    xx, xy, yy = blur(products, _DIRECTION_PX).unbind(1)
    angle = 0.5 * torch.atan2(2 * xy, xx - yy) + math.pi / 2
    clearness = torch.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-7)
    return torch.stack([angle.cos(), angle.sin()], 1), clearness.unsqueeze(1)


def _averaged_across(image: Tensor, across: Tensor) -> Tensor:
    total, weights = image.clone(), torch.ones_like(image[:, :1])
    for way in (across, -across):
        there = warped(image, way, "bilinear")
        near = _alike(image, there, _ACROSS_COLOUR) * math.exp(-0.5 / _ACROSS_PX**2)
        total.addcmul_(near, there)
        weights.add_(near)
    return total.div_(weights)


def _averaged_along(image: Tensor, along: Tensor, clearness: Tensor) -> Tensor:
    """Walk along the stroke from every pixel, both ways."""
    decay = -0.5 / (_ALONG_PX * clearness).clamp_(min=_SHORTEST_PX).square()
    total, weights = image.clone(), torch.ones_like(image[:, :1])
    for start in (along, -along):
        way = heading = start
        for distance in range(1, _REACH_PX + 1):
            there = warped(image, way, "bilinear")
            near = _alike(image, there, _ALONG_COLOUR).mul_(torch.exp(decay * distance**2))
            total.addcmul_(near, there)
            weights.add_(near)
            onward = warped(along, way, "nearest")
            turned = (onward * heading).sum(1, keepdim=True) < 0
            heading = torch.where(turned, -onward, onward)
            way = way + heading
    return total.div_(weights)


def _sharpened(image: Tensor, across: Tensor) -> Tensor:
    """Sharpen across the strokes, but never beyond the colours on either side."""
    one, other = (warped(image, way, "bilinear") for way in (across, -across))
    sharp = image - _SHARPENING * (one + other - 2 * image)
    lowest = torch.minimum(torch.minimum(one, other), image)
    return sharp.clamp_(lowest, torch.maximum(torch.maximum(one, other), image))


def _alike(one: Tensor, other: Tensor, deviation: float) -> Tensor:
    difference = (one - other).abs_().sum(1, keepdim=True)
    return difference.square_().mul_(-0.5 / deviation**2).exp_()
