"""Write a run's state to its checkpoint from time to time, and read it back."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stylize.errors import CheckpointError, OutputError
from stylize.optimize.snapshot import ScaleOutcome, Snapshot, State, Take
from stylize.runs import checkpoint
from stylize.runs.checkpoint import Description, Request, remove_remains
from stylize.settings.schedule import Scale

_OPTIMIZER = "optimizer "


def save(path: Path, snapshot: Snapshot, request: Request) -> None:
    """Write a checkpoint.

    Args:
        path: of the file; an existing one is replaced.
        snapshot: of the run; its numbers are finite.
        request: what the command was asked for.

    Raises:
        OutputError: the system refuses; the file is as it was.
    """
    tensors = {"image": snapshot.image, "totals": snapshot.totals}
    tensors |= {_OPTIMIZER + name: each for name, each in snapshot.optimizer.tensors.items()}
    orders = {name: _order(each) for name, each in tensors.items()}
    description = Description(
        recipe=snapshot.recipe,
        request=request,
        scales=[(each.steps_done, each.losses) for each in snapshot.outcomes],
        seconds=snapshot.seconds,
        measured_px=snapshot.measured_px,
        tile_px=snapshot.tile_px,
        numbers=snapshot.optimizer.numbers,
        orders=orders,
    )
    arrays = {name: _array(each, orders[name]) for name, each in tensors.items()}
    checkpoint.write(path, dataclasses.asdict(description), arrays)


def load(path: Path, description: Description, scales: Sequence[Scale]) -> Snapshot:
    """The snapshot in a checkpoint.

    Args:
        path: of the file.
        description: of the same file, see :func:`stylize.runs.checkpoint.describe`.
        scales: of the job that goes on.

    Raises:
        CheckpointError: the file has changed since, or is of a job with other scales.
    """
    outcomes = outcomes_of(path, description, scales)
    try:
        found = load_file(path)
        tensors = {name: _tensor(found[name], order) for name, order in description.orders.items()}
        image, totals = tensors.pop("image"), tensors.pop("totals")
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} holds no checkpoint that can be followed") from error
    if totals.shape != (outcomes[-1].steps_done,) or image.dim() != 4:
        raise CheckpointError(f"{path} holds no checkpoint that can be followed")
    kept = {name.removeprefix(_OPTIMIZER): each for name, each in tensors.items()}
    return Snapshot(
        outcomes=outcomes,
        totals=totals,
        image=image,
        optimizer=State(kept, description.numbers),
        seconds=description.seconds,
        measured_px=description.measured_px,
        tile_px=description.tile_px,
        recipe=description.recipe,
    )


def outcomes_of(
    path: Path, description: Description, scales: Sequence[Scale]
) -> tuple[ScaleOutcome, ...]:
    """What happened at each scale so far.

    Raises:
        CheckpointError: the checkpoint is of a job with other scales.
    """
    told = description.recipe["resolved"].get("scales")
    done = [steps for steps, _ in description.scales]
    planned = [[s.width, s.height, n] for s, n in zip(scales, done, strict=False)]
    if told != planned or any(n > s.steps for s, n in zip(scales, done, strict=False)):
        raise CheckpointError(
            f"{path} is of a run with other sizes than this version plans",
            hint=f"go on with stylize {description.version}, which wrote it",
        )
    return tuple(
        ScaleOutcome(scale, steps, losses, stopped=False)
        for scale, (steps, losses) in zip(scales, description.scales, strict=False)
    )


def _order(tensor: Tensor) -> list[int]:
    """Dimensions in the order in which memory holds them.

    A sum over channels-last memory is not to the bit that over the same values side by side.
    """
    return sorted(range(tensor.dim()), key=tensor.stride().__getitem__, reverse=True)


def _array(tensor: Tensor, order: Sequence[int]) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().permute(*order).contiguous().numpy())


def _tensor(stored: Tensor, order: Sequence[int]) -> Tensor:
    # A file's own memory is not aligned as torch's is, on which kernels may choose their way.
    tensor = stored.clone()
    return tensor.permute([order.index(each) for each in range(len(order))])


class CheckpointPolicy:
    """Keeps one run in one file.

    Args:
        path: of the file.
        request: what the command was asked for; says how often.
        warn: is told, once, that a checkpoint could not be written. The run goes on.
        clock: seconds that only grow.

    Attributes:
        present: whether the file holds a state of this run.
    """

    def __init__(
        self,
        path: Path,
        request: Request,
        warn: Callable[[str], None],
        *,
        present: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.present = present
        self._request = request
        self._warn: Callable[[str], None] | None = warn
        self._clock = clock
        self._last = clock()

    def offer(self, take: Take, last: bool) -> None:
        """Take a snapshot and write it, if it is time or the run stops here."""
        if not last and self._clock() - self._last < 60 * self._request.minutes:
            return
        snapshot = take()
        if is_finite(snapshot):
            self._write(snapshot)
        self._last = self._clock()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            save(self.path, snapshot, self._request)
            self.present = True
        except OutputError as error:
            if self._warn is not None:
                self._warn(f"no checkpoint: {error}; the run goes on without")
            self._warn = None

    def discard(self) -> None:
        """Remove the file: the run is done."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        remove_remains(self.path)
        self.present = False


def is_finite(snapshot: Snapshot) -> bool:
    """Whether there is sense in going on from here."""
    losses = snapshot.outcomes[-1].losses.values()
    return all(map(math.isfinite, (*losses, *snapshot.optimizer.numbers.values())))
