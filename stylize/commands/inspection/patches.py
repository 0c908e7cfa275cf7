"""``stylize inspect patches``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stylize.commands.entry import say
from stylize.commands.inspecting import (
    choose_page,
    execution_for,
    fields_options,
    inspect_options,
    perform,
    photo_bar,
    recursive_option,
    taken,
)
from stylize.commands.options import check_streams
from stylize.commands.progress import stop_on_interrupt
from stylize.inspection.album import open_album, sidecar, state_path
from stylize.settings.inspection import PatchesSettings


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("channels", metavar="LAYER:CHANNEL[,…]")
@recursive_option
@fields_options(PatchesSettings, "channels")
@inspect_options
def patches(folder: Path, channels: str, **options: Any) -> None:
    """The patches of the photos in FOLDER that excite channels most, a row for each channel.

    \b
    Examples:
      stylize inspect patches photos/ relu4_3:7,21-26
      stylize inspect patches photos/ -r 'relu3_3:0-9 + relu5_1:40' --top 16 -o page.png

    A patch is all that one position of the layer sees; what of it lies outside the photo is
    grey. Photos that cannot be read are skipped. A run that was stopped goes on when the same
    command is given again. PAGE.sha256, beside the page, lists the photos.
    """
    settings = taken(PatchesSettings, options, channels=channels)
    execution = execution_for(settings, options)
    check_streams(options["output"], [], as_json=options["as_json"])
    album = open_album(folder, recursive=options["recursive"])
    target = choose_page(album, f"patches-{channels}", options, sidecar)
    state = None if target is None else state_path(target)

    def look() -> Any:
        from stylize.inspection.patches import PatchSearch

        search = PatchSearch(album, settings, execution)
        warned = (lambda line: None) if options["quiet"] else say
        action = "stopping after this photo; the same command goes on from there"
        with (
            stop_on_interrupt(quiet=options["quiet"], action=action) as stop,
            photo_bar(len(album.photos), options) as told,
        ):
            return search.run(state, told, warned, stop)

    perform(look, target, options)
