"""Coarse-to-fine: which sizes, and how many steps at each. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
    """Scales from coarse to fine, each twice as large as the one before.

    The number of steps falls geometrically: large shapes settle where steps are cheap, and a
    fine scale only has to add what the coarser could not show. It falls slowly: at equal cost,
    more steps at the finest scale win against more scales and against more coarse steps.

    Args:
        height, width: of the finest scale.
        steps: at the coarsest scale.
        final_steps: at the finest scale (of several; a single scale gets ``steps``).
        coarsest: the long side of the coarsest scale, to within a factor of √2.
        least_side: short side below which no scale goes.
    """
    doublings = min(
        round(math.log2(max(height, width) / coarsest)),
        math.floor(math.log2(min(height, width) / least_side)),
    )
    count = 1 + max(0, doublings)
    scales = []
    for index in range(count):
        shrink = 2.0 ** -(count - 1 - index)
        position = index / (count - 1) if count > 1 else 0.0
        scales.append(
            Scale(
                max(1, round(height * shrink)),
                max(1, round(width * shrink)),
                max(1, round(steps ** (1 - position) * final_steps**position)),
            )
        )
    return scales
