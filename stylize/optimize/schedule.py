"""Coarse-to-fine: which sizes, and how many steps at each. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

# 128, 203, 323, 512 px: with the same steps, a fifth faster than two for an octave, and nothing
# to see; one for an octave leaves more to the finest scale than it can do.
SCALES_PER_OCTAVE = 1.5


@dataclass(frozen=True)
class Scale:
    """One stage of the schedule.

    Attributes:
        height, width: of the picture, in pixels.
        steps: evaluations of the objective planned.
    """

    height: int
    width: int
    steps: int

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width


def schedule(
    height: int,
    width: int,
    *,
    steps: int,
    final_steps: int,
    coarsest: int = 128,
    least_side: int = 32,
) -> list[Scale]:
    """Scales from coarse to fine, three for two octaves, the last of the size asked for.

    The number of steps falls geometrically: large shapes settle where steps are cheap, and a
    fine scale only has to add what the coarser could not show.

    Args:
        height, width: of the finest scale.
        steps: at the coarsest scale.
        final_steps: at the finest scale (of several; a single scale gets ``steps``).
        coarsest: long side below which no scale goes.
        least_side: short side below which no scale goes.
    """
    smallest = max(coarsest / max(height, width), least_side / min(height, width))
    count = (
        1 + max(0, math.floor(SCALES_PER_OCTAVE * math.log2(1 / smallest) + 1e-9))
        if smallest < 1
        else 1
    )
    scales = []
    for index in range(count):
        shrink = 2 ** (-(count - 1 - index) / SCALES_PER_OCTAVE)
        position = index / (count - 1) if count > 1 else 0.0
        scales.append(
            Scale(
                max(1, round(height * shrink)),
                max(1, round(width * shrink)),
                max(1, round(steps ** (1 - position) * final_steps**position)),
            )
        )
    return scales
