"""What ``stylize transfer`` says while it works, and where it says it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from stylize.cli import run as running
from stylize.cli.progress import all_of
from stylize.gradients import self_test
from stylize.planning.self_test_cache import Verdict
from tests.cli.conftest import QUICK, Run, Sketch, complaint, done, listing, size_of

Files = tuple[Path, Path]


def test_quiet(run: Run, sketch: type[Sketch], files: Files) -> None:
    result = run("transfer", *files, "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_verbose(run: Run, sketch: type[Sketch], files: Files) -> None:
    lines = run("transfer", *files, "-v").stderr.splitlines()
    assert lines[:3] == [
        "device cpu, fp32, 3 threads",
        "scales 32×24: 20, 64×48: 10",
        "1.2 TFLOP, about 0.7 GB of memory, about 42 s",
    ]
    assert len(run("transfer", *files).stderr.splitlines()) == 1


def test_no_bar_where_there_is_no_terminal(run: Run, sketch: type[Sketch], files: Files) -> None:
    assert "%" not in run("transfer", *files).stderr


def test_notes_on_odd_pictures(
    run: Run, sketch: type[Sketch], files: Files, tmp_path: Path
) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    result = run("transfer", tmp_path / "moving.gif", files[1])
    assert "moving.gif: animated: took the first frame" in result.stderr
    assert run("transfer", tmp_path / "moving.gif", files[1], "-q").stderr == ""


def test_values_that_json_lacks(run: Run, sketch: type[Sketch], files: Files) -> None:
    sketch.losses = {"style": float("nan")}
    first = run("transfer", *files, "--json").stdout.splitlines()[1]
    assert "NaN" not in first
    assert json.loads(first)["losses"] == {"style": None}


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes exist on Linux alone")
def test_names_that_are_no_text(run: Run, sketch: type[Sketch], files: Files) -> None:
    odd = files[0].with_name(os.fsdecode(b"odd-\xff\n.png"))
    files[0].rename(odd)
    result = run("transfer", odd, files[1], "--json")
    assert result.exit_code == 0, result.stderr
    done = json.loads(result.stdout.splitlines()[-1])
    assert os.fsencode(done["file"]).endswith(b"odd-\xff\n-strokes.png")
    assert "\N{REPLACEMENT CHARACTER}" in run("transfer", odd, files[1]).stderr
    odd.unlink()
    complaint(run("transfer", odd, files[1]), 1)


def test_preview_files(run: Run, sketch: type[Sketch], files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "some" / "steps"
    for output in (tmp_path / "out.png", "-"):
        assert run("transfer", *files, "-o", output, "--save-steps", folder).exit_code == 0
        assert {path.name: size_of(path) for path in folder.iterdir()} == {
            "scale-1-32x24-step-0010.png": (32, 24),
            "scale-1-32x24-step-0020.png": (32, 24),
            "scale-2-64x48-step-0010.png": (64, 48),
        }
        for path in folder.iterdir():
            path.unlink()


def test_a_preview_never_takes_the_place_of_an_input(
    run: Run, sketch: type[Sketch], files: Files, tmp_path: Path
) -> None:
    photo = files[0].rename(tmp_path / "scale-1-32x24-step-0010.png")
    before = listing(tmp_path)
    line = complaint(run("transfer", photo, files[1], "--save-steps", tmp_path), 1)
    assert "is an input of this run (keep previews elsewhere)" in line
    assert listing(tmp_path) == before


def test_listeners_are_told_in_order() -> None:
    reported: list[str] = []
    listen = all_of([lambda _: reported.append("first"), lambda _: reported.append("second")])
    listen(None)  # type: ignore[arg-type]
    assert reported == ["first", "second"]


def test_values_without_end_keep_the_remedy_in_sight(run: Run, tmp_path: Path) -> None:
    """The message quotes the value; its middle is left out."""
    preset = tmp_path / "endless.toml"
    preset.write_text(f"[settings]\nsize = {[[1, 1]] * 5000}\n")
    result = run("transfer", "photo.png", "style.png", "--preset", preset)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("stylize: endless.toml: ")
    assert line.endswith("is not a text")
    assert len(line) < 2100


def test_a_short_run_on_a_busy_machine_does_not_correct_the_estimate(
    run: Run, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan promises much less than the limit, and the steps take longer than the limit."""
    monkeypatch.setattr(running, "LEAST_PACE_S", 1e-3)
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("stylize.planning.cost.SECONDS_PER_STEP", 1e-6)
    monkeypatch.setattr(self_test, "self_test", lambda *words: Verdict("fp32", 1e8, 1.0, 1.0))
    done(run("transfer", *files, *QUICK[:-2]))
    (kept,) = json.loads((tmp_path / "cache" / "machine.json").read_text()).values()
    assert kept["gflops"] == 1e8


def test_a_finished_run_corrects_the_estimate(
    run: Run, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LEAST_PACE_S", 0.0)
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(self_test, "self_test", lambda *words: Verdict("fp32", 0.05, 1.0, 1.0))
    done(run("transfer", *files, *QUICK[:-2]))
    (kept,) = json.loads((tmp_path / "cache" / "machine.json").read_text()).values()
    assert kept["gflops"] > 0.1, "no machine is as slow as the verdict says"
