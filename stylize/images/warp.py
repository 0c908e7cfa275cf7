"""Warp pictures: move every pixel by a way of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warped(picture: Tensor, flow: Tensor, mode: str = "bicubic") -> Tensor:
    """Fetch each pixel of a picture from where the flow leads.

    Args:
        picture: ``(N, C, H, W)``; beyond its edges, they repeat.
        flow: ``(1, 2, H, W)`` in px.
        mode: ``nearest``, ``bilinear`` or ``bicubic``; the last keeps detail and may overshoot.
    """
    height, width = picture.shape[2:]
    down, right = torch.meshgrid(
        torch.arange(height, dtype=picture.dtype, device=picture.device),
        torch.arange(width, dtype=picture.dtype, device=picture.device),
        indexing="ij",
    )
    across = (2 * (right + flow[:, 0]) + 1) / width - 1
    along = (2 * (down + flow[:, 1]) + 1) / height - 1
    grid = torch.stack([across, along], -1).expand(len(picture), -1, -1, -1)
    return F.grid_sample(picture, grid, mode=mode, padding_mode="border", align_corners=False)
