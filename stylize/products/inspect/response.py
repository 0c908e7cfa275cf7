"""Queries: which response of the network to a picture is amplified, explained or watched.

A response is a function of a picture's activations that gives one number per picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, relu

from stylize.images.read import Picture
from stylize.losses.channels import position_amounts
from stylize.networks.classifier import Classifier, load_head
from stylize.networks.layer_expressions import Target
from stylize.networks.network import Network
from stylize.networks.vgg import exact
from stylize.products.inspect.model import Model
from stylize.products.inspect.result import Finding, rendered
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import PhotoSettings

Features = Mapping[str, Tensor]


class Response(Protocol):
    """One number for each picture of a batch.

    Attributes:
        layers: the activations it reads.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """Names as the network takes them."""

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""


@dataclass(frozen=True)
class TargetResponse:
    """The weighted sum of the responses of layers and channels.

    The response of a channel is its activation. The response of a layer is half the sum of its
    squared rectified activations. Both are means over positions, or taken at one position.

    Attributes:
        targets: as :func:`stylize.networks.layer_expressions.parse_targets` reads them.
        place: position of one neuron from the top and from the left, as shares of the sides in
            [0, 1]; None for all positions.
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
            target.weight * self._value(exact(features[target.layer]), target)
            for target in self.targets
        ]
        return torch.stack(parts).sum(0)

    def watched(self, maps: Tensor) -> Tensor:
        """The positions of ``(N, C, h, w)`` that count: all, or the one at the place."""
        if self.place is None:
            return maps
        row, column = (
            min(int(share * side), side - 1)
            for share, side in zip(self.place, maps.shape[2:], strict=True)
        )
        return maps[:, :, row : row + 1, column : column + 1]

    def _value(self, features: Tensor, target: Target) -> Tensor:
        amounts = position_amounts(features, target.channels).sum(1, keepdim=True)
        return self.watched(amounts).mean((1, 2, 3))


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
        head: the classification layers.
        index: of the class.
    """

    head: Classifier
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
    """A response times a factor; a negative factor minimizes the response.

    Attributes:
        inner: the response.
        factor: the factor.
    """

    inner: Response
    factor: float

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the response."""
        return self.inner.layers

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""
        return self.factor * self.inner(features)


@dataclass(frozen=True)
class Between:
    """A mixture of two responses, with its own share for each picture of a batch.

    Attributes:
        first, second: the responses.
        shares: of the second for each picture, in [0, 1].
    """

    first: Response
    second: Response
    shares: Sequence[float]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of both, each once."""
        return tuple(dict.fromkeys((*self.first.layers, *self.second.layers)))

    def __call__(self, features: Features) -> Tensor:
        """``(N, C, h, w)`` activations by layer to ``(N,)``."""
        first, second = self.first(features), self.second(features)
        return torch.lerp(first, second, first.new_tensor(self.shares))


def mean_activations(features: Tensor) -> Tensor:
    """Mean of the rectified activations ``(N, C, h, w)`` over positions, ``(N, C)``."""
    return relu(exact(features)).mean((2, 3))


def shared_direction(photos: Sequence[Tensor], usual: Tensor) -> Tensor:
    """The channels that several pictures excite more than pictures without a subject do.

    Args:
        photos: mean activations of each, ``(C,)``.
        usual: mean activations of pictures without a subject, ``(C,)``.

    Returns:
        ``(C,)``: for each channel the excess over ``usual``, relative to it, in the photo that
        excites the channel least; 0 if one photo has no excess.
    """
    floor = usual.mean().clamp_min(torch.finfo(usual.dtype).tiny)
    return ((torch.stack(list(photos)) - usual) / (usual + floor)).amin(0).clamp_min(0)


# A channel is silent if its mean rectified activation is below this share of its layer's mean.
# In VGG-16, one channel of conv5_3 in six is; in the layers up to conv4_2, none.
SILENT_SHARE = 0.02

# Channels or classes that a note names.
NAMED = 5


@dataclass(frozen=True)
class Silence:
    """The parts of a response that a photo does not excite.

    Attributes:
        silent: the channels, such as ``conv5_3:100``, or the class.
        strongest: the channels of the same layers, or the classes, with the largest responses.
        notes: messages for the user, one line for each layer.
    """

    silent: tuple[str, ...] = ()
    strongest: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@torch.no_grad()
def silence_of(response: Response, features: Features) -> Silence:
    """Find the channels that a photo does not excite, or a class less likely than by chance.

    Args:
        response: the response that is explained. Channels with a negative weight are ignored.
        features: activations of one photo by layer, ``(1, C, h, w)``.
    """
    if isinstance(response, ClassResponse):
        return _unlikely_class(response, features)
    if not isinstance(response, TargetResponse):
        return Silence()
    silent: list[str] = []
    strongest: list[str] = []
    notes: list[str] = []
    where = "this photo" if response.place is None else "this place of the photo"
    for layer in response.layers:
        amounts = mean_activations(response.watched(features[layer]))[0]
        chosen = {
            channel
            for target in response.targets
            if target.layer == layer and target.weight > 0
            for channel in target.channels or ()
        }
        quiet = sorted(each for each in chosen if amounts[each] <= SILENT_SHARE * amounts.mean())
        loudest = [each for each in amounts.argsort(descending=True).tolist() if amounts[each] > 0]
        best = loudest[:NAMED]
        strongest += [f"{layer}:{channel}" for channel in best]
        if quiet:
            silent += [f"{layer}:{channel}" for channel in quiet]
            remedy = f"the strongest channels there are {_named(layer, best)}" if best else ""
            verb = "does" if len(quiet) == 1 else "do"
            line = f"{_named(layer, quiet[:NAMED])} {verb} not respond to {where}"
            notes.append(f"{line}; {remedy}" if remedy else f"{line}, nor does any other channel")
    return Silence(tuple(silent), tuple(strongest), tuple(notes))


