"""Points in many dimensions laid out on a grid, neighbours side by side.

References:
    van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008. Its authors' way to a
    grid is no part of it: here each point is given a place so that the squared ways to the
    places are shortest in sum.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from stylize.images.extras import optional_module

Points = NDArray[np.float64]
Places = NDArray[np.int64]

# Fewer have no neighbourhoods to keep.
LEAST_POINTS = 5
# Before t-SNE, as its authors do: takes out noise and most of the work.
COMPONENTS = 50
# Columns to rows of a grid.
ASPECT = 4 / 3
# Points that are given their places together; the work grows with the cube of their number.
MOST_TOGETHER = 2500


def embedded(features: Points, *, perplexity: float, seed: int) -> Points:
    """Points of a plane, near each other where the features point the same way.

    Args:
        features: ``(n, channels)``, at least one row.
        perplexity: about how many neighbours a point has; at most a third of all others.
        seed: of where t-SNE begins. One thread does the work, so that the same features give the
            same points.

    Returns:
        ``(n, 2)`` in [0, 1], each axis to its ends. Fewer than 5 points are those of their two
        principal components.

    Raises:
        MissingExtraError: scikit-learn is not there, and needed.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    reduced = principal(unit, COMPONENTS)
    if len(features) < LEAST_POINTS:
        return _to_ends(reduced[:, :2])
    manifold = _scikit("sklearn.manifold")
    tsne = manifold.TSNE(
        perplexity=max(1.0, min(perplexity, (len(features) - 1) / 3)),
        init=_beginning(reduced[:, :2], seed),
        learning_rate="auto",
        random_state=seed,
    )
    with _scikit("threadpoolctl").threadpool_limits(1):
        plane: Points = np.asarray(tsne.fit_transform(reduced), dtype=np.float64)
    return _to_ends(plane)


def _beginning(flat: Points, seed: int) -> Points:
    """The principal components, as small as t-SNE has to begin, and a little by chance."""
    chance = np.random.default_rng(seed).normal(size=flat.shape)
    return 1e-4 * (flat / max(1e-12, float(flat[:, 0].std())) + 0.1 * chance)


def require_scikit(points: int) -> None:
    """Make sure, before the features are computed, that so many points can be laid out.

    Raises:
        MissingExtraError: they cannot.
    """
    if points >= LEAST_POINTS:
        _scikit("sklearn")


def _scikit(module: str) -> Any:
    return optional_module(module, what="a map of photos", extra="inspect")


def principal(points: Points, count: int) -> Points:
    """Points along their principal components, which have a definite sign; at least two.

    Args:
        points: ``(n, d)``.
        count: of components at most.

    Returns:
        ``(n, min(count, n, d))``, with columns of zeros where that is below 2.
    """
    centred = points - points.mean(0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(right).argmax(1)
    signs = np.sign(right[np.arange(len(right)), largest])
    found = (left * sizes * signs)[:, :count]
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))


def _to_ends(plane: Points) -> Points:
    low, high = plane.min(0), plane.max(0)
    return np.asarray((plane - low) / np.where(high > low, high - low, 1))


def grid_for(count: int) -> tuple[int, int]:
    """Rows and columns of a grid with at least ``count`` places, of an aspect near 4:3."""
    columns = min(count, math.ceil(math.sqrt(count * ASPECT)))
    return math.ceil(count / columns), columns


def snapped(plane: Points, rows: int, columns: int) -> Places:
    """A place for each point, no two the same, near where it is.

    Args:
        plane: ``(n, 2)`` in [0, 1], to the right and down; n at most ``rows · columns``.

    Returns:
        ``(n, 2)`` rows and columns.

    Note:
        The sum of the squared distances is least for up to 2500 points; more are dealt to the
        halves of the grid first, which is near to that and bounds memory.
    """
    if len(plane) > MOST_TOGETHER:
        return _halved(plane, rows, columns)
    down, right = np.divmod(np.arange(rows * columns), columns)
    centres = np.stack([(right + 0.5) / columns, (down + 0.5) / rows], 1)
    ways = ((plane[:, None] - centres[None]) * (columns, rows)) ** 2
    _, places = linear_sum_assignment(ways.sum(2))
    return np.stack([down[places], right[places]], 1)


def _halved(plane: Points, rows: int, columns: int) -> Places:
    axis, length = (0, columns) if columns >= rows else (1, rows)
    first = length // 2
    order = np.argsort(plane[:, axis], kind="stable")
    cut = round(len(plane) * first / length)
    places = np.empty((len(plane), 2), dtype=np.int64)
    for part, offset, extent in ((order[:cut], 0, first), (order[cut:], first, length - first)):
        shape = (rows, extent) if axis == 0 else (extent, columns)
        found = snapped(_to_ends(plane[part]), *shape)
        found[:, 1 - axis] += offset
        places[part] = found
    return places
