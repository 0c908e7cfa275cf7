"""Style as moments of activations, after Gatys, Ecker and Bethge (CVPR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.engine.tiles import Region
from stylize.objectives.bures import Bures
from stylize.objectives.moments import Moments, by_position, sums_of

# (Σ F, Σ F Fᵀ) over positions.
Sums = tuple[Tensor, Tensor]


def _linear(features: Tensor, by_sum: Tensor, by_products: Tensor) -> Tensor:
    """``∂L/∂ΣF + 2 (∂L/∂ΣFFᵀ) F`` at every position, in the precision of the activations."""
    rows = by_position(features)
    found = torch.addmm(by_sum.to(rows.dtype), rows, (2 * by_products).to(rows.dtype))
    return _like(found, features)


def _like(rows: Tensor, features: Tensor) -> Tensor:
    """Rows of positions back in the shape of ``features``, without a copy."""
    _, channels, height, width = features.shape
    return rows.view(1, height, width, channels).permute(0, 3, 1, 2)


class GramTerm:
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

    def at(self, region: Region) -> GramTerm:
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


class MomentsTerm:
    """Relative squared distances of covariance and mean, ``|C−C*|²/|C*|² + |μ−μ*|²/|μ*|²``.

    Args:
        layer: the activations it reads.
        target: moments of the style at that layer.
        weight: factor in the total.

    Note:
        A Gram matrix is covariance plus the outer product of the mean, and a picture may pay
        for a missing contrast with a shifted mean: the cause of washed-out flats and of a veil
        over the photograph (Risser et al., arXiv:1701.08893). Asking for both separately closes
        that door; it costs nothing, since both follow from the same two sums.
    """

    local = False
    # A style without any contrast has a covariance of rounding errors only. This share of the
    # squared mean's norm keeps the quotient finite there and is not felt anywhere else.
    _FLAT = 1e-3

    def __init__(self, layer: str, target: Moments, weight: float) -> None:
        self.name = f"style {layer}"
        self.layer = layer
        self.weight = weight
        self._mean = target.mean
        self._covariance = target.covariance
        tiny = torch.finfo(torch.float32).tiny
        energy = target.mean.square().sum().clamp_min(tiny**0.5)
        self._mean_scale = 1 / energy
        self._covariance_scale = 1 / torch.maximum(
            self._covariance.square().sum(), (self._FLAT * energy).square()
        ).clamp_min(tiny)

    def at(self, region: Region) -> MomentsTerm:
        """The term itself: all positions are alike."""
        return self

    def sums(self, features: Tensor) -> Sums:
        """Sum of activations and of their outer products."""
        return sums_of(features)

    def evaluate(self, sums: Sums, positions: float) -> tuple[Tensor, Sums]:
        """Value, and its slopes with respect to ``Σ F`` and ``Σ F Fᵀ``."""
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

    def seed(self, features: Tensor, slope: Sums) -> Tensor:
        """``∂L/∂ΣF + 2 (∂L/∂ΣFFᵀ) F`` at every position."""
        return _linear(features, *slope)


class WassersteinTerm:
    """Wasserstein-2 distance of Gaussian distributions, relative to the target's size.

    ``(|μ−μ*|² + tr C + tr C* − 2 tr (C*^½ C C*^½)^½) / (|μ*|² + tr C*)``: how far activations have
    to move to be distributed as the style's, beside how far they are from nothing. It is 1 for a
    picture that the layer does not see.

    Args:
        layer: the activations it reads.
        target: moments of the style at that layer.
        weight: factor in the total.

    Note:
        A distance in activations, where :class:`MomentsTerm` is one in their squares: what is
        strong in the style rules less, what is weak in it is not forgotten. The form follows
        K. Crowson's style-transfer-pytorch; how it is kept finite and fast is said in
        :class:`~stylize.objectives.bures.Bures`.
    """

    local = False

    def __init__(self, layer: str, target: Moments, weight: float) -> None:
        self.name = f"style {layer}"
        self.layer = layer
        self.weight = weight
        self._mean = target.mean
        self._bures = Bures(target.covariance)
        self._scale = 1 / target.second.trace().clamp_min(torch.finfo(torch.float32).tiny ** 0.5)

    def at(self, region: Region) -> WassersteinTerm:
        """The term itself: all positions are alike."""
        return self

    def sums(self, features: Tensor) -> Sums:
        """Sum of activations and of their outer products."""
        return sums_of(features)

    def evaluate(self, sums: Sums, positions: float) -> tuple[Tensor, Sums]:
        """Value, and its slopes with respect to ``Σ F`` and ``Σ F Fᵀ``."""
        mean, second = sums[0] / positions, sums[1] / positions
        shift = mean - self._mean
        distance, by_second = self._bures(second - torch.outer(mean, mean))
        # C depends on the mean as −μμᵀ.
        by_mean = 2 * shift - 2 * (by_second @ mean)
        scale = self._scale / positions
        return (shift.square().sum() + distance) * self._scale, (by_mean * scale, by_second * scale)

    def seed(self, features: Tensor, slope: Sums) -> Tensor:
        """``∂L/∂ΣF + 2 (∂L/∂ΣFFᵀ) F`` at every position."""
        return _linear(features, *slope)


StyleTerm = GramTerm | MomentsTerm | WassersteinTerm

STYLE_TERMS: dict[str, type[GramTerm] | type[MomentsTerm] | type[WassersteinTerm]] = {
    "moments": MomentsTerm,
    "gram": GramTerm,
    "wasserstein": WassersteinTerm,
}
