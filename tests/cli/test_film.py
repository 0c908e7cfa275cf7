"""``--film``: a film of the picture as it grows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from stylize.images.write import write_picture
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import FEW, Run, StopAfter, complaint, done, listing
from tests.conftest import cat, save, strokes

pytestmark = pytest.mark.usefixtures("network")
QUICK = ("--size", 48, "--min-size", 32, "--steps", 3, "--final-steps", 2, *FEW)
QUICK += ("--precision", "fp32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a photo and a style image."""
    monkeypatch.chdir(tmp_path)
    save(cat(64), tmp_path / "cat.png")
    save(strokes(48, 48, 5), tmp_path / "strokes.png")
    return tmp_path


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as film:
        return [np.asarray(frame.convert("RGB"), float) for frame in ImageSequence.Iterator(film)]


def milliseconds(path: Path) -> list[int]:
    with Image.open(path) as film:
        found = []
        for frame in ImageSequence.Iterator(film):
            frame.load()
            found.append(frame.info["duration"])
        return found


@pytest.mark.parametrize("suffix", ["webp", "gif", "apng"])
def test_a_painting_grows_and_rests_at_the_end(run: Run, folder: Path, suffix: str) -> None:
    # Without saturated strokes of 7 px, which lossy formats cannot keep.
    words = ("transfer", "cat.png", "strokes.png", *QUICK, "--retouch", 0, "-o", "out.png")
    result = done(run(*words, "--film", f"steps.{suffix}", "--tolerance", 0))
    film, picture = folder / f"steps.{suffix}", np.asarray(Image.open("out.png"), float)
    frames = frames_of(film)
    steps = sum(steps for _, _, steps in load_recipe(folder / "out.png")["resolved"]["scales"])
    assert len(frames) == steps + 1, "the last one is the result"
    assert {frame.shape for frame in frames} == {picture.shape}
    distances = [np.abs(frame - picture).mean() for frame in frames]
    assert distances[-1] < {"webp": 8, "gif": 12, "apng": 1}[suffix]
    assert distances[0] > distances[-1]
    times = milliseconds(film)
    assert max(times[:-1]) <= 90
    assert times[-1] == pytest.approx(2083, abs=10)
    assert result.stderr.splitlines()[0] == f"saved steps.{suffix} (a film of {steps + 1} frames)"


def test_nothing_shows_where_the_result_is_transparent(run: Run, folder: Path) -> None:
    alpha = torch.ones(1, 1, 64, 64)
    alpha[..., :32] = 0
    write_picture(folder / "logo.png", cat(64), alpha=alpha)
    words = ("--size", 64, "--octaves", 2, "--steps", 1, "--layer", "conv1_2", "--film", "d.apng")
    done(run("dream", "logo.png", *words, "--save-steps", "steps", "-o", "out.png"))
    for frame in frames_of(folder / "d.apng"):
        assert frame[:, :28].min() == 255
        assert frame[:, 36:].min() < 200
    for path in [Path("out.png"), *(folder / "steps").iterdir()]:
        with Image.open(path) as image:
            opacity = np.asarray(image.getchannel("A"))
        half = opacity.shape[1] // 2
        assert opacity[:, : half - 4].max() == 0
        assert opacity[:, half + 4 :].min() == 255


def test_a_dream_as_mp4(run: Run, folder: Path) -> None:
    av = pytest.importorskip("av")
    words = ("--size", 49, "--octaves", 1, "--steps", 4, "--layer", "conv1_2", "--film", "d.mp4")
    done(run("dream", "cat.png", *words, "-o", "out.png"))
    with av.open("d.mp4") as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 4 + 1 + 24, "two seconds more of the last"
    assert {picture.shape for picture in pictures} == {(50, 50, 3)}
    assert np.abs(pictures[-1].astype(float) - pictures[0]).mean() > 1


