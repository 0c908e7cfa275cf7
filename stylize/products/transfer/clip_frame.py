"""What a frame of a clip takes from the rest of the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylize.gradients.canvas import Canvas
from stylize.images.read import Picture
from stylize.images.resampling import resize, resize_clamped
from stylize.losses.temporal import TemporalLoss
from stylize.settings.schedule import Scale


@dataclass(frozen=True)
class Continuation:
    """The paint that a frame takes over from other frames.

    Attributes:
        start: ``(1, 3, H, W)``, the picture to start from, of the result's size.
        target: of the same shape, the moved paint of other frames.
        trust: ``(1, 1, H, W)`` in [0, 1], where that paint belongs.
        weight: of the loss that holds the frame to it.
        scales: the sizes and steps that are left to do; the last is the result's.
        caution: length of the optimizer's first step, relative to that of a still.
        retouch: how much of the usual retouching the paint of other frames gets, 0 to 1.
    """

    start: Tensor
    target: Tensor
    trust: Tensor
    weight: float
    scales: Sequence[Scale]
    caution: float
    retouch: float

    def enlarged(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        """The start at the next size, changed as it was changed at the size before.

        Args:
            picture: ``(1, 3, h, w)``, the result of the size before.
            size: ``(height, width)`` of the next.
        """
        start = self.start.to(picture.device)
        before = resize(start, (picture.shape[2], picture.shape[3]))
        return resize(start, size) + resize(picture - before, size)

    def loss(self, canvas: Canvas, device: str) -> TemporalLoss:
        """The loss on a canvas, whose padding counts for nothing."""
        target = canvas.extend(resize_clamped(self.target, canvas.size))
        trust = torch.zeros_like(target[:, :1])
        canvas.crop(trust).copy_(resize_clamped(self.trust, canvas.size))
        return TemporalLoss(target.to(device), trust.to(device), self.weight)


@dataclass(frozen=True)
class ClipFrame:
    """A frame of a clip.

    Attributes:
        reference: a frame of the clip; where the colours of a photo decide about those of the
            result as a whole, they are those of this frame.
        continuation: the paint of other frames; None for the first frame of a shot.
        may_be_empty: whether it has masks of its own, which may leave nothing to paint.
    """

    reference: Picture
    continuation: Continuation | None = None
    may_be_empty: bool = False
