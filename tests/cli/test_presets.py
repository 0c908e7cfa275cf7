"""``stylize presets``."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

from stylize.planning.self_test_cache import Verdict, remember
from stylize.settings.fields import to_document
from stylize.settings.presets import (
    PRODUCTS,
    every_preset_name,
    find_preset,
    preset_names,
    read_preset,
)
from stylize.settings.transfer import TransferSettings
from tests.cli.conftest import Run, Sketch, complaint, done

ALL = [(technique, name) for technique in PRODUCTS for name in every_preset_name(technique)]

# Of a network that has to be added first; its cost is not known before.
UNKNOWN = ("dream", "classic-inception")


@pytest.fixture
def new_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))


def test_list(run: Run, new_machine: None) -> None:
    result = run("presets", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split(maxsplit=4) for line in result.stdout.splitlines()]
    assert [(row[0], row[1]) for row in rows] == ALL
    for technique, name, tflop, unit, rest in rows:
        assert unit == "TFLOP/MP"
        assert tflop == "?" if (technique, name) == UNKNOWN else float(tflop) > 1
        assert rest == f"? s  {find_preset(technique, name).description}"


def test_seconds_of_a_known_machine(run: Run, new_machine: None) -> None:
    seconds = []
    for gflops in (100.0, 200.0):
        remember("this", Verdict(precision="fp32", gflops=gflops, speedup=1.0, cosine=1.0))
        rows = json.loads(run("presets", "list", "--json").stdout)
        seconds.append({(row["technique"], row["name"]): row["seconds"] for row in rows})
    assert seconds[0].pop(UNKNOWN) is seconds[1].pop(UNKNOWN) is None
    for preset in seconds[1]:
        assert seconds[0][preset] > 1.5 * seconds[1][preset] > 1
    lines = run("presets", "list").stdout.splitlines()
    figures = [line.split()[4] for line in lines if UNKNOWN[1] not in line]
    assert figures == [f"{value:.0f}" for value in seconds[1].values()]


def test_as_json(run: Run, new_machine: None) -> None:
    rows = json.loads(run("presets", "list", "--json").stdout)
    assert [(row["technique"], row["name"]) for row in rows] == ALL
    assert rows[0].keys() == {"technique", "name", "description", "tflop_per_mp", "seconds"}
    assert rows[0]["seconds"] is None


@pytest.mark.parametrize("name", preset_names("transfer"))
def test_what_is_shown_can_be_used(
    run: Run, sketch: type[Sketch], files: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    for option in ((), ("--full",)):
        path = tmp_path / "shown.toml"
        path.write_text(run("presets", "show", name, *option).stdout, "utf-8")
        assert read_preset(path, "transfer").name == name
        assert run("transfer", *files, "--preset", path, "-q").exit_code == 0
        assert sketch.made[-1].settings == find_preset("transfer", name).apply()


@pytest.mark.parametrize("name", preset_names("dream"))
def test_a_dreams_settings_are_shown(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "shown.toml"
    for option in ((), ("--full",)):
        path.write_text(run("presets", "show", name, *option).stdout, "utf-8")
        assert read_preset(path, "dream").apply() == find_preset("dream", name).apply()


def test_the_full_text(run: Run) -> None:
    shown = tomllib.loads(run("presets", "show", "balanced", "--full").stdout)
    assert shown["settings"] == to_document(TransferSettings())
    assert "settings" not in tomllib.loads(run("presets", "show", "balanced").stdout)


def test_a_file_of_ones_own(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('description = "\\u001b[31m"\n[settings]\nseed = 3\n')
    shown = run("presets", "show", path).stdout
    assert tomllib.loads(shown)["settings"] == {"seed": 3}
    assert "\x1b" not in shown


def test_no_such_preset(run: Run) -> None:
    line = complaint(run("presets", "show", "blod"), 2)
    assert line.startswith("unknown preset 'blod' (did you mean bold")
    for gone in ("gone.toml", "gone.png"):
        assert f"{gone}: there is no such file" in complaint(run("presets", "show", gone), 2)
        assert f"{gone}: there is no such file" in complaint(run("dream", "a", "--preset", gone), 2)
    assert "did you mean list?" in complaint(run("presets", "lst"), 2)


class TestPictures:
    """A picture made by stylize serves as a preset."""

    def test_its_settings_are_used_again(
        self, run: Run, sketch: type[Sketch], files: tuple[Path, Path], tmp_path: Path
    ) -> None:
        photo, style = files
        out, again = tmp_path / "out.png", tmp_path / "again.png"
        look = ("--preset", "bold", "--content-weight", 0.2, "--size", 48)
        done(run("transfer", photo, style, *look, "-o", out))
        done(run("transfer", photo, style, "--preset", out, "--edges", 0.1, "-o", again))
        first, second = (made.settings for made in sketch.made)
        assert first.content_weight == 0.2
        assert second == dataclasses.replace(first, edges=0.1)
        assert [made.preset for made in sketch.made] == ["bold", "bold"]
        shown = tomllib.loads(done(run("presets", "show", out)).stdout)
        assert shown["technique"] == "transfer"
        assert shown["settings"].items() >= {"content_weight": 0.2, "size": "48"}.items()

    def test_of_a_dream(self, run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
        photo, style = files
        out = tmp_path / "out.png"
        words = ("--layer", "conv1_2", "--strength", 7, "--octaves", 1, "--steps", 1, "--size", 32)
        done(run("dream", photo, *words, "-o", out))
        again = done(run("dream", photo, "--preset", out, "-o", tmp_path / "again.png"))
        assert again.exit_code == 0
        first, second = (
            json.loads(done(run("info", path, "--json")).stdout)["settings"]
            for path in (out, tmp_path / "again.png")
        )
        assert first == second
        assert first["strength"] == 7
        line = complaint(run("transfer", photo, style, "--preset", out), 2)
        assert line.startswith("--preset: out.png was not made by 'stylize transfer'")

    def test_without_a_recipe(self, run: Run, files: tuple[Path, Path]) -> None:
        photo, style = files
        line = complaint(run("transfer", photo, style, "--preset", photo), 1)
        assert "photo.png carries no recipe" in line
        assert "photo.png carries no recipe" in complaint(run("presets", "show", photo), 1)

    def test_a_setting_at_the_top_of_a_file(
        self, run: Run, files: tuple[Path, Path], tmp_path: Path
    ) -> None:
        (tmp_path / "my.toml").write_text("strength = 30")
        line = complaint(run("transfer", *files, "--preset", tmp_path / "my.toml"), 2)
        assert line == "my.toml: strength is not in [settings] (write [settings] above it)"
