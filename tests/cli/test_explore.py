"""``stylize explore``: what is on a sheet, and what is no sheet."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from stylize.cli import explore as explore_command
from stylize.errors import InterruptedRunError
from stylize.runs.recipe import load_recipe, of_cell, settings_of
from stylize.settings.presets import preset_names
from tests.cli.conftest import (
    Run,
    StopAfter,
    complaint,
    done,
    listing,
    pointed_at,
    size_of,
)
from tests.conftest import cat, save

pytestmark = pytest.mark.usefixtures("network")
FAST = ("--size", 16, "--precision", "fp32")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return save(cat(32), tmp_path / "cat.png")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A preset of one step."""
    path = tmp_path / "mine.toml"
    path.write_text('technique = "dream"\n[settings]\noctaves = 1\nsteps = 1\nseed = 9\n')
    return path


def cells_of(path: Path) -> dict[str, str]:
    return {name: cell["label"] for name, cell in load_recipe(path)["cells"].items()}


class TestSheets:
    """Of presets, of layers, of channels."""

    def test_of_presets(self, run: Run, scene: Path, tmp_path: Path) -> None:
        result = done(run("explore", "dream", scene, *FAST, "--columns", 4))
        out = tmp_path / "cat-sheet.png"
        # A slow machine reports progress after five seconds.
        assert any(line.startswith(f"saved {out} (") for line in result.stderr.splitlines())
        labels = cells_of(out)
        assert list(labels.values()) == preset_names("dream")
        assert list(labels)[:5] == ["A1", "B1", "C1", "D1", "A2"]
        recipe = load_recipe(out)
        for name, label in labels.items():
            cell = of_cell(recipe, name)
            assert cell["technique"] == "dream"
            settings = settings_of(cell)
            assert settings.size == "16", label
        assert settings_of(of_cell(recipe, "A1")) != settings_of(of_cell(recipe, "B1"))

    def test_of_layers_and_strengths(
        self, run: Run, scene: Path, mine: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.png"
        words = ("--layer", "conv2_1", "--layer", "conv1_2 - conv1_1:3")
        words += ("--strength", 5, "--strength", 50, "--preset", mine, "--seed", 3)
        done(run("explore", "dream", scene, *FAST, *words, "-o", out))
        assert cells_of(out) == {
            "A1": "conv2_1 @ 5",
            "B1": "conv2_1 @ 50",
            "A2": "conv1_2 - conv1_1:3 @ 5",
            "B2": "conv1_2 - conv1_1:3 @ 50",
        }
        settings = settings_of(of_cell(load_recipe(out), "b2"))
        assert (settings.layers, settings.strength) == ("conv1_2 - conv1_1:3", 50)
        assert (settings.seed, settings.steps) == (3, 1), "flags over the preset"
        assert load_recipe(out)["inputs"][0]["name"] == "cat.png"

    def test_of_values(self, run: Run, scene: Path, mine: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        words = ("--vary", "layer=conv1_2 + conv1_1:3,4;conv2_1", "--vary", "strength=5,50")
        done(run("explore", "dream", scene, *FAST, *words, "--preset", mine, "-o", out))
        labels = cells_of(out)
        assert list(labels) == ["A1", "B1", "A2", "B2"]
        assert labels["B2"] == "layers conv2_1 · strength 50"
        settings = settings_of(of_cell(load_recipe(out), "A2"))
        assert (settings.layers, settings.strength) == ("conv1_2 + conv1_1:3,4", 50)
        assert settings.steps == 1, "of the preset"

    def test_cells_of_different_networks_can_be_replayed(
        self, run: Run, scene: Path, mine: Path, tmp_path: Path
    ) -> None:
        out, again = tmp_path / "out.png", tmp_path / "again.png"
        words = ("--vary", "network=vgg16,vgg19", "--preset", mine)
        done(run("explore", "dream", scene, *FAST, *words, "-o", out))
        cells = load_recipe(out)["cells"]
        assert ["weights" in cells[name] for name in ("A1", "B1")] == [False, True]
        done(run("replay", out, "--cell", "B1", "-o", again))
        assert load_recipe(again)["weights"] == cells["B1"]["weights"]

    def test_of_channels(self, run: Run, scene: Path, mine: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        words = ("--channels", "conv2_1", "--top", 3, "--columns", 2, "--preset", mine)
        done(run("explore", "dream", scene, *FAST, *words, "-o", out))
        labels = cells_of(out)
        assert list(labels) == ["A1", "B1", "A2"]
        assert len(set(labels.values())) == 3
        assert all(label.startswith("conv2_1:") for label in labels.values())

    def test_columns_and_size(self, run: Run, scene: Path, mine: Path, tmp_path: Path) -> None:
        widths = []
        for columns, size in [(1, 16), (3, 16), (3, 32)]:
            out = tmp_path / f"{columns}-{size}.png"
            words = ("--channels", "conv1_1", "--top", 3, "--columns", columns, "--size", size)
            words += ("--preset", mine, "--precision", "fp32", "-o", out)
            done(run("explore", "dream", scene, *words))
            widths.append(size_of(out)[0])
        assert widths[1] - widths[0] == 2 * (16 + 8)
        assert widths[2] - widths[1] == (1 + 3) * 16, "the photo and three cells"

    def test_from_stdin_to_stdout(self, run: Run, scene: Path, mine: Path) -> None:
        words = ("--layer", "conv1_1", "--preset", mine, "-o", "-")
        result = done(run("explore", "dream", "-", *FAST, *words, input=scene.read_bytes()))
        assert result.stderr == ""
        recipe = load_recipe(result.stdout_bytes)
        assert [cell["label"] for cell in recipe["cells"].values()] == [
            f"conv1_1 @ {strength}" for strength in (30, 60, 120)
        ]

    def test_a_sheet_from_stdin_says_what_its_command_needs(
        self, run: Run, mine: Path, tmp_path: Path
    ) -> None:
        # Nobody has opened a file with this picture.
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        scene = save(cat(33), folder / "unopened.png")
        words = ("--layer", "conv1_1", "--preset", mine, "-o", tmp_path / "out.png")
        result = done(run("explore", "dream", "-", *FAST, *words, input=scene.read_bytes()))
        said, command = result.stderr.splitlines()[-2:]
        assert said.endswith("here A1 (FILE is the picture that was read from stdin):")
        typed = [str(scene) if word == "FILE" else word for word in shlex.split(command)[1:]]
        done(run(*typed, "-o", tmp_path / "large.png"))
        assert size_of(tmp_path / "large.png") == (33, 33)

    def test_json_lines(self, run: Run, scene: Path, mine: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        words = ("--layer", "conv1_1", "--preset", mine, "--json", "-o", out)
        result = done(run("explore", "dream", scene, *FAST, *words))
        assert result.stderr == ""
        events = [json.loads(line) for line in result.stdout.splitlines()]
        assert events[1:4] == [
            {"event": "cell", "label": f"conv1_1 @ {strength}", "cells": 3}
            for strength in (30, 60, 120)
        ]
        assert events[4]["event"] == "done"
        assert events[4]["recipe"] == load_recipe(out)

    @pytest.mark.parametrize("asked", [3, 4, 5])
    def test_stopped_early(
        self,
        run: Run,
        scene: Path,
        mine: Path,
        tmp_path: Path,
        stop_after: StopAfter,
        asked: int,
    ) -> None:
        """The whole cells so far are a sheet, wherever within a cell it was."""
        out = tmp_path / "out.png"
        words = ("explore", "dream", scene, *FAST, "--layer", "conv1_1", "--preset", mine)
        stop_after(asked)
        result = done(run(*words, "-o", out), 130)
        assert result.stderr.startswith(f"stopped early, saved {out} (")
        assert list(cells_of(out)) == ["A1"]
        assert load_recipe(out)["interrupted"]

    def test_stopped_before_there_was_anything(
        self, run: Run, scene: Path, tmp_path: Path, stop_after: StopAfter
    ) -> None:
        before = listing(tmp_path)
        for asked in (0, 1):
            stop_after(asked)
            line = complaint(run("explore", "dream", scene, *FAST), InterruptedRunError.exit_code)
            assert line == "stopped before the first cell"
        assert listing(tmp_path) == before

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_before_there_was_anything(
        self, run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
    ) -> None:
        said = explore_command.emit_start

        def then_stopped(*words: Any) -> None:
            said(*words)
            signal.raise_signal(number)

        monkeypatch.setattr(explore_command, "emit_start", then_stopped)
        result = run("explore", "dream", scene, *FAST, "--layer", "conv1_1", "--json")
        assert result.exit_code == 128 + number
        assert json.loads(result.stdout.splitlines()[-1])["code"] == 128 + number
        assert "saving the cells that are complete (again to" in result.stderr


class TestBadInput:
    """One line, the right code, nothing left behind."""

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (
                ("--layer", "conv1_1", "--channels", "conv1_1"),
                2,
                "--layer cannot be combined with --channels (ask",
            ),
            (
                ("--layer", "conv1_1", "--vary", "seed=1,2"),
                2,
                "--layer cannot be combined with --v",
            ),
            (("--vary", "seed=1,2", "--columns", "5"), 2, "--columns makes no difference on a s"),
            (("--vary", "seed=-1"), 2, "--seed: -1 is too small"),
            (("--vary", "from_noise=64x64"), 2, "a sheet shows dreams on PHOTO, not from noise"),
            (("--strength", "5"), 2, "--strength makes no difference on a sheet of presets"),
            (("--top", "5"), 2, "--top makes no difference on a sheet of presets"),
            (("--preset", "eyes"), 2, "--preset makes no difference on a sheet of presets"),
            (("--layer", "conv1_1", "--top", "5"), 2, "--top makes no difference on a sheet of l"),
            (("--layer", "conv1_1", "--columns", "5"), 2, "--columns makes no difference"),
            (("--channels", "conv1_1", "--strength", "5"), 2, "--strength makes no difference"),
            (("--channels", "conv1_1:3"), 2, "'conv1_1:3' is not one layer"),
            (("--channels", "conv1_1 + conv1_2"), 2, "is not one layer"),
            (("--channels", "-conv1_1"), 2, "is not one layer (for instance conv5_1)"),
            (("--layer", "conv1_1", "--strength", "nan"), 2, "--strength: nan is not a finite"),
            (("--layer", "conv1_1", "--strength", "-5"), 2, "--strength: -5 is too small"),
            (("--layer", "conv1_1", "--preset", "bold"), 2, "unknown preset 'bold'"),
            (("--size", "big"), 2, "no such size: 'big'"),
            (("--size", "12"), 1, "cat.png: 12×12 px is too small"),
            (("--seed", "-1"), 2, "--seed: -1 is too small"),
            (("--columns", "0"), 2, "0 is too small (at least 1)"),
            (("-o", "-", "--json"), 2, "-o - and --json both want stdout"),
            (("-o", "sheet.gif"), 1, "no picture format has the extension '.gif'"),
            (("--save-steps", "steps"), 2, "No such option"),
            (("--channels", "conv4_1", "--top", "400"), 2, "400 cells are too many for one sheet"),
        ],
    )
    def test_requests(
        self,
        run: Run,
        scene: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        code: int,
        said: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        before = listing(tmp_path)
        result = run("explore", "dream", scene, "--precision", "fp32", *words)
        assert said.lower() in complaint(result, code).lower()
        assert listing(tmp_path) == before

    @pytest.mark.parametrize("option", ["--layer", "--channels"])
    def test_expressions(self, run: Run, scene: Path, option: str) -> None:
        line, rest = pointed_at(run("explore", "dream", scene, option, "conv4_9"))
        assert line.startswith("unknown layer of vgg16 'conv4_9'")
        assert rest == "conv4_9"

    def test_pictures(self, run: Run, tmp_path: Path) -> None:
        line = complaint(run("explore", "dream", tmp_path / "gone.png"), 1)
        assert line.endswith("gone.png: there is no such file")
        (tmp_path / "bad.png").write_text("no picture")
        before = listing(tmp_path)
        assert "is not a picture" in complaint(run("explore", "dream", tmp_path / "bad.png"), 1)
        assert listing(tmp_path) == before
        assert run("explore").exit_code == 2
