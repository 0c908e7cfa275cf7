"""Similarity to the activations of a guide picture."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.losses.channels import PositionLoss
from stylize.networks.vgg import exact

# Number of positions whose similarity to all positions of a guide is in memory at a time.
_CHUNK = 4096


class GuideLoss(PositionLoss):
    """Similarity to the most similar position of a guide, ``max_j F·G_j``.

    Args:
        guide: ``(1, C, h, w)`` activations of the guide picture.

    Note:
        This is the guided dream of Google's notebook (google/deepdream, 2015).
    """

    def __init__(
        self,
        name: str,
        layer: str,
        weight: float,
        *,
        guide: Tensor,
        border: int = 0,
    ) -> None:
        super().__init__(name, layer, weight, border=border)
        self._guide = exact(guide).flatten(2)[0].T.contiguous()

    def amount(self, features: Tensor) -> Tensor:
        """The best product at each position."""
        rows = features.flatten(2)[0].T
        best = [(chunk @ self._guide.T).amax(1) for chunk in torch.split(rows, _CHUNK)]
        return torch.cat(best).view(1, 1, *features.shape[2:])

    def amount_gradient(self, features: Tensor) -> Tensor:
        """The guide's activations at the position that fits best."""
        rows = features.flatten(2)[0].T
        best = torch.cat([(chunk @ self._guide.T).argmax(1) for chunk in torch.split(rows, _CHUNK)])
        return self._guide[best].T.reshape(features.shape)
