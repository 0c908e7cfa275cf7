"""``stylize resume``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from stylize.cli.checkpoints import Checkpointing
from stylize.cli.options import (
    check_streams,
    found_inputs_option,
    given,
    message_options,
    settings_options,
)
from stylize.cli.output import choose_target
from stylize.cli.progress import PREVIEW_EVERY
from stylize.cli.replay import open_parts
from stylize.cli.run import load_torch, perform
from stylize.errors import CheckpointError, RecipeError, StylizeError
from stylize.images.open import set_pixel_limit
from stylize.runs.checkpoint import Description, Request, describe
from stylize.runs.inputs import Wanted, find_sources, wanted_of
from stylize.runs.recipe import load_recipe, settings_of
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import CheckpointSettings, Execution

# Of a recipe, what decides the picture that the run leads to.
_ESSENCE = ("technique", "settings", "inputs", "weights")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE", help="Another output than the run began for.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@found_inputs_option
@click.option(
    "--save-steps",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Save the picture on its way: each step of a dream, every tenth of a transfer.",
)
@settings_options(CheckpointSettings)
@settings_options(Execution)
@message_options
def resume(file: Path, inputs: tuple[Path, ...], **options: Any) -> int:
    """Go on with a run that was stopped, from its checkpoint FILE.

    \b
    Examples:
      stylize resume poster.png.checkpoint
      stylize resume poster.png.checkpoint --input photos/ -o other.png

    The pictures are found by their content, as 'stylize replay' finds them; they must be the same
    to the byte. Every option's default is what the run began with. On another device, with another
    precision or number of threads, the picture is not that of an undisturbed run to the last bit.
    FILE is kept up to date on the way, and removed once the picture is written.
    """
    overrides = given(Execution, options)
    Execution(**overrides)
    every = given(CheckpointSettings, options)
    CheckpointSettings(**every)
    kept = describe(file)
    request = dataclasses.replace(
        kept.request, minutes=every.get("checkpoint_every", kept.request.minutes)
    )
    options |= {name: getattr(request, name) for name in ("depth", "quality", "max_input_pixels")}
    set_pixel_limit(request.max_input_pixels)
    settings = settings_of(kept.recipe)
    if isinstance(settings, TunnelSettings):
        raise CheckpointError(f"{file} is of a film, which needs no checkpoint")
    wanted = wanted_of(kept.recipe)
    files = [file, *find_inputs(wanted, inputs, [file.parent, Path()])]
    target = find_target(files, kept, options)

    def prepare() -> Any:
        parts = open_parts(wanted, files[1:], options | {"substitute": False})
        load_torch()
        from stylize.reruns import replay as replaying
        from stylize.reruns.resume import Resumed

        named = [
            (role, dataclasses.replace(picture, name=each.name))
            for each, (role, picture) in zip(wanted, parts, strict=True)
        ]
        execution = replaying.execution_of(kept.recipe, overrides)
        job: Any = replaying.prepare(kept.recipe, named, settings, execution)
        return Resumed(job, file, kept)

    every_step = 1 if isinstance(settings, DreamSettings) else PREVIEW_EVERY
    keeping = Checkpointing(request, file, resumed=True)
    return perform(prepare, target, files, options, preview_every=every_step, checkpointing=keeping)


def find_inputs(
    wanted: Sequence[Wanted], given: Sequence[Path], folders: Sequence[Path]
) -> list[Path]:
    """The files that the run began with, see :func:`stylize.runs.inputs.find_sources`.

    Raises:
        CheckpointError: one is not found, or has changed.
    """
    try:
        return find_sources(wanted, given=given, folders=folders)
    except RecipeError as error:
        message = error.message.replace("the recipe's", "the run's")
        raise CheckpointError(
            message, hint="it goes on only with the very same pictures; --input says where"
        ) from error


def find_target(files: Sequence[Path], kept: Description, options: dict[str, Any]) -> Path | None:
    """Where the picture goes; sets the options that decide how it is written.

    Raises:
        OutputError: it cannot be written, or something else is in its way.
    """
    request: Request = kept.request
    named = options["output"] is not None
    output = options["output"] if named else request.target or "-"
    options["output"] = output
    options["format"] = request.format if output == "-" else None
    check_streams(output, (), as_json=options["as_json"])
    replace = options["overwrite"] or (request.overwrite and not named)
    options["overwrite"] = replace or is_unfinished(Path(output), kept.recipe)
    return choose_target(None, files, "resumed", options)


def is_unfinished(path: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether a file is what an interrupted run has left of the same picture."""
    try:
        found = load_recipe(path)
    except StylizeError:
        return False
    same = all(found[key] == recipe.get(key) for key in _ESSENCE if key in found)
    return same and found.get("interrupted") is True
