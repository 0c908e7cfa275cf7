"""``stylize explore``."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from stylize.cli.completion import (
    FILE,
    complete_layer,
    names_only,
    network_names,
    parts_of_lists,
    preset_names_of,
)
from stylize.cli.help import CommandGroup, Decorated, option
from stylize.cli.inputs import files_among, open_picture, require_files
from stylize.cli.messages import command_line, emit, say
from stylize.cli.options import (
    check_streams,
    choose_preset,
    given,
    input_options,
    message_options,
    option_for,
    preset_option,
    result_options,
    settings_options,
)
from stylize.cli.output import check_fits, choose_target, deliver, report
from stylize.cli.process import load_torch
from stylize.cli.progress import Meter, stop_on_interrupt
from stylize.cli.requests import Messages, OutputRequest, take
from stylize.cli.run import RunRequest, emit_start
from stylize.errors import SettingError, UsageError
from stylize.networks.architecture import is_vgg
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.models import find_model
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import Group, from_document, option_name, unknown_setting
from stylize.settings.presets import DEFAULTS, Preset, check_layers, preset_names
from stylize.settings.transfer import TransferSettings

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.reruns.explore import Cell, Exploration, Look, Titles

STRENGTHS = (30.0, 60.0, 120.0)

TOP = 20

COLUMNS = 5

# Long side of the picture that the command below a sheet makes of a cell.
LARGE_PX = 1024

ON_INTERRUPT = "stopping after this step and saving the cells that are complete"

# Options that do not apply to a sheet of this kind.
IDLE = {
    "layers": ("top", "columns"),
    "channels": ("strengths",),
    "presets": ("strengths", "top", "preset"),
    "values": ("strengths", "top", "columns"),
}

# The option that asks for a sheet of this kind.
OPTIONS = {"layers": "--layer", "channels": "--channels", "values": "--vary"}

cell_size_option = option(
    "--size",
    default="256",
    metavar="SIZE",
    group=Group.SHEET,
    everyday=True,
    help="Size of the picture in a cell.  [256]",
)


@dataclass(frozen=True)
class Varied:
    """A setting and its values: the columns of a sheet, or its rows.

    Attributes:
        name: the field.
        values: the text of each, as typed, and what it sets.
    """

    name: str
    values: tuple[tuple[str, Mapping[str, Any]], ...]


class VariedType(click.ParamType[Any]):
    """``strength=30,70``; semicolons separate values that contain commas."""

    name = "SETTING=VALUE,…"

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        self._fields = {each.name: each for each in dataclasses.fields(kind)}
        self._names = {option_name(each).strip("-"): each.name for each in self._fields.values()}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Varied:
        """The values, each read as the setting's own option reads it."""
        if isinstance(value, Varied):
            return value
        typed, equals, text = value.partition("=")
        if not equals:
            self.fail(f"'{value}' is not SETTING=VALUE,VALUE", param, ctx)
        name = self._field_name(typed.strip())
        parts = [part.strip() for part in text.split(";" if ";" in text else ",")]
        if not all(parts):
            self.fail(f"'{value}' has an empty value", param, ctx)
        values: list[tuple[str, Mapping[str, Any]]] = []
        for part in parts:
            try:
                read = self._read(name, part)
            except click.UsageError as error:
                self.fail(f"{name}: {error.message}", param, ctx)
            if read not in [known for _, known in values]:
                values.append((part, read))
        return Varied(name, tuple(values))

    def _field_name(self, typed: str) -> str:
        """The field that is named as in a preset, or as on the command line."""
        name = typed.lstrip("-")
        found = name if name in self._fields else self._names.get(name.replace("_", "-"))
        if found is None:
            raise unknown_setting(typed, self._fields)
        return found

    def _read(self, name: str, text: str) -> Mapping[str, Any]:
        option = option_for(self._fields[name])
        value = option.type.convert(text, None, None)
        values: dict[str, Any] = dict.fromkeys(self._fields)
        values[name] = (value,) if option.multiple else value
        return given(self._kind, values)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names of the settings."""
        return [CompletionItem(f"{name}=") for name in self._fields if name.startswith(incomplete)]


def vary_option(kind: type[Any], example: str) -> Callable[[Decorated], Decorated]:
    """The option ``--vary`` for the settings of a product."""
    return option(
        "--vary",
        "varied",
        multiple=True,
        type=VariedType(kind),
        group=Group.SHEET,
        everyday=True,
        help=f"Make a column for each value of a setting: {example}. A second --vary makes rows. "
        "Separate values that contain commas by semicolons.",
    )


# Titles of columns or rows, and what each sets.
Axis = Sequence[tuple[str, Mapping[str, Any]]]


def axes(varied: Sequence[Varied]) -> tuple[Axis, Axis]:
    """The columns and the rows of a sheet, one without a title where nothing varies.

    Raises:
        SettingError: more settings than a sheet has sides, or one twice.
    """
    if len(varied) > 2:
        raise SettingError(
            f"--vary: {len(varied)} settings are too many",
            hint="a sheet has columns and rows: give one or two",
        )
    if len({each.name for each in varied}) < len(varied):
        raise SettingError(f"--vary names {varied[0].name} twice", hint="list all its values once")
    found: list[Axis] = [
        [(f"{each.name} {text}", changes) for text, changes in each.values] for each in varied
    ]
    columns, rows = [*found, *([[("", {})]] * 2)][:2]
    return columns, rows


def distinct_labels(names: Sequence[Sequence[str]]) -> list[str]:
    """Choose a label for each thing: the first of its names that no other thing needs.

    Args:
        names: for each thing its names, short ones first.
    """
    labels = [each[0] for each in names]
    for level in range(1, max(map(len, names))):
        count = Counter(labels)
        labels = [
            each[level] if count[label] > 1 and level < len(each) else label
            for label, each in zip(labels, names, strict=True)
        ]
    used: Counter[str] = Counter()
    for place, label in enumerate(labels):
        used[label] += 1
        labels[place] = f"{label} ({used[label]})" if used[label] > 1 else label
    return labels


def file_names(source: str) -> tuple[str, ...]:
    """Names of an input, short ones first."""
    path = Path(source)
    return ("stdin",) if source == "-" else (path.stem, path.name, source)


@click.group(cls=CommandGroup)
def explore() -> None:
    """Make contact sheets to choose from.

    \b
    Examples:
      stylize explore transfer photo.jpg painting.jpg
      stylize explore transfer photo.jpg a.jpg --vary style_size=128,256,512
      stylize replay photo-sheet.png --cell B3 --size 1024 --enlarge
    """


class NamesType(click.ParamType[Any]):
    """Names of transfer presets with commas between them."""

    name = "NAME|FILE,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, in the order given."""
        names = value if isinstance(value, tuple) else tuple(map(str.strip, value.split(",")))
        if not all(names):
            self.fail(f"'{value}' has an empty name", param, ctx)
        return names


