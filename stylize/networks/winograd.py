"""Convolutions of 3×3 in float32 with fewer multiplications.

Reference:
    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(4×4, 3×3).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Each tile of 4×4 results takes 6×6 multiplications instead of 4×4×9, after transforms that only
# add and scale. With fewer weights (channels in times channels out) these cost more than they save;
# with fewer positions, reading the transformed weights does. Measured on AMD's Zen 3.
_LEAST_CHANNELS, _LEAST_POSITIONS = 128 * 256, 700

_SIDE, _STEP = 6, 4

# The transform of weights along one axis.
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)

# Adding the bias to the transformed tile at this place adds it to all 4×4 results.
_CONSTANT = _SIDE + 1


@cache
def _is_slow() -> bool:
    """Whether float32 is slow here. Processors with AVX-512 were not measured."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def pays(weight: Tensor, x: Tensor) -> bool:
    """Whether :class:`Winograd` is faster than the library's convolution.

    Args:
        weight: ``(out, in, 3, 3)``.
        x: the input, ``(N, in, h, w)``.
    """
    return (
        weight.dtype is torch.float32
        and weight.device.type == "cpu"
        and weight.shape[0] * weight.shape[1] >= _LEAST_CHANNELS
        and len(x) == 1
        and x.shape[2] * x.shape[3] >= _LEAST_POSITIONS
        and _is_slow()
    )


class Winograd:
    """A frozen convolution of 3×3 with padding 1, in float32, on the CPU, without autograd.

    Args:
        weight: ``(out, in, 3, 3)``.
    """

    def __init__(self, weight: Tensor) -> None:
        kernel = torch.tensor(_KERNEL, dtype=torch.float32)
        channels_out, channels_in = weight.shape[:2]
        wide = torch.einsum("xj,yi,ocij->xyco", kernel, kernel, weight.float())
        self._weight = wide.reshape(_SIDE**2, channels_in, channels_out).contiguous()

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            x: ``(1, in, h, w)``.
            bias: ``(out,)``.

        Returns:
            ``(1, out, h, w)``, with the channels last in memory.
        """
        _, channels, height, width = x.shape
        rows, columns = -(-height // _STEP), -(-width // _STEP)
        around = (1, _STEP * columns + 1 - width, 1, _STEP * rows + 1 - height)
        padded = F.pad(x, around).permute(0, 2, 3, 1)[0].contiguous()
        upright = x.new_empty(_SIDE, rows, padded.shape[1], channels)
        spread = x.new_empty(_SIDE, _SIDE, rows, columns, channels)
        _to_products([padded[i::_STEP][:rows] for i in range(_SIDE)], upright)
        _to_products([upright[:, :, i::_STEP][:, :, :columns] for i in range(_SIDE)], spread)
        products = torch.bmm(spread.view(_SIDE**2, rows * columns, channels), self._weight)
        if bias is not None:
            products[_CONSTANT].add_(bias)
        channels_out = products.shape[2]
        narrow = x.new_empty(_STEP, _SIDE, rows, columns, channels_out)
        out = x.new_empty(rows, _STEP, columns, _STEP, channels_out)
        _to_results(products.view(_SIDE, _SIDE, rows, columns, channels_out), list(narrow))
        _to_results(narrow.transpose(0, 1), [out[:, i].permute(2, 0, 1, 3) for i in range(_STEP)])
        whole = out.view(1, _STEP * rows, _STEP * columns, channels_out)
        return whole[:, :height, :width].contiguous().permute(0, 3, 1, 2)


def _to_products(values: Sequence[Tensor], out: Tensor) -> None:
    """Transform six values along one axis of the input's tiles."""
    v0, v1, v2, v3, v4, v5 = values
    even, odd = torch.sub(v4, v2, alpha=4), torch.sub(v3, v1, alpha=4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(v4, v2, out=even)
    torch.sub(v3, v1, out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    torch.sub(v0, v2, out=out[0])
    torch.add(even, out[0], alpha=4, out=out[0])
    torch.sub(v5, v3, out=out[5])
    out[5].sub_(odd, alpha=4)


def _to_results(values: Sequence[Tensor] | Tensor, out: Sequence[Tensor]) -> None:
    """Transform six products along one axis to four results."""
    v0, v1, v2, v3, v4, v5 = values
    small, large = v1 + v2, v3 + v4
    torch.add(small, large, out=out[0])
    out[0].add_(v0)
    torch.add(small, large, alpha=4, out=out[2])
    torch.sub(v1, v2, out=small)
    torch.sub(v3, v4, out=large)
    torch.add(small, large, alpha=2, out=out[1])
    torch.add(small, large, alpha=8, out=out[3])
    out[3].add_(v5)
