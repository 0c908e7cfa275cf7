"""``stylize explore transfer``: what is on a sheet of transfers, and its cells made again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import torch

from stylize.cli.explore import TransferSheet, explore
from stylize.cli.requests import Messages
from stylize.errors import InterruptedRunError
from stylize.images.read import read_picture
from stylize.runs.recipe import load_recipe, of_cell, settings_of
from stylize.settings.presets import Preset, find_preset, preset_names, to_toml
from tests.cli.conftest import (
    Run,
    StopAfter,
    complaint,
    done,
    listing,
    size_of,
)
from tests.conftest import cat, save, strokes

pytestmark = pytest.mark.usefixtures("network")
FAST = ("--size", 16, "--precision", "fp32")
Make = Callable[..., str]
# Of sheets: plain, with what a shell acts on, like an option, and with control characters.
NAMES = ["out.png", 'it\'s $HOME; `x` "q".png', "-out.png", "a\tb\n.png"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a photograph, two styles and nothing else."""
    monkeypatch.chdir(tmp_path)
    save(cat(32), tmp_path / "cat.png")
    save(strokes(32, 32, 4), tmp_path / "fine.png")
    save(strokes(32, 32, 9), tmp_path / "wide.png")
    return tmp_path


@pytest.fixture
def make(folder: Path) -> Make:
    """``make("mine", smoothness=0)`` is a preset of one step."""

    def preset(name: str, **settings: object) -> str:
        values = {"steps": 1, "min_size": 32} | settings
        (folder / f"{name}.toml").write_text(to_toml(Preset(name, "transfer", "", values)))
        return f"{name}.toml"

    return preset


def cells_of(path: Path) -> dict[str, str]:
    return {name: cell["label"] for name, cell in load_recipe(path)["cells"].items()}


