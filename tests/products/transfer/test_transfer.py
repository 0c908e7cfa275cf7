"""Transfers of small pictures with the real network: every setting does what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import stylize
from stylize.errors import InterruptedRunError, PictureError, SettingError, UnknownNameError
from stylize.images.cleanup import clean_up
from stylize.images.grain import grain_of, with_grain
from stylize.images.read import Picture, read_picture
from stylize.images.resampling import resize
from stylize.images.retouch import patches_of, retouched
from stylize.losses.smoothness import total_variation
from stylize.optimize.loop import Step
from stylize.planning import memory as layout_module
from stylize.products.transfer.clip_frame import ClipFrame, Continuation
from stylize.products.transfer.transfer import Transfer
from stylize.runs.recipe import load_recipe
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.schedule import Scale
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, cat, photo, strokes

FP32 = Execution(device="cpu", precision="fp32")
SIDE = 32  # of the photo and the style image, in pixels
# Layers that are quick, and the usual ones.
FEW: dict[str, object] = {
    "style_layers": (("relu1_1", 1.0), ("relu2_1", 1.0), ("relu3_1", 1.0)),
    "content_layers": (("relu3_2", 1.0),),
}
USUAL: dict[str, object] = {name: getattr(TransferSettings(), name) for name in FEW}
STUDIO = Session()  # the network and what is known of the style are prepared once


@pytest.fixture
def content() -> Picture:
    return as_picture(photo(SIDE, SIDE), "photo.png")


@pytest.fixture
def style() -> Picture:
    return as_picture(strokes(SIDE, SIDE), "strokes.png")


def paint(
    content: Picture,
    *styles: Picture,
    start: Picture | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    **changes: object,
) -> Result:
    few = {"network": "vgg16", "size": str(SIDE), "min_size": SIDE, "steps": 12}
    values = FEW | few | {"retouch": 0, "grain": 0} | changes
    settings = TransferSettings(**values)
    job = Transfer(content, styles, settings, FP32, start=start, session=STUDIO)
    return job.run(on_step, stop)


def grainy(seed: int) -> torch.Tensor:
    """A style image of calm colours on rough paper."""
    noise = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    slope = torch.linspace(0.3, 0.7, SIDE).expand(1, 3, SIDE, SIDE)
    return (slope + 0.03 * noise).clamp(0, 1)


def losses(result: Result, kind: str) -> float:
    found = result.recipe["losses"]
    return sum(value for name, value in found.items() if name.startswith(kind))


@pytest.fixture(scope="module")
def plain() -> Result:
    """Twelve steps with the settings that are not changed."""
    content, style = photo(SIDE, SIDE), strokes(SIDE, SIDE)
    return paint(as_picture(content, "photo.png"), as_picture(style, "strokes.png"))


def test_style_comes_closer_and_the_photo_remains(content: Picture, style: Picture) -> None:
    events: list[Step] = []
    result = paint(content, style, on_step=events.append, optimizer="lbfgs", steps=30, **USUAL)
    assert events[-1].total < 0.3 * events[0].total
    assert result.pixels.shape == (1, 3, SIDE, SIDE)
    assert float(result.pixels.min()) >= 0
    assert float(result.pixels.max()) <= 1
    assert losses(result, "content") < 0.05 * 2


def test_equal_seeds_and_settings_give_equal_pixels(
    content: Picture, style: Picture, plain: Result
) -> None:
    assert torch.equal(paint(content, style).pixels, plain.pixels)


def test_a_seed_makes_a_variant(content: Picture, style: Picture, plain: Result) -> None:
    """Equal seeds give equal pictures; without one nothing is varied."""
    first, again, other = (paint(content, style, seed=seed).pixels for seed in (1, 1, 2))
    none = plain.pixels
    assert torch.equal(first, again)
    pairs = ((first, other), (first, none), (other, none))
    assert all(float((one - two).abs().mean()) > 0.005 for one, two in pairs)
    assert paint(content, style, seed=0, steps=1).recipe["settings"]["seed"] == 0


def test_the_seed_decides_the_noise(content: Picture, style: Picture) -> None:
    one, same, other = (
        paint(content, style, init="noise", seed=seed, steps=3).pixels for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_bf16_comes_as_close_as_fp32() -> None:
    """Pixels may differ, the objective reached may not."""
    totals = []
    for precision in ("fp32", "bf16"):
        settings = TransferSettings(network="vgg16", size="64", min_size=64, steps=40)
        execution = Execution(device="cpu", precision=precision)
        pattern = as_picture(strokes())
        result = Transfer(as_picture(cat(64)), [pattern], settings, execution).run()
        totals.append(losses(result, ""))
    assert totals[1] == pytest.approx(totals[0], rel=0.03)


def test_more_content_weight_keeps_more_of_the_photo(content: Picture, style: Picture) -> None:
    errors = [
        losses(paint(content, style, content_weight=weight), "content") / weight
        for weight in (0.01, 0.1, 1.0)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.slow  # paints for several seconds
def test_cleanup_joins_strokes(content: Picture, style: Picture) -> None:
    """The same paint, cleaned up afterwards; the less photo there is, the more."""
    raw, half, whole = (paint(content, style, cleanup=each) for each in (0, 0.5, 1))
    torch.testing.assert_close(whole.pixels, clean_up(raw.pixels, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(half.pixels, clean_up(raw.pixels, 0.5), atol=1e-5, rtol=0)
    faint = [paint(content, style, strength=5, cleanup=each).pixels for each in (0, 1)]
    torch.testing.assert_close(faint[1], clean_up(faint[0], 0.25), atol=1e-5, rtol=0)


def test_every_picture_that_is_shown_is_cleaned_up(content: Picture, style: Picture) -> None:
    shown: dict[float, list[torch.Tensor]] = {0.0: [], 1.0: []}
    for amount, pictures in shown.items():

        def keep(step: Step, pictures: list[torch.Tensor] = pictures) -> None:
            pictures.append(step.picture())

        paint(content, style, cleanup=amount, steps=3, on_step=keep)
    for raw, clean in zip(*shown.values(), strict=True):
        torch.testing.assert_close(clean, clean_up(raw, 1), atol=1e-5, rtol=0)


def test_the_result_has_the_grain_of_its_style() -> None:
    """The same paint, with the grain of each style by its share; less of it on a faint painting."""
    content = as_picture(photo())
    rough, smooth = as_picture(grainy(0)), as_picture(grainy(1))
    raw, whole = (paint(content, rough, grain=each, steps=2).pixels for each in (0, 1))
    grain = grain_of(rough.pixels)
    torch.testing.assert_close(whole, with_grain(raw, grain, 1), atol=1e-5, rtol=0)
    assert not torch.equal(raw, whole)
    faint = [paint(content, rough, strength=5, grain=each, steps=2).pixels for each in (0, 2)]
    torch.testing.assert_close(faint[1], with_grain(faint[0], grain, 0.5), atol=1e-5, rtol=0)
    two = {"style_weights": (3.0, 1.0), "steps": 2}
    raw, whole = (paint(content, rough, smooth, grain=each, **two).pixels for each in (0, 1))
    expected = with_grain(with_grain(raw, grain, 0.75), grain_of(smooth.pixels), 0.25)
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=0)


def test_the_finest_detail_is_that_of_the_style() -> None:
    """Of the styles that the finest layer is asked for; less of it on a faint painting."""
    pixels = photo(SIDE, SIDE), strokes(SIDE, SIDE), grainy(1)
    content, one, other = map(as_picture, pixels)
    patches = patches_of([(one.pixels, 1.0)])
    raw, whole = (paint(content, one, retouch=each, cleanup=0, steps=2).pixels for each in (0, 1))
    torch.testing.assert_close(whole, retouched(raw, patches, 1))
    assert not torch.equal(raw, whole)
    clean = paint(content, one, retouch=1, cleanup=1, steps=2).pixels
    torch.testing.assert_close(clean, clean_up(whole, 1), atol=1e-5, rtol=0)
    faint = {"strength": 5, "cleanup": 0, "steps": 2}
    raw, whole = (paint(content, one, retouch=each, **faint).pixels for each in (0, 1))
    torch.testing.assert_close(whole, retouched(raw, patches, 0.25))
    for words, styles in [
        ({"style_weights": (3.0, 1.0)}, [(one.pixels, 0.75), (other.pixels, 0.25)]),
        ({"style_parts": ("coarse", "fine")} | USUAL, [(other.pixels, 1.0)]),
    ]:
        quick = words | {"cleanup": 0, "steps": 2}
        raw, whole = (paint(content, one, other, retouch=each, **quick).pixels for each in (0, 1))
        torch.testing.assert_close(whole, retouched(raw, patches_of(styles), 1))


def test_a_style_of_coarse_shapes_lends_no_detail() -> None:
    content, style = as_picture(photo(SIDE, SIDE)), as_picture(strokes(SIDE, SIDE))
    words = {"style_parts": ("coarse",), "steps": 2} | USUAL
    plain, whole = (paint(content, style, retouch=each, **words).pixels for each in (0, 1))
    assert torch.equal(plain, whole)


def test_the_last_step_is_shown_without_retouching() -> None:
    content, style = as_picture(photo(SIDE, SIDE)), as_picture(strokes(SIDE, SIDE))
    events: list[torch.Tensor] = []
    words = {"steps": 2, "on_step": lambda step: events.append(step.picture())}
    paint(content, style, retouch=1, **words)
    plain = paint(content, style, retouch=0, steps=2)
    torch.testing.assert_close(events[-1], plain.pixels)


def test_frames_of_clips_have_no_grain() -> None:
    """Not even the first of a shot, whose paint moves along."""
    content, style = as_picture(photo(SIDE, SIDE)), as_picture(grainy(0))
    settings = TransferSettings(
        **FEW | {"network": "vgg16", "size": str(SIDE), "min_size": SIDE, "steps": 2}
    )
    plain = replace(settings, grain=0)
    found = [
        Transfer(content, [style], each, FP32, frame=ClipFrame(content), session=STUDIO).run()
        for each in (settings, plain)
    ]
    assert torch.equal(found[0].pixels, found[1].pixels)


def test_paint_of_other_frames_is_retouched_less() -> None:
    """Nor is it cleaned up again; other paint is retouched in full."""
    content, style = as_picture(photo(SIDE, SIDE)), as_picture(strokes(SIDE, SIDE))
    settings = TransferSettings(**FEW | {"network": "vgg16", "size": str(SIDE), "cleanup": 1})

    def frame(trust: float, **changes: float) -> torch.Tensor:
        moved = Continuation(
            start=content.pixels,
            target=content.pixels,
            trust=torch.full((1, 1, SIDE, SIDE), trust),
            weight=1.0,
            scales=[Scale(SIDE, SIDE, 2)],
            caution=1.0,
            retouch=0.25,
        )
        job = Transfer(
            content,
            [style],
            replace(settings, **changes),
            FP32,
            frame=ClipFrame(content, moved),
            session=STUDIO,
        )
        return job.run().pixels

    patches = patches_of([(style.pixels, 1.0)])
    for trust, amount, cleanup in ((1.0, 0.25, 0), (0.0, 1.0, 1)):
        raw = frame(trust, retouch=0, cleanup=0)
        expected = clean_up(retouched(raw, patches, amount), cleanup)
        torch.testing.assert_close(frame(trust), expected, atol=1e-5, rtol=0)


def test_a_style_of_coarse_shapes_lends_no_grain() -> None:
    content, styles = as_picture(photo()), [as_picture(grainy(0)), as_picture(grainy(1))]
    words = {"style_parts": ("fine", "coarse"), "steps": 2} | USUAL
    raw, whole = (paint(content, *styles, grain=each, **words).pixels for each in (0, 1))
    expected = with_grain(raw, grain_of(styles[0].pixels), 1)
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=0)


def test_strength_goes_from_the_photo_to_all_paint() -> None:
    content, style = as_picture(photo()), as_picture(strokes())
    large = USUAL | {"size": "64", "min_size": 64}
    results = [paint(content, style, strength=each, **large) for each in (0, 20, 50, 80, 100)]
    assert torch.equal(results[0].pixels, content.pixels)
    away = [losses(each, "style") for each in results[1:]]
    assert away == sorted(away, reverse=True)
    assert losses(results[-1], "content") == losses(results[-1], "edges") == 0
    assert losses(results[2], "edges") > 0
    assert results[2].recipe["settings"]["strength"] == 50
    assert results[2].recipe["resolved"]["content_weight"] == pytest.approx(0.012)


@pytest.mark.slow  # paints for several seconds
def test_no_content_weight_from_noise_is_texture_synthesis(
    content: Picture, style: Picture
) -> None:
    events: list[Step] = []
    settings = USUAL | {"content_weight": 0.0, "init": "noise", "steps": 40}
    result = paint(content, style, on_step=events.append, **settings)
    assert not any(name.startswith("content") for name in result.recipe["losses"])
    assert events[-1].total < 0.2 * events[0].total


def test_more_smoothness_is_smoother(content: Picture, style: Picture) -> None:
    rough, medium, smooth = (
        float(total_variation(paint(content, style, smoothness=weight).pixels))
        for weight in (0.0, 1.0, 20.0)
    )
    assert rough > medium > smooth


@pytest.mark.slow
def test_a_smaller_style_gives_finer_strokes() -> None:
    """Stripes of 16 px at half the size are stripes of 8 px: faster changes."""
    content, style = as_picture(photo()), as_picture(strokes(64, 64, 16.0))
    settings = {"content_weight": 0.0, "init": "noise", "steps": 40, "smoothness": 0.0}
    settings |= USUAL | {"size": "64", "min_size": 64}
    large = paint(content, style, style_size=64, **settings).pixels
    small = paint(content, style, style_size=32, **settings).pixels
    assert mean_frequency(small) > 1.1 * mean_frequency(large)


def mean_frequency(pixels: torch.Tensor) -> float:
    grey = pixels.mean(1)[0] - pixels.mean()
    power = torch.fft.rfft2(grey).abs().square()
    radius = (torch.fft.fftfreq(64).view(-1, 1) ** 2 + torch.fft.rfftfreq(64) ** 2).sqrt()
    return float((power * radius).sum() / power.sum())


@pytest.mark.slow
def test_style_weights_choose_between_styles(content: Picture, style: Picture) -> None:
    blue = as_picture(strokes(SIDE, SIDE, 5.0).flip(1), "blue.png")
    first = paint(content, style, blue, style_weights=(1.0, 0.0))
    assert torch.equal(first.pixels, paint(content, style).pixels)
    red_minus_blue = [
        float((p[:, 0] - p[:, 2]).mean())
        for p in (
            paint(content, style, blue, style_weights=weights).pixels
            for weights in ((1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
        )
    ]
    assert red_minus_blue[0] > red_minus_blue[1] > red_minus_blue[2]


def test_no_weights_means_equal_weights(content: Picture, style: Picture) -> None:
    blue = as_picture(strokes(SIDE, SIDE, 5.0).flip(1), "blue.png")
    equal = paint(content, style, blue, style_weights=(2.0, 2.0), steps=3)
    assert torch.equal(equal.pixels, paint(content, style, blue, steps=3).pixels)


def test_the_order_of_styles_does_not_matter(content: Picture, style: Picture) -> None:
    blue = as_picture(strokes(SIDE, SIDE, 5.0).flip(1), "blue.png")
    one = paint(content, style, blue, style_weights=(3.0, 1.0), steps=3)
    two = paint(content, blue, style, style_weights=(1.0, 3.0), steps=3)
    torch.testing.assert_close(one.pixels, two.pixels, atol=1e-3, rtol=0)


def test_gram_and_moments_want_different_things(
    content: Picture, style: Picture, plain: Result
) -> None:
    gram = paint(content, style, style_loss="gram")
    assert float((gram.pixels - plain.pixels).abs().mean()) > 0.005


def test_layers_decide_what_is_compared(content: Picture, style: Picture) -> None:
    result = paint(
        content,
        style,
        style_layers=(("relu1_1", 1.0), ("relu3_1", 1.0)),
        content_layers=(("relu2_2", 1.0), ("conv3_2", 3.0)),
        steps=2,
    )
    assert set(result.recipe["losses"]) == {
        "style relu1_1",
        "style relu3_1",
        "content relu2_2",
        "content conv3_2",
        "match relu4_1",
        "edges",
        "smoothness",
    }


def test_more_variance_is_compared_in_deep_layers_only(content: Picture, style: Picture) -> None:
    """The same picture is further from the style where more of its directions are looked at."""
    layers = (("relu1_1", 1.0), ("relu4_1", 1.0))

    def losses(share: float) -> dict[str, float]:
        seen: list[Step] = []
        paint(
            content, style, style_layers=layers, style_variance=share, steps=1, on_step=seen.append
        )
        return dict(seen[0].losses)

    few, all_of_them = losses(0.5), losses(1.0)
    assert all_of_them["style relu4_1"] > 1.05 * few["style relu4_1"]
    assert all_of_them["style relu1_1"] == few["style relu1_1"]


def test_a_smaller_ratio_paints_more_sizes(content: Picture, style: Picture) -> None:
    large = as_picture(photo(128, 128), "photo.png")
    words = {"size": "128", "min_size": 64, "steps": 1, "final_steps": 1}
    assert len(paint(large, style, **words).recipe["resolved"]["scales"]) == 2
    finer = paint(large, style, size_ratio=2**0.5, **words).recipe["resolved"]["scales"]
    assert [width for _, width, _ in finer] == [64, 91, 128]


def test_average_pooling_is_another_picture(
    content: Picture, style: Picture, plain: Result
) -> None:
    average = paint(content, style, pooling="avg")
    assert float((average.pixels - plain.pixels).abs().mean()) > 0.005


def test_vgg19_is_another_network(content: Picture, style: Picture, plain: Result) -> None:
    result = paint(content, style, network="vgg19")
    assert result.recipe["weights"]["name"] == "vgg19"
    assert float((result.pixels - plain.pixels).abs().mean()) > 0.005


def test_a_start_of_ones_own(content: Picture, style: Picture) -> None:
    start = as_picture(torch.full((1, 3, 16, 16), 0.9), "start.png")
    result = paint(
        content, style, start=start, init="file", optimizer="adam", steps=1, learning_rate=1e-4
    )
    expected = torch.full((1, 3, SIDE, SIDE), 0.9)
    torch.testing.assert_close(result.pixels, expected, atol=1e-3, rtol=0)
    assert [each["role"] for each in result.recipe["inputs"]] == ["content", "style", "start"]


@pytest.mark.parametrize(
    ("init", "source"), [("content", photo(SIDE, SIDE)), ("style", strokes(SIDE, SIDE))]
)
def test_starts(content: Picture, style: Picture, init: str, source: torch.Tensor) -> None:
    result = paint(
        content, style, init=init, optimizer="adam", steps=1, learning_rate=1e-4, cleanup=0
    )
    torch.testing.assert_close(result.pixels, source, atol=1e-3, rtol=0)


TWO_SCALES: dict[str, object] = {
    "size": "64",
    "optimizer": "adam",
    "learning_rate": 1e-5,
    "cleanup": 0,
    "size_ratio": 2,
}


@pytest.mark.parametrize("detail", [0.0, 0.5, 1.0])
def test_detail_comes_back_with_the_size(style: Picture, detail: float) -> None:
    """Hardly a step is made, so what is there is the start: coarse, and a share of the rest."""
    content = as_picture(photo())
    result = paint(content, style, detail=detail, steps=1, **TWO_SCALES)
    coarse = resize(resize(content.pixels, (32, 32)), (64, 64))
    expected = (coarse + detail * (content.pixels - coarse)).clamp(0, 1)
    torch.testing.assert_close(result.pixels, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("init", ["noise", "style"])
def test_no_detail_of_the_photo_where_it_is_not_the_start(style: Picture, init: str) -> None:
    first, second = (
        paint(as_picture(photo()), style, init=init, detail=detail, steps=2, **TWO_SCALES).pixels
        for detail in (0.0, 1.0)
    )
    assert torch.equal(first, second)


def test_adam_descends(content: Picture, style: Picture) -> None:
    events: list[Step] = []
    paint(content, style, optimizer="adam", steps=25, on_step=events.append)
    assert events[-1].total < 0.4 * events[0].total


def test_lbfgs_comes_closer_than_adam_in_equal_steps(content: Picture, style: Picture) -> None:
    totals = [
        losses(paint(content, style, optimizer=name, steps=15), "") for name in ("lbfgs", "adam")
    ]
    assert totals[0] < 0.95 * totals[1]


def test_more_steps_come_closer(content: Picture, style: Picture, plain: Result) -> None:
    longer = paint(content, style, steps=30)
    assert losses(longer, "style") < losses(plain, "style")


def test_a_larger_learning_rate_moves_further(content: Picture, style: Picture) -> None:
    moved = [
        float(
            (
                paint(content, style, optimizer="adam", steps=3, learning_rate=rate).pixels
                - content.pixels
            )
            .abs()
            .mean()
        )
        for rate in (0.005, 0.02)
    ]
    assert moved[1] > 2 * moved[0]


def test_averaging_lags_behind_the_last_iterate(content: Picture, style: Picture) -> None:
    last, averaged = (
        paint(content, style, optimizer="adam", steps=8, averaging=share).pixels
        for share in (0.0, 0.95)
    )
    near, far = (float((each - content.pixels).abs().mean()) for each in (averaged, last))
    assert near < far


def test_tolerance_ends_a_scale_early(content: Picture, style: Picture) -> None:
    result = paint(content, style, steps=30, tolerance=0.9)
    assert result.recipe["resolved"]["scales"][0][2] < 30


def test_sizes_and_scales(style: Picture) -> None:
    result = paint(as_picture(photo(80, 100)), style, size="80", min_size=40, steps=2)
    assert result.pixels.shape == (1, 3, 64, 80)
    assert result.recipe["resolved"]["scales"] == [[50, 40, 2], [80, 64, 2]]


def test_nothing_is_enlarged(style: Picture) -> None:
    result = paint(as_picture(photo(40, 48)), style, size="4096", steps=1)
    assert result.pixels.shape == (1, 3, 40, 48)


def test_every_pixel_of_an_odd_size_is_painted(style: Picture) -> None:
    """Poolings drop the last odd row: without a canvas it would stay as in the photo."""
    content = as_picture(photo(47, 63))
    change = (paint(content, style, size="63", min_size=63).pixels - content.pixels).abs()
    inner = float(change[..., 16:-16, 16:-16].mean())
    for strip in (change[..., -3:, :], change[..., -3:], change[..., :3, :], change[..., :3]):
        assert float(strip.mean()) > 0.4 * inner


@pytest.mark.slow
def test_one_recipe_looks_the_same_at_two_sizes() -> None:
    content, style = as_picture(cat(192)), as_picture(strokes(192, 192, 16.0))
    small, large = (
        paint(content, style, size=size, min_size=96, steps=15, final_steps=15, **USUAL).pixels
        for size in ("96", "192")
    )
    halved = F.interpolate(large, size=(96, 96), mode="bicubic", antialias=True)
    for moment in (torch.mean, torch.std):
        one, two = moment(small, dim=(2, 3)), moment(halved, dim=(2, 3))
        torch.testing.assert_close(one, two, rtol=0.25, atol=0.03)


def test_alpha_is_kept(style: Picture) -> None:
    alpha = (torch.arange(SIDE).view(1, 1, 1, SIDE) >= 16).float().expand(1, 1, SIDE, SIDE)
    result = paint(as_picture(photo(SIDE, SIDE), alpha=alpha), style, steps=1)
    assert result.alpha is not None
    assert torch.equal(result.alpha, alpha)


def test_a_stop_gives_the_picture_so_far(style: Picture) -> None:
    events: list[Step] = []
    result = paint(
        as_picture(photo()),
        style,
        size="64",
        on_step=events.append,
        stop=lambda: len(events) >= 3,
    )
    assert result.interrupted
    assert result.recipe["interrupted"] is True
    assert result.recipe["resolved"]["scales"] == [[40, 40, 3]]
    assert result.pixels.shape == (1, 3, 64, 64)


def test_a_stop_before_the_first_step_has_nothing_to_give(content: Picture, style: Picture) -> None:
    with pytest.raises(InterruptedRunError):
        paint(content, style, stop=lambda: True)


def test_previews_are_pictures_of_the_scale(content: Picture, style: Picture) -> None:
    shapes = []
    paint(content, style, steps=2, on_step=lambda event: shapes.append(event.picture().shape))
    assert shapes == [(1, 3, SIDE, SIDE)] * 2


def test_a_plain_style_does_no_harm(content: Picture) -> None:
    result = paint(content, as_picture(torch.full((1, 3, SIDE, SIDE), 0.5)))
    assert torch.isfinite(result.pixels).all()


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        (SettingError, {"style_weights": (1.0, 2.0)}),
        (SettingError, {"init": "file"}),
        (UnknownNameError, {"style_layers": (("relu9_1", 1.0),)}),
        (UnknownNameError, {"network": "vgg61"}),
    ],
)
def test_requests_that_make_no_sense(
    content: Picture, style: Picture, error: type[Exception], changes: dict[str, object]
) -> None:
    with pytest.raises(error):
        paint(content, style, **changes)


def test_a_transfer_needs_a_style(content: Picture) -> None:
    with pytest.raises(SettingError, match="0 style images"):
        paint(content)


@pytest.mark.parametrize("side", [1, 15])
def test_pictures_too_small_for_the_network(content: Picture, style: Picture, side: int) -> None:
    tiny = as_picture(torch.rand(1, 3, side, side), "tiny.png")
    with pytest.raises(PictureError, match=f"tiny.png: {side}×{side} px is too small"):
        paint(tiny, style)
    with pytest.raises(PictureError, match="at least 16 px"):
        paint(content, tiny)


def test_the_python_function(files: tuple[Path, Path], tmp_path: Path) -> None:
    content, style = files
    result = stylize.transfer(
        content, [style, read_picture(style)], size="32", steps=2, device="cpu", precision="fp32"
    )
    result.save(tmp_path / "out.png")
    recipe = load_recipe(tmp_path / "out.png")
    assert recipe["settings"]["steps"] == 2
    assert [each["name"] for each in recipe["inputs"]] == [
        "photo.png",
        "strokes.png",
        "strokes.png",
    ]
    assert recipe == result.recipe


def test_tiles_paint_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound on memory changes rounding, not the picture; the recipe mentions the tiles."""
    monkeypatch.setattr(layout_module, "TILES_PX", (64, 32))
    monkeypatch.setattr(layout_module, "BASE_BYTES", 0.0)
    settings = TransferSettings(
        network="vgg16",
        size="200",
        steps=2,
        final_steps=2,
        min_size=200,
        style_layers=(("relu1_1", 1), ("relu2_1", 1)),
        content_layers=(("relu2_2", 1),),
        match=0,
    )
    photograph, pattern = as_picture(photo(200, 160)), as_picture(strokes(96, 96))
    found = []
    for allowed in ("4GB", "30MB"):
        execution = Execution(precision="fp32", max_memory=allowed)
        job = Transfer(photograph, [pattern], settings, execution)
        found.append((job.cost(), job.run()))
    (ample, whole), (tight, tiled) = found
    assert whole.recipe["resolved"]["engine"] == "whole"
    assert tiled.recipe["resolved"]["engine"] == "tiles"
    assert tiled.recipe["resolved"]["tile_px"] in (64, 32)
    assert tight.peak_bytes < ample.peak_bytes
    assert tight.tflop > ample.tflop
    assert float((whole.pixels - tiled.pixels).abs().max()) < 2 / 255


