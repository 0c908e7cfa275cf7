"""The shape of networks: names of layers, channels, strides, receptive fields, cost.

Those of the VGG networks are computed without torch. Those of torchvision's other classifiers come
from their graphs, see :mod:`stylize.networks.graph`.

Reference:
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", ICLR 2015.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from stylize.errors import SettingError, UnknownNameError
from stylize.networks.graph import ARCHITECTURES, Traced, graph_of, key

if TYPE_CHECKING:
    from torch import Tensor

# Convolutions per block; every block but the first starts with a 2×2 pooling of stride 2.
BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}

CHANNELS = (64, 128, 256, 512, 512)

KERNEL = 3

# Limits of the smallest picture in which a dream is more than grain.
LEAST_POSITIONS, LEAST_SIDE_PX = 4, 32

# Short side of the smallest octave of a usual dream.
USUAL_OCTAVE_PX = 128

# How the layers of other networks begin.
_ELSEWHERE = re.compile(r"(inception|layer|features|Mixed|Conv2d)[_.0-9]", re.IGNORECASE)

_LAYER = re.compile(r"(conv|relu)([1-5])_([1-4])")


@dataclass(frozen=True)
class Layer:
    """A map of the network.

    Attributes:
        name: ``inception_4c``, or ``conv4_2``, whose rectified output is called ``relu4_2``.
        channels: feature maps.
        stride: image pixels between neighbouring positions.
        receptive_field_px: side of the image patch that one position sees.
        first_px: first pixel that position 0 sees; negative in the padding.
        least_px: side of the smallest picture that has a position.
    """

    name: str
    channels: int
    stride: int
    receptive_field_px: int
    first_px: int
    least_px: int

    @property
    def reach_px(self) -> int:
        """How far a position sees beyond its own ``stride`` pixels, on the wider side."""
        return max(-self.first_px, self.first_px + self.receptive_field_px - self.stride, 0)


@dataclass(frozen=True)
class Convolution(Layer):
    """One convolution of a VGG.

    Attributes:
        channels_in: feature maps of the input.
        pooled: whether a pooling precedes this convolution.
    """

    channels_in: int
    pooled: bool

    @property
    def macs_per_px(self) -> float:
        """Multiply-accumulates of a forward pass per pixel of the image."""
        return KERNEL * KERNEL * self.channels_in * self.channels / self.stride**2


def is_vgg(architecture: str) -> bool:
    """Return whether it is a plain VGG, whose layers are ``conv1_1`` … ``relu5_4``."""
    return architecture in BLOCKS


def require_vgg(name: str, architecture: str, what: str) -> None:
    """Refuse a network that is no VGG.

    Args:
        name: of the model.
        architecture: of the model.
        what: the command or the part of it that needs a VGG.

    Raises:
        SettingError: it is no VGG.
    """
    if not is_vgg(architecture):
        raise SettingError(
            f"{what} works with VGG-16 and VGG-19 only, and '{name}' is a {architecture}",
            hint="see 'stylize models list'",
        )


def architectures() -> tuple[str, ...]:
    """List every architecture whose weights can be used."""
    return (*BLOCKS, *ARCHITECTURES)


@cache
def convolutions(architecture: str) -> tuple[Convolution, ...]:
    """List all convolutions of a VGG, shallow to deep.

    Raises:
        UnknownNameError: there is no such VGG.
    """
    if architecture not in BLOCKS:
        raise UnknownNameError("architecture", architecture, BLOCKS)
    layers, channels_in, stride, field = [], 3, 1, 1
    for block, (count, channels) in enumerate(zip(BLOCKS[architecture], CHANNELS, strict=True), 1):
        for index in range(1, count + 1):
            pooled = index == 1 and block > 1
            if pooled:
                field += stride
                stride *= 2
            field += (KERNEL - 1) * stride
            layers.append(
                Convolution(
                    name=f"conv{block}_{index}",
                    channels=channels,
                    stride=stride,
                    receptive_field_px=field,
                    first_px=(stride - field) // 2,
                    least_px=stride,
                    channels_in=channels_in,
                    pooled=pooled,
                )
            )
            channels_in = channels
    return tuple(layers)


def listed_layers(architecture: str) -> tuple[Layer, ...]:
    """List the layers to choose from, shallow to deep: a VGG's convolutions, others' blocks.

    Raises:
        UnknownNameError: there is no such architecture.
    """
    if is_vgg(architecture):
        return convolutions(architecture)
    return tuple(_layer(each) for each in _traced(architecture) if each.is_listed)


def layer_names(architecture: str) -> tuple[str, ...]:
    """List every name that :func:`find_layer` takes: ``conv1_1``, ``relu1_1``, ``conv1_2`` …"""
    if not is_vgg(architecture):
        return tuple(each.name for each in _traced(architecture))
    return tuple(
        name for layer in convolutions(architecture) for name in (layer.name, rectified(layer.name))
    )


def second_names(architecture: str) -> tuple[str, ...]:
    """List torchvision's spelling of the names of :func:`layer_names`, such as ``inception4c``."""
    return () if is_vgg(architecture) else tuple(each.path for each in _traced(architecture))


