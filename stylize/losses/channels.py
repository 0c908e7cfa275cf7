"""Energies of layers and responses of channels, the losses of a dream."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import relu

from stylize.losses.loss import FeatureLoss
from stylize.networks.architecture import Rect
from stylize.networks.vgg import exact


def position_amounts(features: Tensor, channels: Sequence[int] | None) -> Tensor:
    """The response at each position.

    Args:
        features: ``(N, C, h, w)`` activations.
        channels: indices; None for the whole layer.

    Returns:
        The activations of the channels, ``(N, len(channels), h, w)``, or half the squared
        rectified activations of the layer, ``(N, C, h, w)``.
    """
    if channels is None:
        return relu(features).square() * 0.5
    return features[:, list(channels)]


class PositionLoss(FeatureLoss):
    """A sum over positions, without those near the border.

    Args:
        name: for logs and events.
        layer: the activations it reads.
        weight: factor in the total; negative to suppress.
        border: positions on each side that do not count; otherwise the padding of the convolutions
            would draw a frame. Fewer if the map is too small.
    """

    local = True

    def __init__(self, name: str, layer: str, weight: float, *, border: int = 0) -> None:
        super().__init__(name, layer, weight)
        self._border = border
        self._rect: Rect | None = None
        self._scale = 1.0

    def crop(self, rect: Rect) -> Self:
        part = copy(self)
        part._rect = rect
        return part

    def relative_to(self, features: Tensor) -> Self:
        """The same loss relative to its value for these activations, to make layers comparable."""
        relative = copy(self)
        amount = self.amount(exact(features)).abs().sum() / (features.shape[2] * features.shape[3])
        relative._scale = 1.0 / max(float(amount), torch.finfo(torch.float32).tiny ** 0.5)
        return relative

    @abstractmethod
    def amount(self, features: Tensor) -> Tensor:
        """The summand at each position: ``(1, C, h, w)`` to ``(1, 1 or C, h, w)``."""

    def amount_gradient(self, features: Tensor) -> Tensor:
        """Derivative of the summed amount with respect to ``(1, C, h, w)`` features."""
        leaf = features.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.amount(leaf).sum(), leaf)
        return gradient

    def statistics(self, features: Tensor) -> Tensor:
        """Sum over the inner positions."""
        return self.amount(exact(self._inner(features))).sum()

    def value(self, sums: Tensor, positions: float) -> Tensor:
        """Mean over positions."""
        return sums * (self._scale / positions)

    def value_and_slope(self, sums: Tensor, positions: float) -> tuple[Tensor, Tensor]:
        scale = self._scale / positions
        return sums * scale, sums.new_tensor(scale)

    def feature_gradient(self, features: Tensor, slope: Tensor) -> Tensor:
        gradient = torch.zeros_like(features)
        inner = self._inner(features)
        self._inner(gradient).copy_(self.amount_gradient(exact(inner)) * slope)
        return gradient

    def _inner(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        rect = self._rect or Rect(0, 0, height, width, height, width)
        rows = self._kept(rect.top, height, rect.rows)
        return features[..., rows, self._kept(rect.left, width, rect.columns)]

    def _kept(self, start: int, length: int, whole: int) -> slice:
        """The section of a part of an axis that is not border."""
        border = min(self._border, (whole - 1) // 2)
        first = min(max(border - start, 0), length)
        return slice(first, max(first, min(whole - border - start, length)))


class EnergyLoss(PositionLoss):
    """Half the squared rectified activations: amplifies what the layer sees.

    Args:
        channels: ``(C,)`` factors of the channels; None for 1 each.

    Note:
        Its gradient is the activation itself: the basic idea of DeepDream.
    """

    def __init__(
        self,
        name: str,
        layer: str,
        weight: float,
        *,
        channels: Tensor | None = None,
        border: int = 0,
    ) -> None:
        super().__init__(name, layer, weight, border=border)
        self._channels = None if channels is None else channels.view(1, -1, 1, 1)

    def amount(self, features: Tensor) -> Tensor:
        """``½ w relu(F)²``."""
        energy = position_amounts(features, None)
        return energy if self._channels is None else energy * self._channels

    def amount_gradient(self, features: Tensor) -> Tensor:
        """``w relu(F)``."""
        rectified = features.clamp_min(0)
        return rectified if self._channels is None else rectified.mul_(self._channels)


class ChannelLoss(PositionLoss):
    """Activations of some channels before the ReLU, where even a silent channel has a gradient.

    Args:
        channels: indices.
    """

    def __init__(
        self,
        name: str,
        layer: str,
        weight: float,
        *,
        channels: tuple[int, ...],
        border: int = 0,
    ) -> None:
        super().__init__(name, layer, weight, border=border)
        self._channels = list(channels)

    def amount(self, features: Tensor) -> Tensor:
        """``F`` of the channels."""
        return position_amounts(features, self._channels)

    def amount_gradient(self, features: Tensor) -> Tensor:
        """1 in the channels, 0 elsewhere."""
        slope = torch.zeros_like(features)
        slope[:, self._channels] = 1
        return slope


# Positions at the edge of a feature map that see more padding than picture (Keras's DeepDream
# example leaves out as many).
BORDER_CELLS = 2
