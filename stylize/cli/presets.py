"""``stylize presets``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from stylize.cli.completion import names_or_files, preset_names_of
from stylize.cli.help import CommandGroup, option
from stylize.cli.options import choose_preset
from stylize.errors import UnknownNameError, UsageError
from stylize.networks.models import PACKAGED, find_model
from stylize.planning.cost import Cost, picture_cost
from stylize.planning.self_test_cache import latest
from stylize.settings.fields import Group, to_document
from stylize.settings.presets import (
    PRODUCTS,
    Preset,
    every_preset_name,
    find_preset,
    is_path,
    read_preset,
    to_toml,
)
from stylize.settings.schedule import result_size

# A usual photo, for estimates without one.
PHOTO = (3000, 4000)


@click.group(cls=CommandGroup)
def presets() -> None:
    """List and show presets.

    \b
    Examples:
      stylize presets list
      stylize presets show bold
      stylize transfer photo.jpg painting.jpg --preset bold
    """


@presets.command("list")
@option("--json", "as_json", is_flag=True, everyday=True, help="Print a JSON array.")
def list_command(as_json: bool) -> None:
    """List the presets with their cost.

    \b
    Examples:
      stylize presets list
      stylize presets list --json

    The seconds are an estimate for a 4:3 photo at the preset's own size, from the last self-test on
    this machine. Before the first run they are unknown. The cost of a preset for a network that has
    to be added first is not listed.
    """
    rows = [row(find_preset(kind, name)) for kind in PRODUCTS for name in every_preset_name(kind)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for each in rows:
        seconds = f"{each['seconds']:>5.0f} s" if each["seconds"] else "    ? s"
        work = "?" if each["tflop_per_mp"] is None else f"{each['tflop_per_mp']:.0f}"
        click.echo(
            f"{each['technique']:<9} {each['name']:<17} {work:>5} TFLOP/MP"
            f" {seconds}  {each['description']}"
        )


def row(preset: Preset) -> dict[str, Any]:
    """A preset and what it costs."""
    settings = preset.apply()
    tflop, seconds = None, None
    # The cost of any other network is known only to torch, which takes seconds to load.
    if settings.network in PACKAGED:
        cost, megapixels = cost_of(settings)
        tflop = round(cost.tflop / megapixels, 1)
        seconds = None if cost.seconds is None else round(cost.seconds, 1)
    return {
        "technique": preset.technique,
        "name": preset.name,
        "description": preset.description,
        "tflop_per_mp": tflop,
        "seconds": seconds,
    }


def cost_of(settings: Any) -> tuple[Cost, float]:
    """Cost of a 4:3 photo at the settings' own size, and that size in megapixels."""
    size = result_size(settings, PHOTO)
    known = latest()
    cost = picture_cost(
        settings,
        size,
        architecture=find_model(settings.network).architecture,
        precision=known.precision if known else "fp32",
        gflops=known.gflops if known else None,
    )
    return cost, size[0] * size[1] / 1e6


def find_by_name(name: str) -> Preset:
    """A preset of whichever technique has one of that name, or of a file.

    Raises:
        UnknownNameError: none has.
    """
    for technique in PRODUCTS:
        if name in every_preset_name(technique):
            return find_preset(technique, name)
    path = Path(name)
    if path.suffix != ".toml" and path.is_file():
        return preset_of_picture(path)
    if is_path(name):
        return read_preset(path)
    raise UnknownNameError(
        "preset", name, [n for kind in PRODUCTS for n in every_preset_name(kind)]
    )


def preset_of_picture(path: Path) -> Preset:
    """The settings of a picture, as ``--preset`` takes them.

    Raises:
        RecipeError: it carries no recipe.
        UsageError: it was made by a command without presets.
    """
    from stylize.runs.recipe import load_recipe

    technique = str(load_recipe(path)["technique"])
    if technique not in (*PRODUCTS, "tunnel"):
        raise UsageError(f"{path.name} was made by 'stylize {technique}', which has no presets")
    return choose_preset(technique, str(path))


@presets.command()
@click.argument(
    "name", metavar="NAME|FILE", shell_complete=names_or_files(preset_names_of(*PRODUCTS))
)
@option(
    "--full",
    is_flag=True,
    group=Group.OUTPUT,
    everyday=True,
    help="Print all settings, not only those that differ from the defaults.",
)
@option("--json", "as_json", is_flag=True, everyday=True, help="Print a JSON object.")
def show(name: str, full: bool, as_json: bool) -> None:
    """Print a preset as TOML, ready to edit and use with --preset FILE.

    \b
    Examples:
      stylize presets show bold
      stylize presets show bold --full
      stylize presets show bold > mine.toml

    FILE may also be a picture or clip made by stylize.
    """
    preset = find_by_name(name)
    if full:
        settings = to_document(preset.apply())
        preset = Preset(preset.name, preset.technique, preset.description, settings)
    if as_json:
        names = ("name", "technique", "description")
        document = {name: getattr(preset, name) for name in names}
        click.echo(json.dumps(document | {"settings": dict(preset.settings)}, indent=2))
        return
    click.echo(to_toml(preset), nl=False)
