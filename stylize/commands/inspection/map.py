"""``stylize inspect map``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from stylize.inspection.album import open_album, page_path, sidecar
from stylize.settings.inspection import MapSettings

if TYPE_CHECKING:
    from stylize.inspection.atlas import Atlas


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@recursive_option
@fields_options(MapSettings)
@inspect_options
def map(folder: Path, **options: Any) -> None:
    """Lay out the photos in FOLDER on one plane, what looks alike side by side.

    \b
    Examples:
      stylize inspect map photos/
      stylize inspect map photos/ -r --layer relu4_3 --thumbnail 64 -o map.png

    Beside the picture stand MAP.html, a page to zoom and pan that shows the files' names, and
    MAP.png.sha256, the list of the photos. Photos that cannot be read are skipped. Needs the
    extra 'inspect'.
    """
    settings = taken(MapSettings, options)
    execution = execution_for(settings, options)
    check_streams(options["output"], [], as_json=options["as_json"])
    album = open_album(folder, recursive=options["recursive"])
    target = choose_page(album, "map", options, sidecar, page_path)

    def look() -> Atlas:
        from stylize.inspection.atlas import make_map

        warned = (lambda line: None) if options["quiet"] else say
        with photo_bar(len(album.photos), options) as told:
            return make_map(album, settings, execution, told=told, warned=warned)

    def beside(atlas: Atlas, target: Path) -> None:
        from stylize.inspection.atlas_page import write_page

        write_page(target, atlas, album)

    perform(look, target, options, beside)
