"""Styles for regions of the picture: guided moments.

The style loss of a region reads the weighted sums ``Σ w F`` and ``Σ w F Fᵀ``. The weights are the
region's mask at the layer. Divided by ``Σ w``, the sums are the moments of the activations in the
region. So one objective can contain several regions, each with its own style.

Reference:
    Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017), §4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Self

import torch
from torch import Tensor

from stylize.losses.loss import FeatureLoss
from stylize.losses.statistics import Moments, MomentSums, by_position
from stylize.losses.style import StyleLoss, StyleLossKind
from stylize.networks.architecture import Rect
from stylize.networks.vgg import exact

# Number of positions whose weighted activations are in memory at a time.
_CHUNK = 1 << 16


class RegionLoss(FeatureLoss):
    """A style loss on the activations of one region.

    Args:
        inner: any loss on moments.
        mask: ``(1, 1, h, w)`` weights in [0, 1] of all positions of the layer, not all 0.
        name: of the region, for logs and events.
        weight: factor in the total, instead of the inner term's.
    """

    def __init__(self, inner: StyleLoss, mask: Tensor, name: str, weight: float) -> None:
        super().__init__(f"{inner.name} in {name}", inner.layer, weight)
        self._inner = inner
        self._amount = float(mask.double().sum())
        self._show(mask)

    def crop(self, rect: Rect) -> Self:
        part = copy(self)
        part._show(rect.of(self._mask))
        return part

    def statistics(self, features: Tensor) -> MomentSums:
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

    def value(self, sums: MomentSums, positions: float) -> Tensor:
        """Value of the inner loss for the region's own number of positions."""
        return self._inner.value(sums, self._amount)

    def value_and_slope(self, sums: MomentSums, positions: float) -> tuple[Tensor, MomentSums]:
        return self._inner.value_and_slope(sums, self._amount)

    def feature_gradient(self, features: Tensor, slope: MomentSums) -> Tensor:
        """The gradient of the inner loss times the mask; 0 outside the region."""
        rows = by_position(exact(features))
        gradient = torch.zeros_like(rows)
        for index in torch.split(self._places, _CHUNK):
            chosen = rows[index].T[None, :, None]
            found = self._inner.feature_gradient(chosen, slope)
            gradient[index] = by_position(found) * self._weights(index, features)
        _, channels, height, width = features.shape
        return gradient.view(1, height, width, channels).permute(0, 3, 1, 2)

    def _show(self, mask: Tensor) -> None:
        """Set the mask of the visible positions."""
        self._mask = mask
        self._places = mask.flatten().nonzero()[:, 0]

    def _weights(self, index: Tensor, like: Tensor) -> Tensor:
        return self._mask.flatten()[index, None].to(like.dtype)


def region_losses(
    kind: StyleLossKind,
    layer: str,
    targets: Mapping[str, Moments],
    masks: Mapping[str, Tensor],
    weight: float,
) -> list[RegionLoss]:
    """One loss per region, with a share of the weight in proportion to its area.

    Every position then counts the same, and the balance of style and content is the same as without
    regions.

    Args:
        kind: the kind of loss.
        layer: the layer that the losses read.
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


def confined(
    losses: Iterable[StyleLoss], masks: Mapping[str, Tensor], name: str
) -> list[FeatureLoss]:
    """Confine style losses of some layers to a part of the picture.

    Each position there counts as much as before. A layer whose mask is empty loses its loss.

    Args:
        losses: of the whole picture.
        masks: ``(1, 1, h, w)`` weights in [0, 1] by layer; a layer without one is read everywhere.
        name: of the part, for logs and events.
    """
    found: list[FeatureLoss] = []
    for loss in losses:
        if loss.layer not in masks:
            found.append(loss)
        elif masks[loss.layer].any():
            mask = masks[loss.layer]
            found.append(RegionLoss(loss, mask, name, loss.weight * float(mask.mean())))
    return found
