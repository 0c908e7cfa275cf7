"""Gaussian blur and the bands of the Laplacian pyramid."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# Standard deviations at which a Gaussian, fallen to a hundredth, is cut off.
_REACH = 3.0


def blur(image: Tensor, sigma_px: float, *, periodic: bool = False) -> Tensor:
    """Blur ``(N, C, H, W)`` with a Gaussian, padded by replication or periodically.

    Args:
        image: any floating dtype.
        sigma_px: standard deviation; the kernel ends at three of them, or at the size of a
            periodic picture.
        periodic: whether the left edge continues the right one.
    """
    reach = max(1, round(_REACH * sigma_px))
    if periodic:
        reach = min(reach, *image.shape[2:])
    offsets = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma_px**2))
    return separable(image, kernel / kernel.sum(), "circular" if periodic else "replicate")


def separable(image: Tensor, kernel: Tensor, mode: str) -> Tensor:
    """Convolve both axes with one kernel of odd length, with padding that keeps the size."""
    reach = kernel.numel() // 2
    flat = image.flatten(0, 1).unsqueeze(1)
    wide = F.pad(flat, (reach, reach, 0, 0), mode=mode)
    across = F.conv2d(wide, kernel.view(1, 1, 1, -1))
    tall = F.pad(across, (0, 0, reach, reach), mode=mode)
    return F.conv2d(tall, kernel.view(1, 1, -1, 1)).view_as(image)


def map_bands(image: Tensor, levels: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change the bands of a Laplacian pyramid and add them up again.

    Args:
        image: ``(N, C, H, W)``.
        levels: number of bands without the coarsest remainder; fewer for small pictures.
        change: applied to every band and to the remainder.

    Returns:
        A picture of the same shape; the same picture, up to rounding, if nothing is changed.

    Reference:
        Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code" (1983).
    """
    height, width = image.shape[2:]
    if levels == 0 or min(height, width) < 2:
        return change(image)
    half = ((height + 1) // 2, (width + 1) // 2)
    coarse = F.interpolate(image, half, mode="bilinear", antialias=True)
    band = image - F.interpolate(coarse, (height, width), mode="bilinear")
    deeper = map_bands(coarse, levels - 1, change)
    return change(band) + F.interpolate(deeper, (height, width), mode="bilinear")
