"""A network that is asked what excites it, and how its answers become findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stylize.errors import PictureError
from stylize.images import Picture, SizeSpec, resize
from stylize.images.sheet import BACKGROUND
from stylize.inspection.finding import painting_of
from stylize.inspection.response import (
    ClassResponse,
    LikenessResponse,
    Response,
    TargetResponse,
    mean_activations,
)
from stylize.networks.architecture import find_layer
from stylize.networks.head import load_head
from stylize.networks.targets import Target
from stylize.networks.trunk import Trunk
from stylize.settings import Execution
from stylize.techniques.painting import Painting
from stylize.techniques.studio import Studio

# Between the pictures of a row.
GAP_PX = 8


class Lens:
    """A network on its device.

    Args:
        network: its name, see ``stylize models list``.
        execution: where it is done.
        studio: shares networks with others.

    Raises:
        UnknownNameError: no such network.
        WeightsError: its file is missing or damaged.
        UsageError: the device is not there.
    """

    def __init__(
        self, network: str, execution: Execution | None = None, studio: Studio | None = None
    ) -> None:
        self._studio = studio or Studio()
        self.weights = self._studio.weights(network)
        self.machine = self._studio.machine(execution or Execution(), self.weights)

    def trunk(self, layers: Sequence[str]) -> Trunk:
        """The network up to the deepest of these layers.

        Raises:
            UnknownNameError: it has no such layer.
        """
        return self._studio.trunk(self.weights, layers, "max", self.machine)

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
        stride = max(find_layer(self.weights.architecture, name).stride for name in layers)
        if min(height, width) < stride:
            raise PictureError(
                f"{photo.name}: {width}×{height} px is too small for {layers[-1]}",
                hint=f"it needs at least {stride} px a side",
            )
        return resize(photo.pixels, (height, width)).clamp(0, 1).to(self.machine.device)

    def painting(
        self,
        page: Tensor,
        settings: Any,
        inputs: Sequence[tuple[str, Picture]],
        *,
        interrupted: bool = False,
        **resolved: Any,
    ) -> Painting:
        """A page ``(1, 3, H, W)`` with its recipe.

        Args:
            page: RGB in [0, 1].
            settings: of the inspection.
            inputs: pictures and the part each played.
            interrupted: whether it was stopped.
            resolved: what else the run decided itself.
        """
        machine = {
            "device": self.machine.device,
            "precision": self.machine.precision,
            "threads": self.machine.threads,
            "torch": str(torch.__version__),
        }
        painting = painting_of(
            page.float().cpu().contiguous(),
            settings,
            inputs,
            weights=self.weights,
            resolved=machine | resolved,
        )
        recipe = painting.recipe | {"interrupted": interrupted}
        return dataclasses.replace(painting, recipe=recipe, interrupted=interrupted)


@torch.no_grad()
def response_to(
    lens: Lens,
    targets: tuple[Target, ...],
    *,
    place: tuple[float, float] | None = None,
    like: Picture | None = None,
    category: str | None = None,
    size: str = "original",
) -> Response:
    """What is asked of a photo.

    Args:
        lens: the network.
        targets: layers and channels; a single layer where there is a picture to be like.
        place: of one neuron, see :class:`stylize.inspection.response.TargetResponse`.
        like: a picture that the photo is compared with.
        category: a class of the network's own, instead of all these.
        size: at which the picture is seen.

    Raises:
        PictureError: the picture is too small.
        WeightsError: the network knows no classes.
        UnknownNameError: it does not know this one.
    """
    if category is not None:
        return class_response(lens.weights.name, category)
    if like is None:
        return TargetResponse(targets, place)
    layer = targets[0].layer
    seen = lens.trunk((layer,))(lens.pixels(like, size, (layer,)))[layer]
    return LikenessResponse(layer, mean_activations(seen)[0])


def class_response(network: str, category: str) -> ClassResponse:
    """The score of a class, by its number or its name.

    Raises:
        WeightsError: the network knows no classes.
        UnknownNameError: it does not know this one.
    """
    head = load_head(network)
    return ClassResponse(head, head.index_of(category))


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
