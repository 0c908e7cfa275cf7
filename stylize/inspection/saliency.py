"""Which pixels a network's response depends on.

References:
    Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", 2013;
    Smilkov, Thorat, Kim, Viégas and Wattenberg, "SmoothGrad", 2017;
    for the rules of the ReLU see :mod:`stylize.inspection.backward`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylize.images import Picture
from stylize.inspection.backward import backward_rule
from stylize.inspection.finding import Finding
from stylize.inspection.lens import brief
from stylize.inspection.question import Inquiry, inquire
from stylize.inspection.response import Response
from stylize.inspection.shading import stretched
from stylize.networks.trunk import Trunk
from stylize.settings import Execution
from stylize.settings.inspect_gradients import SaliencySettings
from stylize.techniques.studio import Studio


def gradient_of(trunk: Trunk, response: Response, image: Tensor, rule: str = "gradient") -> Tensor:
    """How the response changes with each value of the pixels, ``(1, 3, H, W)`` float32.

    Args:
        trunk: gives the layers of the response.
        response: what is explained.
        image: ``(1, 3, H, W)`` RGB in [0, 1]; a step from 0 to 1 is the unit.
        rule: of the ReLUs, see :mod:`stylize.inspection.backward`.

    Raises:
        UnknownNameError: no such rule.
    """
    leaf = image.detach().requires_grad_()
    with backward_rule(rule):
        value = response(trunk(leaf)).sum()
    (gradient,) = torch.autograd.grad(value, leaf)
    return gradient


def smooth_gradient(
    trunk: Trunk,
    response: Response,
    image: Tensor,
    *,
    samples: int,
    noise: float,
    generator: torch.Generator,
    told: Callable[[], None] | None = None,
) -> Tensor:
    """The mean gradient over copies of the picture with Gaussian noise, ``(1, 3, H, W)``.

    Args:
        trunk, response, image: as in :func:`gradient_of`.
        samples: number of copies, one at a time.
        noise: standard deviation, in units of the range [0, 1].
        generator: of the noise.
        told: called after each copy.
    """
    total = torch.zeros_like(image)
    for _ in range(samples):
        grain = torch.randn(image.shape, generator=generator).to(image)
        total += gradient_of(trunk, response, image + noise * grain)
        if told is not None:
            told()
    return total / samples


def attribution(
    trunk: Trunk,
    response: Response,
    image: Tensor,
    method: str,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    told: Callable[[], None] | None = None,
) -> Tensor:
    """What each value of the pixels has to do with the response, ``(1, 3, H, W)``.

    Args:
        trunk, response, image: as in :func:`gradient_of`.
        method: a rule of :mod:`stylize.inspection.backward`, ``smoothgrad``, or
            ``input-x-gradient``, the gradient times the pixel, for which black counts nothing.
        samples, noise, seed: of ``smoothgrad``.
        told: called after each copy of ``smoothgrad``.

    Raises:
        UnknownNameError: no such method.
    """
    if method == "smoothgrad":
        generator = torch.Generator().manual_seed(seed)
        return smooth_gradient(
            trunk, response, image, samples=samples, noise=noise, generator=generator, told=told
        )
    if method == "input-x-gradient":
        return image * gradient_of(trunk, response, image)
    return gradient_of(trunk, response, image, method)


def saliency_map(attributed: Tensor) -> Tensor:
    """The largest size over the channels, ``(N, 3, H, W)`` to ``(N, 1, H, W)``."""
    return attributed.abs().amax(1, keepdim=True)


def show_saliency(
    photo: Picture,
    settings: SaliencySettings,
    execution: Execution | None = None,
    *,
    like: Picture | None = None,
    told: Callable[[], None] | None = None,
    studio: Studio | None = None,
) -> Finding:
    """Which parts of a photo a response depends on.

    Args:
        photo, execution, like, studio: see :func:`stylize.inspection.question.inquire`.
        settings: of what, by which method, and how it is shown.
        told: called after each copy of ``smoothgrad``.

    Raises:
        StylizeError: what :func:`stylize.inspection.question.inquire` raises.
    """
    inquiry = inquire(photo, settings, execution, like=like, studio=studio)
    trunk, response, image = inquiry.trunk, inquiry.response, inquiry.image
    with torch.no_grad():
        value = float(response(trunk(image)))
    attributed = attribution(
        trunk,
        response,
        image,
        settings.method,
        samples=settings.samples,
        noise=settings.noise,
        seed=settings.seed,
        told=told,
    )
    amounts = saliency_map(attributed)
    numbers = {"method": settings.method, "response": brief(value)} | _numbers(amounts, inquiry)
    return inquiry.finding(stretched(amounts), settings.view, numbers)


def _numbers(amounts: Tensor, inquiry: Inquiry) -> dict[str, Any]:
    height, width = amounts.shape[2:]
    row, column = divmod(int(amounts.argmax()), width)
    return {
        "largest": brief(float(amounts.max())),
        "mean": brief(float(amounts.mean())),
        "peak": inquiry.place((row + 0.5) / height, (column + 0.5) / width),
    }