@pytest.mark.slow
def test_a_long_run_and_a_large_picture_have_a_film_of_bounded_size(run: Run, folder: Path) -> None:
    save(cat(32).repeat(1, 1, 1, 30), folder / "wide.png")
    words = ("--size", "original", "--octaves", 1, "--steps", 310, "--layer", "conv1_1")
    done(run("dream", "wide.png", *words, "--film", "steps.webp", "-o", "out.png"))
    frames = frames_of(folder / "steps.webp")
    assert 100 <= len(frames) <= 150
    assert frames[0].shape == (24, 720, 3)


def test_the_film_of_an_interrupted_run_is_kept(
    run: Run, folder: Path, stop_after: StopAfter
) -> None:
    words = ("transfer", "cat.png", "strokes.png", *QUICK, "--checkpoint", "run.checkpoint")
    stop_after(2)
    done(run(*words, "-o", "out.png", "--film", "steps.gif"), 130)
    assert len(frames_of(folder / "steps.gif")) >= 2
    stop_after(1_000_000)
    result = done(run("resume", "run.checkpoint", "--film", "rest.gif"))
    assert "saved rest.gif" in result.stderr
    rest, picture = frames_of(folder / "rest.gif"), np.asarray(Image.open("out.png"), float)
    assert np.abs(rest[-1] - picture).mean() < 12
    assert len(frames_of(folder / "steps.gif")) >= 2, "as it was"


def test_a_film_can_be_replayed_and_serves_as_a_preset(run: Run, folder: Path) -> None:
    words = ("transfer", "cat.png", "strokes.png", *QUICK)
    done(run(*words, "-o", "out.png", "--film", "steps.gif"))
    result = done(run("replay", "steps.gif", "-o", "again.png", "--film", "again.webp"))
    assert "grey levels" not in result.stderr
    assert (np.asarray(Image.open("again.png")) == np.asarray(Image.open("out.png"))).all()
    assert len(frames_of(folder / "again.webp")) == len(frames_of(folder / "steps.gif"))
    done(run("transfer", "cat.png", "strokes.png", "--preset", "steps.gif", "-o", "third.png"))
    assert load_recipe(folder / "third.png")["settings"]["steps"] == 3


def test_nothing_is_left_in_the_temporary_folder(
    run: Run,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    done(run("transfer", "cat.png", "strokes.png", *QUICK, "--film", "steps.gif", "-o", "o.png"))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--film", "steps.avi"], 1, "no animation format has the extension '.avi' (use .webp"),
        (["--film", "steps"], 1, "steps: the extension is missing"),
        (["--film", "old.gif"], 1, "old.gif already exists (replace it with --overwrite)"),
        (["--film", "cat.png/steps.gif"], 1, "cat.png is not a folder"),
        (["--film", "steps.png"], 1, "no animation format has the extension '.png' (use .webp"),
        (["--film", "out.webp", "-o", "out.webp"], 1, "out.webp is another file of this run"),
        (["--film", "."], 2, "is a directory"),
        (["--film", "a.gif", "--save-steps", "a.gif"], 2, "--film and --save-steps both go to a"),
        (["--film", "a.gif", "--checkpoint", "./a.gif"], 2, "--film and --checkpoint both go to"),
        (["--save-steps", "out.png"], 2, "the result and --save-steps both go to out.png (give"),
        (["--save-steps", "out.png/steps"], 2, "the result and --save-steps both go to out.png"),
        (["--save-steps", "a", "--checkpoint", "a"], 2, "--checkpoint and --save-steps both go to"),
    ],
)
def test_what_cannot_be_filmed(
    run: Run, folder: Path, words: list[str], code: int, said: str
) -> None:
    (folder / "old.gif").write_bytes(b"old")
    before = listing(folder)
    result = run("transfer", "cat.png", "strokes.png", *QUICK, "-o", "out.png", *words)
    assert said in complaint(result, code)
    assert listing(folder) == before


def test_mp4_without_pyav_names_the_library(folder: Path) -> None:
    program = (
        "import sys; sys.modules['av'] = None; from stylize.cli.main import main;"
        "sys.argv = ['stylize', 'dream', 'cat.png', '--film', 'x.mp4', '-o', 'x.png'];"
        "sys.exit(main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert "pip install av" in line
    assert not (folder / "x.png").exists()