@explore.command("transfer")
@click.argument("content", metavar="PHOTO", type=FILE)
@click.argument("styles", metavar="STYLE...", type=FILE, nargs=-1, required=True)
@result_options("{photo}")
@option(
    "--presets",
    type=NamesType(),
    group=Group.SHEET,
    everyday=True,
    shell_complete=parts_of_lists(preset_names_of("transfer")),
    help="Presets to compare, one column each; with --vary, rows.  [all; with --vary, the default]",
)
@vary_option(TransferSettings, "style_size=128,256,512")
@cell_size_option
@settings_options(Execution)
@input_options
@message_options
def explore_transfer(content: str, styles: tuple[str, ...], **options: Any) -> int:
    """Compare presets and STYLE images for PHOTO on one sheet.

    \b
    Examples:
      stylize explore transfer photo.jpg painting.jpg
      stylize explore transfer photo.jpg a.jpg b.jpg c.jpg --presets draft,bold
      stylize explore transfer photo.jpg a.jpg --vary style_size=128,256,512

    Columns are presets, or the values of the first --vary; rows are styles, and the values of the
    second --vary. Any setting can vary, such as strength, style_size or color: see 'stylize
    help transfer --all'. Presets that give the same picture share a column. The last line printed
    is the command that makes a cell large.
    """
    messages, output = take(Messages, options), take(OutputRequest, options)
    execution = Execution(**given(Execution, options))
    sources = (content, *styles)
    looks = take(TransferSheet, options).looks(messages)
    request = check_sheet(content, sources, "sheet", output, messages)
    load_torch(request.files)
    from stylize.reruns.explore import Exploration, transfer_cells

    photo = open_picture(content, messages)
    opened = open_styles(styles, messages)
    names = distinct_labels([file_names(source) for source, _ in opened])
    rows, titles = transfer_cells([style for _, style in opened], looks, names)
    exploration = Exploration(photo, rows, execution, titles)
    return make_sheet(exploration, request, [(content, photo), *opened])


