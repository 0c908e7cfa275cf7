"""Change a picture strip by strip, in little memory and within the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_strips(change: Callable[..., Tensor], *images: Tensor, rows: int, halo: int) -> Tensor:
    """Apply a local change to horizontal strips of pictures, and put the results together.

    Args:
        change: takes as many pictures as ``images``, and returns one of the same shape.
        *images: ``(N, C, H, W)``, all of one shape.
        rows: height of a strip in px.
        halo: so many rows above and below affect a row.

    Returns:
        What ``change`` gives for whole pictures.
    """
    found, height = torch.empty_like(images[0]), images[0].shape[2]
    for first in range(0, height, rows):
        last = min(height, first + rows)
        start = max(0, first - halo)
        part = change(*(image[:, :, start : last + halo] for image in images))
        found[:, :, first:last] = part[:, :, first - start : last - start]
    return found
