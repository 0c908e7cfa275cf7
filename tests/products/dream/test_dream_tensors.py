"""Dreams of small pictures with the real network: every option does what it says, in numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stylize.errors import (
    ExpressionError,
    InterruptedRunError,
    NumericalError,
    PictureError,
    SettingError,
)
from stylize.images.periodic import periodic_part
from stylize.images.read import Picture
from stylize.networks.architecture import convolutions
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.optimize.loop import Step
from stylize.planning.device import Device
from stylize.products.dream.dream import TensorDream
from stylize.settings.dream import DreamSettings
from stylize.settings.presets import find_preset, preset_names
from tests.conftest import as_picture, cat, photo, strokes

FP32 = Device("cpu", "fp32", 1)
# A layer that is cheap and has room for two octaves in a small picture.
BASE = {"layers": "conv3_1", "steps": 2, "octaves": 2, "jitter": 8}
EVERY_LAYER = " + ".join(layer.name for layer in convolutions("vgg16"))

Dreamt = Callable[..., Tensor]


def dreamer(weights: Weights, guide: Picture | None = None, **changes: Any) -> TensorDream:
    return TensorDream(DreamSettings(**(BASE | changes)), weights, FP32, guide)


def run(job: TensorDream, image: Tensor, **options: Any) -> Tensor:
    scales = job.plan((image.shape[2], image.shape[3])).scales
    return job.dream(image, scales, **options).pixels


@pytest.fixture(scope="module")
def dreamt(vgg16: Weights) -> Dreamt:
    """``dreamt(picture, mask=…, guide=…, strength=…)`` gives the pixels."""

    def dreamt(
        image: Tensor, mask: Tensor | None = None, guide: Picture | None = None, **changes: Any
    ) -> Tensor:
        return run(dreamer(vgg16, guide, **changes), image, mask=mask)

    return dreamt


@pytest.fixture(scope="module")
def image() -> Tensor:
    return cat(48)


@pytest.fixture(scope="module")
def plain(dreamt: Dreamt, image: Tensor) -> Tensor:
    return dreamt(image)


def distance(one: Tensor, other: Tensor) -> float:
    """Mean absolute difference in grey levels."""
    return 255 * float((one - other).abs().mean())


def clipped(image: Tensor) -> float:
    """Share of the samples that a file would hold as 0 or 255."""
    levels = (image * 255).round()
    return float(((levels == 0) | (levels == 255)).float().mean())


def psnr(one: Tensor, other: Tensor) -> float:
    return -10 * float((one - other).square().mean().log10())


def chroma(image: Tensor) -> Tensor:
    """Cb and Cr of JPEG (ITU-T T.871), ``(2, H, W)``."""
    red, green, blue = image[0]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402])


def jumps(image: Tensor) -> tuple[float, float]:
    """Mean jump across the edges, and between neighbours inside, over both axes."""
    across = (image[..., 0] - image[..., -1]).abs().mean()
    down = (image[..., 0, :] - image[..., -1, :]).abs().mean()
    inside = image.diff(dim=3).abs().mean() + image.diff(dim=2).abs().mean()
    return float(across + down) / 2, float(inside) / 2


def test_pixels_are_pixels(plain: Tensor, image: Tensor) -> None:
    assert plain.shape == image.shape
    assert plain.dtype is torch.float32
    assert float(plain.min()) >= 0
    assert float(plain.max()) <= 1


@pytest.mark.parametrize("name", preset_names("dream"))
def test_every_preset_finds_more_and_more(name: str, vgg16: Weights) -> None:
    settings = find_preset("dream", name).apply({"octaves": 2, "steps": 4})
    events: list[Step] = []
    found = run(TensorDream(settings, vgg16, FP32), cat(64), on_step=events.append)
    for scale in {event.scale for event in events}:
        totals = [event.total for event in events if event.scale == scale]
        assert totals[-1] > 1.2 * totals[0], totals
    assert distance(found, cat(64)) > 5


def test_equal_seeds_give_equal_bytes_and_others_do_not(
    dreamt: Dreamt, image: Tensor, plain: Tensor
) -> None:
    assert torch.equal(dreamt(image, seed=0), plain)
    assert distance(dreamt(image, seed=1), plain) > 1
    still = [dreamt(image, seed=seed, jitter=0) for seed in (0, 1)]
    assert torch.equal(*still), "the seed is that of the jitter"


def test_the_photo_and_the_global_generator_are_left_alone(dreamt: Dreamt, image: Tensor) -> None:
    state = torch.get_rng_state()
    dreamt(image)
    assert torch.equal(image, cat(48))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "changes", [{}, {"keep_colors": True}, {"carry": "rescale"}, {"fidelity": 0.3}], ids=str
)
def test_no_strength_is_the_photo(dreamt: Dreamt, image: Tensor, changes: dict[str, Any]) -> None:
    assert torch.equal(dreamt(image, strength=0.0, **changes), image)


def test_more_strength_changes_more(dreamt: Dreamt, image: Tensor) -> None:
    changes = [distance(dreamt(image, strength=s), image) for s in (20.0, 60.0, 150.0)]
    assert 0 < changes[0] < changes[1] < changes[2]
    assert changes[0] < 20, "no further than it travelled"


def test_strength_is_the_way_and_not_the_steps(dreamt: Dreamt, image: Tensor) -> None:
    ways = [dreamt(image, strength=30.0, steps=s, octaves=o) for s, o in ((2, 2), (4, 1), (4, 2))]
    found = [distance(way, image) for way in ways]
    assert max(found) < 1.5 * min(found)


def test_levels_a_step_beat_the_strength(vgg16: Weights, image: Tensor) -> None:
    job = dreamer(vgg16, strength=60.0)
    assert torch.equal(run(job, image, levels=15.0), run(job, image))
    assert distance(run(job, image, levels=2.0), image) < 12


# Each option alone: the picture is another one.
@pytest.mark.parametrize(
    "changes",
    [
        {"layers": "conv3_2"},
        {"layers": "2*conv3_1 + conv2_2"},
        {"layers": "conv3_1:3"},
        {"octaves": 1},
        {"octave_scale": 1.2},
        {"min_octave": 40},
        {"steps": 3},
        {"carry": "rescale"},
        {"palette": "neon"},
        {"smoothing": "cascade"},
        {"smoothing": "laplacian"},
        {"keep_colors": True},
        {"fidelity": 0.2},
        {"tileable": True},
        {"jitter": 2},
        {"pooling": "avg"},
    ],
    ids=str,
)
def test_every_option_does_something(
    dreamt: Dreamt, image: Tensor, plain: Tensor, changes: dict[str, Any]
) -> None:
    assert distance(dreamt(image, **changes), plain) > 1


def test_carrying_detail_keeps_more_of_the_photo(dreamt: Dreamt) -> None:
    """What the smallest octave cannot show comes back with each larger photo."""
    fine = cat(96)
    settings = {"strength": 4.0, "octaves": 3, "octave_scale": 1.5}
    detail, rescale = (dreamt(fine, carry=how, **settings) for how in ("detail", "rescale"))
    assert psnr(detail, fine) > psnr(rescale, fine) + 3


def test_outside_the_mask_is_the_photo_to_the_bit(dreamt: Dreamt, image: Tensor) -> None:
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., 10:30, 16:41] = 1
    found = dreamt(image, mask=mask)
    outside = mask.expand_as(image) == 0
    assert torch.equal(found[outside], image[outside])
    assert distance(found[~outside], image[~outside]) > 5


def test_the_masked_strength_is_that_of_an_unmasked_dream(dreamt: Dreamt, plain: Tensor) -> None:
    image, mask = cat(48), torch.zeros(1, 1, 48, 48)
    mask[..., :12, :] = 1
    inside = mask.expand_as(image) > 0
    masked = distance(dreamt(image, mask=mask)[inside], image[inside])
    assert masked == pytest.approx(distance(plain, image), rel=0.35)


def test_masks_of_one_value(dreamt: Dreamt, image: Tensor, plain: Tensor) -> None:
    white = torch.ones(1, 1, 48, 48)
    torch.testing.assert_close(dreamt(image, mask=white), plain, atol=2e-6, rtol=0)
    assert torch.equal(dreamt(image, mask=0 * white), image)
    expected = (image + plain) / 2
    torch.testing.assert_close(dreamt(image, mask=white / 2), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    "changes", [{}, {"carry": "rescale"}, {"palette": "neon"}, {"strength": 300.0}], ids=str
)
def test_every_colour_stays(dreamt: Dreamt, image: Tensor, changes: dict[str, Any]) -> None:
    found = dreamt(image, keep_colors=True, **changes)
    torch.testing.assert_close(chroma(found), chroma(image), atol=1e-6, rtol=0)
    assert distance(found, image) > 5
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


@pytest.mark.parametrize("carry", ["detail", "rescale"])
def test_fidelity_keeps_to_the_photo(dreamt: Dreamt, image: Tensor, carry: str) -> None:
    quality = [
        psnr(dreamt(image, fidelity=share, carry=carry), image) for share in (0.0, 0.3, 0.6, 0.9)
    ]
    assert quality == sorted(quality)
    assert quality[-1] > quality[0] + 6
    assert torch.equal(dreamt(image, fidelity=1.0, carry=carry), image)


@pytest.mark.parametrize("size", [(48, 48), (45, 53)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"carry": "rescale"},
        {"palette": "neon"},
        {"smoothing": "cascade"},
        {"smoothing": "laplacian"},
        {"layers": "conv2_2"},
    ],
    ids=str,
)
def test_a_tile_has_no_seam(dreamt: Dreamt, size: tuple[int, int], changes: dict[str, Any]) -> None:
    image = cat(64)[..., : size[0], : size[1]]
    across, inside = jumps(dreamt(image, strength=15.0, **changes))
    assert across > 1.5 * inside, "without the option there is one"
    tile = dreamt(image, tileable=True, strength=15.0, **changes)
    across, inside = jumps(tile)
    assert across < inside


def test_rolling_a_tile_brings_no_line_to_light(dreamt: Dreamt, image: Tensor) -> None:
    tile = dreamt(image, tileable=True).roll((24, 24), (2, 3))
    for axis in (2, 3):
        lines = tile.diff(dim=axis).abs().mean([0, 1, 5 - axis])
        others = torch.cat([lines[:23], lines[24:]])
        assert float(lines[23]) < float(others.mean() + 2 * others.std())


@pytest.mark.parametrize("smoothing", ["none", "cascade"])
def test_a_tile_is_the_same_wherever_it_begins(dreamt: Dreamt, smoothing: str) -> None:
    """With edges that meet already, and a roll by whole pixels of the poolings in each octave."""
    image = torch.full((1, 3, 64, 64), 0.5)
    image[..., 20:44, 20:44] = cat(24)
    settings = {"layers": "conv2_2", "octave_scale": 2.0, "jitter": 0, "pooling": "avg"}
    settings |= {"tileable": True, "smoothing": smoothing}
    found, rolled = (dreamt(image.roll(shift, (2, 3)), **settings) for shift in ((0, 0), (16, -8)))
    assert distance(rolled, found.roll((16, -8), (2, 3))) < 0.2


def test_a_tile_without_strength_is_the_photos_periodic_part(dreamt: Dreamt, image: Tensor) -> None:
    found = dreamt(image, tileable=True, strength=0.0)
    assert torch.equal(found, periodic_part(image).clamp(0, 1))


def test_natural_colours_burn_out_less_than_neon(dreamt: Dreamt) -> None:
    settings = {"layers": "conv3_3", "steps": 6}
    natural, neon = (
        dreamt(cat(64), palette=palette, **settings) for palette in ("natural", "neon")
    )
    assert clipped(natural) < clipped(neon)
    spread = [float(chroma(found).std()) for found in (natural, neon)]
    assert spread[0] < 0.8 * spread[1]


@pytest.mark.parametrize("channel", [3, 77])
def test_a_channel_answers_more_or_less(
    dreamt: Dreamt, vgg16: Weights, image: Tensor, channel: int
) -> None:
    vgg = VGG(vgg16, ("conv3_1",))

    def answer(picture: Tensor) -> float:
        return float(vgg(picture)["conv3_1"][:, channel].mean())

    more, less = (dreamt(image, layers=f"{sign}conv3_1:{channel}") for sign in ("", "-"))
    assert answer(less) < answer(image) < answer(more)


def test_a_layer_answers_more_or_less(dreamt: Dreamt, vgg16: Weights, image: Tensor) -> None:
    vgg = VGG(vgg16, ("relu3_1",))

    def energy(picture: Tensor) -> float:
        return float(vgg(picture)["relu3_1"].square().mean())

    more, less = (dreamt(image, layers=f"{sign}relu3_1", strength=10.0) for sign in ("", "-"))
    assert energy(less) < energy(image) < energy(more)


@pytest.mark.parametrize("layers", ["conv5_1:11", "conv5_3:1"])
def test_channels_that_are_dead_after_the_relu_wake_up(
    dreamt: Dreamt, vgg16: Weights, layers: str
) -> None:
    name, channel = layers.split(":")
    before, after = (
        float(VGG(vgg16, (name,))(picture)[name][:, int(channel)].mean())
        for picture in (cat(48), dreamt(cat(48), layers=layers))
    )
    assert before < 0
    assert after > before


@pytest.mark.parametrize("mode", ["match", "channels"])
def test_a_guide_makes_the_picture_more_like_it(
    dreamt: Dreamt, vgg16: Weights, image: Tensor, plain: Tensor, mode: str
) -> None:
    """In the sense of the mode: best products, or the channels' shares."""
    vgg = VGG(vgg16, ("relu3_1",))
    target = vgg(strokes(48, 48))["relu3_1"].flatten(2)[0]

    def similarity(picture: Tensor) -> float:
        rows = vgg(picture)["relu3_1"].flatten(2)[0]
        if mode == "match":
            unit = rows / rows.norm(dim=0).clamp_min(1e-6)
            return float((unit.T @ (target / target.norm(dim=0))).amax(1).mean())
        return float(torch.cosine_similarity(rows.mean(1), target.mean(1), dim=0))

    guided = dreamt(image, guide=as_picture(strokes(48, 48)), guide_mode=mode)
    assert similarity(guided) > similarity(image)
    assert similarity(guided) > similarity(plain)


