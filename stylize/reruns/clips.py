"""A clip made again from its recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any

from stylize.errors import RecipeError, UsageError
from stylize.images.read import Picture
from stylize.products.transfer.style_crop import recorded_crops
from stylize.products.transfer.style_groups import Masks
from stylize.reruns.replay import execution_of
from stylize.runs.recipe import not_followed
from stylize.settings.execution import Execution
from stylize.settings.fields import from_document
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.video.clip import Clip, Cut
from stylize.video.painter import ClipPainter, DreamClipPainter
from stylize.video.request import MaskFrames, Painter, Request, Target


@dataclass
class ClipInputs:
    """The inputs of a clip.

    Attributes:
        clips: by their roles; ``content`` is the clip itself, others are masks.
        pictures: with their roles.
    """

    clips: dict[str, Clip] = field(default_factory=dict)
    pictures: list[tuple[str, Picture]] = field(default_factory=list)

    def parts(self) -> dict[str, list[Picture]]:
        """The pictures by their roles."""
        found: dict[str, list[Picture]] = {}
        for role, picture in self.pictures:
            found.setdefault(role, []).append(picture)
        return found


def clip_request(
    recipe: Mapping[str, Any],
    settings: Any,
    overrides: Mapping[str, Any],
    inputs: ClipInputs,
    target: Target,
) -> Request:
    """What to paint.

    Args:
        recipe: of the clip, or of one of its frames; untrusted.
        settings: of a frame, as :func:`stylize.runs.recipe.changed_settings` gives them.
        overrides: of the recipe's execution.
        inputs: of the clip.
        target: what is written.

    Raises:
        RecipeError: the recipe is damaged, or of a clip whose frames are elsewhere.
    """
    if "content" not in inputs.clips:
        raise RecipeError("damaged recipe: a clip without frames")
    cut, video = read_clip(recipe)
    execution = execution_of(recipe, overrides)
    moving = {role: each for role, each in inputs.clips.items() if role != "content"}

    def make(reference: Picture, frames: MaskFrames) -> Painter:
        def parts(index: int) -> dict[str, list[Picture]]:
            return inputs.parts() | {
                role: [frames(place, index)] for place, role in enumerate(moving)
            }

        return _painter(reference, recipe, settings, video, execution, parts, moving=bool(moving))

    return Request(
        clip=inputs.clips["content"],
        cut=cut,
        settings=settings,
        video=video,
        make=make,
        inputs=[(role, picture.sha256) for role, picture in inputs.pictures],
        masks=list(moving.values()),
        target=target,
    )


def _painter(
    reference: Picture,
    recipe: Mapping[str, Any],
    settings: Any,
    video: VideoSettings,
    execution: Execution,
    parts: Callable[[int], dict[str, list[Picture]]],
    *,
    moving: bool,
) -> Painter:
    """The painter of a clip; ``parts`` gives the pictures of a frame by their roles."""
    first = parts(0)
    one = {role: pictures[0] for role, pictures in first.items()}
    preset = recipe.get("preset")
    preset = preset if isinstance(preset, str) else None
    if not isinstance(settings, TransferSettings):
        mask = (lambda index: parts(index)["mask"][0]) if moving else one.get("mask")
        return DreamClipPainter(
            reference, settings, video, execution, guide=one.get("guide"), mask=mask, preset=preset
        )
    return ClipPainter(
        reference,
        first.get("style", []),
        settings,
        video,
        execution,
        start=one.get("start"),
        masks=(lambda index: Masks.of_inputs(parts(index))) if moving else Masks.of_inputs(first),
        preset=preset,
        crops=recorded_crops(recipe),
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
