"""What memory allows: whole first, then tiles, then a shorter history, then a clear refusal."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.errors import SettingError
from stylize.planning.cost import BASE_BYTES, STATE_IMAGES, Cost, network_bytes, state_bytes_per_px
from stylize.planning.memory import (
    HISTORIES,
    LEFT_OVER,
    TILES_PX,
    MemoryNeed,
    MemoryPlan,
    cost_in_tiles,
    saving_bytes,
)
from stylize.settings.schedule import Scale

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1", "relu4_2")
DEMAND = MemoryNeed("vgg16", LAYERS, "bf16", "lbfgs", 16.0)
HALO = 64
sides = st.integers(64, 12_000)


def test_without_a_bound_nothing_is_tiled() -> None:
    assert DEMAND.choose((20_000, 20_000), None) == MemoryPlan(None, 5)


def test_a_whole_picture_needs_what_the_plan_says() -> None:
    peak = DEMAND.peak_bytes((512, 384), MemoryPlan())
    network = LEFT_OVER * network_bytes("vgg16", LAYERS, "bf16", 512 * 384)
    state = 512 * 384 * (state_bytes_per_px("lbfgs") + 16)
    assert peak == pytest.approx(BASE_BYTES + state + network)


@given(sides, sides, st.floats(1.0e9, 60e9))
def test_the_choice_fits(height: int, width: int, budget: float) -> None:
    try:
        memory_plan = DEMAND.choose((height, width), budget)
    except SettingError as error:
        assert "GB" in error.message
        least = MemoryPlan(TILES_PX[-1], HISTORIES[-1])
        assert DEMAND.peak_bytes((height, width), least) > budget
    else:
        assert DEMAND.peak_bytes((height, width), memory_plan) <= budget


@given(sides, sides, st.floats(1.0e9, 30e9))
def test_more_memory_never_makes_it_slower(height: int, width: int, budget: float) -> None:
    try:
        tight = DEMAND.choose((height, width), budget)
    except SettingError:
        return
    ample = DEMAND.choose((height, width), 2 * budget)
    assert ample.history >= tight.history
    if ample.history == tight.history:
        assert ample.tile_px is None or (tight.tile_px or 0) <= ample.tile_px


def test_tiles_before_a_shorter_history() -> None:
    size = (4096, 4096)
    chosen = [DEMAND.choose(size, gigabytes * 1e9) for gigabytes in (40, 7, 5)]
    assert chosen[0].tile_px is None
    assert chosen[1].tile_px is not None
    assert chosen[1].history == 5
    assert chosen[2].history < 5


def test_the_remedy_fits() -> None:
    with pytest.raises(SettingError, match="even in tiles") as caught:
        DEMAND.choose((9000, 12_000), 3e9)
    assert caught.value.hint is not None
    side = int(caught.value.hint.split()[1])
    assert 512 < side < 12_000
    DEMAND.choose((round(side * 0.75), side), 3e9)
    with pytest.raises(SettingError, match="no size fits"):
        DEMAND.choose((512, 512), 1e8)


def test_adam_has_no_history_to_shorten() -> None:
    adam = dataclasses.replace(DEMAND, optimizer="adam")
    assert adam.peak_bytes((2048, 2048), MemoryPlan(None, 10)) == adam.peak_bytes(
        (2048, 2048), MemoryPlan(None, 2)
    )
    assert adam.peak_bytes((2048, 2048), MemoryPlan()) < DEMAND.peak_bytes(
        (2048, 2048), MemoryPlan()
    )


def test_small_scales_stay_whole() -> None:
    memory_plan = MemoryPlan(tile_px=512)
    assert memory_plan.whole((600, 600), HALO)
    assert not memory_plan.whole((700, 700), HALO)
    assert DEMAND.work((600, 600), memory_plan, passes=3) == 1


def test_the_work_of_tiles() -> None:
    """The closed form ((T + 2h) / T)², for three passes instead of two."""
    work = DEMAND.work((10_240, 10_240), MemoryPlan(tile_px=1024), passes=3)
    assert work == pytest.approx(1.5 * (1152 / 1024) ** 2, rel=0.01)


def test_a_cost_in_tiles() -> None:
    scales = [Scale(256, 256, 10), Scale(2048, 2048, 2)]
    whole = Cost(tflop=10.0, peak_bytes=0.0, seconds=30.0)
    plain = cost_in_tiles(whole, DEMAND, scales, MemoryPlan(), passes=3)
    tiled = cost_in_tiles(whole, DEMAND, scales, MemoryPlan(512), passes=3)
    assert (plain.tflop, plain.seconds) == (10.0, 30.0)
    assert plain.peak_bytes == DEMAND.peak_bytes((2048, 2048), MemoryPlan())
    assert 1.5 * 10 < tiled.tflop < 3.5 * 10
    assert tiled.peak_bytes < plain.peak_bytes
    assert cost_in_tiles(Cost(1, 0, None), DEMAND, scales, MemoryPlan(), passes=3).seconds is None


def test_pictures_that_were_read_count() -> None:
    holding = dataclasses.replace(DEMAND, held_bytes=1.2e9)
    for memory_plan in (MemoryPlan(), MemoryPlan(512)):
        more = holding.peak_bytes((4096, 4096), memory_plan) - DEMAND.peak_bytes(
            (4096, 4096), memory_plan
        )
        assert more == pytest.approx(1.2e9)


@pytest.mark.parametrize("optimizer", STATE_IMAGES)
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_saving_takes_less_than_the_run_did(optimizer: str, depth: int, format: str) -> None:
    """The optimiser's state is gone by then: no plan has to count the file's encoder."""
    pixels = 10_000**2
    state = pixels * state_bytes_per_px(optimizer, HISTORIES[-1])
    assert pixels * 12 + saving_bytes((10_000, 10_000), depth=depth, format=format) < state
