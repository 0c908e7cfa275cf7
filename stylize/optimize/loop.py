"""The loop over the steps of one scale, and the state it carries to the next."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from stylize.errors import CheckpointError, NumericalError
from stylize.losses.loss import Engine, Evaluation
from stylize.optimize.snapshot import ScaleOutcome, Snapshot, SnapshotHooks, State, TakeSnapshot
from stylize.settings.schedule import Scale


@dataclass(frozen=True)
class Step:
    """One step of the loop, as data.

    Attributes:
        scale, scales: number of the scale from 1 (smallest), and the number of scales.
        size: ``(height, width)`` of the picture at this scale.
        step, steps: number of the step within the scale from 1, and the number planned.
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


# Steps between two checks for an early stop, and between two checks for NaN.
WINDOW = 10


class Optimizer(Protocol):
    """Move an image downhill; the optimizer keeps its own state between steps."""

    def step(self, image: Tensor, evaluate: Callable[[Tensor], Evaluation]) -> Evaluation:
        """Evaluate once at ``image`` and change it in place."""

    def result(self, image: Tensor) -> Tensor:
        """The picture so far, a new tensor."""

    def resample(self, resize: Callable[[Tensor], Tensor]) -> None:
        """Carry the state to another size."""

    def state(self) -> State:
        """The state from which to continue after this step."""

    def restore(self, state: State, image: Tensor) -> None:
        """Restore a state; the image gives size and device.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: the state belongs to another optimizer.
        """


class Descent:
    """Run an optimizer over the scales of one picture.

    Args:
        optimizer: keeps its state across scales.
        scales: the whole schedule.
        tolerance: a scale ends early when ten steps improve the best value of the objective by
            less than this share; 0 for never.
        on_step: called after every step.
        stop: called after every step; True ends the run with the picture so far.
        snapshots: receives snapshots, and says where to resume.

    Attributes:
        resume: where the run continues; None at the start, or once it has continued.
        first: index of the first scale.
        outcomes: of the finished scales.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scales: list[Scale],
        *,
        tolerance: float = 0.0,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
        snapshots: SnapshotHooks | None = None,
    ) -> None:
        snapshots = snapshots or SnapshotHooks()
        self.optimizer = optimizer
        self._scales = scales
        self._tolerance = tolerance
        self._on_step = on_step
        self._stop = stop
        self._on_snapshot = snapshots.on_snapshot
        self._take_snapshot: TakeSnapshot | None = None
        self.resume = None if snapshots.resume is None else snapshots.resume()
        self.outcomes = [] if self.resume is None else list(self.resume.outcomes[:-1])
        self.first = len(self.outcomes)
        before = 0.0 if self.resume is None else self.resume.seconds
        self._started = time.perf_counter() - before

    def stops(self) -> bool:
        """Whether to stop instead of starting the next scale.

        A resumed scale always continues, so that there is a picture to keep.
        """
        if self.outcomes and self.outcomes[-1].stopped:
            return True
        if self.resume is not None or self._stop is None or not self._stop():
            return False
        if self._on_snapshot is not None and self._take_snapshot is not None:
            self._on_snapshot(self._take_snapshot, True)
        return True

    def run(
        self, index: int, image: Tensor, engine: Engine, show: Callable[[Tensor], Tensor]
    ) -> ScaleOutcome:
        """Run all remaining steps of one scale; changes ``image`` in place.

        Args:
            index: of the scale, from 0.
            image: ``(1, 3, H, W)`` in [0, 1]; that of ``resume`` if there is one.
            engine: evaluates the objective at this size.
            show: maps an image to the picture for ``on_step``.

        Raises:
            NumericalError: the objective is not finite.
            CheckpointError: the state to continue from belongs to another run.
        """
        scale = self._scales[index]
        totals, outcome = self._begin(scale, image)
        while outcome is None:
            found = self.optimizer.step(image, engine)
            totals.append(found.total)
            number = len(totals)
            self._tell(index, number, found, lambda: show(self.optimizer.result(image)))
            stopped = self._stop is not None and self._stop()
            last = stopped or self._complete(scale, totals)
            if last or number % WINDOW == 0:
                _require_finite(found.total, scale)
            self._offer(scale, found, totals, image, stopped)
            if last:
                outcome = ScaleOutcome(scale, number, _as_floats(found.losses), stopped)
        self.outcomes.append(outcome)
        return outcome

    def _begin(self, scale: Scale, image: Tensor) -> tuple[list[Tensor], ScaleOutcome | None]:
        """Continue a scale: its totals so far, and its outcome if no step is left."""
        resume, self.resume, self._take_snapshot = self.resume, None, None
        if resume is None:
            return [], None
        try:
            self.optimizer.restore(resume.optimizer, image)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError("the checkpoint's state is that of another run") from error
        totals = list(resume.totals.to(image.device).unbind())
        if not self._complete(scale, totals):
            return totals, None
        return totals, dataclasses.replace(resume.outcomes[-1], stopped=False)

    def _offer(
        self,
        scale: Scale,
        found: Evaluation,
        totals: list[Tensor],
        image: Tensor,
        stopped: bool,
    ) -> None:
        if self._on_snapshot is None:
            return
        before = tuple(self.outcomes)

        def take() -> Snapshot:
            outcome = ScaleOutcome(scale, len(totals), _as_floats(found.losses), True)
            return Snapshot(
                outcomes=(*before, outcome),
                totals=torch.stack(totals),
                image=image,
                optimizer=self.optimizer.state(),
                seconds=time.perf_counter() - self._started,
            )

        self._take_snapshot = take
        self._on_snapshot(take, stopped)

    def _complete(self, scale: Scale, totals: list[Tensor]) -> bool:
        return len(totals) >= scale.steps or self._converged(totals)

    def _converged(self, totals: list[Tensor]) -> bool:
        if self._tolerance == 0 or len(totals) < 2 * WINDOW or len(totals) % WINDOW:
            return False
        before = float(torch.stack(totals[:-WINDOW]).min())
        now = float(torch.stack(totals[-WINDOW:]).min())
        return before - now < self._tolerance * abs(before)

    def _tell(
        self, index: int, number: int, found: Evaluation, picture: Callable[[], Tensor]
    ) -> None:
        if self._on_step is None:
            return
        scale = self._scales[index]
        self._on_step(
            Step(
                scale=index + 1,
                scales=len(self._scales),
                size=scale.size,
                step=number,
                steps=scale.steps,
                total=float(found.total),
                losses=_as_floats(found.losses),
                seconds=time.perf_counter() - self._started,
                picture=picture,
            )
        )


def _as_floats(losses: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in losses.items()}


def _require_finite(total: Tensor, scale: Scale) -> None:
    if not math.isfinite(float(total)):
        raise NumericalError(
            f"the objective became {float(total)} at {scale.width}×{scale.height}",
            hint="lower the weights, the step or the strength, or try --precision fp32",
        )
