"""Cuts are found; flashes, fast motion and fades are no cuts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from stylize.images.read import read_picture
from stylize.video.shots import ShotFinder, Small, small
from tests.conftest import SAMPLES

Frame = NDArray[np.uint8]


def find_shots(frames: Iterable[Small]) -> list[range]:
    """The numbers of the frames of every shot."""
    finder = ShotFinder()
    for frame in frames:
        finder.add(frame)
    finder.end()
    ends = [*finder.starts[1:], finder.count]
    return [range(*each) for each in zip(finder.starts, ends, strict=True)] if finder.count else []


def scene(name: str) -> Frame:
    pixels = read_picture(SAMPLES / "photos" / f"{name}.jpg").pixels[0]
    return np.asarray((pixels.permute(1, 2, 0) * 255).round().numpy(), np.uint8)


def pan(name: str, count: int, way: int = 4) -> Iterator[Small]:
    """The middle of a photo, moving to the right by so many px of 200 a frame."""
    picture = scene(name)
    side = min(picture.shape[:2]) * 2 // 3
    for index in range(count):
        left = 8 + index * way * side // 200
        yield small(picture[20 : 20 + side, left : left + side])


def test_one_scene_is_one_shot() -> None:
    assert find_shots(pan("chelsea", 12)) == [range(12)]


def test_cuts_are_found() -> None:
    frames = [*pan("chelsea", 7), *pan("coffee", 5), *pan("astronaut", 6)]
    assert find_shots(frames) == [range(7), range(7, 12), range(12, 18)]


def test_a_shot_can_be_one_frame() -> None:
    frames = [*pan("chelsea", 5), *pan("coffee", 1), *pan("astronaut", 5)]
    assert find_shots(frames) == [range(5), range(5, 6), range(6, 11)]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length: int) -> None:
    frames = list(pan("chelsea", 10))
    for index in range(4, 4 + length):
        frames[index] = np.clip(frames[index].astype(np.int32) + 140, 0, 255).astype(np.uint8)
    assert find_shots(frames) == [range(10)]


def test_fast_motion_is_no_cut() -> None:
    assert find_shots(pan("chelsea", 6, way=20)) == [range(6)]


def test_a_fade_to_black_is_no_cut_between_frames() -> None:
    frames = [
        (frame * (1 - index / 14)).astype(np.uint8) for index, frame in enumerate(pan("coffee", 14))
    ]
    assert find_shots(frames) == [range(14)]


def test_noise_in_the_dark_is_no_cut() -> None:
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 12, (36, 64, 3), np.uint8) for _ in range(8)]
    assert find_shots(frames) == [range(8)]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_clips(count: int) -> None:
    frames = list(pan("chelsea", 3))[:count]
    assert find_shots(frames) == ([range(count)] if count else [])