def test_the_guides_picture_mode_and_size_matter(dreamt: Dreamt, image: Tensor) -> None:
    found = [
        dreamt(image, guide=as_picture(guide), **changes)
        for guide, changes in (
            (cat(96).flip(2), {}),
            (strokes(96, 96), {}),
            (cat(96).flip(2), {"guide_mode": "channels"}),
            (cat(96).flip(2), {"guide_size": 48}),
        )
    ]
    assert all(distance(found[0], other) > 0.5 for other in found[1:])


@pytest.mark.parametrize("mode", ["match", "channels"])
def test_a_guide_in_which_nothing_is_seen_leaves_the_photo(
    vgg16: Weights, image: Tensor, mode: str
) -> None:
    blind = {name: torch.zeros_like(each) for name, each in vgg16.tensors.items()}
    weights = dataclasses.replace(vgg16, tensors=blind)
    assert torch.equal(run(dreamer(weights, as_picture(cat(64)), guide_mode=mode), image), image)


def test_guides_that_are_no_use(vgg16: Weights) -> None:
    with pytest.raises(SettingError, match=r"whole layers .leave the channels out of --layer"):
        dreamer(vgg16, as_picture(photo()), layers="conv1_1 + conv1_2:3")
    with pytest.raises(PictureError, match=r"dots\.png: 91×200 px is too small.*needs 92 px"):
        dreamer(vgg16, as_picture(photo(200, 91), "dots.png"), layers="conv4_3")
    dreamer(vgg16, as_picture(photo(92, 92)), layers="conv4_3", guide_size=32)


