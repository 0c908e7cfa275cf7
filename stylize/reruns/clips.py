"""A clip made again from its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

from stylize.errors import RecipeError, UsageError
from stylize.products.transfer.style_crop import recorded_crops
from stylize.reruns.replay import execution_of
from stylize.runs.recipe import not_followed
from stylize.settings.fields import from_document
from stylize.settings.video import VideoSettings
from stylize.video.clip import Clip, Cut
from stylize.video.inputs import ClipInputs
from stylize.video.request import Request, Target


def clip_request(
    recipe: Mapping[str, Any],
    settings: Any,
    overrides: Mapping[str, Any],
    clip: Clip | None,
    inputs: ClipInputs,
    target: Target,
) -> Request:
    """What to paint.

    Args:
        recipe: of the clip, or of one of its frames; untrusted.
        settings: of a frame, as :func:`stylize.runs.recipe.changed_settings` gives them.
        overrides: of the recipe's execution.
        clip: the clip that was painted.
        inputs: all others.
        target: what is written.

    Raises:
        RecipeError: the recipe is damaged, or of a clip whose frames are elsewhere.
    """
    if clip is None:
        raise RecipeError("damaged recipe: a clip without frames")
    cut, video = read_clip(recipe)
    preset = recipe.get("preset")
    make = inputs.maker(
        settings,
        video,
        execution_of(recipe, overrides),
        preset=preset if isinstance(preset, str) else None,
        crops=recorded_crops(recipe),
    )
    return Request(
        clip=clip,
        cut=cut,
        settings=settings,
        video=video,
        make=make,
        inputs=inputs.digests(),
        masks=list(inputs.masks.values()),
        target=target,
    )


def read_clip(recipe: Mapping[str, Any]) -> tuple[Cut, VideoSettings]:
    """What a recipe says about its clip.

    Raises:
        RecipeError: it is damaged, or this version cannot follow it.
    """
    place = recipe["clip"]
    try:
        values = (place.get(name) for name in _CUT)
        cut = Cut(*(None if value is None else Fraction(value) for value in values))
        known = {each.name for each in fields(VideoSettings)}
        settings = {name: value for name, value in place.items() if name in known}
        video: VideoSettings = from_document(VideoSettings, settings)
    except UsageError as error:
        raise not_followed(recipe, error) from error
    except (ValueError, TypeError, ArithmeticError) as error:
        raise RecipeError("damaged recipe: no such part of a clip") from error
    cut.check()
    return cut, video


_CUT = ("start", "end", "fps")
