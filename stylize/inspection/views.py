"""Random views of a picture: a little turned, scaled and shifted.

What excites a channel in one exact position only is a pattern of the poolings' grid; what still
does when it is moved is what the channel is for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


@dataclass(frozen=True)
class Views:
    """How far a view may differ from the picture.

    Attributes:
        shift_px: to each side.
        degrees: to each side.
        scale: enlarged or made smaller by at most this share.
    """

    shift_px: float = 8.0
    degrees: float = 10.0
    scale: float = 0.1

    def matrix(self, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """One view at random, as :func:`torch.nn.functional.affine_grid` takes it, ``(2, 3)``.

        Args:
            size: ``(height, width)`` in pixels.
            generator: of the chance.
        """
        height, width = size
        turn, scale, down, across = (2 * torch.rand(4, generator=generator) - 1).tolist()
        angle, zoom = math.radians(self.degrees * turn), math.exp(math.log1p(self.scale) * scale)
        cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
        return torch.tensor(
            [
                [cosine, -sine * height / width, 2 * self.shift_px * across / width],
                [sine * width / height, cosine, 2 * self.shift_px * down / height],
            ]
        )


def seen(pictures: Tensor, matrix: Tensor) -> Tensor:
    """A view of pictures, mirrored where it reaches beyond them; part of the graph.

    Args:
        pictures: ``(N, C, H, W)``.
        matrix: ``(2, 3)``, the same view for all.
    """
    many = matrix.to(pictures)[None].expand(len(pictures), -1, -1)
    grid = affine_grid(many, list(pictures.shape), align_corners=False)
    return grid_sample(
        pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def size_of(pictures: Tensor) -> tuple[int, int]:
    """``(height, width)`` of ``(N, C, H, W)``."""
    return pictures.shape[2], pictures.shape[3]
