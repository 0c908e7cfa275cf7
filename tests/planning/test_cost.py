from functools import partial

import pytest

from stylize.planning.cost import (
    BASE_BYTES,
    SECONDS_PER_STEP,
    dream_cost,
    evaluated_px,
    frame_px,
    network_bytes,
    network_bytes_per_px,
    network_flop_per_px,
    picture_cost,
    style_flop_per_px,
    transfer_cost,
)
from stylize.settings.dream import DreamSettings
from stylize.settings.schedule import Scale, transfer_scales
from stylize.settings.transfer import TransferSettings

STYLE = tuple(f"relu{block}_1" for block in range(1, 6))


def test_vgg16_by_hand() -> None:
    # 9·3·64 + 9·64² + (9·64·128 + 9·128²)/4 + (9·128·256 + 2·9·256²)/16
    # + (9·256·512 + 2·9·512²)/64 + 9·512²/256, forward and backward, 2 operations each.
    macs = 1728 + 36864 + (73728 + 147456) / 4 + (294912 + 2 * 589824) / 16
    macs += (1179648 + 2 * 2359296) / 64 + 2359296 / 256
    assert network_flop_per_px("vgg16", STYLE) == 4 * macs


def test_vgg19_matches_the_published_count() -> None:
    # 361,152 multiply-accumulates a pixel to relu5_1, forward.
    assert network_flop_per_px("vgg19", STYLE) == 4 * 361_152


def test_style_statistics_by_hand() -> None:
    assert style_flop_per_px("vgg16", STYLE) == 4 * 17_408


def test_deeper_costs_more_and_bf16_holds_less() -> None:
    assert network_flop_per_px("vgg16", ("relu5_1",)) > network_flop_per_px("vgg16", ("relu4_1",))
    half, full = (network_bytes("vgg16", STYLE, each, 1e6) for each in ("bf16", "fp32"))
    assert half < full


def test_memory_of_the_way_back_by_hand() -> None:
    # Codes of four poolings (64/4 + 128/16 + 256/64 + 512/256), signs of conv3_2 (256/16) and
    # conv4_2 (512/64), and relu2_1, 3_1, 4_1, 5_1 in two bytes; relu1_1 is computed again.
    kept = 16 + 8 + 4 + 2 + 16 + 8 + 2 * (128 / 4 + 256 / 16 + 512 / 64 + 512 / 256)
    # 64 channels after the first pooling and 128 after the second.
    assert network_bytes_per_px("vgg16", STYLE, "bf16") == (kept, 2 * (64 / 4 + 128 / 16))


def test_large_pictures_go_by_strips() -> None:
    """A strip does not grow with the picture."""
    kept, passed = network_bytes_per_px("vgg16", STYLE, "bf16")
    one, two = (network_bytes("vgg16", STYLE, "bf16", px) for px in (4e6, 8e6))
    assert two - one == pytest.approx(4e6 * (kept + passed))
    # Up to a strip, everything grows with the picture.
    tenth = network_bytes("vgg16", STYLE, "bf16", 1e3)
    assert network_bytes("vgg16", STYLE, "bf16", 1e4) == pytest.approx(10 * tenth)


def test_evaluated_pixels_add_up() -> None:
    assert evaluated_px([Scale(10, 20, 3), Scale(100, 200, 1)]) == 600 + 20_000


def cost(gflops: float | None, **changes: object):
    settings = TransferSettings(**changes)
    scales = transfer_scales(settings, (384, 512))
    return transfer_cost(settings, scales, architecture="vgg16", precision="bf16", gflops=gflops)


def test_time_needs_a_measured_machine() -> None:
    assert cost(None).seconds is None
    slow, fast = cost(100), cost(400)
    assert slow.seconds is not None
    assert fast.seconds is not None
    assert slow.seconds > fast.seconds > 0
    assert slow.tflop == pytest.approx(fast.tflop)


def test_layers_of_no_weight_cost_nothing() -> None:
    shallow = (("relu1_1", 1.0), ("relu5_1", 0.0))
    assert cost(100, style_layers=shallow, content_weight=0.0, match=0).tflop < cost(100).tflop / 5


def dreamt(*scales: Scale, layers: tuple[str, ...] = ("relu4_3",), **changes: object):
    options = {"architecture": "vgg16", "precision": "fp32", "gflops": None} | changes
    return dream_cost(layers, scales, **options)


def test_a_dream_by_hand() -> None:
    # 278 thousand multiply-accumulates a pixel to conv4_3, forward and backward.
    found = dreamt(Scale(100, 200, 10), Scale(200, 400, 10), gflops=50.0)
    assert found.tflop == pytest.approx(10 * 100_000 * 4 * 278e3 / 1e12, rel=0.01)
    assert found.seconds == pytest.approx(found.tflop * 1e3 / 50 + 20 * 0.01)
    assert dreamt(Scale(100, 200, 10)).seconds is None


def test_the_largest_octave_decides_the_memory_of_a_dream() -> None:
    large = dreamt(Scale(400, 400, 1)).peak_bytes
    assert dreamt(Scale(100, 100, 9), Scale(400, 400, 1)).peak_bytes == large
    small, smaller = (dreamt(Scale(side, side, 1)).peak_bytes for side in (100, 50))
    assert small - BASE_BYTES == pytest.approx(4 * (smaller - BASE_BYTES))
    assert large > small
    assert dreamt(Scale(400, 400, 1), precision="bf16").peak_bytes < large


def test_a_frame_is_paid_for() -> None:
    framed = dreamt(Scale(100, 50, 3), margin_px=20)
    assert framed == dreamt(Scale(140, 90, 3))


def test_a_picture_by_its_settings() -> None:
    device = {"architecture": "vgg16", "precision": "bf16", "gflops": 100.0}
    asked = partial(TransferSettings, steps=160, size_ratio=2)
    whole_run = cost(100, steps=160, size_ratio=2, tolerance=0)
    assert picture_cost(asked(tolerance=0), (384, 512), **device) == whole_run
    # The smallest size usually takes 100 of its 160 steps, which the plan still has.
    usual = picture_cost(asked(), (384, 512), **device)
    work = [(96 * 128, 160), (192 * 256, 40), (384 * 512, 10)]
    whole, spared = sum(px * steps for px, steps in work), 96 * 128 * 60
    saved = (whole_run.seconds - SECONDS_PER_STEP * 210) * spared / whole + SECONDS_PER_STEP * 60
    assert usual.seconds == pytest.approx(whole_run.seconds - saved)
    assert (usual.tflop, usual.peak_bytes) == (whole_run.tflop, whole_run.peak_bytes)
    dream = DreamSettings(layers="conv4_3 + conv3_1", octaves=2, octave_scale=2.0, steps=7)
    scales = [Scale(150, 200, 7), Scale(300, 400, 7)]
    found = picture_cost(dream, (300, 400), **device)
    assert found == dreamt(*scales, layers=("conv4_3", "conv3_1"), **device)


def test_a_picture_that_tiles_has_its_frame() -> None:
    # Half of the 92 px that conv4_3 sees, in strides of 8.
    assert frame_px("vgg16", ["conv1_1", "conv4_3"]) == 48
    device = {"architecture": "vgg16", "precision": "fp32", "gflops": None}
    dream = DreamSettings(layers="conv4_3", octaves=1, steps=3, tileable=True)
    found = picture_cost(dream, (100, 50), **device)
    assert found == dreamt(Scale(196, 146, 3))
