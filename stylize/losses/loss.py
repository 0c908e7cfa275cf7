"""The contract of the losses, and their gradients by autograd.

A feature loss is a function of sums over positions, ``f(Σ_p s(F_p))``. A new one defines two
methods, ``statistics`` (what is summed) and ``value`` (the function of the sums); this file derives
the rest. Whatever has this form is tiled exactly: a first pass adds up the statistics of all tiles,
a second propagates each tile's gradient back to its pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from stylize.networks.architecture import Rect

# A tensor, or a tuple of tensors.
Sums = Any


class FeatureLoss(ABC):
    """A named, weighted loss on the activations of one layer.

    Args:
        name: for logs and events, unique within an objective.
        layer: the layer whose activations it reads.
        weight: factor of its value in the total.

    Attributes:
        local: whether the gradient at a position does not depend on other positions, because the
            value is the sum times a constant. Tiles of such losses need a single pass.

    Note:
        Subclasses may override :meth:`value_and_slope` and :meth:`feature_gradient` with closed
        forms that are faster than autograd.
    """

    local = False

    def __init__(self, name: str, layer: str, weight: float) -> None:
        self.name, self.layer, self.weight = name, layer, weight

    @abstractmethod
    def statistics(self, features: Tensor) -> Sums:
        """Sum over the positions of ``(1, C, h, w)`` activations, in the network's precision.

        Returns:
            A tensor, or a tuple of tensors, in single precision at least.
        """

    @abstractmethod
    def value(self, sums: Sums, positions: float) -> Tensor:
        """The unweighted loss, a scalar.

        Args:
            sums: the statistics of the whole picture.
            positions: how many positions were summed.
        """

    def crop(self, rect: Rect) -> Self:
        """The loss for a part of the map; override it where the target varies with position."""
        return self

    def value_and_slope(self, sums: Sums, positions: float) -> tuple[Tensor, Sums]:
        """The unweighted value, and its derivative with respect to the sums, in their form."""
        parts = sums if isinstance(sums, tuple) else (sums,)
        leaves = tuple(part.detach().requires_grad_() for part in parts)
        with torch.enable_grad():
            value = self.value(leaves if isinstance(sums, tuple) else leaves[0], positions)
            slopes = torch.autograd.grad(value, leaves, materialize_grads=True)
        return value.detach(), slopes if isinstance(sums, tuple) else slopes[0]

    def feature_gradient(self, features: Tensor, slope: Sums) -> Tensor:
        """The derivative with respect to ``(1, C, h, w)`` activations, of their shape and dtype.

        Args:
            features: the activations.
            slope: as :meth:`value_and_slope` gives it; the result is linear in it.
        """
        leaf = features.detach().requires_grad_()
        with torch.enable_grad():
            sums = self.statistics(leaf)
            (gradient,) = torch.autograd.grad(sums, leaf, slope, materialize_grads=True)
        return gradient


class ImageLoss(ABC):
    """A named, weighted loss on the pixels.

    Args:
        name: for logs and events, unique within an objective.
        weight: factor of its value in the total.
    """

    def __init__(self, name: str, weight: float) -> None:
        self.name, self.weight = name, weight

    @abstractmethod
    def value(self, image: Tensor) -> Tensor:
        """The unweighted loss of ``(1, 3, H, W)`` RGB pixels in [0, 1], a scalar."""

    def value_and_gradient(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The unweighted value, and its gradient of the image's shape."""
        leaf = image.detach().requires_grad_()
        with torch.enable_grad():
            value = self.value(leaf)
            (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach(), gradient


@dataclass(frozen=True)
class Objective:
    """A weighted sum of losses.

    Attributes:
        features: losses on activations.
        pixels: losses on the image.
    """

    features: Sequence[FeatureLoss]
    pixels: Sequence[ImageLoss] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that the losses read, each once, in the order of first use."""
        return tuple(dict.fromkeys(loss.layer for loss in self.features))


@dataclass(frozen=True)
class Evaluation:
    """The value and the gradient of an objective at one image.

    Attributes:
        losses: weighted values by name, scalar tensors on the device of the network.
        total: their sum.
        gradient: ``(1, 3, H, W)`` float32, of the total.
    """

    losses: dict[str, Tensor]
    total: Tensor
    gradient: Tensor


class Engine(Protocol):
    """Evaluates one fixed objective on images of one fixed size."""

    def __call__(self, image: Tensor) -> Evaluation:
        """The objective and its gradient at ``(1, 3, H, W)`` RGB pixels in [0, 1]."""
