"""Normalised gradient ascent under a jitter, the way of DeepDream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylize.engine.evaluation import Evaluation
from stylize.optimize.conditioning import Condition
from stylize.optimize.state import State

# Weights of the luma that keeps its colours (ITU-R BT.601, as in JPEG).
_LUMA = (0.299, 0.587, 0.114)
# Share of the range at each end where values are compressed instead of cut off.
_SHOULDER = 0.08
_TINY = 1e-6


@dataclass(frozen=True)
class Bounds:
    """What the picture is held to in one octave.

    Attributes:
        base: the photograph at this size, ``(1, 3, H, W)``.
        fidelity: share of the departure from it that the octave takes back, 0 to 1.
        keep_colors: whether only the brightness may depart from it.
        region: ``(1, 1, H, W)`` of zeros and ones, where the picture may change; None everywhere.
    """

    base: Tensor
    fidelity: float = 0.0
    keep_colors: bool = False
    region: Tensor | None = None

    def hold(self, image: Tensor, share: float) -> None:
        """Bring the picture back within the bounds, in place.

        Args:
            image: of the base's shape.
            share: of the octave that one step makes up; fidelity acts evenly over the steps.
        """
        if self.fidelity:
            image.copy_(self.base + (image - self.base) * (1 - self.fidelity) ** share)
        image.copy_(soft_clipped(image, self.base))
        if self.keep_colors:
            image.copy_(with_colours_of(self.base, image))


def soft_clipped(image: Tensor, base: Tensor) -> Tensor:
    """Values brought back into [0, 1] with a shoulder, so that lights and shadows keep detail.

    The shoulder begins where the photograph itself ends: a picture that equals it is unchanged.

    Args:
        image: ``(1, 3, H, W)``, any values.
        base: of the same shape, in [0, 1].
    """
    high, low = base.clamp_min(1 - _SHOULDER), base.clamp_max(_SHOULDER)
    above, below = (image - high).clamp_min(0), (low - image).clamp_min(0)
    # Nothing beyond the end of a shoulder that has no room.
    room_above, room_below = (1 - high).clamp_min(_TINY), low.clamp_min(_TINY)
    return (
        image.clamp(low, high)
        + (1 - high) * torch.tanh(above / room_above)
        - low * torch.tanh(below / room_below)
    )


def with_colours_of(base: Tensor, image: Tensor) -> Tensor:
    """The brightness of one picture with the colours of another.

    The same amount is added to red, green and blue, as much as no channel leaves [0, 1] by: so
    both chroma components of YCbCr stay exactly those of ``base``.

    Args:
        base: ``(1, 3, H, W)`` in [0, 1], gives the colours.
        image: of the same shape, gives the brightness.
    """
    luma = torch.tensor(_LUMA, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    change = ((image - base) * luma).sum(1, keepdim=True)
    darkest, brightest = -base.amin(1, keepdim=True), 1 - base.amax(1, keepdim=True)
    return base + change.clamp(darkest, brightest)


class Ascent:
    """Follows the gradient uphill, by a fixed mean distance a step.

    Args:
        levels: mean absolute change of a step, in grey levels of 255.
        steps: of an octave.
        jitter: the picture is rolled by up to this many pixels before each evaluation and back
            after it, so that the grid of the poolings leaves no trace.
        condition: what the gradient goes through.
        generator: of the jitter.
    """

    def __init__(
        self,
        levels: float,
        *,
        steps: int,
        jitter: int,
        condition: Condition,
        generator: torch.Generator,
    ) -> None:
        self._distance = levels / 255
        self._steps = steps
        self._jitter = jitter
        self._condition = condition
        self._generator = generator
        self._bounds: Bounds | None = None
        self._done = 0

    def begin(self, bounds: Bounds) -> None:
        """Begin an octave."""
        self._bounds = bounds
        self._done = 0

    def step(self, image: Tensor, evaluate: Callable[[Tensor], Evaluation]) -> Evaluation:
        """Evaluate once at the rolled ``image`` and move it uphill in place."""
        assert self._bounds is not None
        found = self._evaluate(image, evaluate)
        gradient = self._condition(found.gradient, self._done / self._steps)
        image.add_(self._normalised(gradient), alpha=self._distance)
        self._bounds.hold(image, 1 / self._steps)
        self._done += 1
        return found

    def result(self, image: Tensor) -> Tensor:
        """The picture so far, a new tensor."""
        return image.clone()

    def resample(self, resize: Callable[[Tensor], Tensor]) -> None:
        """Nothing is remembered between octaves."""

    def state(self) -> State:
        """What it would have to remember to go on after this step."""
        return State({"generator": self._generator.get_state()}, {"done": self._done})

    def restore(self, state: State, image: Tensor) -> None:
        """Remember again what :meth:`state` gave; to be called after :meth:`begin`.

        Raises:
            KeyError, TypeError, RuntimeError: the state is of another optimiser.
        """
        self._generator.set_state(state.tensors["generator"].cpu())
        self._done = int(state.numbers["done"])

    def _evaluate(self, image: Tensor, evaluate: Callable[[Tensor], Evaluation]) -> Evaluation:
        shift = torch.randint(
            -self._jitter, self._jitter + 1, (2,), generator=self._generator
        ).tolist()
        found = evaluate(image.roll(shift, (2, 3)))
        back = found.gradient.roll([-each for each in shift], (2, 3))
        return Evaluation(found.losses, found.total, back)

    def _normalised(self, gradient: Tensor) -> Tensor:
        """Divided by its mean absolute value, once for the whole region that may change."""
        region = self._bounds.region if self._bounds else None
        if region is None:
            size = gradient.abs().mean()
        else:
            gradient = gradient * region
            size = gradient.abs().sum() / (gradient.shape[1] * region.sum()).clamp_min(1)
        return gradient / size.clamp_min(torch.finfo(gradient.dtype).tiny)
