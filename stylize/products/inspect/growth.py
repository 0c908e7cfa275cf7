"""Optimize a picture from noise until a network responds to it most."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, cosine_similarity, grid_sample

from stylize.errors import NumericalError
from stylize.images.blur import blur
from stylize.networks.vgg import VGG
from stylize.products.inspect.fourier import FourierImage
from stylize.products.inspect.response import Features, Response


@dataclass(frozen=True)
class Views:
    """How far a view may differ from the picture.

    Attributes:
        shift_px: to each side.
        degrees: to each side.
        scale: enlarged or made smaller by at most this share.
    """

    shift_px: float = 8.0
    degrees: float = 10.0
    scale: float = 0.1

    def matrix(self, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """One view at random, as :func:`torch.nn.functional.affine_grid` takes it, ``(2, 3)``.

        Args:
            size: ``(height, width)`` in pixels.
            generator: of the chance.
        """
        height, width = size
        turn, scale, down, across = (2 * torch.rand(4, generator=generator) - 1).tolist()
        angle, zoom = math.radians(self.degrees * turn), math.exp(math.log1p(self.scale) * scale)
        cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
        return torch.tensor(
            [
                [cosine, -sine * height / width, 2 * self.shift_px * across / width],
                [sine * width / height, cosine, 2 * self.shift_px * down / height],
            ]
        )


def seen(pictures: Tensor, matrix: Tensor) -> Tensor:
    """A view of pictures, mirrored where it reaches beyond them; part of the graph.

    Args:
        pictures: ``(N, C, H, W)``.
        matrix: ``(2, 3)``, the same view for all.
    """
    many = matrix.to(pictures)[None].expand(len(pictures), -1, -1)
    grid = affine_grid(many, list(pictures.shape), align_corners=False)
    return grid_sample(
        pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def size_of(pictures: Tensor) -> tuple[int, int]:
    """``(height, width)`` of ``(N, C, H, W)``."""
    return pictures.shape[2], pictures.shape[3]


# Called with the number of the step, from 1, and the responses ``(N,)`` before it.
Told = Callable[[int, Tensor], None]

Stop = Callable[[], bool]

# Share of the steps at whose end the pace falls, so that what was tried last does not remain.
SETTLING = 0.3


@dataclass(frozen=True)
class Course:
    """How long and how fast something grows, and who follows it.

    Attributes:
        steps: evaluations.
        rate: length of the steps, in the units of what is changed.
        on_step: is told of every step.
        stop: asked after every step; True ends the growth with the pictures so far.
    """

    steps: int
    rate: float
    on_step: Told | None = None
    stop: Stop | None = None

    def ends(self, step: int, values: Tensor) -> bool:
        """Tell of a step; whether the growth shall stop after it."""
        if self.on_step is not None:
            self.on_step(step, values.detach())
        return self.stop is not None and self.stop()


@dataclass(frozen=True)
class Grown:
    """What has grown.

    Attributes:
        pictures: ``(N, 3, H, W)`` float32 in [0, 1].
        responses: of the last step's views, one for each picture.
        steps_done: fewer than planned if it was stopped.
        interrupted: whether it was.
    """

    pictures: Tensor
    responses: list[float]
    steps_done: int
    interrupted: bool


def grow(
    vgg: VGG,
    response: Response,
    image: FourierImage,
    course: Course,
    *,
    views: Views,
    generator: torch.Generator,
    diversity: float = 0.0,
) -> Grown:
    """Raise the response of pictures that are seen in a random view each step.

    Args:
        vgg: gives the layers of the response.
        response: what is to rise.
        image: what it begins as; is changed.
        course: its rate in units of the amplitudes.
        views: how the pictures are moved before each evaluation, all in the same way.
        generator: of the views.
        diversity: how much it counts that the pictures differ; 0 for not at all.

    Raises:
        NumericalError: the response is not finite.
    """

    def evaluate(pictures: Tensor) -> tuple[Tensor, Tensor]:
        features = vgg(seen(pictures, views.matrix(size_of(pictures), generator)))
        values = response(features)
        return values, values.sum() - _likeness(features, response, values, diversity)

    return ascend(image, evaluate, course)


def ascend(
    image: FourierImage,
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
    course: Course,
) -> Grown:
    """Adam on the amplitudes of waves, at a pace that falls towards the end.

    Args:
        image: what it begins as; is changed.
        evaluate: ``(N, 3, H, W)`` pictures to ``(N,)`` values to report and a scalar to raise.
        course: its rate in units of the amplitudes.

    Raises:
        NumericalError: a value is not finite.
    """
    optimizer = torch.optim.Adam([image.amplitudes], lr=course.rate)
    values, step = torch.zeros(0), 0
    for step in range(1, course.steps + 1):
        optimizer.param_groups[0]["lr"] = course.rate * pace(step, course.steps)
        values, gain = evaluate(image())
        (image.amplitudes.grad,) = torch.autograd.grad(-gain, image.amplitudes)
        optimizer.step()
        if course.ends(step, values):
            break
    with torch.no_grad():
        return _grown(image().float().cpu(), values, step, course)


def pace(step: int, steps: int) -> float:
    """Share of the rate at a step from 1 to ``steps``: 1, and towards the end less."""
    left = (steps - step + 1) / steps
    return min(1.0, left / SETTLING)


def _likeness(
    features: Features, response: Response, values: Tensor, weight: float
) -> Tensor | float:
    """What is taken off the responses for pictures that are alike."""
    if weight == 0 or len(values) < 2:
        return 0.0
    alike = [mean_likeness(features[layer]) for layer in response.layers]
    return weight * values.detach().abs().sum() * torch.stack(alike).mean()


def mean_likeness(features: Tensor) -> Tensor:
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
    """How the older method keeps a picture from becoming noise.

    Attributes:
        l2: share of the picture's distance from grey that each step takes back.
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
    vgg: VGG,
    response: Response,
    size: tuple[int, int],
    course: Course,
    *,
    count: int,
    plain: Plain,
    generator: torch.Generator,
) -> Grown:
    """Raise the response by steps on the pixels, the way of the course CS231n.

    It begins at zero, which is the middle grey; every step goes along the gradient, normalised,
    and the L2 penalty draws it back; every few steps a blur and a cut of the small pixels follow.

    Args:
        vgg: gives the layers of the response.
        response: what is to rise.
        size: ``(height, width)`` of the pictures in px.
        course: its rate is the root mean square way of the pixels in a step, in units of the
            range [0, 1].
        count: number of pictures; they differ only where the response does.
        plain: what is done beside the steps.
        generator: of the jitter.

    Raises:
        NumericalError: the response is not finite.
    """
    image = torch.zeros(count, 3, *size, device=vgg.device)
    values, step = torch.zeros(0), 0
    for step in range(1, course.steps + 1):
        shift = _shift(plain.jitter_px, generator)
        values, gradient = _slope(vgg, response, image, shift)
        image = _tidied(_uphill(image, gradient, course.rate), plain, step)
        if course.ends(step, values):
            break
    return _grown((image + 0.5).cpu(), values, step, course)


