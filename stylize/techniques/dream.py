"""DeepDream on a picture: from files' pixels to a painting with its recipe."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from stylize.engine.layout import Layout
from stylize.engine.machine import budget_bytes
from stylize.engine.plan import Cost
from stylize.errors import PictureError, SettingError
from stylize.images import Picture, resize, resize_clamped
from stylize.optimize.events import Iterate
from stylize.optimize.state import Keeping, ScaleOutcome, Snapshot
from stylize.recipes import compose
from stylize.settings import DreamSettings, Execution, result_size, size_notes, to_document
from stylize.techniques.areas import area_of, doubts, mask_weights, require_some, soft_inside
from stylize.techniques.dreaming import Dreamer
from stylize.techniques.painting import Painting, alpha_of, resolution
from stylize.techniques.studio import Studio

# Below this side the deepest layer has no position.
LEAST_SIDE = 16


class Dream:
    """One dream, prepared: the network is loaded, the octaves are known.

    Args:
        photo: the picture to dream on; None for the noise that ``from_noise`` asks for.
        settings: how it shall look.
        execution: where it is done.
        guide: a picture whose motifs the dream shall use.
        mask: white where the dream shows, black where the photo stays.
        preset: the name of the preset behind the settings, for the recipe.
        studio: what is shared with other pictures.

    Attributes:
        notes: what a user may want to know of the plan.
        area: white where the dream shows; None for everywhere.

    Raises:
        StylizeError: the request cannot be carried out, see :mod:`stylize.errors`.
    """

    def __init__(
        self,
        photo: Picture | None,
        settings: DreamSettings | None = None,
        execution: Execution | None = None,
        *,
        guide: Picture | None = None,
        mask: Picture | None = None,
        preset: str | None = None,
        studio: Studio | None = None,
    ) -> None:
        studio = studio or Studio()
        self.settings = settings or DreamSettings()
        self.photo, self.guide, self.mask = photo, guide, mask
        self._preset = preset
        self.size = picture_size(photo, self.settings)
        area = area_of(photo, self.settings, mask, execution, studio)
        self._mask = None if area is None else dream_area(area, self.size, self.settings.feather)
        self.area = area
        self.weights = studio.weights(self.settings.network)
        self.machine = studio.machine(execution or Execution(), self.weights)
        self._dreamer = Dreamer(self.settings, self.weights, self.machine, guide, studio, photo)
        budget = budget_bytes(execution or Execution(), self.machine)
        self._dreamer.layout = self._dreamer.fit(self.size, budget)
        plan = self._dreamer.plan(self.size)
        self.scales = list(plan.scales)
        self.notes = [] if photo is None else size_notes(self.settings, photo.size)
        self.notes += [*plan.notes(self.settings.floor), *doubts(area, mask)]

    @property
    def layout(self) -> Layout:
        """How the picture is held in memory."""
        return self._dreamer.layout

    @layout.setter
    def layout(self, layout: Layout) -> None:
        """Hold it in another way."""
        self._dreamer.layout = layout

    def cost(self) -> Cost:
        """What the run will cost."""
        return self._dreamer.cost(tuple(self.scales))

    def run(
        self,
        listener: Callable[[Iterate], None] | None = None,
        stop: Callable[[], bool] | None = None,
        keeping: Keeping | None = None,
    ) -> Painting:
        """Dream.

        Args:
            listener: is told of every step.
            stop: asked after every step; True ends the run with the picture so far.
            keeping: who keeps the run's state, and where it goes on.

        Raises:
            NumericalError: the objective left the finite numbers.
            InterruptedRunError: stopped before the first step was done.
            CheckpointError: what it shall go on from is of another run.
        """
        found = self._dreamer.dream(
            starting_pixels(self.photo, self.settings, self.size),
            tuple(self.scales),
            mask=self._mask,
            listener=listener,
            stop=stop,
            keeping=(keeping or Keeping()).adding(self._described),
        )
        return Painting(
            pixels=found.pixels.cpu().contiguous(),
            alpha=None if self.photo is None else alpha_of(self.photo, self.size),
            recipe=self._recipe(found.outcomes, found.interrupted, self.layout),
            interrupted=found.interrupted,
            notes=tuple(self.notes),
        )

    def _described(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot of the loop with what it takes to prepare the same run again."""
        layout = dataclasses.replace(self.layout, tile_px=snapshot.tile_px)
        recipe = self._recipe(snapshot.outcomes, interrupted=True, layout=layout)
        return dataclasses.replace(snapshot, recipe=recipe)

    def _recipe(
        self, outcomes: Sequence[ScaleOutcome], interrupted: bool, layout: Layout
    ) -> dict[str, Any]:
        roles = {"content": self.photo, "guide": self.guide, "mask": self.mask}
        return compose(
            self.settings.TECHNIQUE,
            to_document(self.settings),
            [(role, picture) for role, picture in roles.items() if picture is not None],
            weights={"name": self.weights.name, "sha256": self.weights.sha256},
            resolved=resolution(self.machine, self.size, outcomes, layout),
            losses=outcomes[-1].losses,
            interrupted=interrupted,
            preset=self._preset,
        )


def picture_size(photo: Picture | None, settings: DreamSettings) -> tuple[int, int]:
    """``(height, width)`` of the result.

    Raises:
        SettingError: not exactly one of a picture and noise.
        PictureError: too small for the network.
    """
    noise = settings.noise_size
    if (photo is None) == (noise is None):
        raise SettingError("a dream begins from a picture, or else from noise")
    size = noise if photo is None else result_size(settings, photo.size)
    assert size is not None
    if min(size) < LEAST_SIDE:
        raise PictureError(
            f"{'the noise' if photo is None else photo.name}: {size[1]}×{size[0]} px is too small",
            hint=f"the network needs at least {LEAST_SIDE} px a side",
        )
    return size


def starting_pixels(
    photo: Picture | None, settings: DreamSettings, size: tuple[int, int]
) -> Tensor:
    """The picture before the dream, ``(1, 3, *size)``: the photo resized, or noise."""
    if photo is not None:
        return resize_clamped(photo.pixels, size)
    generator = torch.Generator().manual_seed(settings.seed)
    return noise(size, generator)


def noise(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Faint noise on grey, of the same strength at every octave, ``(1, 3, *size)``."""
    picture = torch.full((1, 3, *size), 0.5)
    side, longest = 4, max(size)
    while side < 2 * longest:
        cells = [math.ceil(side * each / longest) for each in size]
        picture += 0.02 * resize(torch.randn(1, 3, *cells, generator=generator), size)
        side *= 2
    return picture.clamp_(0, 1)


def dream_area(area: Picture, size: tuple[int, int], feather_px: float) -> Tensor:
    """How much of a dream shows where, ``(1, 1, *size)`` in [0, 1].

    Raises:
        PictureError: of other sides than the picture, or nowhere.
    """
    found = soft_inside(mask_weights(area, size), feather_px)
    require_some(found, area.name)
    return found
