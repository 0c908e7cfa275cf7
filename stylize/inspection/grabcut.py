"""GrabCut: a rough guess becomes an outline along the picture's own edges.

Reference:
    Rother, Kolmogorov and Blake, "GrabCut: interactive foreground extraction using iterated
    graph cuts", 2004; the graph cut itself is OpenCV's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylize.images.extras import optional_module

Cut = NDArray[np.bool_]
Labels = NDArray[np.uint8]
Levels = NDArray[np.uint8]

# OpenCV's numbers for what is known of a pixel.
BACK, FORE, MAYBE_BACK, MAYBE_FORE = 0, 1, 2, 3
# Gaussians a side, fixed in OpenCV.
COMPONENTS = 5
# Added to the variances of the first mixtures, in squared levels: no colour is without noise.
NOISE = 4.0


def opencv() -> Any:
    """The library.

    Raises:
        MissingExtraError: it is not installed.
    """
    return optional_module("cv2", what="finding the subject of a photo", extra="masks")


def grab_cut(levels: Levels, labels: Labels, rounds: int) -> Cut:
    """The foreground.

    Args:
        levels: ``(h, w, 3)``.
        labels: ``(h, w)``: what is known, or guessed, of each pixel.
        rounds: of learning the colours and cutting.

    Returns:
        ``(h, w)``; nothing or everything if the labels say only one side.

    Raises:
        MissingExtraError: OpenCV is not installed.

    Note:
        The first mixtures are ours. OpenCV would find them with its own random numbers, which
        the whole process shares: a result would depend on what was done before.
    """
    cv2 = opencv()
    inside = fore(labels)
    if inside.all() or not inside.any():
        return inside
    found = np.array(labels, order="C")
    background, foreground = mixture(levels[~inside]), mixture(levels[inside])
    cv2.grabCut(
        np.ascontiguousarray(levels),
        found,
        None,
        background,
        foreground,
        rounds,
        cv2.GC_EVAL,
    )
    return fore(found)


def fore(labels: Labels) -> Cut:
    """The pixels that are, or may be, foreground."""
    return (labels & 1).astype(bool)


def mixture(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Gaussians in space of colour to begin from, ``(1, 65)`` as OpenCV stores them.

    Args:
        colours: ``(n, 3)``, n at least 1; split into equal parts along their principal axis.
    """
    values = colours.astype(np.float64)
    _, axes = np.linalg.eigh(np.cov(values, rowvar=False, bias=True).reshape(3, 3))
    order = np.argsort(values @ axes[:, -1], kind="stable")
    weights, means, covariances = np.zeros(5), np.zeros((5, 3)), np.zeros((5, 3, 3))
    for index, part in enumerate(np.array_split(values[order], COMPONENTS)):
        covariances[index] = NOISE * np.eye(3)
        if len(part):
            weights[index] = len(part) / len(values)
            means[index] = part.mean(0)
            covariances[index] += np.cov(part, rowvar=False, bias=True)
    return np.concatenate([weights, means.ravel(), covariances.ravel()])[None]
