"""Optical flow between frames: where the paint of one frame belongs in another.

The flow is that of Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016), as
OpenCV computes it. Where it can be trusted is decided as in Ruder, Dosovitskiy and Brox, "Artistic
Style Transfer for Videos" (GCPR 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stylize.extras import optional_module
from stylize.images.blur import blur
from stylize.images.luma import luma
from stylize.images.resampling import resize
from stylize.images.warp import warped

# A pixel is covered in the other frame if there and back again misses by more than this share of
# both ways, in squared px, and this amount; and at the edge of a movement if the flow changes by
# more than these. The thresholds are those of Ruder et al.
_MISS_SHARE, _MISS = 0.01, 0.5
_EDGE_SHARE, _EDGE = 0.01, 0.002

# Colours of the two frames may differ by this much, averaged over a neighbourhood of this size.
# Flow that is wrong where a surface has no texture often agrees with itself.
_COLOURS, _COLOURS_SIGMA_PX = 0.12, 1.5

# Trust fades over this distance, so that new paint has no hard edge.
_SOFT_PX = 1

# OpenCV finds no flow in smaller pictures.
_LEAST_SIDE = 48


@dataclass(frozen=True)
class Motion:
    """Where each pixel of a frame was, or will be, in another frame.

    Attributes:
        flow: ``(1, 2, H, W)``, the way from the frame to the other to the right and down, in px.
        trust: ``(1, 1, H, W)`` in [0, 1], 0 where the other frame does not show the same place.
        steady: the same, and 0 also at the edges of movements, where the flow may be off.
    """

    flow: Tensor
    trust: Tensor
    steady: Tensor


def opencv() -> Any:
    """Import OpenCV.

    Raises:
        MissingExtraError: it is not installed.
    """
    return optional_module(
        "cv2", what="following the motion of a video", requirement="opencv-python-headless"
    )


def motion(frame: Tensor, other: Tensor) -> Motion:
    """Find where the pixels of a frame are in another frame of the same size.

    The same two frames give the same bits, whatever the number of threads.

    Args:
        frame, other: ``(1, 3, H, W)`` in [0, 1], on the CPU.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    one, two = _grey(frame), _grey(other)
    with _one_thread():
        there, back = _flow(one, two), _flow(two, one)
    trust = _trust(frame, other, there, back)
    edge = _slope(there) > _EDGE_SHARE * there.square().sum(1, keepdim=True) + _EDGE
    return Motion(there, trust, torch.minimum(trust, softened((~edge).to(trust.dtype))))


def _grey(frame: Tensor) -> NDArray[np.uint8]:
    levels = (luma(frame)[0, 0] * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.numpy())


# The number of OpenCV's threads is a setting of the whole process.
_thread_count = Lock()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let OpenCV use one thread: its result depends on how the picture is divided among threads."""
    cv2 = opencv()
    with _thread_count:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(before)


def _flow(frame: NDArray[np.uint8], other: NDArray[np.uint8]) -> Tensor:
    """``(1, 2, H, W)`` float32."""
    cv2 = opencv()
    height, width = frame.shape
    enlarge = max(1.0, _LEAST_SIDE / min(height, width))
    if enlarge > 1:
        size = (round(width * enlarge), round(height * enlarge))
        frame, other = cv2.resize(frame, size), cv2.resize(other, size)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # The preset stops at half the resolution, where a slow turn of the camera adds up to drift.
    search.setFinestScale(0)
    found = torch.from_numpy(search.calc(frame, other, None)).permute(2, 0, 1)[None].contiguous()
    if enlarge == 1:
        return found
    scale = torch.tensor([width / size[0], height / size[1]], dtype=torch.float32).view(1, 2, 1, 1)
    return resize(found, (height, width)) * scale


def _trust(frame: Tensor, other: Tensor, there: Tensor, back: Tensor) -> Tensor:
    """Where the flow can be trusted, ``(1, 1, H, W)`` in [0, 1], soft at its edges."""
    returned = warped(back, there, "bilinear")
    miss = (there + returned).square().sum(1, keepdim=True)
    ways = there.square().sum(1, keepdim=True) + returned.square().sum(1, keepdim=True)
    covered = miss > _MISS_SHARE * ways + _MISS
    changed = blur((frame - warped(other, there, "bilinear")).abs(), _COLOURS_SIGMA_PX)
    good = ~(covered | _leaves(there) | (changed.amax(1, keepdim=True) > _COLOURS))
    return softened(good.to(frame.dtype))


def softened(mask: Tensor) -> Tensor:
    """Fade a mask of zeros and ones towards its zeros, which stay 0."""
    side = 2 * _SOFT_PX + 1
    inside = -F.max_pool2d(-mask, side, 1, _SOFT_PX)
    wide = F.pad(inside, (_SOFT_PX,) * 4, mode="replicate")
    return F.avg_pool2d(wide, side, 1)


def _slope(flow: Tensor) -> Tensor:
    """Squared gradient of both components, ``(1, 1, H, W)``."""
    wide = F.pad(flow, (1, 1, 1, 1), mode="replicate")
    across = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    down = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2
    return (across.square() + down.square()).sum(1, keepdim=True)


def _leaves(flow: Tensor) -> Tensor:
    """Whether the flow leads out of the picture, ``(1, 1, H, W)``."""
    height, width = flow.shape[2:]
    right = torch.arange(width, dtype=flow.dtype) + flow[:, 0]
    down = torch.arange(height, dtype=flow.dtype)[:, None] + flow[:, 1]
    inside = (right >= 0) & (right <= width - 1) & (down >= 0) & (down <= height - 1)
    return ~inside[:, None]
