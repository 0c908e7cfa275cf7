"""What the recipe of a clip says about its frames. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

from stylize.errors import RecipeError, UsageError
from stylize.runs.recipe import not_followed
from stylize.settings.fields import from_document
from stylize.settings.video import VideoSettings
from stylize.video.clip import Cut

_CUT = ("start", "end", "fps")


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
