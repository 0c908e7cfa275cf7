"""First and second moments of a layer's activations: all that a style is, here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def by_position(features: Tensor) -> Tensor:
    """``(1, C, h, w)`` activations as ``(h·w, C)`` rows; a view if stored channels-last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


@dataclass(frozen=True)
class Moments:
    """Mean and raw second moment of a layer's activations over positions.

    Attributes:
        mean: ``(C,)``.
        second: ``(C, C)``, mean of ``F Fᵀ``: the Gram matrix divided by the positions.
    """

    mean: Tensor
    second: Tensor

    @property
    def covariance(self) -> Tensor:
        """``(C, C)`` Gram matrix of the centred activations."""
        return self.second - torch.outer(self.mean, self.mean)

    def to(self, device: torch.device | str) -> Moments:
        """The same on another device."""
        return Moments(self.mean.to(device), self.second.to(device))


def blend(moments: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """Moments of the mixture of several styles.

    Means and *raw* second moments are linear in the distribution of activations, covariances
    are not: so the first are averaged (after K. Crowson's style-transfer-pytorch).

    Args:
        moments: of the same layer, one a style.
        weights: non-negative, not all zero; normalised here.
    """
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    pairs = list(zip(shares, moments, strict=True))
    return Moments(
        torch.stack([share * each.mean for share, each in pairs]).sum(0),
        torch.stack([share * each.second for share, each in pairs]).sum(0),
    )
