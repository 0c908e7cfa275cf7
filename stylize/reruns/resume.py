"""Continue a run from its checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stylize.optimize.loop import Step
from stylize.optimize.snapshot import SnapshotHooks
from stylize.products.dream.dream import Dream
from stylize.products.transfer.transfer import Transfer
from stylize.runs.checkpoint import Description, load, outcomes_of
from stylize.runs.result import Result, resolution
from stylize.version import __version__


def check_resumable(job: Transfer | Dream, path: Path, description: Description) -> None:
    """Check that a checkpoint belongs to a job, and note what has changed since.

    Args:
        job: the prepared job.
        path: of the checkpoint.
        description: of the checkpoint.

    Raises:
        CheckpointError: it belongs to another job.
    """
    outcomes_of(path, description, job.scales)
    job.notes += _differences(job, description.recipe)


def run_rest(
    job: Transfer | Dream,
    path: Path,
    description: Description,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    snapshots: SnapshotHooks | None = None,
) -> Result:
    """Run a job from where its checkpoint was written.

    Args:
        job, path, description: see :func:`check_resumable`.
        on_step, stop, snapshots: see :meth:`stylize.products.transfer.transfer.Transfer.run`.
    """
    resume = dataclasses.replace(
        snapshots or SnapshotHooks(), resume=lambda: load(path, description, job.scales)
    )
    return job.run(on_step, stop, resume)


def _differences(job: Transfer | Dream, recipe: Mapping[str, Any]) -> Iterator[str]:
    """List the differences from the first run that may change the last bits of a picture."""
    now = resolution(job.device, job.size, [], job.memory_plan) | {"version": __version__}
    before = recipe["resolved"] | {"version": recipe.get("version")}
    changed = [
        f"{key} {now[key]} instead of {before.get(key)}"
        for key in ("version", "torch", "device", "precision", "threads", "tile_px", "history")
        if now[key] != before.get(key)
    ]
    if changed:
        yield f"continues with {', '.join(changed)}: the last bits of the pixels may differ"
