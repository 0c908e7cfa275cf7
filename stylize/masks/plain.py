"""Plain areas of a photo, such as sky, water or a wall: where there is room for large shapes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.images.luma import luma
from stylize.images.resampling import resize_clamped
from stylize.masks.masks import erode

# The long side at which areas are found, whatever the size of the photo. Lengths below are in px of
# this size.
SIDE_PX = 128

# A pixel is plain if brightness varies by less than this (standard deviation, of 1) within the
# square of 9 px around it.
_CONTRAST, _REACH_PX = 0.05, 4

# Half the width of the soft edges.
_SOFT_PX = 3

# Plain areas that cover less than this share of the photo have no room for anything.
_LEAST_SHARE = 0.03


def plain_areas(pixels: Tensor) -> Tensor:
    """Find the areas of a photo in which brightness hardly varies.

    Args:
        pixels: ``(1, 3, H, W)`` in [0, 1], of any size.

    Returns:
        ``(1, 1, h, w)`` in [0, 1]: 1 in plain areas, with soft edges. The long side is 128 px.
        Areas narrower than 9 px are left out; all are 0 if they cover less than 3 % of the photo.
    """
    height, width = pixels.shape[2:]
    scale = SIDE_PX / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    grey = luma(resize_clamped(pixels, size))
    variance = _mean(grey.square(), _REACH_PX) - _mean(grey, _REACH_PX).square()
    plain = (variance < _CONTRAST**2).to(grey)
    opened = 1 - erode(1 - erode(plain, _REACH_PX), _REACH_PX)
    found = _mean(opened, _SOFT_PX)
    return found if float(found.mean()) >= _LEAST_SHARE else torch.zeros_like(found)


def _mean(values: Tensor, reach: int) -> Tensor:
    """The mean over a square around each position; the border is repeated."""
    padded = F.pad(values, (reach, reach, reach, reach), mode="replicate")
    return F.avg_pool2d(padded, 2 * reach + 1, 1)
