"""Refine a coarse cut to a mask of the photo's size with soft edges.

Reference:
    He, Sun and Tang, "Guided image filtering", 2013; He and Sun, "Fast guided filter", 2015,
    for fitting the model at a small size and applying it at a large one.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from stylize.images.resampling import resize
from stylize.masks.outline import BACK, FORE, Cut, Levels, grab_cut

# Shares of the longer side of the small size.
BAND, RADIUS = 0.025, 0.012

ROUNDS = 2

# Squared colour difference below which the mask ignores an edge of the photo.
FLATNESS = 1e-3

# Islands below this share of the largest one are removed; holes below this share of the picture are
# filled.
LEAST_ISLAND, LARGEST_HOLE = 0.06, 0.01

_ROUNDING = 1e-4


def refined(levels: Levels, rough: Cut) -> Cut:
    """Cut again at a larger size, where only a band along the outline may change.

    Args:
        levels: the picture, ``(h, w, 3)``.
        rough: the coarse cut, of any size.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    height, width = levels.shape[:2]
    guess = resize(torch.from_numpy(rough).float()[None, None], (height, width))[0, 0] >= 0.5
    inside = guess.numpy()
    reach = max(1, round(BAND * max(height, width)))
    labels = inside.astype(np.uint8) + 2
    labels[_eroded(inside, reach)] = FORE
    labels[_eroded(~inside, reach)] = BACK
    return tidied(grab_cut(levels, labels, ROUNDS))


def _eroded(cut: Cut, reach: int) -> NDArray[np.bool_]:
    """Return the pixels further than ``reach`` px from the other side."""
    if cut.all():
        return cut
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(cut)
    return distance > reach


def tidied(cut: Cut) -> Cut:
    """Remove small islands from a cut and fill small holes."""
    kept = _without_small(cut, LEAST_ISLAND)
    holes = ~kept
    if not holes.any():
        return kept
    parts, count = ndimage.label(holes)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    small = areas < LARGEST_HOLE * cut.size
    small[0] = False
    small[np.unique(_rim(parts))] = False
    found: Cut = kept | small[parts]
    return found


def _without_small(cut: Cut, least: float) -> Cut:
    parts, count = ndimage.label(cut)
    if count < 2:
        return cut
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    large = areas >= least * areas.max()
    large[0] = False
    found: Cut = large[parts]
    return found


def _rim(parts: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])


def softened(cut: Cut, small: Tensor, photo: Tensor) -> Tensor:
    """Enlarge the cut to the photo's size, with an outline as soft as the photo's edges.

    Args:
        cut: ``(h, w)``.
        small: the photo at that size, ``(1, 3, h, w)`` RGB in [0, 1].
        photo: ``(1, 3, H, W)``.

    Returns:
        ``(1, 1, H, W)`` in [0, 1]; exactly 0 and 1 away from the outline.
    """
    mask = torch.from_numpy(cut).to(small.dtype)[None, None]
    radius = max(1, round(RADIUS * max(cut.shape)))
    slope, offset = _linear_model(small, mask, radius)
    size = (photo.shape[2], photo.shape[3])
    soft = _enlarged(offset, size)
    for channel in range(3):
        soft += _enlarged(slope[:, channel : channel + 1], size) * photo[:, channel : channel + 1]
    near = _enlarged(_mean(mask, 2 * radius), size)
    soft = torch.where(near < _ROUNDING, 0.0, torch.where(near > 1 - _ROUNDING, 1.0, soft))
    return soft.clamp(0, 1)


def _linear_model(guide: Tensor, mask: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Fit the mask as a linear function of the local colour: slope ``(1, 3, h, w)`` and offset."""
    mean, mask_mean = _mean(guide, radius), _mean(mask, radius)
    covariance = _mean(guide * mask, radius) - mean * mask_mean
    products = _mean((guide[:, :, None] * guide[:, None]).flatten(1, 2), radius)
    spread = products.view(1, 3, 3, *guide.shape[2:]) - mean[:, :, None] * mean[:, None]
    spread = spread.permute(0, 3, 4, 1, 2) + FLATNESS * torch.eye(3, dtype=guide.dtype)
    slope = torch.linalg.solve(spread, covariance.permute(0, 2, 3, 1)[..., None])
    slope = slope[..., 0].permute(0, 3, 1, 2)
    offset = mask_mean - (slope * mean).sum(1, keepdim=True)
    return _mean(slope, radius), _mean(offset, radius)


def _mean(values: Tensor, radius: int) -> Tensor:
    """Average over squares, cropped at the border."""
    for reach in ((radius, 0), (0, radius)):
        side = (2 * reach[0] + 1, 2 * reach[1] + 1)
        values = avg_pool2d(values, side, stride=1, padding=reach, count_include_pad=False)
    return values


def _enlarged(values: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(values, size, mode="bilinear", align_corners=False)
