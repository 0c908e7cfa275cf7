"""How strongly a network answers to a picture: what is made larger, explained, or hidden away.

A response is a function of a picture's activations, one number for each picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, relu

from stylize.networks.classifier import Head
from stylize.networks.layer_expressions import Target
from stylize.networks.vgg import exact

Features = Mapping[str, Tensor]


class Response(Protocol):
    """One number for each picture of a batch.

    Attributes:
        layers: the activations it reads.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """Names as :class:`stylize.networks.vgg.VGG` takes them."""

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""


@dataclass(frozen=True)
class TargetResponse:
    """The weighted sum of what layers and channels answer.

    A channel's answer is its activation, a whole layer's half its squared rectified activations
    over all channels; both are means over positions, or taken at one of them.

    Attributes:
        targets: as :func:`stylize.networks.layer_expressions.parse_targets` reads them.
        place: of one neuron: how far down and how far to the right it lies, as shares in [0, 1]
            of the sides; None for all positions.
    """

    targets: tuple[Target, ...]
    place: tuple[float, float] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The targets' layers, each once."""
        return tuple(dict.fromkeys(target.layer for target in self.targets))

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""
        parts = [
            target.weight * self._at_place(_amount(target, exact(features[target.layer])))
            for target in self.targets
        ]
        return torch.stack(parts).sum(0)

    def _at_place(self, amount: Tensor) -> Tensor:
        """``(N, h, w)`` to ``(N,)``."""
        if self.place is None:
            return amount.mean((1, 2))
        row, column = (
            min(int(share * side), side - 1)
            for share, side in zip(self.place, amount.shape[1:], strict=True)
        )
        return amount[:, row, column]


def _amount(target: Target, features: Tensor) -> Tensor:
    """``(N, C, h, w)`` to what counts at each position, ``(N, h, w)``."""
    if target.channels is None:
        return relu(features).square().sum(1) / 2
    return features[:, list(target.channels)].sum(1)


@dataclass(frozen=True)
class LikenessResponse:
    """Cosine between the mean rectified activations of a picture and those of another.

    Attributes:
        layer: where they are compared.
        reference: ``(C,)``, see :func:`mean_activations`.
    """

    layer: str
    reference: Tensor

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    def __call__(self, features: Features) -> Tensor:
        """Values in [0, 1], ``(N,)``."""
        found = mean_activations(features[self.layer])
        return cosine_similarity(found, self.reference.to(found)[None], dim=1)


@dataclass(frozen=True)
class ClassResponse:
    """The score of one class, before any softmax.

    Attributes:
        head: the layers that name what is in a picture.
        index: of the class.
    """

    head: Head
    index: int

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer that the head reads."""
        return (self.head.layer,)

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""
        return self.head(features[self.head.layer])[:, self.index]


@dataclass(frozen=True)
class DirectionResponse:
    """Activations along a direction in a layer's space of channels, mean over positions.

    Attributes:
        layer: the layer.
        direction: ``(C,)``, of any length but 0.
    """

    layer: str
    direction: Tensor

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""
        found = exact(features[self.layer]).mean((2, 3))
        direction = self.direction.to(found)
        along: Tensor = found @ (direction / direction.norm())
        return along


@dataclass(frozen=True)
class Scaled:
    """A response times a number: below 0, what the network likes least.

    Attributes:
        inner: the response.
        factor: the number.
    """

    inner: Response
    factor: float

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the response."""
        return self.inner.layers

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""
        return self.factor * self.inner(features)


@dataclass(frozen=True)
class Between:
    """Two responses, of which each picture of a batch has its own share.

    Attributes:
        first, second: the responses.
        shares: of the second for each picture, in [0, 1].
    """

    first: Response
    second: Response
    shares: Sequence[float]

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of both, each once."""
        return tuple(dict.fromkeys((*self.first.layers, *self.second.layers)))

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""
        first, second = self.first(features), self.second(features)
        return torch.lerp(first, second, first.new_tensor(self.shares))


def mean_activations(features: Tensor) -> Tensor:
    """Rectified activations ``(N, C, h, w)`` as their mean over positions, ``(N, C)``."""
    return relu(exact(features)).mean((2, 3))


def shared_direction(photos: Sequence[Tensor], usual: Tensor) -> Tensor:
    """What several pictures have in common, beyond what any picture has.

    Args:
        photos: mean activations of each, ``(C,)``.
        usual: mean activations of pictures without a subject, ``(C,)``.

    Returns:
        ``(C,)``: how many times the usual amount the least excited of the photos has more of
        each channel; 0 where one of them has no more than is usual.
    """
    floor = usual.mean().clamp_min(torch.finfo(usual.dtype).tiny)
    return ((torch.stack(list(photos)) - usual) / (usual + floor)).amin(0).clamp_min(0)
