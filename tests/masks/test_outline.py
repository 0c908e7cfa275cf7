"""Cuts and how they are judged, on pictures of which all is known."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.errors import MissingExtraError
from stylize.masks import outline as grabcut
from stylize.masks.outline import (
    BACK,
    FORE,
    MAYBE_BACK,
    MAYBE_FORE,
    SHARES,
    Proposal,
    agreement,
    best_of,
    color_fit,
    fore,
    grab_cut,
    horizon,
    mixture,
    overlap,
    propose,
    reduced,
    seeds,
)

HEIGHT, WIDTH = 48, 64


def disc(height: int = HEIGHT, width: int = WIDTH, radius: float = 14) -> np.ndarray:
    """A cut in the middle."""
    y, x = np.mgrid[:height, :width]
    return (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2


def painted(cut: np.ndarray, seed: int = 0) -> np.ndarray:
    """Orange on the cut, blue around it, with grain."""
    colours = np.where(cut[..., None], (220, 120, 40), (40, 80, 160))
    grain = np.random.default_rng(seed).normal(0, 6, colours.shape)
    return (colours + grain).clip(0, 255).astype(np.uint8)


def bump(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Most in the middle, falling in all directions."""
    y, x = np.mgrid[:height, :width]
    return np.exp(-((y - height / 2) ** 2 + (x - width / 2) ** 2) / 300).astype(np.float32)


class TestGrabCut:
    def test_it_finds_the_edge(self) -> None:
        truth = disc()
        labels = np.full(truth.shape, MAYBE_BACK, np.uint8)
        labels[16:34, 22:42] = MAYBE_FORE
        assert overlap(fore(labels), truth) < 0.65
        assert overlap(grab_cut(painted(truth), labels, 2), truth) > 0.97

    def test_what_is_certain_stays(self) -> None:
        truth = disc()
        labels = np.where(truth, MAYBE_FORE, MAYBE_BACK).astype(np.uint8)
        labels[:4, :4], labels[22:26, 30:34] = FORE, BACK
        found = grab_cut(painted(truth), labels, 2)
        assert found[:4, :4].all()
        assert not found[22:26, 30:34].any()

    @pytest.mark.parametrize("label", [BACK, FORE, MAYBE_BACK, MAYBE_FORE])
    def test_one_side_alone_has_no_outline(self, label: int) -> None:
        labels = np.full((HEIGHT, WIDTH), label, np.uint8)
        found = grab_cut(painted(disc()), labels, 2)
        assert (found == bool(label & 1)).all()

    def test_nothing_depends_on_what_was_done_before(self) -> None:
        cv2 = grabcut.opencv()
        labels = seeds(bump(), 0.4)
        found = []
        for seed in (1, 2):
            cv2.setRNGSeed(seed)
            found.append(grab_cut(painted(disc(), seed=5), labels, 2))
        assert (found[0] == found[1]).all()

    def test_the_picture_and_the_labels_are_left_alone(self) -> None:
        levels, labels = painted(disc()), seeds(bump(), 0.4)
        before = levels.copy(), labels.copy()
        grab_cut(levels, labels, 2)
        assert (levels == before[0]).all()
        assert (labels == before[1]).all()

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cv2", None)
        with pytest.raises(MissingExtraError, match="pip install opencv-python-headless"):
            grabcut.opencv()

    @given(st.integers(1, 40), st.integers(0, 2**31))
    def test_mixtures_keep_the_mean(self, count: int, seed: int) -> None:
        colours = np.random.default_rng(seed).integers(0, 256, (count, 3), dtype=np.uint8)
        model = mixture(colours)[0]
        weights, means = model[:5], model[5:20].reshape(5, 3)
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(weights @ means, colours.mean(0), atol=1e-9)
        assert (np.linalg.eigvalsh(model[20:].reshape(5, 3, 3)) > 0).all()


class TestSeeds:
    @given(st.sampled_from(SHARES), st.integers(0, 2**31))
    def test_shares(self, share: float, seed: int) -> None:
        amounts = np.random.default_rng(seed).random((20, 30)).astype(np.float32)
        labels = seeds(amounts, share)
        assert abs(fore(labels).mean() - share) < 0.01
        assert abs((labels == FORE).mean() - share / 3) < 0.01
        assert abs((labels == BACK).mean() - (1 - share) / 3) < 0.01
        order = [amounts[labels == label] for label in (BACK, MAYBE_BACK, MAYBE_FORE, FORE)]
        assert all(a.max() < b.min() for a, b in pairwise(order))


class TestJudgement:
    def test_colours_that_tell_all_or_nothing(self) -> None:
        cut = disc()
        assert color_fit(cut.astype(np.intp), cut) == pytest.approx(1)
        assert color_fit(np.zeros(cut.shape, np.intp), cut) == pytest.approx(0, abs=1e-12)
        halves = np.zeros((8, 8), bool)
        halves[:4] = True
        assert color_fit(np.arange(64).reshape(8, 8) % 2, halves) == pytest.approx(0, abs=1e-12)
        assert color_fit(cut.astype(np.intp), np.ones_like(cut)) == 0

    def test_reduced_tells_colours_apart_and_not_grain(self) -> None:
        cut = disc()
        palette = reduced(painted(cut))
        assert palette.shape == cut.shape
        assert color_fit(palette, cut) > 0.8
        assert not reduced(np.full((8, 8, 3), 77, np.uint8)).any()

    def test_agreement(self) -> None:
        cut = disc()
        assert agreement(cut.astype(np.float32), cut) == pytest.approx(1)
        assert agreement(-cut.astype(np.float32), cut) == 0
        assert agreement(bump(), np.ones_like(cut)) == 0
        assert agreement(np.zeros(cut.shape, np.float32), cut) == 0
        assert agreement(bump(), disc(radius=12)) > agreement(bump(), disc(radius=3)) > 0

    def test_horizon(self) -> None:
        below = np.zeros((10, 10), bool)
        below[5:] = True
        assert horizon(below) == pytest.approx(0.5)
        assert horizon(~below) == 0, "a ceiling is none"
        assert horizon(below[:, ::-1].T) == 0, "nor is a wall"
        assert horizon(disc()) == 0

    def test_the_steady_and_the_unsteady(self) -> None:
        same = [Proposal(disc(), 0.5, 0.8, 0.0)] * 3
        assert best_of(same) == (same[0], pytest.approx(1))
        better = Proposal(disc(radius=6), 0.6, 0.8, 0.0)
        found, steadiness = best_of([*same, better])
        assert found is better
        assert 0 < steadiness < 0.6
        assert best_of([Proposal(disc(), 0.0, 1.0, 0.0)])[1] == 0

    def test_a_horizon_counts_against_a_proposal(self) -> None:
        assert Proposal(disc(), 0.5, 0.5, 0.6).worth == pytest.approx(0.1)

    def test_overlap(self) -> None:
        assert overlap(disc(), disc()) == 1
        assert overlap(disc(), ~disc()) == 0
        assert overlap(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1

    def test_the_disc_is_proposed(self) -> None:
        proposals = propose(painted(disc()), bump())
        assert len(proposals) == len(SHARES)
        best, steadiness = best_of(proposals)
        assert overlap(best.cut, disc()) > 0.97
        assert best.color_fit > 0.8
        assert steadiness > 0.6

    def test_a_flat_picture_proposes_nothing_of_worth(self) -> None:
        flat = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        proposals = propose(flat, np.zeros((HEIGHT, WIDTH), np.float32))
        assert best_of(proposals)[1] == 0
