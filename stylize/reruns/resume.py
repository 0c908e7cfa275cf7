"""A job that goes on where an earlier run was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stylize.optimize.loop import Step
from stylize.optimize.snapshot import Keeping
from stylize.products.dream.dream import Dream
from stylize.products.transfer.transfer import Transfer
from stylize.runs.checkpoint import Description, load, outcomes_of
from stylize.runs.result import Result, resolution
from stylize.version import __version__


class Resumed:
    """The rest of a run.

    Args:
        job: the same as the one that the checkpoint is of.
        path: of the checkpoint.
        description: of the checkpoint.

    Attributes:
        begun: index of the scale under way, from 0, and steps done there.

    Raises:
        CheckpointError: the job is not the one that the checkpoint is of.
    """

    def __init__(self, job: Transfer | Dream, path: Path, description: Description) -> None:
        self._job = job
        self._load = lambda: load(path, description, job.scales)
        outcomes_of(path, description, job.scales)
        self.settings, self.scales = job.settings, job.scales
        self.device, self.memory_plan, self.cost = job.device, job.memory_plan, job.cost
        self.begun = len(description.scales) - 1, description.scales[-1][0]
        self.notes = [*job.notes, *_differences(job, description.recipe)]

    def run(
        self,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
        keeping: Keeping | None = None,
    ) -> Result:
        """Paint the rest, as :meth:`stylize.products.transfer.transfer.Transfer.run` does."""
        keeping = dataclasses.replace(keeping or Keeping(), resume=self._load)
        return self._job.run(on_step, stop, keeping)


def _differences(job: Transfer | Dream, recipe: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it was, on which the last bits of a picture depend."""
    now = resolution(job.device, job.size, [], job.memory_plan) | {"version": __version__}
    before = recipe["resolved"] | {"version": recipe.get("version")}
    changed = [
        f"{key} {now[key]} instead of {before.get(key)}"
        for key in ("version", "torch", "device", "precision", "threads", "tile_px", "history")
        if now[key] != before.get(key)
    ]
    if changed:
        yield f"goes on with {', '.join(changed)}: not the very pixels of an undisturbed run"
