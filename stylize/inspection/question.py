"""A photo, a network, and what is asked of it about the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylize.images import Picture
from stylize.inspection.finding import Finding
from stylize.inspection.lens import Lens
from stylize.inspection.response import (
    ClassResponse,
    LikenessResponse,
    Response,
    TargetResponse,
    mean_activations,
)
from stylize.inspection.shading import rendered
from stylize.networks.head import load_head
from stylize.networks.trunk import Trunk
from stylize.settings import Execution
from stylize.settings.inspect_common import PhotoQuestion
from stylize.techniques.studio import Studio


@dataclass(frozen=True)
class Inquiry:
    """A question about a photo, ready to be answered.

    Attributes:
        photo: the photo.
        like: a picture that it is compared with, if that is the question.
        settings: of the question.
        lens: the network.
        response: what is asked.
        image: ``(1, 3, H, W)``, the photo as the network sees it.
    """

    photo: Picture
    like: Picture | None
    settings: PhotoQuestion
    lens: Lens
    response: Response
    image: Tensor

    @property
    def trunk(self) -> Trunk:
        """The network up to the layers of the response."""
        return self.lens.trunk(self.response.layers)

    def finding(self, shares: Tensor, view: str, numbers: dict[str, Any]) -> Finding:
        """The answer, place for place.

        Args:
            shares: ``(1, 1, H, W)`` in [0, 1], how much each pixel has to do with it.
            view: as :func:`stylize.inspection.shading.rendered` takes it.
            numbers: what is reported beside the question.
        """
        inputs = [("content", self.photo)]
        if self.like is not None:
            inputs.append(("like", self.like))
        painting = self.lens.painting(rendered(shares, self.image, view), self.settings, inputs)
        return Finding(painting, self.settings.question | numbers)

    def place(self, down: float, across: float) -> list[int]:
        """A place, given as shares of the sides, as ``[X, Y]`` in px of the photo."""
        height, width = self.photo.size
        return [int(across * width), int(down * height)]


def inquire(
    photo: Picture,
    settings: PhotoQuestion,
    execution: Execution | None = None,
    *,
    like: Picture | None = None,
    studio: Studio | None = None,
) -> Inquiry:
    """Make a question ready.

    Args:
        photo: the photo.
        settings: of what is asked.
        execution: where it is answered.
        like: a picture; the response is then the photo's likeness to it at the target's layer.
        studio: shares networks with others.

    Raises:
        ExpressionError: the network has no such layer or channel.
        SettingError: a place outside the photo.
        PictureError: a picture is too small for the layer.
        WeightsError: a class, and the network knows none.
        UnknownNameError: it does not know this one.
        StylizeError: the network or the device is not there.
    """
    lens = Lens(settings.network, execution, studio)
    settings.check_layers(lens.weights.architecture)
    place = settings.place_in(photo.size)
    response: Response
    if settings.category is not None:
        response = class_response(lens.weights.name, settings.category)
    elif like is not None:
        response = likeness_to(like, settings.targets[0].layer, lens, settings.size)
    else:
        response = TargetResponse(settings.targets, place)
    image = lens.pixels(photo, settings.size, response.layers)
    return Inquiry(photo, like, settings, lens, response, image)


@torch.no_grad()
def likeness_to(picture: Picture, layer: str, lens: Lens, size: str) -> LikenessResponse:
    """How like a picture the photo is at a layer.

    Args:
        picture: the picture.
        layer: where the two are compared.
        lens: the network.
        size: at which the picture is seen.

    Raises:
        PictureError: the picture is too small.
    """
    seen = lens.trunk((layer,))(lens.pixels(picture, size, (layer,)))[layer]
    return LikenessResponse(layer, mean_activations(seen)[0])


def class_response(network: str, category: str) -> ClassResponse:
    """The score of a class, by its number or its name.

    Raises:
        WeightsError: the network knows no classes.
        UnknownNameError: it does not know this one.
    """
    head = load_head(network)
    return ClassResponse(head, head.index_of(category))
