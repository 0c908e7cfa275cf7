"""Gram matrices, after Gatys, Ecker and Bethge (CVPR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.losses.statistics import Moments, Sums, _like, by_position, sums_of
from stylize.networks.architecture import Rect


class GramLoss:
    """Relative squared distance of Gram matrices, ``|G − G*|² / |G*|²``.

    Args:
        layer: the activations it reads.
        target: moments of the style at that layer.
        weight: factor in the total.

    Note:
        Gatys et al. divide by ``4 N² M²`` (channels, positions), which leaves the loss to vary
        by orders of magnitude between styles, layers and sizes. Divided by the target's own
        norm it is the fraction of the style that is missing, everywhere.
    """

    local = False

    def __init__(self, layer: str, target: Moments, weight: float) -> None:
        self.name = f"style {layer}"
        self.layer = layer
        self.weight = weight
        self._target = target.second
        self._scale = 1 / target.second.square().sum().clamp_min(torch.finfo(torch.float32).tiny)

    def at(self, region: Rect) -> GramLoss:
        """The term itself: all positions are alike."""
        return self

    def sums(self, features: Tensor) -> Sums:
        """Sum of activations and of their outer products."""
        return sums_of(features)

    def evaluate(self, sums: Sums, positions: float) -> tuple[Tensor, Tensor]:
        """Value, and its slope with respect to ``Σ F Fᵀ``."""
        difference = sums[1] / positions - self._target
        value = difference.square().sum() * self._scale
        return value, difference * (2 * self._scale / positions)

    def seed(self, features: Tensor, slope: Tensor) -> Tensor:
        """``2 (∂L/∂ΣFFᵀ) F``: the slope is symmetric."""
        rows = by_position(features)
        return _like(rows @ (2 * slope).to(rows.dtype), features)
