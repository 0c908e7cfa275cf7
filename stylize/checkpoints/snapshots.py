"""Snapshots on their way to a file and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stylize.checkpoints import container
from stylize.checkpoints.description import Description, Request
from stylize.errors import CheckpointError
from stylize.optimize.schedule import Scale
from stylize.optimize.state import ScaleOutcome, Snapshot, State

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
    container.write(path, dataclasses.asdict(description), arrays)


def load(path: Path, description: Description, scales: Sequence[Scale]) -> Snapshot:
    """The snapshot in a checkpoint.

    Args:
        path: of the file.
        description: of the same file, see :func:`stylize.checkpoints.description.describe`.
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
