"""``stylize inspect segment``."""

from __future__ import annotations

from typing import Any

import click

from stylize.commands.inputs import open_picture
from stylize.commands.inspecting import (
    choose_picture,
    fields_options,
    inspect_options,
    perform,
    taken,
)
from stylize.networks.store import find_model
from stylize.settings import Execution
from stylize.settings.inspect_segment import SegmentSettings


@click.command()
@click.argument("photo", metavar="PHOTO")
@fields_options(SegmentSettings)
@inspect_options
def segment(photo: str, **options: Any) -> int:
    """Find the subject of PHOTO and save it as a mask.

    \b
    Examples:
      stylize inspect segment photo.jpg
      stylize inspect segment photo.jpg -o mask.png --invert
      stylize inspect segment photo.jpg --view cutout

    The mask is white on the subject, as large as the photo, and can be painted over in any
    program before it is used. A line says so where the result is not sure. Needs the extra
    'masks'.
    """
    settings = taken(SegmentSettings, options)
    execution = taken(Execution, options)
    find_model(settings.network)
    target = choose_picture(photo, words(settings), options)

    def look() -> Any:
        picture = open_picture(photo, options)
        from stylize.inspection.segmentation import show_subject

        return show_subject(picture, settings, execution)

    perform(look, target, options)
    return 0


def words(settings: SegmentSettings) -> str:
    """What the name of the result says."""
    part = "background" if settings.invert else "subject"
    return f"{part}-{settings.view}"
