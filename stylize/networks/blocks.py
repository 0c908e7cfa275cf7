"""The trunk without autograd, a block of convolutions at a time.

A frozen convolution followed by a ReLU needs no activation on the way back, only the sign of its
output; a pooling needs the position of its maximum. So a forward pass remembers a byte for each,
and beside them nothing but the activations that were asked for, in the trunk's own precision:
some 200 bytes a pixel where autograd keeps a thousand (after Chen et al., "Training Deep Nets
with Sublinear Memory Cost", 2016, arXiv:1604.06174, and Bulò et al., "In-Place Activated
BatchNorm", CVPR 2018, who each rebuild what they did not keep).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.networks.architecture import rectified
from stylize.networks.signs import (
    clear_minus_zeros,
    keep_where,
    max_pool,
    max_unpool,
    positive,
)

Seed = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class Convolution:
    """A frozen 3×3 convolution.

    Attributes:
        name: ``conv4_2``.
        weight, bias: as :func:`torch.nn.functional.conv2d` takes them.
        transposed: the weights of the convolution that takes the gradient back.
    """

    name: str
    weight: Tensor
    bias: Tensor
    transposed: Tensor


@dataclass
class Memory:
    """What a block's way back needs of its way there, for one window.

    Attributes:
        features: the activations that were asked for, by name.
        alive: where a convolution's output was positive, by its name.
        codes: of the pooling's maxima.
        output: what the next block gets.
        size: rows and columns before the pooling.
    """

    features: dict[str, Tensor] = field(default_factory=dict)
    alive: dict[str, Tensor] = field(default_factory=dict)
    codes: Tensor | None = None
    output: Tensor | None = None
    size: tuple[int, int] = (0, 0)


class Block:
    """The convolutions between two poolings, and the pooling after them.

    Args:
        convolutions: in order, each followed by a ReLU.
        wanted: names of the activations to keep, before or after the ReLU.
        pooling: ``"max"``, ``"avg"``, or None for the last block.
        gain: factor after an average pooling.
        first: stands in for the first convolution where this block sees pixels.
    """

    def __init__(
        self,
        convolutions: Sequence[Convolution],
        wanted: Sequence[str],
        *,
        pooling: str | None,
        gain: float = 1.0,
        first: FirstConvolution | None = None,
    ) -> None:
        self.convolutions = tuple(convolutions)
        self.pooling = pooling
        self.wanted = tuple(
            name
            for each in self.convolutions
            for name in (each.name, rectified(each.name))
            if name in wanted
        )
        self._gain = gain
        self._first = first

    def forward(self, x: Tensor, *, remember: bool = True) -> Memory:
        """Activations of a window, and what the way back needs, if there is one."""
        memory = Memory()
        for index, each in enumerate(self.convolutions):
            x = self._rectify(each, self._convolve(index, x), memory, remember=remember)
        if self.pooling == "max" and remember:
            memory.output, memory.codes = max_pool(x)
        elif self.pooling is not None:
            memory.output = pooled(x, self.pooling, self._gain)
        memory.size = (x.shape[2], x.shape[3])
        return memory

    def _convolve(self, index: int, x: Tensor) -> Tensor:
        if index == 0 and self._first is not None:
            return self._first.forward(x)
        each = self.convolutions[index]
        return F.conv2d(x, each.weight, each.bias, padding=1)

    def _rectify(
        self, each: Convolution, x: Tensor, memory: Memory, *, remember: bool = True
    ) -> Tensor:
        before, after = each.name, rectified(each.name)
        if before in self.wanted:
            memory.features[before] = x
            x = F.relu(x)
        else:
            x = F.relu_(x)
        if after in self.wanted:
            memory.features[after] = x
        if remember:
            clear_minus_zeros(x)
            coded = self.pooling == "max" and each is self.convolutions[-1]
            if not coded and before not in self.wanted and after not in self.wanted:
                memory.alive[before] = positive(x)
        return x

    def lighten(self, memory: Memory) -> None:
        """Forget what :meth:`recall` brings back cheaply: all of the convolution of pixels."""
        if self._first is not None:
            name = self.convolutions[0].name
            for known in (memory.features, memory.alive):
                known.pop(name, None)
            memory.features.pop(rectified(name), None)

    def recall(self, memory: Memory, x: Tensor) -> None:
        """Undo :meth:`lighten` with the window that :meth:`forward` saw."""
        if self._first is not None:
            self._rectify(self.convolutions[0], self._first.forward(x), memory)

    def backward(self, memory: Memory, gradient: Tensor | None, seed: Seed) -> Tensor | None:
        """The gradient with respect to the window that :meth:`forward` saw.

        Args:
            memory: what it gave.
            gradient: with respect to the pooling's output; None where nothing deeper is wanted.
            seed: gives a new tensor, the derivative of the objective with respect to an
                activation, from its name and the activation.

        Returns:
            None where nothing was wanted.
        """
        if gradient is not None:
            gradient = self._unpool(memory, gradient)
        for index, each in reversed(list(enumerate(self.convolutions))):
            gradient = self._through_relu(each.name, memory, gradient, seed)
            if gradient is None:
                continue
            if index == 0 and self._first is not None:
                gradient = self._first.backward(gradient)
            else:
                gradient = F.conv2d(gradient, each.transposed, padding=1)
        return gradient

    def _unpool(self, memory: Memory, gradient: Tensor) -> Tensor:
        if memory.codes is not None:
            return max_unpool(gradient, memory.codes, memory.size)
        return average_unpool(gradient * self._gain, memory.size)

    def _through_relu(
        self, before: str, memory: Memory, gradient: Tensor | None, seed: Seed
    ) -> Tensor | None:
        after = rectified(before)
        if after in self.wanted:
            gradient = _added(gradient, seed(after, memory.features[after]))
        if gradient is not None:
            known = memory.features.get(after, memory.features.get(before))
            if known is not None:
                torch.ops.aten.threshold_backward.grad_input(
                    gradient, known, 0, grad_input=gradient
                )
            elif before in memory.alive:
                keep_where(gradient, memory.alive[before])
        if before in self.wanted:
            gradient = _added(gradient, seed(before, memory.features[before]))
        return gradient


def pooled(x: Tensor, pooling: str, gain: float) -> Tensor:
    """The maximum or the scaled mean of cells of 2×2."""
    return F.max_pool2d(x, 2) if pooling == "max" else F.avg_pool2d(x, 2) * gain


def average_unpool(gradient: Tensor, size: tuple[int, int]) -> Tensor:
    """The way back of an average over cells of 2×2, to ``(N, C, *size)``."""
    wide = F.interpolate(gradient / 4, scale_factor=2.0, mode="nearest")
    height, width = size
    return F.pad(wide, (0, width - wide.shape[3], 0, height - wide.shape[2]))


def _added(gradient: Tensor | None, seed: Tensor) -> Tensor:
    return seed if gradient is None else gradient.add_(seed)


class FirstConvolution:
    """The convolution that sees pixels, padded by replication, in its own precision.

    Args:
        weight, bias: as :func:`torch.nn.functional.conv2d` takes them.
        dtype: of what comes out.
        memory_format: of what goes in.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, dtype: torch.dtype, memory_format: torch.memory_format
    ) -> None:
        self._weight, self._bias, self._dtype = weight, bias, dtype
        self._memory_format = memory_format

    def forward(self, image: Tensor) -> Tensor:
        """``(N, 3, h, w)`` pixels to ``(N, 64, h, w)``."""
        x = image.to(dtype=self._weight.dtype, memory_format=self._memory_format)
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self._weight, self._bias).to(self._dtype)

    def _convolve_back(self, gradient: Tensor) -> Tensor:
        return F.conv_transpose2d(gradient.to(self._weight.dtype), self._weight)

    def backward(self, gradient: Tensor) -> Tensor:
        """``(N, 64, h, w)`` to the pixels' ``(N, 3, h, w)``: what fell on the pad is theirs."""
        wide = self._convolve_back(gradient)
        for axis in (2, 3):
            last = wide.shape[axis] - 1
            wide.select(axis, 1).add_(wide.select(axis, 0))
            wide.select(axis, last - 1).add_(wide.select(axis, last))
        return wide[..., 1:-1, 1:-1]


