"""``stylize explore``."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from stylize.cli.inputs import files_among, open_picture, require_files
from stylize.cli.messages import INTERRUPTED, say
from stylize.cli.options import (
    check_streams,
    complete_preset,
    given,
    input_options,
    message_options,
    result_options,
    settings_options,
)
from stylize.cli.output import check_fits, choose_target, deliver, report
from stylize.cli.progress import emit, stop_on_interrupt
from stylize.cli.run import load_torch
from stylize.errors import SettingError, UsageError
from stylize.images.open import set_pixel_limit
from stylize.networks.layer_expressions import parse_targets
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.presets import DEFAULTS, Preset, check_layers, find_preset, preset_names
from stylize.settings.transfer import TransferSettings

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.reruns.explore import Cell, Exploration, Strip

Looks = list[list[tuple[str, TransferSettings]]]

STRENGTHS = (30.0, 60.0, 120.0)

TOP = 20

COLUMNS = 5

# What makes no difference on a sheet of this kind.
IDLE = {
    "layers": ("top", "columns"),
    "channels": ("strengths",),
    "presets": ("strengths", "top", "preset"),
}


@click.group()
def explore() -> None:
    """Contact sheets to choose from."""


@explore.command("dream")
@click.argument("photo", metavar="IMAGE")
@result_options
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="EXPRESSION",
    help="A row of the sheet, a column for each strength; as in 'stylize dream'. Repeatable.",
)
@click.option(
    "--strength",
    "strengths",
    multiple=True,
    type=click.FLOAT,
    help="A column of the sheet of layers. Repeatable.  [30, 60, 120]",
)
@click.option(
    "--channels",
    metavar="LAYER",
    help="A cell for each of the channels of this layer that IMAGE excites most.",
)
@click.option("--top", type=click.IntRange(1, 512), help=f"How many channels.  [{TOP}]")
@click.option(
    "--preset",
    metavar="NAME|FILE",
    shell_complete=complete_preset("dream"),
    help=f"All else, for layers and channels.  [{DEFAULTS['dream']}]",
)
@click.option("--size", default="256", help="Size of a cell's picture.  [256]")
@click.option("--columns", type=click.IntRange(1, 100), help=f"Cells a row.  [{COLUMNS}]")
@click.option("--seed", type=click.INT, default=0, help="Seed of the jitter.  [0]")
@settings_options(Execution)
@input_options
@message_options
def explore_dream(photo: str, **options: Any) -> int:
    """Dream on IMAGE in many small ways, on one sheet.

    \b
    Examples:
      stylize explore dream photo.jpg                         all presets
      stylize explore dream photo.jpg --layer conv3_3 --layer conv4_2 --strength 40 --strength 120
      stylize explore dream photo.jpg --channels conv5_1 --top 12

    Every cell has a name: 'stylize replay SHEET.png --cell B3 --size 1024' makes it large.
    """
    execution = Execution(**given(Execution, options))
    files = files_among([photo])
    check_streams(options["output"], [photo], as_json=options["as_json"])
    require_files(files)
    plan = planned(options, execution)
    target = choose_target(photo, files, "sheet", options)

    def prepare() -> Exploration:
        picture = open_picture(photo, options)
        load_torch()
        from stylize.reruns.explore import Exploration

        return Exploration(picture, plan(picture), execution)

    return make_sheet(prepare, target, options)


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

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Preset names for the part after the last comma."""
        done, comma, begun = incomplete.rpartition(",")
        names = complete_preset("transfer")(ctx, param, begun)
        return [CompletionItem(done + comma + name) for name in names]


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
@click.argument("content", metavar="CONTENT")
@click.argument("styles", metavar="STYLE...", nargs=-1, required=True)
@result_options
@click.option("--presets", type=NamesType(), help="The columns of the sheet.  [all presets]")
@click.option(
    "--strengths",
    type=WeightsType(),
    help="A row for each, instead of the presets' own --content-weight: 0.02,0.05,0.1.",
)
@click.option("--size", default="256", help="Size of a cell's picture.  [256]")
@settings_options(Execution)
@input_options
@message_options
def explore_transfer(content: str, styles: tuple[str, ...], **options: Any) -> int:
    """Paint CONTENT in each STYLE by itself with every preset, small, on one sheet.

    \b
    Examples:
      stylize explore transfer photo.jpg painting.jpg         all presets
      stylize explore transfer photo.jpg a.jpg b.jpg c.jpg --presets draft,bold
      stylize explore transfer photo.jpg a.jpg b.jpg --presets draft --strengths 0.01,0.05,0.2

    A column is a preset, a row a style; with --strengths, each style has a row for each. Presets
    that differ in nothing else than what --strengths replaces are one column. Every cell has a
    name: 'stylize replay SHEET.png --cell B3 --size 2048' makes it large.
    """
    execution = Execution(**given(Execution, options))
    files = files_among((content, *styles))
    check_streams(options["output"], (content, *styles), as_json=options["as_json"])
    require_files(files)
    looks = looks_of(options)
    target = choose_target(content, files, "sheet", options)

    def prepare() -> Exploration:
        photo, *paintings = [open_picture(source, options) for source in (content, *styles)]
        load_torch()
        from stylize.reruns.explore import Exploration, transfer_cells

        return Exploration(photo, transfer_cells(paintings, looks), execution)

    return make_sheet(prepare, target, options)


