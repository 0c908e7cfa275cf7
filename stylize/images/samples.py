"""Convert a finished picture to integers of 8 or 16 bits, band by band."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stylize.errors import NumericalError

if TYPE_CHECKING:
    from torch import Tensor


class Samples:
    """A finished picture as integers of 8 or 16 bits, computed for a band of rows at a time.

    So saving a poster does not need memory for a second picture.

    Args:
        pixels: ``(1, 3, H, W)`` sRGB; values outside [0, 1] are clamped.
        alpha: ``(1, 1, H, W)``, likewise.
        depth: bits per channel, 8 or 16.
        over_white: composite over white, for a format without alpha.

    Attributes:
        size: ``(height, width)``.
        channels: 3, or 4 with alpha.

    Raises:
        ValueError: a tensor has another shape.
        NumericalError: a value is not finite.
    """

    def __init__(
        self, pixels: Tensor, alpha: Tensor | None, *, depth: int, over_white: bool
    ) -> None:
        self._colour = _finite(pixels, channels=3)
        self._opacity = None if alpha is None else _finite(alpha, channels=1)
        self.size: tuple[int, int] = self._colour.shape[1:]
        if self._opacity is not None and self._opacity.shape[1:] != self.size:
            raise ValueError(f"alpha is {self._opacity.shape[1:]}, the picture {self.size}")
        self.depth, self._over_white = depth, over_white
        self.channels = 3 if self._opacity is None or over_white else 4

    def bands(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield rows from top to bottom with ``(rows, W, channels)`` in uint8 or uint16."""
        return ((rows, self.rows(rows)) for rows in row_bands(self.size))

    def rows(self, rows: slice) -> NDArray[Any]:
        """Convert some rows to ``(rows, W, channels)``, each value rounded to the nearest."""
        planes = list(self._colour[:, rows])
        if self._opacity is not None:
            opacity = np.clip(self._opacity[0, rows], 0, 1)
            if self._over_white:
                planes = [np.clip(plane, 0, 1) * opacity + (1 - opacity) for plane in planes]
            else:
                planes.append(opacity)
        kind = np.uint8 if self.depth == 8 else np.uint16
        values = np.empty((*planes[0].shape, len(planes)), dtype=kind)
        for index, plane in enumerate(planes):
            values[..., index] = np.clip(plane, 0, 1) * (2**self.depth - 1) + 0.5
        return values


def _finite(tensor: Tensor, *, channels: int) -> NDArray[np.float32]:
    if tensor.ndim != 4 or tensor.shape[:2] != (1, channels):
        raise ValueError(f"expected (1, {channels}, H, W), not {tuple(tensor.shape)}")
    values: NDArray[np.float32] = tensor.detach().cpu().float().numpy()[0]
    if not all(np.isfinite(values[:, rows]).all() for rows in row_bands(values.shape[1:])):
        raise NumericalError("the picture holds values that are not finite")
    return values


# A float32 plane of a band takes 4 MB: much less than a picture, and enough to be fast.
BAND_PX = 2**20


def row_bands(size: tuple[int, int]) -> Iterator[slice]:
    """Split the rows of a picture, top to bottom, into bands of about :data:`BAND_PX` pixels.

    Args:
        size: ``(height, width)`` in pixels, at least 1.
    """
    height, width = size
    step = max(1, BAND_PX // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))
