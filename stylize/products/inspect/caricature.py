"""What a layer sees in a photo, exaggerated.

Reference:
    Olah and others, "Exploring Neural Networks with Activation Atlases", Distill 2019, and the
    caricatures that came before it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from stylize.images.read import Picture
from stylize.networks.vgg import VGG
from stylize.products.inspect.fourier import FourierImage
from stylize.products.inspect.growth import Course, Grown, Stop, Told, Views, ascend, seen, size_of
from stylize.products.inspect.model import Finding, Lens, brief
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import CaricatureSettings

# Of Adam on the amplitudes, where the settings' rate is 1.
RATE = 0.05

# Gentler than for a channel: place and size are the photo's.
VIEWS = Views(shift_px=8, degrees=6, scale=0.08)

# Below this cosine the likeness counts as if it were this, so that there is a way up from noise.
LEAST_LIKENESS = 0.1


def exaggeration(features: Tensor, reference: Tensor, power: float) -> Tensor:
    """How much of the reference there is, times how like it is: ``dot · max(0.1, cos)^power``.

    Args:
        features, reference: ``(1, C, h, w)`` activations.
        power: 0 asks for more of it in any company; the larger, the more the likeness counts.

    Returns:
        A scalar: the sum over all positions, divided by the reference's own.
    """
    grown, wanted = features.float().flatten(1), reference.float().flatten(1)
    product = (grown * wanted).sum() / wanted.square().sum().clamp_min(1e-30)
    likeness = cosine_similarity(grown, wanted, dim=1).clamp_min(LEAST_LIKENESS).squeeze(0)
    return product * likeness**power


def caricature(
    vgg: VGG,
    photo: Tensor,
    layer: str,
    image: FourierImage,
    course: Course,
    *,
    power: float,
    views: Views,
    generator: torch.Generator,
) -> Grown:
    """Grow a picture whose activations exaggerate those of a photo, place for place.

    Args:
        vgg: gives the layer.
        photo: ``(1, 3, H, W)`` RGB in [0, 1], on the trunk's device.
        layer: the layer's name.
        image: of one picture of the photo's size; is changed.
        course: its rate in units of the amplitudes.
        power: see :func:`exaggeration`.
        views: how picture and photo are moved, both in the same way, before each evaluation.
        generator: of the views.

    Raises:
        NumericalError: the exaggeration is not finite.
    """

    def evaluate(pictures: Tensor) -> tuple[Tensor, Tensor]:
        matrix = views.matrix(size_of(pictures), generator)
        with torch.no_grad():
            reference = vgg(seen(photo, matrix))[layer]
        value = exaggeration(vgg(seen(pictures, matrix))[layer], reference, power)
        return value[None], value

    return ascend(image, evaluate, course)


def show_caricature(
    photo: Picture,
    settings: CaricatureSettings,
    execution: Execution | None = None,
    *,
    on_step: Told | None = None,
    stop: Stop | None = None,
    session: Session | None = None,
) -> Finding:
    """What a layer sees in a photo, exaggerated.

    Args:
        photo: the photo.
        settings: how.
        execution: where it is done.
        on_step, stop: see :class:`stylize.products.inspect.growth.Course`.
        session: shares networks with others.

    Raises:
        UnknownNameError: the network has no such layer.
        PictureError: the photo is too small for it.
        NumericalError: the exaggeration is not finite.
        StylizeError: the network or the device is not there.
    """
    lens = Lens(settings.network, execution, session)
    grown = _grown(
        lens, lens.pixels(photo, settings.size, (settings.layer,)), settings, on_step, stop
    )
    result = lens.result(
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
    lens: Lens, photo: Tensor, settings: CaricatureSettings, on_step: Told | None, stop: Stop | None
) -> Grown:
    generator = torch.Generator().manual_seed(settings.seed)
    image = FourierImage(1, size_of(photo), generator, decay=settings.decay, device=photo.device)
    return caricature(
        lens.vgg((settings.layer,)),
        photo,
        settings.layer,
        image,
        Course(settings.steps, RATE * settings.rate, on_step, stop),
        power=settings.power,
        views=VIEWS,
        generator=generator,
    )
