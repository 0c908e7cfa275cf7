"""``stylize explore``."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.completion import FILE, layers, parts_of_lists, preset_names_of
from stylize.cli.help import CommandGroup, option
from stylize.cli.inputs import files_among, open_picture, require_files
from stylize.cli.messages import emit, say
from stylize.cli.options import (
    check_streams,
    choose_preset,
    given,
    input_options,
    message_options,
    preset_option,
    result_options,
    settings_options,
)
from stylize.cli.output import check_fits, choose_target
from stylize.cli.progress import Meter, stop_on_interrupt
from stylize.cli.requests import Messages, OutputRequest, take
from stylize.cli.run import RunRequest, emit_start, load_torch, save
from stylize.errors import SettingError, UsageError
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.models import find_model
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import Group
from stylize.settings.presets import DEFAULTS, Preset, check_layers, preset_names
from stylize.settings.transfer import TransferSettings

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.reruns.explore import Cell, Exploration

Looks = list[list[tuple[str, TransferSettings]]]

STRENGTHS = (30.0, 60.0, 120.0)

TOP = 20

COLUMNS = 5

# Options that do not apply to a sheet of this kind.
IDLE = {
    "layers": ("top", "columns"),
    "channels": ("strengths",),
    "presets": ("strengths", "top", "preset"),
}

cell_size_option = option(
    "--size",
    default="256",
    metavar="SIZE",
    group=Group.SHEET,
    everyday=True,
    help="Size of the picture in a cell.  [256]",
)


@click.group(cls=CommandGroup)
def explore() -> None:
    """Make contact sheets to choose from.

    \b
    Examples:
      stylize explore transfer photo.jpg painting.jpg
      stylize explore dream photo.jpg
      stylize replay photo-sheet.png --cell B3 --size 1024
    """


@explore.command("dream")
@click.argument("photo", metavar="PHOTO", type=FILE)
@result_options
@option(
    "--layer",
    "layers",
    multiple=True,
    group=Group.SHEET,
    everyday=True,
    shell_complete=parts_of_lists(layers),
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
    shell_complete=parts_of_lists(layers),
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
@preset_option(
    "dream",
    default=None,
    help=f"Preset to which layers and channels are applied.  [{DEFAULTS['dream']}]",
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
    """Dream on PHOTO in many ways, as thumbnails on one sheet.

    \b
    Examples:
      stylize explore dream photo.jpg
      stylize explore dream photo.jpg --layer conv3_3 --layer conv4_2
      stylize explore dream photo.jpg --channels conv5_1 --top 12

    The sheet shows all presets, or one row for each --layer, or the --channels of a layer. To make
    a cell large: 'stylize replay SHEET.png --cell B3 --size 1024'.
    """
    messages, output = take(Messages, options), take(OutputRequest, options)
    execution = Execution(**given(Execution, options))
    sheet = take(DreamSheet, options)
    settings = sheet.check()
    request = check_sheet(photo, [photo], "sheet", output, messages)
    load_torch()
    from stylize.reruns.explore import Exploration

    picture = open_picture(photo, messages)
    rows = sheet.rows(picture, settings, execution)
    return make_sheet(Exploration(picture, rows, execution), request)


@dataclass(frozen=True)
class DreamSheet:
    """What goes onto a sheet of dreams: rows of layers, the channels of one, or all presets."""

    layers: tuple[str, ...]
    strengths: tuple[float, ...]
    channels: str | None
    top: int | None
    preset: str | None
    size: str
    columns: int | None
    seed: int

    @property
    def common(self) -> dict[str, Any]:
        """Settings of all cells."""
        return {"size": self.size, "seed": self.seed}

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
        for layer in (*self.layers, *([self.channels] if self.channels else [])):
            dataclasses.replace(settings, layers=layer).check_layers(architecture)
        for strength in self.strengths:
            dataclasses.replace(settings, strength=strength)
        if self.channels:
            check_whole_layer(self.channels)
        return settings

    def _check_kind(self) -> None:
        if self.layers and self.channels:
            raise SettingError(
                "--layer cannot be combined with --channels", hint="ask for one sheet at a time"
            )
        kind = "layers" if self.layers else "channels" if self.channels else "presets"
        for name in IDLE[kind]:
            if getattr(self, name):
                option = "--strength" if name == "strengths" else f"--{name}"
                raise SettingError(f"{option} makes no difference on a sheet of {kind}")

    def rows(
        self, picture: Picture, settings: DreamSettings, execution: Execution
    ) -> list[list[Cell]]:
        """The cells; for channels the picture is looked at."""
        from stylize.images.mosaic import in_rows
        from stylize.reruns import explore as sheets

        if self.layers:
            return sheets.layer_cells(settings, self.layers, self.strengths or STRENGTHS)
        if self.channels:
            top = self.top or TOP
            cells = sheets.channel_cells(picture, settings, self.channels, top, execution)
        else:
            cells = sheets.preset_cells(self.common)
        return in_rows(cells, self.columns or COLUMNS)


class NamesType(click.ParamType[Any]):
    """Names of transfer presets with commas between them."""

    name = "NAME|FILE,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, in the order given."""
        names = value if isinstance(value, tuple) else tuple(map(str.strip, value.split(",")))
        if not all(names):
            self.fail(f"'{value}' leaves a name out", param, ctx)
        return names


