"""``stylize inspect invert``."""

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
from stylize.errors import SettingError
from stylize.settings.inspect_gradients import InversionSettings


@click.command()
@click.argument("photo", metavar="PHOTO")
@fields_options(InversionSettings)
@inspect_options
def invert(photo: str, **options: Any) -> int:
    """Find PHOTO again, from noise, by what one layer knows of it.

    \b
    Examples:
      stylize inspect invert photo.jpg --layer relu3_1
      stylize inspect invert photo.jpg --strip

    What a layer has forgotten comes back as anything that it cannot tell from the photo. --json
    says how near the pixels are, as their signal-to-noise ratio.
    """
    if options["strip"] and options["layer"] is not None:
        raise SettingError("--layer makes no difference with --strip")
    settings = taken(InversionSettings, options)
    execution = execution_for(settings, options)
    words = "inversions" if settings.strip else f"inversion-{settings.layer}"
    target = choose_picture(photo, words, options)

    def look() -> Any:
        picture = open_picture(photo, options)
        from stylize.inspection.inversion import show_inversion

        steps = settings.steps * len(settings.layers)
        with stoppable(steps, "step", options) as (advance, stop):
            return show_inversion(
                picture, settings, execution, told=lambda event: advance(1), stop=stop
            )

    return exit_code(perform(look, target, options))
