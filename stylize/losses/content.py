"""Content as activations of a deep layer, after Gatys, Ecker and Bethge (CVPR 2016)."""

from __future__ import annotations

from copy import copy
from typing import Self

import torch
from torch import Tensor

from stylize.losses.loss import FeatureLoss
from stylize.networks.architecture import Rect
from stylize.networks.vgg import exact


class ContentLoss(FeatureLoss):
    """Relative squared error of activations, ``|F − F*|² / |F*|²``.

    Args:
        layer: the activations it reads.
        target: ``(1, C, h, w)`` activations of the photo.
        weight: factor in the total.
        kind: first word of the loss's name.

    Note:
        Gatys et al. use half the plain squared error. Relative to the target's norm, one weight
        means the same for every picture and size.
    """

    local = True

    def __init__(self, layer: str, target: Tensor, weight: float, *, kind: str = "content") -> None:
        super().__init__(f"{kind} {layer}", layer, weight)
        self._target = target
        energy = target.float().square().sum()
        self._scale = 1 / energy.clamp_min(torch.finfo(torch.float32).tiny)

    def crop(self, rect: Rect) -> Self:
        part = copy(self)
        part._target = rect.of(self._target)
        return part

    def statistics(self, features: Tensor) -> Tensor:
        """Sum of squared errors."""
        return exact(features - self._target).square().sum()

    def value(self, sums: Tensor, positions: float) -> Tensor:
        return sums * self._scale

    def value_and_slope(self, sums: Tensor, positions: float) -> tuple[Tensor, Tensor]:
        return self.value(sums, positions), self._scale

    def feature_gradient(self, features: Tensor, slope: Tensor) -> Tensor:
        """``2 (F − F*)``, scaled."""
        return (features - self._target) * (2 * slope)