def rectified(name: str) -> str:
    """Return the name of a convolution's output after the ReLU."""
    return name.replace("conv", "relu")


def unrectified(name: str) -> str:
    """Return the name of a VGG's convolution before the ReLU; other names stay as they are."""
    return name.replace("relu", "conv") if _LAYER.fullmatch(name) else name


def find_layer(architecture: str, name: str) -> Layer:
    """Find a layer by its name, such as ``relu4_2``, ``conv4_2`` or ``inception_4c``.

    Raises:
        UnknownNameError: the network has no such layer; the message suggests similar names.
    """
    if not is_vgg(architecture):
        return _layer(find_traced(architecture, name))
    match = _LAYER.fullmatch(name)
    wanted = f"conv{match[2]}_{match[3]}" if match else None
    for layer in convolutions(architecture):
        if layer.name == wanted:
            return layer
    raise _unknown_layer(architecture, name)


def find_traced(architecture: str, name: str) -> Traced:
    """Find a layer of a network that is no VGG, in any spelling.

    Raises:
        UnknownNameError: the network has no such layer; the message suggests similar names.
    """
    _traced(architecture)
    found = graph_of(architecture).by_name.get(key(name))
    if found is None:
        raise _unknown_layer(architecture, name)
    return found


def _unknown_layer(architecture: str, name: str) -> UnknownNameError:
    kind = f"layer of {architecture}"
    if is_vgg(architecture):
        remedy = "it may be a layer of another --network" if _ELSEWHERE.match(name) else None
        return UnknownNameError(kind, name, layer_names(architecture), remedy=remedy)
    listed = "'stylize layers' lists those of a network"
    repeated = {key(each): each for each in graph_of(architecture).repeated}
    if key(name) in repeated:
        block = repeated[key(name)].rpartition(".")[0]
        remedy = f"this part runs more than once; name the block around it, {block}; {listed}"
        return UnknownNameError(kind, name, (), remedy=remedy)
    if _LAYER.fullmatch(name):
        remedy = (
            f"only VGG-16 and VGG-19 have it; name another, such as {usual_layer(architecture)}"
        )
        return UnknownNameError(kind, name, (), remedy=f"{remedy}; {listed}")
    return UnknownNameError(kind, name, layer_names(architecture), remedy=listed)


def usual_layer(architecture: str) -> str:
    """Name a layer whose dreams suit small photos: ``inception_4c`` of GoogLeNet."""
    if is_vgg(architecture):
        return "conv4_3"
    return [each.name for each in _blocks(architecture) if _is_seen_whole(each)][-1]


def deepest_layer(architecture: str) -> str:
    """Name the last block: ``inception_5b`` of GoogLeNet, ``conv5_3`` of VGG-16."""
    if is_vgg(architecture):
        return convolutions(architecture)[-1].name
    return _blocks(architecture)[-1].name


def scales(architecture: str) -> tuple[str, ...]:
    """Name the last block of each stride, shallow to deep."""
    blocks = convolutions(architecture) if is_vgg(architecture) else _blocks(architecture)
    return tuple({each.stride: each.name for each in blocks}.values())


