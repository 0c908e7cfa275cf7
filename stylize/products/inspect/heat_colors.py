"""Signed values as colours, and as shares of the largest."""

from __future__ import annotations

import torch
from torch import Tensor

# From nothing to all, in equal steps of the amount; each is brighter than the one before it, so
# that the order survives a print in grey.
RAMP = (
    (0.00, 0.00, 0.02),
    (0.17, 0.04, 0.36),
    (0.52, 0.10, 0.43),
    (0.86, 0.26, 0.24),
    (0.98, 0.58, 0.10),
    (0.99, 0.98, 0.75),
)

# The cool half, each as bright as its counterpart of the warm one.
COOL = (
    (0.00, 0.00, 0.02),
    (0.02, 0.11, 0.26),
    (0.04, 0.26, 0.50),
    (0.10, 0.48, 0.70),
    (0.35, 0.74, 0.86),
    (0.85, 0.98, 0.99),
)

LUMA = (0.299, 0.587, 0.114)


def heat(values: Tensor) -> Tensor:
    """Values ``(n, 1, h, w)`` in [-1, 1] as colours ``(n, 3, h, w)``; 0 is black."""
    ramps = torch.tensor((RAMP, COOL), dtype=values.dtype, device=values.device)
    signs = (values[:, 0] < 0).long()
    position = values[:, 0].abs().clamp(0, 1) * (len(RAMP) - 1)
    below = position.floor().clamp_max(len(RAMP) - 2)
    index = below.long()
    part = (position - below)[..., None]
    return torch.lerp(ramps[signs, index], ramps[signs, index + 1], part).permute(0, 3, 1, 2)


def overlay(values: Tensor, photo: Tensor) -> Tensor:
    """The colours over a photo in grey: the larger a value, the more they hide of it.

    Args:
        values: ``(n, 1, h, w)`` in [-1, 1].
        photo: ``(1, 3, h, w)`` in [0, 1].
    """
    luma = torch.tensor(LUMA, dtype=photo.dtype, device=photo.device).view(1, 3, 1, 1)
    grey = 0.7 * (photo * luma).sum(1, keepdim=True)
    return torch.lerp(grey, heat(values), 0.8 * values.abs().clamp(0, 1).sqrt())


# Share of the positions that are brighter than the end of the scale: a few single pixels would
# otherwise leave all else dark.
CLIPPED = 0.005

_TINY = 1e-30


def stretched(amounts: Tensor) -> Tensor:
    """Amounts from 0 on, as shares of nearly the largest.

    Args:
        amounts: ``(1, 1, H, W)``, at least 0.

    Returns:
        In [0, 1]; all 0 where there is nothing.
    """
    flat = amounts.flatten()
    index = max(1, round((1 - CLIPPED) * flat.numel()))
    top = flat.kthvalue(index).values
    if float(top) <= 0:
        top = flat.max()
    return (amounts / top.clamp_min(_TINY)).clamp(0, 1)


def rendered(shares: Tensor, photo: Tensor, view: str) -> Tensor:
    """Shares as ``heat``, ``overlay`` or ``mask``, ``(1, 3, H, W)``."""
    if view == "overlay":
        return overlay(shares, photo)
    return heat(shares) if view == "heat" else shares.expand(-1, 3, -1, -1).contiguous()
