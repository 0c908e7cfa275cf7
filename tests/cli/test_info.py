"""``stylize info``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylize.images.write import write_picture
from stylize.runs.recipe import compose, to_text
from stylize.settings.fields import to_document
from stylize.settings.transfer import TransferSettings
from tests.cli.conftest import Run, complaint
from tests.conftest import as_picture, photo


def recipe() -> dict[str, Any]:
    document = compose(
        "transfer",
        to_document(TransferSettings(style_weights=(1.0, 2.5))),
        [("content", as_picture(photo(48, 64), "a cat.jpg")), ("style", as_picture(photo()))],
        weights={"name": "vgg16", "sha256": "ab" * 32},
        resolved={
            "size": [512, 384],
            "device": "cpu",
            "precision": "bf16",
            "threads": 2,
            "torch": "2.9",
            "scales": [[256, 192, 40], [512, 384, 12]],
        },
        losses={"style relu1_1": 0.125, "smoothness": 0.0625},
        interrupted=False,
        preset="bold",
    )
    return document


@pytest.fixture
def carrying(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def write(document: dict[str, Any]) -> Path:
        write_picture(tmp_path / "out.png", photo(16, 16), recipe=json.dumps(document))
        return tmp_path / "out.png"

    return write


def test_for_people(run: Run, carrying: Callable[..., Path]) -> None:
    result = run("info", carrying(recipe()))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:7] == [
        f"transfer, made by stylize {recipe()['version']}, preset bold",
        f"content    a cat.jpg, 64×48 px, sha256 {as_picture(photo(48, 64)).sha256[:12]}…",
        f"style      test.png, 64×64 px, sha256 {as_picture(photo()).sha256[:12]}…",
        "network    vgg16, sha256 abababababab…",
        "resolved   512×384 px on cpu, bf16, 2 threads, torch 2.9",
        "steps      256×192: 40, 512×384: 12",
        "losses     style relu1_1 0.125, smoothness 0.0625",
    ]
    reported = dict(line.split(maxsplit=1) for line in lines[7:])
    assert reported.keys() == recipe()["settings"].keys(), "every setting is shown"
    assert reported["style_layers"] == "relu1_1:256, relu2_1:41, relu3_1:16, relu4_1:20"
    assert reported["style_weights"] == "1.0, 2.5"


def test_an_inspection(run: Run, carrying: Callable[..., Path]) -> None:
    """Of a folder, and of no picture at all: no line without anything to say."""
    photos = {"role": "photos", "name": "holiday", "sha256": "cd" * 32, "count": 13}
    document = recipe() | {"technique": "inspect map", "losses": {}, "inputs": [photos]}
    document["resolved"] = {"size": [492, 296], "device": "cpu", "precision": "bf16"}
    lines = run("info", carrying(document)).stdout.splitlines()
    assert lines[1] == "photos     holiday, 13 photos, sha256 cdcdcdcdcdcd…"
    assert lines[3].startswith("resolved   492×296 px on cpu, bf16, ")
    assert lines[4].split()[0] == next(iter(document["settings"])), "neither steps nor losses"
    document |= {"inputs": [], "resolved": {"size": [840, 1026]}}
    assert run("info", carrying(document)).stdout.splitlines()[2] == "resolved   840×1026 px"


def test_an_interrupted_picture(run: Run, carrying: Callable[..., Path]) -> None:
    result = run("info", carrying(recipe() | {"interrupted": True}))
    assert result.stdout.splitlines()[0].endswith("(interrupted)")


def test_as_json(run: Run, carrying: Callable[..., Path]) -> None:
    result = run("info", carrying(recipe()), "--json")
    assert json.loads(result.stdout) == recipe() == json.loads(to_text(recipe()))
    assert result.stderr == ""


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x9b31m", "a\nb", "\ud800", "\u202e"])
def test_recipes_cannot_reach_the_terminal(
    run: Run, carrying: Callable[..., Path], text: str
) -> None:
    path = carrying(recipe() | {"version": text})
    shown = run("info", path)
    assert shown.exit_code == 0, shown.stderr
    assert len(shown.stdout.splitlines()) == len(recipe()["settings"]) + 7
    assert all(letter.isprintable() or letter == "\n" for letter in shown.stdout)
    assert "\N{REPLACEMENT CHARACTER}" in shown.stdout
    as_json = run("info", path, "--json")
    assert as_json.stdout.isascii()
    assert json.loads(as_json.stdout)["version"] == text


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": [3]},
        {"losses": {"style": "low"}},
        {"losses": [1]},
        {"resolved": {"scales": [[1, 2]]}},
        {"resolved": {"scales": 5}},
        {"weights": "vgg16"},
        {"settings": {"style_layers": {"relu1_1": "a"}}},
    ],
)
def test_damaged_recipes(run: Run, carrying: Callable[..., Path], changed: dict[str, Any]) -> None:
    line = complaint(run("info", carrying(recipe() | changed)), 1)
    assert line == "out.png carries a damaged recipe (--json shows it)"


@pytest.mark.parametrize(
    ("figure", "fault"),
    [
        ("NaN", "holds a number that is not finite"),
        ("-Infinity", "holds a number that is not finite"),
        ("1e400", "holds a number that is not finite"),
        ("1" + "0" * 400, "holds a number that is too large"),
        ("-1" + "0" * 4000, "holds a number that is too large"),
        ("[" * 100 + "]" * 100, "is nested too deeply"),
        ('{"a":' * 900 + "1" + "}" * 900, "is nested too deeply"),
    ],
)
@pytest.mark.parametrize("place", ["losses", "settings", "resolved", "version"])
def test_figures_beyond_any_float(
    run: Run, tmp_path: Path, place: str, figure: str, fault: str
) -> None:
    document = recipe()
    inner = {"x": "HERE"} if isinstance(document[place], dict) else "HERE"
    text = json.dumps(document | {place: inner}).replace('"HERE"', figure)
    path = tmp_path / "odd.png"
    write_picture(path, photo(16, 16), recipe=text)
    expected = f"odd.png carries a damaged recipe: {place} {fault}"
    for words in (("info", path), ("info", path, "--json"), ("replay", path)):
        assert complaint(run(*words), 1) == expected


def test_files_without_one(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    assert complaint(run("info", files[0]), 1).startswith("photo.png carries no recipe (")
    assert "gone.png: there is no such file" in complaint(run("info", tmp_path / "gone.png"), 1)
    assert "is a folder, not a picture" in complaint(run("info", tmp_path), 1)
    (tmp_path / "text.png").write_text("no picture")
    assert "is not a picture" in complaint(run("info", tmp_path / "text.png"), 1)
    assert "Missing argument 'FILE'" in complaint(run("info"), 2)