def _blocks(architecture: str) -> list[Layer]:
    """The largest parts of a network that is no VGG, such as the stages of a ResNet."""
    listed = listed_layers(architecture)
    # "features" is the whole network up to the classifier.
    whole = graph_of(architecture).first.partition(".")[0]
    last = [each.name for each in listed if "." in each.name][-1]
    parts = [each for each in listed if each.name != whole or not last.startswith(f"{whole}.")]
    return [each for each in parts if "." not in each.name] or parts


def has_smooth_activations(architecture: str) -> bool:
    """Return whether a network has activations other than ReLU and ReLU6."""
    return not is_vgg(architecture) and graph_of(architecture).is_smooth


def _is_seen_whole(layer: Layer) -> bool:
    return least_octave_px(layer) <= USUAL_OCTAVE_PX


def _traced(architecture: str) -> tuple[Traced, ...]:
    if architecture not in ARCHITECTURES:
        raise UnknownNameError("architecture", architecture, architectures())
    return graph_of(architecture).layers


def _layer(traced: Traced) -> Layer:
    axes = (traced.view.rows, traced.view.columns)
    first, last = min(axis.first for axis in axes), max(axis.last for axis in axes)
    return Layer(
        name=traced.name,
        channels=traced.channels,
        stride=max(axis.stride for axis in axes),
        receptive_field_px=last - first + 1,
        first_px=first,
        least_px=max(axis.least_px for axis in axes),
    )


def up_to(architecture: str, names: tuple[str, ...]) -> tuple[Convolution, ...]:
    """List the convolutions of a VGG that must run to compute all of ``names``."""
    layers = convolutions(architecture)
    names_of = [find_layer(architecture, name).name for name in names]
    deepest = max(index for index, layer in enumerate(layers) if layer.name in names_of)
    return layers[: deepest + 1]


def deepest_traced(architecture: str, names: Iterable[str]) -> Traced:
    """Find which of some layers of a network that is no VGG is computed last.

    Raises:
        UnknownNameError: the network has no such layer.
    """
    order = _traced(architecture)
    return order[max(order.index(find_traced(architecture, name)) for name in names)]


def macs_per_px(architecture: str, names: Iterable[str]) -> float:
    """Multiply-accumulates per pixel of the picture to compute all of ``names``."""
    if is_vgg(architecture):
        return sum(layer.macs_per_px for layer in up_to(architecture, tuple(names)))
    return deepest_traced(architecture, names).macs_per_px


def positions(architecture: str, name: str, size: tuple[int, int]) -> tuple[int, int]:
    """The rows and columns of a layer's map for a picture of ``(height, width)`` pixels."""
    if is_vgg(architecture):
        stride = find_layer(architecture, name).stride
        return size[0] // stride, size[1] // stride
    view = find_traced(architecture, name).view
    return view.rows.positions(size[0]), view.columns.positions(size[1])


def can_be_tiled(architecture: str, names: Iterable[str]) -> bool:
    """Return whether every position of the layers sees a limited part of the picture."""
    return is_vgg(architecture) or not deepest_traced(architecture, names).view.sees_all


def probe_layer(architecture: str, side_px: int) -> str:
    """Return a deep layer that has at least four positions a side in a picture of this side."""
    if is_vgg(architecture):
        return "relu5_1"
    layers = listed_layers(architecture)
    return [each.name for each in layers if each.stride * LEAST_POSITIONS <= side_px][-1]


def least_octave_px(layer: Layer) -> int:
    """Return the least side of a picture, in pixels, at which a dream of a layer makes sense.

    Below two thirds of the receptive field, more than half of the area that even the middle
    position sees is zero padding, and the dream amplifies the border.
    """
    positions = math.ceil(2 * layer.receptive_field_px / (3 * layer.stride))
    least = max(positions * layer.stride, LEAST_POSITIONS * layer.stride, LEAST_SIDE_PX)
    return max(least, layer.least_px)


@dataclass(frozen=True)
class Rect:
    """A rectangle of positions of a feature map.

    Attributes:
        top, left, height, width: the rectangle.
        rows, columns: the size of the whole map.
    """

    top: int
    left: int
    height: int
    width: int
    rows: int
    columns: int

    def of(self, map: Tensor) -> Tensor:
        """The rectangle of a ``(…, rows, columns)`` map, a view."""
        rows = slice(self.top, self.top + self.height)
        return map[..., rows, self.left : self.left + self.width]
