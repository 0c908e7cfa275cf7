"""Whatever a picture is asked to be: replayed, resumed, in a batch and in tiles it is the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from stylize.images.read import read_picture
from stylize.masks import subject
from stylize.planning.memory import MemoryNeed, MemoryPlan
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import Run, StopAfter, done
from tests.conftest import cat, save, strokes

QUICK = ("--size", 64, "--min-size", 64, "--steps", 4, "--final-steps", 4, "--precision", "fp32")
FEW = ("--style-layers", "relu1_1,relu2_1,relu3_1", "--content-layers", "relu2_2")
PLAIN = ("warm.png",)
# The styles and the options of each look; a mask belongs to one picture, so not to a batch.
LOOKS: dict[str, tuple[tuple[str, ...], tuple[object, ...]]] = {
    "luminance": (PLAIN, ("--color", "luminance")),
    "match": (PLAIN, ("--color", "match", "--blend", 0.7)),
    "palette": (PLAIN, ("--color", "palette")),
    "weights": (("warm.png", "cool.png"), ("--style-weight", 3, "--style-weight", 1)),
    "parts": (("fine=warm.png", "coarse=cool.png"), ()),
    "wasserstein": (PLAIN, ("--style-loss", "wasserstein", "--edges", 0.05)),
    "dream": (PLAIN, ("--dream", "swirls:2")),
    "subject": (PLAIN, ("--subject", "keep", "--feather", 8)),
}
MASKED: dict[str, tuple[tuple[str, ...], tuple[object, ...]]] = {
    "mask": (PLAIN, ("--mask", "left.png", "--feather", 8)),
    "masks": (PLAIN, ("--mask", "left.png=cool.png", "--mask", "strip.png=keep")),
    "alone": ((), ("--mask", "left.png=cool.png", "--color", "palette")),
    "matched": (PLAIN, ("--match", 1, "--mask", "left.png=cool.png")),
    "regions": (PLAIN, ("--regions", "map.png", "--region", "red=cool.png", "--color", "match")),
}
ALL = LOOKS | MASKED

# The others differ from these in fewer places.
USUAL = {"match", "parts", "dream", "subject", "masks", "regions"}


def each_of(looks: Iterable[str]) -> list[object]:
    """The looks as parameters; those that are not among the usual ones are slow tests."""
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(look, marks=marks[look in USUAL]) for look in looks]


@pytest.fixture(autouse=True)
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a cat, styles and masks. How the subject is found is no matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subject, "SEEN_PX", 96)
    monkeypatch.setattr(subject, "PROPOSED_PX", 48)
    save(cat(64), tmp_path / "cat.png")
    save(strokes(), tmp_path / "warm.png")
    save(strokes(period=16).flip(1), tmp_path / "cool.png")
    left, strip = torch.zeros(2, 1, 3, 64, 64)
    left[..., :32], strip[..., 28:36] = 1, 1
    save(left, tmp_path / "left.png")
    save(strip, tmp_path / "strip.png")
    save(left * torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1), tmp_path / "map.png")
    return tmp_path


def words(look: str) -> tuple[object, ...]:
    styles, options = ALL[look]
    return ("transfer", "cat.png", *styles, *QUICK, *FEW, *options)


def pixels(name: str) -> torch.Tensor:
    return read_picture(Path(name)).pixels


def assert_same(one: str, other: str) -> None:
    assert torch.equal(pixels(one), pixels(other))
    assert load_recipe(Path(one)) == load_recipe(Path(other))


@pytest.mark.parametrize("look", each_of(ALL))
def test_replayed(run: Run, look: str) -> None:
    done(run(*words(look), "-o", "out.png"))
    assert "every pixel as in out.png" in done(run("replay", "out.png", "-o", "again.png")).stderr
    assert_same("out.png", "again.png")


@pytest.mark.parametrize("look", each_of(ALL))
def test_resumed(run: Run, stop_after: StopAfter, look: str) -> None:
    done(run(*words(look), "-o", "whole.png"))
    stop_after(2)
    done(run(*words(look), "--checkpoint", "c", "-o", "out.png"), 130)
    assert not torch.equal(pixels("out.png"), pixels("whole.png"))
    stop_after(1000)
    done(run("resume", "c"))
    assert_same("whole.png", "out.png")


@pytest.mark.parametrize("look", each_of(LOOKS))
def test_in_a_batch(run: Run, scene: Path, look: str) -> None:
    done(run(*words(look), "-o", "out.png"))
    styles, options = LOOKS[look]
    named = [word for style in styles for word in ("--style", style)]
    start = ("batch", "transfer", "cat.png", *named)
    done(run(*start, *QUICK, *FEW, *options, "-o", "batch"))
    assert_same("out.png", "batch/cat.png")


@pytest.mark.parametrize("look", each_of(ALL))
def test_in_tiles(run: Run, look: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done(run(*words(look), "-o", "whole.png"))
    monkeypatch.setattr(MemoryNeed, "choose", lambda *request: MemoryPlan(32))
    done(run(*words(look), "-o", "tiles.png"))
    engines = [load_recipe(Path(name))["resolved"]["engine"] for name in ("whole.png", "tiles.png")]
    assert engines == ["whole", "tiles"]
    assert float((pixels("whole.png") - pixels("tiles.png")).abs().max()) <= 2 / 255
