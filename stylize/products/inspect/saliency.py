"""Saliency: which pixels a network's response depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stylize.errors import SettingError, UnknownNameError
from stylize.images.read import Picture
from stylize.networks.network import Network
from stylize.products.inspect.response import Features, Query, Response, query, silence_of
from stylize.products.inspect.result import Finding, OnStep, brief, stretched
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import SaliencySettings

RULES = ("gradient", "deconvnet", "guided")

# Every name under which torch has a ReLU.
_RELUS = (F.relu, torch.relu, torch.relu_, F.relu_, Tensor.relu, Tensor.relu_)

# ReLU6 calls hardtanh with its bounds.
_HARD = (F.hardtanh, F.hardtanh_, F.relu6)


class _Rule(torch.autograd.Function):
    """A ReLU up to ``most`` that passes only positive gradients back.

    With ``guided``, it passes them only where the input is within the bounds.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, guided: bool, most: float) -> Tensor:
        rectified = x.clamp(0, most)
        ctx.guided, ctx.most = guided, most
        if guided:
            ctx.save_for_backward(rectified)
        return rectified

    @staticmethod
    def backward(ctx: Any, *back: Tensor) -> tuple[Tensor, None, None]:
        passed = back[0].clamp_min(0)
        if ctx.guided:
            (rectified,) = ctx.saved_tensors
            passed = passed * ((rectified > 0) & (rectified < ctx.most))
        return passed, None, None


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
            return _Rule.apply(args[0], self._guided, math.inf)
        if func in _HARD:
            return _Rule.apply(args[0], self._guided, 6.0)
        return func(*args, **(kwargs or {}))


@contextmanager
def backward_rule(name: str) -> Iterator[None]:
    """A context in which every ReLU and ReLU6 uses this rule in its backward pass.

    The forward pass does not change. The backward pass may run after the context.

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


def gradient_of(vgg: Network, response: Response, image: Tensor, rule: str = "gradient") -> Tensor:
    """The gradient of the response with respect to the pixels, ``(1, 3, H, W)`` float32.

    Args:
        vgg: gives the layers of the response.
        response: the response that is explained.
        image: ``(1, 3, H, W)`` RGB in [0, 1].
        rule: one of :data:`RULES`.

    Raises:
        UnknownNameError: no such rule.
    """
    leaf = image.detach().requires_grad_()
    with backward_rule(rule):
        value = response(vgg(leaf)).sum()
    (gradient,) = torch.autograd.grad(value, leaf)
    return gradient


def smooth_gradient(
    vgg: Network,
    response: Response,
    image: Tensor,
    *,
    samples: int,
    noise: float,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> Tensor:
    """The mean gradient over copies of the picture with Gaussian noise, ``(1, 3, H, W)``.

    Args:
        vgg, response, image: as in :func:`gradient_of`.
        samples: number of copies.
        noise: standard deviation, in units of the range [0, 1].
        generator: of the noise.
        on_step: called after each copy.
    """
    total = torch.zeros_like(image)
    for number in range(1, samples + 1):
        grain = torch.randn(image.shape, generator=generator, dtype=torch.float32).to(image)
        total += gradient_of(vgg, response, image + noise * grain)
        if on_step is not None:
            on_step(number, samples)
    return total / samples


def grad_cam(response: Response, features: Features) -> Tensor:
    """Class activation map by gradients (Selvaraju et al., ICCV 2017), ``(1, 1, h, w)``.

    The rectified sum of the layer's rectified channels, each times the mean of the response's
    gradient over its positions. For a single channel this is its own map.

    Args:
        response: reads one layer.
        features: ``(1, C, h, w)`` activations by layer.

    Raises:
        SettingError: the response reads several layers.
    """
    if len(response.layers) > 1:
        raise SettingError(
            "--method grad-cam explains channels of one layer", hint="name channels of one layer"
        )
    (layer,) = response.layers
    maps = features[layer].detach().float().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(response({layer: maps}).sum(), maps)
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * maps.detach().clamp_min(0)).sum(1, keepdim=True).clamp_min(0)


def attribution(
    vgg: Network,
    response: Response,
    image: Tensor,
    method: str,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """How much each pixel value contributes to the response, ``(1, 3, H, W)``.

    With ``grad-cam`` how much each pixel does, ``(1, 1, H, W)``.

    Args:
        vgg, response, image: as in :func:`gradient_of`.
        method: one of :data:`RULES`, ``smoothgrad``, ``grad-cam``, or ``input-x-gradient``, the
            gradient times the pixel, in which black does not contribute.
        samples, noise, seed: of ``smoothgrad``.
        on_step: called after each copy of ``smoothgrad``.

    Raises:
        UnknownNameError: no such method.
        SettingError: see :func:`grad_cam`.
    """
    if method == "grad-cam":
        with torch.no_grad():
            features = vgg(image)
        cam = grad_cam(response, features)
        size = (image.shape[2], image.shape[3])
        return F.interpolate(cam, size, mode="bilinear", align_corners=False)
    if method == "smoothgrad":
        generator = torch.Generator().manual_seed(seed)
        return smooth_gradient(
            vgg, response, image, samples=samples, noise=noise, generator=generator, on_step=on_step
        )
    if method == "input-x-gradient":
        return image * gradient_of(vgg, response, image)
    return gradient_of(vgg, response, image, method)


def saliency_map(attributed: Tensor) -> Tensor:
    """The largest absolute value over the channels, ``(N, C, H, W)`` to ``(N, 1, H, W)``."""
    return attributed.abs().amax(1, keepdim=True)


def show_saliency(
    photo: Picture,
    settings: SaliencySettings,
    execution: Execution | None = None,
    *,
    like: Picture | None = None,
    on_step: OnStep | None = None,
    session: Session | None = None,
) -> Finding:
    """Show which pixels of a photo a response depends on.

    Args:
        photo, execution, like, session: see :func:`stylize.products.inspect.response.query`.
        settings: of the target, the method and the view.
        on_step: called after each copy of ``smoothgrad``.

    Raises:
        StylizeError: see :func:`stylize.products.inspect.response.query`.
    """
    asked = query(photo, settings, execution, like=like, session=session)
    vgg, response, image = asked.vgg, asked.response, asked.image
    features = asked.features()
    with torch.no_grad():
        value = float(response(features))
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
    numbers = {"method": settings.method, "response": brief(value)} | _numbers(amounts, asked)
    silence = silence_of(response, features)
    return asked.finding(stretched(amounts), settings.view, numbers, silence)


def _numbers(amounts: Tensor, asked: Query) -> dict[str, Any]:
    height, width = amounts.shape[2:]
    row, column = divmod(int(amounts.argmax()), width)
    return {
        "largest": brief(float(amounts.max())),
        "mean": brief(float(amounts.mean())),
        "peak": asked.place((row + 0.5) / height, (column + 0.5) / width),
    }
