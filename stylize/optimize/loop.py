"""The loop over the steps of one scale, and the state it carries to the next."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stylize.engine.evaluation import Engine, Evaluation
from stylize.errors import NumericalError
from stylize.optimize.events import Iterate
from stylize.optimize.schedule import Scale

# Steps between two looks at the losses for the early stop, and between two checks for NaN.
WINDOW = 10


class Optimizer(Protocol):
    """Moves an image downhill; keeps its own state between steps."""

    def step(self, image: Tensor, evaluate: Callable[[Tensor], Evaluation]) -> Evaluation:
        """Evaluate once at ``image`` and change it in place."""

    def result(self, image: Tensor) -> Tensor:
        """The picture so far, a new tensor."""

    def resample(self, resize: Callable[[Tensor], Tensor]) -> None:
        """Carry the state to another size."""


@dataclass(frozen=True)
class ScaleOutcome:
    """What happened at one scale.

    Attributes:
        scale: as it was planned.
        steps_done: fewer than planned where the loop converged or was stopped.
        losses: weighted value by term name at the last step.
        stopped: whether a listener asked to stop.
    """

    scale: Scale
    steps_done: int
    losses: dict[str, float]
    stopped: bool


class Descent:
    """Runs an optimiser over the scales of one picture.

    Args:
        optimizer: keeps its state across scales.
        scales: the whole schedule.
        tolerance: a scale ends early when ten steps together improved the best value of the
            objective by less than this share; 0 for never.
        listener: is told of every step.
        stop: asked after every step; True ends the run with the picture so far.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scales: list[Scale],
        *,
        tolerance: float = 0.0,
        listener: Callable[[Iterate], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.optimizer = optimizer
        self._scales = scales
        self._tolerance = tolerance
        self._listener = listener
        self._stop = stop
        self._started = time.perf_counter()

    def run(
        self, index: int, image: Tensor, engine: Engine, show: Callable[[Tensor], Tensor]
    ) -> ScaleOutcome:
        """All steps of one scale; changes ``image`` in place.

        Args:
            index: of the scale, from 0.
            image: ``(1, 3, H, W)`` in [0, 1].
            engine: evaluates the objective at this size.
            show: maps an image to what a listener should see of it.

        Raises:
            NumericalError: the objective is not finite.
        """
        scale = self._scales[index]
        totals: list[Tensor] = []
        for number in range(1, scale.steps + 1):
            found = self.optimizer.step(image, engine)
            totals.append(found.total)
            self._tell(index, number, found, lambda: show(self.optimizer.result(image)))
            stopped = self._stop is not None and self._stop()
            last = stopped or number == scale.steps or self._converged(totals)
            if last or number % WINDOW == 0:
                _require_finite(found.total, scale)
            if last:
                losses = {name: float(value) for name, value in found.losses.items()}
                return ScaleOutcome(scale, number, losses, stopped)
        raise ValueError("a scale needs at least one step")

    def _converged(self, totals: list[Tensor]) -> bool:
        if self._tolerance == 0 or len(totals) < 2 * WINDOW or len(totals) % WINDOW:
            return False
        before = float(torch.stack(totals[:-WINDOW]).min())
        now = float(torch.stack(totals[-WINDOW:]).min())
        return before - now < self._tolerance * before

    def _tell(
        self, index: int, number: int, found: Evaluation, picture: Callable[[], Tensor]
    ) -> None:
        if self._listener is None:
            return
        scale = self._scales[index]
        self._listener(
            Iterate(
                scale=index + 1,
                scales=len(self._scales),
                size=scale.size,
                step=number,
                steps=scale.steps,
                total=float(found.total),
                losses={name: float(value) for name, value in found.losses.items()},
                seconds=time.perf_counter() - self._started,
                picture=picture,
            )
        )


def _require_finite(total: Tensor, scale: Scale) -> None:
    if not math.isfinite(float(total)):
        raise NumericalError(
            f"the objective became {float(total)} at {scale.width}×{scale.height}",
            hint="lower the weights, the step or the strength, or try --precision fp32",
        )
