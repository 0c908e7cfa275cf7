"""A photo found again from what a layer knows of it.

Reference:
    Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
    CVPR 2015. Its penalty on the intensity is left out: the pixels are held to [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylize.gradients.tiled import TiledEngine
from stylize.images.contact_sheet import contact_sheet
from stylize.images.read import Picture
from stylize.losses.content import ContentLoss
from stylize.losses.loss import Objective
from stylize.losses.smoothness import SmoothnessLoss
from stylize.networks.vgg import VGG
from stylize.optimize.lbfgs import LBFGS
from stylize.optimize.loop import Descent, Step
from stylize.products.inspect.model import Finding, Lens, brief
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import InversionSettings
from stylize.settings.schedule import Scale

# Of the noise around middle grey that it begins as.
NOISE = 0.05


@dataclass(frozen=True)
class Inversion:
    """What was found.

    Attributes:
        pixels: ``(1, 3, H, W)`` in [0, 1], on the CPU.
        error: relative squared error of the activations.
        psnr_db: peak signal-to-noise ratio to the photo, in decibels.
        steps_done: evaluations.
        interrupted: whether it was stopped.
    """

    pixels: Tensor
    error: float
    psnr_db: float
    steps_done: int
    interrupted: bool


def invert(
    vgg: VGG,
    photo: Tensor,
    layer: str,
    *,
    steps: int,
    smoothness: float,
    seed: int = 0,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Inversion:
    """The picture whose activations at one layer are those of a photo, from noise by L-BFGS.

    Args:
        vgg: gives the layer.
        photo: ``(1, 3, H, W)`` RGB in [0, 1], on the trunk's device.
        layer: the layer's name.
        steps: evaluations.
        smoothness: weight of the total variation beside the relative error, which is 1 for a
            picture without any activation.
        seed: of the noise.
        on_step: is told of every step.
        stop: asked after every step; True ends it with the picture so far.

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
def _content(vgg: VGG, photo: Tensor, layer: str) -> ContentLoss:
    return ContentLoss(layer, vgg(photo)[layer].float().contiguous(), 1.0)


def _start(photo: Tensor, seed: int) -> Tensor:
    grain = torch.randn(photo.shape, generator=torch.Generator().manual_seed(seed))
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
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    session: Session | None = None,
) -> Finding:
    """What one layer knows of a photo, or five layers side by side with it.

    Args:
        photo: the photo.
        settings: which layers, and how long is sought.
        execution: where it is done.
        on_step: is told of every step of every layer.
        stop: asked after every step; True ends the run with what there is.
        session: shares networks with others.

    Raises:
        UnknownNameError: the network has no such layer.
        PictureError: the photo is too small for it.
        NumericalError: the objective is not finite.
        StylizeError: the network or the device is not there.
    """
    lens = Lens(settings.network, execution, session)
    settings.check_layers(lens.weights.architecture)
    pixels = lens.pixels(photo, settings.size, settings.layers)
    found = dict(_inversions(lens, pixels, settings, on_step, stop))
    page = _strip(pixels.cpu(), found) if settings.strip else found[settings.layer].pixels
    last = list(found.values())[-1]
    result = lens.result(page, settings, [("content", photo)], interrupted=last.interrupted)
    return Finding(result, {"layers": [_row(name, each) for name, each in found.items()]})


def _inversions(
    lens: Lens,
    photo: Tensor,
    settings: InversionSettings,
    on_step: Callable[[Step], None] | None,
    stop: Callable[[], bool] | None,
) -> Iterator[tuple[str, Inversion]]:
    """One layer after the other, until one is stopped."""
    for layer in settings.layers:
        found = invert(
            lens.vgg((layer,)),
            photo,
            layer,
            steps=settings.steps,
            smoothness=settings.smoothness,
            seed=settings.seed,
            on_step=on_step,
            stop=stop,
        )
        yield layer, found
        if found.interrupted:
            return


def _strip(photo: Tensor, found: dict[str, Inversion]) -> Tensor:
    """The photo and what was found of it, with their names."""
    cells = [(f"{name} · {each.psnr_db:.1f} dB", each.pixels) for name, each in found.items()]
    return contact_sheet([[("the photo", photo), *cells]])


def _row(layer: str, found: Inversion) -> dict[str, Any]:
    return {
        "layer": layer,
        "psnr_db": brief(found.psnr_db) if math.isfinite(found.psnr_db) else None,
        "error": brief(found.error),
        "steps": found.steps_done,
    }
