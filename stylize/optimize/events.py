"""What the loop tells its listeners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Iterate:
    """One step of the loop, as data.

    Attributes:
        scale, scales: number of the scale from 1 (coarsest), and how many there are.
        size: ``(height, width)`` of the picture at this scale.
        step, steps: number of the step within the scale from 1, and how many were planned.
        total: the objective before the step.
        losses: weighted value by term name; they add up to ``total``.
        seconds: since the loop began, over all scales.
        picture: gives the picture so far, ``(1, 3, h, w)`` in [0, 1]; costs a copy.
    """

    scale: int
    scales: int
    size: tuple[int, int]
    step: int
    steps: int
    total: float
    losses: dict[str, float]
    seconds: float
    picture: Callable[[], Tensor] = field(repr=False, compare=False)
