"""Optimize a picture from noise for the strongest response of a network.

The picture is held as the amplitudes of its waves. Steps on single pixels make grain. Steps on
amplitudes, in units of what photographs have at each frequency and along decorrelated colour
axes, make shapes.

Reference:
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.optim.adam import adam

from stylize.errors import NumericalError
from stylize.images.blur import blur
from stylize.images.views import view, view_matrix
from stylize.networks.network import Network
from stylize.products.inspect.response import Features, Response
from stylize.products.inspect.result import OnStep, Stop

# Principal axes of the logits of red, green and blue in eight photographs, times the standard
# deviations there, relative to the first: brightness, warm against cold, green against magenta.
# The last is taken half as large again as it was measured; with less, all is orange and blue.
COLOUR_AXES = ((0.59, 0.24, 0.05), (0.58, -0.02, -0.11), (0.56, -0.23, 0.06))

# As torch.optim.Adam has it.
_ADAM: dict[str, Any] = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
    "maximize": False,
}

# Amplitude of the noise at the start.
FIRST_AMPLITUDE = 0.01

# Mean magnitude of the waves of the sample photos at one cycle per pixel, and the power of the
# frequency with which it falls, along each of the colour axes.
PHOTO_WAVES = ((0.086, 1.40), (0.107, 1.22), (0.193, 0.92))

# Contrast of a picture whose waves all have amplitude 1.
GAIN = 0.2


class FourierImage:
    """A batch of pictures of one size, held as amplitudes of waves.

    Args:
        count: pictures in the batch.
        size: ``(height, width)`` in pixels.
        generator: of the noise at the start.
        decay: the amplitude of a wave falls with this power of its frequency; photographs
            have about 1.
        device: of the amplitudes.
        same: begin all pictures as the same noise.

    Attributes:
        amplitudes: ``(count, 3, height, width // 2 + 1, 2)``, real and imaginary parts, a leaf.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        generator: torch.Generator,
        *,
        decay: float = 1.0,
        device: torch.device | str = "cpu",
        same: bool = False,
    ) -> None:
        height, width = size
        shape = (1 if same else count, 3, height, width // 2 + 1, 2)
        start = FIRST_AMPLITUDE * torch.randn(shape, generator=generator, dtype=torch.float32)
        self._size = size
        self._scales = wave_scales(size, decay).to(device)
        self._axes = torch.tensor(COLOUR_AXES, device=device, dtype=torch.float32)
        self.amplitudes = start.expand(count, *shape[1:]).clone().to(device).requires_grad_()

    def __call__(self) -> Tensor:
        """The pictures, ``(count, 3, height, width)`` RGB between 0 and 1, part of the graph."""
        waves = torch.view_as_complex(self.amplitudes) * self._scales
        planes = torch.fft.irfft2(waves, s=self._size, norm="ortho")
        return torch.sigmoid(GAIN * torch.einsum("ij,njhw->nihw", self._axes, planes))


class PhaseImage(FourierImage):
    """A batch of pictures whose waves have the amplitudes of photographs; only phases change.

    A picture cannot become all grain or all contrast, whatever the network asks for.

    Args:
        count, size, generator, device, same: as of :class:`FourierImage`.

    Attributes:
        amplitudes: ``(count, 3, height, width // 2 + 1)``, the phases in radians, a leaf.

    Reference:
        Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained
        Optimization", NeurIPS 2023.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        generator: torch.Generator,
        *,
        device: torch.device | str = "cpu",
        same: bool = False,
    ) -> None:
        super().__init__(count, size, generator, device=device, same=same)
        shape = (1 if same else count, *self.amplitudes.shape[1:-1])
        start = (2 * torch.rand(shape, generator=generator, dtype=torch.float32) - 1) * math.pi
        self.amplitudes = start.expand(count, *shape[1:]).clone().to(device).requires_grad_()
        waves = [level * wave_scales(size, decay) for level, decay in PHOTO_WAVES]
        self._magnitudes = torch.stack(waves).to(device)

    def __call__(self) -> Tensor:
        """The pictures, ``(count, 3, height, width)`` RGB between 0 and 1, part of the graph."""
        waves = torch.polar(self._magnitudes.expand_as(self.amplitudes), self.amplitudes)
        planes = torch.fft.irfft2(waves, s=self._size, norm="ortho")
        return torch.sigmoid(torch.einsum("ij,njhw->nihw", self._axes, planes))


def wave_scales(size: tuple[int, int], decay: float) -> Tensor:
    """The factor of the amplitudes at each frequency of :func:`torch.fft.rfft2`.

    Args:
        size: ``(height, width)`` in pixels.
        decay: power of the wavelength.

    Returns:
        ``(height, width // 2 + 1)``: the wavelength in pixels to the power of ``decay``. The
        mean counts as a wave as long as the longest side.
    """
    height, width = size
    down = torch.fft.fftfreq(height, dtype=torch.float32)[:, None]
    across = torch.fft.rfftfreq(width, dtype=torch.float32)[None]
    frequency = torch.hypot(down, across).clamp_min(1 / max(height, width))
    return frequency**-decay


@dataclass(frozen=True)
class Views:
    """Limits of the random transformation of a view.

    Attributes:
        shift_px: to each side.
        degrees: to each side.
        scale: enlarged or made smaller by at most this share.
    """

    shift_px: float = 8.0
    degrees: float = 10.0
    scale: float = 0.1

    def matrix(self, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """A random view, see :func:`stylize.images.views.view_matrix`.

        Args:
            size: ``(height, width)`` in pixels.
            generator: source of the randomness.
        """
        height, width = size
        turn, scale, down, across = (
            2 * torch.rand(4, generator=generator, dtype=torch.float32) - 1
        ).tolist()
        return view_matrix(
            size,
            degrees=self.degrees * turn,
            zoom=math.exp(math.log1p(self.scale) * scale),
            across=self.shift_px * across / width,
            down=self.shift_px * down / height,
        )


def size_of(pictures: Tensor) -> tuple[int, int]:
    """``(height, width)`` of ``(N, C, H, W)``."""
    return pictures.shape[2], pictures.shape[3]


# Share of the steps, at the end, in which the rate falls to erase traces of the last views.
SETTLING = 0.3


@dataclass(frozen=True)
class Course:
    """Number and length of the steps, and the callbacks.

    Attributes:
        steps: evaluations.
        rate: length of the steps, in the units of what is changed.
        on_step: called after every step.
        stop: called after every step; True ends the run with the pictures so far.
    """

    steps: int
    rate: float
    on_step: OnStep | None = None
    stop: Stop | None = None

    def follow(self, take: Callable[[int], Tensor], pictures: Callable[[], Tensor]) -> Grown:
        """Take one step after the other.

        Args:
            take: takes the step of this number, from 1, and returns the responses ``(N,)``.
            pictures: returns the pictures at the end, ``(N, 3, H, W)``.

        Raises:
            NumericalError: a response is not finite.
        """
        values, step = torch.zeros(0, dtype=torch.float32), 0
        for step in range(1, self.steps + 1):
            values = take(step)
            if self.on_step is not None:
                self.on_step(step, self.steps)
            if self.stop is not None and self.stop():
                break
        responses = values.detach().float().cpu().tolist()
        if not all(map(math.isfinite, responses)):
            raise NumericalError(
                f"the response became {responses[0]}", hint="lower the rate, or --precision fp32"
            )
        with torch.no_grad():
            found = pictures().float().cpu()
        return Grown(found, responses, step, interrupted=step < self.steps)


@dataclass(frozen=True)
class Grown:
    """The pictures after the last step.

    Attributes:
        pictures: ``(N, 3, H, W)`` float32 in [0, 1].
        responses: of the last step's views, one for each picture.
        steps_done: fewer than planned if it was stopped.
        interrupted: whether it was stopped.
    """

    pictures: Tensor
    responses: list[float]
    steps_done: int
    interrupted: bool


def grow(
    vgg: Network,
    response: Response,
    image: FourierImage,
    course: Course,
    *,
    views: Views,
    generator: torch.Generator,
    diversity: float = 0.0,
) -> Grown:
    """Maximize the response to random views of the pictures.

    Args:
        vgg: gives the layers of the response.
        response: the response to maximize.
        image: the start; is changed.
        course: its rate in units of the amplitudes.
        views: limits of the random view of each step, the same for all pictures.
        generator: of the views.
        diversity: weight of the differences between the pictures.

    Raises:
        NumericalError: the response is not finite.
    """

    def evaluate(pictures: Tensor) -> tuple[Tensor, Tensor]:
        features = vgg(view(pictures, views.matrix(size_of(pictures), generator)))
        values = response(features)
        return values, values.sum() - _similarity(features, response, values, diversity)

    return ascend(image, evaluate, course)


def ascend(
    image: FourierImage,
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
    course: Course,
) -> Grown:
    """Adam on the amplitudes of waves, at a rate that falls towards the end.

    Args:
        image: the start; is changed.
        evaluate: ``(N, 3, H, W)`` pictures to ``(N,)`` values to report and a scalar to maximize.
        course: its rate in units of the amplitudes.

    Raises:
        NumericalError: a value is not finite.
    """
    leaf = image.amplitudes
    first, second, count = torch.zeros_like(leaf), torch.zeros_like(leaf), torch.tensor(0.0)

    def take(step: int) -> Tensor:
        rate = course.rate * pace(step, course.steps)
        values, gain = evaluate(image())
        (gradient,) = torch.autograd.grad(-gain, leaf)
        with torch.no_grad():
            # The function, because the class torch.optim.Adam imports torch's compiler: a second.
            adam([leaf], [gradient], [first], [second], [], [count], lr=rate, **_ADAM)
        return values

    return course.follow(take, image)


def pace(step: int, steps: int) -> float:
    """Share of the rate at a step from 1 to ``steps``: 1, falling towards the end."""
    left = (steps - step + 1) / steps
    return min(1.0, left / SETTLING)


def _similarity(
    features: Features, response: Response, values: Tensor, weight: float
) -> Tensor | float:
    if weight == 0 or len(values) < 2:
        return 0.0
    alike = [mean_similarity(features[layer]) for layer in response.layers]
    return weight * values.detach().abs().sum() * torch.stack(alike).mean()


def mean_similarity(features: Tensor) -> Tensor:
    """Mean cosine between the Gram matrices of all pairs of different pictures.

    Args:
        features: ``(N, C, h, w)`` with N at least 2.
    """
    rows = features.float().flatten(2)
    grams = (rows @ rows.mT).flatten(1)
    cosines = cosine_similarity(grams[:, None], grams[None], dim=2)
    count = len(grams)
    return (cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1))


@dataclass(frozen=True)
class Plain:
    """Regularization of the CS231n method.

    Attributes:
        l2: share of the picture's distance from grey that each step removes.
        blur_every: steps between two blurs; 0 for none.
        blur_px: their standard deviation.
        cut: share of the pixels, those with the least colour, that become grey after a blur.
        jitter_px: the picture is rolled by up to this before each evaluation.
    """

    l2: float = 0.01
    blur_every: int = 4
    blur_px: float = 1.0
    cut: float = 0.1
    jitter_px: int = 8


def grow_plainly(
    vgg: Network,
    response: Response,
    size: tuple[int, int],
    course: Course,
    *,
    count: int,
    plain: Plain,
    generator: torch.Generator,
) -> Grown:
    """Maximize the response by steps on the pixels, as the CS231n course notes do.

    The picture begins as middle grey. Every step follows the normalized gradient, and the L2
    penalty pulls the picture back to grey. Every few steps it is blurred, and pixels near grey
    become grey.

    Args:
        vgg: gives the layers of the response.
        response: the response to maximize.
        size: ``(height, width)`` of the pictures in px.
        course: its rate is the root mean square change of the pixels in a step, in units of
            the range [0, 1].
        count: number of pictures; they differ only where the response does.
        plain: the regularization.
        generator: of the jitter.

    Raises:
        NumericalError: the response is not finite.
    """
    image = torch.zeros(count, 3, *size, device=vgg.device, dtype=torch.float32)

    def take(step: int) -> Tensor:
        shift = _shift(plain.jitter_px, generator)
        values, gradient = _gradient(vgg, response, image, shift)
        image.copy_(_regularized(_uphill(image, gradient, course.rate), plain, step))
        return values

    return course.follow(take, lambda: image + 0.5)


def _shift(most: int, generator: torch.Generator) -> list[int]:
    shift: list[int] = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    return shift


def _gradient(
    vgg: Network, response: Response, image: Tensor, shift: list[int]
) -> tuple[Tensor, Tensor]:
    leaf = image.roll(shift, (2, 3)).requires_grad_()
    values = response(vgg(leaf + 0.5))
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values, gradient.roll([-each for each in shift], (2, 3)).float()


def _uphill(image: Tensor, gradient: Tensor, rate: float) -> Tensor:
    # Every picture takes a step of the same length.
    size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
    return image + rate * gradient / size.clamp_min(torch.finfo(gradient.dtype).tiny)


def _regularized(image: Tensor, plain: Plain, step: int) -> Tensor:
    image = image * (1 - plain.l2)
    if plain.blur_every and step % plain.blur_every == 0:
        image = cut_small(blur(image, plain.blur_px), plain.cut)
    return image.clamp(-0.5, 0.5)


def cut_small(image: Tensor, share: float) -> Tensor:
    """Set the pixels of the smallest norm to zero.

    Args:
        image: ``(N, 3, H, W)`` about 0.
        share: share of each picture's pixels to set, in [0, 1].
    """
    norms = image.norm(dim=1, keepdim=True)
    bounds = torch.quantile(norms.flatten(1), share, dim=1).view(-1, 1, 1, 1)
    return image * (norms >= bounds) if share else image
