"""Amounts as colours, alone or over a photo."""

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
# Share of the positions that are brighter than the end of the scale: a few single pixels would
# otherwise leave all else dark.
CLIPPED = 0.005
LUMA = (0.299, 0.587, 0.114)
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


def coloured(shares: Tensor) -> Tensor:
    """Shares ``(1, 1, H, W)`` in [0, 1] as colours ``(1, 3, H, W)``, dark to bright."""
    ramp = torch.tensor(RAMP, dtype=shares.dtype, device=shares.device)
    position = shares[0, 0].clamp(0, 1) * (len(RAMP) - 1)
    below = position.floor().clamp_max(len(RAMP) - 2)
    part = (position - below)[..., None]
    index = below.long()
    colours = torch.lerp(ramp[index], ramp[index + 1], part)
    return colours.permute(2, 0, 1)[None]


def overlaid(shares: Tensor, photo: Tensor) -> Tensor:
    """The colours over the photo in grey: the more there is, the more they hide of it.

    Args:
        shares: ``(1, 1, H, W)`` in [0, 1].
        photo: ``(1, 3, H, W)`` in [0, 1].
    """
    luma = torch.tensor(LUMA, dtype=photo.dtype, device=photo.device).view(1, 3, 1, 1)
    grey = (photo * luma).sum(1, keepdim=True).expand_as(photo)
    return torch.lerp(0.7 * grey, coloured(shares), shares.sqrt() * 0.8)


def rendered(shares: Tensor, photo: Tensor, view: str) -> Tensor:
    """Shares as ``heat``, ``overlay`` or ``mask``, ``(1, 3, H, W)``."""
    if view == "overlay":
        return overlaid(shares, photo)
    return coloured(shares) if view == "heat" else shares.expand(-1, 3, -1, -1).contiguous()
