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
        scale: as it was planned.
        steps_done: fewer than planned where the loop converged or was stopped.
        losses: weighted value by term name at the last step.
        stopped: whether a listener asked to stop.
    """

    scale: Scale
    steps_done: int
    losses: dict[str, float]
    stopped: bool


@dataclass(frozen=True)
class State:
    """What an optimiser remembers, by names of its own.

    Attributes:
        tensors: no copies: the next step changes them.
        numbers: finite.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A run at the end of a step.

    Attributes:
        outcomes: of the scales so far; the last is the one under way.
        totals: the objective before each step of that scale, ``(steps_done,)``.
        image: what the loop works on, ``(1, 3, H, W)``; no copy.
        optimizer: what the optimiser remembers.
        seconds: since the run began.
        measured_px: tiles in which this scale's targets were measured, None for no tiles.
        tile_px: tiles in which it goes on, smaller where memory ran out.
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
    """How the state of a run gets out, and where the run resumes.

    Attributes:
        on_snapshot: offered a snapshot after every step, to be used before the next.
        resume: gives the snapshot to resume from, called once; None to start.
    """

    on_snapshot: OnSnapshot | None = None
    # Not the snapshot itself: only the loop may hold on to its tensors.
    resume: TakeSnapshot | None = None

    def adding(self, add: Callable[[Snapshot], Snapshot]) -> SnapshotHooks:
        """The same, with every snapshot passed through a function on its way."""
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
    """A snapshot that knows its layouts.

    Args:
        snapshot: of the loop.
        measured: in which the targets of the scale were measured.
        memory_plan: in which the run goes on.
        recipe: of the picture so far, if it is known.
    """
    return dataclasses.replace(
        snapshot,
        measured_px=measured.tile_px,
        tile_px=memory_plan.tile_px,
        recipe=recipe or snapshot.recipe,
    )


def measured_in(memory_plan: MemoryPlan, resume: Snapshot | None) -> MemoryPlan:
    """The layout for the targets of a scale.

    Targets differ in the last bits between layouts. So they are measured as they were, even where
    memory ran out since, unless the run goes on in another layout anyway.

    Args:
        memory_plan: of the run from now on.
        resume: where it goes on; None at the beginning of a scale.
    """
    if resume is None or resume.tile_px != memory_plan.tile_px:
        return memory_plan
    return dataclasses.replace(memory_plan, tile_px=resume.measured_px)
