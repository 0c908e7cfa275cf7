"""Forward and backward pass through a VGG without autograd.

Convolutions run block by block in strips of rows, so that the large shallow activations are never
in memory as a whole. For the backward pass, one byte per activation is kept: whether it is
positive, or the position of a pooling's maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.networks.architecture import Rect, rectified
from stylize.networks.vgg import (
    AVERAGE_POOLING_GAINS,
    VGG,
    FirstConvolution,
    convolve,
    pooled,
)
from stylize.networks.winograd import Winograd, pays
from stylize.planning.tiles import DEVICE_STRIP_BYTES, STRIP_BYTES, Span, Tile

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

# The code of a cell whose maximum is not positive: the ReLU passes no gradient.
DEAD = 4


def _bits(x: Tensor) -> Tensor:
    """View the same memory as integers."""
    return x.view(_INTEGERS[x.element_size()])


def _top(bits: Tensor) -> int:
    """The shift that leaves only the sign: 0 or −1."""
    return 8 * bits.element_size() - 1


def clear_minus_zeros(x: Tensor) -> None:
    """Replace −0, which passes a ReLU, by +0; ``x`` has no other value below zero."""
    bits = _bits(x)
    bits.bitwise_and_(torch.iinfo(bits.dtype).max)


def keep_where(x: Tensor, mask: Tensor) -> None:
    """Set ``x`` to zero where a mask is False."""
    _bits(x).mul_(mask)


def keep_where_positive(x: Tensor, other: Tensor) -> None:
    """Set ``x`` to zero where another tensor of its type and shape is not positive."""
    if x.dtype is torch.bfloat16 and x.device.type == "cpu":
        # Compare the bits as integers: they have the same sign, and bfloat16 takes longer.
        x, other = _bits(x), _bits(other)
    torch.ops.aten.threshold_backward.grad_input(x, other, 0, grad_input=x)


def max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima over cells of 2×2, and their positions.

    Args:
        x: ``(N, C, h, w)`` rectified, without −0; an odd last row or column is left out.

    Returns:
        ``(N, C, h // 2, w // 2)`` of ``x``'s type, and bytes of that shape: the position of the
        cell's first maximum, counted row by row from 0, or :data:`DEAD` or more if the maximum is
        zero.
    """
    a, b, c, d = _cells(_bits(x))
    top = _top(a)
    upper_right = (a - b).bitwise_right_shift_(top)
    lower_right = (c - d).bitwise_right_shift_(top)
    upper, lower = torch.maximum(a, b), torch.maximum(c, d)
    is_lower = (upper - lower).bitwise_right_shift_(top)
    largest = torch.maximum(upper, lower, out=upper)
    codes = lower_right.sub_(upper_right).bitwise_and_(is_lower).add_(upper_right)
    codes.add_(is_lower, alpha=2)
    codes.add_((largest - 1).bitwise_right_shift_(top), alpha=DEAD)
    return largest.view(x.dtype), codes.neg_().to(torch.int8)


def max_unpool(gradient: Tensor, codes: Tensor, size: tuple[int, int]) -> Tensor:
    """The backward pass of :func:`max_pool`: ``(N, C, h // 2, w // 2)`` to ``(N, C, *size)``."""
    out = _dense(gradient, size)
    bits = _bits(gradient)
    wide = codes.to(bits.dtype)
    for code, cell in enumerate(_cells(_bits(out))):
        here = wide.bitwise_xor(code).sub_(1).bitwise_right_shift_(_top(bits))
        torch.bitwise_and(bits, here, out=cell)
    return out


def _dense(like: Tensor, size: tuple[int, int]) -> Tensor:
    """An empty ``(N, C, *size)`` in the memory format of ``like``; zero outside cells of 2×2."""
    last = like.is_contiguous(memory_format=torch.channels_last)
    out = torch.empty(
        (*like.shape[:2], *size),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )
    out[:, :, 2 * like.shape[2] :] = 0
    out[:, :, :, 2 * like.shape[3] :] = 0
    return out


