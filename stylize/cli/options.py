"""Click options derived from the settings, and those that several commands share."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from stylize.cli.completion import FIELDS, FILE, names_or_files, preset_names_of
from stylize.cli.help import Decorated, Option, option
from stylize.cli.messages import is_closed
from stylize.errors import OutputError, SettingError
from stylize.settings.fields import Group, option_name
from stylize.settings.presets import (
    DEFAULTS,
    Preset,
    changes,
    find_preset,
    preset_names,
    to_toml,
)


class LayerWeightsType(click.ParamType[Any]):
    """``relu1_1:16,relu2_1:8``; a layer without a number weighs 1."""

    name = "LAYER[:WEIGHT],…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, float], ...]:
        """The pairs, in the order given; names are checked when the network is known."""
        if isinstance(value, tuple):
            return value
        pairs: dict[str, float] = {}
        for part in value.split(","):
            layer, colon, weight = (word.strip() for word in part.partition(":"))
            try:
                number = float(weight) if colon else 1.0
            except ValueError:
                self.fail(f"'{part}' is not LAYER or LAYER:WEIGHT", param, ctx)
            if not layer or layer in pairs:
                self.fail(f"'{value}' names a layer twice or not at all", param, ctx)
            pairs[layer] = number
        return tuple(pairs.items())


# How a field's type is read from the command line; several values by repetition.
_TYPES: dict[str, Any] = {
    "str": click.STRING,
    "bool": click.BOOL,
    "int": click.INT,
    "float": click.FLOAT,
    "tuple[float, ...]": click.FLOAT,
    "tuple[str, ...]": click.STRING,
    "LayerWeights": LayerWeightsType(),
}


def option_for(each: dataclasses.Field[Any], *, hidden: bool = False) -> click.Option:
    """The option of one settings field; its value is None unless the user gives one."""
    kind = str(each.type).removesuffix(" | None")
    choices = each.metadata["choices"]
    repeated = kind.startswith("tuple") or each.metadata["joined"]
    help_text = each.metadata["help"]
    if each.default not in (None, ()) and each.default is not False:
        help_text += f"  [{_shown(each.default)}]"
    name = option_name(each)
    listed = click.Choice(choices) if choices and "file" not in choices else None
    values = {"int": "N", "float": "N", "tuple[float, ...]": "N", "str": each.name.upper()}
    return Option(
        [f"{name}/--no-{name.removeprefix('--')}" if kind == "bool" else name, each.name],
        type=listed or _TYPES[kind],
        multiple=repeated,
        default=None,
        help=help_text,
        show_default=False,
        metavar=each.metadata["metavar"] or (None if listed else values.get(kind)),
        group=each.metadata["group"],
        everyday=each.metadata["everyday"],
        hidden=hidden,
        shell_complete=None if listed else FIELDS.get(each.name),
    )


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(f"{name}:{weight:g}" for name, weight in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def settings_options(
    kind: type[Any], *, hide: Sequence[str] = ()
) -> Callable[[Decorated], Decorated]:
    """Decorator that gives a command one option for each field of a settings class.

    Args:
        kind: the settings class.
        hide: fields that make no sense here; they are understood, but help does not show them.
    """

    def decorate(function: Decorated) -> Decorated:
        for each in reversed(dataclasses.fields(kind)):
            _append(function, option_for(each, hidden=each.name in hide))
        return function

    return decorate


def _append(function: Any, option: click.Option) -> None:
    if not hasattr(function, "__click_params__"):
        function.__click_params__ = []
    function.__click_params__.append(option)


def given(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """What the user said, of all option values: without the None and the empty ones.

    Removes the fields of ``kind`` from ``values``.
    """
    found = {each.name: values.pop(each.name) for each in dataclasses.fields(kind)}
    return {
        each.name: _plain(each, found[each.name])
        for each in dataclasses.fields(kind)
        if found[each.name] is not None and found[each.name] != ()
    }


def _plain(each: dataclasses.Field[Any], value: Any) -> Any:
    """Convert a value from click to its form in a preset."""
    if each.metadata["joined"]:
        signed = (part if part.lstrip().startswith(("+", "-")) else f"+ {part}" for part in value)
        return " ".join(signed).removeprefix("+ ")
    return dict(value) if each.type == "LayerWeights" else value


def group_of(decorators: Iterable[Callable[[Any], Any]]) -> Callable[[Decorated], Decorated]:
    """Several option decorators as one, in the order of the help."""
    chain = list(decorators)

    def decorate(function: Decorated) -> Decorated:
        for decorator in reversed(chain):
            function = decorator(function)
        return function

    return decorate


# How a picture is written, whatever it is.
saving_options = [
    option(
        "--depth",
        type=click.Choice([8, 16]),
        default=8,
        group=Group.OUTPUT,
        help="Bits per channel; 16 needs PNG or TIFF.  [8]",
    ),
    option(
        "--quality",
        type=click.IntRange(1, 100),
        default=95,
        metavar="N",
        group=Group.OUTPUT,
        help="Quality for JPEG, WebP and AVIF, 1 to 100.  [95]",
    ),
]

overwrite_option = option(
    "--overwrite",
    is_flag=True,
    group=Group.OUTPUT,
    everyday=True,
    help="Replace an existing file.",
)

save_steps_option = option(
    "--save-steps",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    group=Group.OUTPUT,
    help="Save intermediate pictures: every step of a dream, every tenth of a transfer.",
)

film_option = option(
    "--film",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    group=Group.OUTPUT,
    help="Also save a film of the picture as it grows: FILE.webp, .gif or .mp4.",
)

# Of every command that makes a picture.
result_options = group_of(
    [
        option(
            "-o",
            "--output",
            type=FILE,
            metavar="FILE",
            group=Group.OUTPUT,
            everyday=True,
            help="File or folder to write to, or - for stdout.  [next to the photo]",
        ),
        overwrite_option,
        option(
            "--format",
            type=click.Choice(["png", "jpeg", "webp", "avif", "tiff"]),
            group=Group.OUTPUT,
            help="Format for stdout; for a file, its extension decides.  [png]",
        ),
        *saving_options,
    ]
)

# Of those that make one picture, step by step.
output_options = group_of([result_options, save_steps_option, film_option])


def _limit_pixels(context: click.Context, option: click.Parameter, value: int) -> None:
    if context.resilient_parsing:
        return  # completion opens no pictures
    from stylize.images.open import set_pixel_limit

    set_pixel_limit(value)


input_options = group_of(
    [
        option(
            "--max-input-pixels",
            type=click.IntRange(min=1),
            default=80_000_000,
            metavar="N",
            expose_value=False,
            callback=_limit_pixels,
            group=Group.EXECUTION,
            help="Refuse pictures with more pixels.  [80000000]",
        ),
    ]
)

found_inputs_option = option(
    "--input",
    "inputs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    group=Group.INPUT,
    everyday=True,
    help="An input file, or a folder to search for the inputs. Repeatable.",
)

guide_option = option(
    "--guide",
    type=FILE,
    metavar="PHOTO",
    group=Group.LOOK,
    everyday=True,
    help="Amplify what this photo shows, instead of fixed features.",
)

message_options = group_of(
    [
        option(
            "--json",
            "as_json",
            is_flag=True,
            everyday=True,
            help="Print events as JSON lines on stdout.",
        ),
        option("-q", "--quiet", is_flag=True, everyday=True, help="Print errors only."),
        option(
            "-v",
            "--verbose",
            count=True,
            everyday=True,
            help="Print the device, the sizes, an estimate of the time, and the losses; -vv adds"
            " tracebacks.",
        ),
    ]
)


def preset_option(
    product: str, *, names: Sequence[str] = (), **changes: Any
) -> Callable[[Decorated], Decorated]:
    """The option ``--preset`` of a product; its parameter has the name ``names[0]``, if any."""
    usual = {
        "default": DEFAULTS[product],
        "help": "Settings to start from: a name from 'stylize presets list', a TOML file, or a"
        f" picture made by stylize. Other options override them.  [{DEFAULTS[product]}]",
    }
    return option(
        "--preset",
        *names,
        metavar="NAME|FILE",
        group=Group.LOOK,
        everyday=True,
        shell_complete=names_or_files(preset_names_of(product)),
        **{**usual, **changes},
    )


def check_streams(output: str | None, sources: Iterable[str], *, as_json: bool) -> None:
    """Refuse requests in which two things want the same stream.

    Raises:
        SettingError: two inputs from stdin, a picture and JSON on stdout, or a picture on a
            terminal.
    """
    if list(sources).count("-") > 1:
        raise SettingError("stdin can give only one picture")
    if output == "-" and as_json:
        raise SettingError("-o - and --json both want stdout", hint="write the picture to a file")
    if output == "-" and is_closed(sys.stdout):
        raise SettingError("stdout is closed", hint="-o FILE")
    if output == "-" and sys.stdout.isatty():
        raise SettingError(
            "stdout is a terminal: no picture is written to it", hint="-o - > result.png"
        )


def preset_options(product: str) -> Callable[[Decorated], Decorated]:
    """The options that name a look, or save one."""
    return group_of(
        [
            preset_option(product),
            option(
                "--save-preset",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                group=Group.OUTPUT,
                help="Write the settings of this run to FILE, for --preset.",
            ),
        ]
    )


def choose_preset(product: str, wanted: str) -> Preset:
    """Find a preset by name or file; a picture made by stylize serves as one, by its recipe.

    Raises:
        UsageError: there is no such preset, or the picture was made by another command.
        RecipeError: the picture has no recipe.
    """
    path = Path(wanted)
    if wanted in preset_names(product) or path.suffix == ".toml" or not path.is_file():
        return find_preset(product, wanted)
    from stylize.runs.recipe import load_recipe, settings_of

    recipe = load_recipe(path)
    if recipe["technique"] != product:
        raise SettingError(
            f"--preset: {path.name} was not made by 'stylize {product}'",
            hint=f"'stylize info {path}' shows how it was made",
        )
    name = str(recipe.get("preset") or DEFAULTS[product])
    return Preset(name, product, f"From {path.name}", changes(settings_of(recipe)))


def check_new_preset(path: Path, *, overwrite: bool) -> None:
    """Check that a preset can be written there and that ``--preset`` takes it for a file."""
    from stylize.images.atomic import check_writable

    if path.suffix != ".toml":
        raise SettingError(f"--save-preset: {path} does not end in .toml")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    check_writable(path)


def save_preset(path: Path, settings: Any, *, overwrite: bool) -> Path:
    """Write the settings of this run as a file that ``--preset`` takes; return the file."""
    from stylize.images.atomic import write_atomically

    name = "".join(c if c.isalnum() and c.isascii() else " " for c in path.stem.lower()).split()
    preset = Preset(
        "-".join(name) or "mine", settings.TECHNIQUE, "Saved from a run", changes(settings)
    )
    return write_atomically(path, to_toml(preset).encode(), overwrite=overwrite)
