"""``--json``: every line of every command fits the schema that the documents show."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from tests.cli.conftest import BRIEF, QUICK, Run, Sketch, StopAfter, done, program
from tests.conftest import photo, save, strokes

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The schema of the page; unlike programs that read the events, it takes no other fields."""
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    document = json.loads(text)
    Draft202012Validator.check_schema(document)
    strict = copy.deepcopy(document)
    for event in strict["oneOf"]:
        # 'batch status' adds what its records hold.
        event["additionalProperties"] = event["properties"]["event"]["const"] == "picture"
    for name in ("plan", "estimate"):
        strict["$defs"][name]["additionalProperties"] = False
    return Draft202012Validator(strict)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(photo(48, 48), tmp_path / "photo.png")
    save(strokes(32, 32), tmp_path / "style.png")
    (tmp_path / "quick.toml").write_text("[settings]\nsteps = 2\nmin_size = 32\n")
    return tmp_path


def events_of(text: str, schema: Draft202012Validator) -> Events:
    events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        schema.validate(event)
    return events


def kinds(events: Events) -> list[str]:
    return [event["event"] for event in events]


PAINT = ("transfer", "photo.png", "style.png", *QUICK)
DREAM = ("dream", "photo.png", *BRIEF, "--size", 32)


@pytest.mark.usefixtures("network")
class TestCommandsThatPaint:
    @pytest.mark.parametrize(
        ("words", "expected", "size"),
        [
            (PAINT, ["start", "step", "step", "done"], [32, 32]),
            (DREAM, ["start", "step", "done"], [32, 32]),
            ((*DREAM, "--film", "f.gif"), ["start", "step", "film", "done"], [32, 32]),
            (
                ("tunnel", *DREAM[1:], "--frames", 2, "-o", "film.gif"),
                ["start", "frame", "frame", "done"],
                [32, 32],
            ),
            (
                (
                    *("explore", "blend", "photo.png", "style.png", "style.png", "--steps", 2),
                    *("--size", 32, "--preset", "quick.toml"),
                ),
                ["start", "cell", "cell", "done"],
                None,
            ),
        ],
    )
    def test_from_start_to_done(
        self,
        run: Run,
        folder: Path,
        schema: Draft202012Validator,
        words: tuple[object, ...],
        expected: list[str],
        size: list[int] | None,
    ) -> None:
        result = done(run(*words, "--json", "-q"))
        assert result.stderr == ""
        events = events_of(result.stdout, schema)
        assert kinds(events) == expected
        start, end = events[0], events[-1]
        assert start["command"] == " ".join(map(str, words[: 2 if words[0] == "explore" else 1]))
        assert start["file"] == end["file"]
        assert (folder / end["file"]).exists()
        assert start["plan"]["size"] == end["size"]
        assert size in (None, end["size"])

    def test_replay_and_resume(
        self, run: Run, folder: Path, schema: Draft202012Validator, stop_after: StopAfter
    ) -> None:
        stop_after(1)
        words = (*PAINT, "-o", "out.png", "--checkpoint", "run.checkpoint", "--json", "-q")
        events = events_of(done(run(*words), 130).stdout, schema)
        assert kinds(events) == ["start", "step", "done"]
        assert events[-1]["interrupted"] is True
        stop_after(10**6)
        resumed = done(run("resume", "run.checkpoint", "--overwrite", "--json", "-q"))
        events = events_of(resumed.stdout, schema)
        assert kinds(events) == ["start", "step", "done"]
        assert (events[1]["step"], events[-1]["interrupted"]) == (2, False)
        replayed = done(run("replay", "out.png", "--json", "-q"))
        assert kinds(events_of(replayed.stdout, schema)) == ["start", "step", "step", "done"]

    def test_clips(self, run: Run, folder: Path, schema: Draft202012Validator) -> None:
        with Image.open("photo.png") as still:
            still.save("clip.gif", save_all=True, append_images=[still.rotate(9)], duration=100)
        words = ("video", "dream", "clip.gif", *BRIEF, "--size", 32, "--json", "-q")
        planned = events_of(done(run(*words, "--dry-run")).stdout, schema)
        assert kinds(planned) == ["start"]
        events = events_of(done(run(*words)).stdout, schema)
        assert kinds(events) == ["start", "frame", "frame", "done"]
        assert events[0]["file"] == events[-1]["file"]

    def test_batches(self, run: Run, folder: Path, schema: Draft202012Validator) -> None:
        (folder / "in").mkdir()
        save(photo(40, 40), folder / "in" / "a.png")
        (folder / "in" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
        words = ("batch", *DREAM[:1], "in", *DREAM[2:], "-o", "out", "--json", "-q")
        dry = events_of(done(run(*words, "--dry-run")).stdout, schema)
        assert kinds(dry) == ["task", "task", "plan"]
        events = events_of(done(run(*words), 1).stdout, schema)
        assert kinds(events) == ["start", "picture", "picture", "summary"]
        assert events[0]["plan"]["pictures"] == 2
        assert {each["status"] for each in events[1:3]} == {"finished", "failed"}
        status = events_of(done(run("batch", "status", "out", "--json"), 1).stdout, schema)
        assert kinds(status) == ["picture", "picture", "summary"]

    def test_notes_are_in_start_and_done(
        self, run: Run, folder: Path, schema: Draft202012Validator
    ) -> None:
        words = ("transfer", "photo.png", "style.png", *QUICK[2:], "--size", 64, "--json", "-q")
        events = events_of(done(run(*words)).stdout, schema)
        (note,) = events[0]["notes"]
        assert "--enlarge" in note
        assert events[-1]["notes"] == [note]


ERRORS: list[tuple[tuple[object, ...], int, str]] = [
    (("transfer", "nope.png", "style.png"), 1, "there is no such file"),
    (("transfer",), 2, "Missing argument"),
    (("transfer", "photo.png", "style.png", "--stpes", 3), 2, "No such option '--stpes'"),
    (("transfer", "photo.png", "style.png", "--size", "huge"), 2, "huge"),
    (("trasnfer", "photo.png"), 2, "unknown command 'trasnfer'"),
    (("dream", "photo.png", "--layer", "conv9_9"), 2, "conv9_9"),
    (("dream", "style.txt"), 1, "style.txt"),
    (("tunnel", "nope.png"), 1, "there is no such file"),
    (("explore", "dream", "nope.png"), 1, "there is no such file"),
    (("replay", "photo.png"), 1, "photo.png"),
    (("resume", "photo.png"), 1, "photo.png"),
    (("batch", "dream", "nope", "-o", "out"), 1, "nope"),
    (("batch", "run", "nope.toml"), 2, "nope.toml"),
    (("batch", "status", "nope"), 2, "nope"),
    (("inspect", "saliency", "nope.png", "conv1_1:3"), 1, "there is no such file"),
    (("info", "nope.png"), 1, "nope.png"),
    (("layers", "--network", "nope"), 2, "nope"),
    (("presets", "show", "nope"), 2, "unknown preset 'nope'"),
    (("models", "verify"), 2, "No such option '--json'"),
]


@pytest.mark.parametrize(("words", "code", "message"), ERRORS, ids=lambda value: str(value)[:40])
def test_errors(
    run: Run,
    folder: Path,
    schema: Draft202012Validator,
    words: tuple[object, ...],
    code: int,
    message: str,
) -> None:
    (folder / "style.txt").write_text("no picture")
    result = run(*words, "--json")
    (event,) = events_of(result.stdout, schema)
    assert result.exit_code == event["code"] == code
    assert message in event["message"]
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"stylize: {event['message']}")
    assert (event["hint"] or "") in lines[0]
    assert words == ("models", "verify") or run(*words).stdout == "", "only with --json"


