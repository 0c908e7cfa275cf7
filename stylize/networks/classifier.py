"""The classifier: the fully connected layers after the convolutions, if a model has them.

The packaged networks do not; ``stylize models add`` keeps those of the files it imports.
"""

from __future__ import annotations

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.errors import UnknownNameError, WeightsError
from stylize.networks.architecture import (
    CHANNELS,
    convolutions,
    find_layer,
    is_vgg,
    rectified,
)
from stylize.networks.graph import graph_of
from stylize.networks.models import (
    DOWNLOADABLE,
    ModelFile,
    Weights,
    check_class_names,
    find_model,
    load_weights,
    read_verified,
)
from stylize.networks.module import module_of
from stylize.networks.torchvision_models import torchvision_models
from stylize.networks.weight_files import decode

_NAME = re.compile(r"classifier\.([0-9]{1,3})\.weight")


class Classifier(ABC):
    """The scores of a network's classes.

    Attributes:
        layer: the layer whose activations it takes, ``relu5_3`` for VGG-16.
        sha256: digest of the file.
        names: of the classes; None for ImageNet's thousand, or if they are not known.
    """

    layer: str
    sha256: str
    names: tuple[str, ...] | None

    @property
    @abstractmethod
    def classes(self) -> int:
        """The number of classes."""

    @abstractmethod
    def __call__(self, features: Tensor) -> Tensor:
        """Compute ``(N, classes)`` scores, without softmax, from ``(N, C, h, w)`` activations."""

    def name_of(self, index: int) -> str:
        """Return the name of a class if it is known, otherwise its number."""
        names = self._known_names()
        return names[index] if names else str(index)

    def index_of(self, name: str) -> int:
        """Find the number of a class by its number or its name.

        Raises:
            UnknownNameError: there is no such class.
        """
        if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < self.classes:
            return int(name)
        names = self._known_names()
        known = {each.lower(): index for index, each in reversed(list(enumerate(names)))}
        if name.lower() in known:
            return known[name.lower()]
        numbers = [f"0 to {self.classes - 1}"]
        raise UnknownNameError("class", name, [*names, *([] if names else numbers)])

    def _known_names(self) -> Sequence[str]:
        return self.names or (imagenet_names() if self.classes == 1000 else ())


@dataclass(frozen=True)
class Head(Classifier):
    """Linear layers with ReLUs between them, on the last block's pooled activations.

    Attributes:
        linear: weights ``(out, in)`` and biases ``(out,)``, first to last.
    """

    layer: str
    linear: tuple[tuple[Tensor, Tensor], ...]
    sha256: str
    names: tuple[str, ...] | None = None

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.linear[-1][0].shape[0]

    def __call__(self, features: Tensor) -> Tensor:
        """Compute ``(N, classes)`` scores, without softmax, from ``(N, 512, h, w)`` activations."""
        first = self.linear[0][0]
        side = math.isqrt(first.shape[1] // CHANNELS[-1])
        x = features.to(torch.promote_types(features.dtype, torch.float32))
        x = F.max_pool2d(x, 2) if min(x.shape[2:]) > 1 else x
        x = F.adaptive_avg_pool2d(x, side).flatten(1)
        for index, (weight, bias) in enumerate(self.linear):
            x = F.linear(F.relu(x) if index else x, weight.to(x), bias.to(x))
        return x


class ModuleHead(Classifier):
    """The part of one of torchvision's classifiers behind its last map.

    Args:
        weights: of the network.
        names: of its classes.

    Note:
        The whole module runs on a small grey picture, and the activations take the place of its
        last map. So no part of torchvision's code is repeated here.
    """

    def __init__(self, weights: Weights, names: tuple[str, ...] | None) -> None:
        last = graph_of(weights.architecture).layers[-1]
        self.layer, self.sha256, self.names = last.name, weights.sha256, names
        self._path, self._classes = last.path, weights.classes
        self._side = find_layer(weights.architecture, last.name).least_px
        self._module = module_of(weights)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self._classes

    def __call__(self, features: Tensor) -> Tensor:
        """Compute ``(N, classes)`` scores, without softmax, from ``(N, C, h, w)`` activations."""
        exact = torch.promote_types(features.dtype, torch.float32)
        self._module.to(features.device, exact)
        pixels = torch.zeros(1, 3, self._side, self._side, device=features.device, dtype=exact)

        def replaced(module: torch.nn.Module, inputs: object, output: Tensor) -> Tensor:
            # The next function may work in place.
            return features.to(exact).clone()

        handle = self._module.get_submodule(self._path).register_forward_hook(replaced)
        try:
            scores: Tensor = self._module(pixels)
        finally:
            handle.remove()
        return scores


def imagenet_names() -> list[str]:
    """List the names of ImageNet's thousand classes, in the order of torchvision's networks."""
    weights = torchvision_models().VGG16_Weights
    names: list[str] = weights.IMAGENET1K_V1.meta["categories"]
    return names


def has_classes(name: str) -> bool:
    """Return whether :func:`load_head` finds the classifier of a model."""
    model = find_model(name)
    return model.classifier is not None or not is_vgg(model.architecture)


def load_head(name: str) -> Classifier:
    """Load the classifier of a model and check its SHA-256.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: the model has no classifier, or its files are missing or damaged.
    """
    model = find_model(name)
    head: Classifier
    if is_vgg(model.architecture):
        head = _vgg_head(model)
    else:
        head = ModuleHead(load_weights(name), model.class_names)
    check_class_names(model, head.classes)
    return head


def _vgg_head(model: ModelFile) -> Head:
    if model.classifier is None:
        raise WeightsError(
            f"the network '{model.name}' has no classifier",
            hint=f"stylize models add {DOWNLOADABLE[0]}, then --network {DOWNLOADABLE[0]}",
        )
    path = model.classifier.path
    tensors, _ = decode(read_verified(model, model.classifier), path)
    last = rectified(convolutions(model.architecture)[-1].name)
    linear = _linear(tensors, path)
    return Head(last, linear, model.classifier.sha256, model.class_names)


def _linear(tensors: Mapping[str, Tensor], path: Path) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return the linear layers in their order.

    Raises:
        WeightsError: their shapes do not fit the convolutions or each other.
    """
    numbers = sorted(int(found[1]) for name in tensors if (found := _NAME.fullmatch(name)))
    linear = tuple(
        (tensors[f"classifier.{n}.weight"].float(), tensors.get(f"classifier.{n}.bias"))
        for n in numbers
    )
    whole = tuple((weight, bias.float()) for weight, bias in linear if bias is not None)
    fits = len(whole) == len(linear) > 0 and all(
        weight.ndim == 2 and bias.shape == weight.shape[:1] for weight, bias in whole
    )
    if not fits or not _are_chained([weight for weight, _ in whole]):
        raise WeightsError(f"{path} does not contain a classifier")
    return whole


def _are_chained(weights: list[Tensor]) -> bool:
    cells, rest = divmod(weights[0].shape[1], CHANNELS[-1])
    square = rest == 0 and cells > 0 and math.isqrt(cells) ** 2 == cells
    pairs = itertools.pairwise(weights)
    return square and all(before.shape[0] == after.shape[1] for before, after in pairs)
