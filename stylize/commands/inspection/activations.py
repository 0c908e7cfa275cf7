"""``stylize inspect activations``."""

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
from stylize.settings.inspection import ActivationsSettings


@click.command()
@click.argument("photo", metavar="PHOTO")
@click.argument("layer", metavar="LAYER")
@fields_options(ActivationsSettings, "layer")
@inspect_options
def activations(photo: str, layer: str, **options: Any) -> None:
    """What each channel of LAYER makes of PHOTO, the strongest channels first.

    \b
    Examples:
      stylize inspect activations photo.jpg relu4_3
      stylize inspect activations photo.jpg relu5_1 --overlay --count 12
      stylize inspect activations photo.jpg conv2_2:3,17-20

    Beneath each map stand the channel's number and the mean size of its response. Before the
    ReLU (conv4_3 instead of relu4_3), cool colours are negative responses.
    """
    settings = taken(ActivationsSettings, options, layer=layer)
    execution = execution_for(settings, options)
    target = choose_picture(photo, f"activations-{layer}", options)

    def look() -> Any:
        picture = open_picture(photo, options)
        from stylize.inspection.activations import show_activations

        return show_activations(picture, settings, execution)

    perform(look, target, options)