class TestSheets:
    """Columns are presets or values, rows are styles and values."""

    def test_of_all_presets(self) -> None:
        """Those of the program, the default first; painted by the tests of fewer."""
        ((title, row),) = TransferSheet(None, (), "16").looks(Messages())
        assert title == ""
        assert [name for name, _ in row] == preset_names("transfer")
        for name, settings in row:
            assert settings == find_preset("transfer", name).apply({"size": 16})

    def test_beside_the_photograph(self, run: Run, folder: Path, make: Make) -> None:
        words = ("cat.png", "fine.png", "--presets", make("a"), *FAST)
        result = done(run("explore", "transfer", *words))
        assert result.stderr.startswith("saved cat-sheet.png (")
        assert cells_of(folder / "cat-sheet.png") == {"A1": "a"}, "one style needs no name"

    def test_of_styles_and_presets(self, run: Run, folder: Path, make: Make) -> None:
        presets = f"{make('a')}, {make('b', smoothness=0.0)}"
        words = ("cat.png", "fine.png", "wide.png", "--presets", presets)
        done(run("explore", "transfer", *words, *FAST, "-o", "out.png"))
        assert cells_of(folder / "out.png") == {
            "A1": "a · fine",
            "B1": "b · fine",
            "A2": "a · wide",
            "B2": "b · wide",
        }
        names = [each["name"] for each in load_recipe(folder / "out.png")["inputs"]]
        assert names == ["cat.png", "fine.png", "wide.png"]

    def test_of_one_setting(self, run: Run, folder: Path, make: Make) -> None:
        """Instead of the preset's own value."""
        words = ("cat.png", "fine.png", "--presets", make("a", content_weight=0.3))
        words += ("--vary", "content-weight=0.02, 5,5.0", "-o", "out.png")
        done(run("explore", "transfer", *words, *FAST))
        labels = {"A1": "content_weight 0.02", "B1": "content_weight 5"}
        assert cells_of(folder / "out.png") == labels
        recipe = load_recipe(folder / "out.png")
        weights = [settings_of(of_cell(recipe, name)).content_weight for name in ("A1", "B1")]
        assert weights == [0.02, 5]

    def test_of_two_settings_and_two_styles(self, run: Run, folder: Path, make: Make) -> None:
        words = ("cat.png", "fine.png", "wide.png", "--presets", make("a"))
        words += ("--vary", "style_layers=relu1_1:2,relu2_1;relu1_1", "--vary", "color=match,style")
        done(run("explore", "transfer", *words, *FAST, "-o", "out.png"))
        labels = cells_of(folder / "out.png")
        assert list(labels) == ["A1", "B1", "A2", "B2", "A3", "B3", "A4", "B4"]
        assert labels["B4"] == "style_layers relu1_1 · color style · wide"
        settings = settings_of(of_cell(load_recipe(folder / "out.png"), "A3"))
        assert settings.style_layers == (("relu1_1", 2), ("relu2_1", 1))
        assert settings.color == "match"

    def test_of_sizes(self, run: Run, folder: Path, make: Make) -> None:
        words = ("cat.png", "fine.png", "--presets", make("a"), "--vary", "size=16,32")
        done(run("explore", "transfer", *words, "--precision", "fp32", "-o", "out.png"))
        assert size_of(folder / "out.png")[0] == 4 * (32 + 8) + 8

    def test_of_several_presets_and_values(self, run: Run, folder: Path, make: Make) -> None:
        presets = f"{make('a')},{make('b', smoothness=0.0)}"
        words = ("cat.png", "fine.png", "--presets", presets, "--vary", "edges=0,0.1")
        done(run("explore", "transfer", *words, *FAST, "-o", "out.png"))
        assert cells_of(folder / "out.png") == {
            "A1": "edges 0 · a",
            "B1": "edges 0.1 · a",
            "A2": "edges 0 · b",
            "B2": "edges 0.1 · b",
        }

    def test_things_of_one_name_are_told_apart(self, run: Run, folder: Path, make: Make) -> None:
        """Presets inside pictures, and styles from two folders."""
        quick = ("--preset", make("a"), *FAST)
        done(run("transfer", "cat.png", "fine.png", *quick, "-o", "one.png"))
        words = ("--smoothness", 0, "-o", "two.png")
        done(run("transfer", "cat.png", "fine.png", *quick, *words))
        (folder / "more").mkdir()
        save(strokes(32, 32, 6), folder / "more" / "fine.png")
        words = ("cat.png", "fine.png", "more/fine.png", "--presets", "a.toml,one.png,two.png")
        result = done(run("explore", "transfer", *words, *FAST, "-o", "out.png"))
        labels = cells_of(folder / "out.png").values()
        assert "one.png is left out: here it is the same as a.toml" in result.stderr
        assert list(labels) == [
            "a.toml · fine.png",
            "two.png · fine.png",
            "a.toml · more/fine.png",
            "two.png · more/fine.png",
        ]

    def test_a_style_given_twice_is_painted_once(self, run: Run, folder: Path, make: Make) -> None:
        (folder / "copy.png").write_bytes((folder / "fine.png").read_bytes())
        words = ("cat.png", "fine.png", "copy.png", "--presets", make("a"), *FAST, "-o", "out.png")
        result = done(run("explore", "transfer", *words))
        assert "copy.png is left out: it is the same picture as fine.png" in result.stderr
        assert list(cells_of(folder / "out.png")) == ["A1"]

    @pytest.mark.parametrize(
        "name", ["out.png", 'it\'s $HOME; `x` "q".png', "-out.png", "a\tb\n.png"]
    )
    def test_the_last_line_is_a_command_that_makes_a_cell_large(
        self, run: Run, folder: Path, make: Make, name: str
    ) -> None:
        words = ("cat.png", "fine.png", "--presets", make("a"), *FAST, f"--output={name}")
        result = done(run("explore", "transfer", *words))
        command = result.stderr.splitlines()[-1]
        shell = 'stylize() { printf "%s\\0" "$@"; }; ' + command
        words = subprocess.check_output(["bash", "-c", shell]).decode().split("\0")[:-1]
        assert words[1:] in (
            [each, "--cell", "A1", "--size", "original"] for each in (name, f"./{name}")
        )
        done(run(*words, "-o", "large.png"))
        assert size_of(folder / "large.png") == (32, 32)

    def test_no_command_where_none_is_wanted(self, run: Run, make: Make) -> None:
        words = ("cat.png", "fine.png", "--presets", make("a"), *FAST)
        assert not done(run("explore", "transfer", *words, "-q")).stderr

    def test_presets_that_are_the_same_are_one_column(
        self, run: Run, folder: Path, make: Make
    ) -> None:
        one, other = make("one", content_weight=0.3), make("other", content_weight=0.1)
        words = ("cat.png", "fine.png", "--presets", f"{one},{other}", *FAST, "-o", "out.png")
        words += ("--overwrite",)
        result = done(run("explore", "transfer", *words))
        assert "left out" not in result.stderr
        assert len(cells_of(folder / "out.png")) == 2
        result = done(run("explore", "transfer", *words, "--vary", "content_weight=0.2"))
        assert "other is left out: here it is the same as one\n" in result.stderr
        assert list(cells_of(folder / "out.png").values()) == ["content_weight 0.2"]
        assert not done(
            run("explore", "transfer", *words, "--vary", "content_weight=0.2", "-q")
        ).stderr

    def test_of_the_size_asked_for(self, run: Run, folder: Path, make: Make) -> None:
        words = ("cat.png", "fine.png", "--presets", make("a"), "--precision", "fp32")
        sizes = []
        for size in (16, 24):
            out = folder / f"{size}.png"
            done(run("explore", "transfer", *words, "--size", size, "-o", out))
            sizes.append(size_of(out))
        assert sizes[0] == (8 + 3 * (16 + 8), sizes[0][1]), "the photo, the style and a cell"
        assert (sizes[1][0] - sizes[0][0], sizes[1][1] - sizes[0][1]) == (3 * 8, 8)

    def test_streams_and_events(self, run: Run, folder: Path, make: Make) -> None:
        words = ("-", "fine.png", "--presets", make("a"), *FAST, "-o", "-")
        photo = (folder / "cat.png").read_bytes()
        result = done(run("explore", "transfer", *words, input=photo))
        assert result.stderr == ""
        assert list(load_recipe(result.stdout_bytes)["cells"]) == ["A1"]
        words = ("cat.png", "fine.png", "--presets", make("a"), *FAST, "--json", "-o", "out.png")
        events = [
            json.loads(line)
            for line in done(run("explore", "transfer", *words)).stdout.split("\n")[:-1]
        ]
        assert events[1] == {"event": "cell", "label": "a", "cells": 1}
        assert events[2]["recipe"] == load_recipe(folder / "out.png")

    def test_what_is_decided(self, run: Run, make: Make) -> None:
        words = ("cat.png", "fine.png", "wide.png", "--presets", make("a"), *FAST)
        line = done(run("explore", "transfer", *words, "-v")).stderr.splitlines()[0]
        assert line == "2 cells" or line.startswith("2 cells, about ")

    @pytest.mark.parametrize(("asked", "cells"), [(3, 1), (5, 1)])
    def test_stopped_early(
        self, run: Run, folder: Path, make: Make, stop_after: StopAfter, asked: int, cells: int
    ) -> None:
        """The whole cells so far are a sheet, wherever within a cell it was."""
        words = ("cat.png", "fine.png", "wide.png", "--presets", make("a"))
        stop_after(asked)
        result = done(run("explore", "transfer", *words, *FAST, "-o", "out.png"), 130)
        assert "stopped early, saved out.png (" in result.stderr
        assert list(cells_of(folder / "out.png")) == ["A1", "A2"][:cells]
        assert load_recipe(folder / "out.png")["interrupted"]

    def test_stopped_before_there_was_anything(
        self, run: Run, folder: Path, make: Make, stop_after: StopAfter
    ) -> None:
        words = ("cat.png", "fine.png", "--presets", make("a"), *FAST)
        before = listing(folder)
        stop_after(1)
        line = complaint(run("explore", "transfer", *words), InterruptedRunError.exit_code)
        assert line == "stopped before the first cell"
        assert listing(folder) == before


