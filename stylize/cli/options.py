"""Click options derived from the settings, and those that several commands share."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from stylize.cli.completion import FIELDS, FILE, names_or_files, preset_names_of
from stylize.cli.help import Decorated, Option, option
from stylize.cli.messages import is_closed, say
from stylize.errors import OutputError, SettingError
from stylize.settings.fields import Group, idle_settings, option_name
from stylize.settings.presets import (
    DEFAULTS,
    Preset,
    changes,
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

open_option = option(
    "--open",
    "show",
    is_flag=True,
    group=Group.OUTPUT,
    help="Open the result in the desktop's viewer.",
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
    help="Also save a film of the picture as it grows: FILE.webp, .gif, .apng or .mp4.",
)


def result_options(
    placeholders: str, default: str = "next to the photo"
) -> Callable[[Decorated], Decorated]:
    """The options of every command that makes a picture.

    Args:
        placeholders: what a name given with ``-o`` can contain.
        default: where the result goes without ``-o``.
    """
    return group_of(
        [
            option(
                "-o",
                "--output",
                type=FILE,
                metavar="FILE",
                group=Group.OUTPUT,
                everyday=True,
                help="File or folder to write to, or - for stdout. The name can contain "
                f"{placeholders}.  [{default}]",
            ),
            overwrite_option,
            open_option,
            option(
                "--format",
                type=click.Choice(["png", "jpeg", "webp", "avif", "tiff"]),
                group=Group.OUTPUT,
                help="Format for stdout; for a file, its extension decides.  [png]",
            ),
            *saving_options,
        ]
    )


def output_options(
    placeholders: str, default: str = "next to the photo"
) -> Callable[[Decorated], Decorated]:
    """The options of commands that make one picture, step by step; see :func:`result_options`."""
    return group_of([result_options(placeholders, default), save_steps_option, film_option])


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
    help="Look for the inputs here: a file or a folder. Repeatable.",
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
        raise SettingError("stdout is closed", hint="name a file with -o")
    if output == "-" and sys.stdout.isatty():
        raise SettingError(
            "stdout is a terminal, which cannot take a picture",
            hint="redirect it: -o - > result.png",
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


def note(line: str) -> None:
    """Say once what a user may want to know about the options; the event "start" repeats it."""
    context = click.get_current_context()
    notes: list[str] = context.meta.setdefault(_NOTES, [])
    if line not in notes:
        notes.append(line)
        if not context.params.get("quiet"):
            say(line)


def notes_on_options() -> Sequence[str]:
    """List the lines that :func:`note` has said during this command."""
    notes: Sequence[str] = click.get_current_context().meta.get(_NOTES, ())
    return notes


_NOTES = "stylize.notes"


def note_idle(
    settings: Any, said: Mapping[str, Any], prefix: str = "--", **facts: bool
) -> dict[str, Any]:
    """Say which options have no effect; return those that have one.

    Args:
        settings: the whole settings.
        said: the settings that the user gave.
        prefix: what was typed before the name.
        facts: see :data:`stylize.settings.fields.FACTS`, with ``_`` for a space.
    """
    known = {name.replace("_", " "): value for name, value in facts.items()}
    several = click.get_current_context().params.get("variants", 1) > 1
    idle = idle_settings(settings, said, known)
    for line in idle.values():
        note(re.sub("^--seed ", "--variants ", line) if several else re.sub("^--", prefix, line))
    return {name: value for name, value in said.items() if name not in idle}


def is_typed(name: str) -> bool:
    """Whether the user gave the option whose parameter has this name."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def changed_words(
    kind: type[Any], said: Mapping[str, Any], *, of_recipe: bool = False
) -> list[str]:
    """Words for file names that tell variants apart: ``seed-2``, ``content-weight-0.01``.

    Args:
        kind: the settings class.
        said: what the user set.
        of_recipe: name every change of a recipe, also that of the size.
    """
    words = []
    for each in dataclasses.fields(kind):
        unnamed = ("enlarge",) if of_recipe else _UNNAMED
        named = of_recipe or each.metadata["everyday"] or each.name == "seed"
        if each.name not in said or not named or each.name in unnamed:
            continue
        value, name = said[each.name], option_name(each).removeprefix("--")
        if isinstance(value, bool):
            words.append(name if value else f"no-{name}")
        else:
            words.append(f"{name}-{_in_words(value)}")
    return words


# A larger picture is no other variant.
_UNNAMED = ("size", "enlarge", "from_noise")


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "-".join(f"{name}-{weight:g}" for name, weight in value.items())
    if isinstance(value, list | tuple):
        return "-".join(map(_in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


variants_option = option(
    "--variants",
    type=click.IntRange(1, 100),
    default=1,
    metavar="N",
    group=Group.LOOK,
    everyday=True,
    help="Make N pictures that differ by their seed, starting at --seed or 1.  [1]",
)


def each_variant(options: dict[str, Any], sources: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The options of each picture that ``--variants`` asks for.

    Raises:
        SettingError: another option allows only one picture.
    """
    count: int = options.pop("variants")
    if count == 1:
        yield options
        return
    for name in ("film", "save_steps", "save_preset", "save_mask", "checkpoint"):
        if options.get(name) is not None:
            option_of = f"--{name.replace('_', '-')}"
            raise SettingError(f"{option_of} cannot be combined with --variants")
    if options["output"] == "-" or "-" in sources:
        raise SettingError("--variants needs files, not stdin or stdout")
    first = 1 if options["seed"] is None else options["seed"]
    for seed in range(first, first + count):
        output = options["output"]
        if output and "{seed}" not in output and not os.path.isdir(output):
            stem, suffix = os.path.splitext(output)
            output = f"{stem}-seed-{seed}{suffix}" if suffix else output
        yield {**options, "seed": seed, "output": output}


def choose_preset(product: str, wanted: str) -> Preset:
    """See :func:`stylize.runs.recipe.choose_preset`, which help does not wait for."""
    from stylize.runs import recipe

    return recipe.choose_preset(product, wanted)


def check_new_preset(path: Path, *, overwrite: bool) -> None:
    """Check that a preset can be written there and that ``--preset`` takes it for a file."""
    from stylize.images.atomic import check_writable

    if path.suffix != ".toml":
        raise SettingError(f"--save-preset: {path} does not end in .toml")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    make_parents(path)
    check_writable(path)


def make_parents(path: Path) -> None:
    """Make the folders that a file needs; those that stay empty go when the command ends."""
    from stylize.images.destinations import make_folder

    make_folder(path.parent, click.get_current_context().with_resource(ExitStack()))


def save_preset(path: Path, settings: Any, *, overwrite: bool) -> Path:
    """Write the settings of this run as a file that ``--preset`` takes; return the file."""
    from stylize.images.atomic import write_atomically

    name = "".join(c if c.isalnum() and c.isascii() else " " for c in path.stem.lower()).split()
    preset = Preset(
        "-".join(name) or "mine", settings.TECHNIQUE, "Saved from a run", changes(settings)
    )
    return write_atomically(path, to_toml(preset).encode(), overwrite=overwrite)