class WeightsType(click.ParamType[Any]):
    """Numbers with commas between them."""

    name = "WEIGHT,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """The numbers, in the order given."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"'{value}' is not numbers with commas between them", param, ctx)


@explore.command("transfer")
@click.argument("content", metavar="PHOTO", type=FILE)
@click.argument("styles", metavar="STYLE...", type=FILE, nargs=-1, required=True)
@result_options
@option(
    "--presets",
    type=NamesType(),
    group=Group.SHEET,
    everyday=True,
    shell_complete=parts_of_lists(preset_names_of("transfer")),
    help="Presets to compare, one column each.  [all presets]",
)
@option(
    "--strengths",
    type=WeightsType(),
    group=Group.SHEET,
    everyday=True,
    help="Values of --content-weight to compare, one row each: 0.02,0.05,0.1.",
)
@cell_size_option
@settings_options(Execution)
@input_options
@message_options
def explore_transfer(content: str, styles: tuple[str, ...], **options: Any) -> int:
    """Paint PHOTO in each STYLE with every preset, as thumbnails on one sheet.

    \b
    Examples:
      stylize explore transfer photo.jpg painting.jpg
      stylize explore transfer photo.jpg a.jpg b.jpg c.jpg --presets draft,bold
      stylize explore transfer photo.jpg a.jpg --strengths 0.01,0.05,0.2

    Columns are presets, rows are styles; with --strengths, each style has one row per value.
    Presets that give the same picture share a column. To make a cell large: 'stylize replay
    SHEET.png --cell B3 --size 2048'.
    """
    messages, output = take(Messages, options), take(OutputRequest, options)
    execution = Execution(**given(Execution, options))
    sources = (content, *styles)
    looks = take(TransferSheet, options).looks(messages)
    request = check_sheet(content, sources, "sheet", output, messages)
    load_torch()
    from stylize.reruns.explore import Exploration, transfer_cells

    photo, *paintings = (open_picture(source, messages) for source in sources)
    return make_sheet(Exploration(photo, transfer_cells(paintings, looks), execution), request)