class TestReplay:
    """A cell made again is the transfer that its label names."""

    def test_small_and_large(self, run: Run, folder: Path, make: Make) -> None:
        presets = [make("a"), make("b", smoothness=0.0, style_layers={"relu1_1": 1})]
        words = ("cat.png", "fine.png", "wide.png", "--presets", ",".join(presets))
        done(run("explore", "transfer", *words, *FAST, "-o", "sheet.png"))
        for size in (16, 32):
            quick = ("--size", size, "--precision", "fp32")
            cell = ("--cell", "b2", "-o", f"cell-{size}.png", "--size", size)
            done(run("replay", "sheet.png", *cell))
            plain = ("--preset", presets[1], "-o", f"plain-{size}.png")
            done(run("transfer", "cat.png", "wide.png", *plain, *quick))
            again, wanted = (
                read_picture(folder / f"{name}-{size}.png").pixels for name in ("cell", "plain")
            )
            assert torch.equal(again, wanted)
        roles = [each["role"] for each in load_recipe(folder / "cell-16.png")["inputs"]]
        assert roles == ["content", "style"], "that of the cell alone"

    def test_the_other_style_may_be_gone(self, run: Run, folder: Path, make: Make) -> None:
        rare = save(strokes(32, 32, 6.7), folder / "rare.png")  # nowhere else on the machine
        words = ("cat.png", "rare.png", "wide.png", "--presets", make("a"), *FAST)
        done(run("explore", "transfer", *words, "-o", "sheet.png"))
        rare.unlink()
        done(run("replay", "sheet.png", "--cell", "A2"))
        line = complaint(run("replay", "sheet.png", "--cell", "A1"), 1)
        assert "style 'rare.png'" in line


