"""Normalized gradient ascent with jitter, the optimizer of DeepDream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylize.images.blur import blur, map_bands
from stylize.images.luma import luma
from stylize.images.periodic import wrap
from stylize.losses.loss import Evaluation
from stylize.optimize.snapshot import State

Condition = Callable[[Tensor, float], Tensor]

# Colour correlations of natural pictures, from tensorflow/lucid (misc/io, Apache-2.0).
_CORRELATION = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))

# Share of the low frequencies that is removed, and the frequency at which they begin.
_LOW_SHARE, _LOW_SIGMA_PX = 0.7, 10.0

_BANDS = 4

# Reach of the coarsest band at a place: about four of its pixels.
_BANDS_REACH_PX = 4 * 2**_BANDS

# The cascade's widths relative to its middle one, after gordicaleksa/pytorch-deepdream.
_CASCADE = (0.5, 1.0, 2.0)


def natural_colours(gradient: Tensor) -> Tensor:
    """Favour the colour directions of natural pictures: ``K g`` with ``K = C Cᵀ``.

    Without it, VGG's dreams burn out in green and magenta: the gradient takes colour directions
    that are rare in photos as easily as common ones.
    """
    matrix = torch.tensor(_CORRELATION, dtype=gradient.dtype, device=gradient.device)
    matrix = matrix / matrix.norm(dim=0).max()
    return torch.einsum("ij,njhw->nihw", matrix @ matrix.T, gradient)


def without_washes(gradient: Tensor, *, periodic: bool = False) -> Tensor:
    """Remove most of the low frequencies, so that no octave paints large washes."""
    return gradient - _LOW_SHARE * blur(gradient, _LOW_SIGMA_PX, periodic=periodic)


def cascade(gradient: Tensor, progress: float, *, periodic: bool = False) -> Tensor:
    """Mean of three blurs that widen during the octave.

    Args:
        gradient: of the objective.
        progress: share of the octave's steps that are done, 0 to 1.
        periodic: whether the picture tiles.
    """
    sigma = 0.5 + 2.0 * progress
    parts = [blur(gradient, sigma * factor, periodic=periodic) for factor in _CASCADE]
    return torch.stack(parts).mean(0)


def level_bands(gradient: Tensor, *, periodic: bool = False) -> Tensor:
    """Divide every band of the Laplacian pyramid by its root mean square.

    Large smooth shapes then count as much as fine grain (TensorFlow's DeepDream tutorial of 2015).

    Args:
        gradient: of the objective.
        periodic: whether the picture tiles.
    """
    if not periodic:
        return map_bands(gradient, _BANDS, _level)
    height, width = gradient.shape[2:]
    framed = wrap(gradient, _BANDS_REACH_PX, (_BANDS_REACH_PX, _BANDS_REACH_PX))
    levelled = map_bands(framed, _BANDS, _level)
    down, right = _BANDS_REACH_PX + height, _BANDS_REACH_PX + width
    return levelled[..., _BANDS_REACH_PX:down, _BANDS_REACH_PX:right]


def _level(band: Tensor) -> Tensor:
    tiny = torch.finfo(band.dtype).tiny ** 0.5
    return band / band.square().mean().sqrt().clamp_min(tiny)


def conditioning(palette: str, smoothing: str, *, periodic: bool = False) -> Condition:
    """All filters of a gradient, as one function of gradient and progress.

    Args:
        palette: ``natural`` or ``neon``.
        smoothing: ``none``, ``cascade`` or ``laplacian``.
        periodic: whether the picture tiles.
    """

    def condition(gradient: Tensor, progress: float) -> Tensor:
        if smoothing == "cascade":
            gradient = cascade(gradient, progress, periodic=periodic)
        elif smoothing == "laplacian":
            gradient = level_bands(gradient, periodic=periodic)
        if palette == "natural":
            gradient = without_washes(natural_colours(gradient), periodic=periodic)
        return gradient

    return condition


# Share of the range at each end where values are compressed instead of clipped.
_SHOULDER = 0.08

_TINY = 1e-6


@dataclass(frozen=True)
class Bounds:
    """The limits of the picture in one octave.

    Attributes:
        base: the photo at this size, ``(1, 3, H, W)``.
        fidelity: share of the change that the octave takes back, 0 to 1.
        keep_colors: whether only the brightness may change.
        region: ``(1, 1, H, W)`` of zeros and ones, where the picture may change; None everywhere.
        gain: ``(1, 1, H, W)`` in [0, 1], the share of each step that counts; None for 1.
    """

    base: Tensor
    fidelity: float = 0.0
    keep_colors: bool = False
    region: Tensor | None = None
    gain: Tensor | None = None

    def hold(self, image: Tensor, share: float) -> None:
        """Bring the picture back within the bounds, in place.

        Args:
            image: of the base's shape.
            share: of one step in the octave; fidelity acts evenly over the steps.
        """
        if self.fidelity:
            image.copy_(self.base + (image - self.base) * (1 - self.fidelity) ** share)
        image.copy_(soft_clipped(image, self.base))
        if self.keep_colors:
            image.copy_(with_colours_of(self.base, image))


def soft_clipped(image: Tensor, base: Tensor) -> Tensor:
    """Bring values back into [0, 1] with a shoulder, so that lights and shadows keep detail.

    The shoulder begins at the photo's own value: a picture that equals the photo is unchanged.

    Args:
        image: ``(1, 3, H, W)``, any values.
        base: of the same shape, in [0, 1].
    """
    high, low = base.clamp_min(1 - _SHOULDER), base.clamp_max(_SHOULDER)
    above, below = (image - high).clamp_min(0), (low - image).clamp_min(0)
    # A shoulder without room passes nothing.
    room_above, room_below = (1 - high).clamp_min(_TINY), low.clamp_min(_TINY)
    return (
        image.clamp(low, high)
        + (1 - high) * torch.tanh(above / room_above)
        - low * torch.tanh(below / room_below)
    )


def with_colours_of(base: Tensor, image: Tensor) -> Tensor:
    """Combine the brightness of one picture with the colours of another.

    The same amount is added to red, green and blue, limited so that no channel leaves [0, 1].
    Both chroma components of YCbCr stay exactly those of ``base``.

    Args:
        base: ``(1, 3, H, W)`` in [0, 1], gives the colours.
        image: of the same shape, gives the brightness.
    """
    change = luma(image - base)
    darkest, brightest = -base.amin(1, keepdim=True), 1 - base.amax(1, keepdim=True)
    return base + change.clamp(darkest, brightest)


class Ascent:
    """Follow the gradient uphill, by a fixed mean distance per step.

    Args:
        levels: mean absolute change of a step, in grey levels of 255.
        steps: of an octave.
        jitter: the picture is rolled by up to this many pixels before each evaluation and back
            after it, so that the grid of the poolings leaves no trace.
        condition: the filters of the gradient.
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
        gain = self._bounds.gain
        before = None if gain is None else image.clone()
        image.add_(self._normalised(gradient), alpha=self._distance)
        self._bounds.hold(image, 1 / self._steps)
        if before is not None and gain is not None:
            image.copy_(torch.lerp(before, image, gain))
        self._done += 1
        return found

    def result(self, image: Tensor) -> Tensor:
        """The picture so far, a new tensor."""
        return image.clone()

    def resample(self, resize: Callable[[Tensor], Tensor]) -> None:
        """Do nothing: no state is kept between octaves."""

    def state(self) -> State:
        """The state from which to continue after this step."""
        return State({"generator": self._generator.get_state()}, {"done": self._done})

    def restore(self, state: State, image: Tensor) -> None:
        """Restore the result of :meth:`state`; call :meth:`begin` first.

        Raises:
            KeyError, TypeError, RuntimeError: the state belongs to another optimizer.
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
        """Divide the gradient by its mean absolute value over the region that may change."""
        region = self._bounds.region if self._bounds else None
        if region is None:
            size = gradient.abs().mean()
        else:
            gradient = gradient * region
            size = gradient.abs().sum() / (gradient.shape[1] * region.sum()).clamp_min(1)
        return gradient / size.clamp_min(torch.finfo(gradient.dtype).tiny)
