"""``stylize resume``."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.checkpoints import Checkpointing, hold_checkpoint
from stylize.cli.completion import FILE
from stylize.cli.help import Command, option
from stylize.cli.options import (
    check_streams,
    film_option,
    found_inputs_option,
    given,
    is_typed,
    message_options,
    overwrite_option,
    save_steps_option,
    settings_options,
)
from stylize.cli.output import check_film, choose_target, require_distinct
from stylize.cli.process import load_torch
from stylize.cli.progress import PREVIEW_EVERY, stop_on_interrupt
from stylize.cli.replay import open_inputs
from stylize.cli.requests import Messages, OutputRequest, take
from stylize.cli.run import RunRequest, begin, film_of, run_job, save
from stylize.errors import CheckpointError, OutputError, RecipeError, StylizeError, UsageError
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import CheckpointSettings, Execution
from stylize.settings.fields import Group

if TYPE_CHECKING:
    from stylize.runs.checkpoint import Description
    from stylize.runs.inputs import Wanted

# Of a recipe, what decides the picture that the run leads to.
_ESSENCE = ("technique", "settings", "inputs", "weights")


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    group=Group.OUTPUT,
    everyday=True,
    help="File to write, instead of the one the run was started for.",
)
@overwrite_option
@found_inputs_option
@save_steps_option
@film_option
@settings_options(CheckpointSettings)
@settings_options(Execution)
@message_options
def resume(file: Path, inputs: tuple[Path, ...], **options: Any) -> int:
    """Continue a run that was stopped, from its checkpoint FILE.

    \b
    Examples:
      stylize resume poster.png.checkpoint
      stylize resume poster.png.checkpoint --threads 2
      stylize resume poster.png.checkpoint --input photos/ -o other.png

    Inputs are found by their content, as in 'stylize replay'; they must not have changed. Options
    default to those of the first run. FILE is updated during the run, and removed once the
    picture is written. A film made with --film begins where the run continues. With another
    device, precision or number of threads, the pixels may differ in their last bits from those of
    an uninterrupted run.

    FILE may also be the folder of an unfinished clip, such as clip.mp4.frames.
    """
    if file.is_dir():
        return continue_clip(file, options)
    request = read_request(file, inputs, options)
    load_torch(request.paths)
    job = prepare(request)
    return paint_rest(job, request)


def continue_clip(folder: Path, options: dict[str, Any]) -> int:
    """Continue a clip; what decides about it cannot be changed."""
    from stylize.cli.clip_reruns import resume_clip

    passed = {"overwrite": "--overwrite", "quiet": "-q", "verbose": "-v", "as_json": "--json"}
    for parameter in click.get_current_context().command.params:
        name = parameter.name or ""
        if name not in ("file", *passed) and is_typed(name):
            raise UsageError(f"{parameter.opts[-1]} cannot change a clip", hint="leave it out")
    more = [word for name, word in passed.items() for _ in range(options[name])]  # -vv is 2
    return resume_clip(folder, more)


@dataclass(frozen=True)
class ResumeRequest:
    """What the command line and the checkpoint say about a run to continue.

    Attributes:
        file: the checkpoint.
        description: of the checkpoint.
        wanted: the run's inputs.
        paths: where each was found.
        overrides: of the run's execution.
        run: where the result goes.
    """

    file: Path
    description: Description
    settings: Any
    wanted: Sequence[Wanted]
    paths: Sequence[Path]
    overrides: Mapping[str, Any]
    run: RunRequest


def read_request(file: Path, inputs: Sequence[Path], options: dict[str, Any]) -> ResumeRequest:
    """Read the checkpoint, find the inputs, and check the options."""
    from stylize.images.open import set_pixel_limit
    from stylize.runs.checkpoint import describe
    from stylize.runs.inputs import wanted_of
    from stylize.runs.recipe import settings_of

    messages, output = take(Messages, options), take(OutputRequest, options)
    overrides = given(Execution, options)
    Execution(**overrides)
    every = given(CheckpointSettings, options)
    CheckpointSettings(**every)
    hold_checkpoint(file)
    description = describe(file)
    kept = description.request
    request = dataclasses.replace(kept, minutes=every.get("checkpoint_every", kept.minutes))
    set_pixel_limit(request.max_input_pixels)
    settings = settings_of(description.recipe)
    if isinstance(settings, TunnelSettings):
        raise CheckpointError(f"{file} belongs to a film, which needs no checkpoint")
    wanted = wanted_of(description.recipe)
    paths = find_inputs(wanted, inputs, [file.parent, Path()])
    output = resolve_request(output, description, file)
    check_streams(output.output, (), as_json=messages.as_json)
    files = [file, *paths]
    run = RunRequest(
        target=choose_rest(output, description, files),
        files=files,
        output=output,
        messages=messages,
        checkpointing=Checkpointing(request, file, resumed=True),
        is_older=partial(is_unfinished, recipe=description.recipe),
        preview_every=1 if isinstance(settings, DreamSettings) else PREVIEW_EVERY,
    )
    return ResumeRequest(file, description, settings, wanted, paths, overrides, run)


def prepare(request: ResumeRequest) -> Any:
    """Open the pictures and load the network.

    Raises:
        CheckpointError: the checkpoint is of another run.
    """
    from stylize.reruns.replay import execution_of, job_of
    from stylize.reruns.resume import check_resumable

    recipe = request.description.recipe
    opened = open_inputs(request.wanted, request.paths, request.run.messages, substitute=False)
    pictures = [
        (role, dataclasses.replace(picture, name=each.name))
        for each, (role, picture) in zip(request.wanted, opened, strict=True)
    ]
    job = job_of(recipe, pictures, request.settings, execution_of(recipe, request.overrides))
    assert not isinstance(request.settings, TunnelSettings)
    check_resumable(job, request.file, request.description)  # type: ignore[arg-type]
    return job


def paint_rest(job: Any, request: ResumeRequest) -> int:
    """Paint the rest of the run and save the picture; the exit code."""
    from stylize.reruns.resume import run_rest

    policy = begin(job, request.run)
    rest = partial(run_rest, job, request.file, request.description)
    with (
        stop_on_interrupt(quiet=request.run.messages.quiet) as stop,
        film_of(job, request.run) as film,
    ):
        result = run_job(job, request.run, policy, stop, rest, film)
        return save(result, request.run, stop, policy, film)


def find_inputs(
    wanted: Sequence[Wanted], given: Sequence[Path], folders: Sequence[Path]
) -> list[Path]:
    """The files that the run began with, see :func:`stylize.runs.inputs.find_sources`.

    Raises:
        CheckpointError: one is not found, or has changed.
    """
    from stylize.runs.inputs import find_sources

    try:
        return find_sources(wanted, given=given, folders=folders)
    except RecipeError as error:
        message = error.message.replace("the recipe's", "the run's")
        raise CheckpointError(
            message, hint="the run needs the very same pictures; name them with --input"
        ) from error


def require_next_to(target: Path, file: Path) -> None:
    """Check that the target a checkpoint names is in the checkpoint's own folder.

    Raises:
        OutputError: it is elsewhere, where only the user may say that something is written.
    """
    if os.path.realpath(target.parent) != os.path.realpath(file.parent):
        raise OutputError(
            f"{file} names {target}, which is in another folder", hint=f"confirm it: -o {target}"
        )


def resolve_request(asked: OutputRequest, description: Description, file: Path) -> OutputRequest:
    """Write the picture as the first run asked for, unless another output is named."""
    kept = description.request
    output = asked.output or kept.target or "-"
    if asked.output is None and kept.target is not None:
        target = Path(kept.target)
        if not is_unfinished(target, description.recipe):
            require_next_to(target, file)
    return OutputRequest(
        output=output,
        # A checkpoint may be a stranger's: what it says about overwriting is not followed.
        overwrite=asked.overwrite,
        format=kept.format if output == "-" else None,
        depth=int(kept.depth),
        quality=kept.quality,
        save_steps=asked.save_steps,
        film=asked.film,
    )


def choose_rest(
    output: OutputRequest, description: Description, files: Sequence[Path]
) -> Path | None:
    """The file to write: only an unfinished picture of the same run is replaced unasked."""
    unfinished = is_unfinished(Path(str(output.output)), description.recipe)
    overwrite = output.overwrite or unfinished
    alone = dataclasses.replace(output, overwrite=overwrite, film=None)
    target = choose_target(None, files, "resumed", alone)
    check_film(output, [*files, *([target] if target is not None else [])])
    outputs = {"the result": target, "--film": output.film, "--save-steps": output.save_steps}
    require_distinct(outputs)
    return target


def is_unfinished(path: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether a file is what an interrupted run has left of the same picture."""
    from stylize.runs.recipe import load_recipe

    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        found = load_recipe(path)
    except StylizeError:
        return False
    same = all(found[key] == recipe.get(key) for key in _ESSENCE if key in found)
    return same and found.get("interrupted") is True
