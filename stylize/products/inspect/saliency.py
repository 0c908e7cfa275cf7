"""Saliency: which pixels a network's response depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stylize.errors import UnknownNameError
from stylize.images.read import Picture
from stylize.networks.vgg import VGG
from stylize.products.inspect.heat_colors import stretched
from stylize.products.inspect.model import Finding, Inquiry, brief, inquire
from stylize.products.inspect.response import Response
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import SaliencySettings

RULES = ("gradient", "deconvnet", "guided")

# Every name under which torch has a ReLU.
_RELUS = (F.relu, torch.relu, torch.relu_, F.relu_, Tensor.relu, Tensor.relu_)


class _Rule(torch.autograd.Function):
    """A ReLU that lets only what is positive back; with ``guided``, only where it was open."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, guided: bool) -> Tensor:
        """``max(x, 0)``."""
        rectified = x.clamp_min(0)
        ctx.guided = guided
        if guided:
            ctx.save_for_backward(rectified)
        return rectified

    @staticmethod
    def backward(ctx: Any, *back: Tensor) -> tuple[Tensor, None]:
        """What passes by the rule."""
        passed = back[0].clamp_min(0)
        if ctx.guided:
            (rectified,) = ctx.saved_tensors
            passed = passed * (rectified > 0)
        return passed, None


class _Mode(TorchFunctionMode):
    def __init__(self, *, guided: bool) -> None:
        super().__init__()
        self._guided = guided

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _RELUS:
            return _Rule.apply(args[0], self._guided)
        return func(*args, **(kwargs or {}))


@contextmanager
def backward_rule(name: str) -> Iterator[None]:
    """Within it, every ReLU that is called hands gradients back by the rule.

    What is computed on the way there stays the same; the way back may be walked after leaving.

    Args:
        name: one of :data:`RULES`.

    Raises:
        UnknownNameError: no such rule.
    """
    if name not in RULES:
        raise UnknownNameError("rule", name, RULES)
    if name == "gradient":
        yield
    else:
        with _Mode(guided=name == "guided"):
            yield


def gradient_of(vgg: VGG, response: Response, image: Tensor, rule: str = "gradient") -> Tensor:
    """How the response changes with each value of the pixels, ``(1, 3, H, W)`` float32.

    Args:
        vgg: gives the layers of the response.
        response: what is explained.
        image: ``(1, 3, H, W)`` RGB in [0, 1]; a step from 0 to 1 is the unit.
        rule: of the ReLUs, see :mod:`stylize.products.inspect.saliency`.

    Raises:
        UnknownNameError: no such rule.
    """
    leaf = image.detach().requires_grad_()
    with backward_rule(rule):
        value = response(vgg(leaf)).sum()
    (gradient,) = torch.autograd.grad(value, leaf)
    return gradient


def smooth_gradient(
    vgg: VGG,
    response: Response,
    image: Tensor,
    *,
    samples: int,
    noise: float,
    generator: torch.Generator,
    on_step: Callable[[], None] | None = None,
) -> Tensor:
    """The mean gradient over copies of the picture with Gaussian noise, ``(1, 3, H, W)``.

    Args:
        vgg, response, image: as in :func:`gradient_of`.
        samples: number of copies, one at a time.
        noise: standard deviation, in units of the range [0, 1].
        generator: of the noise.
        on_step: called after each copy.
    """
    total = torch.zeros_like(image)
    for _ in range(samples):
        grain = torch.randn(image.shape, generator=generator).to(image)
        total += gradient_of(vgg, response, image + noise * grain)
        if on_step is not None:
            on_step()
    return total / samples


def attribution(
    vgg: VGG,
    response: Response,
    image: Tensor,
    method: str,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    on_step: Callable[[], None] | None = None,
) -> Tensor:
    """What each value of the pixels has to do with the response, ``(1, 3, H, W)``.

    Args:
        vgg, response, image: as in :func:`gradient_of`.
        method: a rule of :mod:`stylize.products.inspect.saliency`, ``smoothgrad``, or
            ``input-x-gradient``, the gradient times the pixel, for which black counts nothing.
        samples, noise, seed: of ``smoothgrad``.
        on_step: called after each copy of ``smoothgrad``.

    Raises:
        UnknownNameError: no such method.
    """
    if method == "smoothgrad":
        generator = torch.Generator().manual_seed(seed)
        return smooth_gradient(
            vgg, response, image, samples=samples, noise=noise, generator=generator, on_step=on_step
        )
    if method == "input-x-gradient":
        return image * gradient_of(vgg, response, image)
    return gradient_of(vgg, response, image, method)


def saliency_map(attributed: Tensor) -> Tensor:
    """The largest size over the channels, ``(N, 3, H, W)`` to ``(N, 1, H, W)``."""
    return attributed.abs().amax(1, keepdim=True)


def show_saliency(
    photo: Picture,
    settings: SaliencySettings,
    execution: Execution | None = None,
    *,
    like: Picture | None = None,
    on_step: Callable[[], None] | None = None,
    session: Session | None = None,
) -> Finding:
    """Which parts of a photo a response depends on.

    Args:
        photo, execution, like, session: see :func:`stylize.products.inspect.model.inquire`.
        settings: of what, by which method, and how it is shown.
        on_step: called after each copy of ``smoothgrad``.

    Raises:
        StylizeError: what :func:`stylize.products.inspect.model.inquire` raises.
    """
    inquiry = inquire(photo, settings, execution, like=like, session=session)
    vgg, response, image = inquiry.vgg, inquiry.response, inquiry.image
    with torch.no_grad():
        value = float(response(vgg(image)))
    attributed = attribution(
        vgg,
        response,
        image,
        settings.method,
        samples=settings.samples,
        noise=settings.noise,
        seed=settings.seed,
        on_step=on_step,
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
