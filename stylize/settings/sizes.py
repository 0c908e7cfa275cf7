"""What the settings of a size come to for a picture."""

from __future__ import annotations

from stylize.images.sizes import SizeSpec
from stylize.settings.dream import DreamSettings
from stylize.settings.transfer import TransferSettings


def result_size(
    settings: TransferSettings | DreamSettings, size: tuple[int, int]
) -> tuple[int, int]:
    """``(height, width)`` of the result for a photograph of ``size``, likewise."""
    return SizeSpec.parse(settings.size).fit(*size, enlarge=settings.enlarge)


def size_notes(settings: TransferSettings | DreamSettings, size: tuple[int, int]) -> list[str]:
    """What to tell the user of it: that a photograph of ``size`` is smaller than was asked for.

    The size that holds when nobody asks for one is a bound, not a wish.
    """
    spec = SizeSpec.parse(settings.size)
    if settings.size == type(settings).size or settings.enlarge:
        return []
    if max(spec.fit(*size, enlarge=True)) <= max(size):
        return []
    return [f"{size[1]}×{size[0]} px are not made {spec} without --enlarge"]
