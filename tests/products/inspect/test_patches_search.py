"""Receptive fields, peaks, and the file that keeps a search."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stylize.networks.architecture import find_layer
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.products.inspect.patches import (
    OUTSIDE,
    Box,
    Search,
    Spot,
    crop,
    key_of,
    load_state,
    peaks,
    receptive_box,
    save_state,
)
from tests.products.inspect.albums import planted_folder

MAPS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    elements=st.integers(-9, 9),
)


@pytest.mark.parametrize(
    ("name", "row", "column"),
    [
        ("conv1_1", 5, 9),
        ("conv1_2", 20, 3),
        ("relu2_1", 20, 30),
        ("conv3_3", 12, 13),
        ("conv4_2", 9, 8),
    ],
)
def test_the_field_is_what_the_gradient_reaches(
    vgg16: Weights, name: str, row: int, column: int
) -> None:
    reached = torch.zeros(160, 160)
    vgg = VGG(vgg16, [name], pooling="avg")
    for seed in range(2):
        image = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(seed))
        image.requires_grad_()
        response = vgg(image)[name][0, :, row, column]
        (gradient,) = torch.autograd.grad(response.square().sum(), image)
        reached += gradient.abs().sum((0, 1))
    rows, columns = reached.sum(1).nonzero().flatten(), reached.sum(0).nonzero().flatten()
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    box = receptive_box(find_layer("vgg16", name), row, column)
    assert tuple(map(int, found)) == box.within((160, 160))


def test_a_crop_inside_and_at_the_border() -> None:
    pixels = torch.rand(1, 3, 10, 12)
    assert torch.equal(crop(pixels, Box(2, 3, 4)), pixels[..., 2:6, 3:7])
    corner = crop(pixels, Box(-3, 9, 6))
    assert torch.equal(corner[..., 3:, :3], pixels[..., :3, 9:])
    assert (corner[..., :3, :] == OUTSIDE).all()
    assert (corner[..., 3:] == OUTSIDE).all()
    whole = crop(pixels, Box(-5, -5, 30))
    assert torch.equal(whole[..., 5:15, 5:17], pixels)


@given(MAPS, st.integers(1, 5), st.integers(0, 4))
def test_peaks(values: np.ndarray, count: int, radius: int) -> None:
    """The highest of what is left, until nothing is."""
    for found, plane in zip(peaks(torch.from_numpy(values), count, radius), values, strict=True):
        assert len(found) <= count
        left = {place: value for place, value in np.ndenumerate(plane)}
        for value, row, column in found:
            assert value == left[row, column] == max(left.values())
            left = {
                (y, x): each
                for (y, x), each in left.items()
                if abs(y - row) > radius or abs(x - column) > radius
            }
        assert len(found) == count or not left


def test_the_best_are_kept() -> None:
    search = Search({"a": []})
    search.add("a", [Spot(1.0, "x", 0, 0), Spot(5.0, "x", 1, 1)], 3)
    search.add("a", [Spot(5.0, "y", 0, 0), Spot(3.0, "y", 1, 1)], 3)
    assert [(spot.response, spot.photo) for spot in search.best["a"]] == [
        (5.0, "x"),
        (5.0, "y"),
        (3.0, "y"),
    ]


class TestState:
    """What survives, and what does not."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        album = planted_folder(tmp_path / "photos", 3)
        spot = Spot(0.1 + 0.2, "p01.png", 3, 4)
        seen = {photo.name: ("f" * 64, photo.state()) for photo in album.photos[:2]}
        path = tmp_path / "state"
        save_state(path, Search({"a": [spot], "b": []}, seen), "key")
        found = load_state(path, "key", ["a", "b"], album.photos)
        assert found.best == {"a": [spot], "b": []}
        assert {name: tuple(state) for name, state in found.seen.items()} == seen
        for other in (
            load_state(path, "another", ["a", "b"], album.photos),
            load_state(path, "key", ["a", "c"], album.photos),
            load_state(path, "key", ["a", "b"], album.photos[1:]),
            load_state(tmp_path / "none", "key", ["a", "b"], album.photos),
        ):
            assert other.seen == {}
            assert not any(other.best.values())
        album.photos[0].path.write_bytes(b"another picture")
        assert not load_state(path, "key", ["a", "b"], album.photos).seen

    @pytest.mark.parametrize(
        "damage",
        [
            b"",
            b"{",
            b"[]",
            b"\xff",
            b"[" * 100_000,
            b'{"key": "key"}',
            b'{"key": "key", "best": 3, "seen": {}}',
            b'{"key": "key", "best": {"a": [[1]]}, "seen": {}}',
        ],
    )
    def test_damage_is_a_new_beginning(self, tmp_path: Path, damage: bytes) -> None:
        (tmp_path / "state").write_bytes(damage)
        assert load_state(tmp_path / "state", "key", ["a"], []).seen == {}

    def test_keys(self) -> None:
        assert key_of({"a": 1, "b": 2}) == key_of(json.loads('{"b": 2, "a": 1}'))
        assert key_of({"a": 1}) != key_of({"a": 2})
