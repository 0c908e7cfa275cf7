"""Sizes and iterations of a run, coarse to fine. Pure arithmetic, no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from stylize.images.sizes import SizeSpec
from stylize.networks.architecture import find_layer, least_octave_px
from stylize.networks.layer_expressions import parse_targets
from stylize.settings.dream import BaseDreamSettings
from stylize.settings.transfer import TransferSettings


def result_size(
    settings: TransferSettings | BaseDreamSettings, size: tuple[int, int]
) -> tuple[int, int]:
    """Return ``(height, width)`` of the result for a photo of ``(height, width)`` pixels."""
    return SizeSpec.parse(settings.size).fit(*size, enlarge=settings.enlarge)


def size_notes(settings: TransferSettings | BaseDreamSettings, size: tuple[int, int]) -> list[str]:
    """Note that a photo of ``size`` is smaller than the requested size.

    The default size is only a maximum.
    """
    spec = SizeSpec.parse(settings.size)
    if settings.size == type(settings).size or settings.enlarge:
        return []
    if max(spec.fit(*size, enlarge=True)) <= max(size):
        return []
    return [f"kept at {size[1]}×{size[0]} px: add --enlarge to reach {spec}"]


@dataclass(frozen=True)
class Scale:
    """One stage of the schedule.

    Attributes:
        height, width: of the picture, in pixels.
        steps: planned evaluations of the objective.
        usual_steps: how many of them a run usually takes before it goes to the next scale; None
            for all.
    """

    height: int
    width: int
    steps: int
    usual_steps: int | None = field(default=None, compare=False)

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @property
    def expected_steps(self) -> int:
        """The steps that estimates count."""
        return min(self.steps, self.usual_steps or self.steps)


def schedule(
    height: int,
    width: int,
    *,
    steps: int,
    final_steps: int,
    ratio: float,
    coarsest: int = 128,
    least_side: int = 32,
) -> list[Scale]:
    """Scales from coarse to fine.

    The number of steps falls geometrically: large shapes settle where steps are cheap, and a
    fine scale only has to add what the coarser could not show.

    Args:
        height, width: of the finest scale.
        steps: at the coarsest scale.
        final_steps: at the finest scale (of several; a single scale gets ``steps``).
        ratio: between the sides of successive scales, above 1.
        coarsest: the long side of the coarsest scale, to within a factor of √ratio.
        least_side: short side below which no scale goes.
    """
    enlargements = min(
        round(math.log2(max(height, width) / coarsest) / math.log2(ratio)),
        math.floor(math.log2(min(height, width) / least_side) / math.log2(ratio)),
    )
    count = 1 + max(0, enlargements)
    scales = []
    for index in range(count):
        shrink = ratio ** -(count - 1 - index)
        position = index / (count - 1) if count > 1 else 0.0
        scales.append(
            Scale(
                max(1, round(height * shrink)),
                max(1, round(width * shrink)),
                max(1, round(steps ** (1 - position) * final_steps**position)),
            )
        )
    return scales


# Steps after which the smallest size usually no longer improves by the default tolerance: 70 to 130
# in 16 pairs of pictures.
USUAL_STEPS, USUAL_TOLERANCE = 100, 0.001


def transfer_scales(settings: TransferSettings, size: tuple[int, int]) -> list[Scale]:
    """The scales of a transfer whose result is ``(height, width)`` pixels large."""
    scales = schedule(
        *size,
        steps=settings.steps,
        final_steps=settings.steps_at_the_end,
        coarsest=settings.min_size,
        ratio=settings.size_ratio,
    )
    usual = USUAL_STEPS if settings.tolerance >= USUAL_TOLERANCE else None
    return [replace(scales[0], usual_steps=usual), *scales[1:]]


@dataclass(frozen=True)
class OctavePlan:
    """Sizes from small to large.

    Attributes:
        scales: the last has the requested size.
        dropped: octaves that were wanted, but in which the layer would see less than it needs.
        least_side_px: the short side below which no octave goes.
    """

    scales: tuple[Scale, ...]
    dropped: int
    least_side_px: int

    def notes(self, reason: str) -> list[str]:
        """Explain why there are fewer octaves than wanted.

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


def dream_octaves(
    settings: BaseDreamSettings, size: tuple[int, int], architecture: str
) -> OctavePlan:
    """The octaves of a picture of ``(height, width)`` pixels, none smaller than a layer needs."""
    layers = [find_layer(architecture, each.layer) for each in parse_targets(settings.layers)]
    # Without any movement, resampling is all that octaves would do.
    still = settings.strength == 0
    return plan_octaves(
        *size,
        count=1 if still else settings.octaves,
        ratio=settings.octave_scale,
        steps=1 if still else settings.steps,
        least_side_px=max(
            settings.min_octave or max(map(least_octave_px, layers)),
            *(layer.least_px for layer in layers),
        ),
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
