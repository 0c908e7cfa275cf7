"""A photo reconstructed from the activations of one layer.

Reference:
    Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
    CVPR 2015. Its penalty on the intensity is left out: the pixels are held to [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor

from stylize.gradients.tiled import TiledEngine
from stylize.images.contact_sheet import contact_sheet
from stylize.images.read import Picture
from stylize.losses.content import ContentLoss
from stylize.losses.loss import Objective
from stylize.losses.smoothness import SmoothnessLoss
from stylize.networks.network import Network
from stylize.optimize.lbfgs import LBFGS
from stylize.optimize.loop import Descent, Step
from stylize.products.inspect.model import Model
from stylize.products.inspect.result import Finding, OnStep, Stop, brief
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import InversionSettings
from stylize.settings.schedule import Scale

# Standard deviation of the noise around middle grey at the start.
NOISE = 0.05


@dataclass(frozen=True)
class Inversion:
    """A reconstruction.

    Attributes:
        pixels: ``(1, 3, H, W)`` in [0, 1], on the CPU.
        error: relative squared error of the activations.
        psnr_db: peak signal-to-noise ratio to the photo, in decibels.
        steps_done: evaluations.
        interrupted: whether the run was stopped.
    """

    pixels: Tensor
    error: float
    psnr_db: float
    steps_done: int
    interrupted: bool


def invert(
    vgg: Network,
    photo: Tensor,
    layer: str,
    *,
    steps: int,
    smoothness: float,
    seed: int = 0,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Inversion:
    """Find a picture with the same activations of a layer as a photo, from noise by L-BFGS.

    Args:
        vgg: gives the layer.
        photo: ``(1, 3, H, W)`` RGB in [0, 1], on the network's device.
        layer: the layer's name.
        steps: evaluations.
        smoothness: weight of the total variation. The relative error has weight 1, and is 1 for
            a picture without any activation.
        seed: of the noise.
        on_step, stop: see :class:`stylize.optimize.loop.Descent`.

    Raises:
        NumericalError: the objective is not finite.
    """
    content = _content(vgg, photo, layer)
    objective = Objective([content], [SmoothnessLoss(smoothness)] if smoothness else [])
    optimizer, scale = LBFGS(), Scale(photo.shape[2], photo.shape[3], steps)
    descent = Descent(optimizer, [scale], on_step=on_step, stop=stop)
    image = _start(photo, seed)
    outcome = descent.run(0, image, TiledEngine(vgg, objective, tile_px=None), lambda shown: shown)
    found, error = optimizer.result(image), outcome.losses[content.name]
    return Inversion(found.cpu(), error, psnr_db(found, photo), outcome.steps_done, outcome.stopped)


@torch.no_grad()
def _content(vgg: Network, photo: Tensor, layer: str) -> ContentLoss:
    return ContentLoss(layer, vgg(photo)[layer].float().contiguous(), 1.0)


def _start(photo: Tensor, seed: int) -> Tensor:
    grain = torch.randn(
        photo.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32
    )
    return (0.5 + NOISE * grain).clamp(0, 1).to(photo)


def psnr_db(found: Tensor, photo: Tensor) -> float:
    """Peak signal-to-noise ratio of pixels in [0, 1], in decibels; infinite for equal ones."""
    error = float((found - photo).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def show_inversion(
    photo: Picture,
    settings: InversionSettings,
    execution: Execution | None = None,
    *,
    on_step: OnStep | None = None,
    stop: Stop | None = None,
    session: Session | None = None,
) -> Finding:
    """A photo reconstructed from one layer, or from several layers side by side.

    Args:
        photo, execution, session: see :func:`stylize.products.inspect.response.query`.
        settings: of the layers and of the optimization.
        on_step: called after every step of every layer.
        stop: called after every step; True ends the run with the result so far.

    Raises:
        NumericalError: the objective is not finite.
        StylizeError: the photo, the layer, the network or the device cannot be used.
    """
    model = Model(settings.network, execution, session)
    settings = settings.for_network(model.weights.architecture)
    layers = settings.inverted_layers(model.weights.architecture)
    pixels = model.pixels(photo, settings.size, layers)
    found = dict(_inversions(model, pixels, layers, settings, on_step, stop))
    page = _strip(pixels.cpu(), found) if settings.strip else found[settings.layer].pixels
    last = list(found.values())[-1]
    result = model.result(page, settings, [("content", photo)], interrupted=last.interrupted)
    return Finding(result, {"layers": [_row(name, each) for name, each in found.items()]})


def _inversions(
    model: Model,
    photo: Tensor,
    layers: Sequence[str],
    settings: InversionSettings,
    on_step: OnStep | None,
    stop: Stop | None,
) -> Iterator[tuple[str, Inversion]]:
    # The layers follow each other until the run is stopped.
    numbers, total = count(1), settings.steps * len(layers)

    def on_descent(step: Step) -> None:
        if on_step is not None:
            on_step(next(numbers), total)

    for layer in layers:
        found = invert(
            model.network((layer,)),
            photo,
            layer,
            steps=settings.steps,
            smoothness=settings.smoothness,
            seed=settings.seed,
            on_step=on_descent,
            stop=stop,
        )
        yield layer, found
        if found.interrupted:
            return


def _strip(photo: Tensor, found: dict[str, Inversion]) -> Tensor:
    cells = [(f"{name} · {each.psnr_db:.1f} dB", each.pixels) for name, each in found.items()]
    return contact_sheet([[("the photo", photo), *cells]])


def _row(layer: str, found: Inversion) -> dict[str, Any]:
    return {
        "layer": layer,
        "psnr_db": brief(found.psnr_db) if math.isfinite(found.psnr_db) else None,
        "error": brief(found.error),
        "steps": found.steps_done,
    }