def looks_of(options: dict[str, Any]) -> Looks:
    """The columns of the sheet, a row for each strength, or one.

    Raises:
        UsageError: no such preset, one that has no place on a sheet, or a strength that is none.
    """
    names = options["presets"] or preset_names("transfer")
    presets = [find_preset("transfer", name) for name in names]
    rows = [{"size": options["size"]}]
    if options["strengths"]:
        rows = [row | {"content_weight": each} for row in rows for each in options["strengths"]]
    presets = different(presets, rows[0], options)
    looks = [[(preset.name, sheet_settings(preset, row)) for preset in presets] for row in rows]
    if not options["strengths"]:
        return looks
    return [
        [(f"{name} @ {settings.content_weight:g}", settings) for name, settings in row]
        for row in looks
    ]


def different(
    presets: list[Preset], overrides: dict[str, Any], options: dict[str, Any]
) -> list[Preset]:
    """Those presets that look different under ``overrides``; says which are left out."""
    columns: list[tuple[Preset, TransferSettings]] = []
    for preset in presets:
        settings = sheet_settings(preset, overrides)
        same = next((other for other, theirs in columns if theirs == settings), None)
        if same is None:
            columns.append((preset, settings))
        elif not options["quiet"]:
            say(f"{preset.name} is left out: here it is the same as {same.name}")
    return [preset for preset, _ in columns]


def sheet_settings(preset: Preset, overrides: dict[str, Any]) -> TransferSettings:
    """A preset's settings for a cell.

    Raises:
        UsageError: it needs another picture or several styles, or its network lacks a layer.
    """
    from stylize.networks.models import find_model

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


def make_sheet(
    prepare: Callable[[], Exploration], target: Path | None, options: dict[str, Any]
) -> int:
    """Prepare, make the cells, write, report; the exit code.

    Args:
        prepare: opens the pictures and lays out the cells.
        target: the file to write, None for stdout.
        options: those that both kinds of sheets share.
    """
    started = time.perf_counter()
    set_pixel_limit(options["max_input_pixels"])
    exploration = prepare()
    check_fits(exploration.size, target, options)
    seconds = exploration.estimate()
    if options["verbose"]:
        say(f"{exploration.count} cells" + (f", about {seconds:.0f} s" if seconds else ""))
    with (
        stop_on_interrupt(quiet=options["quiet"]) as stop,
        cell_bar(exploration.count, options) as told,
    ):
        sheet = exploration.run(told, stop)
    deliver(sheet, target, options)
    report(sheet, target, time.perf_counter() - started, options)
    return INTERRUPTED if sheet.interrupted else 0


def planned(options: dict[str, Any], execution: Execution) -> Callable[[Picture], list[list[Cell]]]:
    """What goes onto the sheet, once there is a picture; errors in the request come out now."""
    common = {"size": options["size"], "seed": options["seed"]}
    layers, channels = options["layers"], options["channels"]
    check_kind(options)
    settings: DreamSettings = find_preset("dream", options["preset"] or DEFAULTS["dream"]).apply(
        common
    )
    for layer in (*layers, *([channels] if channels else [])):
        check_layer(layer, settings)
    for strength in options["strengths"]:
        dataclasses.replace(settings, strength=strength)
    if channels:
        check_whole_layer(channels)

    def rows(picture: Picture) -> list[list[Cell]]:
        from stylize.reruns import explore as sheets

        if layers:
            strengths = options["strengths"] or STRENGTHS
            return sheets.layer_cells(settings, layers, strengths)
        if channels:
            top = options["top"] or TOP
            cells = sheets.channel_cells(picture, settings, channels, top, execution)
        else:
            cells = sheets.preset_cells(common)
        return sheets.in_rows(cells, options["columns"] or COLUMNS)

    return rows


