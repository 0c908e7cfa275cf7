"""Padding at the right and lower edge, so that every pixel reaches the deepest layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Canvas:
    """A canvas for a picture: its sides are multiples of the deepest layer's stride.

    Poolings drop the last row or column of an odd map. Without padding, the last pixels of a
    picture would have no deep gradient and would stay an unpainted strip.

    Attributes:
        size: ``(height, width)`` of the picture.
        stride: of the deepest layer, in pixels.
    """

    size: tuple[int, int]
    stride: int

    def extend(self, picture: Tensor) -> Tensor:
        """Pad ``(1, C, h, w)`` by reflection, or by repetition if it is too small."""
        height, width = self.size
        down, right = -height % self.stride, -width % self.stride
        mode = "reflect" if down < height and right < width else "replicate"
        return F.pad(picture, (0, right, 0, down), mode=mode)

    def crop(self, canvas: Tensor) -> Tensor:
        """The picture's own part of ``(1, C, H, W)``, a view."""
        height, width = self.size
        return canvas[..., :height, :width]