def open_styles(sources: Sequence[str], messages: Messages) -> list[tuple[str, Picture]]:
    """Open the style images, and say which are left out because they are given twice."""
    opened: dict[str, tuple[str, Picture]] = {}
    for source in sources:
        style = open_picture(source, messages)
        first, _ = opened.setdefault(style.sha256, (source, style))
        if first != source and not messages.quiet:
            say(f"{source} is left out: it is the same picture as {first}")
    return list(opened.values())


@dataclass(frozen=True)
class TransferSheet:
    """The columns and rows of a sheet of transfers."""

    presets: tuple[str, ...] | None
    varied: tuple[Varied, ...]
    size: str

    def looks(self, messages: Messages) -> list[Look]:
        """The rows for each style: their titles, and the columns with their settings.

        Raises:
            UsageError: no such preset, one that cannot be on a sheet, or an invalid value.
        """
        across, down = axes(self.varied)
        for _, values in (*across, *down):
            if values.get("init") == "file" or "style_weights" in values:
                name = "init=file" if "init" in values else "style_weights"
                raise SettingError(
                    f"--vary: {name} makes no sense on a sheet",
                    hint="each cell is painted from the photo and one style image",
                )
        usual = [DEFAULTS["transfer"]] if self.varied else preset_names("transfer")
        names = self.presets or usual
        presets = named_presets([(name, choose_preset("transfer", name)) for name in names])
        presets = different(presets, {"size": self.size, **across[0][1], **down[0][1]}, messages)
        if not self.varied:
            return [("", [(p.name, cell_settings(p, {"size": self.size})) for p in presets])]
        several = len(presets) > 1
        return [
            (
                " · ".join(filter(None, [preset.name if several else "", row])),
                [
                    (column, cell_settings(preset, {"size": self.size, **change, **changes}))
                    for column, change in across
                ],
            )
            for preset in presets
            for row, changes in down
        ]


def named_presets(presets: Sequence[tuple[str, Preset]]) -> list[Preset]:
    """Give presets of the same name, such as those in pictures, the names of their files."""
    names = distinct_labels(
        [
            (preset.name, Path(wanted).name, wanted) if wanted != preset.name else (wanted,)
            for wanted, preset in presets
        ]
    )
    return [
        dataclasses.replace(preset, name=name)
        for name, (_, preset) in zip(names, presets, strict=True)
    ]


def different(presets: list[Preset], overrides: dict[str, Any], messages: Messages) -> list[Preset]:
    """Leave out presets that look the same under ``overrides``, and say which."""
    columns: list[tuple[Preset, TransferSettings]] = []
    for preset in presets:
        settings = cell_settings(preset, overrides)
        same = next((other for other, theirs in columns if theirs == settings), None)
        if same is None:
            columns.append((preset, settings))
        elif not messages.quiet:
            say(f"{preset.name} is left out: here it is the same as {same.name}")
    return [preset for preset, _ in columns]


def cell_settings(preset: Preset, overrides: dict[str, Any]) -> TransferSettings:
    """A preset's settings for a cell.

    Raises:
        UsageError: it needs another picture or several styles, or its network lacks a layer.
    """
    settings: TransferSettings = preset.apply(overrides)
    if settings.init == "file":
        raise SettingError(
            f"{preset.name} starts from a picture",
            hint="a sheet has only a photo and styles",
        )
    try:
        settings.check_styles(1)
        check_layers(settings, find_model(settings.network).architecture)
    except UsageError as error:
        raise UsageError(f"{preset.name}: {error.message}", hint=error.hint) from error
    return settings


