"""Run a prepared job and save its result: what every painting command does after parsing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from stylize.cli.checkpoints import Checkpointing, conclude, read_checkpointing
from stylize.cli.inputs import files_among, require_files
from stylize.cli.masks import take_save_mask
from stylize.cli.messages import TERMINATED, emit, say
from stylize.cli.options import check_new_preset, check_streams, notes_on_options, save_preset
from stylize.cli.output import (
    check_fits,
    choose_target,
    deliver,
    deliver_film,
    make_folder,
    placeholders,
    report,
    require_distinct,
    say_renamed,
)
from stylize.cli.progress import (
    PREVIEW_EVERY,
    Listener,
    Stop,
    all_of,
    json_steps,
    previews,
    step_meter,
    stop_on_interrupt,
)
from stylize.cli.requests import Messages, OutputRequest

if TYPE_CHECKING:
    from torch import Tensor

    from stylize.batches.plan import Estimate
    from stylize.images.read import Picture
    from stylize.optimize.loop import Step
    from stylize.optimize.snapshot import SnapshotHooks
    from stylize.planning.cost import Cost
    from stylize.planning.device import Device
    from stylize.planning.memory import MemoryPlan
    from stylize.runs.checkpoint import CheckpointPolicy
    from stylize.runs.film import RunFilm
    from stylize.runs.result import Result
    from stylize.settings.schedule import Scale


# What a product does, for people.
DOING = {"transfer": "painting", "dream": "dreaming"}


class Plan(Protocol):
    """The plan of a job."""

    @property
    def settings(self) -> Any:
        """The settings of the product."""

    @property
    def scales(self) -> Sequence[Scale]:
        """Sizes and steps, coarse to fine."""

    @property
    def device(self) -> Device:
        """The device that does the work."""

    @property
    def memory_plan(self) -> MemoryPlan:
        """Whole, or in tiles."""

    @property
    def notes(self) -> Sequence[str]:
        """Remarks on the plan for the user."""

    def cost(self) -> Cost:
        """Estimate the cost of the run."""


class Job(Plan, Protocol):
    """A transfer or a dream that is ready to run."""

    @property
    def area(self) -> Picture | None:
        """A mask, white where the photo changes; None for everywhere."""

    @property
    def alpha(self) -> Tensor | None:
        """The transparency of the result; None if it is opaque."""

    def run(
        self,
        on_step: Callable[[Step], None],
        stop: Callable[[], bool],
        snapshots: SnapshotHooks | None = None,
    ) -> Result:
        """Paint; ``snapshots`` is given only where there is a checkpoint."""


@dataclass(frozen=True)
class RunRequest:
    """The part of a painting command that does not change the look.

    Attributes:
        target: the file to write, checked to be writable; None for stdout.
        files: the inputs, which are never written to.
        output: how the picture is written.
        messages: what is said.
        checkpointing: None for no checkpoint.
        save_preset: where the settings are written.
        save_mask: where the mask that was found is written.
        preview_every: steps between two pictures of ``--save-steps``.
        is_older: whether a file is an unfinished picture of this run, which is replaced unasked.
        started: when the command began, by :func:`time.perf_counter`.
    """

    target: Path | None
    files: Sequence[Path]
    output: OutputRequest
    messages: Messages
    checkpointing: Checkpointing | None = None
    save_preset: Path | None = None
    save_mask: Path | None = None
    preview_every: int = PREVIEW_EVERY
    is_older: Callable[[Path], bool] | None = None
    started: float = field(default_factory=time.perf_counter)


def check_run(
    photo: str | None,
    sources: Sequence[str],
    words: str,
    settings: Any,
    output: OutputRequest,
    messages: Messages,
    options: dict[str, Any],
    *,
    preview_every: int = PREVIEW_EVERY,
    names: Mapping[str, str] | None = None,
) -> RunRequest:
    """Check inputs and outputs of a transfer or a dream; takes what is left of the options.

    Args:
        photo: names the result where no output is named.
        sources: all inputs, files or ``-``.
        words: added to the photo's name.
        names: of the preset and the style, for the placeholders in ``-o``.
    """
    files = files_among(sources)
    check_streams(output.output, sources, as_json=messages.as_json)
    require_files(files)
    values = {**(names or {}), **placeholders(settings)}
    target = choose_target(photo, files, words, output, values)
    save_mask = take_save_mask(settings, files, target, overwrite=output.overwrite, options=options)
    checkpointing = read_checkpointing(target, files, output, options)
    preset_file: Path | None = options.pop("save_preset")
    if preset_file is not None:
        check_new_preset(preset_file, overwrite=output.overwrite)
    require_distinct(
        {
            "the result": target,
            "--film": output.film,
            "--save-mask": save_mask,
            "--checkpoint": checkpointing.path,
            "--save-preset": preset_file,
            "--save-steps": output.save_steps,
        }
    )
    return RunRequest(
        target, files, output, messages, checkpointing, preset_file, save_mask, preview_every
    )


def paint(job: Job, request: RunRequest) -> int:
    """Run a job and save its result; the exit code."""
    policy = begin(job, request)
    with stop_on_interrupt(quiet=request.messages.quiet) as stop, film_of(job, request) as film:
        result = run_job(job, request, policy, stop, film=film)
        return save(result, request, stop, policy, film)


def paint_all(jobs: Iterable[tuple[Job, RunRequest]]) -> int:
    """Run jobs one after the other until one is stopped; the exit code."""
    for number, (job, request) in enumerate(jobs):
        started = time.perf_counter() if number else request.started
        code = paint(job, dataclasses.replace(request, started=started))
        if code:
            return code
    return 0


def begin(job: Job, request: RunRequest) -> CheckpointPolicy | None:
    """Say what was planned and create what the run needs; the checkpoint, if it has one."""
    from stylize.images.write import write_picture

    check_fits(job.scales[-1].size, request.target, request.output)
    overwrite = request.output.overwrite
    if request.save_mask is not None:
        assert job.area is not None
        saved = write_picture(request.save_mask, job.area.pixels, overwrite=overwrite)
        say_renamed(saved, request.save_mask, request.messages)
    announce(job, request.messages)
    policy = None
    if request.checkpointing is not None:
        policy = request.checkpointing.begin(job, quiet=request.messages.quiet)
    # Not earlier: a request that fails leaves nothing behind.
    if request.save_preset is not None:
        saved = save_preset(request.save_preset, job.settings, overwrite=overwrite)
        say_renamed(saved, request.save_preset, request.messages)
    if request.output.save_steps is not None:
        # The rest of a run adds its steps to those before; none of them is replaced.
        shared = overwrite or request.is_older is not None
        make_folder(request.output.save_steps, request.files, shared=shared)
    return policy


def run_job(
    job: Job,
    request: RunRequest,
    policy: CheckpointPolicy | None,
    stop: Stop,
    run: Callable[..., Result] | None = None,
    film: RunFilm | None = None,
) -> Result:
    """Paint, with a bar, previews and JSON lines as requested.

    Args:
        job: what is painted.
        request: what is shown and saved on the way.
        policy: the checkpoint.
        stop: whether to stop after a step.
        run: paints, if not the job's own method: a part of the steps, or the rest of a run.
        film: see :func:`film_of`.
    """
    pace = Pace(job) if run is None else None
    run = run or job.run
    cost = job.cost()
    # Under stop_on_interrupt: a program that reads it may stop the run at once.
    if request.messages.as_json:
        emit_start(request.target, plan_of(job), estimate_of(cost), job.notes)
    with ExitStack() as stack:
        meter = step_meter(
            job.scales,
            request.messages,
            doing=DOING[job.settings.TECHNIQUE],
            estimate_s=cost.seconds,
        )
        listeners = [stack.enter_context(meter)]
        if request.output.save_steps is not None:
            listeners.append(
                previews(
                    request.output.save_steps,
                    request.preview_every,
                    overwrite=request.output.overwrite,
                    alpha=job.alpha,
                )
            )
        if film is not None:
            listeners.append(frames_for(film))
        if request.messages.as_json:
            listeners.append(json_steps())
        if pace is not None:
            listeners.append(pace)
        if policy is None:
            result = run(all_of(listeners), stop)
        else:
            from stylize.optimize.snapshot import SnapshotHooks

            policy.is_terminated = lambda: stop.exit_code == TERMINATED
            result = run(all_of(listeners), stop, SnapshotHooks(policy.offer))
    if pace is not None:
        pace.remember()
    return result


# Less work than this, in seconds by the plan and by the clock, says little about a machine's speed.
LEAST_PACE_S = 2.0


class Pace:
    """Compares the time of the steps with the plan, and corrects what is known of the machine."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._pixels, self._seconds = 0, 0.0

    def __call__(self, step: Step) -> None:
        self._pixels += step.size[0] * step.size[1]
        self._seconds = step.seconds

    def remember(self) -> None:
        """Correct the kept rate by the steps so far."""
        from stylize.planning.cost import expected_px
        from stylize.planning.self_test_cache import correct_rate

        predicted, key = self._job.cost().seconds, self._job.device.key
        if predicted is None or key is None:
            return
        done = predicted * self._pixels / expected_px(self._job.scales)
        # A short run that took long waited for other programs.
        if min(done, self._seconds) >= LEAST_PACE_S:
            correct_rate(key, done / self._seconds)


