"""Gaussian blur and the bands of the Laplacian pyramid."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# A Gaussian is cut off where it has fallen to a hundredth.
_REACH = 3.0


def blur(image: Tensor, sigma_px: float, *, periodic: bool = False) -> Tensor:
    """Gaussian blur of ``(N, C, H, W)``, continued by its edge pixels or periodically.

    Args:
        image: any floating dtype.
        sigma_px: standard deviation; the kernel is cut off at three of them, or where a periodic
            picture would meet itself.
        periodic: whether the left edge continues the right one.
    """
    reach = max(1, round(_REACH * sigma_px))
    if periodic:
        reach = min(reach, *image.shape[2:])
    offsets = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma_px**2))
    return separable(image, kernel / kernel.sum(), "circular" if periodic else "replicate")


def separable(image: Tensor, kernel: Tensor, mode: str) -> Tensor:
    """Convolution along both axes with one kernel of odd length; the size is kept."""
    reach = kernel.numel() // 2
    flat = image.flatten(0, 1).unsqueeze(1)
    wide = F.pad(flat, (reach, reach, 0, 0), mode=mode)
    across = F.conv2d(wide, kernel.view(1, 1, 1, -1))
    tall = F.pad(across, (0, 0, reach, reach), mode=mode)
    return F.conv2d(tall, kernel.view(1, 1, -1, 1)).view_as(image)


def map_bands(image: Tensor, levels: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The picture put together again from the changed bands of its Laplacian pyramid.

    Args:
        image: ``(N, C, H, W)``.
        levels: bands beside the coarsest remainder; fewer where the picture is too small.
        change: applied to every band and to the remainder.

    Returns:
        Of the image's shape; the image itself, up to rounding, if ``change`` changes nothing.

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
