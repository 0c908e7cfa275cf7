"""Luma: the brightness of an RGB value, by which image programs convert to grey."""

from __future__ import annotations

import torch
from torch import Tensor

# Weights of red, green and blue (ITU-R BT.601, as in JPEG).
LUMA = (0.299, 0.587, 0.114)


def luma(pixels: Tensor) -> Tensor:
    """Sum the weighted channels: ``(N, 3, H, W)`` to ``(N, 1, H, W)``; also for differences."""
    weights = torch.tensor(LUMA, dtype=pixels.dtype, device=pixels.device).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True)
