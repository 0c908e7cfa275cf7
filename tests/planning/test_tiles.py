"""Where tiles lie: everything is owned once, and every window holds what its tile sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.networks.architecture import find_layer
from stylize.planning.tiles import halo_px, owned_region, spans


@pytest.mark.parametrize(
    ("architecture", "layer", "halo"),
    [
        ("vgg16", "relu1_1", 1),
        ("vgg16", "conv4_2", 40),
        ("vgg16", "conv4_3", 48),
        ("vgg16", "relu5_1", 64),
        ("vgg16", "conv5_3", 96),
        ("vgg19", "conv5_1", 80),
    ],
)
def test_the_halo(architecture: str, layer: str, halo: int) -> None:
    """Half a receptive field, in whole strides; the figures of VGG-16 and VGG-19."""
    assert halo_px(architecture, (layer,)) == halo
    field = find_layer(architecture, layer).receptive_field_px
    assert halo >= (field - 1) // 2 - find_layer(architecture, layer).stride


def test_the_deepest_layer_decides() -> None:
    assert halo_px("vgg16", ("relu1_1", "relu5_1", "relu4_2")) == halo_px("vgg16", ("relu5_1",))


@given(
    length=st.integers(16, 3000),
    tile=st.integers(1, 1200),
    halo=st.integers(0, 6).map(lambda n: 16 * n),
    stride=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_every_pixel_is_owned_once(length: int, tile: int, halo: int, stride: int) -> None:
    found = spans(length, tile, halo, stride)
    owned = [pixel for each in found for pixel in (each.first, each.last)]
    assert owned[0] == 0
    assert owned[-1] == length
    assert owned[1:-1:2] == owned[2::2]
    for each in found:
        assert each.first % stride == each.start % stride == 0
        assert each.start <= max(0, each.first - halo)
        assert each.stop >= min(length, each.last + halo)
        assert 0 <= each.start < each.stop <= length
        assert each.last - each.first < max(tile, stride) + stride


@given(st.integers(40, 200), st.integers(8, 64), st.sampled_from([8, 16]))
def test_windows_are_of_one_size(units: int, tile: int, stride: int) -> None:
    """Few shapes: a library that prepares itself for each shape prepares itself once."""
    found = spans(units * stride, tile * stride, 2 * stride, stride)
    assert len({each.stop - each.start for each in found}) == 1


@given(st.integers(16, 500), st.integers(16, 500), st.integers(16, 200))
def test_regions_cover_the_map(height: int, width: int, tile: int) -> None:
    stride = 16
    seen = [[0] * (width // stride) for _ in range(height // stride)]
    for row in spans(height, tile, 64, stride):
        for column in spans(width, tile, 64, stride):
            region = owned_region(row, column, (height, width), stride)
            assert (region.rows, region.columns) == (height // stride, width // stride)
            for y in range(region.top, region.top + region.height):
                for x in range(region.left, region.left + region.width):
                    seen[y][x] += 1
    assert {count for line in seen for count in line} <= {1}
