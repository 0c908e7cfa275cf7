"""Click options derived from the settings, and those that several commands share."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from stylize.errors import OutputError, SettingError
from stylize.networks.architecture import layer_names
from stylize.settings.fields import option_name
from stylize.settings.presets import DEFAULTS, Preset, changes, to_toml

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


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

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Layer names for the part after the last comma."""
        done, comma, begun = incomplete.rpartition(",")
        return [
            CompletionItem(done + comma + name)
            for name in layer_names("vgg19")
            if name.startswith(begun)
        ]


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


def option_for(each: dataclasses.Field[Any]) -> click.Option:
    """The option of one settings field; its value is None unless the user gives one."""
    kind = str(each.type).removesuffix(" | None")
    choices = each.metadata["choices"]
    repeated = kind.startswith("tuple") or each.metadata["joined"]
    help_text = each.metadata["help"]
    if each.default not in (None, ()) and each.default is not False:
        help_text += f"  [{_shown(each.default)}]"
    name = option_name(each)
    return click.Option(
        [f"{name}/--no-{name.removeprefix('--')}" if kind == "bool" else name, each.name],
        type=click.Choice(choices) if choices and "file" not in choices else _TYPES[kind],
        multiple=repeated,
        default=None,
        help=help_text,
        show_default=False,
    )


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(f"{name}:{weight:g}" for name, weight in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def settings_options(kind: type[Any]) -> Callable[[Decorated], Decorated]:
    """Decorator that gives a command one option for each field of a settings class."""

    def decorate(function: Decorated) -> Decorated:
        for each in reversed(dataclasses.fields(kind)):
            _append(function, option_for(each))
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
    """What stands in a preset for what click gives."""
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
    click.option("--depth", type=click.Choice([8, 16]), default=8, help="Bits per channel.  [8]"),
    click.option(
        "--quality",
        type=click.IntRange(1, 100),
        default=95,
        help="Quality for JPEG, WebP and AVIF.  [95]",
    ),
]

# Of every command that makes a picture.
result_options = group_of(
    [
        click.option(
            "-o",
            "--output",
            metavar="FILE",
            help="File to write; a folder, or - for stdout.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace an existing file."),
        click.option(
            "--format",
            type=click.Choice(["png", "jpeg", "webp", "avif", "tiff"]),
            help="Format for stdout; for a file, the suffix decides.  [png]",
        ),
        *saving_options,
    ]
)

# Of those that make one picture, step by step.
output_options = group_of(
    [
        result_options,
        click.option(
            "--save-steps",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="Save the picture as it grows: each step of a dream, every tenth of a transfer.",
        ),
    ]
)


def _limit_pixels(context: click.Context, option: click.Parameter, value: int) -> None:
    if context.resilient_parsing:
        return  # completion opens no pictures
    from stylize.images.open import set_pixel_limit

    set_pixel_limit(value)


input_options = group_of(
    [
        click.option(
            "--max-input-pixels",
            type=click.IntRange(min=1),
            default=80_000_000,
            metavar="N",
            expose_value=False,
            callback=_limit_pixels,
            help="Refuse pictures with more pixels.  [80000000]",
        ),
    ]
)

found_inputs_option = click.option(
    "--input",
    "inputs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="An input, or a folder to search for inputs. Repeatable.",
)

message_options = group_of(
    [
        click.option(
            "--json", "as_json", is_flag=True, help="Print events as JSON lines on stdout."
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
        click.option(
            "-v", "--verbose", count=True, help="Print what is decided; -vv adds tracebacks."
        ),
    ]
)


def complete_preset(*techniques: str) -> Callable[..., list[str]]:
    """Completion of preset names for the shell."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        from stylize.settings.presets import preset_names

        names = [name for technique in techniques for name in preset_names(technique)]
        return [name for name in names if name.startswith(incomplete)]

    return complete


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
    if output == "-" and sys.stdout.isatty():
        raise SettingError("stdout is a terminal, which shows no picture", hint="-o - > FILE")


def preset_options(technique: str) -> Callable[[Decorated], Decorated]:
    """The options that name a look, or keep one."""
    return group_of(
        [
            click.option(
                "--preset",
                default=DEFAULTS[technique],
                metavar="NAME|FILE",
                shell_complete=complete_preset(technique),
                help="Settings to start from; see 'stylize presets list'."
                f"  [{DEFAULTS[technique]}]",
            ),
            click.option(
                "--save-preset",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                help="Write the settings of this run to FILE, for --preset.",
            ),
        ]
    )


def check_new_preset(path: Path, *, overwrite: bool) -> None:
    """Check that a preset can be written there and that ``--preset`` takes it for a file."""
    from stylize.images.atomic import check_writable

    if path.suffix != ".toml":
        raise SettingError(f"--save-preset: {path} does not end in .toml")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    check_writable(path)


def save_preset(path: Path, settings: Any, *, overwrite: bool) -> None:
    """Write the settings of this run as a file that ``--preset`` takes."""
    from stylize.images.atomic import write_atomically

    name = "".join(c if c.isalnum() and c.isascii() else " " for c in path.stem.lower()).split()
    preset = Preset(
        "-".join(name) or "mine", settings.TECHNIQUE, "Saved from a run", changes(settings)
    )
    write_atomically(path, to_toml(preset).encode(), overwrite=overwrite)
