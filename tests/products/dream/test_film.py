"""Films on disk: frames found again, long films that keep their light, loops without a seam."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stylize.errors import OutputError
from stylize.images.read import Picture, read_picture
from stylize.images.write import write_picture
from stylize.products.dream.film import Reel, cut, develop, frame_path, lay_out
from stylize.products.dream.tunnel import Tunnel
from stylize.runs.recipe import load_recipe, to_text
from stylize.settings.dream import TunnelSettings
from stylize.settings.execution import Execution
from tests.conftest import as_picture, cat, photo

pytestmark = pytest.mark.usefixtures("network")
FP32 = Execution(precision="fp32")
BRIEF: dict[str, Any] = {"octaves": 1, "steps": 1, "layers": "conv1_2"}


def film_of(start: Picture | None = None, **settings: Any) -> Tunnel:
    """A film of the cat, unless stated otherwise."""
    if start is None:
        start = as_picture(cat(32))
    return Tunnel(start, TunnelSettings(**(BRIEF | settings)), FP32)


def after(steps: int) -> Callable[[], bool]:
    """Says stop when it is asked once more than so many times."""
    asked = count(1)
    return lambda: next(asked) > steps


def bytes_of(reel: Reel) -> list[bytes]:
    return [frame_path(reel.folder, number).read_bytes() for number in reel.numbers()]


def jump(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().mean())


@pytest.fixture
def reel(tmp_path: Path) -> Reel:
    (tmp_path / "reel").mkdir()
    return Reel(tmp_path / "reel")


class TestFolder:
    """What is taken for a frame."""

    def test_numbers(self, reel: Reel) -> None:
        assert Reel(reel.folder / "gone").numbers() == []
        for name in ("00010", "00002", "100000", "000003", "1", "00004x", "-0001"):
            (reel.folder / f"frame-{name}.png").touch()
        (reel.folder / "frame-00005.jpg").touch()
        assert reel.numbers() == [2, 10, 100_000]
        assert all(frame_path(reel.folder, number).exists() for number in reel.numbers())

    def test_clear(self, reel: Reel) -> None:
        for number in (1, 2, 3):
            frame_path(reel.folder, number).touch()
        reel.clear(after=2)
        assert reel.numbers() == [1, 2]
        (reel.folder / "notes.txt").touch()
        reel.clear()
        assert [path.name for path in reel.folder.iterdir()] == ["notes.txt"]
        (reel.folder / "notes.txt").unlink()
        reel.clear()
        assert not reel.folder.exists()
        reel.clear()


class TestGoingOn:
    """A film that was stopped is the film that was not."""

    @pytest.mark.parametrize("asked", [1, 2, 5])
    def test_bit_for_bit(self, reel: Reel, tmp_path: Path, asked: int) -> None:
        film = film_of(frames=5, rotate=2.0, jitter=4)
        whole = Reel(tmp_path)
        assert whole.shoot(film)
        reported: list[int] = []
        assert not reel.shoot(film, reported.append, after(asked))
        stopped = reel.last_of(film)
        assert reported == list(range(1, stopped + 1)), "only whole frames are kept"
        assert reel.shoot(film_of(frames=5, rotate=2.0, jitter=4), reported.append)
        assert reported[-1] == 5
        assert bytes_of(reel) == bytes_of(whole)

    def test_longer_shorter_faster(self, reel: Reel) -> None:
        assert reel.shoot(film_of(frames=2))
        first = bytes_of(reel)
        assert reel.shoot(film_of(frames=4, fps=60.0))
        assert bytes_of(reel)[:2] == first
        reported: list[int] = []
        assert reel.shoot(film_of(frames=3), reported.append)
        assert reported == [3], "nothing is dreamt"

    @pytest.mark.parametrize(
        "change",
        [{"seed": 1}, {"zoom": 1.1}, {"strength": 61.0}, {"palette": "neon"}, {"pace": 0.9}],
    )
    def test_another_film(self, reel: Reel, change: dict[str, Any]) -> None:
        reel.shoot(film_of(frames=1))
        before = bytes_of(reel)
        with pytest.raises(OutputError, match=r"frames of another film .*--overwrite"):
            reel.shoot(film_of(frames=2, **change))
        assert bytes_of(reel) == before

    def test_another_photograph(self, reel: Reel) -> None:
        reel.shoot(film_of(frames=1))
        start = Picture(cat(32), None, "test.png", "1" * 64, ())
        assert not reel.is_of(film_of(start))
        assert reel.is_of(film_of())

    def test_a_foreign_frame_behind_a_gap(self, reel: Reel) -> None:
        film = film_of(frames=2)
        reel.shoot(film)
        write_picture(frame_path(reel.folder, 9), photo(32, 32))
        with pytest.raises(OutputError, match="another film"):
            reel.last_of(film)

    @pytest.mark.parametrize(
        "damage",
        [
            {"settings": {}},
            {"inputs": [1]},
            {"inputs": {}},
            {"weights": None},
            {"resolved": {"size": "big"}},
            {"technique": "dream", "inputs": [{}]},
        ],
    )
    def test_hostile_frames(self, reel: Reel, damage: dict[str, Any]) -> None:
        film = film_of(frames=1)
        recipe = to_text(film.recipe(1, {}) | damage)
        write_picture(frame_path(reel.folder, 1), cat(32), recipe=recipe)
        assert not reel.is_of(film)

    def test_nothing_but_damaged_frames(self, reel: Reel) -> None:
        """There is no telling whose they were."""
        frame_path(reel.folder, 1).write_text("no picture")
        with pytest.raises(OutputError, match="another film"):
            reel.shoot(film_of(frames=1))
        assert frame_path(reel.folder, 1).read_text() == "no picture"


class TestCut:
    """From raw frames to the film."""

    def test_a_film_with_an_end_is_its_frames(self, reel: Reel) -> None:
        film = film_of(frames=3)
        reel.shoot(film)
        paths = [frame_path(reel.folder, number) for number in (1, 2, 3)]
        assert list(cut(film, reel, reel.folder / "faded")) == paths

    def test_the_faded_frames_of_a_loop(self, reel: Reel, tmp_path: Path) -> None:
        film = film_of(frames=8, loop=True)
        assert film.raw_frames == 10
        reel.shoot(film)
        lay_out(film, reel, tmp_path, overwrite=False)
        shown = Reel(tmp_path, laid_out=True)
        assert shown.numbers() == list(range(1, 9))
        assert bytes_of(shown)[2:] == bytes_of(reel)[2:8]
        for number in (1, 2):
            recipe = load_recipe(frame_path(tmp_path, number))
            assert recipe["resolved"]["frames"] == number
            ends = reel.read(number), reel.read(8 + number)
            distances = [jump(shown.read(number), end) for end in ends]
            assert max(distances) < jump(*ends), "between its two ends"
        assert shown.is_of(film)
        assert not Reel(tmp_path).is_of(film), "no film continues from a faded frame"

    def test_the_film_leaves_the_raw_frames_alone(self, reel: Reel, tmp_path: Path) -> None:
        film = film_of(frames=4, loop=True)
        reel.shoot(film)
        before = bytes_of(reel)
        develop(film, reel, tmp_path / "film.webp", quality=80, overwrite=True)
        assert bytes_of(reel) == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["film.webp", "reel"]
        assert not (reel.folder / "faded").exists()

    def test_a_raw_frame_that_is_damaged(self, reel: Reel, tmp_path: Path) -> None:
        film = film_of(frames=4, loop=True)
        reel.shoot(film)
        frame_path(reel.folder, 3).write_bytes(b"")
        with pytest.raises(Exception, match=r"frame-00003\.png is empty"):
            develop(film, reel, tmp_path / "film.gif", quality=80, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["reel"]
        assert not (reel.folder / "faded").exists()


@pytest.mark.parametrize(
    "tint",
    [(1.0, 1.0, 1.0, 0.72), (1.0, 1.0, 1.0, -0.25), (0.9, 0.4, 0.15, 0.05)],
    ids=["bright", "dark", "coloured"],
)
def test_two_hundred_frames_keep_their_light(tint: tuple[float, float, float, float]) -> None:
    """The films of old grew dark or burnt out within a hundred frames."""
    *colour, shift = tint
    scale = 0.4 if shift > 0.5 else 1.0
    start = (cat(32) * scale * torch.tensor(colour).view(1, 3, 1, 1) + shift).clamp(0.02, 0.98)
    film = film_of(as_picture(start), frames=200, pace=0.1)
    frames = [each.pixels for each in film.frames()]
    assert len(frames) == 200
    levels = torch.stack([255 * each.mean((0, 2, 3)) for each in frames])
    assert float((levels - levels[0]).abs().max()) <= 2
    spread = torch.stack([each.std() for each in frames])
    assert float(spread.min()) > 0.5 * float(spread[0]), "not grey"
    assert jump(frames[0], frames[-1]) > 0.02, "something has happened"
    assert jump(frames[-2], frames[-1]) > 0, "and still does"


@pytest.mark.parametrize("rotate", [0.0, 3.0])
def test_the_seam_of_a_loop_is_a_step_like_the_others(
    reel: Reel, tmp_path: Path, rotate: float
) -> None:
    film = film_of(frames=16, loop=True, rotate=rotate, layers="conv2_2")
    reel.shoot(film)
    lay_out(film, reel, tmp_path, overwrite=False)
    shown = [read_picture(frame_path(tmp_path, number)).pixels for number in range(1, 17)]
    steps = [jump(one, other) for one, other in pairwise(shown)]
    seam = jump(shown[-1], shown[0])
    assert min(steps) * 0.75 < seam < max(steps) * 1.25
    raw = jump(reel.read(16), reel.read(1))
    assert seam < 0.8 * raw, "without the fading there would be one"
