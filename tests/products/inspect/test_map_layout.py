"""From features to a grid."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize.errors import MissingExtraError
from stylize.products.inspect import map as map_module
from stylize.products.inspect.map import (
    embedded,
    grid_for,
    principal,
    require_scikit,
    snapped,
)


def clusters(groups: int, each: int, channels: int = 32, seed: int = 0) -> np.ndarray:
    """Features of several groups, one after the other; every one has a length of its own."""
    generator = np.random.default_rng(seed)
    middles = generator.normal(size=(groups, channels)).repeat(each, axis=0)
    lengths = generator.uniform(0.5, 20, size=(groups * each, 1))
    return (middles + 0.2 * generator.normal(size=middles.shape)) * lengths


def test_groups_stay_together() -> None:
    plane = embedded(clusters(4, 10), perplexity=8, seed=0)
    labels = np.arange(40) // 10
    ways = np.linalg.norm(plane[:, None] - plane[None], axis=2) + 9 * np.eye(40)
    nearest = ways.argsort(1)[:, :5]
    assert (labels[nearest] == labels[:, None]).mean() > 0.95
    assert plane.min() == 0
    assert plane.max() == 1


def test_the_same_seed_the_same_points() -> None:
    features = clusters(3, 6)
    one, same, other = (embedded(features, perplexity=5, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_perplexity_matters() -> None:
    features = clusters(3, 12)
    near, far = (embedded(features, perplexity=each, seed=0) for each in (2, 11))
    assert not np.allclose(near, far)
    far, capped = (embedded(features, perplexity=each, seed=0) for each in (35 / 3, 500))
    assert np.array_equal(far, capped)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_few_points(count: int) -> None:
    plane = embedded(clusters(1, count), perplexity=30, seed=0)
    assert plane.shape == (count, 2)
    assert np.isfinite(plane).all()
    places = snapped(plane, *grid_for(count))
    assert len({tuple(place) for place in places}) == count


def test_equal_features() -> None:
    plane = embedded(np.ones((9, 4)), perplexity=30, seed=0)
    assert np.isfinite(plane).all()
    assert np.isfinite(embedded(np.zeros((3, 4)), perplexity=30, seed=0)).all()


def test_few_need_no_scikit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    require_scikit(4)
    embedded(clusters(2, 2), perplexity=30, seed=0)
    with pytest.raises(MissingExtraError, match="pip install scikit-learn"):
        require_scikit(5)
    with pytest.raises(
        MissingExtraError, match="a map of photos needs a library that is not installed"
    ):
        embedded(clusters(1, 5), perplexity=30, seed=0)


def test_principal_components() -> None:
    generator = np.random.default_rng(3)
    turn, _ = np.linalg.qr(generator.normal(size=(6, 6)))
    points = (generator.normal(size=(40, 6)) * [9, 5, 1, 0.1, 0.1, 0.1]) @ turn
    found = principal(points, 3)
    assert found.shape == (40, 3)
    spread = found.std(0)
    assert (np.diff(spread) < 0).all()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-12)
    covariance = np.cov(found.T)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-9)
    np.testing.assert_allclose(np.abs(principal(-points, 3)), np.abs(found), atol=1e-9)
    assert principal(np.ones((1, 1)), 5).tolist() == [[0, 0]]


@given(st.integers(1, 20_000))
def test_grids(count: int) -> None:
    rows, columns = grid_for(count)
    assert count <= rows * columns < count + columns
    assert columns <= count
    if count > 30:
        assert 1.1 < columns / rows <= 1.6


@given(st.integers(1, 60), st.integers(0, 10**6), st.sampled_from([7, 1500]))
@settings(max_examples=40)
def test_every_point_has_a_place_of_its_own(count: int, seed: int, together: int) -> None:
    """Also where the grid is halved before."""
    plane = np.random.default_rng(seed).random((count, 2))
    rows, columns = grid_for(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_module, "MOST_TOGETHER", together)
        places = snapped(plane, rows, columns)
    assert len({tuple(place) for place in places}) == count
    assert (places >= 0).all()
    assert (places < (rows, columns)).all()


@pytest.mark.parametrize("together", [10, 1500])
def test_points_on_the_grid_stay_where_they_are(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_module, "MOST_TOGETHER", together)
    rows, columns = 4, 8
    down, right = np.divmod(np.arange(32), columns)
    plane = np.stack([right / (columns - 1), down / (rows - 1)], 1)
    order = np.random.default_rng(0).permutation(32)
    places = snapped(plane[order], rows, columns)
    assert places.tolist() == np.stack([down, right], 1)[order].tolist()
