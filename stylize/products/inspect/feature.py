"""The picture that excites a channel, a neuron or a direction most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stylize.errors import SettingError
from stylize.images.read import Picture
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.network import Network
from stylize.products.inspect.growth import (
    Course,
    FourierImage,
    Grown,
    PhaseImage,
    Plain,
    Views,
    grow,
    grow_plainly,
    wave_scales,
)
from stylize.products.inspect.model import Model
from stylize.products.inspect.response import (
    Between,
    DirectionResponse,
    Response,
    Scaled,
    TargetResponse,
    class_response,
    mean_activations,
    shared_direction,
)
from stylize.products.inspect.result import Finding, OnStep, Stop, brief, row_of
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import FeatureSettings, before_relu

# Step lengths at a rate of 1: of Adam on the amplitudes and on the phases, and of the steps on
# pixels.
RATE, PHASE_RATE, PLAIN_RATE = 0.05, 0.2, 0.03

# Weight of the differences between the pictures of a row.
DIVERSITY = 1.0

VIEWS = Views(shift_px=10, degrees=12, scale=0.15)

MIDDLE = (0.5, 0.5)

# Side in px of the photos of a direction, and the number of pictures without a subject that they
# are compared with.
DIRECTION_SIZE, SUBJECTLESS = 256, 4


def show_feature(
    settings: FeatureSettings,
    execution: Execution | None = None,
    *,
    direction: Sequence[Picture] = (),
    on_step: OnStep | None = None,
    stop: Stop | None = None,
    session: Session | None = None,
) -> Finding:
    """The picture with the strongest response, or a row of such pictures.

    Args:
        settings: of the target and of the method.
        execution: device, precision and threads.
        direction: photos; the picture shows more of what they have in common at the target's
            layer.
        on_step, stop: see :class:`stylize.products.inspect.growth.Course`.
        session: keeps networks in memory and shares them between calls.

    Raises:
        ExpressionError: the network has no such layer or channel.
        SettingError: photos are given, and the target is not one layer.
        NumericalError: the response is not finite.
        StylizeError: the network or the device is not there.
    """
    model = Model(settings.network, execution, session)
    settings = settings.for_network(model.weights.architecture)
    response = response_of(settings, model, direction)
    grown = _grown(settings, model.network(response.layers), response, on_step, stop)
    result = model.result(
        row_of(grown.pictures),
        settings,
        [("direction", photo) for photo in direction],
        interrupted=grown.interrupted,
        steps=grown.steps_done,
    )
    return Finding(result, _numbers(settings, grown))


def response_of(settings: FeatureSettings, model: Model, photos: Sequence[Picture]) -> Response:
    """The response to maximize.

    Raises:
        SettingError: photos are given, and the target is not one layer.
        PictureError: a photo is too small.
        WeightsError: a class is asked for, and the network has none.
        UnknownNameError: the network does not know this class.
    """
    response: Response
    if settings.category is not None:
        response = class_response(settings.network, settings.category)
    elif photos:
        response = direction_of(settings.direction_layer(), model, photos)
    else:
        response = asked(settings.target, neuron=settings.neuron)
    if settings.to is not None:
        shares = torch.linspace(0, 1, settings.frames, dtype=torch.float32).tolist()
        response = Between(response, asked(settings.to, neuron=settings.neuron), shares)
    return Scaled(response, -1) if settings.negative else response


def asked(text: str, *, neuron: bool) -> Response:
    # Before the ReLU, even a silent channel has a gradient.
    targets = tuple(map(before_relu, parse_targets(text)))
    return TargetResponse(targets, MIDDLE if neuron else None)


@torch.no_grad()
def direction_of(layer: str, model: Model, photos: Sequence[Picture]) -> DirectionResponse:
    """What photos have in common, as a direction in the channels of a layer.

    Raises:
        PictureError: a photo is too small.
        SettingError: they have nothing in common that noise does not have.
    """
    vgg = model.network((layer,))
    size = str(DIRECTION_SIZE)
    means = [
        mean_activations(vgg(model.pixels(photo, size, (layer,)))[layer])[0] for photo in photos
    ]
    usual = mean_activations(vgg(subjectless().to(vgg.device))[layer]).mean(0)
    direction = shared_direction(means, usual)
    if float(direction.norm()) == 0:
        raise SettingError(
            f"the photos have nothing in common at {layer}",
            hint="choose another layer, or fewer photos",
        )
    return DirectionResponse(layer, direction)


def subjectless() -> Tensor:
    """Noise with the spectrum of photographs, ``(4, 3, 256, 256)`` in [0, 1]."""
    shape = (SUBJECTLESS, 3, DIRECTION_SIZE, DIRECTION_SIZE // 2 + 1, 2)
    waves = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    size = (DIRECTION_SIZE, DIRECTION_SIZE)
    planes = torch.fft.irfft2(torch.view_as_complex(waves) * wave_scales(size, 1.0), s=size)
    noise: Tensor = (0.5 + 0.2 * planes / planes.std()).clamp(0, 1)
    return noise


def _grown(
    settings: FeatureSettings,
    vgg: Network,
    response: Response,
    on_step: OnStep | None,
    stop: Stop | None,
) -> Grown:
    generator = torch.Generator().manual_seed(settings.seed)
    size = (settings.size, settings.size)
    unit = PLAIN_RATE if settings.method == "cs231n" else RATE
    course = Course(settings.steps_planned, unit * settings.rate, on_step, stop)
    if settings.method == "cs231n":
        plain = Plain(l2=settings.l2, blur_every=settings.blur_every, cut=settings.cut)
        return grow_plainly(
            vgg, response, size, course, count=settings.count, plain=plain, generator=generator
        )
    strip = settings.to is not None
    image: FourierImage
    if settings.parameterization == "maco":
        course = Course(settings.steps_planned, PHASE_RATE * settings.rate, on_step, stop)
        image = PhaseImage(settings.count, size, generator, device=vgg.device, same=strip)
    else:
        image = FourierImage(
            settings.count, size, generator, decay=settings.decay, device=vgg.device, same=strip
        )
    diversity = 0.0 if strip else DIVERSITY
    return grow(vgg, response, image, course, views=VIEWS, generator=generator, diversity=diversity)


def _numbers(settings: FeatureSettings, grown: Grown) -> dict[str, Any]:
    return {
        **settings.question,
        **({"to": settings.to} if settings.to is not None else {}),
        "responses": [brief(each) for each in grown.responses],
        "steps": grown.steps_done,
    }