def film_of(job: Job, request: RunRequest) -> AbstractContextManager[RunFilm | None]:
    """The film of a run, if it was asked for; its frames are removed at the end."""
    if request.output.film is None:
        return nullcontext()
    from stylize.runs.film import RunFilm

    return RunFilm(job.scales, job.alpha)


def frames_for(film: RunFilm) -> Listener:
    """Take the frames of a film; a full disk ends the film, not the run."""

    def listen(event: Step) -> None:
        before = film.fault
        film.on_step(event)
        if film.fault is not before:
            say(f"{film.fault}; the run continues, the film ends here")

    return listen


def save(
    result: Result,
    request: RunRequest,
    stop: Stop,
    policy: CheckpointPolicy | None = None,
    film: RunFilm | None = None,
) -> int:
    """Write the result and its film and say where they are; the exit code.

    It runs under :func:`stop_on_interrupt`, so that a signal does not cost the picture.
    """
    output = request.output
    if request.is_older is not None and request.target is not None:
        # It may have been replaced by another file since the run began.
        overwrite = output.overwrite or request.is_older(request.target)
        output = dataclasses.replace(output, overwrite=overwrite)
    saved = deliver(result, request.target, output)
    seconds = time.perf_counter() - request.started
    try:
        if film is not None:
            deliver_film(film, result, request.output, request.messages)
    finally:  # the picture is there, whatever becomes of the film
        report(result, saved, seconds, request.messages, wanted=request.target)
        if policy is not None:
            conclude(policy, result, quiet=request.messages.quiet)
    return stop.exit_code if result.interrupted else 0


