"""Edges as the Laplacian of the pixels: keep outlines that a style would paint over."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.losses.loss import ImageLoss

# Mean squared Laplacian below which a photo counts as flat: about that of rounding to 8 bits.
_FLAT = 1e-4

# An outline counts half if its squared Laplacian is so many times the photo's mean.
_CLEAR = 6.0


class EdgesLoss(ImageLoss):
    """Relative squared error of Laplacians, ``|Δ(x − x*)|² / |Δx*|²``, at one or several sizes.

    Args:
        photo: ``(1, 3, H, W)`` pixels whose outlines to keep.
        weight: factor in the total.
        sizes_px: sides of the squares over which pixels are averaged before the Laplacian; small
            squares keep fine lines, large ones keep shapes. The value is the mean over the sizes.
        clear: weigh the error of each square by how clear the photo's outline there is, between 0
            and 1; otherwise all count 1, so that plain areas stay plain.

    Note:
        Li et al. use the plain squared error, with sides of 4 and 16 and a weight for each.
        Relative to the photo's own Laplacian, one weight means the same for every picture. Pixels
        outside the picture do not count: at the border, the Laplacian is taken along it.

    Reference:
        Li, Xu, Nie and Chua, "Laplacian-Steered Neural Style Transfer" (ACM Multimedia 2017).
    """

    def __init__(
        self, photo: Tensor, weight: float, *, sizes_px: tuple[int, ...] = (4,), clear: bool = False
    ) -> None:
        super().__init__("edges", weight)
        self._photo = photo
        self._sizes = sizes_px
        found = [laplacian(photo, size) for size in sizes_px]
        self._clearness = [_clearness(each) if clear else None for each in found]
        energies = [each.square().mean() for each in found]
        self._scales = [1 / (len(sizes_px) * energy.clamp_min(_FLAT)) for energy in energies]

    def value(self, image: Tensor) -> Tensor:
        difference = image - self._photo
        squares = [laplacian(difference, size).square() for size in self._sizes]
        errors = [
            (each if clearness is None else each * clearness).mean()
            for each, clearness in zip(squares, self._clearness, strict=True)
        ]
        weighted = [scale * error for scale, error in zip(self._scales, errors, strict=True)]
        return torch.stack(weighted).sum()


def _clearness(laplacian: Tensor) -> Tensor:
    """How clear the outlines of a photo are, ``(N, 1, H, W)`` in [0, 1), from its Laplacian."""
    squares = laplacian.square().sum(1, keepdim=True)
    around = F.avg_pool2d(F.pad(squares, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return around / (around + _CLEAR * squares.mean().clamp_min(_FLAT))


def laplacian(image: Tensor, size_px: int = 1) -> Tensor:
    """Sum of the differences to the four neighbours, after averaging over squares.

    Args:
        image: ``(N, C, H, W)``.
        size_px: side of the squares; those at the right and lower edge may be cut off.

    Returns:
        ``(N, C, ⌈H / size⌉, ⌈W / size⌉)``.
    """
    if size_px > 1:
        image = F.avg_pool2d(image, size_px, ceil_mode=True)
    wide = F.pad(image, (1, 1, 1, 1), mode="replicate")
    across = wide[..., 1:-1, 2:] + wide[..., 1:-1, :-2]
    down = wide[..., 2:, 1:-1] + wide[..., :-2, 1:-1]
    return across + down - 4 * image
