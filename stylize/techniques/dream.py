"""DeepDream on a picture: from files' pixels to a painting with its recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylize.engine.layout import Layout
from stylize.engine.machine import budget_bytes
from stylize.engine.plan import Cost
from stylize.errors import PictureError, SettingError
from stylize.images import Picture, SizeSpec, resize
from stylize.optimize.events import Iterate
from stylize.recipes import compose
from stylize.settings import DreamSettings, Execution, to_document
from stylize.techniques.dreaming import Dreamer, Dreamt
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
        self._mask = None if mask is None else mask_weights(mask, self.size)
        self.weights = studio.weights(self.settings.network)
        self.machine = studio.machine(execution or Execution(), self.weights)
        self._dreamer = Dreamer(self.settings, self.weights, self.machine, guide, studio)
        budget = budget_bytes(execution or Execution(), self.machine)
        self._dreamer.layout = self._dreamer.fit(self.size, budget)
        plan = self._dreamer.plan(self.size)
        self.scales = list(plan.scales)
        self.notes = plan.notes(self.settings.floor)

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
    ) -> Painting:
        """Dream.

        Args:
            listener: is told of every step.
            stop: asked after every step; True ends the run with the picture so far.

        Raises:
            NumericalError: the objective left the finite numbers.
            InterruptedRunError: stopped before the first step was done.
        """
        photo = starting_pixels(self.photo, self.settings, self.size)
        found = self._dreamer.dream(
            photo, tuple(self.scales), mask=self._mask, listener=listener, stop=stop
        )
        return Painting(
            pixels=found.pixels.cpu().contiguous(),
            alpha=None if self.photo is None else alpha_of(self.photo, self.size),
            recipe=self._recipe(found),
            interrupted=found.interrupted,
        )

    def _recipe(self, found: Dreamt) -> dict[str, Any]:
        roles = {"content": self.photo, "guide": self.guide, "mask": self.mask}
        return compose(
            self.settings.TECHNIQUE,
            to_document(self.settings),
            [(role, picture) for role, picture in roles.items() if picture is not None],
            weights={"name": self.weights.name, "sha256": self.weights.sha256},
            resolved=resolution(self.machine, self.size, found.outcomes, self.layout),
            losses=found.outcomes[-1].losses,
            interrupted=found.interrupted,
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
    size = noise if photo is None else SizeSpec.parse(settings.size).fit(*photo.size)
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
        return resize(photo.pixels, size).clamp(0, 1)
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
    return picture.clamp(0, 1)


def mask_weights(mask: Picture, size: tuple[int, int]) -> Tensor:
    """A mask as weights in [0, 1], ``(1, 1, *size)``; where it is transparent, 0.

    Raises:
        PictureError: its sides have another ratio than the picture's.
    """
    height, width = mask.size
    scale = max(size) / max(height, width)
    if abs(height * scale - size[0]) > 1 or abs(width * scale - size[1]) > 1:
        raise PictureError(
            f"{mask.name}: a mask of {width}×{height} px does not fit a picture of"
            f" {size[1]}×{size[0]} px",
            hint="give it the same ratio of sides",
        )
    weights = mask.pixels.mean(1, keepdim=True)
    if mask.alpha is not None:
        weights = weights * mask.alpha
    return resize(weights, size).clamp(0, 1)
