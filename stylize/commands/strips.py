"""``stylize explore blend``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stylize.commands.inputs import files_among, open_picture, require_files
from stylize.commands.options import (
    check_streams,
    complete_preset,
    given,
    input_options,
    message_options,
    result_options,
    settings_options,
)
from stylize.commands.results import choose_target
from stylize.commands.running import load_torch
from stylize.errors import SettingError
from stylize.presets import DEFAULTS, find_preset
from stylize.settings import Execution, TransferSettings

if TYPE_CHECKING:
    from stylize.techniques.strips import Strip


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
    from stylize.commands.explore import make_sheet

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
        from stylize.techniques.strips import Strip

        return Strip(photo, (one, other), settings, options["count"], execution)

    return make_sheet(prepare, target, options)


def strip_settings(preset: str, size: str) -> TransferSettings:
    """What all cells have in common.

    Raises:
        UsageError: no such preset, or one that says itself how styles are mixed.
    """
    from stylize.networks.store import find_model

    settings: TransferSettings = find_preset("transfer", preset).apply({"size": size})
    if settings.init == "file" or settings.style_weights:
        raise SettingError(
            f"the preset '{preset}' has no place on a strip",
            hint="it names weights of styles, or starts from a picture",
        )
    settings.check_styles(2)
    settings.check_layers(find_model(settings.network).architecture)
    return settings
