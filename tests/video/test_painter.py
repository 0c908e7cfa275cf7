"""Frames painted from each other: what they share, and that nothing else decides about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import stylize
from stylize.images.convert import to_picture
from stylize.images.read import Picture, read_picture
from stylize.products.transfer.style_groups import MaskRegion, Masks
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.video.painter import ClipPainter, DreamClipPainter, recoloured
from stylize.video.turns import Turn, turns_of
from tests.conftest import SAMPLES, cat

pytestmark = pytest.mark.usefixtures("network")

SHOT = range(3)
QUICK = TransferSettings(
    size="64", min_size=32, steps=8, final_steps=4, style_loss="moments", strength=80
)
MUSING = DreamSettings(size="64", octaves=2, steps=10, layers="conv3_1")
STYLE = read_picture(SAMPLES / "styles" / "mosaic.jpg")
SESSION = Session()

Painter = ClipPainter | DreamClipPainter
Pictures = dict[int, Picture]


def as_frame(pixels: Tensor) -> Picture:
    """A picture as it comes back from an 8-bit file."""
    levels = (pixels[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
    return to_picture(levels.numpy())


def moving(step_px: int) -> list[Picture]:
    """The frames of a camera that moves to the right."""
    return [as_frame(cat(96)[..., 16:80, each * step_px :][..., :64]) for each in SHOT]


def painter(frames: Sequence[Picture], masks: Masks | None = None, **video: float) -> ClipPainter:
    settings = VideoSettings(**video)  # type: ignore[arg-type]
    return ClipPainter(frames[0], [STYLE], QUICK, settings, masks=masks, session=SESSION)


def dreamer(frames: Sequence[Picture], **video: float) -> DreamClipPainter:
    settings = VideoSettings(**video)  # type: ignore[arg-type]
    return DreamClipPainter(frames[0], MUSING, settings, session=SESSION)


def made(job: Painter, turn: Turn, frames: Sequence[Picture], there: Pictures) -> Picture:
    return as_frame(job.paint(turn, SHOT, frames.__getitem__, there.__getitem__).pixels)


def shot(job: Painter, frames: Sequence[Picture]) -> Pictures:
    """All frames of the shot."""
    results: Pictures = {}
    for turn in turns_of(SHOT, job.video):
        results[turn.index] = made(job, turn, frames, results)
    return results


def difference(one: Picture, other: Picture) -> float:
    return float((one.pixels - other.pixels).square().mean())


@pytest.mark.parametrize("kind", [painter, dreamer])
def test_a_frame_depends_on_photos_and_results_alone(kind: type[Painter]) -> None:
    """So a clip that was stopped goes on bit for bit."""
    frames = moving(3)
    results = shot(kind(frames), frames)
    again = made(kind(frames), Turn(2), frames, results)
    assert torch.equal(again.pixels, results[2].pixels)


@pytest.mark.slow
def test_without_coherence_every_frame_is_a_still() -> None:
    frames = moving(3)
    found = made(painter(frames, coherence=0), Turn(1), frames, {})
    still = stylize.transfer(
        frames[1].pixels[0],
        STYLE.pixels[0],
        preset="balanced",
        size=64,
        min_size=32,
        steps=8,
        final_steps=4,
        style_loss="moments",
        strength=80,
    )
    assert difference(found, as_frame(still.pixels)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", [painter, dreamer])
def test_paint_moves_with_the_picture(kind: type[Painter]) -> None:
    frames = moving(4)

    def error(results: Pictures) -> float:
        one, other = results[0].pixels[..., 8:-4], results[1].pixels[..., 4:-8]
        return float((one - other).square().mean())

    assert error(shot(kind(frames), frames)) < 0.5 * error(shot(kind(frames, coherence=0), frames))


@pytest.mark.parametrize("kind", [painter, dreamer])
def test_what_stands_still_stays_as_it_is(kind: type[Painter]) -> None:
    frames = [as_frame(cat(64))] * len(SHOT)
    results = shot(kind(frames, coherence=1), frames)
    assert float((results[2].pixels - results[0].pixels).abs().max()) < 6 / 255


def test_few_steps_do_not_sharpen_from_frame_to_frame() -> None:
    frames = [as_frame(cat(64))] * len(SHOT)
    quick = dataclasses.replace(QUICK, final_steps=1)
    results = shot(ClipPainter(frames[0], [STYLE], quick, VideoSettings(), session=SESSION), frames)
    first, last = (results[index].pixels.diff(dim=-1).abs().mean() for index in (0, 2))
    assert float(last / first) == pytest.approx(1, abs=0.04)


def test_what_appears_is_painted_at_full_coherence_too() -> None:
    frames = moving(24)

    def changed(coherence: float) -> float:
        job = painter(frames, coherence=coherence)
        first = made(job, Turn(0), frames, {})
        second = made(job, Turn(1), frames, {0: first})
        plain = recoloured(frames[1].pixels, frames[0].pixels, first.pixels)
        return float((second.pixels - plain)[..., 44:].abs().mean())

    assert changed(1) > 0.5 * changed(0.8) > 0.01


@pytest.mark.parametrize("kind", [painter, dreamer])
def test_frames_between_get_the_paint_of_both_neighbours(kind: type[Painter]) -> None:
    frames = [as_frame(cat(64))] * len(SHOT)
    job = kind(frames, every=2)
    black, white = (as_frame(torch.full((1, 3, 64, 64), level)) for level in (0.2, 0.6))
    between = made(job, Turn(1, carried=True), frames, {0: black, 2: white})
    assert float((between.pixels - 0.4).abs().max()) < (0.01 if kind is painter else 0.2)


def test_what_no_neighbour_shows_has_the_colours_of_the_paint() -> None:
    photo = cat(64)
    frames = [as_frame(each) for each in (photo.flip(2), photo, photo.flip(3))]
    negatives = {index: as_frame(1 - frames[index].pixels) for index in (0, 2)}
    between = made(painter(frames, every=2), Turn(1, carried=True), frames, negatives)
    error = F.avg_pool2d(between.pixels - (1 - photo), 8)
    assert float(error.abs().mean()) < 0.03


def test_a_second_pass_takes_paint_from_later_frames() -> None:
    frames = [as_frame(cat(64))] * len(SHOT)
    job = painter(frames, passes=2, coherence=1)
    first, other = (as_frame(torch.full((1, 3, 64, 64), level)) for level in (0.3, 0.5))
    again = made(job, Turn(1, 2), frames, {0: first, 1: first, 2: other})
    assert float((again.pixels - 0.4).abs().mean()) < 0.02


def test_kept_places_stay_the_photo_in_every_frame() -> None:
    mask = torch.zeros(1, 3, 64, 64)
    mask[..., :, :40] = 1
    frames = moving(3)
    job = painter(frames, Masks(as_frame(mask)), every=2)
    results = shot(job, frames)
    for index in SHOT:
        assert torch.equal(results[index].pixels[..., 40:], frames[index].pixels[..., 40:])
        assert difference(results[index], frames[index]) > 1e-3


@pytest.mark.parametrize("colours", [False, True])
def test_a_region_that_is_empty_in_a_frame_is_left_out(colours: bool) -> None:
    frames = moving(3)
    left, right = torch.zeros(2, 1, 3, 64, 64)
    left[..., :24] = 1
    right[..., 40:] = 1
    nothing = torch.zeros_like(left)
    shown = {0: (nothing, right), 1: (left, right), 2: (nothing, nothing)}

    def masks(index: int) -> Masks:
        parts = shown[index]
        if not colours:
            return Masks(None, tuple(MaskRegion(as_frame(each), STYLE) for each in parts))
        painted = as_frame(parts[0] * torch.tensor([1.0, 0, 0]).view(3, 1, 1) + parts[1])
        names = ("red", "white")
        return Masks(None, tuple(MaskRegion(painted, STYLE, colour) for colour in names))

    quick = dataclasses.replace(QUICK, steps=2, final_steps=2, color="palette")
    job = ClipPainter(frames[0], [], quick, VideoSettings(), masks=masks, session=SESSION)
    assert job.cost(Turn(1), SHOT).tflop > 0
    results = shot(job, frames)
    for index, parts in shown.items():
        changed = (results[index].pixels - frames[index].pixels).abs().mean(1, keepdim=True)
        for part in parts:
            here = part[:, :1] > 0
            assert not here.any() or float(changed[here].mean()) > 0.01
        assert float(changed[(parts[0] + parts[1])[:, :1] == 0].max()) == 0


@pytest.mark.slow
def test_what_a_mask_hid_is_not_taken_for_paint() -> None:
    mask = torch.ones(1, 3, 64, 64)
    mask[..., :, 40:] = 0
    frames = moving(8)
    job = painter(frames, Masks(as_frame(mask)), coherence=1)
    results = shot(job, frames)
    # What came from under the mask in the second frame.
    there = (..., slice(8, -8), slice(34, 38))
    assert difference_at(results[1], frames[1], there) > 1e-3


def difference_at(one: Picture, other: Picture, there: tuple[object, ...]) -> float:
    return float((one.pixels[there] - other.pixels[there]).square().mean())


def test_the_cost_falls_after_the_first_frame() -> None:
    frames = moving(3)
    job = ClipPainter(
        frames[0], [STYLE], TransferSettings(size="512", enlarge=True), VideoSettings(every=2)
    )
    first, between, second = (
        job.cost(turn, SHOT) for turn in (Turn(0), Turn(1, carried=True), Turn(2))
    )
    assert 0.2 < second.tflop / first.tflop < 0.4
    assert between.tflop == 0
