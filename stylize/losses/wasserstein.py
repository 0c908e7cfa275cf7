"""Wasserstein-2 distance of Gaussian distributions of activations."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.losses.loss import FeatureLoss
from stylize.losses.statistics import Moments, MomentSums, linear_gradient, sums_of

# Layers with at most this many channels compare all directions. The faint ones of shallow layers
# hold the purity of colours and the flatness of areas, which the eye sees at once.
_MOST_WHOLE = 256

# Both distributions are blurred by this share of the target's mean variance per direction. Without
# the blur, the distance has an infinite slope in every direction without variance. Deep layers have
# fewer positions than channels, so most of their directions have none. A stronger blur (1e-2) hides
# faint directions: colours become mottled.
_BLUR = 1e-4


class Bures:
    """Squared distance of covariances from a target, ``tr C + tr C* − 2 tr (C*^½ C C*^½)^½``.

    It is the Wasserstein-2 distance between Gaussian distributions of equal mean.

    Args:
        target: ``(C, C)`` covariance.
        share: of the target's variance that is compared direction by direction, in (0, 1], if there
            are more than 256 channels. The rest counts as one amount: all 512 directions of a deep
            layer take ten times as long as the 160 with 95 % of the variance.

    Note:
        The distance is exact in the span of the target's leading directions, which are all
        directions of a layer with at most 256 channels. In the remaining
        directions, both distributions count as round: ``(√tr C − √tr C*)²``. The algebra runs on
        the CPU in double precision, because an inverse square root needs it and not every device
        has it. The matrices are small.

    Reference:
        Bhatia, Jain and Lim, "On the Bures-Wasserstein distance between positive definite
        matrices" (Expositiones Mathematicae 2019).
    """

    def __init__(self, target: Tensor, share: float = 1.0) -> None:
        exact = target.detach().cpu().double()
        values, vectors = torch.linalg.eigh((exact + exact.T) / 2)
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
        total = values.sum()
        kept = len(values)
        if kept > _MOST_WHOLE:
            held = values > float(values[0]) * kept * torch.finfo(torch.float32).eps
            wanted = 1 + int((values.cumsum(0) < share * total).sum())
            # The features were float32: what is smaller is rounding, in any number of directions.
            kept = max(1, min(kept, wanted, int(held.sum())))
        self._axes = vectors[:, :kept]
        # For a target without any variance: far below the square of any activation.
        self._blur = max(_BLUR * float(total) / len(values), torch.finfo(torch.float32).tiny)
        self._roots = (values[:kept] + self._blur).sqrt()
        self._rest_blur = self._blur * (len(values) - kept)
        self._rest = float(values[kept:].sum()) + self._rest_blur

    def __call__(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distance, and its symmetric slope with respect to the covariance.

        Args:
            covariance: ``(C, C)``, symmetric, on any device.

        Returns:
            A scalar and ``(C, C)``, of the covariance's type and on its device; NaN if the
            covariance is not finite.
        """
        exact = covariance.detach().cpu().double()
        if not torch.isfinite(exact).all():
            return covariance.sum() * torch.nan, covariance * torch.nan
        inner = self._axes.T @ exact @ self._axes
        value, slope = self._leading(inner)
        distance, share = self._remaining(exact.trace() - inner.trace())
        # The slope of the other directions; its part in the leading directions is subtracted.
        slope.diagonal().sub_(share)
        whole = self._axes @ slope @ self._axes.T
        whole.diagonal().add_(share)
        return (value + distance).to(covariance), whole.to(covariance)

    def distance(self, covariance: Tensor) -> Tensor:
        """The squared distance alone, differentiable by autograd."""
        exact = covariance.cpu().double()
        inner = self._axes.T @ exact @ self._axes
        value = self._leading(inner)[0] + self._remaining(exact.trace() - inner.trace())[0]
        return value.to(covariance)

    def _leading(self, inner: Tensor) -> tuple[Tensor, Tensor]:
        """The same in the span of the target's leading axes, where the target is diagonal."""
        blurred = (inner + inner.T) / 2
        blurred.diagonal().add_(self._blur)
        values, vectors = torch.linalg.eigh(self._roots[:, None] * blurred * self._roots)
        # After the blur none is smaller, except by the rounding of a covariance.
        values = values.clamp_min(self._blur**2)
        value = blurred.trace() + self._roots.square().sum() - 2 * values.sqrt().sum()
        turned = self._roots[:, None] * vectors
        slope = torch.eye(len(values), dtype=values.dtype) - (turned / values.sqrt()) @ turned.T
        return value.clamp_min(0), slope

    def _remaining(self, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of the amount of variance in all other directions, and its slope."""
        if not self._rest_blur:
            return torch.zeros_like(variance), torch.zeros_like(variance)
        blurred = variance.clamp_min(0) + self._rest_blur
        return (blurred.sqrt() - self._rest**0.5).square(), 1 - (self._rest / blurred).sqrt()


class WassersteinLoss(FeatureLoss):
    """Wasserstein-2 distance of Gaussian distributions, relative to the target's size.

    ``(|μ−μ*|² + tr C + tr C* − 2 tr (C*^½ C C*^½)^½) / (|μ*|² + tr C*)``: how far activations must
    move to be distributed like those of the style, relative to the distance of the style's from
    zero. It is 1 for a picture without any activation.

    Args:
        layer: the activations it reads.
        target: moments of the style at that layer.
        weight: factor in the total.
        share: of the variance that is compared direction by direction, see :class:`Bures`.

    Note:
        This is a distance in activations; :class:`MomentsLoss` is a distance in their squares. So
        strong features of the style dominate less, and faint ones count more. The form follows
        K. Crowson's style-transfer-pytorch. :class:`~stylize.losses.wasserstein.Bures` says how it
        is kept finite and fast.
    """

    def __init__(self, layer: str, target: Moments, weight: float, share: float = 1.0) -> None:
        super().__init__(f"style {layer}", layer, weight)
        self._mean = target.mean
        self._bures = Bures(target.covariance, share)
        self._scale = 1 / target.second.trace().clamp_min(torch.finfo(torch.float32).tiny ** 0.5)

    def statistics(self, features: Tensor) -> MomentSums:
        """Sum of activations and of their outer products."""
        return sums_of(features)

    def value(self, sums: MomentSums, positions: float) -> Tensor:
        mean, second = sums[0] / positions, sums[1] / positions
        distance = self._bures.distance(second - torch.outer(mean, mean))
        return ((mean - self._mean).square().sum() + distance) * self._scale

    def value_and_slope(self, sums: MomentSums, positions: float) -> tuple[Tensor, MomentSums]:
        mean, second = sums[0] / positions, sums[1] / positions
        shift = mean - self._mean
        distance, by_second = self._bures(second - torch.outer(mean, mean))
        # C depends on the mean as −μμᵀ.
        by_mean = 2 * shift - 2 * (by_second @ mean)
        scale = self._scale / positions
        return (shift.square().sum() + distance) * self._scale, (by_mean * scale, by_second * scale)

    def feature_gradient(self, features: Tensor, slope: MomentSums) -> Tensor:
        """``∂L/∂ΣF + 2 (∂L/∂ΣFFᵀ) F`` at every position."""
        return linear_gradient(features, *slope)