@pytest.mark.parametrize("layers", ["conv9_9", "conv4_3:512", "conv1_1 + fc6"])
def test_what_the_network_does_not_have(vgg16: Weights, layers: str) -> None:
    with pytest.raises(ExpressionError):
        dreamer(vgg16, layers=layers)


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (40, 23), (16, 130)])
def test_no_picture_is_too_small_for_any_layer(dreamt: Dreamt, size: tuple[int, int]) -> None:
    found = dreamt(photo(*size), layers=EVERY_LAYER, octaves=4, steps=1, smoothing="laplacian")
    assert found.shape == (1, 3, *size)
    assert distance(found, photo(*size)) > 1


@pytest.mark.parametrize("layer", [layer.name for layer in convolutions("vgg16")[::4]])
def test_no_tile_is_too_small(dreamt: Dreamt, layer: str) -> None:
    found = dreamt(photo(16, 27), layers=layer, steps=1, tileable=True, smoothing="cascade")
    assert distance(found, photo(16, 27)) > 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_give_finite_pictures(dreamt: Dreamt, value: float) -> None:
    found = dreamt(torch.full((1, 3, 32, 32), value), layers="conv5_3")
    assert torch.isfinite(found).all()


def test_numbers_that_are_not_finite_are_refused(dreamt: Dreamt, image: Tensor) -> None:
    broken = image.clone()
    broken[0, 1, 20, 20] = torch.nan
    with pytest.raises(NumericalError, match="the objective became nan"):
        dreamt(broken)