class SplitFirstConvolution(FirstConvolution):
    """The same with the products of bfloat16, and all but the precision of float32.

    A float32 is the sum of two bfloat16 to within 2⁻¹⁷ of it. So pixels, weights and biases become
    channels of their high and low parts, of which three of four products count; the sums are
    float32 within the library. The plain convolution with its conversions took a fifth of all
    time on a processor with matrix units; this takes a tenth of that.

    Args:
        weight, bias: in float32.
        memory_format: of what goes in.
    """

    def __init__(self, weight: Tensor, bias: Tensor, memory_format: torch.memory_format) -> None:
        super().__init__(weight, bias, torch.bfloat16, memory_format)
        high, low = halves(weight)
        # Channels of ones, which see the bias in the middle of the window alone.
        offsets = weight.new_zeros(len(bias), 2, *weight.shape[2:], dtype=torch.bfloat16)
        offsets[:, 0, 1, 1], offsets[:, 1, 1, 1] = halves(bias)
        self._split = self._laid_out(torch.cat([high, high, low, offsets], 1))
        self._back = self._laid_out(torch.cat([high, low], 1).flip(2, 3).transpose(0, 1))

    def _laid_out(self, weight: Tensor) -> Tensor:
        return weight.contiguous(memory_format=self._memory_format)

    def _convolve(self, x: Tensor) -> Tensor:
        high, low = halves(x)
        ones = high.new_ones(1, 1, 1, 1).expand(len(x), 2, *x.shape[2:])
        return F.conv2d(self._laid_out(torch.cat([high, low, high, ones], 1)), self._split)

    def _convolve_back(self, gradient: Tensor) -> Tensor:
        parts = F.conv2d(gradient, self._back, padding=2).float()
        return parts[:, :3] + parts[:, 3:]


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two bfloat16 whose sum is a float32 but for its last bits."""
    high = x.bfloat16()
    return high, (x - high.float()).bfloat16()
