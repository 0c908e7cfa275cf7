"""The program as a whole: help, suggestions, exit codes, what becomes of errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from stylize.cli.main import COMMANDS, Commands, cli, main
from stylize.cli.messages import verbosity
from stylize.errors import StylizeError, UsageError
from stylize.version import __version__
from tests.cli.conftest import Run, Sketch, complaint, program

Files = tuple[Path, Path]
NAMES = [name for section in COMMANDS.values() for name in section]


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_version(run: Run, word: str) -> None:
    result = run(word)
    assert (result.exit_code, result.stdout) == (0, f"stylize, version {__version__}\n")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help(run: Run, word: str) -> None:
    result = run(word)
    assert (result.exit_code, result.stderr) == (0, "")
    for name in NAMES:
        assert re.search(rf"^  {name}  +[A-Z]", result.stdout, re.MULTILINE)
        assert run(name, word).exit_code == 0
    for code in (
        "0 done",
        "1 a file could not be read or written, or a run failed",
        "2 wrong usage",
        "130 interrupted",
    ):
        assert code in " ".join(result.stdout.split())


@pytest.mark.parametrize("words", [(), ("presets",), ("models",)])
def test_no_command_is_answered_with_help(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: stylize ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trasnfer",), "unknown command 'trasnfer' (did you mean transfer?)"),
        (
            ("xyz",),
            f"unknown command 'xyz' (known: {', '.join(NAMES)})",
        ),
        (("modells", "list"), "unknown command 'modells' (did you mean models?)"),
        (("models", "lst"), "unknown models command 'lst' (did you mean list?)"),
        (("--verison",), "No such option '--verison'"),
    ],
)
def test_misspelt_commands(run: Run, words: tuple[str, ...], said: str) -> None:
    assert said in complaint(run(*words), 2)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StylizeError("a.png is bad", hint="try b"), 1, "a.png is bad (try b)"),
        (UsageError("no sense"), 2, "no sense"),
        (RuntimeError("boom\n\n  twice"), 1, "internal error: RuntimeError: boom twice (-vv shows"),
        (AssertionError(), 1, "internal error: AssertionError: (-vv shows where)"),
        (MemoryError(), 1, "memory does not hold a picture of this size (a smaller --size does)"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1, "memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), 1, "memory does not hold"),
        (RuntimeError("CUDA error: out of memory"), 1, "memory does not hold a picture"),
        (RuntimeError("unknown memory format"), 1, "internal error: RuntimeError: unknown memory"),
        (KeyError("out of memory"), 1, "internal error: KeyError"),
        (OSError(28, "No space left on device", "here.png"), 1, "here.png: No space left on dev"),
        (StylizeError("a\nb\x1b[31m\x9b"), 1, "a b\ufffd[31m\ufffd"),
        (click.FileError("x.png", "gone"), 1, "x.png"),
    ],
)
def test_every_error_is_one_line(
    run: Run, sketch: type[Sketch], files: Files, error: Exception, code: int, said: str
) -> None:
    sketch.failure = error
    assert said in complaint(run("transfer", *files), code)


@pytest.mark.parametrize("words", [("-vv",), ("-v", "-v"), ("--verbose", "-v"), ("-qvv",)])
def test_a_traceback_when_asked_for(
    run: Run, sketch: type[Sketch], files: Files, words: tuple[str, ...]
) -> None:
    sketch.failure = RuntimeError("boom")
    result = run("transfer", *files, *words)
    assert result.exit_code == 1
    assert "Traceback (most recent call last):" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("stylize: internal error: RuntimeError: boom")
    sketch.failure = StylizeError("mendable")
    assert "Traceback" in run("transfer", *files, *words).stderr
    assert "Traceback" in run("transfer", *words, "--steps", "x").stderr


def test_once_is_not_enough_for_a_traceback(run: Run, sketch: type[Sketch], files: Files) -> None:
    sketch.failure = RuntimeError("boom")
    assert "Traceback" not in run("transfer", *files, "-v").stderr


@pytest.mark.parametrize(
    ("words", "times"),
    [([], 0), (["-v"], 1), (["-vvv"], 3), (["--verbose"], 1), (["-o", "v.png", "vv"], 0)],
)
def test_how_often(words: list[str], times: int) -> None:
    assert verbosity(words) == times


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c(run: Run, sketch: type[Sketch], files: Files, error: BaseException) -> None:
    sketch.failure = error
    result = run("transfer", *files)
    assert (result.exit_code, result.stderr.strip()) == (130, "stylize: interrupted")


@pytest.mark.parametrize(("value", "colour"), [("1", False), ("", None), (None, None)])
def test_no_color(
    run: Run, monkeypatch: pytest.MonkeyPatch, value: str | None, colour: bool | None
) -> None:
    seen = []
    probe = click.Command("info", callback=lambda: seen.append(click.get_current_context().color))
    monkeypatch.setattr(Commands, "get_command", lambda *_: probe)
    run("info", env={"NO_COLOR": value})
    assert seen == [colour]


def test_a_command_gives_the_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = click.Command("info", callback=lambda: 7)
    monkeypatch.setattr(Commands, "get_command", lambda *_: probe)
    assert run("info").exit_code == 7


def test_for_other_programs_it_does_not_exit() -> None:
    with pytest.raises(UsageError):
        cli.main(["--nonsense"], standalone_mode=False)


def test_the_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stylize", "--version"])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 0


def test_a_reader_that_has_gone(files: Files, tmp_path: Path) -> None:
    """``stylize presets list | head -0``: no traceback, and no message from Python at its end."""
    process = subprocess.Popen(
        **program("presets", "list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    messages = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), messages) == (1, b"")
