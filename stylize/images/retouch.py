"""Redraw the finest detail of a painting with pieces of its style image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.images.blur import blur

# The side of a patch in px; patches of the painting are two pixels apart.
_PATCH_PX, _STEP_PX = 7, 2

# How much the pixels of a patch count: a bell of this standard deviation in px.
_BELL_PX = 1.4

# So many patches of a style image are enough, and so many principal components tell them apart.
_MOST_PATCHES, _COMPONENTS = 15_000, 16

# Coarser than this, in px, the painting keeps its own light and colours.
_KEPT_PX = 1.5

# The contrast of the painting is measured over this distance in px, and restored up to this factor.
_CONTRAST_PX, _MOST_GAIN = 3.0, 1.6

# Distances are computed for so many patches at once, so that they stay in the processor's cache.
_AT_ONCE = 64

# The painting is redrawn in bands of so many rows of patches.
_BAND_ROWS = 32


class Strokes(NamedTuple):
    """The patches of style images.

    Attributes:
        patches: ``(N, 147)``, the colours of 7×7 px.
        looks: ``(N, 16)``, their principal components, the middle counting most.
        axes: ``(147, 16)``, which give these components.
    """

    patches: Tensor
    looks: Tensor
    axes: Tensor

    def to(self, device: torch.device) -> Strokes:
        """The same patches on a device."""
        return Strokes(*(tensor.to(device) for tensor in self))


def strokes_of(styles: Sequence[Tensor]) -> Strokes:
    """Take the patches of style images.

    Args:
        styles: at least one, each ``(1, 3, H, W)`` in [0, 1]; no side below 7 px.
    """
    most = _MOST_PATCHES / len(styles)
    patches = torch.cat(
        [
            F.unfold(style, _PATCH_PX, stride=max(2, math.ceil(math.sqrt(pixels / most))))[0].T
            for style in styles
            for pixels in [style.shape[2] * style.shape[3]]
        ]
    )
    counts = _counts(patches.device).sqrt()
    weighted = patches * counts
    axes = torch.linalg.eigh(torch.cov(weighted.T)).eigenvectors[:, -_COMPONENTS:]
    return Strokes(patches, weighted @ axes, counts[:, None] * axes)


@torch.no_grad()
def retouched(painting: Tensor, strokes: Strokes, amount: float) -> Tensor:
    """Redraw the finest detail of a painting with the most similar patches of a style image.

    What the network leaves between the strokes goes: grids, speckles, fringes and stray colours.
    Light, shapes and contrast of the painting stay.

    Args:
        painting: ``(1, 3, H, W)`` in [0, 1].
        strokes: on the same device.
        amount: 0 changes nothing, 1 redraws all of the finest detail.

    Returns:
        A picture of that shape in [0, 1].

    Reference:
        Kwatra et al., "Texture optimization for example-based synthesis" (SIGGRAPH 2005), for the
        averaging of the nearest patches.
    """
    if not amount:
        return painting
    drawn = _redrawn(painting, strokes)
    drawn += blur(painting - drawn, _KEPT_PX)
    gain = (_contrast(painting) / _contrast(drawn)).clamp_(1, _MOST_GAIN)
    coarse = blur(drawn, _CONTRAST_PX)
    drawn = torch.addcmul(coarse, drawn - coarse, blur(gain, _KEPT_PX)).clamp_(0, 1)
    return torch.lerp(painting, drawn, amount)


def _redrawn(painting: Tensor, strokes: Strokes) -> Tensor:
    """The average of the patches that are nearest to those of the painting."""
    height, width = painting.shape[2:]
    down, across = (
        _PATCH_PX - side if side < _PATCH_PX else (side - _PATCH_PX) % _STEP_PX
        for side in (height, width)
    )
    padded = F.pad(painting, (0, across, 0, down), mode="replicate")
    counts = _counts(painting.device)
    found = torch.zeros_like(padded)
    last = padded.shape[2] - _PATCH_PX
    for first in range(0, last + 1, _STEP_PX * _BAND_ROWS):
        rows = min(_STEP_PX * (_BAND_ROWS - 1), last - first) + _PATCH_PX
        band = slice(first, first + rows)
        wanted = F.unfold(padded[:, :, band], _PATCH_PX, stride=_STEP_PX)[0].T
        chosen = strokes.patches[_nearest(wanted, strokes)] * counts
        size = (rows, padded.shape[3])
        found[:, :, band] += F.fold(chosen.T[None], size, _PATCH_PX, stride=_STEP_PX)
    laid = torch.outer(*(_laid(side, painting.device) for side in padded.shape[2:]))
    return found.div_(laid)[..., :height, :width]


def _laid(side: int, device: torch.device) -> Tensor:
    """How much the patches count in all along a side, for each pixel."""
    bell = _bell(device)
    patches = bell.new_ones(1, 1, (side - _PATCH_PX) // _STEP_PX + 1)
    return F.conv_transpose1d(patches, bell.view(1, 1, -1), stride=_STEP_PX).flatten()


def _nearest(wanted: Tensor, strokes: Strokes) -> Tensor:
    """For each of the wanted patches, ``(N, 147)``, the index of the most similar one."""
    halves, towards = strokes.looks.square().sum(1) / 2, strokes.looks.T.contiguous()
    room = torch.empty(_AT_ONCE, len(halves), dtype=torch.float32, device=wanted.device)
    found = []
    for looks in torch.split(wanted @ strokes.axes, _AT_ONCE):
        distances = room[: len(looks)]
        torch.addmm(halves, looks, towards, alpha=-1, out=distances)
        found.append(distances.argmin(1))
    return torch.cat(found)


def _contrast(image: Tensor) -> Tensor:
    """The standard deviation around each pixel, over all channels, ``(1, 1, H, W)``."""
    squares = (image - blur(image, _CONTRAST_PX)).square_().sum(1, keepdim=True)
    return blur(squares, _CONTRAST_PX).add_(1e-6).sqrt_()


def _bell(device: torch.device) -> Tensor:
    places = torch.arange(_PATCH_PX, dtype=torch.float32, device=device) - _PATCH_PX // 2
    return torch.exp(-0.5 * (places / _BELL_PX).square())


def _counts(device: torch.device) -> Tensor:
    """How much each of the 147 values of a patch counts."""
    line = _bell(device)
    return torch.outer(line, line).flatten().repeat(3)
