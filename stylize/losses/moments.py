"""Mean and covariance of activations."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.losses.loss import FeatureLoss
from stylize.losses.statistics import Moments, MomentSums, linear_gradient, sums_of


class MomentsLoss(FeatureLoss):
    """Relative squared distances of covariance and mean, ``|C−C*|²/|C*|² + |μ−μ*|²/|μ*|²``.

    Args:
        layer: the activations it reads.
        target: moments of the style at that layer.
        weight: factor in the total.

    Note:
        A Gram matrix is the covariance plus the outer product of the mean, so a shifted mean can
        make up for missing contrast. This causes washed-out areas and a veil over the photo (Risser
        et al., arXiv:1701.08893). Comparing both separately prevents it, at no cost: both follow
        from the same two sums.
    """

    # A style without any contrast has a covariance of rounding errors only. This share of the
    # squared mean's norm keeps the quotient finite there and is negligible elsewhere.
    _FLAT = 1e-3

    def __init__(self, layer: str, target: Moments, weight: float) -> None:
        super().__init__(f"style {layer}", layer, weight)
        self._mean = target.mean
        self._covariance = target.covariance
        tiny = torch.finfo(torch.float32).tiny
        energy = target.mean.square().sum().clamp_min(tiny**0.5)
        self._mean_scale = 1 / energy
        self._covariance_scale = 1 / torch.maximum(
            self._covariance.square().sum(), (self._FLAT * energy).square()
        ).clamp_min(tiny)

    def statistics(self, features: Tensor) -> MomentSums:
        """Sum of activations and of their outer products."""
        return sums_of(features)

    def value(self, sums: MomentSums, positions: float) -> Tensor:
        mean, second = sums[0] / positions, sums[1] / positions
        difference = second - torch.outer(mean, mean) - self._covariance
        return (
            difference.square().sum() * self._covariance_scale
            + (mean - self._mean).square().sum() * self._mean_scale
        )

    def value_and_slope(self, sums: MomentSums, positions: float) -> tuple[Tensor, MomentSums]:
        mean, second = sums[0] / positions, sums[1] / positions
        shift = mean - self._mean
        difference = second - torch.outer(mean, mean) - self._covariance
        value = (
            difference.square().sum() * self._covariance_scale
            + shift.square().sum() * self._mean_scale
        )
        by_second = difference * (2 * self._covariance_scale)
        # C depends on the mean as −μμᵀ.
        by_mean = shift * (2 * self._mean_scale) - 2 * (by_second @ mean)
        return value, (by_mean / positions, by_second / positions)

    def feature_gradient(self, features: Tensor, slope: MomentSums) -> Tensor:
        """``∂L/∂ΣF + 2 (∂L/∂ΣFFᵀ) F`` at every position."""
        return linear_gradient(features, *slope)