def _named(layer: str, channels: Sequence[int]) -> str:
    return f"{layer}:{','.join(map(str, channels))}"


def _unlikely_class(response: ClassResponse, features: Features) -> Silence:
    head = response.head
    likely = class_probabilities(head, features)
    best = tuple(head.name_of(each) for each in likely.argsort(descending=True)[:NAMED].tolist())
    if float(likely[response.index]) * head.classes >= 1:
        return Silence(strongest=best)
    name = head.name_of(response.index)
    note = f"the network does not see class {name} in this photo; its best classes are "
    return Silence((name,), best, (note + ", ".join(best),))


def class_probabilities(head: Classifier, features: Features) -> Tensor:
    """The probability of each class for one photo, ``(classes,)``."""
    return head(features[head.layer])[0].softmax(0)


@dataclass(frozen=True)
class Query:
    """A question about a photo, ready to be answered.

    Attributes:
        photo: the photo.
        like: the picture that it is compared with, if any.
        settings: of the question.
        model: the network.
        response: the response that is explained.
        image: ``(1, 3, H, W)``, the photo as the network sees it.
    """

    photo: Picture
    like: Picture | None
    settings: PhotoSettings
    model: Model
    response: Response
    image: Tensor

    @property
    def vgg(self) -> Network:
        """The network up to the layers of the response."""
        return self.model.network(self.response.layers)

    @torch.no_grad()
    def features(self) -> dict[str, Tensor]:
        """The photo's activations in the layers of the response, ``(1, C, h, w)``."""
        return self.vgg(self.image)

    def finding(
        self,
        shares: Tensor,
        view: str,
        numbers: dict[str, Any],
        silence: Silence,
        notes: Sequence[str] = (),
    ) -> Finding:
        """The answer as a picture.

        Args:
            shares: ``(1, 1, H, W)`` in [0, 1], how much each pixel contributes.
            view: as :func:`stylize.products.inspect.result.rendered` takes it.
            numbers: reported together with the question.
            silence: what of the question the photo does not excite.
            notes: further messages for the user.
        """
        inputs = [("content", self.photo)]
        if self.like is not None:
            inputs.append(("like", self.like))
        result = self.model.result(rendered(shares, self.image, view), self.settings, inputs)
        heard = {"silent": list(silence.silent), "strongest": list(silence.strongest)}
        said = [*silence.notes, *notes]
        return Finding(result, self.settings.question | numbers | heard, notes=said)

    def place(self, down: float, across: float) -> list[int]:
        """A place, given as shares of the sides, as ``[X, Y]`` in px of the photo."""
        height, width = self.photo.size
        return [int(across * width), int(down * height)]


def query(
    photo: Picture,
    settings: PhotoSettings,
    execution: Execution | None = None,
    *,
    like: Picture | None = None,
    session: Session | None = None,
) -> Query:
    """Prepare a question about a photo.

    Args:
        photo: the photo.
        settings: of the question.
        execution: device, precision and threads.
        like: a picture; the response is then the photo's similarity to it at the target's layer.
        session: keeps networks in memory and shares them between calls.

    Raises:
        ExpressionError: the network has no such layer or channel.
        SettingError: the place is outside the photo.
        PictureError: a picture is too small for the layer.
        WeightsError: a class is asked for, and the network has none.
        UnknownNameError: the network does not know this class.
        StylizeError: the network or the device is not available.
    """
    model = Model(settings.network, execution, session)
    settings = settings.for_network(model.weights.architecture)
    place = settings.place_in(photo.size)
    response: Response
    if settings.category is not None:
        response = class_response(model.weights.name, settings.category)
    elif like is not None:
        response = similarity_to(like, settings.targets[0].layer, model, settings.size)
    else:
        response = TargetResponse(settings.targets, place)
    image = model.pixels(photo, settings.size, response.layers)
    return Query(photo, like, settings, model, response, image)


@torch.no_grad()
def similarity_to(picture: Picture, layer: str, model: Model, size: str) -> LikenessResponse:
    """The similarity to a picture at a layer.

    Raises:
        PictureError: the picture is too small.
    """
    seen = model.network((layer,))(model.pixels(picture, size, (layer,)))[layer]
    return LikenessResponse(layer, mean_activations(seen)[0])


def class_response(network: str, category: str) -> ClassResponse:
    """The score of a class, by its number or its name.

    Raises:
        WeightsError: the network has no classes.
        UnknownNameError: the network does not know this class.
    """
    head = load_head(network)
    return ClassResponse(head, head.index_of(category))
