"""First and second moments of a layer's activations, the statistics of a style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylize.networks.vgg import exact

# Total size of the partial products of a layer: 256 parts of 64 channels, 4 of 512.
_PARTS_NUMBERS = 1 << 20

# With fewer positions, the small products are computed in single precision.
_LEAST_PARTS = 4


def by_position(features: Tensor) -> Tensor:
    """``(1, C, h, w)`` activations as ``(h·w, C)`` rows; a view if stored channels-last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def sums_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over positions of ``(1, C, h, w)`` activations, ``(C,)``, and of their outer products.

    Returns:
        ``(C,)`` and ``(C, C)``, in single precision at least. Products of bfloat16 are added
        exactly, but the sums are rounded to bfloat16. They are therefore computed in many parts,
        whose errors average out.
    """
    rows = by_position(features)
    positions, channels = rows.shape
    count = min(_PARTS_NUMBERS // channels**2, positions // channels)
    if rows.dtype is not torch.bfloat16 or count < _LEAST_PARTS:
        rows = exact(rows)
        return rows.sum(0), rows.T @ rows
    each = positions // count
    parts = rows[: count * each].view(count, each, channels)
    rest = rows[count * each :].float()
    ones = rows.new_ones(1, 1, 1).expand(count, 1, each)
    return (
        torch.bmm(ones, parts).sum((0, 1), dtype=torch.float32) + rest.sum(0),
        torch.bmm(parts.mT, parts).sum(0, dtype=torch.float32) + rest.T @ rest,
    )


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

    Means and *raw* second moments are averaged, because they are linear in the distribution of
    activations and covariances are not (after K. Crowson's style-transfer-pytorch).

    Args:
        moments: of the same layer, one per style.
        weights: non-negative, not all zero; this function normalizes them.
    """
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    pairs = list(zip(shares, moments, strict=True))
    return Moments(
        torch.stack([share * each.mean for share, each in pairs]).sum(0),
        torch.stack([share * each.second for share, each in pairs]).sum(0),
    )


# (Σ F, Σ F Fᵀ) over positions.
MomentSums = tuple[Tensor, Tensor]


def linear_gradient(features: Tensor, by_sum: Tensor, by_products: Tensor) -> Tensor:
    """``∂L/∂ΣF + 2 (∂L/∂ΣFFᵀ) F`` at every position, in the precision of the activations."""
    rows = by_position(features)
    found = torch.addmm(by_sum.to(rows.dtype), rows, (2 * by_products).to(rows.dtype))
    return as_features(found, features)


def as_features(rows: Tensor, features: Tensor) -> Tensor:
    """Turn rows of positions back to the shape of ``features``, without a copy."""
    _, channels, height, width = features.shape
    return rows.view(1, height, width, channels).permute(0, 3, 1, 2)
