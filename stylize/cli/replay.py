"""``stylize replay``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.inputs import open_picture
from stylize.cli.messages import say
from stylize.cli.options import (
    check_streams,
    found_inputs_option,
    given,
    input_options,
    message_options,
    output_options,
    settings_options,
)
from stylize.cli.output import choose_target
from stylize.cli.rerun import refuse_inspection
from stylize.cli.run import load_torch, perform
from stylize.errors import PictureError, RecipeError
from stylize.images.open import set_pixel_limit
from stylize.runs.inputs import Wanted, find_sources, wanted_of
from stylize.runs.recipe import load_recipe, of_cell, settings_of
from stylize.settings.dream import TunnelSettings
from stylize.settings.execution import Execution

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.runs.result import Result


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@output_options
@click.option("--size", metavar="SIZE", help="Another size than the recipe's: 2048, 12MP …")
@click.option("--enlarge", is_flag=True, help="Let it be larger than the photograph.")
@found_inputs_option
@click.option(
    "--substitute",
    is_flag=True,
    help="Let --input files take the places of inputs that are not found.",
)
@click.option("--cell", metavar="B3", help="The cell of a contact sheet.")
@settings_options(Execution)
@input_options
@message_options
def replay(file: Path, inputs: tuple[Path, ...], **options: Any) -> int:
    """Make the picture FILE again, from the recipe inside it.

    \b
    Examples:
      stylize replay painting.png
      stylize replay painting.png --size 2048 -o poster.png
      stylize replay sheet.png --cell B3 --size 1024

    The inputs are found by their content: among those given with --input, in the folder of FILE,
    in the current folder, and where they lay when they were last used. With the same version on
    the same processor with as many threads, every pixel is the same; elsewhere the difference is
    told.
    """
    overrides = given(Execution, options)
    Execution(**overrides)
    check_streams(options["output"], (), as_json=options["as_json"])
    if not file.exists():
        raise PictureError(f"{file}: there is no such file")
    set_pixel_limit(options["max_input_pixels"])
    recipe = of_cell(load_recipe(file), options["cell"])
    refuse_inspection(recipe, file)
    settings = settings_of(recipe, options["size"])
    if options["enlarge"]:
        settings = dataclasses.replace(settings, enlarge=True)
    wanted = wanted_of(recipe)
    paths = find_sources(
        wanted, given=inputs, folders=(file.parent, Path()), substitute=options["substitute"]
    )

    def prepare() -> Any:
        parts = open_parts(wanted, paths, options)
        load_torch()
        from stylize.reruns import replay as replaying

        execution = replaying.execution_of(recipe, overrides)
        return replaying.prepare(recipe, parts, settings, execution)

    if isinstance(settings, TunnelSettings):
        from stylize.cli.tunnel import replay_tunnel

        return replay_tunnel(file, prepare, settings, paths, options)
    return replay_picture(file, recipe, prepare, paths, options)


def open_parts(
    wanted: Sequence[Wanted], paths: Sequence[Path], options: dict[str, Any]
) -> list[tuple[str, Picture]]:
    """The pictures with the part each plays."""
    pictures = [open_picture(str(path), options) for path in paths]
    for each, path, picture in zip(wanted, paths, pictures, strict=True):
        if picture.sha256 != each.sha256 and not options["substitute"]:
            raise RecipeError(f"{path} has changed since it was found")
    return [(each.role, picture) for each, picture in zip(wanted, pictures, strict=True)]


def replay_picture(
    file: Path,
    recipe: Mapping[str, Any],
    prepare: Callable[[], Any],
    inputs: Sequence[Path],
    options: dict[str, Any],
) -> int:
    """Make a picture again and compare it with the old one."""
    files = [file, *inputs]
    target = choose_target(str(file), files, "replay", options)

    def replayed() -> Any:
        from stylize.reruns.replay import Replayed

        return Replayed(prepare(), recipe)

    def compare(result: Result) -> None:
        if not options["quiet"] and not options["cell"]:
            say(comparison(file, result))

    return perform(replayed, target, files, options, inspect=compare)


def comparison(file: Path, result: Result) -> str:
    """How the new picture differs from the old one, in words."""
    from stylize.images.read import read_picture
    from stylize.reruns.replay import difference

    try:
        found = difference(read_picture(file), result)
    except PictureError as error:  # which is no reason to lose the new one
        return error.message
    if found is None:
        return f"of another size than {file.name}"
    if found[0] == 0:
        return f"every pixel as in {file.name}"
    return (
        f"differs from {file.name} by {found[0]:.0f} grey levels at most, {found[1]:.2g} on average"
    )
