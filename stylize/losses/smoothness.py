"""Smoothness of the pixels."""

from __future__ import annotations

from torch import Tensor

from stylize.losses.loss import ImageLoss

# Weights of squared differences along the axes and the diagonals. With 2/3 and 1/6 the
# gradient is (minus twice) the nine-point Laplacian, which is isotropic to fourth order.
AXIS, DIAGONAL = 2 / 3, 1 / 6


class SmoothnessLoss(ImageLoss):
    """Nine-point total variation: mean squared difference to the eight neighbours.

    Args:
        weight: factor in the total.

    Note:
        The quadratic form with the nine-point stencil follows K. Crowson's
        style-transfer-pytorch; the two-neighbour form of most tools prefers the axes.
    """

    def __init__(self, weight: float) -> None:
        super().__init__("smoothness", weight)

    def value(self, image: Tensor) -> Tensor:
        return total_variation(image)


def total_variation(image: Tensor) -> Tensor:
    """Nine-point total variation of ``(N, C, H, W)`` pixels, a scalar.

    Pairs that would reach outside the picture do not count.
    """
    right = image[..., 1:] - image[..., :-1]
    down = image[..., 1:, :] - image[..., :-1, :]
    falling = image[..., 1:, 1:] - image[..., :-1, :-1]
    rising = image[..., :-1, 1:] - image[..., 1:, :-1]
    axes = right.square().sum() + down.square().sum()
    diagonals = falling.square().sum() + rising.square().sum()
    return (AXIS * axes + DIAGONAL * diagonals) / image.numel()
