"""Ctrl-C: the first saves the picture so far, the second ends at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stylize.cli.progress import stop_on_interrupt
from stylize.errors import InterruptedRunError
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import Run, Sketch, listing, program
from tests.conftest import photo, save

Files = tuple[Path, Path]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

pytestmark = pytest.mark.slow


def test_an_interrupted_painting_is_saved(run: Run, sketch: type[Sketch], files: Files) -> None:
    sketch.interrupted = True
    result = run("transfer", *files)
    assert result.exit_code == 130
    saved = files[0].with_name("photo-strokes.png")
    assert result.stderr.startswith(f"stopped early, saved {saved} (")
    assert load_recipe(saved)["interrupted"] is True


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptedRunError("stopped")])
def test_nothing_to_save(
    run: Run, sketch: type[Sketch], files: Files, tmp_path: Path, error: BaseException
) -> None:
    before = listing(tmp_path)
    sketch.failure = error
    result = run("transfer", *files)
    assert result.exit_code == 130
    assert result.stderr.strip() in ("stylize: interrupted", "stylize: stopped")
    assert listing(tmp_path) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_asks_the_second_ends(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt(quiet=False) as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop()
        assert "saving the picture so far" in capsys.readouterr().err
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    with stop_on_interrupt(quiet=True) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop()
    assert capsys.readouterr().err == ""


def begin(*words: object) -> subprocess.Popen[str]:
    """A run of its own, told to say its steps; returns after the first."""
    process = subprocess.Popen(
        **program("transfer", *words, "--precision", "fp32", "--threads", 1, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "start"
    assert json.loads(process.stdout.readline())["event"] == "step"
    return process


@POSIX
def test_the_picture_so_far(files: Files, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    words = ("--size", 32, "--min-size", 32, "--steps", 100_000, "--no-checkpoint")
    process = begin(*files, *words, "-o", out)
    process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert messages.strip().startswith("stopping after this step and saving the picture so far")
    done = json.loads(output.splitlines()[-1])
    assert done["event"] == "done"
    recipe = load_recipe(out)
    assert recipe == done["recipe"]
    assert recipe["interrupted"] is True
    ((_, _, steps),) = recipe["resolved"]["scales"]
    assert 1 <= steps < 100_000
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "strokes.png", "out.png"}


@POSIX
def test_twice_ends_at_once(files: Files, tmp_path: Path) -> None:
    # Large enough for the second signal to come within the step that the first one waits for.
    large = save(photo(800, 800), tmp_path / "large.png")
    before = listing(tmp_path)
    process = begin(large, files[1], "--size", 800, "--min-size", 800)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping after this step" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert messages.strip() == "stylize: interrupted"
    assert "done" not in output
    assert listing(tmp_path) == before
