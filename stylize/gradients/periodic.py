"""An engine for tileable pictures: the network sees each edge continued by the opposite one."""

from __future__ import annotations

from torch import Tensor

from stylize.images.periodic import unwrap, wrap
from stylize.losses.loss import Engine, Evaluation


class PeriodicEngine:
    """Evaluate the periodic continuation of a picture.

    Args:
        inner: evaluates the wrapped picture; its objective must leave out ``margin_px`` on every
            side, where the continuation itself is cut off.
        margin_px: a multiple of ``stride``.
        stride: of the deepest layer, in pixels.
    """

    def __init__(self, inner: Engine, margin_px: int, stride: int) -> None:
        self._inner = inner
        self._margin = margin_px
        self._stride = stride

    def __call__(self, image: Tensor) -> Evaluation:
        """The objective and its gradient at ``(1, 3, H, W)`` RGB pixels in [0, 1]."""
        height, width = image.shape[2:]
        after = (
            self._margin + -height % self._stride,
            self._margin + -width % self._stride,
        )
        found = self._inner(wrap(image, self._margin, after).contiguous())
        gradient = unwrap(found.gradient, self._margin, (height, width))
        return Evaluation(found.losses, found.total, gradient)
