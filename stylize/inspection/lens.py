"""A network that is asked what excites it, and how its answers become findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from stylize.images import Picture, SizeSpec, resize
from stylize.images.sheet import BACKGROUND
from stylize.inspection.finding import check_room, machine_facts, painting_of
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
        check_room(photo.name, (height, width), self.weights.architecture, layers)
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
        painting = painting_of(
            page.float().cpu().contiguous(),
            settings,
            inputs,
            weights=self.weights,
            resolved=machine_facts(self.machine) | resolved,
        )
        recipe = painting.recipe | {"interrupted": interrupted}
        return dataclasses.replace(painting, recipe=recipe, interrupted=interrupted)


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
