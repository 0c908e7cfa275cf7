"""Masks at the photo's size: their edges, and what is away from them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from stylize.images.resampling import resize
from stylize.masks.matte import refined, softened, tidied
from stylize.masks.outline import overlap
from tests.masks.test_outline import disc, painted


def picture(cut: np.ndarray) -> torch.Tensor:
    """The painted cut as ``(1, 3, H, W)``."""
    return torch.from_numpy(painted(cut).astype(np.float32) / 255).permute(2, 0, 1)[None]


class TestRefined:
    def test_a_rough_cut_snaps_to_the_edge(self) -> None:
        truth = disc(120, 160, 40)
        rough = np.roll(disc(60, 80, 20), 1, axis=1)
        found = refined(painted(truth), rough)
        assert found.shape == truth.shape
        assert overlap(found, truth) > 0.98
        assert overlap(np.roll(truth, 2, axis=1), truth) < 0.96

    def test_all_and_nothing_stay(self) -> None:
        levels = painted(disc())
        for value in (True, False):
            assert (refined(levels, np.full((10, 12), value)) == value).all()


class TestTidied:
    def test_islands_and_lakes(self) -> None:
        cut = disc(100, 100, 30)
        marred = cut.copy()
        marred[2:6, 2:6] = True
        marred[48:52, 48:52] = False
        assert (tidied(marred) == cut).all()

    def test_large_ones_stay(self) -> None:
        cut = disc(100, 100, 30)
        cut[40:60, 40:60] = False
        cut[:15, :15] = True
        assert (tidied(cut) == cut).all()

    def test_a_corner_of_background_is_no_lake(self) -> None:
        cut = np.ones((100, 100), bool)
        cut[:3, :3] = False
        assert (tidied(cut) == cut).all()

    @given(st.integers(0, 2**31), st.floats(0.05, 0.95))
    def test_the_largest_island_stays_and_little_is_added(self, seed: int, share: float) -> None:
        cut = np.random.default_rng(seed).random((20, 25)) < share
        parts, _ = ndimage.label(cut)
        areas = np.bincount(parts.ravel())
        areas[0] = 0
        found = tidied(cut)
        assert found[parts == areas.argmax()].all()
        lakes, count = ndimage.label(found & ~cut)
        assert all((lakes == number).sum() < 0.01 * cut.size for number in range(1, count + 1))


class TestSoftened:
    def test_the_edge_of_the_large_photo_is_followed(self) -> None:
        truth = disc(400, 480, 130)
        photo = picture(truth)
        small = resize(photo, (100, 120)).clamp(0, 1)
        rough = disc(100, 120, 32.5)
        mask = softened(rough, small, photo)
        assert mask.shape == (1, 1, 400, 480)
        assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
        assert overlap(mask[0, 0].numpy() >= 0.5, truth) > 0.985

    def test_away_from_the_edge_nothing_is_between(self) -> None:
        truth = disc(200, 240, 60)
        photo = picture(truth)
        small = resize(photo, (100, 120)).clamp(0, 1)
        mask = softened(disc(100, 120, 30), small, photo)[0, 0].numpy()
        assert (mask[disc(200, 240, 48)] == 1).all()
        assert (mask[~disc(200, 240, 72)] == 0).all()

    def test_it_is_soft_where_the_photo_is(self) -> None:
        sharp = picture(disc(100, 120, 30))
        y, x = np.mgrid[:100, :120]
        blurred = 1 / (1 + np.exp((np.hypot(y - 50, x - 60) - 30) / 2))
        faded = torch.from_numpy(blurred).float().expand(1, 3, -1, -1).contiguous()
        cut = disc(100, 120, 30)

        def between(photo: torch.Tensor) -> int:
            mask = softened(cut, photo, photo)
            return int(((mask > 0.2) & (mask < 0.8)).sum())

        assert between(faded) > 2 * between(sharp)

    def test_all_and_nothing_stay(self) -> None:
        photo = picture(disc())
        for value in (True, False):
            mask = softened(np.full(disc().shape, value), photo, photo)
            assert (mask == float(value)).all()
