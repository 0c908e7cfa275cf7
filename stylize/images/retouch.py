"""Redraw the finest detail of a painting with pieces of its style image."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.images.blur import blur
from stylize.images.strips import in_strips

# The side of a patch in px; patches of the painting are two pixels apart.
_PATCH_PX, _STEP_PX = 7, 2

# Standard deviation in px of the Gaussian that weights the pixels of a patch.
_SIGMA_PX = 1.4

# So many patches of style images are enough, and so many principal components tell them apart.
_MOST_PATCHES, _COMPONENTS = 15_000, 16

# Coarser than this, in px, the painting keeps its own light and colours.
_KEPT_PX = 1.5

# The contrast of the painting is measured over this distance in px, and restored up to this factor.
_CONTRAST_PX, _MOST_GAIN = 3.0, 1.6

# Patches per matrix product: the distances fit into the processor's cache.
_CHUNK_PATCHES = 64

# The painting is redrawn in bands of so many rows of patches.
_BAND_ROWS = 32

# Light and contrast are restored in strips of so many rows of pixels; each row depends on so many
# above and below.
_STRIP_ROWS, _HALO_ROWS = 256, 28


class Patches(NamedTuple):
    """The patches of style images.

    Attributes:
        pixels: ``(N, 147)``, the colours of 7×7 px.
        components: ``(16, N)``, their principal components.
        halves: ``(N,)``, half of the squared length of these.
        axes: ``(147, 16)``, projects a patch onto these components.
    """

    pixels: Tensor
    components: Tensor
    halves: Tensor
    axes: Tensor

    def to(self, device: torch.device) -> Patches:
        """The same patches on a device."""
        return Patches(*(tensor.to(device) for tensor in self))


def patches_of(styles: Iterable[tuple[Tensor, float]]) -> Patches:
    """Take patches of style images, evenly spaced.

    Args:
        styles: at least one picture, ``(1, 3, H, W)`` in [0, 1] with no side below 7 px, and its
            share of the patches; the shares add up to one.
    """
    pixels = torch.cat([_sampled(style, share * _MOST_PATCHES) for style, share in styles])
    weights = _pixel_weights(pixels.device).sqrt()
    weighted = pixels * weights
    axes = torch.linalg.eigh(torch.cov(weighted.T)).eigenvectors[:, -_COMPONENTS:]
    components = (weighted @ axes).T.contiguous()
    halves = components.square().sum(0) / 2
    return Patches(pixels, components, halves, weights[:, None] * axes)


def _sampled(style: Tensor, most: float) -> Tensor:
    step = math.ceil(math.sqrt(style.shape[2] * style.shape[3] / most))
    return F.unfold(style, _PATCH_PX, stride=max(2, step))[0].T


@torch.no_grad()
def retouched(painting: Tensor, patches: Patches, amount: float) -> Tensor:
    """Redraw the finest detail of a painting with the most similar patches of a style image.

    This removes what networks leave between the strokes: grids, speckles, fringes and stray
    colours. Light, shapes and contrast of the painting stay.

    Args:
        painting: ``(1, 3, H, W)`` in [0, 1].
        patches: on the same device.
        amount: 0 changes nothing, 1 redraws all of the finest detail.

    Returns:
        A picture of that shape in [0, 1].

    Reference:
        Kwatra et al., "Texture optimization for example-based synthesis" (SIGGRAPH 2005), for the
        averaging of the nearest patches.
    """
    if not amount:
        return painting
    balanced = partial(_balanced, amount=amount)
    drawn = _redrawn(painting, patches)
    return in_strips(balanced, painting, drawn, rows=_STRIP_ROWS, halo=_HALO_ROWS)


def _balanced(painting: Tensor, drawn: Tensor, amount: float) -> Tensor:
    """A share of what is drawn, with the coarser colours and the contrast of the painting."""
    drawn = drawn + blur(painting - drawn, _KEPT_PX)
    gain = (_contrast(painting) / _contrast(drawn)).clamp_(1, _MOST_GAIN)
    coarse = blur(drawn, _CONTRAST_PX)
    drawn = torch.addcmul(coarse, drawn - coarse, blur(gain, _KEPT_PX)).clamp_(0, 1)
    return torch.lerp(painting, drawn, amount)


def _redrawn(painting: Tensor, patches: Patches) -> Tensor:
    """The average of the patches that are nearest to those of the painting."""
    height, width = painting.shape[2:]
    down, across = (
        _PATCH_PX - side if side < _PATCH_PX else (side - _PATCH_PX) % _STEP_PX
        for side in (height, width)
    )
    padded = painting
    if down or across:
        padded = F.pad(painting, (0, across, 0, down), mode="replicate")
    weights = _pixel_weights(painting.device)
    found = torch.zeros_like(padded)
    last = padded.shape[2] - _PATCH_PX
    for first in range(0, last + 1, _STEP_PX * _BAND_ROWS):
        rows = min(_STEP_PX * (_BAND_ROWS - 1), last - first) + _PATCH_PX
        band = slice(first, first + rows)
        wanted = F.unfold(padded[:, :, band], _PATCH_PX, stride=_STEP_PX)[0].T
        chosen = patches.pixels[_nearest(wanted, patches)] * weights
        size = (rows, padded.shape[3])
        found[:, :, band] += F.fold(chosen.T[None], size, _PATCH_PX, stride=_STEP_PX)
    sums = torch.outer(*(_weight_sums(side, painting.device) for side in padded.shape[2:]))
    return found.div_(sums)[..., :height, :width]


def _nearest(wanted: Tensor, patches: Patches) -> Tensor:
    """For each of the wanted patches, ``(N, 147)``, the index of the most similar one."""
    room = wanted.new_empty(_CHUNK_PATCHES, len(patches.halves))
    found = []
    for part in torch.split(wanted @ patches.axes, _CHUNK_PATCHES):
        distances = room[: len(part)]
        torch.addmm(patches.halves, part, patches.components, alpha=-1, out=distances)
        found.append(distances.argmin(1))
    return torch.cat(found)


def _contrast(image: Tensor) -> Tensor:
    """The standard deviation around each pixel, over all channels, ``(1, 1, H, W)``."""
    squares = (image - blur(image, _CONTRAST_PX)).square_().sum(1, keepdim=True)
    return blur(squares, _CONTRAST_PX).add_(1e-6).sqrt_()


def _gaussian(device: torch.device) -> Tensor:
    places = torch.arange(_PATCH_PX, dtype=torch.float32, device=device) - _PATCH_PX // 2
    return torch.exp(-0.5 * (places / _SIGMA_PX).square())


def _pixel_weights(device: torch.device) -> Tensor:
    """How much each of the 147 values of a patch counts."""
    line = _gaussian(device)
    return torch.outer(line, line).flatten().repeat(3)


def _weight_sums(side: int, device: torch.device) -> Tensor:
    """How much all patches count along a side, for each pixel."""
    line = _gaussian(device)
    patches = line.new_ones(1, 1, (side - _PATCH_PX) // _STEP_PX + 1)
    return F.conv_transpose1d(patches, line.view(1, 1, -1), stride=_STEP_PX).flatten()
