"""Outlines of a subject: GrabCut from several seeds, and the best of the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylize.extras import optional_module

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


# Shares of the picture that a cut begins from.
SHARES = (0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.82, 0.88)

# Share of each side of the first guess that is not up for debate.
CERTAIN = 1 / 3

ROUNDS = 2

# Colours that a picture is reduced to before it is asked what they tell.
COLOURS = 24

# Blur before that, and rounds in which the colours find their places.
GRAIN_PX, SETTLING = 1.5, 8

Amounts = NDArray[np.float32]


@dataclass(frozen=True)
class Proposal:
    """One cut.

    Attributes:
        cut: ``(h, w)``.
        telling: share of the cut's entropy that the pixels' colours explain, in [0, 1].
        agreement: correlation between the cut and what stands out, in [0, 1].
        horizon: how much it looks like all below a skyline, in [0, 1].
    """

    cut: Cut
    telling: float
    agreement: float
    horizon: float

    @property
    def worth(self) -> float:
        """By which proposals are compared, in [0, 1]."""
        return self.telling * self.agreement * (1 - self.horizon)


def propose(levels: Levels, amounts: Amounts) -> list[Proposal]:
    """Cuts of several sizes.

    Args:
        levels: the picture, ``(h, w, 3)``; some 160 px wide.
        amounts: what stands out, ``(h, w)``.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    palette = reduced(levels)
    cuts = (grab_cut(levels, seeds(amounts, share), ROUNDS) for share in SHARES)
    return [
        Proposal(cut, telling(palette, cut), agreement(amounts, cut), horizon(cut)) for cut in cuts
    ]


def best_of(proposals: Sequence[Proposal]) -> tuple[Proposal, float]:
    """The proposal of most worth, and how steady it is.

    Returns:
        The steadiness is in [0, 1]: its likeness to all proposals, weighted by their worth, as
        the overlap of the subjects or of the backgrounds, whichever is less alike.
    """
    best = max(proposals, key=lambda each: each.worth)
    total = sum(each.worth for each in proposals)
    if not total:
        return best, 0.0
    likeness = (each.worth * _likeness(each.cut, best.cut) for each in proposals)
    return best, sum(likeness) / total


def overlap(first: Cut, second: Cut) -> float:
    """Intersection over union; 1 for two that are empty."""
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 1.0


def _likeness(first: Cut, second: Cut) -> float:
    return min(overlap(first, second), overlap(~first, ~second))


def seeds(amounts: Amounts, share: float) -> Labels:
    """A first guess: the most prominent share of the picture.

    Args:
        amounts: ``(h, w)``.
        share: in (0, 1).
    """
    flat = amounts.ravel()
    rank = np.empty(flat.size)
    rank[np.argsort(flat, kind="stable")] = np.arange(flat.size) / flat.size
    labels = np.where(rank >= 1 - share, MAYBE_FORE, MAYBE_BACK)
    labels[rank >= 1 - share * CERTAIN] = FORE
    labels[rank < (1 - share) * CERTAIN] = BACK
    return labels.astype(np.uint8).reshape(amounts.shape)


def reduced(levels: Levels) -> NDArray[np.intp]:
    """The number of each pixel's colour among a few, ``(h, w)``.

    Nearness is that of CIELAB; grain is blurred away.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = opencv()
    smooth = cv2.GaussianBlur(levels, (0, 0), GRAIN_PX)
    lab = cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    numbers = np.asarray(Image.fromarray(smooth).quantize(COLOURS)).ravel().astype(np.intp)
    for _ in range(SETTLING):
        counts = np.bincount(numbers, minlength=COLOURS)
        sums = np.stack([np.bincount(numbers, axis, COLOURS) for axis in lab.T], 1)
        centres = sums[counts > 0] / counts[counts > 0, None]
        numbers = ((lab[:, None] - centres) ** 2).sum(2).argmin(1)
    return numbers.reshape(levels.shape[:2])


def telling(palette: NDArray[np.intp], cut: Cut) -> float:
    """Mutual information of colour and side, as a share of the entropy of the side."""
    counts = np.zeros((2, COLOURS))
    np.add.at(counts, (cut.astype(np.intp).ravel(), palette.ravel()), 1)
    joint = counts / counts.sum()
    sides = _entropy(joint.sum(1))
    if not sides:
        return 0.0
    return max(0.0, (sides + _entropy(joint.sum(0)) - _entropy(joint)) / sides)


def _entropy(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


def agreement(amounts: Amounts, cut: Cut) -> float:
    """Correlation, at least 0; 0 where one of the two is the same everywhere."""
    if cut.all() or not cut.any() or not np.ptp(amounts):
        return 0.0
    return max(0.0, float(np.corrcoef(amounts.ravel(), cut.ravel())[0, 1]))


def horizon(cut: Cut) -> float:
    """How far a cut reaches both sides of the picture, and the bottom more than the top."""
    left, right, top, bottom = (
        float(edge.mean()) for edge in (cut[:, 0], cut[:, -1], cut[0], cut[-1])
    )
    return min(left, right) * max(0.0, bottom - top)
