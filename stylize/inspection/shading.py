"""Amounts as shares of the largest, and those as a picture."""

from __future__ import annotations

from torch import Tensor

from stylize.inspection.heat import heat, overlay

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
