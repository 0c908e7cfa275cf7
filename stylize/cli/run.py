"""A prepared job, from its description to the finished file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stylize.cli.checkpoints import Checkpointing, conclude
from stylize.cli.messages import INTERRUPTED, say
from stylize.cli.options import save_preset
from stylize.cli.output import check_fits, deliver, make_folder, report
from stylize.cli.progress import (
    PREVIEW_EVERY,
    all_of,
    json_steps,
    previews,
    progress_bar,
    stop_on_interrupt,
)
from stylize.images.open import set_pixel_limit

if TYPE_CHECKING:
    from stylize.optimize.loop import Step
    from stylize.optimize.snapshot import Keeping
    from stylize.planning.cost import Cost
    from stylize.planning.device import Device
    from stylize.planning.memory import MemoryPlan
    from stylize.runs.checkpoint import CheckpointPolicy
    from stylize.runs.result import Result
    from stylize.settings.schedule import Scale


class Plan(Protocol):
    """A technique of which it is known what it will do."""

    @property
    def settings(self) -> Any:
        """How it shall look."""

    @property
    def scales(self) -> Sequence[Scale]:
        """Sizes and steps, coarse to fine."""

    @property
    def device(self) -> Device:
        """Where the work is done."""

    @property
    def memory_plan(self) -> MemoryPlan:
        """How the picture is held in memory."""

    @property
    def notes(self) -> Sequence[str]:
        """What a user may want to know of the plan."""

    def cost(self) -> Cost:
        """What the run will cost."""


class Job(Plan, Protocol):
    """A technique that is ready to run: :class:`~stylize.products.transfer.transfer.Transfer` …"""

    def run(
        self,
        on_step: Callable[[Step], None],
        stop: Callable[[], bool],
        keeping: Keeping | None = None,
    ) -> Result:
        """Paint; ``keeping`` is given to those jobs only that are kept in a checkpoint."""


def perform(
    prepare: Callable[[], Job],
    target: Path | None,
    files: list[Path],
    options: dict[str, Any],
    *,
    preview_every: int = PREVIEW_EVERY,
    inspect: Callable[[Result], None] | None = None,
    checkpointing: Checkpointing | None = None,
) -> int:
    """Prepare, paint, write, report; the exit code.

    Args:
        prepare: opens the pictures and loads the network.
        target: the file to write, None for stdout.
        files: the inputs.
        options: those that all painting commands share.
        preview_every: steps between two pictures of ``--save-steps``.
        inspect: looks at the painting before it is written.
        checkpointing: whether the run is kept on its way, and where.
    """
    started = time.perf_counter()
    set_pixel_limit(options["max_input_pixels"])
    job = prepare()
    check_fits(job.scales[-1].size, target, options)
    announce(job, options)
    quiet = options["quiet"]
    keeper = None if checkpointing is None else checkpointing.begin(job, quiet=quiet)
    # Not before: a request that fails leaves nothing behind.
    if options.get("save_preset"):
        save_preset(options["save_preset"], job.settings)
    if options["save_steps"]:
        make_folder(options["save_steps"], files)
    result = run(job, options, preview_every, keeper)
    if inspect is not None:
        inspect(result)
    deliver(result, target, options)
    report(result, target, time.perf_counter() - started, options)
    if keeper is not None:
        conclude(keeper, result, quiet=quiet)
    return INTERRUPTED if result.interrupted else 0


def load_torch() -> None:
    """Import torch, late, so that errors in the arguments do not wait for it."""
    import torch

    from stylize.planning.allocator import keep_buffers

    # Gradients can fade into denormal numbers, which are slow (PyTorch issue 67797).
    torch.set_flush_denormal(True)
    keep_buffers()


def announce(job: Plan, options: Mapping[str, Any]) -> None:
    """Say what a user may want to know of the plan."""
    if not options["quiet"]:
        for note in job.notes:
            say(note)
    if options["verbose"]:
        for line in describe(job):
            say(line)


def describe(job: Plan) -> Iterator[str]:
    """What was decided, a line each."""
    device, cost = job.device, job.cost()
    yield f"device {device.name}, {device.precision}, {device.threads} threads"
    if job.memory_plan.tile_px is not None:
        yield f"large scales in tiles of {job.memory_plan.tile_px} px, to save memory"
    yield "scales " + ", ".join(f"{s.width}×{s.height}: {s.steps}" for s in job.scales)
    line = f"{cost.tflop:.1f} TFLOP, about {cost.peak_bytes / 1e9:.1f} GB of memory"
    yield line + (f", about {cost.seconds:.0f} s" if cost.seconds else "")


def run(
    job: Job, options: dict[str, Any], preview_every: int, keeper: CheckpointPolicy | None
) -> Result:
    """Paint, with the listeners that the options ask for."""
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_interrupt(quiet=options["quiet"]))
        hidden = options["quiet"] or options["as_json"]
        listeners = [stack.enter_context(progress_bar(job.scales, quiet=hidden))]
        if options["save_steps"]:
            listeners.append(previews(options["save_steps"], preview_every))
        if options["as_json"]:
            listeners.append(json_steps())
        if keeper is None:
            return job.run(all_of(listeners), stop)
        from stylize.optimize.snapshot import Keeping

        return job.run(all_of(listeners), stop, Keeping(keeper.offer))