def _shift(most: int, generator: torch.Generator) -> list[int]:
    shift: list[int] = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    return shift


def _slope(vgg: VGG, response: Response, image: Tensor, shift: list[int]) -> tuple[Tensor, Tensor]:
    """The responses, and their gradient with respect to a picture that is seen shifted."""
    leaf = image.roll(shift, (2, 3)).requires_grad_()
    values = response(vgg(leaf + 0.5))
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values, gradient.roll([-each for each in shift], (2, 3)).float()


def _uphill(image: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """One step along the gradient, of the same length for every picture."""
    size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
    return image + rate * gradient / size.clamp_min(torch.finfo(gradient.dtype).tiny)


def _tidied(image: Tensor, plain: Plain, step: int) -> Tensor:
    """The picture after the penalty and, every few steps, the blur and the cut."""
    image = image * (1 - plain.l2)
    if plain.blur_every and step % plain.blur_every == 0:
        image = cut_small(blur(image, plain.blur_px), plain.cut)
    return image.clamp(-0.5, 0.5)


def cut_small(image: Tensor, share: float) -> Tensor:
    """The pixels of the smallest norm set to zero.

    Args:
        image: ``(N, 3, H, W)`` about 0.
        share: of each picture's pixels that go, in [0, 1].
    """
    norms = image.norm(dim=1, keepdim=True)
    bounds = torch.quantile(norms.flatten(1), share, dim=1).view(-1, 1, 1, 1)
    return image * (norms >= bounds) if share else image


def _grown(pictures: Tensor, values: Tensor, step: int, course: Course) -> Grown:
    responses = values.detach().float().cpu().tolist()
    if not all(map(math.isfinite, responses)):
        raise NumericalError(
            f"the response became {responses[0]}", hint="lower the rate, or --precision fp32"
        )
    return Grown(pictures, responses, step, interrupted=step < course.steps)
