"""The octaves: sizes that fit, a reason for those that do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.networks.architecture import convolutions, find_layer, least_octave_px
from stylize.settings.dream import DreamSettings
from stylize.settings.schedule import Scale, dream_octaves, plan_octaves

sides = st.integers(1, 5000)


@given(
    height=sides,
    width=sides,
    count=st.integers(1, 32),
    ratio=st.floats(1.05, 4),
    steps=st.integers(1, 50),
    least=st.integers(16, 500),
)
def test_any_plan(
    height: int, width: int, count: int, ratio: float, steps: int, least: int
) -> None:
    plan = plan_octaves(height, width, count=count, ratio=ratio, steps=steps, least_side_px=least)
    sizes = [scale.size for scale in plan.scales]
    assert sizes[-1] == (height, width)
    assert sizes == sorted(sizes)
    assert all(min(size) >= least for size in sizes[:-1])
    assert len(sizes) + plan.dropped == count
    assert {scale.steps for scale in plan.scales} == {steps}
    for index, size in enumerate(reversed(sizes)):
        for found, side in zip(size, (height, width), strict=True):
            assert abs(found - side * ratio**-index) <= 0.5 + 1e-6 * side
    if plan.dropped:
        assert round(min(height, width) * ratio ** -len(sizes)) < least


def test_by_hand() -> None:
    plan = plan_octaves(300, 400, count=4, ratio=1.4, steps=10, least_side_px=64)
    assert plan.scales == (
        Scale(109, 146, 10),
        Scale(153, 204, 10),
        Scale(214, 286, 10),
        Scale(300, 400, 10),
    )
    assert plan.dropped == 0
    assert plan.notes("conv4_3") == []


@pytest.mark.parametrize(
    ("count", "note"),
    [
        (2, "1 octave instead of 2: conv5_3 needs 144 px on the short side"),
        (5, "1 octave instead of 5: conv5_3 needs 144 px on the short side"),
    ],
)
def test_a_small_picture_gets_fewer_and_a_note(count: int, note: str) -> None:
    plan = dream_octaves(DreamSettings(layers="conv5_3", octaves=count), (100, 100), "vgg16")
    assert [scale.size for scale in plan.scales] == [(100, 100)]
    assert plan.notes("conv5_3") == [note]


def test_the_notes_plural() -> None:
    plan = dream_octaves(DreamSettings(octaves=9), (128, 128), "vgg16")
    assert plan.notes("conv4_3")[0].startswith("3 octaves instead of 9: ")


@pytest.mark.parametrize("layer", [layer.name for layer in convolutions("vgg16")])
def test_no_octave_is_smaller_than_the_layer_needs(layer: str) -> None:
    least = least_octave_px(find_layer("vgg16", layer))
    plan = dream_octaves(DreamSettings(layers=layer, octaves=32), (600, 800), "vgg16")
    assert plan.least_side_px == least
    assert least <= min(plan.scales[0].size) < 1.5 * least


def test_the_neediest_of_several_layers_decides() -> None:
    settings = DreamSettings(layers="conv1_1 + conv5_3:7 - conv3_1", octaves=20)
    assert dream_octaves(settings, (512, 512), "vgg16").least_side_px == 144


def test_a_floor_of_the_users_own_beats_the_layers() -> None:
    settings = DreamSettings(layers="conv5_3", octaves=20, min_octave=40)
    plan = dream_octaves(settings, (512, 512), "vgg16")
    assert 40 <= min(plan.scales[0].size) < 60
    assert plan.notes(settings.floor)[0].endswith(": --min-octave needs 40 px on the short side")
    assert DreamSettings(layers="conv5_3").floor == "conv5_3"


def test_without_movement_there_is_one_step() -> None:
    plan = dream_octaves(DreamSettings(strength=0.0), (300, 400), "vgg16")
    assert plan.scales == (Scale(300, 400, 1),)
    assert plan.notes("conv4_3") == []