def emit_start(
    target: Path | None,
    plan: dict[str, Any],
    estimate: dict[str, Any],
    notes: Sequence[str] = (),
) -> None:
    """Print the event that a run begins."""
    _, _, command = click.get_current_context().command_path.partition(" ")
    file = None if target is None else str(target)
    notes = [*notes_on_options(), *notes]
    emit("start", command=command, file=file, plan=plan, estimate=estimate, notes=notes)


def plan_of(plan: Plan) -> dict[str, Any]:
    """Describe a plan for programs."""
    last = plan.scales[-1]
    return {
        "size": [last.width, last.height],
        "scales": [[each.width, each.height, each.steps] for each in plan.scales],
        "device": plan.device.name,
        "precision": plan.device.precision,
        "threads": plan.device.threads,
        "tile_px": plan.memory_plan.tile_px,
    }


def estimate_of(cost: Cost | Estimate) -> dict[str, Any]:
    """Describe the cost of a run for programs."""
    return {
        "seconds": None if cost.seconds is None else round(cost.seconds, 1),
        "tflop": round(cost.tflop, 3),
        "peak_bytes": round(cost.peak_bytes),
    }


def announce(plan: Plan, messages: Messages) -> None:
    """Say what a user may want to know of the plan."""
    if not messages.quiet:
        for note in plan.notes:
            say(note)
    if messages.verbose:
        for line in describe_plan(plan):
            say(line)


def describe_plan(plan: Plan) -> Iterator[str]:
    """Describe a plan, one line for each decision."""
    device, cost = plan.device, plan.cost()
    threads = "1 thread" if device.threads == 1 else f"{device.threads} threads"
    yield f"device {device.name}, {device.precision}, {threads}"
    if plan.memory_plan.tile_px is not None:
        yield f"large scales in tiles of {plan.memory_plan.tile_px} px, to save memory"
    yield "scales " + ", ".join(f"{s.width}×{s.height}: {s.steps}" for s in plan.scales)
    line = f"{cost.tflop:.1f} TFLOP, about {cost.peak_bytes / 1e9:.1f} GB of memory"
    yield line + (f", about {cost.seconds:.0f} s" if cost.seconds else "")
