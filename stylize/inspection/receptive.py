"""Where in a picture a position of a layer looks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import pad

from stylize.networks.architecture import Layer

# Outside a picture: about the mean colour, which is the zero that the network sees there.
OUTSIDE = 0.5


@dataclass(frozen=True)
class Box:
    """A square of pixels, which may lie partly outside the picture."""

    top: int
    left: int
    side: int

    def within(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what lies in a picture of ``(height, width)`` px."""
        height, width = size
        right, bottom = min(self.left + self.side, width), min(self.top + self.side, height)
        return max(self.left, 0), max(self.top, 0), right, bottom


def receptive_box(layer: Layer, row: int, column: int) -> Box:
    """The pixels that a position of a layer depends on, and no others.

    The centre of position ``i`` lies at ``stride · i + (stride − 1) / 2``: a pooling looks at
    whole pairs of positions, a convolution evenly to both sides.
    """
    offset = (layer.stride - layer.receptive_field_px) // 2
    top, left = (layer.stride * place + offset for place in (row, column))
    return Box(top, left, layer.receptive_field_px)


def crop(pixels: Tensor, box: Box) -> Tensor:
    """The box's pixels; those outside the picture are middle grey.

    Args:
        pixels: ``(1, 3, H, W)``, of which some lie in the box.

    Returns:
        ``(1, 3, side, side)``.
    """
    left, top, right, bottom = box.within((pixels.shape[-2], pixels.shape[-1]))
    inside = pixels[..., top:bottom, left:right]
    margins = (
        left - box.left,
        box.left + box.side - right,
        top - box.top,
        box.top + box.side - bottom,
    )
    return pad(inside, margins, value=OUTSIDE)