def test_a_stop_in_the_first_octave_gives_a_picture_of_the_size(
    vgg16: Weights, image: Tensor
) -> None:
    events: list[Step] = []
    job = dreamer(vgg16, keep_colors=True)
    scales = job.plan((48, 48)).scales
    found = job.dream(image, scales, on_step=events.append, stop=lambda: len(events) == 1)
    assert found.interrupted
    assert [outcome.steps_done for outcome in found.outcomes] == [1]
    assert events[0].size < (48, 48)
    assert found.pixels.shape == image.shape
    assert distance(found.pixels, image) > 2
    torch.testing.assert_close(chroma(found.pixels), chroma(image), atol=1e-6, rtol=0)


def test_a_stop_before_the_first_step_leaves_nothing(vgg16: Weights, image: Tensor) -> None:
    job = dreamer(vgg16)
    with pytest.raises(InterruptedRunError):
        job.dream(image, job.plan((48, 48)).scales, stop=lambda: True)


def test_listeners_hear_every_step_of_every_octave(vgg16: Weights, image: Tensor) -> None:
    events: list[Step] = []
    job = dreamer(vgg16, layers="conv3_1 - 0.2*conv2_2:7")
    found = job.dream(image, job.plan((48, 48)).scales, on_step=events.append)
    reported = [(event.scale, event.scales, event.size, event.step) for event in events]
    assert reported == [(n, 2, s, k) for n, s in ((1, (34, 34)), (2, (48, 48))) for k in (1, 2)]
    assert set(events[0].losses) == {"dream conv3_1", "dream -0.2*conv2_2:7"}
    assert sum(events[0].losses.values()) == pytest.approx(events[0].total, rel=1e-5)
    assert events[-1].losses == pytest.approx(found.outcomes[-1].losses)
    assert not found.interrupted