@explore.command("dream")
@click.argument("photo", metavar="PHOTO", type=FILE)
@result_options("{photo}")
@option(
    "--layer",
    "layers",
    multiple=True,
    group=Group.SHEET,
    everyday=True,
    shell_complete=complete_layer,
    metavar="EXPRESSION",
    help="Make a row for this layer, with one cell for each --strength. Repeatable.",
)
@option(
    "--strength",
    "strengths",
    multiple=True,
    type=click.FLOAT,
    metavar="N",
    group=Group.SHEET,
    everyday=True,
    help="Make a column with this strength. Repeatable.  [30, 60, 120]",
)
@option(
    "--channels",
    metavar="LAYER",
    group=Group.SHEET,
    everyday=True,
    shell_complete=complete_layer,
    help="Make a cell for each channel of this layer that responds strongly to PHOTO.",
)
@option(
    "--top",
    type=click.IntRange(1, 512),
    metavar="N",
    group=Group.SHEET,
    everyday=True,
    help=f"Number of channels.  [{TOP}]",
)
@option(
    "--network",
    metavar="NAME",
    group=Group.SHEET,
    everyday=True,
    help=f"Network of --layer or --channels; see 'stylize models list'.  [{DreamSettings.network}]",
    shell_complete=names_only(network_names),
)
@vary_option(DreamSettings, "strength=30,60,120")
@preset_option(
    "dream",
    default=None,
    help=f"Preset whose layers, channels or settings vary.  [{DEFAULTS['dream']}]",
)
@cell_size_option
@option(
    "--columns",
    type=click.IntRange(1, 100),
    metavar="N",
    group=Group.SHEET,
    everyday=True,
    help=f"Cells per row.  [{COLUMNS}]",
)
@option(
    "--seed",
    type=click.INT,
    default=0,
    metavar="N",
    group=Group.OPTIMIZER,
    help="Seed of the jitter.  [0]",
)
@settings_options(Execution)
@input_options
@message_options
def explore_dream(photo: str, **options: Any) -> int:
    """Dream on PHOTO in many ways, on one sheet.

    \b
    Examples:
      stylize explore dream photo.jpg
      stylize explore dream photo.jpg --layer conv3_3 --layer conv4_2
      stylize explore dream photo.jpg --vary strength=30,60 --vary octaves=1,3

    The sheet shows all presets, or one row for each --layer, or the --channels of a layer, or the
    values of one or two settings. The last line printed is the command that makes a cell large.
    """
    messages, output = take(Messages, options), take(OutputRequest, options)
    execution = Execution(**given(Execution, options))
    sheet = take(DreamSheet, options)
    settings = sheet.check()
    request = check_sheet(photo, [photo], "sheet", output, messages)
    load_torch(request.files)
    from stylize.reruns.explore import Exploration

    picture = open_picture(photo, messages)
    rows, titles = sheet.cells(picture, settings, execution)
    exploration = Exploration(picture, rows, execution, titles)
    return make_sheet(exploration, request, [(photo, picture)])


