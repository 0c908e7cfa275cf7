"""``stylize inspect occlude``."""

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
from stylize.commands.inspection_runs import (
    check_question,
    exit_code,
    like_option,
    opened,
    place_bar,
)
from stylize.commands.progress import stop_on_interrupt
from stylize.settings.inspect_gradients import OcclusionSettings


@click.command()
@click.argument("photo", metavar="PHOTO")
@click.argument("target", metavar="[TARGET]", required=False)
@like_option
@fields_options(OcclusionSettings, "target")
@inspect_options
def occlude(photo: str, like: str | None, **options: Any) -> int:
    """Hide PHOTO with a grey patch, place by place, and show where the response of TARGET falls.

    \b
    Examples:
      stylize inspect occlude photo.jpg
      stylize inspect occlude photo.jpg conv5_3:100 --patch 32 --step 8
      stylize inspect occlude photo.jpg conv5_3 --like other.jpg --view heat

    TARGET is a layer, a channel or a sum of them, as in 'stylize dream --layer'; without it,
    the deepest layer. Bright is where hiding costs most.
    """
    said = options["target"]
    settings = taken(OcclusionSettings, options)
    execution = execution_for(settings, options)
    check_question(said, like, settings)
    target = choose_picture(photo, "occlusion", options, like)

    def look() -> Any:
        picture, other = open_picture(photo, options), opened(like, options)
        from stylize.inspection.occlusion import show_occlusion

        action = "stopping after this batch; nothing is saved"
        with (
            stop_on_interrupt(quiet=options["quiet"], action=action) as stop,
            place_bar(options) as told,
        ):
            return show_occlusion(picture, settings, execution, like=other, told=told, stop=stop)

    return exit_code(perform(look, target, options))
