"""What an inspection gives: a picture to look at, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylize.engine.machine import Machine
from stylize.errors import PictureError
from stylize.images import Picture
from stylize.networks.architecture import find_layer
from stylize.recipes import compose
from stylize.settings import Execution, to_document
from stylize.techniques.painting import Painting
from stylize.techniques.studio import Studio


@dataclass(frozen=True)
class Finding:
    """The result of an inspection.

    Attributes:
        painting: the picture, with its recipe.
        numbers: what it shows, as plain data for JSON.
        digests: where the inputs are a folder's photos, SHA-256 of each by name.
        notes: what a user may want to know, a line each.
    """

    painting: Painting
    numbers: dict[str, Any]
    digests: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Observer:
    """A network that looks at pictures and is not asked for gradients.

    Args:
        network: its name, see ``stylize models list``.
        layers: whose activations are wanted, such as ``relu4_3``.
        execution: where it is done.
        studio: shares networks with others.

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
        studio: Studio | None = None,
    ) -> None:
        studio = studio or Studio()
        self.weights = studio.weights(network)
        found = [find_layer(self.weights.architecture, name) for name in layers]
        self.layers = dict(zip(layers, found, strict=True))
        self.machine = studio.machine(execution or Execution(), self.weights)
        self._trunk = studio.trunk(self.weights, tuple(self.layers), "max", self.machine)

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
        found = self._trunk(pixels.to(self.machine.device))
        return {layer: maps[0].float().cpu() for layer, maps in found.items()}

    def resolved(self) -> dict[str, Any]:
        """What was decided about the machine, as a recipe tells it."""
        return machine_facts(self.machine)


def machine_facts(machine: Machine) -> dict[str, Any]:
    """What was decided about the machine, as a recipe tells it."""
    return {
        "device": machine.device,
        "precision": machine.precision,
        "threads": machine.threads,
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
) -> Painting:
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
    return Painting(page, None, recipe, interrupted=False)