def _cells(x: Tensor) -> list[Tensor]:
    """The four corners of all cells of 2×2, views, row by row."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    return [x[:, :, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)]


BlockSeed = Callable[[str, Tensor, Tensor | None], Tensor]


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

    def forward(self, x: Tensor, *, rectify: bool) -> Tensor:
        """Convolve, and rectify if asked to."""
        if not pays(self.weight, x):
            return convolve(x, self.weight, self.bias, padding=1, rectify=rectify)
        found = self._winograd(x, self.bias)
        return F.relu_(found) if rectify else found

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to the input."""
        if not pays(self.transposed, gradient):
            return F.conv2d(gradient, self.transposed, padding=1)
        return self._winograd_back(gradient)

    # The weights are transformed on first use: small pictures never need it.
    @cached_property
    def _winograd(self) -> Winograd:
        return Winograd(self.weight)

    @cached_property
    def _winograd_back(self) -> Winograd:
        return Winograd(self.transposed)


@dataclass
class Memory:
    """What the backward pass of a block needs from its forward pass, for one window.

    Attributes:
        features: the requested activations, by name.
        alive: where a convolution's output was positive, by its name.
        codes: of the pooling's maxima.
        output: the input of the next block.
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
        first: replaces the first convolution if this block reads pixels.
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
        """Activations of a window, and what the backward pass needs, if there is one."""
        memory = Memory()
        for index in range(len(self.convolutions)):
            x = self._convolve(index, x, memory, remember=remember)
        if self.pooling == "max" and remember:
            memory.output, memory.codes = max_pool(x)
        elif self.pooling is not None:
            memory.output = pooled(x, self.pooling, self._gain)
        memory.size = (x.shape[2], x.shape[3])
        return memory

    def _convolve(self, index: int, x: Tensor, memory: Memory, *, remember: bool = True) -> Tensor:
        """Convolve and rectify a window, and note what its activations are needed for."""
        each = self.convolutions[index]
        before, after = each.name, rectified(each.name)
        apart = before in self.wanted
        if index == 0 and self._first is not None:
            x = self._first.forward(x, rectify=not apart)
        else:
            x = each.forward(x, rectify=not apart)
        if apart:
            memory.features[before] = x
            x = F.relu(x)
        if after in self.wanted:
            memory.features[after] = x
        if remember:
            if self.pooling == "max" and each is self.convolutions[-1]:
                clear_minus_zeros(x)
            elif not apart and after not in self.wanted:
                memory.alive[before] = x.to(torch.bool)
        return x

    def lighten(self, memory: Memory) -> None:
        """Forget what :meth:`recall` can compute cheaply: the results of the first convolution."""
        if self._first is not None:
            name = self.convolutions[0].name
            for known in (memory.features, memory.alive):
                known.pop(name, None)
            memory.features.pop(rectified(name), None)

    def recall(self, memory: Memory, x: Tensor) -> None:
        """Undo :meth:`lighten` with the window that :meth:`forward` saw."""
        if self._first is not None:
            self._convolve(0, x, memory)

    def backward(self, memory: Memory, gradient: Tensor | None, seed: BlockSeed) -> Tensor | None:
        """The gradient with respect to the window that :meth:`forward` saw.

        Args:
            memory: the result of :meth:`forward`.
            gradient: with respect to the pooling's output; None if no loss reads a deeper layer.
            seed: gets the name of an activation, the activation, and the gradient that came back
                to it from deeper layers; adds the derivative of the objective with respect to it.

        Returns:
            None if no loss reads this block or a deeper one.
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
                gradient = each.backward(gradient)
        return gradient

    def _unpool(self, memory: Memory, gradient: Tensor) -> Tensor:
        if memory.codes is not None:
            return max_unpool(gradient, memory.codes, memory.size)
        return average_unpool(gradient * self._gain, memory.size)

    def _through_relu(
        self, before: str, memory: Memory, gradient: Tensor | None, seed: BlockSeed
    ) -> Tensor | None:
        after = rectified(before)
        if after in self.wanted:
            gradient = seed(after, memory.features[after], gradient)
        if gradient is not None:
            known = memory.features.get(after, memory.features.get(before))
            if known is not None:
                keep_where_positive(gradient, known)
            elif before in memory.alive:
                keep_where(gradient, memory.alive[before])
        if before in self.wanted:
            gradient = seed(before, memory.features[before], gradient)
        return gradient


