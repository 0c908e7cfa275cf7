"""Large pictures in bands of rows, so that what is made on the way stays small beside them."""

from __future__ import annotations

from collections.abc import Iterator

# A float32 plane of a band takes 4 MB: little beside a picture, and much beside the cost of a call.
BAND_PX = 2**20


def row_bands(size: tuple[int, int]) -> Iterator[slice]:
    """The rows of a picture, top to bottom, in bands of about :data:`BAND_PX` pixels.

    Args:
        size: ``(height, width)`` in pixels, at least 1.
    """
    height, width = size
    step = max(1, BAND_PX // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))
