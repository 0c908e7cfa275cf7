"""Gram matrices, after Gatys, Ecker and Bethge (CVPR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.losses.loss import FeatureLoss
from stylize.losses.statistics import Moments, MomentSums, as_features, by_position, sums_of


class GramLoss(FeatureLoss):
    """Relative squared distance of Gram matrices, ``|G − G*|² / |G*|²``.

    Args:
        layer: the activations it reads.
        target: moments of the style at that layer.
        weight: factor in the total.

    Note:
        Gatys et al. divide by ``4 N² M²`` (channels, positions), and the loss varies by orders of
        magnitude between styles, layers and sizes. Divided by the target's own norm, it is always
        the fraction of the style that is missing.
    """

    def __init__(self, layer: str, target: Moments, weight: float) -> None:
        super().__init__(f"style {layer}", layer, weight)
        self._target = target.second
        self._scale = 1 / target.second.square().sum().clamp_min(torch.finfo(torch.float32).tiny)

    def statistics(self, features: Tensor) -> MomentSums:
        """Sum of activations and of their outer products."""
        return sums_of(features)

    def value(self, sums: MomentSums, positions: float) -> Tensor:
        return (sums[1] / positions - self._target).square().sum() * self._scale

    def value_and_slope(self, sums: MomentSums, positions: float) -> tuple[Tensor, MomentSums]:
        difference = sums[1] / positions - self._target
        value = difference.square().sum() * self._scale
        slope = difference * (2 * self._scale / positions)
        return value, (torch.zeros_like(sums[0]), slope)

    def feature_gradient(self, features: Tensor, slope: MomentSums) -> Tensor:
        """``2 (∂L/∂ΣFFᵀ) F``, because the slope is symmetric."""
        rows = by_position(features)
        return as_features(rows @ (2 * slope[1]).to(rows.dtype), features)