def average_unpool(gradient: Tensor, size: tuple[int, int]) -> Tensor:
    """The backward pass of an average over cells of 2×2, to ``(N, C, *size)``."""
    wide = F.interpolate(gradient / 4, scale_factor=2.0, mode="nearest")
    height, width = size
    return F.pad(wide, (0, width - wide.shape[3], 0, height - wide.shape[2]))


_BLOCKS: WeakKeyDictionary[VGG, tuple[Block, ...]] = WeakKeyDictionary()


def blocks_of(vgg: VGG) -> tuple[Block, ...]:
    """The blocks of a network, with weights prepared for both directions; computed once."""
    if vgg not in _BLOCKS:
        _BLOCKS[vgg] = _make_blocks(vgg)
    return _BLOCKS[vgg]


def _make_blocks(vgg: VGG) -> tuple[Block, ...]:
    gains = AVERAGE_POOLING_GAINS[vgg.architecture]
    starts = [index for index, layer in enumerate(vgg.convolutions) if layer.pooled]
    edges = [0, *starts, len(vgg.convolutions)]
    blocks = []
    for number, (start, stop) in enumerate(pairwise(edges)):
        last = number == len(edges) - 2
        blocks.append(
            Block(
                [_frozen(vgg, index) for index in range(start, stop)],
                vgg.layers,
                pooling=None if last else vgg.pooling,
                gain=1.0 if last else gains[number],
                first=None if number else vgg.first,
            )
        )
    return tuple(blocks)


def _frozen(vgg: VGG, index: int) -> Convolution:
    weight, bias = vgg.parameters[index]
    back = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=vgg.memory_format)
    return Convolution(vgg.convolutions[index].name, weight, bias, back)


LEAST_ROWS = 16

Visit = Callable[[str, Tensor, Rect], None]

Seed = Callable[[str, Tensor, Rect], Tensor]


