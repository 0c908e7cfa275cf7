"""The convolutional trunk as a function from a picture to named activations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.networks.architecture import find_layer, rectified, up_to
from stylize.networks.blocks import (
    Block,
    Convolution,
    FirstConvolution,
    SplitFirstConvolution,
    pooled,
)

if TYPE_CHECKING:
    from stylize.networks.store import Weights

# A mean over 2×2 rectified activations is smaller than their maximum; without a factor every
# pooling would damp what the deeper layers, trained with maxima, receive. One for each pooling:
# the ratio of root mean squares of the two, averaged over the sample photographs at 256 px.
AVERAGE_POOLING_GAINS = {"vgg16": (1.14, 1.52, 1.60, 1.76), "vgg19": (1.13, 1.56, 1.39, 1.89)}

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}


class Trunk:
    """VGG's convolutions up to the deepest layer asked for, with frozen weights.

    Args:
        weights: as :func:`stylize.networks.store.load_weights` gives them.
        layers: names of the activations to return, ``conv4_2`` (before the ReLU) or
            ``relu4_2`` (after it).
        pooling: ``"max"``, or ``"avg"`` with the activations' scale kept.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp64"`` (for tests). In bf16 the first convolution
            takes the pixels in two parts: 8 significant bits would move them by half a grey
            level.
        device: where the weights live and the work is done.

    Raises:
        UnknownNameError: a layer that the network does not have.

    Note:
        The first convolution is padded by replication instead of zeros, which would frame the
        picture in black (after K. Crowson's style-transfer-pytorch). Since the pad holds
        pixels, the preprocessing is an affine map and can be folded into that convolution.
    """

    def __init__(
        self,
        weights: Weights,
        layers: Sequence[str],
        *,
        pooling: str = "max",
        precision: str = "fp32",
        device: torch.device | str = "cpu",
    ) -> None:
        self.layers = tuple(layers)
        self.architecture = weights.architecture
        self.pooling = pooling
        self.precision = precision
        self.device = torch.device(device)
        self.memory_format = (
            # Convolution's backward pass returns a wrong layout on MPS (PyTorch issue 174269).
            torch.contiguous_format if self.device.type == "mps" else torch.channels_last
        )
        self._convolutions = up_to(weights.architecture, self.layers)
        self._parameters = [
            self._place(*self._parameters_of(weights, layer.name), first=not index)
            for index, layer in enumerate(self._convolutions)
        ]
        if precision == "bf16":
            self._first: FirstConvolution = SplitFirstConvolution(
                *self._parameters[0], self.memory_format
            )
        else:
            self._first = FirstConvolution(*self._parameters[0], self.dtype, self.memory_format)

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations."""
        return DTYPES[self.precision]

    def strides(self) -> dict[str, int]:
        """Image pixels between neighbouring positions, by layer name."""
        return {name: find_layer(self.architecture, name).stride for name in self.layers}

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Activations by layer name.

        Args:
            image: ``(N, 3, H, W)`` RGB in [0, 1].

        Returns:
            ``(N, C, H // stride, W // stride)`` for each name, in the trunk's precision, part
            of the autograd graph where ``image`` is.
        """
        found = {}
        x = self._first.forward(image)
        gains = iter(AVERAGE_POOLING_GAINS[self.architecture])
        for index, layer in enumerate(self._convolutions):
            if index:
                if layer.pooled:
                    x = pooled(x, self.pooling, next(gains))
                weight, bias = self._parameters[index]
                x = F.conv2d(x, weight, bias, padding=1)
            if layer.name in self.layers:
                found[layer.name] = x
                x = F.relu(x)
            else:
                x = F.relu_(x)
            if rectified(layer.name) in self.layers:
                found[rectified(layer.name)] = x
        return found

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The same network without autograd, see :mod:`stylize.networks.blocks`."""
        gains = AVERAGE_POOLING_GAINS[self.architecture]
        starts = [index for index, layer in enumerate(self._convolutions) if layer.pooled]
        edges = [0, *starts, len(self._convolutions)]
        blocks = []
        for number, (start, stop) in enumerate(pairwise(edges)):
            last = number == len(edges) - 2
            blocks.append(
                Block(
                    [self._frozen(index) for index in range(start, stop)],
                    self.layers,
                    pooling=None if last else self.pooling,
                    gain=1.0 if last else gains[number],
                    first=None if number else self._first,
                )
            )
        return tuple(blocks)

    def _frozen(self, index: int) -> Convolution:
        weight, bias = self._parameters[index]
        back = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=self.memory_format)
        return Convolution(self._convolutions[index].name, weight, bias, back)

    @staticmethod
    def _parameters_of(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
        weight, bias = weights.tensors[f"{name}.weight"], weights.tensors[f"{name}.bias"]
        if name != "conv1_1":
            return weight, bias
        return fold_preprocessing(weights, weight, bias)

    def _place(self, weight: Tensor, bias: Tensor, *, first: bool) -> tuple[Tensor, Tensor]:
        dtype = DTYPES[self.precision]
        if first and dtype is torch.bfloat16:
            dtype = torch.float32
        return (
            weight.to(self.device, dtype).contiguous(memory_format=self.memory_format),
            bias.to(self.device, dtype),
        )


def exact(features: Tensor) -> Tensor:
    """Activations in at least single precision."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def fold_preprocessing(weights: Weights, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """First-layer parameters that take RGB in [0, 1] instead of the network's own input.

    With input ``(scale·x − mean) / std`` per channel, ``W·input + b`` is
    ``(W·scale/std)·x + (b − Σ W·mean/std)``.
    """
    prepared = weights.preprocessing
    mean = torch.tensor(prepared.mean, dtype=torch.float64).view(1, 3, 1, 1)
    std = torch.tensor(prepared.std, dtype=torch.float64).view(1, 3, 1, 1)
    exact = weight.double() / std
    folded_bias = bias.double() - (exact * mean).sum(dim=(1, 2, 3))
    folded = exact * prepared.scale
    if prepared.channels == "BGR":
        folded = folded.flip(1)
    return folded, folded_bias
