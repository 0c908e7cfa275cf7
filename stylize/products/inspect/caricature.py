"""A picture that exaggerates what a layer sees in a photo.

Reference:
    Olah and others, "Exploring Neural Networks with Activation Atlases", Distill 2019, and the
    caricatures that came before it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from stylize.images.read import Picture
from stylize.images.views import view
from stylize.networks.network import Network
from stylize.products.inspect.growth import (
    Course,
    FourierImage,
    Grown,
    Views,
    ascend,
    size_of,
)
from stylize.products.inspect.model import Model
from stylize.products.inspect.result import Finding, OnStep, Stop, brief
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import CaricatureSettings

# Step length of Adam on the amplitudes at a rate of 1.
RATE = 0.05

# Smaller than for a channel: places and sizes should stay as in the photo.
VIEWS = Views(shift_px=8, degrees=6, scale=0.08)

# Lower cosines count as this one, so that there is a gradient from noise.
LEAST_SIMILARITY = 0.1


def exaggeration(features: Tensor, reference: Tensor, power: float) -> Tensor:
    """Strength of the reference times similarity to it: ``dot · max(0.1, cos)^power``.

    Args:
        features, reference: ``(1, C, h, w)`` activations.
        power: weight of the similarity; 0 ignores it.

    Returns:
        A scalar: the sum over all positions, divided by the reference's own.
    """
    grown, wanted = features.float().flatten(1), reference.float().flatten(1)
    product = (grown * wanted).sum() / wanted.square().sum().clamp_min(1e-30)
    similarity = cosine_similarity(grown, wanted, dim=1).clamp_min(LEAST_SIMILARITY).squeeze(0)
    return product * similarity**power


def caricature(
    vgg: Network,
    photo: Tensor,
    layer: str,
    image: FourierImage,
    course: Course,
    *,
    power: float,
    views: Views,
    generator: torch.Generator,
) -> Grown:
    """Optimize a picture whose activations exaggerate those of a photo, position by position.

    Args:
        vgg: gives the layer.
        photo: ``(1, 3, H, W)`` RGB in [0, 1], on the network's device.
        layer: the layer's name.
        image: one picture of the photo's size; is changed.
        course: its rate in units of the amplitudes.
        power: see :func:`exaggeration`.
        views: limits of the random view of each step, the same for picture and photo.
        generator: of the views.

    Raises:
        NumericalError: the exaggeration is not finite.
    """

    def evaluate(pictures: Tensor) -> tuple[Tensor, Tensor]:
        matrix = views.matrix(size_of(pictures), generator)
        with torch.no_grad():
            reference = vgg(view(photo, matrix))[layer]
        value = exaggeration(vgg(view(pictures, matrix))[layer], reference, power)
        return value[None], value

    return ascend(image, evaluate, course)


def show_caricature(
    photo: Picture,
    settings: CaricatureSettings,
    execution: Execution | None = None,
    *,
    on_step: OnStep | None = None,
    stop: Stop | None = None,
    session: Session | None = None,
) -> Finding:
    """A picture that exaggerates what a layer sees in a photo.

    Args:
        photo, execution, session: see :func:`stylize.products.inspect.response.query`.
        settings: of the layer and of the optimization.
        on_step, stop: see :class:`stylize.products.inspect.growth.Course`.

    Raises:
        NumericalError: the exaggeration is not finite.
        StylizeError: the photo, the layer, the network or the device cannot be used.
    """
    model = Model(settings.network, execution, session)
    settings = settings.for_network(model.weights.architecture)
    grown = _grown(
        model, model.pixels(photo, settings.size, (settings.layer,)), settings, on_step, stop
    )
    result = model.result(
        grown.pictures,
        settings,
        [("content", photo)],
        interrupted=grown.interrupted,
        steps=grown.steps_done,
    )
    numbers = {
        "layer": settings.layer,
        "exaggeration": brief(grown.responses[0]),
        "steps": grown.steps_done,
    }
    return Finding(result, numbers)


def _grown(
    model: Model,
    photo: Tensor,
    settings: CaricatureSettings,
    on_step: OnStep | None,
    stop: Stop | None,
) -> Grown:
    generator = torch.Generator().manual_seed(settings.seed)
    image = FourierImage(1, size_of(photo), generator, decay=settings.decay, device=photo.device)
    return caricature(
        model.network((settings.layer,)),
        photo,
        settings.layer,
        image,
        Course(settings.steps, RATE * settings.rate, on_step, stop),
        power=settings.power,
        views=VIEWS,
        generator=generator,
    )
