"""The contract between the losses and the gradient.

A feature loss is a function of sums over positions, ``f(Σ_p s(F_p))``. The sums are added up over
the whole picture or over its tiles; the value and its gradient follow from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from stylize.networks.architecture import Rect


class FeatureLoss(Protocol):
    """One named, weighted term on the activations of one layer.

    Attributes:
        name: for logs and events, unique within an objective.
        layer: the activations it reads.
        weight: factor of its value in the total.
        local: whether its slope does not depend on the sums: f is a multiple of the identity.
    """

    name: str
    layer: str
    weight: float
    local: bool

    def at(self, region: Rect) -> FeatureLoss:
        """The term for activations of a part of the map; its sums add up to those of the whole."""

    def sums(self, features: Tensor) -> Any:
        """What has to be added up over positions.

        Args:
            features: ``(1, C, h, w)`` activations of :attr:`layer`, in the trunk's precision.

        Returns:
            Tensors in single precision at least.
        """

    def evaluate(self, sums: Any, positions: int) -> tuple[Tensor, Any]:
        """The unweighted value (a scalar) and its slope with respect to the sums."""

    def seed(self, features: Tensor, slope: Any) -> Tensor:
        """The derivative with respect to ``features``, of their shape; linear in ``slope``."""


class ImageLoss(Protocol):
    """One named, weighted term on the pixels themselves."""

    name: str
    weight: float

    def value_and_gradient(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The unweighted value (a scalar) and its gradient, of the image's shape."""


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms.

    Attributes:
        features: terms on activations.
        pixels: terms on the image.
    """

    features: Sequence[FeatureLoss]
    pixels: Sequence[ImageLoss] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that the terms read, each once, in the order of first use."""
        return tuple(dict.fromkeys(term.layer for term in self.features))


@dataclass(frozen=True)
class Evaluation:
    """An objective at one image.

    Attributes:
        losses: weighted value by term name, scalar tensors on the engine's device.
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
