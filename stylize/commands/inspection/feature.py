"""``stylize inspect feature``."""

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
from stylize.errors import SettingError, UsageError
from stylize.settings import option_name
from stylize.settings.inspect_gradients import FeatureSettings


@click.command()
@click.argument("target", metavar="[TARGET]", required=False)
@click.option(
    "--direction",
    multiple=True,
    metavar="PHOTO",
    help="More of what these photos have in common at the layer TARGET. Repeatable.",
)
@fields_options(FeatureSettings, "target")
@inspect_options
def feature(target: str | None, direction: tuple[str, ...], **options: Any) -> int:
    """Grow the picture that excites TARGET most: a channel, several, or a layer.

    \b
    Examples:
      stylize inspect feature conv5_3:100
      stylize inspect feature conv5_1:7 --diversity 4
      stylize inspect feature conv4_3:30 --to conv4_3:100
      stylize inspect feature conv5_1 --direction cat.jpg --direction lion.jpg
      stylize inspect feature conv5_2:20 --recipe cs231n
      stylize inspect feature --class "golden retriever" --network vgg16-imagenet

    A channel is taken before the ReLU, where even a silent one has a slope. docs/channels.md
    shows thirty channels worth knowing.
    """
    check_question(target, options["category"], direction)
    settings = settings_from(target, options)
    execution = execution_for(settings, options)
    if direction:
        settings.direction_layer()
    place = choose_picture(None, words_of(target or settings.category or ""), options, *direction)

    def look() -> Any:
        photos = [open_picture(each, options) for each in direction]
        from stylize.inspection.feature import show_feature

        with stoppable(settings.steps_planned, "step", options) as (advance, stop):
            return show_feature(
                settings,
                execution,
                photos=photos,
                told=lambda step, responses: advance(1),
                stop=stop,
            )

    return exit_code(perform(look, place, options))


def words_of(target: str) -> str:
    """What the name of the result says, in letters that every file system takes."""
    return "feature-" + "".join(c if c.isalnum() or c in "_-" else "-" for c in target)[:72]


def check_question(target: str | None, category: str | None, direction: tuple[str, ...]) -> None:
    """Make sure that one thing is asked for.

    Raises:
        UsageError: none, or a class and something else.
    """
    if target is None and category is None:
        raise UsageError("nothing to grow", hint="name a channel: conv5_3:100")
    if category is not None:
        for name, value in {"TARGET": target, "--direction": direction}.items():
            if value:
                raise UsageError(f"--class and {name}", hint="leave one of them out")


def settings_from(target: str | None, options: dict[str, Any]) -> FeatureSettings:
    """The settings, and nothing said that makes no difference.

    Raises:
        SettingError: an option of the other recipe, or of a strip that is none.
    """
    said = {name for name, value in options.items() if value is not None}
    settings: FeatureSettings = taken(
        FeatureSettings, options, **({} if target is None else {"target": target})
    )
    idle = [
        name
        for recipe, names in settings.OF_RECIPE.items()
        if recipe != settings.recipe
        for name in names
    ]
    if settings.to is None:
        idle.append("frames")
    fields = settings.__dataclass_fields__
    for name in idle:
        if name in said:
            where = "without --to" if name == "frames" else f"with --recipe {settings.recipe}"
            raise SettingError(f"{option_name(fields[name])} makes no difference {where}")
    return settings
