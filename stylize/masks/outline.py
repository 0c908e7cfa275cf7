"""Outline a subject: run GrabCut from several seeds and choose the best result."""

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

# OpenCV's labels of pixels.
BACK, FORE, MAYBE_BACK, MAYBE_FORE = 0, 1, 2, 3

# Gaussians per side, fixed in OpenCV.
COMPONENTS = 5

# Noise added to the variances of the first mixtures, in squared levels.
NOISE = 4.0


def opencv() -> Any:
    """Import OpenCV.

    Raises:
        MissingExtraError: it is not installed.
    """
    return optional_module(
        "cv2", what="finding the subject of a photo", requirement="opencv-python-headless"
    )


def grab_cut(levels: Levels, labels: Labels, rounds: int) -> Cut:
    """Segment the foreground with GrabCut.

    Args:
        levels: ``(h, w, 3)``.
        labels: ``(h, w)``: what is known, or guessed, about each pixel.
        rounds: number of rounds of learning the colours and cutting.

    Returns:
        ``(h, w)``; all False or all True if the labels contain one side only.

    Raises:
        MissingExtraError: OpenCV is not installed.

    Note:
        OpenCV would initialise the mixtures with random numbers that the whole process shares, so
        that a result would depend on earlier calls. We initialise them ourselves.
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
    """Return the pixels that are, or may be, foreground."""
    return (labels & 1).astype(bool)


def mixture(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Initialise a mixture of Gaussians of colours, ``(1, 65)`` as OpenCV stores it.

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


# Shares of the picture that the first guesses of the cuts cover.
SHARES = (0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.82, 0.88)

# Share of each side of the first guess that is fixed.
CERTAIN = 1 / 3

ROUNDS = 2

# Colours that a picture is reduced to for judging cuts.
COLOURS = 24

# Blur before that, and rounds of k-means.
GRAIN_PX, KMEANS_ROUNDS = 1.5, 8

Amounts = NDArray[np.float32]


@dataclass(frozen=True)
class Proposal:
    """One cut and how good it is.

    Attributes:
        cut: ``(h, w)``.
        color_fit: share of the cut's entropy that the pixels' colours explain, in [0, 1].
        agreement: correlation between the cut and what stands out, in [0, 1].
        horizon: how much the cut resembles everything below a skyline, in [0, 1].
    """

    cut: Cut
    color_fit: float
    agreement: float
    horizon: float

    @property
    def worth(self) -> float:
        """The score by which proposals are compared, in [0, 1]."""
        return self.color_fit * self.agreement * (1 - self.horizon)


def propose(levels: Levels, amounts: Amounts) -> list[Proposal]:
    """Propose cuts of several sizes.

    Args:
        levels: the picture, ``(h, w, 3)``; about 160 px wide.
        amounts: how much each pixel stands out, ``(h, w)``.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    palette = reduced(levels)
    cuts = (grab_cut(levels, seeds(amounts, share), ROUNDS) for share in SHARES)
    return [
        Proposal(cut, color_fit(palette, cut), agreement(amounts, cut), horizon(cut))
        for cut in cuts
    ]


def best_of(proposals: Sequence[Proposal]) -> tuple[Proposal, float]:
    """Choose the best proposal and measure how stable it is.

    Returns:
        The proposal, and its stability in [0, 1]: its similarity to all proposals, weighted by
        their worth; the overlap of the subjects or of the backgrounds, whichever is smaller.
    """
    best = max(proposals, key=lambda each: each.worth)
    total = sum(each.worth for each in proposals)
    if not total:
        return best, 0.0
    similarity = (each.worth * _similarity(each.cut, best.cut) for each in proposals)
    return best, sum(similarity) / total


def overlap(first: Cut, second: Cut) -> float:
    """Compute intersection over union; 1 for two empty cuts."""
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 1.0


def _similarity(first: Cut, second: Cut) -> float:
    return min(overlap(first, second), overlap(~first, ~second))


def seeds(amounts: Amounts, share: float) -> Labels:
    """Label the most prominent share of the picture as a first guess.

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
    """Reduce the picture to a few colours and return each pixel's index, ``(h, w)``.

    Grain is blurred, and the colours are clustered in CIELAB.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = opencv()
    smooth = cv2.GaussianBlur(levels, (0, 0), GRAIN_PX)
    lab = cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    numbers = np.asarray(Image.fromarray(smooth).quantize(COLOURS)).ravel().astype(np.intp)
    for _ in range(KMEANS_ROUNDS):
        counts = np.bincount(numbers, minlength=COLOURS)
        sums = np.stack([np.bincount(numbers, axis, COLOURS) for axis in lab.T], 1)
        centres = sums[counts > 0] / counts[counts > 0, None]
        numbers = ((lab[:, None] - centres) ** 2).sum(2).argmin(1)
    return numbers.reshape(levels.shape[:2])


def color_fit(palette: NDArray[np.intp], cut: Cut) -> float:
    """Compute the mutual information of colour and side, as a share of the side's entropy."""
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
    """Compute the correlation, at least 0; 0 if one of the two is constant."""
    if cut.all() or not cut.any() or not np.ptp(amounts):
        return 0.0
    return max(0.0, float(np.corrcoef(amounts.ravel(), cut.ravel())[0, 1]))


def horizon(cut: Cut) -> float:
    """Measure how far a cut reaches both sides of the picture, and the bottom but not the top."""
    left, right, top, bottom = (
        float(edge.mean()) for edge in (cut[:, 0], cut[:, -1], cut[0], cut[-1])
    )
    return min(left, right) * max(0.0, bottom - top)
