"""Signs and maxima of activations as bytes, by integer arithmetic on the bits of floats.

Numbers of one sign compare as the integers with the same bits do; and integers have fast shifts
where comparisons, which give booleans, are slow: a fifth of the time, measured on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
# In a code, of a cell whose maximum is not positive: the ReLU lets no gradient through.
DEAD = 4


def _bits(x: Tensor) -> Tensor:
    """The same memory as integers."""
    return x.view(_INTEGERS[x.element_size()])


def _top(bits: Tensor) -> int:
    """The shift that leaves nothing but the sign: 0 or −1."""
    return 8 * bits.element_size() - 1


def clear_minus_zeros(x: Tensor) -> None:
    """Make −0, which a ReLU lets through, +0; ``x`` holds nothing else below zero."""
    bits = _bits(x)
    bits.bitwise_and_(torch.iinfo(bits.dtype).max)


def positive(x: Tensor) -> Tensor:
    """−1 where a rectified ``x`` is positive, else 0, as bytes of its shape."""
    bits = _bits(x)
    return bits.neg().bitwise_right_shift_(_top(bits)).to(torch.int8)


def keep_where(x: Tensor, mask: Tensor) -> None:
    """Set ``x`` to zero where a mask from :func:`positive` is 0."""
    bits = _bits(x)
    bits.bitwise_and_(mask.to(bits.dtype))


def max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima over cells of 2×2, and where they stood.

    Args:
        x: ``(N, C, h, w)`` rectified, without −0; an odd last row or column is left out.

    Returns:
        ``(N, C, h // 2, w // 2)`` of ``x``'s type, and bytes of that shape: the cell's first
        maximum counted row by row from 0, or :data:`DEAD` and more where it is zero.
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
    """The way back of :func:`max_pool`: ``(N, C, h // 2, w // 2)`` to ``(N, C, *size)``."""
    out = _dense(gradient, size)
    bits = _bits(gradient)
    wide = codes.to(bits.dtype)
    for code, cell in enumerate(_cells(_bits(out))):
        here = wide.bitwise_xor(code).sub_(1).bitwise_right_shift_(_top(bits))
        torch.bitwise_and(bits, here, out=cell)
    return out


def _dense(like: Tensor, size: tuple[int, int]) -> Tensor:
    """Room for ``(N, C, *size)``, laid out as ``like``; zero where no cell of 2×2 reaches."""
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