@dataclass(frozen=True)
class DreamSheet:
    """A sheet of dreams: of layers, channels, values of settings, or all presets."""

    layers: tuple[str, ...]
    strengths: tuple[float, ...]
    channels: str | None
    network: str | None
    varied: tuple[Varied, ...]
    top: int | None
    preset: str | None
    size: str
    columns: int | None
    seed: int

    @property
    def common(self) -> dict[str, Any]:
        """Settings of all cells."""
        named = {} if self.network is None else {"network": self.network}
        return {"size": self.size, "seed": self.seed, **named}

    def check(self) -> DreamSettings:
        """The settings behind the cells.

        Raises:
            UsageError: two kinds of sheets at once, an option that does not apply, or a layer
                that the network does not have.
        """
        self._check_kind()
        preset = choose_preset("dream", self.preset or DEFAULTS["dream"])
        settings: DreamSettings = preset.apply(self.common)
        architecture = find_model(settings.network).architecture
        if not (self.layers or self.channels or self.varied or is_vgg(architecture)):
            raise SettingError(
                "the presets are for VGG-16 and VGG-19, and"
                f" '{settings.network}' is a {architecture}",
                hint="name layers with --layer, or one with --channels",
            )
        for layer in (*self.layers, *([self.channels] if self.channels else [])):
            dataclasses.replace(settings, layers=layer).check_layers(architecture)
        for strength in self.strengths:
            dataclasses.replace(settings, strength=strength)
        if self.channels:
            check_whole_layer(self.channels)
        columns, rows = axes(self.varied)
        for (_, across), (_, down) in itertools.product(columns, rows) if self.varied else ():
            self._check_cell(from_document(DreamSettings, {**across, **down}, settings))
        return settings

    def _check_cell(self, settings: DreamSettings) -> None:
        if settings.from_noise is not None:
            raise SettingError(
                "a sheet shows dreams on PHOTO, not from noise", hint="leave from_noise out"
            )
        settings.check_layers(find_model(settings.network).architecture)

    def _check_kind(self) -> None:
        kinds = {"layers": self.layers, "channels": self.channels, "values": self.varied}
        asked = [kind for kind, wanted in kinds.items() if wanted]
        if len(asked) > 1:
            first, second = (OPTIONS[kind] for kind in asked[:2])
            raise SettingError(
                f"{first} cannot be combined with {second}", hint="ask for one sheet at a time"
            )
        kind = asked[0] if asked else "presets"
        for name in IDLE[kind]:
            if getattr(self, name):
                option = "--strength" if name == "strengths" else f"--{name}"
                raise SettingError(f"{option} makes no difference on a sheet of {kind}")

    def cells(
        self, picture: Picture, settings: DreamSettings, execution: Execution
    ) -> tuple[list[list[Cell]], Titles]:
        """The cells and their titles; for channels the photo is examined."""
        from stylize.images.mosaic import in_rows
        from stylize.reruns import explore as sheets

        if self.varied:
            return self._cells_of_values(settings)
        if self.layers:
            layers = list(dict.fromkeys(self.layers))
            strengths = list(dict.fromkeys(self.strengths or STRENGTHS))
            columns = [f"strength {strength:.12g}" for strength in strengths]
            rows = sheets.layer_cells(settings, layers, strengths)
            return rows, sheets.Titles(columns=columns, rows=layers)
        if self.channels:
            top = self.top or TOP
            cells = sheets.channel_cells(picture, settings, self.channels, top, execution)
        else:
            cells = sheets.preset_cells(self.common)
        return in_rows(cells, self.columns or COLUMNS), sheets.Titles()

    def _cells_of_values(self, settings: DreamSettings) -> tuple[list[list[Cell]], Titles]:
        from stylize.reruns.explore import Cell, Titles, joined

        columns, rows = axes(self.varied)
        cells = [
            [
                Cell(
                    joined(column, row),
                    from_document(DreamSettings, {**across, **down}, settings),
                )
                for column, across in columns
            ]
            for row, down in rows
        ]
        names = [row for row, _ in rows] if len(self.varied) > 1 else ()
        return cells, Titles(columns=[column for column, _ in columns], rows=names)


def check_sheet(
    photo: str, sources: Sequence[str], words: str, output: OutputRequest, messages: Messages
) -> RunRequest:
    """Check inputs and output of a sheet."""
    files = files_among(sources)
    check_streams(output.output, sources, as_json=messages.as_json)
    require_files(files)
    return RunRequest(choose_target(photo, files, words, output, {}), files, output, messages)


def make_sheet(
    exploration: Exploration, request: RunRequest, inputs: Sequence[tuple[str, Picture]]
) -> int:
    """Make the cells, write the sheet, report; the exit code.

    Args:
        exploration: the sheet.
        request: where it goes.
        inputs: what was named on the command line, the photo first.
    """
    messages = request.messages
    check_fits(exploration.size, request.target, request.output)
    seconds = exploration.estimate()
    if messages.verbose:
        say(f"{exploration.count} cells" + (f", about {seconds:.0f} s" if seconds else ""))
    with (
        stop_on_interrupt(quiet=messages.quiet, action=ON_INTERRUPT) as stop,
        Meter(messages, exploration.count, estimate_s=seconds) as meter,
    ):
        if messages.as_json:
            height, width = exploration.size
            plan = {"size": [width, height], "cells": exploration.count}
            emit_start(request.target, plan, {"seconds": seconds and round(seconds, 1)})
        numbers = itertools.count(1)

        def on_cell(label: str) -> None:
            number = next(numbers)
            place = f"cell {number} of {exploration.count}"
            meter.advance(number, f"{place}: {label}", place)
            if messages.as_json:
                emit("cell", label=label, cells=exploration.count)

        sheet = exploration.run(on_cell, stop)
        meter.close()
        saved = deliver(sheet, request.target, request.output)
        seconds = time.perf_counter() - request.started
        report(sheet, saved, seconds, messages, wanted=request.target)
        if saved is not None and not messages.quiet and not messages.as_json:
            cell = next(iter(sheet.recipe["cells"]))
            say(f"make the cell you like large, here {cell}{stdin_note(inputs)}:")
            say(enlarging_command(saved, cell, inputs))
        return stop.exit_code if sheet.interrupted else 0


