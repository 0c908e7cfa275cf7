"""Content as activations of a deep layer, after Gatys, Ecker and Bethge (CVPR 2016)."""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from stylize.networks.architecture import Rect
from stylize.networks.vgg import exact


class ContentLoss:
    """Relative squared error of activations, ``|F − F*|² / |F*|²``.

    Args:
        layer: the activations it reads.
        target: ``(1, C, h, w)`` activations of the content picture.
        weight: factor in the total.

    Note:
        Gatys et al. take half the plain squared error; relative to the target's norm the same
        weight means the same for every picture and size.
    """

    local = True

    def __init__(self, layer: str, target: Tensor, weight: float) -> None:
        self.name = f"content {layer}"
        self.layer = layer
        self.weight = weight
        self._target = target
        energy = target.float().square().sum()
        self._scale = 1 / energy.clamp_min(torch.finfo(torch.float32).tiny)

    def at(self, region: Rect) -> ContentLoss:
        """The term with the target's part there."""
        part = copy(self)
        rows = slice(region.top, region.top + region.height)
        columns = slice(region.left, region.left + region.width)
        part._target = self._target[..., rows, columns]
        return part

    def sums(self, features: Tensor) -> Tensor:
        """Sum of squared errors."""
        return exact(features - self._target).square().sum()

    def evaluate(self, sums: Tensor, positions: int) -> tuple[Tensor, Tensor]:
        """Value, and its slope with respect to the sum of squared errors."""
        return sums * self._scale, self._scale

    def seed(self, features: Tensor, slope: Tensor) -> Tensor:
        """``2 (F − F*)``, scaled."""
        return (features - self._target) * (2 * slope)
