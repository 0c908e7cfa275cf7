"""Films: frames that follow from each other, brightness that stays, loops that close."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.images.read import Picture, read_picture
from stylize.images.resampling import resize
from stylize.products.dream.tunnel import (
    GROWN_CONTRAST,
    MOST_GAIN,
    Anchor,
    Camera,
    Tunnel,
    fade_frames,
    faded,
    is_same_film,
)
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import from_document
from tests.conftest import as_picture, cat, photo, strokes

FP32 = Execution(device="cpu", precision="fp32")
BASE = {
    "size": "32",
    "layers": "conv2_2",
    "octaves": 1,
    "steps": 5,
    "frames": 4,
    "pace": 0.2,
    "jitter": 4,
}


def film(picture: Picture | None = None, guide: Picture | None = None, **changes: Any) -> Tunnel:
    photo = None if "from_noise" in changes else picture or as_picture(cat(32), "cat.png")
    return Tunnel(photo, TunnelSettings(**(BASE | changes)), FP32, guide=guide)


def levels(picture: Tensor) -> Tensor:
    return picture * 255


def contrast(picture: Tensor) -> float:
    return float(picture.mean(1).std())


@pytest.fixture(scope="module")
def frames() -> list[Result]:
    return list(film().frames())


def test_the_first_frame_is_the_picture(frames: list[Result]) -> None:
    assert len(frames) == 4
    expected = (levels(cat(32))).round() / 255
    assert torch.equal(frames[0].pixels, expected)
    assert frames[0].recipe["losses"] == {}


def test_every_frame_is_the_camera_and_a_part_of_a_dream(frames: list[Result]) -> None:
    for before, after in pairwise(frames):
        moved = Camera(zoom=1.04).move(before.pixels)
        distance = float(levels(after.pixels - moved).abs().mean())
        assert 1 < distance < 20, "a fifth of a strength of 60 grey levels, and the anchor"
        assert set(after.recipe["losses"]) == {"dream conv2_2"}


def test_frames_are_what_their_files_hold(frames: list[Result]) -> None:
    stream = BytesIO()
    frames[2].save(stream)
    assert torch.equal(read_picture(stream.getvalue()).pixels, frames[2].pixels)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_film_goes_on_at_any_frame(frames: list[Result], number: int) -> None:
    rest = list(film().frames(frames[number - 1].pixels, number))
    assert len(rest) == 4 - number
    for found, expected in zip(rest, frames[number:], strict=True):
        assert torch.equal(found.pixels, expected.pixels)
        assert found.recipe == expected.recipe


def test_a_longer_film_begins_with_the_shorter(frames: list[Result]) -> None:
    longer = list(film(frames=5, fps=30.0).frames())
    for found, expected in zip(longer, frames, strict=False):
        assert torch.equal(found.pixels, expected.pixels)


@pytest.mark.parametrize("answers", [1, 2, 3, 4, 8])
def test_a_stop_ends_with_a_whole_frame(answers: int) -> None:
    """Whenever it comes: before a frame, before its first step, between its steps."""
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > answers

    found = [frame.pixels for frame in film(steps=20).frames(stop=stop)]
    expected = [frame.pixels for frame in film(steps=20, frames=3).frames()]
    assert 1 <= len(found) < 4
    for one, other in zip(found, expected, strict=False):
        assert torch.equal(one, other)


def test_a_stop_at_once_ends_before_the_first_frame() -> None:
    assert list(film().frames(stop=lambda: True)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"zoom": 1.2},
        {"rotate": 20.0},
        {"pan_x": 10.0},
        {"pan_y": -10.0},
        {"pace": 0.6},
        {"strength": 150.0},
        {"seed": 1},
        {"layers": "conv1_2"},
        {"from_noise": "32x32"},
    ],
    ids=str,
)
def test_every_option_moves_the_second_frame(frames: list[Result], changes: dict[str, Any]) -> None:
    _, second = film(frames=2, **changes).frames()
    assert float(levels(second.pixels - frames[1].pixels).abs().mean()) > 0.5


def test_a_guide_shapes_the_frames(frames: list[Result]) -> None:
    _, second = film(frames=2, guide=as_picture(strokes(), "strokes.png")).frames()
    assert float(levels(second.pixels - frames[1].pixels).abs().mean()) > 0.5
    assert [each["role"] for each in second.recipe["inputs"]] == ["content", "guide"]


def test_pace_is_a_share_of_steps_and_of_strength() -> None:
    for pace, steps in ((0.2, 1), (0.6, 3), (1.0, 5), (0.01, 1)):
        assert [scale.steps for scale in film(pace=pace).scales] == [steps]
    assert film(octaves=3).notes == ["1 octave instead of 3: conv2_2 needs 32 px on the short side"]


@pytest.mark.parametrize("value", ["bright", "dark", "coloured"])
def test_a_film_neither_darkens_nor_burns_out(value: str) -> None:
    """Forty frames of a strong dream; the mean of every channel is that of the first."""
    picture = {
        "bright": 0.7 + 0.3 * cat(32),
        "dark": 0.3 * cat(32),
        "coloured": cat(32) * torch.tensor([0.2, 0.9, 0.5]).view(1, 3, 1, 1),
    }[value]
    job = film(as_picture(picture), frames=40, strength=60.0, palette="neon")
    pictures = [frame.pixels for frame in job.frames()]
    first = levels(pictures[0]).mean((2, 3))
    for found in pictures:
        assert float((levels(found).mean((2, 3)) - first).abs().max()) < 1
        assert contrast(found) < 1.1 * max(GROWN_CONTRAST, contrast(pictures[0]))


def test_the_recipe_is_that_of_the_film(frames: list[Result]) -> None:
    job = film(rotate=2.0)
    recipe = job.recipe(3, {})
    assert recipe["technique"] == "tunnel"
    assert from_document(TunnelSettings, recipe["settings"]) == job.settings
    assert recipe["resolved"]["scales"] == [[32, 32, 1]]
    assert recipe["resolved"]["frames"] == 3
    assert [frame.recipe["resolved"]["frames"] for frame in frames] == [1, 2, 3, 4]


def test_a_film_costs_its_frames() -> None:
    one, many = film(frames=2).cost(), film(frames=11).cost()
    assert many.tflop == pytest.approx(10 * one.tflop)
    assert many.peak_bytes == one.peak_bytes


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"frames": 9, "fps": 3.0, "loop": True}, True),
        ({"rotate": 1.0}, False),
        ({"strength": 61.0}, False),
        ({"size": "16"}, False),
    ],
    ids=str,
)
def test_which_frames_belong_together(changes: dict[str, Any], same: bool) -> None:
    assert is_same_film(film(**changes).recipe(2, {}), film().recipe(7, {})) is same


def test_other_pictures_make_other_films() -> None:
    other = Picture(cat(32), None, "cat.png", "1" * 64, ())
    renamed = as_picture(cat(32), "renamed.png")
    assert not is_same_film(film(other).recipe(1, {}), film().recipe(1, {}))
    assert is_same_film(film(renamed).recipe(1, {}), film().recipe(1, {}))


@pytest.mark.parametrize("key", ["weights", "version", "inputs"])
@pytest.mark.parametrize("value", [None, 3, "text", [3], [{}], {}])
def test_a_damaged_recipe_is_another_film(key: str, value: Any) -> None:
    recipe = film().recipe(1, {})
    assert not is_same_film(recipe | {key: value}, recipe)
    assert not is_same_film({k: v for k, v in recipe.items() if k != key}, recipe)


def test_a_loop_needs_frames_to_fade() -> None:
    for frames, fade in ((1, 1), (2, 1), (8, 2), (100, 25)):
        settings = TunnelSettings(frames=frames, loop=True)
        assert fade_frames(settings) == fade
        assert film(frames=frames, loop=True).raw_frames == frames + fade
    assert fade_frames(TunnelSettings(frames=100)) == 0


def test_a_fade_goes_from_one_picture_to_the_other() -> None:
    one, other = photo(32, 32), cat(32)
    torch.testing.assert_close(faded(one, other, 0.0), other, atol=1e-5, rtol=0)
    torch.testing.assert_close(faded(one, other, 1.0), one, atol=1e-5, rtol=0)
    middle = faded(one, other, 0.5)
    wanted = (contrast(one) + contrast(other)) / 2
    assert contrast(middle) == pytest.approx(wanted, rel=0.05), "mixing alone would dull it"
    assert contrast((one + other) / 2) < 0.9 * wanted
    flat = torch.full((1, 3, 8, 8), 0.3)
    torch.testing.assert_close(faded(flat, flat, 0.5), flat)


@given(
    seed=st.integers(0, 1000),
    mean=st.floats(0.02, 0.98),
    spread=st.floats(0, 0.4),
    first=st.floats(0.1, 0.9),
)
def test_the_anchor_holds_the_mean(seed: int, mean: float, spread: float, first: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    grain = resize(torch.randn(1, 3, 6, 6, generator=generator), (24, 24))
    start = (first + 0.1 * grain).clamp(0, 1)
    found = Anchor.of(start).hold((mean + spread * grain.flip(3)).clamp(0, 1))
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    torch.testing.assert_close(found.mean((2, 3)), start.mean((2, 3)), atol=0.5 / 255, rtol=0)


def test_the_anchor_leaves_the_first_frame() -> None:
    torch.testing.assert_close(Anchor.of(cat(32)).hold(cat(32)), cat(32), atol=1e-5, rtol=0)


def test_the_anchor_bounds_the_contrast_and_raises_it_slowly() -> None:
    start = 0.5 + 0.3 * (cat(32) - cat(32).mean())
    dull = 0.5 + 0.1 * (cat(32) - cat(32).mean())
    harsh = (cat(32) > cat(32).mean()).float()
    anchor = Anchor.of(start)
    assert contrast(anchor.hold(dull)) == pytest.approx(MOST_GAIN * contrast(dull), rel=1e-3)
    assert contrast(harsh) > 1.2 * GROWN_CONTRAST
    assert contrast(anchor.hold(harsh)) <= 1.01 * max(GROWN_CONTRAST, anchor.contrast)


def test_a_preset_for_dreams_is_one_for_films() -> None:
    look = DreamSettings(layers="conv1_1", strength=7.0)
    assert film(layers=look.layers, strength=look.strength).settings.layers == "conv1_1"
