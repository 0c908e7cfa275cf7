"""The octaves of a dream: which sizes, and why no smaller ones. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from stylize.networks.architecture import find_layer, least_octave_px
from stylize.networks.targets import parse_targets
from stylize.optimize.schedule import Scale
from stylize.settings import DreamSettings


@dataclass(frozen=True)
class OctavePlan:
    """Sizes from small to large.

    Attributes:
        scales: the last has the size asked for.
        dropped: octaves that were wanted, but in which the layer would see less than it needs.
        least_side_px: the short side below which no octave goes.
    """

    scales: tuple[Scale, ...]
    dropped: int
    least_side_px: int

    def notes(self, reason: str) -> list[str]:
        """What a user may want to know of it.

        Args:
            reason: what needs so much room: the expression of the layers, or an option.
        """
        if not self.dropped:
            return []
        count = len(self.scales)
        return [
            f"{count} octave{'s' if count > 1 else ''} instead of {count + self.dropped}: {reason}"
            f" needs {self.least_side_px} px on the short side"
        ]


def dream_octaves(settings: DreamSettings, size: tuple[int, int], architecture: str) -> OctavePlan:
    """The octaves of a picture of ``(height, width)`` pixels, none smaller than a layer needs."""
    layers = [find_layer(architecture, each.layer) for each in parse_targets(settings.layers)]
    # Without any movement, resampling is all that octaves would do.
    still = settings.strength == 0
    return plan_octaves(
        *size,
        count=1 if still else settings.octaves,
        ratio=settings.octave_scale,
        steps=1 if still else settings.steps,
        least_side_px=settings.min_octave or max(map(least_octave_px, layers)),
    )


def plan_octaves(
    height: int, width: int, *, count: int, ratio: float, steps: int, least_side_px: int
) -> OctavePlan:
    """Octaves a factor ``ratio`` apart, as many as the picture has room for.

    Args:
        height, width: of the largest octave, which is always there.
        count: octaves wanted.
        ratio: between neighbouring octaves, above 1.
        steps: at each octave.
        least_side_px: short side below which no smaller octave goes.
    """
    sizes = [(height, width)]
    for index in range(1, count):
        shrink = ratio**-index
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
        if min(size) < least_side_px:
            break
        sizes.append(size)
    scales = tuple(Scale(*size, steps) for size in reversed(sizes))
    return OctavePlan(scales, count - len(sizes), least_side_px)
