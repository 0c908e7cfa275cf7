"""What every engine answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


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
