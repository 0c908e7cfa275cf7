"""The picture that excites a channel, a neuron or a direction most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stylize.errors import SettingError
from stylize.images.read import Picture
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.vgg import VGG
from stylize.products.inspect.fourier import FourierImage, wave_scales
from stylize.products.inspect.growth import (
    Course,
    Grown,
    Plain,
    Stop,
    Told,
    Views,
    grow,
    grow_plainly,
)
from stylize.products.inspect.model import Finding, Lens, brief, class_response, row_of
from stylize.products.inspect.response import (
    Between,
    DirectionResponse,
    Response,
    Scaled,
    TargetResponse,
    mean_activations,
    shared_direction,
)
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import FeatureSettings, before_relu

# Where the settings' rate is 1: of Adam on the amplitudes, and of the steps on pixels.
RATE, PLAIN_RATE = 0.05, 0.03

# How much a row of different pictures minds that they are alike.
DIVERSITY = 1.0

VIEWS = Views(shift_px=10, degrees=12, scale=0.15)

MIDDLE = (0.5, 0.5)

# Side at which photos are seen whose common direction is sought, and pictures without a subject
# to compare them with.
DIRECTION_SIZE, SUBJECTLESS = 256, 4


def show_feature(
    settings: FeatureSettings,
    execution: Execution | None = None,
    *,
    photos: Sequence[Picture] = (),
    on_step: Told | None = None,
    stop: Stop | None = None,
    session: Session | None = None,
) -> Finding:
    """Grow what a response likes most, one picture or a row.

    Args:
        settings: of what, and how.
        execution: where it is done.
        photos: of whose common direction in the target's layer more shall be made.
        on_step, stop: see :class:`stylize.products.inspect.growth.Course`.
        session: shares networks with others.

    Raises:
        ExpressionError: the network has no such layer or channel.
        SettingError: photos, and a target that is not one layer.
        NumericalError: the response is not finite.
        StylizeError: the network or the device is not there.
    """
    lens = Lens(settings.network, execution, session)
    settings.check_layers(lens.weights.architecture)
    response = response_of(settings, lens, photos)
    grown = _grown(settings, lens.vgg(response.layers), response, on_step, stop)
    result = lens.result(
        row_of(grown.pictures),
        settings,
        [("direction", photo) for photo in photos],
        interrupted=grown.interrupted,
        steps=grown.steps_done,
    )
    return Finding(result, _numbers(settings, grown))


def response_of(settings: FeatureSettings, lens: Lens, photos: Sequence[Picture]) -> Response:
    """What shall rise.

    Raises:
        SettingError: photos, and a target that is not one layer.
        PictureError: a photo is too small.
        WeightsError: a class, and the network knows none.
        UnknownNameError: it does not know this one.
    """
    response: Response
    if settings.category is not None:
        response = class_response(settings.network, settings.category)
    elif photos:
        response = direction_of(settings.direction_layer(), lens, photos)
    else:
        response = asked(settings.target, neuron=settings.neuron)
    if settings.to is not None:
        shares = torch.linspace(0, 1, settings.frames).tolist()
        response = Between(response, asked(settings.to, neuron=settings.neuron), shares)
    return Scaled(response, -1) if settings.negative else response


def asked(text: str, *, neuron: bool) -> Response:
    """The response that an expression names, channels before the ReLU.

    There even a channel that is silent has a slope.
    """
    targets = tuple(map(before_relu, parse_targets(text)))
    return TargetResponse(targets, MIDDLE if neuron else None)


@torch.no_grad()
def direction_of(layer: str, lens: Lens, photos: Sequence[Picture]) -> DirectionResponse:
    """What photos have in common, as a direction in a layer's space of channels.

    Raises:
        PictureError: a photo is too small.
        SettingError: they have nothing in common that noise has not.
    """
    vgg = lens.vgg((layer,))
    size = str(DIRECTION_SIZE)
    means = [
        mean_activations(vgg(lens.pixels(photo, size, (layer,)))[layer])[0] for photo in photos
    ]
    usual = mean_activations(vgg(subjectless().to(vgg.device))[layer]).mean(0)
    direction = shared_direction(means, usual)
    if float(direction.norm()) == 0:
        raise SettingError(
            f"the photos have nothing in common at {layer}", hint="choose another layer, or fewer"
        )
    return DirectionResponse(layer, direction)


def subjectless() -> Tensor:
    """Noise with the spectrum of photographs, ``(4, 3, 256, 256)`` in [0, 1]."""
    shape = (SUBJECTLESS, 3, DIRECTION_SIZE, DIRECTION_SIZE // 2 + 1, 2)
    waves = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    size = (DIRECTION_SIZE, DIRECTION_SIZE)
    planes = torch.fft.irfft2(torch.view_as_complex(waves) * wave_scales(size, 1.0), s=size)
    noise: Tensor = (0.5 + 0.2 * planes / planes.std()).clamp(0, 1)
    return noise


def _grown(
    settings: FeatureSettings,
    vgg: VGG,
    response: Response,
    on_step: Told | None,
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
