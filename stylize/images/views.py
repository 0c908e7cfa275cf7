"""Views of pictures: turned, scaled and shifted, mirrored where they reach beyond the edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def view_matrix(
    size: tuple[int, int],
    *,
    degrees: float = 0.0,
    zoom: float = 1.0,
    across: float = 0.0,
    down: float = 0.0,
) -> Tensor:
    """From places in a view to places in its picture, both in [-1, 1]; ``(2, 3)`` float64.

    Args:
        size: ``(height, width)`` of both in px; their ratio makes a turn a turn.
        degrees: the picture turns counter-clockwise.
        zoom: enlargement about the centre.
        across, down: way of the view to the right and down, in shares of the sides.
    """
    height, width = size
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    return torch.tensor(
        [
            [cosine, -sine * height / width, 2 * across],
            [sine * width / height, cosine, 2 * down],
        ],
        dtype=torch.float64,
    )


def view(pictures: Tensor, matrix: Tensor, mode: str = "bilinear") -> Tensor:
    """A view of pictures, of the same shape; part of the graph.

    Args:
        pictures: ``(N, C, H, W)``.
        matrix: see :func:`view_matrix`; the same view for all.
        mode: ``bilinear`` or ``bicubic``.
    """
    many = matrix.to(pictures)[None].expand(len(pictures), -1, -1)
    grid = affine_grid(many, list(pictures.shape), align_corners=False)
    return grid_sample(pictures, grid, mode=mode, padding_mode="reflection", align_corners=False)
