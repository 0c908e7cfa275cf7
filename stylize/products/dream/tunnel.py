"""The zooming film: each frame is one camera step and one step of a dream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylize.errors import InterruptedRunError
from stylize.gradients.self_test import resolve
from stylize.images.read import Picture
from stylize.images.views import view, view_matrix
from stylize.networks.models import load_weights
from stylize.planning.cost import Cost
from stylize.planning.device import budget_bytes, require_own_threads
from stylize.planning.memory import MemoryPlan
from stylize.products.dream.dream import TensorDream, picture_size, starting_pixels
from stylize.runs.recipe import compose
from stylize.runs.result import Result, resolution
from stylize.settings.dream import TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.schedule import Scale, size_notes


@dataclass(frozen=True)
class Camera:
    """The movement from one frame to the next.

    Attributes:
        zoom: enlargement about the centre.
        rotate: degrees, the picture turning counter-clockwise.
        pan_x, pan_y: movement of the camera to the right and down, as shares of the sides.
    """

    zoom: float = 1.0
    rotate: float = 0.0
    pan_x: float = 0.0
    pan_y: float = 0.0

    def move(self, image: Tensor) -> Tensor:
        """The next view of ``(1, C, H, W)``, of the same shape.

        Beyond its edges the picture is mirrored.
        """
        matrix = view_matrix(
            (image.shape[2], image.shape[3]),
            degrees=self.rotate,
            zoom=self.zoom,
            across=self.pan_x,
            down=self.pan_y,
        )
        return view(image, matrix, "bicubic").clamp(0, 1)


# Contrast may grow up to this standard deviation, or to the first frame's; a dream from faint
# noise needs room.
GROWN_CONTRAST = 0.2

# Limit for raising a frame's contrast where the camera reached a dull place.
MOST_GAIN = 1.02

# Rounds to reconcile clipping and brightness. Each round reduces the difference to the share of
# clipped pixels, which is a half in a dark film.
ROUNDS = 12

# Share of a loop over which its end fades into its beginning.
FADE_SHARE = 0.25

# These change only the number of frames and how they are shown, not the frames.
FREE_SETTINGS = ("frames", "fps", "loop")

# How a frame is held in memory depends on other programs and changes only the rounding.
FREE_RESOLVED = ("frames", "engine", "tile_px", "history")


@dataclass(frozen=True)
class Anchor:
    """The brightness and contrast to which a film is held.

    Attributes:
        mean: ``(1, 3, 1, 1)``, of each channel in the first frame.
        contrast: standard deviation of its brightness.
    """

    mean: Tensor
    contrast: float

    @classmethod
    def of(cls, picture: Tensor) -> Anchor:
        """Measure ``(1, 3, H, W)``."""
        return cls(picture.mean((2, 3), keepdim=True), _contrast(picture))

    def hold(self, picture: Tensor) -> Tensor:
        """Give the picture the mean of the first frame and a similar contrast."""
        now = max(_contrast(picture), 1e-6)
        most = max(self.contrast, GROWN_CONTRAST)
        gain = most / now if now > most else min(MOST_GAIN, max(1.0, self.contrast / now))
        held = picture - picture.mean((2, 3), keepdim=True)
        held = held * gain + self.mean
        for _ in range(ROUNDS):
            inside = held.clamp(0, 1)
            held = inside + self.mean - inside.mean((2, 3), keepdim=True)
        return held.clamp(0, 1)


def _contrast(picture: Tensor) -> float:
    return float(picture.mean(1).std())


class Tunnel:
    """A prepared film.

    Args:
        photo: the first frame; None for noise.
        settings: how the film looks and moves.
        execution: device, precision and threads.
        guide: a picture whose motifs the dream uses.
        preset: the name of the preset behind the settings, for the recipe.

    Raises:
        StylizeError: the request cannot be carried out, see :mod:`stylize.errors`.
    """

    def __init__(
        self,
        photo: Picture | None,
        settings: TunnelSettings,
        execution: Execution | None = None,
        *,
        guide: Picture | None = None,
        preset: str | None = None,
    ) -> None:
        self.settings, self.photo, self.guide = settings, photo, guide
        self._preset = preset
        self.size = picture_size(photo, settings)
        require_own_threads()
        self.weights = load_weights(settings.network)
        self.device = resolve(execution or Execution(), self.weights)
        self._tensor_dream = TensorDream(settings, self.weights, self.device, guide, photo=photo)
        budget = budget_bytes(execution or Execution(), self.device)
        self._tensor_dream.memory_plan = self._tensor_dream.fit(self.size, budget)
        plan = self._tensor_dream.plan(self.size)
        steps = max(1, round(settings.steps * settings.pace))
        self.scales = [Scale(each.height, each.width, steps) for each in plan.scales]
        self.notes = [] if photo is None else size_notes(settings, photo.size)
        self.octave_notes = plan.notes(settings.floor)
        self.notes += self.octave_notes if settings.asks_for_octaves else []
        self._camera = Camera(
            settings.zoom, settings.rotate, settings.pan_x / 100, settings.pan_y / 100
        )

    @property
    def raw_frames(self) -> int:
        """The number of frames to dream: those of the film and those that a loop fades away."""
        return self.settings.frames + fade_frames(self.settings)

    @property
    def memory_plan(self) -> MemoryPlan:
        """The plan for holding a frame in memory."""
        return self._tensor_dream.memory_plan

    @memory_plan.setter
    def memory_plan(self, memory_plan: MemoryPlan) -> None:
        """Replace the plan."""
        self._tensor_dream.memory_plan = memory_plan

    def cost(self) -> Cost:
        """What the whole film will cost."""
        frame = self._tensor_dream.cost(tuple(self.scales))
        count = max(1, self.raw_frames - 1)
        seconds = None if frame.seconds is None else frame.seconds * count
        return Cost(frame.tflop * count, frame.peak_bytes, seconds)

    def frames(
        self,
        last: Tensor | None = None,
        number: int = 0,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Result]:
        """The frames one by one, each with its recipe; the first is the picture itself.

        Args:
            last: the last frame that exists, ``(1, 3, H, W)``; None to begin.
            number: of that frame, counted from 1; 0 to begin.
            stop: called after every step; True ends the film with the last complete frame.
        """
        first = _quantised(starting_pixels(self.photo, self.settings, self.size))
        anchor = Anchor.of(first)
        for index in range(number + 1, self.raw_frames + 1):
            if stop is not None and stop():
                return
            losses: dict[str, float] = {}
            if last is None:
                last = first
            else:
                found = self._next(last, index, stop)
                if found is None:
                    return
                last, losses = _quantised(anchor.hold(found[0])), found[1]
            yield Result(last, None, self.recipe(index, losses), interrupted=False)

    def _next(
        self, last: Tensor, index: int, stop: Callable[[], bool] | None
    ) -> tuple[Tensor, dict[str, float]] | None:
        settings = self.settings
        scales = tuple(self.scales)
        try:
            found = self._tensor_dream.dream(
                self._camera.move(last),
                scales,
                levels=settings.strength * settings.pace / sum(each.steps for each in scales),
                # Each frame has its own seed, so that a film can continue from any frame.
                generator=torch.Generator().manual_seed(
                    (settings.seed * 1_000_003 + index) % 2**63
                ),
                stop=stop,
            )
        except InterruptedRunError:  # before its first step
            return None
        return None if found.interrupted else (found.pixels.cpu(), found.outcomes[-1].losses)

    def recipe(self, frames: int, losses: dict[str, float]) -> dict[str, Any]:
        """The recipe of a film with this number of frames."""
        roles = {"content": self.photo, "guide": self.guide}
        resolved = resolution(self.device, self.size, [], self.memory_plan)
        resolved["scales"] = [[each.width, each.height, each.steps] for each in self.scales]
        return compose(
            self.settings.TECHNIQUE,
            to_document(self.settings),
            [(role, picture) for role, picture in roles.items() if picture is not None],
            weights={"name": self.weights.name, "sha256": self.weights.sha256},
            resolved=resolved | {"frames": frames},
            losses=losses,
            interrupted=False,
            preset=self._preset,
        )


def is_same_film(recipe: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two recipes give the same frames, as far as both films go.

    Args:
        recipe: of a file; untrusted.
        other: of the film to be made.
    """

    def essence(document: dict[str, Any]) -> dict[str, Any]:
        settings = {k: v for k, v in document["settings"].items() if k not in FREE_SETTINGS}
        resolved = {k: v for k, v in document["resolved"].items() if k not in FREE_RESOLVED}
        inputs = [(each["role"], each["sha256"]) for each in document["inputs"]]
        return {
            "settings": settings,
            "resolved": resolved,
            "inputs": inputs,
            "weights": document["weights"],
            "version": document["version"],
        }

    try:
        return essence(recipe) == essence(other)
    except (KeyError, TypeError):
        return False


def fade_frames(settings: TunnelSettings) -> int:
    """Frames over which a loop fades; 0 for a film with an end."""
    return max(1, round(settings.frames * FADE_SHARE)) if settings.loop else 0


def faded(beginning: Tensor, continued: Tensor, share: float) -> Tensor:
    """A frame between the film's continuation and its beginning.

    Args:
        beginning: ``(1, 3, H, W)``, a frame of the beginning.
        continued: the frame that would come at this place if the film continued.
        share: of the beginning, 0 to 1.
    """
    mixed = torch.lerp(continued, beginning, share)
    # A mixture of two unrelated pictures has less contrast than either.
    wanted = (1 - share) * _contrast(continued) + share * _contrast(beginning)
    mean = mixed.mean((2, 3), keepdim=True)
    gain = wanted / max(_contrast(mixed), 1e-6)
    return ((mixed - mean) * gain + mean).clamp(0, 1)


def _quantised(picture: Tensor) -> Tensor:
    """Round as in a frame's file, so that a film continues identically from the file."""
    return (picture * 255).round() / 255
