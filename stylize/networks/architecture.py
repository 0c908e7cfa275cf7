"""The shape of the VGG networks: names, channels, strides, receptive fields, cost. No torch.

Reference:
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", ICLR 2015.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from stylize.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor

# Convolutions per block; every block but the first starts with a 2×2 pooling of stride 2.
BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}

CHANNELS = (64, 128, 256, 512, 512)

KERNEL = 3

# Limits of the smallest picture in which a dream is more than grain.
LEAST_POSITIONS, LEAST_SIDE_PX = 4, 32

_LAYER = re.compile(r"(conv|relu)([1-5])_([1-4])")


@dataclass(frozen=True)
class Layer:
    """One convolution of the network.

    Attributes:
        name: ``conv4_2``; its rectified output is called ``relu4_2``.
        channels_in, channels: feature maps of the input and of the output.
        stride: image pixels between neighbouring positions.
        receptive_field_px: side of the image patch that one position sees.
        pooled: whether a pooling precedes this convolution.
    """

    name: str
    channels_in: int
    channels: int
    stride: int
    receptive_field_px: int
    pooled: bool

    @property
    def macs_per_px(self) -> float:
        """Multiply-accumulates of a forward pass per pixel of the image."""
        return KERNEL * KERNEL * self.channels_in * self.channels / self.stride**2


@cache
def convolutions(architecture: str) -> tuple[Layer, ...]:
    """List all convolutions of a network, shallow to deep.

    Raises:
        UnknownNameError: there is no such architecture.
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
                Layer(f"conv{block}_{index}", channels_in, channels, stride, field, pooled)
            )
            channels_in = channels
    return tuple(layers)


def layer_names(architecture: str) -> tuple[str, ...]:
    """List every name that :func:`find_layer` takes: ``conv1_1``, ``relu1_1``, ``conv1_2`` …"""
    return tuple(
        name for layer in convolutions(architecture) for name in (layer.name, rectified(layer.name))
    )


def rectified(name: str) -> str:
    """Return the name of a convolution's output after the ReLU."""
    return name.replace("conv", "relu")


def find_layer(architecture: str, name: str) -> Layer:
    """Find the convolution of a layer name, either ``relu4_2`` or ``conv4_2``.

    Raises:
        UnknownNameError: the network has no such layer; the message suggests similar names.
    """
    match = _LAYER.fullmatch(name)
    wanted = f"conv{match[2]}_{match[3]}" if match else None
    for layer in convolutions(architecture):
        if layer.name == wanted:
            return layer
    raise UnknownNameError(f"layer of {architecture}", name, layer_names(architecture))


def up_to(architecture: str, names: tuple[str, ...]) -> tuple[Layer, ...]:
    """List the convolutions that must run to compute all of ``names``."""
    layers = convolutions(architecture)
    deepest = max(layers.index(find_layer(architecture, name)) for name in names)
    return layers[: deepest + 1]


def least_octave_px(layer: Layer) -> int:
    """Return the least side of a picture, in pixels, at which a dream of a layer makes sense.

    Below two thirds of the receptive field, more than half of the area that even the middle
    position sees is zero padding, and the dream amplifies the border.
    """
    positions = math.ceil(2 * layer.receptive_field_px / (3 * layer.stride))
    return max(positions * layer.stride, LEAST_POSITIONS * layer.stride, LEAST_SIDE_PX)


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
