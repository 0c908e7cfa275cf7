"""The network that is inspected, the question that is asked, and the finding."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylize.errors import PictureError
from stylize.images.contact_sheet import BACKGROUND
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.networks.architecture import find_layer
from stylize.networks.classifier import load_head
from stylize.networks.vgg import VGG
from stylize.planning.device import Device
from stylize.products.inspect.heat_colors import rendered
from stylize.products.inspect.response import (
    ClassResponse,
    LikenessResponse,
    Response,
    TargetResponse,
    mean_activations,
)
from stylize.runs.recipe import compose
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.inspect import PhotoQuestion


@dataclass(frozen=True)
class Finding:
    """The result of an inspection.

    Attributes:
        result: the picture, with its recipe.
        numbers: what it shows, as plain data for JSON.
        digests: where the inputs are a folder's photos, SHA-256 of each by name.
        notes: what a user may want to know, a line each.
    """

    result: Result
    numbers: dict[str, Any]
    digests: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Observer:
    """A network that looks at pictures and is not asked for gradients.

    Args:
        network: its name, see ``stylize models list``.
        layers: whose activations are wanted, such as ``relu4_3``.
        execution: where it is done.
        session: shares networks with others.

    Raises:
        UnknownNameError: no such network or layer.
        WeightsError: its file is missing or damaged.
        UsageError: the device is not there.
    """

    def __init__(
        self,
        network: str,
        layers: Sequence[str],
        execution: Execution | None = None,
        *,
        session: Session | None = None,
    ) -> None:
        session = session or Session()
        self.weights = session.weights(network)
        found = [find_layer(self.weights.architecture, name) for name in layers]
        self.layers = dict(zip(layers, found, strict=True))
        self.device = session.device(execution or Execution(), self.weights)
        self._vgg = session.vgg(self.weights, tuple(self.layers), "max", self.device)

    @torch.no_grad()
    def look(self, pixels: Tensor, name: str) -> dict[str, Tensor]:
        """The layers' activations.

        Args:
            pixels: ``(1, 3, H, W)`` RGB in [0, 1].
            name: what errors call the picture.

        Returns:
            For each layer ``(C, H // stride, W // stride)`` float32 on the CPU.

        Raises:
            PictureError: the picture is smaller than one position of the deepest layer.
        """
        size = pixels.shape[-2], pixels.shape[-1]
        check_room(name, size, self.weights.architecture, tuple(self.layers))
        found = self._vgg(pixels.to(self.device.name))
        return {layer: maps[0].float().cpu() for layer, maps in found.items()}

    def resolved(self) -> dict[str, Any]:
        """What was decided about the machine, as a recipe tells it."""
        return machine_facts(self.device)


def machine_facts(device: Device) -> dict[str, Any]:
    """What was decided about the machine, as a recipe tells it."""
    return {
        "device": device.name,
        "precision": device.precision,
        "threads": device.threads,
        "torch": str(torch.__version__),
    }


def check_room(name: str, size: tuple[int, int], architecture: str, layers: Sequence[str]) -> None:
    """Make sure that a picture holds a position of every layer.

    Args:
        name: what errors call the picture.
        size: its ``(height, width)`` in px.
        architecture: of the network.
        layers: names of its layers.

    Raises:
        PictureError: it is smaller than one position of the deepest layer.
    """
    strides = {layer: find_layer(architecture, layer).stride for layer in layers}
    deepest = max(strides, key=lambda layer: strides[layer])
    if min(size) < strides[deepest]:
        raise PictureError(
            f"{name}: {size[1]}×{size[0]} px is too small for {deepest}",
            hint=f"it needs at least {strides[deepest]} px a side",
        )


def painting_of(
    page: Tensor,
    settings: Any,
    inputs: Sequence[tuple[str, Picture]],
    *,
    weights: Any,
    resolved: Mapping[str, Any],
) -> Result:
    """A page with its recipe.

    Args:
        page: ``(1, 3, H, W)`` RGB in [0, 1].
        settings: of the inspection, with its ``TECHNIQUE``.
        inputs: pictures and the part each played.
        weights: of the network.
        resolved: what the run decided itself.
    """
    recipe = compose(
        settings.TECHNIQUE,
        to_document(settings),
        inputs,
        weights={"name": weights.name, "sha256": weights.sha256},
        resolved={"size": [page.shape[-1], page.shape[-2]], **resolved},
        losses={},
        interrupted=False,
    )
    return Result(page, None, recipe, interrupted=False)


# Between the pictures of a row.
GAP_PX = 8


class Lens:
    """A network on its device.

    Args:
        network: its name, see ``stylize models list``.
        execution: where it is done.
        session: shares networks with others.

    Raises:
        UnknownNameError: no such network.
        WeightsError: its file is missing or damaged.
        UsageError: the device is not there.
    """

    def __init__(
        self, network: str, execution: Execution | None = None, session: Session | None = None
    ) -> None:
        self._session = session or Session()
        self.weights = self._session.weights(network)
        self.device = self._session.device(execution or Execution(), self.weights)

    def vgg(self, layers: Sequence[str]) -> VGG:
        """The network up to the deepest of these layers.

        Raises:
            UnknownNameError: it has no such layer.
        """
        return self._session.vgg(self.weights, layers, "max", self.device)

    def pixels(self, photo: Picture, size: str, layers: Sequence[str]) -> Tensor:
        """A photo as the network shall see it, ``(1, 3, H, W)`` on its device.

        Args:
            photo: the photo.
            size: as :meth:`stylize.images.SizeSpec.parse` reads it.
            layers: of which it must hold a position.

        Raises:
            PictureError: it is smaller than one position of the deepest layer.
        """
        height, width = SizeSpec.parse(size).fit(*photo.size)
        check_room(photo.name, (height, width), self.weights.architecture, layers)
        return resize(photo.pixels, (height, width)).clamp(0, 1).to(self.device.name)

    def result(
        self,
        page: Tensor,
        settings: Any,
        inputs: Sequence[tuple[str, Picture]],
        *,
        interrupted: bool = False,
        **resolved: Any,
    ) -> Result:
        """A page ``(1, 3, H, W)`` with its recipe.

        Args:
            page: RGB in [0, 1].
            settings: of the inspection.
            inputs: pictures and the part each played.
            interrupted: whether it was stopped.
            resolved: what else the run decided itself.
        """
        result = painting_of(
            page.float().cpu().contiguous(),
            settings,
            inputs,
            weights=self.weights,
            resolved=machine_facts(self.device) | resolved,
        )
        recipe = result.recipe | {"interrupted": interrupted}
        return dataclasses.replace(result, recipe=recipe, interrupted=interrupted)


def row_of(pictures: Tensor) -> Tensor:
    """Pictures ``(N, 3, h, w)`` side by side, ``(1, 3, h, W)``, with gaps between them."""
    count, _, height, width = pictures.shape
    pitch = width + GAP_PX
    row = pictures.new_full((1, 3, height, count * pitch - GAP_PX), BACKGROUND / 255)
    for index, picture in enumerate(pictures):
        row[0, :, :, index * pitch : index * pitch + width] = picture
    return row


def brief(value: float) -> float:
    """A number as a report shows it, with six digits."""
    return float(f"{value:.6g}")


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
    def vgg(self) -> VGG:
        """The network up to the layers of the response."""
        return self.lens.vgg(self.response.layers)

    def finding(self, shares: Tensor, view: str, numbers: dict[str, Any]) -> Finding:
        """The answer, place for place.

        Args:
            shares: ``(1, 1, H, W)`` in [0, 1], how much each pixel has to do with it.
            view: as :func:`stylize.products.inspect.heat_colors.rendered` takes it.
            numbers: what is reported beside the question.
        """
        inputs = [("content", self.photo)]
        if self.like is not None:
            inputs.append(("like", self.like))
        result = self.lens.result(rendered(shares, self.image, view), self.settings, inputs)
        return Finding(result, self.settings.question | numbers)

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
    session: Session | None = None,
) -> Inquiry:
    """Make a question ready.

    Args:
        photo: the photo.
        settings: of what is asked.
        execution: where it is answered.
        like: a picture; the response is then the photo's likeness to it at the target's layer.
        session: shares networks with others.

    Raises:
        ExpressionError: the network has no such layer or channel.
        SettingError: a place outside the photo.
        PictureError: a picture is too small for the layer.
        WeightsError: a class, and the network knows none.
        UnknownNameError: it does not know this one.
        StylizeError: the network or the device is not there.
    """
    lens = Lens(settings.network, execution, session)
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
    seen = lens.vgg((layer,))(lens.pixels(picture, size, (layer,)))[layer]
    return LikenessResponse(layer, mean_activations(seen)[0])


def class_response(network: str, category: str) -> ClassResponse:
    """The score of a class, by its number or its name.

    Raises:
        WeightsError: the network knows no classes.
        UnknownNameError: it does not know this one.
    """
    head = load_head(network)
    return ClassResponse(head, head.index_of(category))
