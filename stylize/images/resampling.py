"""Resize pictures."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

# Above this size, before or after, channels are resampled one by one.
LARGE_PX = 4_000_000


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
    area = max(image.shape[-2] * image.shape[-1], size[0] * size[1])
    if area < LARGE_PX or image.shape[1] == 1:
        return _resampled(image, size)
    # The filter makes an intermediate picture, with one side resampled: of one channel, not of all.
    resized = image.new_empty((*image.shape[:2], *size))
    for index in range(image.shape[1]):
        resized[:, index : index + 1] = _resampled(image[:, index : index + 1], size)
    return resized


def resize_clamped(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize like :func:`resize` and clamp to [0, 1], with only one copy.

    Args:
        image: ``(N, C, H, W)`` in [0, 1], any floating dtype.
        size: ``(height, width)`` in pixels.

    Returns:
        ``(N, C, height, width)``; ``image`` itself if it has that size, so do not modify it.
    """
    resized = resize(image, size)
    return image if resized is image else resized.clamp_(0, 1)


def _resampled(image: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)
