"""A clip made again from its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stylize.errors import RecipeError
from stylize.products.transfer.style_crop import recorded_crops
from stylize.reruns.replay import execution_of
from stylize.video.clip import Clip
from stylize.video.inputs import ClipInputs
from stylize.video.recipe import read_clip
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
