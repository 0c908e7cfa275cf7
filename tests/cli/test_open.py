"""``--open``: the desktop's viewer, or none."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import BRIEF, Run, Sketch, done
from tests.conftest import cat, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tests the opener of Linux")


def opener(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script be the only program on the path, and the desktop's opener."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "xdg-open").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "xdg-open").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))


def test_the_viewer_gets_the_file(
    run: Run, sketch: type[Sketch], files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files[0].parent
    monkeypatch.chdir(folder)
    opener(folder, monkeypatch, f'printf %s "$1" > {folder}/opened; echo noise; echo noise >&2')
    result = done(run("transfer", "photo.png", "strokes.png", "--open", "-o", "-o.png"))
    assert (folder / "opened").read_text() == f"{folder}/-o.png"
    assert "no viewer" not in result.output
    assert "noise" not in result.output


@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$", None])
def test_a_viewer_that_fails_does_not_fail_the_run(
    run: Run,
    sketch: type[Sketch],
    files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
) -> None:
    if script is None:
        monkeypatch.setenv("PATH", str(files[0].parent))
    else:
        opener(files[0].parent, monkeypatch, script)
    target = files[0].parent / "out.png"
    result = done(run("transfer", *files, "--open", "-o", target))
    assert f"no viewer could open {target}" in result.stderr
    assert target.exists()


def test_a_viewer_that_stays_open_is_not_waited_for(
    run: Run, sketch: type[Sketch], files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opener(files[0].parent, monkeypatch, "exec /bin/sleep 20")
    started = time.monotonic()
    result = done(run("transfer", *files, "--open", "-o", files[0].parent / "out.png"))
    assert time.monotonic() - started < 15
    assert "no viewer" not in result.stderr


@pytest.mark.usefixtures("network")
def test_films_and_stdout(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = save(cat(32), tmp_path / "cat.png")
    opener(tmp_path, monkeypatch, f'printf %s "$1" > {tmp_path}/opened')
    done(run("tunnel", photo, *BRIEF, "--frames", 1, "--open", "-o", tmp_path / "film.gif"))
    assert (tmp_path / "opened").read_text() == f"{tmp_path}/film.gif"
    (tmp_path / "opened").unlink()
    result = done(run("dream", photo, *BRIEF, "--open", "-o", "-"))
    assert "--open has no effect with -o -" in result.stderr
    assert not (tmp_path / "opened").exists()
