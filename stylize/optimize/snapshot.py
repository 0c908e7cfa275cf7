"""The state of a run at the end of a step: all that is needed to continue bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from stylize.planning.memory import MemoryPlan
from stylize.settings.schedule import Scale


@dataclass(frozen=True)
class ScaleOutcome:
    """What happened at one scale.

    Attributes:
        scale: the planned scale.
        steps_done: fewer than planned if the loop converged or was stopped.
        losses: weighted value by term name at the last step.
        stopped: whether the caller stopped the run.
    """

    scale: Scale
    steps_done: int
    losses: dict[str, float]
    stopped: bool


@dataclass(frozen=True)
class State:
    """The state of an optimizer, by its own names.

    Attributes:
        tensors: not copies; the next step changes them.
        numbers: all finite.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A run at the end of a step.

    Attributes:
        outcomes: of the scales so far; the last one is not finished.
        totals: the objective before each step of that scale, ``(steps_done,)``.
        image: the image of the loop, ``(1, 3, H, W)``; not a copy.
        optimizer: the state of the optimizer.
        seconds: since the run began.
        measured_px: side of the tiles for measuring this scale's targets, None for no tiles.
        tile_px: side of the tiles from here on, smaller if memory ran out.
        recipe: of the picture so far.
    """

    outcomes: tuple[ScaleOutcome, ...]
    totals: Tensor
    image: Tensor
    optimizer: State
    seconds: float
    measured_px: int | None = None
    tile_px: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)


TakeSnapshot = Callable[[], Snapshot]

# Called after every step with a function that takes a snapshot, and with whether the run stops
# here.
OnSnapshot = Callable[[TakeSnapshot, bool], None]


@dataclass(frozen=True)
class SnapshotHooks:
    """Pass out the state of a run, and say where the run resumes.

    Attributes:
        on_snapshot: called after every step; the snapshot is valid until the next step.
        resume: returns the snapshot to resume from, called once; None to start.
    """

    on_snapshot: OnSnapshot | None = None
    # Not the snapshot itself: only the loop may hold on to its tensors.
    resume: TakeSnapshot | None = None

    def adding(self, add: Callable[[Snapshot], Snapshot]) -> SnapshotHooks:
        """The same hooks, with a function applied to every snapshot."""
        on_snapshot = self.on_snapshot
        if on_snapshot is None:
            return self

        def added(take: TakeSnapshot, last: bool) -> None:
            on_snapshot(lambda: add(take()), last)

        return dataclasses.replace(self, on_snapshot=added)


def of_shape(state: State, image: Tensor) -> dict[str, Tensor]:
    """The tensors of a state, all of the image's shape, on its device.

    Raises:
        ValueError: one has another shape or kind.
    """
    for name, tensor in state.tensors.items():
        if tensor.shape != image.shape or tensor.dtype != image.dtype:
            raise ValueError(f"{name} is {tuple(tensor.shape)}")
    return {name: tensor.to(image.device) for name, tensor in state.tensors.items()}


def placed(
    snapshot: Snapshot,
    measured: MemoryPlan,
    memory_plan: MemoryPlan,
    recipe: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Add the memory plans to a snapshot.

    Args:
        snapshot: of the loop.
        measured: the plan with which the targets of the scale were measured.
        memory_plan: the plan with which the run continues.
        recipe: of the picture so far, if it is known.
    """
    return dataclasses.replace(
        snapshot,
        measured_px=measured.tile_px,
        tile_px=memory_plan.tile_px,
        recipe=recipe or snapshot.recipe,
    )


def measured_in(memory_plan: MemoryPlan, resume: Snapshot | None) -> MemoryPlan:
    """The memory plan for the targets of a scale.

    Targets differ in their last bits between plans. They are measured again with the first plan,
    even if memory ran out since, unless the run continues with another plan anyway.

    Args:
        memory_plan: of the run from now on.
        resume: where the run continues; None at the beginning of a scale.
    """
    if resume is None or resume.tile_px != memory_plan.tile_px:
        return memory_plan
    return dataclasses.replace(memory_plan, tile_px=resume.measured_px)
