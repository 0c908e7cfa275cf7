"""Closeness to the paint of other frames, where they show the same place."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.losses.loss import ImageLoss


class TemporalLoss(ImageLoss):
    """Masked mean squared error, ``Σ m (x − w)² / N`` over all N values of the picture.

    Args:
        target: ``(1, 3, H, W)``, the paint of other frames, moved to where it belongs in this one.
        trust: ``(1, 1, H, W)`` in [0, 1], how far it counts at each pixel.
        weight: factor in the total.

    Note:
        It is local: the gradient at a pixel depends on no other, so tiles change nothing.

    Reference:
        Ruder, Dosovitskiy and Brox, "Artistic Style Transfer for Videos" (GCPR 2016).
    """

    def __init__(self, target: Tensor, trust: Tensor, weight: float) -> None:
        super().__init__("temporal", weight)
        self._target, self._trust = target, trust

    def value(self, image: Tensor) -> Tensor:
        return (self._trust * (image - self._target).square()).sum() / image.numel()

    def value_and_gradient(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``2 m (x − w) / N``, without autograd."""
        pulled = self._trust * (image - self._target)
        value = (pulled * (image - self._target)).sum() / image.numel()
        return value, pulled * (2 / image.numel())


def nearest_first(
    parts: list[tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Combine the paint of several frames: each counts where the nearer ones show nothing.

    Args:
        parts: moved paint ``(1, 3, H, W)`` and its trust ``(1, 1, H, W)``, the nearest first.

    Returns:
        Paint and trust as one pair; a squared error to it has the gradient of the sum of errors
        to all.
    """
    paint, trust = parts[0]
    total, weighted = trust, trust * paint
    for other, reliable in parts[1:]:
        share = (reliable - total).clamp_min(0)
        total, weighted = total + share, weighted + share * other
    mixed = weighted / total.clamp_min(torch.finfo(total.dtype).tiny)
    return torch.where(total > 0, mixed, paint), total
