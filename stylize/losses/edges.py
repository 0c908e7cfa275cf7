"""Edges as the Laplacian of the pixels: keep outlines that a style would paint over."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.losses.loss import ImageLoss

# Mean squared Laplacian below which a photo counts as flat: about that of rounding to 8 bits.
_FLAT = 1e-4


class EdgesLoss(ImageLoss):
    """Relative squared error of Laplacians, ``|Δ(x − x*)|² / |Δx*|²``, at one or several sizes.

    Args:
        photo: ``(1, 3, H, W)`` pixels whose outlines to keep.
        weight: factor in the total.
        sizes_px: sides of the squares over which pixels are averaged before the Laplacian; small
            squares keep fine lines, large ones keep shapes. The value is the mean over the sizes.

    Note:
        Li et al. use the plain squared error, with sides of 4 and 16 and a weight for each.
        Relative to the photo's own Laplacian, one weight means the same for every picture. Pixels
        outside the picture do not count: at the border, the Laplacian is taken along it.

    Reference:
        Li, Xu, Nie and Chua, "Laplacian-Steered Neural Style Transfer" (ACM Multimedia 2017).
    """

    def __init__(self, photo: Tensor, weight: float, *, sizes_px: tuple[int, ...] = (4,)) -> None:
        super().__init__("edges", weight)
        self._photo = photo
        self._sizes = sizes_px
        energies = [laplacian(photo, size).square().mean() for size in sizes_px]
        self._scales = [1 / (len(sizes_px) * energy.clamp_min(_FLAT)) for energy in energies]

    def value(self, image: Tensor) -> Tensor:
        difference = image - self._photo
        errors = [laplacian(difference, size).square().mean() for size in self._sizes]
        weighted = [scale * error for scale, error in zip(self._scales, errors, strict=True)]
        return torch.stack(weighted).sum()


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
