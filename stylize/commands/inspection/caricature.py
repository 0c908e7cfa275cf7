"""``stylize inspect caricature``."""

from __future__ import annotations

from typing import Any

import click

from stylize.commands.inputs import open_picture
from stylize.commands.inspecting import (
    choose_picture,
    execution_for,
    fields_options,
    inspect_options,
    perform,
    taken,
)
from stylize.commands.inspection_runs import exit_code, stoppable
from stylize.settings.inspect_gradients import CaricatureSettings


@click.command()
@click.argument("photo", metavar="PHOTO")
@fields_options(CaricatureSettings)
@inspect_options
def caricature(photo: str, **options: Any) -> int:
    """Grow a picture, from noise, that exaggerates what a layer sees in PHOTO, place for place.

    \b
    Examples:
      stylize inspect caricature photo.jpg
      stylize inspect caricature photo.jpg --layer relu5_1 --power 0
    """
    settings = taken(CaricatureSettings, options)
    execution = execution_for(settings, options)
    target = choose_picture(photo, f"caricature-{settings.layer}", options)

    def look() -> Any:
        picture = open_picture(photo, options)
        from stylize.inspection.caricature import show_caricature

        with stoppable(settings.steps, "step", options) as (advance, stop):
            return show_caricature(
                picture,
                settings,
                execution,
                told=lambda step, values: advance(1),
                stop=stop,
            )

    return exit_code(perform(look, target, options))
