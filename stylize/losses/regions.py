"""Styles that apply to parts of the picture only: guided moments.

A region's style term reads weighted sums, ``Σ w F`` and ``Σ w F Fᵀ``, with the region's mask at
the layer as weights; divided by ``Σ w`` they are the moments of the activations there. So several
regions, each with a style of its own, are terms of one objective.

Reference:
    Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017), §4.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import torch
from torch import Tensor

from stylize.losses.statistics import Moments, Sums, by_position
from stylize.losses.style import StyleLoss
from stylize.networks.architecture import Rect
from stylize.networks.vgg import exact

# Positions whose weighted activations are held in memory at a time.
_CHUNK = 1 << 16


class RegionLoss:
    """A style term on the activations of one region.

    Args:
        inner: what is wanted there: any term on moments.
        mask: ``(1, 1, h, w)`` weights in [0, 1] of all positions of the layer, not all 0.
        name: of the region, for logs and events.
        weight: factor in the total, instead of the inner term's.
    """

    local = False

    def __init__(self, inner: StyleLoss, mask: Tensor, name: str, weight: float) -> None:
        self.name = f"{inner.name} in {name}"
        self.layer = inner.layer
        self.weight = weight
        self._inner = inner
        self._amount = float(mask.double().sum())
        self._show(mask)

    def at(self, region: Rect) -> RegionLoss:
        """The term with the mask's part there."""
        part = copy(self)
        rows = slice(region.top, region.top + region.height)
        part._show(self._mask[..., rows, region.left : region.left + region.width])
        return part

    def sums(self, features: Tensor) -> Sums:
        """``Σ w F`` and ``Σ w F Fᵀ``."""
        rows = by_position(exact(features))
        total = rows.new_zeros(rows.shape[1])
        products = rows.new_zeros(rows.shape[1], rows.shape[1])
        for index in torch.split(self._places, _CHUNK):
            chosen = rows[index]
            weighted = chosen * self._weights(index, features)
            total += weighted.sum(0)
            products.addmm_(weighted.T, chosen)
        return total, products

    def evaluate(self, sums: Sums, positions: int) -> tuple[Tensor, Tensor | Sums]:
        """Value of the inner term for the region's own number of positions, and its slope."""
        return self._inner.evaluate(sums, self._amount)

    def seed(self, features: Tensor, slope: Tensor | Sums) -> Tensor:
        """The inner term's, times the mask; 0 outside the region."""
        rows = by_position(exact(features))
        seeds = torch.zeros_like(rows)
        for index in torch.split(self._places, _CHUNK):
            chosen = rows[index].T[None, :, None]
            found = self._inner.seed(chosen, slope)  # type: ignore[arg-type]
            seeds[index] = by_position(found) * self._weights(index, features)
        _, channels, height, width = features.shape
        return seeds.view(1, height, width, channels).permute(0, 3, 1, 2)

    def _show(self, mask: Tensor) -> None:
        """Take a mask for the positions that are to be seen."""
        self._mask = mask
        self._places = mask.flatten().nonzero()[:, 0]

    def _weights(self, index: Tensor, like: Tensor) -> Tensor:
        return self._mask.flatten()[index, None].to(like.dtype)


def region_losses(
    kind: type[StyleLoss],
    layer: str,
    targets: Mapping[str, Moments],
    masks: Mapping[str, Tensor],
    weight: float,
) -> list[RegionLoss]:
    """One term a region, each with the part of the weight that its area is of all of them.

    So every position has the same say, and the balance of style and content is that of a transfer
    without regions.

    Args:
        kind: of the terms.
        layer: which they read.
        targets: moments of each region's style at the layer, by the region's name.
        masks: ``(1, 1, h, w)`` of each region at the layer, see :func:`mask_at`.
        weight: of the layer in the total.
    """
    amounts = {name: float(masks[name].double().sum()) for name in targets}
    total = sum(amounts.values())
    return [
        RegionLoss(
            kind(layer, target, 1.0),
            masks[name].to(target.mean.device),
            name,
            weight * amounts[name] / total,
        )
        for name, target in targets.items()
    ]


def moments_inside(features: Tensor, mask: Tensor) -> Moments:
    """Moments of the activations of a part of a style picture.

    Args:
        features: ``(1, C, h, w)``.
        mask: ``(1, 1, h, w)`` weights, not all 0.
    """
    rows = by_position(features.float())
    weights = mask.flatten()[:, None].to(rows)
    amount = weights.sum()
    return Moments((rows * weights).sum(0) / amount, (rows * weights).T @ rows / amount)