@dataclass(frozen=True)
class TransferSheet:
    """The columns and rows of a sheet of transfers."""

    presets: tuple[str, ...] | None
    strengths: tuple[float, ...] | None
    size: str

    def looks(self, messages: Messages) -> Looks:
        """The columns of the sheet, a row for each strength, or one.

        Raises:
            UsageError: no such preset, one that cannot be on a sheet, or no such strength.
        """
        names = self.presets or preset_names("transfer")
        presets = [choose_preset("transfer", name) for name in names]
        rows: list[dict[str, Any]] = [{"size": self.size}]
        if self.strengths:
            rows = [row | {"content_weight": each} for row in rows for each in self.strengths]
        presets = different(presets, rows[0], messages)
        looks = [[(preset.name, cell_settings(preset, row)) for preset in presets] for row in rows]
        if not self.strengths:
            return looks
        return [
            [(f"{name} @ {settings.content_weight:g}", settings) for name, settings in row]
            for row in looks
        ]


def different(presets: list[Preset], overrides: dict[str, Any], messages: Messages) -> list[Preset]:
    """Those presets that look different under ``overrides``; says which are left out."""
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
            f"{preset.name} starts from a picture", hint="a sheet has content and styles alone"
        )
    try:
        settings.check_styles(1)
        check_layers(settings, find_model(settings.network).architecture)
    except UsageError as error:
        raise UsageError(f"{preset.name}: {error.message}", hint=error.hint) from error
    return settings


def check_sheet(
    photo: str, sources: Sequence[str], words: str, output: OutputRequest, messages: Messages
) -> RunRequest:
    """Check inputs and output of a sheet."""
    files = files_among(sources)
    check_streams(output.output, sources, as_json=messages.as_json)
    require_files(files)
    return RunRequest(choose_target(photo, files, words, output), files, output, messages)


def make_sheet(exploration: Exploration, request: RunRequest) -> int:
    """Make the cells, write the sheet, report; the exit code."""
    messages = request.messages
    check_fits(exploration.size, request.target, request.output)
    seconds = exploration.estimate()
    if messages.verbose:
        say(f"{exploration.count} cells" + (f", about {seconds:.0f} s" if seconds else ""))
    with (
        stop_on_interrupt(quiet=messages.quiet) as stop,
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
        return save(sheet, request, stop)


def check_whole_layer(text: str) -> None:
    """Check that an expression is the name of one layer."""
    targets = parse_targets(text)
    if len(targets) > 1 or targets[0].channels is not None or targets[0].weight != 1:
        raise SettingError(f"--channels: '{text}' is not one layer", hint="for instance conv5_1")


@explore.command("blend")
@click.argument("content", metavar="PHOTO", type=FILE)
@click.argument("first", metavar="STYLE", type=FILE)
@click.argument("last", metavar="STYLE", type=FILE)
@result_options
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
    """Paint PHOTO in mixtures of two STYLE images, from one to the other, on one strip.

    \b
    Examples:
      stylize explore blend photo.jpg hatching.jpg cubes.jpg
      stylize explore blend photo.jpg a.jpg b.jpg --steps 9
      stylize explore blend photo.jpg a.jpg b.jpg --preset draft -o strip.png

    To make a cell large: 'stylize replay STRIP.png --cell C1 --size 2048'.
    """
    messages, output = take(Messages, options), take(OutputRequest, options)
    execution = Execution(**given(Execution, options))
    sources = (content, first, last)
    settings = strip_settings(options["preset"], options["size"])
    request = check_sheet(content, sources, "strip", output, messages)
    load_torch()
    from stylize.reruns.explore import Strip

    photo, one, other = (open_picture(source, messages) for source in sources)
    return make_sheet(Strip(photo, (one, other), settings, options["count"], execution), request)


def strip_settings(preset: str, size: str) -> TransferSettings:
    """What all cells have in common.

    Raises:
        UsageError: no such preset, or one that says itself how styles are mixed.
    """
    settings: TransferSettings = choose_preset("transfer", preset).apply({"size": size})
    if settings.init == "file" or settings.style_weights:
        raise SettingError(
            f"the preset '{preset}' cannot be used on a strip",
            hint="it has weights of styles, or starts from a picture",
        )
    settings.check_styles(2)
    check_layers(settings, find_model(settings.network).architecture)
    return settings