def test_layers_count_by_what_the_photo_has_of_them(vgg16: Weights, image: Tensor) -> None:
    """So that equal weights are equal parts, however loud a layer is; but for the border."""
    events: list[Step] = []
    settings = {"octaves": 1, "steps": 1, "jitter": 0}
    job = dreamer(vgg16, layers="conv1_2 + 3*conv3_1", **settings)
    run(job, image, on_step=events.append)
    inner = (44 / 48) ** 2, 3 * (8 / 12) ** 2
    assert events[0].losses["dream conv1_2"] == pytest.approx(inner[0], rel=0.2)
    assert events[0].losses["dream 3*conv3_1"] == pytest.approx(inner[1], rel=0.2)


def test_the_cost_counts_the_frame_of_a_tile(vgg16: Weights) -> None:
    plain, tile = dreamer(vgg16), dreamer(vgg16, tileable=True)
    scales = plain.plan((48, 48)).scales
    assert tile.cost(scales).tflop > 1.5 * plain.cost(scales).tflop
    assert plain.cost(scales).seconds is None
    measured = dataclasses.replace(FP32, gflops=10.0)
    seconds = TensorDream(plain.settings, vgg16, measured).cost(scales).seconds
    assert seconds == pytest.approx(100 * plain.cost(scales).tflop + 4 * 0.01)