class TestBadInput:
    """One line, the right code, nothing left behind, before anything is painted."""

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("--presets", "blod"), 2, "unknown preset 'blod' (did you mean bold"),
            (("--presets", "bold,"), 2, "'bold,' has an empty name"),
            (("--presets", "dogs"), 2, "unknown preset 'dogs'"),
            (("--presets", "gone.toml"), 2, "gone.toml: there is no such file"),
            (("--presets", "started.toml"), 2, "started starts from a picture (a sheet has"),
            (
                ("--presets", "blended.toml"),
                2,
                "blended: --style-weight: 2 given for 1 style image",
            ),
            (("--presets", "bold,deep.toml"), 2, "deep: unknown layer"),
            (("--vary", "edges"), 2, "'edges' is not SETTING=VALUE,VALUE"),
            (("--vary", "edges=1,,2"), 2, "'edges=1,,2' has an empty value"),
            (("--vary", "steps=1,x"), 2, "steps: 'x' is not a whole number"),
            (("--vary", "color=blue"), 2, "color: 'blue' is not one of 'style', 'luminance'"),
            (("--vary", "stlye_size=64"), 2, "unknown setting 'stlye_size' (did you mean style_s"),
            (("--vary", "content_weight=0.1,nan"), 2, "--content-weight: nan is not a finite"),
            (("--vary", "content_weight=-1"), 2, "--content-weight: -1 is too small"),
            (("--vary", "edges=1", "--vary", "edges=2"), 2, "--vary names edges twice"),
            (("--vary", "edges=1", "--vary", "steps=2", "--vary", "size=64"), 2, "3 settings"),
            (("--vary", "init=file"), 2, "init=file makes no sense on a sheet"),
            (("--vary", "style_weights=1,2"), 2, "style_weights makes no sense on a sheet"),
            (("--vary", "size=16,x"), 2, "no such size: 'x'"),
            (("--size", "big"), 2, "no such size: 'big'"),
            (("--size", "12"), 1, "cat.png: 12×12 px is too small"),
            (("-o", "-", "--json"), 2, "-o - and --json both want stdout"),
            (("-o", "sheet.gif"), 1, "no picture format has the extension '.gif'"),
            (("--save-steps", "steps"), 2, "No such option"),
            (("gone.png",), 1, "gone.png: there is no such file"),
            (("text.png",), 1, "text.png is not a picture"),
            (("tiny.png",), 1, "tiny.png: 8×8 px is too small"),
            (("-", "-"), 2, "stdin can give only one picture"),
            (("--vary", f"edges={','.join(map(str, range(300)))}"), 2, "300 cells are too many"),
        ],
    )
    def test_requests(
        self, run: Run, folder: Path, make: Make, words: tuple[str, ...], code: int, said: str
    ) -> None:
        make("started", init="file")
        make("blended", style_weights=[1.0, 2.0])
        make("deep", style_layers={"relu9_9": 1})
        save(strokes(8, 8), folder / "tiny.png")
        (folder / "text.png").write_text("no picture")
        before = listing(folder)
        first = () if "--presets" in words else ("--presets", make("a"))
        before |= listing(folder)
        result = run("explore", "transfer", "cat.png", "fine.png", *words, *first)
        assert said.lower() in complaint(result, code).lower()
        assert listing(folder) == before

    def test_a_sheet_that_its_format_cannot_hold(self, run: Run, folder: Path, make: Make) -> None:
        """Told before a cell is painted."""
        save(cat(16).repeat(1, 1, 1, 24), folder / "long.png")
        presets = ",".join(make(f"p{n}", smoothness=n / 10) for n in range(43))
        words = ("long.png", "fine.png", "--presets", presets, "--size", "384", "-o", "out.webp")
        line = complaint(run("explore", "transfer", *words, "--precision", "fp32"), 1)
        assert line.startswith("webp holds at most 16383 pixels per side, the picture is 17648×")
        assert not (folder / "out.webp").exists()

    def test_nothing_to_paint_in(self, run: Run, folder: Path) -> None:
        assert "Missing argument 'STYLE...'" in complaint(run("explore", "transfer", "cat.png"), 2)


def test_the_shell_completes_what_follows_the_last_comma() -> None:
    command = explore.commands["transfer"]
    (presets,) = [each for each in command.params if each.name == "presets"]
    context = click.Context(command)
    found = [item.value for item in presets.shell_complete(context, "draft,b")]
    assert found == [f"draft,{name}" for name in preset_names("transfer") if name[0] == "b"]
    assert "draft,bold" in found