class FastPass:
    """A forward pass to the deepest layer and a backward pass, for one picture or tile.

    Args:
        vgg: gives the activations.
        tile: the window and the part of it that the tile owns; only owned positions are visited.
        strip_bytes: size of the largest activation in a strip; None for what suits the device.
    """

    def __init__(self, vgg: VGG, tile: Tile, *, strip_bytes: int | None = None) -> None:
        self._vgg = vgg
        self._blocks = blocks_of(vgg)
        self._tile = tile
        on_cpu = vgg.device.type == "cpu"
        self._strip_bytes = strip_bytes or (STRIP_BYTES if on_cpu else DEVICE_STRIP_BYTES)
        self._remembered: list[tuple[list[Span], list[Memory]]] = []

    @torch.no_grad()
    def forward(self, image: Tensor, visit: Visit, *, remember: bool = True) -> None:
        """Visit every owned activation once.

        Args:
            image: ``(1, 3, h, w)`` RGB in [0, 1], the tile's window.
            visit: gets a layer's name, a part of its activations in the network's precision, and
                the part's place in the whole picture.
            remember: what :meth:`backward` needs.
        """
        x = image
        for block in self._blocks:
            strips = self._cut(block, x)
            kept = []
            out: Tensor | None = None
            for strip in strips:
                window = x[:, :, strip.start : strip.stop]
                memory = block.forward(window, remember=remember)
                for name in block.wanted:
                    self._show(visit, name, memory.features[name], strip)
                if memory.output is not None:
                    out = _collected(out, memory.output, strip, x.shape[2])
                    memory.output = None
                if remember:
                    block.lighten(memory)
                    kept.append(memory)
                del memory, window
            self._remembered.append((strips, kept))
            if out is not None:
                x = out

    @torch.no_grad()
    def backward(self, image: Tensor, seed: Seed) -> Tensor:
        """The gradient with respect to the window; frees the memory of the forward pass.

        Args:
            image: as :meth:`forward` saw it.
            seed: gets what ``visit`` got; the derivative of the objective there.
        """
        gradient: Tensor | None = None
        for block in reversed(self._blocks):
            strips, kept = self._remembered.pop()
            below: Tensor | None = None
            for strip in strips:
                memory = kept.pop(0)
                block.recall(memory, image[:, :, strip.start : strip.stop])
                part = block.backward(
                    memory, _of_window(gradient, memory, strip), self._seeding(seed, strip)
                )
                if part is not None:
                    below = _overlapped(below, part, strip, strips[-1].stop)
                del memory, part
            gradient = below
        assert gradient is not None
        return gradient

    def _cut(self, block: Block, x: Tensor) -> list[Span]:
        """The strips of a block's input."""
        rows, halo = x.shape[2], -(-len(block.convolutions) // 2) * 2
        weight = block.convolutions[0].weight
        row_bytes = x.shape[3] * weight.shape[0] * self._vgg.dtype.itemsize
        most = max(LEAST_ROWS, self._strip_bytes // row_bytes)
        count = -(-rows // most)
        # Even, so that no cell of a pooling is cut.
        each = -(-rows // (2 * count)) * 2
        edges = [*range(0, max(1, rows - rows % 2), each), rows]
        return [
            Span(max(0, first - halo), min(rows, last + halo), first, last)
            for first, last in pairwise(edges)
        ]

    def _owned(self, name: str, strip: Span) -> tuple[slice, slice, Rect] | None:
        """The owned rows and columns in a window of ``name``, and their place in the picture."""
        region, stride = self._tile.regions[name], self._tile.strides[name]
        above, left = self._tile.row.start // stride, self._tile.column.start // stride
        top = max(region.top, above + strip.first)
        bottom = min(region.top + region.height, above + strip.last)
        if top >= bottom:
            return None
        here = Rect(top, region.left, bottom - top, region.width, region.rows, region.columns)
        shift = above + strip.start
        columns = slice(region.left - left, region.left - left + region.width)
        return slice(top - shift, bottom - shift), columns, here

    def _show(self, visit: Visit, name: str, features: Tensor, strip: Span) -> None:
        owned = self._owned(name, strip)
        if owned is not None:
            rows, columns, region = owned
            visit(name, features[:, :, rows, columns], region)

    def _seeding(self, seed: Seed, strip: Span) -> BlockSeed:
        """The seed of a whole window: nothing is added where it is not owned."""

        def seeded(name: str, features: Tensor, gradient: Tensor | None) -> Tensor:
            owned = self._owned(name, strip)
            if owned is None:
                return torch.zeros_like(features) if gradient is None else gradient
            rows, columns, region = owned
            part = features[:, :, rows, columns]
            slope = seed(name, part, region)
            if gradient is None:
                if part.shape == features.shape:
                    return slope.to(features.dtype)
                gradient = torch.zeros_like(features)
            gradient[:, :, rows, columns].add_(slope.to(features.dtype))
            return gradient

        return seeded


def _collected(out: Tensor | None, part: Tensor, strip: Span, rows: int) -> Tensor:
    """A pooling's output for all rows, with the owned ones of a strip filled in."""
    if strip.last - strip.first == rows:
        return part
    first, last, shift = strip.first // 2, strip.last // 2, strip.start // 2
    if out is None:
        out = _like(part, rows // 2)
    out[:, :, first:last] = part[:, :, first - shift : last - shift]
    return out


def _of_window(gradient: Tensor | None, memory: Memory, strip: Span) -> Tensor | None:
    """The gradient of a pooling's output in a window: zero outside the owned rows."""
    rows = memory.size[0] // 2
    if gradient is None or gradient.shape[2] == rows:
        return gradient
    window = _like(gradient, rows).zero_()
    first, last, shift = strip.first // 2, strip.last // 2, strip.start // 2
    window[:, :, first - shift : last - shift] = gradient[:, :, first:last]
    return window


def _overlapped(below: Tensor | None, part: Tensor, strip: Span, rows: int) -> Tensor:
    """The gradient for all rows, with that of a window added."""
    if part.shape[2] == rows:
        return part
    if below is None:
        below = _like(part, rows).zero_()
    below[:, :, strip.start : strip.stop].add_(part)
    return below


def _like(part: Tensor, rows: int) -> Tensor:
    """Room for as many rows, laid out as ``part``."""
    shape = (*part.shape[:2], rows, part.shape[3])
    last = part.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=form)
