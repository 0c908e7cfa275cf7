"""The camera of a film: the picture a moment later."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """What moves from one frame to the next.

    Attributes:
        zoom: enlargement about the centre.
        rotate: degrees, the picture turning counter-clockwise.
        pan_x, pan_y: way of the camera to the right and down, in shares of the sides.
    """

    zoom: float = 1.0
    rotate: float = 0.0
    pan_x: float = 0.0
    pan_y: float = 0.0

    def move(self, image: Tensor) -> Tensor:
        """The next view of ``(1, C, H, W)``, of the same shape.

        What comes in from outside is the picture mirrored at its edges.
        """
        height, width = image.shape[2:]
        angle = math.radians(self.rotate)
        cosine, sine = math.cos(angle) / self.zoom, math.sin(angle) / self.zoom
        # From places in the new view to places in the old one, both in [-1, 1]; the sides' ratio
        # makes a turn a turn.
        matrix = torch.tensor(
            [
                [cosine, -sine * height / width, 2 * self.pan_x],
                [sine * width / height, cosine, 2 * self.pan_y],
            ],
            dtype=image.dtype,
            device=image.device,
        )
        grid = F.affine_grid(matrix[None], [1, *image.shape[1:]], align_corners=False)
        moved = F.grid_sample(
            image, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )
        return moved.clamp(0, 1)