def test_a_picture_that_fits_in_no_tiles_is_refused() -> None:
    execution = Execution(precision="fp32", max_memory="100MB")
    with pytest.raises(SettingError, match="even in tiles"):
        Transfer(
            as_picture(photo()), [as_picture(strokes())], TransferSettings(size="64"), execution
        )


def test_a_style_image_that_is_measured_large_counts_in_the_memory(style: Picture) -> None:
    """It takes at least its pixels, in single precision; and it may not fit at all."""
    large = TransferSettings(size="64", style_size=20_000)
    job = Transfer(as_picture(photo()), [style], large, Execution(device="cpu", max_memory="99GB"))
    assert job.cost().peak_bytes > 12 * 20_000**2 * min(style.size) / max(style.size)
    with pytest.raises(SettingError, match="a style image of 20000×") as error:
        Transfer(as_picture(photo()), [style], large, Execution(device="cpu", max_memory="3GB"))
    assert "--style-size" in str(error.value)


def test_a_large_photo_counts_in_the_memory_of_a_small_painting(style: Picture) -> None:
    peaks = [
        Transfer(as_picture(photo(side, side)), [style], TransferSettings(size="64"), FP32)
        .cost()
        .peak_bytes
        for side in (64, 640)
    ]
    assert peaks[1] - peaks[0] == 12 * (640**2 - 64**2)
