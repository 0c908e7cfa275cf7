"""Every look of the cookbook comes out, and its picture is the one its command makes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from stylize.images.read import read_picture
from stylize.runs.recipe import load_recipe
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import to_document
from stylize.settings.transfer import TransferSettings
from tests.cli.conftest import Run, done, run

__all__ = ["run"]  # a fixture

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cookbook.md"
PICTURES = PAGE.with_suffix("")
TOOL = runpy.run_path(str(ROOT / "tools" / "make_cookbook.py"))
COMMANDS: dict[str, list[str]] = TOOL["commands"](PAGE)
# What makes a look quick, by its command.
QUICK: dict[str, list[str]] = {
    "transfer": ["--size", "64", "--steps", "2", "--final-steps", "2"],
    "dream": ["--size", "64", "--steps", "2"],
    "explore": ["--size", "64", "--steps", "2"],
}
# Settings that follow from it: of the way to a picture, not of its look.
OF_THE_WAY = {"size", "from_noise", "steps", "final_steps"}
made = pytest.mark.skipif(
    not PICTURES.exists(), reason="run python tools/make_cookbook.py docs/cookbook"
)


def quick(words: list[str]) -> list[str]:
    """A command that takes a moment, wherever it is given."""
    less = QUICK[words[0]]
    if "--from-noise" in words:
        less = ["--from-noise", "64x64", *less[2:]]
    return [word.replace("samples/", f"{ROOT}/samples/") for word in words] + less


def look(picture: Path) -> dict[str, Any]:
    """What a recipe says that does not depend on size and steps.

    A setting that is younger than the picture has its default.
    """
    recipe = load_recipe(picture)
    kind = TransferSettings if "style_loss" in recipe["settings"] else DreamSettings
    known = to_document(kind()) | recipe["settings"]
    settings = {k: v for k, v in known.items() if k not in OF_THE_WAY}
    return {key: recipe[key] for key in ("technique", "inputs", "weights")} | settings


def test_twenty_looks_each_with_its_picture() -> None:
    assert len(COMMANDS) == 20
    text = PAGE.read_text("utf-8")
    assert [name for name in COMMANDS if f"](cookbook/{name})" not in text] == []
    assert text.count("](cookbook/") == 20


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_look(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    done(run(*quick(COMMANDS[name])))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert float(read_picture(tmp_path / name).pixels.std()) > 0.02, "not one grey"
    if PICTURES.exists():
        assert look(tmp_path / name) == look(PICTURES / name), (
            f"run python tools/make_cookbook.py docs/cookbook {Path(name).stem}"
        )


@made
def test_no_other_pictures_and_not_too_much_of_them() -> None:
    assert {path.name for path in PICTURES.iterdir()} == set(COMMANDS)
    total = sum(path.stat().st_size for path in PICTURES.iterdir())
    assert total <= TOOL["MAX_TOTAL_BYTES"]


class TestTool:
    """``tools/make_cookbook.py``."""

    def test_two_commands_in_one_block(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("```console\nstylize dream a.jpg -o a.png\nstylize dream -o b.png\n```\n")
        with pytest.raises(SystemExit, match="not one command"):
            TOOL["commands"](page)

    def test_one_picture_twice(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("```console\nstylize dream a.jpg -o a.png\n```\n" * 2)
        with pytest.raises(SystemExit, match="one picture"):
            TOOL["commands"](page)

    def test_a_name_that_is_none(self) -> None:
        with pytest.raises(SystemExit, match="not in the cookbook: none"):
            TOOL["main"](PICTURES, ["none"])
