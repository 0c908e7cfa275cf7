"""Measure the progress of a run by the cost model. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stylize.settings.schedule import Scale

if TYPE_CHECKING:
    from stylize.optimize.loop import Step


class Work:
    """How much of a run is done. A scale that stops early makes the rest of the work smaller.

    Args:
        scales: the schedule.
        estimate_s: seconds that the whole run will take.

    Attributes:
        done, total: in the same unit.
        unit: the work of the last step.
    """

    def __init__(self, scales: Sequence[Scale], estimate_s: float | None) -> None:
        self._each = step_work(scales, estimate_s)
        self._steps: list[int] = [scale.expected_steps for scale in scales]
        self._place, self._step = 0, self._steps[0]
        self.done, self.unit = 0.0, self._each[0]
        self.total = self._sum(self._steps)

    def add(self, event: Step) -> None:
        """Count a step."""
        place, steps = event.scale - 1, self._steps
        if place > self._place:
            steps[self._place] = self._step
        # Each step beyond the expected ones may be the last: the share done only grows.
        steps[place] = max(steps[place], event.step)
        self._place, self._step, self.unit = place, event.step, self._each[place]
        self.done, self.total = self._sum([*steps[:place], event.step]), self._sum(steps)

    def _sum(self, steps: Sequence[int]) -> float:
        return sum(each * count for each, count in zip(self._each, steps, strict=False))


def step_work(scales: Sequence[Scale], estimate_s: float | None) -> list[float]:
    """Estimate the seconds of a step at each scale; without an estimate, count its pixels."""
    # Imported late, because help does not need it.
    from stylize.planning.cost import (  # noqa: PLC0415
        SECONDS_PER_STEP,
        expected_px,
        fixed_seconds,
    )

    pixels = [float(scale.height * scale.width) for scale in scales]
    fixed_s = fixed_seconds(scales)
    if not estimate_s or estimate_s <= fixed_s:
        return pixels
    seconds_per_px = (estimate_s - fixed_s) / expected_px(scales)
    return [SECONDS_PER_STEP + seconds_per_px * count for count in pixels]
