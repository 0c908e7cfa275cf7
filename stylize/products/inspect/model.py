"""The network of an inspection on its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stylize.errors import PictureError
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.networks.architecture import find_layer, require_vgg
from stylize.networks.network import Network
from stylize.networks.vgg import VGG
from stylize.products.inspect.result import with_recipe
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution


class Model:
    """A network on its device.

    Args:
        network: its name, see ``stylize models list``.
        execution: device, precision and threads.
        session: keeps networks in memory and shares them between calls.

    Raises:
        UnknownNameError: no such network.
        WeightsError: its file is missing or damaged.
        UsageError: the device is not available.
    """

    def __init__(
        self, network: str, execution: Execution | None = None, session: Session | None = None
    ) -> None:
        self._session = session or Session()
        self.weights = self._session.weights(network)
        self.device = self._session.device(execution or Execution(), self.weights)

    def network(self, layers: Sequence[str]) -> Network:
        """The network up to the deepest of these layers.

        Raises:
            UnknownNameError: it has no such layer.
        """
        return self._session.network(self.weights, layers, "max", self.device)

    def plain_vgg(self, layers: Sequence[str], what: str) -> VGG:
        """The same for questions that only a VGG can answer.

        Raises:
            SettingError: the network is no VGG; says that ``what`` needs one.
        """
        require_vgg(self.weights.name, self.weights.architecture, what)
        return self._session.vgg(self.weights, layers, "max", self.device)

    def check_size(self, name: str, size: tuple[int, int], layers: Sequence[str]) -> None:
        """Check that a picture is large enough for every layer.

        Args:
            name: the picture's name in messages.
            size: its ``(height, width)`` in px.
            layers: names of the layers.

        Raises:
            PictureError: the picture is smaller than one position of the deepest layer.
        """
        least = {each: find_layer(self.weights.architecture, each).least_px for each in layers}
        deepest = max(least, key=lambda layer: least[layer])
        if min(size) < least[deepest]:
            raise PictureError(
                f"{name}: {size[1]}×{size[0]} px is too small for {deepest}",
                hint=f"it needs at least {least[deepest]} px a side",
            )

    def pixels(self, photo: Picture, size: str, layers: Sequence[str]) -> Tensor:
        """A photo at the size at which the network sees it, ``(1, 3, H, W)`` on its device.

        Args:
            photo: the photo.
            size: as :meth:`stylize.images.SizeSpec.parse` reads it.
            layers: the photo must be large enough for these.

        Raises:
            PictureError: the photo is smaller than one position of the deepest layer.
        """
        height, width = SizeSpec.parse(size).fit(*photo.size)
        self.check_size(photo.name, (height, width), layers)
        return resize(photo.pixels, (height, width)).clamp(0, 1).to(self.device.name)

    @torch.no_grad()
    def activations(self, pixels: Tensor, layers: Sequence[str], name: str) -> dict[str, Tensor]:
        """The activations of layers.

        Args:
            pixels: ``(1, 3, H, W)`` RGB in [0, 1].
            layers: names of the layers.
            name: the picture's name in messages.

        Returns:
            For each layer ``(C, h, w)`` float32 on the CPU.

        Raises:
            PictureError: the picture is smaller than one position of the deepest layer.
        """
        self.check_size(name, (pixels.shape[-2], pixels.shape[-1]), layers)
        found = self.network(layers)(pixels.to(self.device.name))
        return {layer: maps[0].float().cpu() for layer, maps in found.items()}

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
            inputs: the role of each picture, and the picture.
            interrupted: whether the run was stopped.
            resolved: further values that the run chose itself.
        """
        machine = {
            "device": self.device.name,
            "precision": self.device.precision,
            "threads": self.device.threads,
            "torch": str(torch.__version__),
        }
        return with_recipe(
            page,
            settings,
            inputs,
            weights=self.weights,
            resolved=machine | resolved,
            interrupted=interrupted,
        )
