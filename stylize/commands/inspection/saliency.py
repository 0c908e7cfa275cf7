"""``stylize inspect saliency``."""

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
from stylize.commands.inspection_runs import check_question, like_option, opened, step_bar
from stylize.errors import SettingError
from stylize.settings.inspect_gradients import SaliencySettings

OF_SMOOTHGRAD = ("samples", "noise", "seed")


@click.command()
@click.argument("photo", metavar="PHOTO")
@click.argument("target", metavar="[TARGET]", required=False)
@like_option
@fields_options(SaliencySettings, "target")
@inspect_options
def saliency(photo: str, like: str | None, **options: Any) -> int:
    """Show which pixels of PHOTO the response of TARGET depends on.

    \b
    Examples:
      stylize inspect saliency photo.jpg
      stylize inspect saliency photo.jpg conv5_3:100 --method guided
      stylize inspect saliency photo.jpg conv4_2:7 --at 320,200 --view overlay
      stylize inspect saliency photo.jpg conv5_3 --like other.jpg --method smoothgrad

    TARGET is a layer, a channel or a sum of them, as in 'stylize dream --layer'; without it,
    the deepest layer. The picture shows the size of the gradient, the largest of the three
    colours at each pixel.
    """
    said = options["target"]
    settings = settings_from(options)
    execution = execution_for(settings, options)
    check_question(said, like, settings)
    target = choose_picture(photo, f"saliency-{settings.method}", options, like)

    def look() -> Any:
        picture, other = open_picture(photo, options), opened(like, options)
        from stylize.inspection.saliency import show_saliency

        copies = settings.samples if settings.method == "smoothgrad" else 1
        with step_bar(copies, "copy", options) as advance:
            return show_saliency(picture, settings, execution, like=other, told=lambda: advance(1))

    perform(look, target, options)
    return 0


def settings_from(options: dict[str, Any]) -> SaliencySettings:
    """The settings, and nothing said that makes no difference.

    Raises:
        SettingError: an option of smoothgrad without it.
    """
    said = [f"--{name}" for name in OF_SMOOTHGRAD if options[name] is not None]
    settings: SaliencySettings = taken(SaliencySettings, options)
    if said and settings.method != "smoothgrad":
        raise SettingError(f"{said[0]} makes no difference with --method {settings.method}")
    return settings
