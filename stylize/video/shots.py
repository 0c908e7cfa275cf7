"""Find the cuts of a clip: where one shot ends and another begins.

A cut is where no frame shortly before it looks like a frame shortly after it. So the flash of a
camera, which differs from its neighbours, is none: before and after it the scene is the same.
Frames look alike if blocks of one are found again near their place in the other, which fast
motion leaves true, and if their colours are the same.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from stylize.video.flow import opencv

# A frame for the search: ``(h, w, 3)`` uint8, see :func:`small`.
Small = NDArray[np.uint8]

# Long side of the frames that are compared, side of their blocks, and the reach of the search.
_SIDE_PX, _BLOCK_PX, _REACH_PX = 64, 8, 12

# Frames on both sides of a place that are compared.
_AROUND = 3

# Frames look alike up to this difference, or up to so many times that of neighbours in fast motion.
_ALIKE, _FAST = 0.12, 3.0

# Squared levels below which a difference means nothing: noise and coding.
_NOISE = 40.0


def small(frame: NDArray[np.uint8]) -> Small:
    """Shrink ``(H, W, 3)`` for the search for cuts."""
    cv2 = opencv()
    height, width = frame.shape[:2]
    shrink = _SIDE_PX / max(height, width)
    size = (max(_BLOCK_PX, round(width * shrink)), max(_BLOCK_PX, round(height * shrink)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


class ShotFinder:
    """Divides a clip into shots while its frames come in, all of one size.

    Attributes:
        starts: first frame of every shot that was found so far.
        count: the number of frames so far.
        decided: how many of these surely belong to the shots so far.
    """

    def __init__(self) -> None:
        self.starts: list[int] = [0]
        self.count = self.decided = 0
        self._window: deque[Small] = deque(maxlen=2 * _AROUND)

    def add(self, frame: Small) -> None:
        """Take the next frame, as :func:`small` gives it."""
        self._window.append(frame)
        self.count += 1
        if self.count > _AROUND:
            self._judge(_AROUND)
        self.decided = max(1, self.count - _AROUND + 1)

    def end(self) -> None:
        """Decide about the last frames."""
        for left in range(min(_AROUND, self.count) - 1, 0, -1):
            self._judge(left)
        self.decided = self.count

    def _judge(self, left: int) -> None:
        """Find out whether a shot begins with the last ``left`` frames."""
        frames = list(self._window)
        _judge(frames[:-left], frames[-left:], self.count - left, self.starts)


def _judge(before: list[Small], after: list[Small], place: int, cuts: list[int]) -> None:
    """Add a place to the cuts if it is one."""
    # Frames before the last cut belong to another shot.
    before = before[-min(_AROUND, place - cuts[-1]) :] if place > cuts[-1] else []
    pairs = sorted(product(range(len(before)), range(len(after))), key=lambda p: p[1] - p[0])
    if not pairs or difference(before[-1], after[0]) <= _ALIKE:
        return
    inside = [difference(*pair) for side in (before, after) for pair in pairwise(side)]
    least = max(_ALIKE, _FAST * min(inside, default=0.0))
    if all(difference(before[i], after[j]) > least for i, j in pairs):
        cuts.append(place)


def difference(frame: Small, other: Small) -> float:
    """How little two frames show the same scene: 0 for the same, about 1 for unrelated ones.

    The squared error that remains when every block of a frame has been moved to where it fits the
    other one best, relative to the error at a typical place.
    """
    cv2 = opencv()
    framed = cv2.copyMakeBorder(other, *(_REACH_PX,) * 4, cv2.BORDER_REPLICATE)
    height, width = frame.shape[:2]
    left, usual = 0.0, 0.0
    for top in range(0, height - _BLOCK_PX + 1, _BLOCK_PX):
        for start in range(0, width - _BLOCK_PX + 1, _BLOCK_PX):
            block = frame[top : top + _BLOCK_PX, start : start + _BLOCK_PX]
            side = _BLOCK_PX + 2 * _REACH_PX
            area = framed[top : top + side, start : start + side]
            errors = cv2.matchTemplate(area, block, cv2.TM_SQDIFF) / block.size
            left += max(0.0, float(errors.min()) - _NOISE)
            usual += float(errors.mean()) + _NOISE
    return left / usual if usual else 0.0
