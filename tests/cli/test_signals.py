"""Ctrl-C: the first saves the picture so far, the second ends at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stylize.cli.progress import stop_on_interrupt
from stylize.errors import InterruptedRunError
from stylize.images.read import read_picture
from stylize.runs.checkpoint import describe
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import Run, Sketch, listing, program
from tests.conftest import photo, save

Files = tuple[Path, Path]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

LOWERED = """
import stylize.runs.checkpoint
from stylize.cli.main import main
stylize.runs.checkpoint.WORTH_S = {}
main()
"""
SMALL = ("--size", 32, "--min-size", 32, "--tolerance", 0)

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
    with pytest.raises(InterruptedRunError) as ended, stop_on_interrupt(quiet=False) as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop()
        assert "saving the picture so far" in capsys.readouterr().err
        signal.raise_signal(number)
    assert ended.value.exit_code == (130 if number == signal.SIGINT else 143)
    assert signal.getsignal(number) is before


def test_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    with stop_on_interrupt(quiet=True) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop()
    assert capsys.readouterr().err == ""


def begin(*words: object, worth_s: float | None = None) -> subprocess.Popen[str]:
    """A run of its own that prints its steps; returns after the first.

    With ``worth_s``, a run of so many seconds leaves a checkpoint when it is terminated.
    """
    call = program("transfer", *words, "--precision", "fp32", "--threads", 1, "--json")
    if worth_s is not None:
        call["args"][1:3] = ["-c", LOWERED.format(worth_s)]
    process = subprocess.Popen(
        **call,
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
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_twice_ends_at_once(files: Files, tmp_path: Path, name: str, code: int) -> None:
    # Large enough for the second signal to come within the step that the first one waits for.
    large = save(photo(800, 800), tmp_path / "large.png")
    before = listing(tmp_path)
    process = begin(large, files[1], "--size", 800, "--min-size", 800)
    process.send_signal(getattr(signal, name))
    assert process.stderr is not None
    while "stopping after this step" not in process.stderr.readline():
        pass
    process.send_signal(getattr(signal, name))
    output, messages = process.communicate(timeout=60)
    assert process.returncode == code
    assert messages.strip() == "stylize: interrupted"
    assert "done" not in output
    assert listing(tmp_path) == before


@POSIX
@pytest.mark.parametrize("worth_s", [0, 3600])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_a_run_leaves_when_it_is_ended(
    files: Files, tmp_path: Path, name: str, worth_s: float
) -> None:
    out, kept = tmp_path / "out.png", tmp_path / "out.png.checkpoint"
    words = (*files, *SMALL, "--steps", 60)
    process = begin(*words, "-o", out, worth_s=worth_s)
    process.send_signal(getattr(signal, name))
    _, messages = process.communicate(timeout=60)
    assert process.returncode == (130 if name == "SIGINT" else 143), messages
    assert load_recipe(out)["interrupted"] is True
    assert kept.exists() == (name != "SIGINT" and worth_s == 0)
    names = {"photo.png", "strokes.png", "out.png"}
    assert {each.name for each in tmp_path.iterdir()} - {kept.name} == names
    if not kept.exists():
        assert "stylize resume" not in messages
        return
    assert f"'stylize resume {kept}' continues the run" in messages
    subprocess.run(**program("resume", kept, "-q"), check=True, timeout=240)
    assert {each.name for each in tmp_path.iterdir()} == names
    whole = tmp_path / "whole.png"
    transfer = program("transfer", *words, "--precision", "fp32", "--threads", 1, "-o", whole)
    subprocess.run(**transfer, check=True, timeout=240, stderr=subprocess.DEVNULL)
    assert torch.equal(read_picture(out).pixels, read_picture(whole).pixels)


@POSIX
def test_two_runs_never_share_a_checkpoint(files: Files, tmp_path: Path) -> None:
    kept = tmp_path / "run.checkpoint"
    words = (*files, *SMALL, "--checkpoint")
    first = begin(*words, kept, "--steps", 2000, "-o", tmp_path / "first.png")
    try:
        (tmp_path / "link").symlink_to(tmp_path)
        other = tmp_path / "link" / "run.checkpoint"
        transfer = program("transfer", *words, other, "--overwrite", "-o", tmp_path / "other.png")
        for call in (transfer, program("resume", kept)):
            ran = subprocess.run(**call, check=False, capture_output=True, text=True, timeout=60)
            assert ran.returncode == 1
            assert "is the checkpoint of a run that is not finished yet" in ran.stderr
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
        assert first.returncode == 143
        assert describe(kept).request.target == str(tmp_path / "first.png")
        assert not (tmp_path / "other.png").exists()
    finally:
        first.kill()
        first.wait()


@POSIX
def test_a_killed_run_frees_its_checkpoint(files: Files, tmp_path: Path) -> None:
    kept, out = tmp_path / "run.checkpoint", tmp_path / "out.png"
    first = begin(*files, *SMALL, "--steps", 2000, "--checkpoint", kept, "-o", out)
    first.kill()
    first.communicate()
    assert list(tmp_path.glob(".stylize-*.lock"))
    again = program("transfer", *files, *SMALL, "--steps", 2, "--checkpoint", kept, "-o", out)
    subprocess.run(**again, check=True, timeout=60)
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {"photo.png", "strokes.png", "out.png"}