def check_kind(options: dict[str, Any]) -> None:
    """Make sure that one kind of sheet is asked for, and nothing that has no place on it."""
    if options["layers"] and options["channels"]:
        raise SettingError("--layer and --channels", hint="ask for one sheet at a time")
    kind = "layers" if options["layers"] else "channels" if options["channels"] else "presets"
    for name in IDLE[kind]:
        if options[name]:
            option = "--strength" if name == "strengths" else f"--{name}"
            raise SettingError(f"{option} makes no difference on a sheet of {kind}")


def check_whole_layer(text: str) -> None:
    """Make sure that an expression is the name of one layer."""
    targets = parse_targets(text)
    if len(targets) > 1 or targets[0].channels is not None or targets[0].weight != 1:
        raise SettingError(f"--channels: '{text}' is not one layer", hint="for instance conv5_1")


def check_layer(layer: str, settings: DreamSettings) -> None:
    """Make sure that a layer expression makes sense for the network."""
    from stylize.networks.models import find_model

    architecture = find_model(settings.network).architecture
    dataclasses.replace(settings, layers=layer).check_layers(architecture)


@contextmanager
def cell_bar(cells: int, options: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    """A bar over the cells on stderr, if it is a terminal; or JSON lines on stdout."""
    from tqdm import tqdm

    hidden = options["quiet"] or options["as_json"]
    with tqdm(total=cells, disable=True if hidden else None, leave=False, unit="cell") as bar:

        def told(label: str) -> None:
            bar.update()
            bar.set_postfix_str(label)
            if options["as_json"]:
                emit("cell", label=label, cells=cells)

        yield told


@click.command("blend")
@click.argument("content", metavar="CONTENT")
@click.argument("first", metavar="STYLE")
@click.argument("last", metavar="STYLE")
@result_options
@click.option(
    "--steps",
    "count",
    type=click.IntRange(2, 26),
    default=5,
    help="Cells from the first style alone to the second alone.  [5]",
)
@click.option(
    "--preset",
    default=DEFAULTS["transfer"],
    metavar="NAME|FILE",
    shell_complete=complete_preset("transfer"),
    help=f"All but the styles.  [{DEFAULTS['transfer']}]",
)
@click.option("--size", default="256", help="Size of a cell's picture.  [256]")
@settings_options(Execution)
@input_options
@message_options
def explore_blend(content: str, first: str, last: str, **options: Any) -> int:
    """Paint CONTENT in mixtures of two STYLE pictures, from one to the other, on one strip.

    \b
    Examples:
      stylize explore blend photo.jpg hatching.jpg cubes.jpg
      stylize explore blend photo.jpg a.jpg b.jpg --steps 9 --preset draft --size 192

    Every cell has a name: 'stylize replay STRIP.png --cell C1 --size 2048' makes it large.
    """

    execution = Execution(**given(Execution, options))
    sources = (content, first, last)
    files = files_among(sources)
    check_streams(options["output"], sources, as_json=options["as_json"])
    require_files(files)
    settings = strip_settings(options["preset"], options["size"])
    target = choose_target(content, files, "strip", options)

    def prepare() -> Strip:
        photo, one, other = (open_picture(source, options) for source in sources)
        load_torch()
        from stylize.reruns.explore import Strip

        return Strip(photo, (one, other), settings, options["count"], execution)

    return make_sheet(prepare, target, options)


def strip_settings(preset: str, size: str) -> TransferSettings:
    """What all cells have in common.

    Raises:
        UsageError: no such preset, or one that says itself how styles are mixed.
    """
    from stylize.networks.models import find_model

    settings: TransferSettings = find_preset("transfer", preset).apply({"size": size})
    if settings.init == "file" or settings.style_weights:
        raise SettingError(
            f"the preset '{preset}' has no place on a strip",
            hint="it names weights of styles, or starts from a picture",
        )
    settings.check_styles(2)
    check_layers(settings, find_model(settings.network).architecture)
    return settings


explore.add_command(explore_blend)
