"""Changing the size of pictures."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample with an antialiased bicubic filter.

    Args:
        image: ``(N, C, H, W)``, any floating dtype.
        size: ``(height, width)`` in pixels.

    Returns:
        ``(N, C, height, width)`` of the same dtype; ``image`` itself if it has that size.

    Note:
        Not clamped: the filter overshoots at edges, by about a tenth of a step in value, and a
        gradient or a statistic should see that. Clamp before anything that needs [0, 1].
    """
    if image.shape[-2:] == size:
        return image
    return interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)
