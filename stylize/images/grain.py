"""Give a painting the grain of its style image: the tooth of paper or canvas, and dry paint."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.images.clarity import clarified

# The side of a patch of grain in px; patches overlap by half.
_PATCH_PX = 16
_STEP_PX = _PATCH_PX // 2

# So many patches of a style image are enough.
_MOST_PATCHES = 4096

# A patch is chosen at random among those that fit best, so that none is seen repeatedly: at most so
# many, and none that fits worse than the best by more than this distance of looks.
_CHOICES, _TOLERANCE = 64, 0.02

# Looks of the painting are rounded to so many levels. Otherwise, rounding errors of the network
# would choose other patches.
_LEVELS = 64

# How much the contrast of a patch (standard deviation) matters where its colour counts 1.
_CONTRAST_WEIGHT = 2.0

# Up to the first contrast, the grain shows in full; from the second on, not at all.
_CALM, _BUSY = 0.05, 0.1


class Grain(NamedTuple):
    """The grain of a style image, in patches.

    Attributes:
        patches: ``(N, 3, 16, 16)``, differences from the picture without grain, mean 0.
        looks: ``(N, 4)``, mean colour and contrast of that picture in each patch.
    """

    patches: Tensor
    looks: Tensor


def grain_of(style: Tensor) -> Grain:
    """Take the grain of a style image.

    Args:
        style: ``(1, 3, H, W)`` in [0, 1]; no side below 16 px.
    """
    height, width = style.shape[2:]
    step = max(1, math.ceil(math.sqrt(height * width / _MOST_PATCHES)))
    clean = clarified(style, 1.0, sharpening=0.0)
    grain = _patches(style - clean, step)
    return Grain(grain - grain.mean((2, 3), keepdim=True), _looks(_patches(clean, step)))


def with_grain(painting: Tensor, grain: Grain, amount: float) -> Tensor:
    """Lay the grain of a style image over a painting.

    Each patch comes from a place of the style image with a similar colour and contrast. Where the
    painting is busy, there is none.

    Args:
        painting: ``(1, 3, H, W)`` in [0, 1].
        grain: on the same device.
        amount: 0 changes nothing, 1 is as strong as in the style image.

    Returns:
        A picture of that shape in [0, 1].

    Reference:
        Efros and Freeman, "Image quilting for texture synthesis and transfer" (SIGGRAPH 2001), for
        the choice of patches; Heitz and Neyret, "High-performance by-example noise using a
        histogram-preserving blending operator" (HPG 2018), for overlaps that keep the contrast.
    """
    height, width = painting.shape[2:]
    down, across = -height % _STEP_PX, -width % _STEP_PX
    padding = (_STEP_PX, _STEP_PX + across, _STEP_PX, _STEP_PX + down)
    padded = F.pad(painting, padding, mode="replicate")
    rows, columns = padded.shape[2] // _STEP_PX - 1, padded.shape[3] // _STEP_PX - 1
    generator = torch.Generator().manual_seed(0)
    lots = torch.rand(rows, columns, generator=generator, dtype=torch.float32)
    lots = lots.to(painting.device)
    line = torch.hann_window(_PATCH_PX, dtype=torch.float32, device=painting.device)
    window = torch.outer(line, line)
    laid = torch.zeros_like(padded)
    for row in range(rows):
        band = slice(row * _STEP_PX, row * _STEP_PX + _PATCH_PX)
        looks = _looks(_patches(padded[:, :, band], _STEP_PX))
        chosen = grain.patches[_fitting(looks, grain.looks, lots[row])]
        calm = ((_BUSY - looks[:, 3] / _CONTRAST_WEIGHT) / (_BUSY - _CALM)).clamp(0, 1)
        shown = (chosen * window * calm[:, None, None, None]).flatten(1).T
        size = (_PATCH_PX, padded.shape[3])
        laid[:, :, band] += F.fold(shown[None], size, _PATCH_PX, stride=_STEP_PX)
    # Independent patches of deviation s add up to s times the root of the squared windows' sum.
    squares = line[:_STEP_PX].square() + line[_STEP_PX:].square()
    overlap = torch.outer(squares, squares).sqrt()
    laid /= overlap.repeat(rows + 1, columns + 1)
    inner = laid[..., _STEP_PX : _STEP_PX + height, _STEP_PX : _STEP_PX + width]
    return torch.add(painting, inner, alpha=amount).clamp_(0, 1)


def _fitting(wanted: Tensor, looks: Tensor, lots: Tensor) -> Tensor:
    """For each wanted look, the index of one that fits, drawn by its lot in [0, 1)."""
    distances = torch.cdist((wanted * _LEVELS).round() / _LEVELS, looks)
    nearest = distances.topk(min(_CHOICES, len(looks)), largest=False)
    fitting = (nearest.values <= nearest.values[:, :1] + _TOLERANCE).sum(1)
    return nearest.indices.gather(1, (lots * fitting).long()[:, None])[:, 0]


def _patches(image: Tensor, step: int) -> Tensor:
    """``(N, 3, 16, 16)``, a step apart."""
    found = F.unfold(image, _PATCH_PX, stride=step)[0].T
    return found.reshape(-1, image.shape[1], _PATCH_PX, _PATCH_PX)


def _looks(patches: Tensor) -> Tensor:
    contrast = patches.std((2, 3)).mean(1, keepdim=True)
    return torch.cat([patches.mean((2, 3)), _CONTRAST_WEIGHT * contrast], 1)