def test_a_file_may_have_the_name_of_the_option(run: Run, folder: Path) -> None:
    result = run("transfer", "--", "nope.png", "--json")
    assert (result.exit_code, result.stdout) == (1, "")


def test_a_run_that_fails_says_so_last(
    run: Run, sketch: type[Sketch], folder: Path, schema: Draft202012Validator
) -> None:
    sketch.failure = ArithmeticError("out of range")
    events = events_of(run(*PAINT, "--json").stdout, schema)
    assert kinds(events) == ["start", "error"]
    assert "ArithmeticError" in events[-1]["message"]
    sketch.failure = KeyboardInterrupt()
    events = events_of(run(*PAINT, "--json").stdout, schema)
    assert (events[-1]["event"], events[-1]["code"]) == ("error", 130)


@pytest.mark.parametrize(
    "words",
    [
        ("info", "painted.png"),
        ("layers",),
        ("models", "list"),
        ("presets", "list"),
        ("presets", "show", "bold"),
        ("inspect", "filters", "-o", "filters.png"),
    ],
    ids=" ".join,
)
def test_answers_are_one_document(
    run: Run, sketch: type[Sketch], folder: Path, words: tuple[str, ...]
) -> None:
    done(run(*PAINT, "-o", "painted.png"))
    document = json.loads(done(run(*words, "--json")).stdout)
    assert document
    assert "event" not in document


def test_an_error_of_the_program_itself(folder: Path, schema: Draft202012Validator) -> None:
    call = program("transfer", "nope.png", "style.png", "--json")
    result = subprocess.run(**call, capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode == 1
    (event,) = events_of(result.stdout, schema)
    assert event["message"] == "nope.png: there is no such file"
    assert result.stderr == "stylize: nope.png: there is no such file\n"
