"""One pass through the network and back, in strips of rows, with a memory of bits.

A block of convolutions is done strip by strip, so that what is large, the shallow activations in
full, never stands in memory as a whole; what goes from block to block, and what the way back
needs, does. A strip is a span of rows; it sees as many more, above and below, as its block has
convolutions. The sums of overlapping windows are exact, as for tiles (:mod:`stylize.engine.tiles`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from stylize.engine.tiles import DEVICE_STRIP_BYTES, STRIP_BYTES, Region, Span, Tile
from stylize.networks.blocks import Block, Memory
from stylize.networks.trunk import Trunk

LEAST_ROWS = 16

Visit = Callable[[str, Tensor, Region], None]
Seed = Callable[[str, Tensor, Region], Tensor]


class Sweep:
    """The way to the deepest layer and back, of one picture or tile.

    Args:
        trunk: gives the activations.
        tile: what is seen and what of it is owned; what is owned is shown and seeded.
        strip_bytes: of the largest activation in a strip; what suits the device, if None.
    """

    def __init__(self, trunk: Trunk, tile: Tile, *, strip_bytes: int | None = None) -> None:
        self._trunk = trunk
        self._tile = tile
        on_cpu = trunk.device.type == "cpu"
        self._strip_bytes = strip_bytes or (STRIP_BYTES if on_cpu else DEVICE_STRIP_BYTES)
        self._remembered: list[tuple[list[Span], list[Memory]]] = []

    @torch.no_grad()
    def forward(self, image: Tensor, visit: Visit, *, remember: bool = True) -> None:
        """Show every owned activation, once.

        Args:
            image: ``(1, 3, h, w)`` RGB in [0, 1], the tile's window.
            visit: gets the name of a layer, a part of its activations in the trunk's precision, and
                where in the whole picture it lies.
            remember: what :meth:`backward` needs.
        """
        x = image
        for block in self._trunk.blocks:
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
        """The gradient with respect to the window; forgets what was remembered.

        Args:
            image: as :meth:`forward` saw it.
            seed: gets what ``visit`` got; the derivative of the objective there.
        """
        gradient: Tensor | None = None
        for block in reversed(self._trunk.blocks):
            strips, kept = self._remembered.pop()
            below: Tensor | None = None
            for strip in strips:
                memory = kept.pop(0)
                block.recall(memory, image[:, :, strip.start : strip.stop])
                part = block.backward(
                    memory, _of_window(gradient, memory, strip), self._sower(seed, strip)
                )
                if part is not None:
                    below = _overlapped(below, part, strip, strips[-1].stop)
                del memory, part
            gradient = below
        assert gradient is not None
        return gradient

    def _cut(self, block: Block, x: Tensor) -> list[Span]:
        """Strips of what a block sees."""
        rows, halo = x.shape[2], -(-len(block.convolutions) // 2) * 2
        weight = block.convolutions[0].weight
        row_bytes = x.shape[3] * weight.shape[0] * self._trunk.dtype.itemsize
        most = max(LEAST_ROWS, self._strip_bytes // row_bytes)
        count = -(-rows // most)
        # Even, so that no cell of a pooling is cut.
        each = -(-rows // (2 * count)) * 2
        edges = [*range(0, max(1, rows - rows % 2), each), rows]
        return [
            Span(max(0, first - halo), min(rows, last + halo), first, last)
            for first, last in pairwise(edges)
        ]

    def _owned(self, name: str, strip: Span) -> tuple[slice, slice, Region] | None:
        """Rows and columns of a window of ``name`` that are owned, and where they lie."""
        region, stride = self._tile.regions[name], self._tile.strides[name]
        above, left = self._tile.row.start // stride, self._tile.column.start // stride
        top = max(region.top, above + strip.first)
        bottom = min(region.top + region.height, above + strip.last)
        if top >= bottom:
            return None
        here = Region(top, region.left, bottom - top, region.width, region.rows, region.columns)
        shift = above + strip.start
        columns = slice(region.left - left, region.left - left + region.width)
        return slice(top - shift, bottom - shift), columns, here

    def _show(self, visit: Visit, name: str, features: Tensor, strip: Span) -> None:
        owned = self._owned(name, strip)
        if owned is not None:
            rows, columns, region = owned
            visit(name, features[:, :, rows, columns], region)

    def _sower(self, seed: Seed, strip: Span) -> Callable[[str, Tensor], Tensor]:
        """The seed of a whole window: zero where it is not owned."""

        def sow(name: str, features: Tensor) -> Tensor:
            owned = self._owned(name, strip)
            if owned is None:
                return torch.zeros_like(features)
            rows, columns, region = owned
            part = features[:, :, rows, columns]
            slope = seed(name, part, region)
            if part.shape == features.shape:
                return slope.to(features.dtype)
            sown = torch.zeros_like(features)
            sown[:, :, rows, columns] = slope
            return sown

        return sow


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
    below[:, :, strip.start : strip.stop] += part
    return below


def _like(part: Tensor, rows: int) -> Tensor:
    """Room for as many rows, laid out as ``part``."""
    shape = (*part.shape[:2], rows, part.shape[3])
    last = part.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=form)