def enlarging_command(sheet: Path, cell: str, inputs: Sequence[tuple[str, Picture]]) -> str:
    """The command that makes a cell large, ready for the shell.

    Args:
        sheet: the file.
        cell: its name.
        inputs: what was named on the command line, the photo first.
    """
    from stylize.images.open import DEFAULT_MAX_PIXELS, pixel_limit
    from stylize.runs.inputs import recall

    side = max(inputs[0][1].size)
    words = ["--cell", cell, "--size", str(LARGE_PX) if side >= LARGE_PX else "original"]
    near = {sheet.resolve().parent, Path.cwd()}
    for source, picture in inputs:
        known = source != "-" and Path(source).resolve().parent in near
        if not known and not recall(picture.sha256):
            words += ["--input", "FILE" if source == "-" else source]
    if pixel_limit() != DEFAULT_MAX_PIXELS:
        words += ["--max-input-pixels", str(pixel_limit())]
    file = str(sheet)
    return command_line("stylize", "replay", f"./{file}" if file[0] == "-" else file, *words)


def stdin_note(inputs: Sequence[tuple[str, Picture]]) -> str:
    """What to replace in the command, if an input is in no file that is known."""
    from stylize.runs.inputs import recall

    from_stdin = [picture for source, picture in inputs if source == "-"]
    unknown = [each for each in from_stdin if not recall(each.sha256)]
    return " (FILE is the picture that was read from stdin)" if unknown else ""


def check_whole_layer(text: str) -> None:
    """Check that an expression is the name of one layer."""
    targets = parse_targets(text)
    if len(targets) > 1 or targets[0].channels is not None or targets[0].weight != 1:
        raise SettingError(f"--channels: '{text}' is not one layer", hint="for instance conv5_1")


@explore.command("blend")
@click.argument("content", metavar="PHOTO", type=FILE)
@click.argument("first", metavar="STYLE", type=FILE)
@click.argument("last", metavar="STYLE", type=FILE)
@result_options("{photo}")
@option(
    "--steps",
    "count",
    type=click.IntRange(2, 26),
    default=5,
    metavar="N",
    group=Group.SHEET,
    everyday=True,
    help="Number of cells.  [5]",
)
@preset_option("transfer", help=f"Preset of all cells.  [{DEFAULTS['transfer']}]")
@cell_size_option
@settings_options(Execution)
@input_options
@message_options
def explore_blend(content: str, first: str, last: str, **options: Any) -> int:
    """Blend two STYLE images step by step, on one strip.

    \b
    Examples:
      stylize explore blend photo.jpg hatching.jpg cubes.jpg
      stylize explore blend photo.jpg a.jpg b.jpg --preset draft -o strip.png
      stylize replay strip.png --cell C1 --size 2048 --enlarge
    """
    messages, output = take(Messages, options), take(OutputRequest, options)
    execution = Execution(**given(Execution, options))
    sources = (content, first, last)
    settings = strip_settings(options["preset"], options["size"])
    request = check_sheet(content, sources, "strip", output, messages)
    load_torch(request.files)
    from stylize.reruns.explore import Strip

    photo, one, other = (open_picture(source, messages) for source in sources)
    left, right = distinct_labels([file_names(first), file_names(last)])
    strip = Strip(photo, (one, other), (left, right), settings, options["count"], execution)
    return make_sheet(strip, request, list(zip(sources, (photo, one, other), strict=True)))


def strip_settings(preset: str, size: str) -> TransferSettings:
    """What all cells have in common.

    Raises:
        UsageError: no such preset, or one that says itself how styles are mixed.
    """
    settings: TransferSettings = choose_preset("transfer", preset).apply({"size": size})
    if settings.init == "file" or settings.style_weights:
        raise SettingError(
            f"the preset '{preset}' cannot be used on a strip",
            hint="it sets style weights, or starts from a picture",
        )
    settings.check_styles(2)
    check_layers(settings, find_model(settings.network).architecture)
    return settings
