"""Pictures of ``stylize inspect`` are not replayed; the line that makes them again is told."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from stylize.cli.inspect import COMMANDS
from stylize.cli.rerun import command_of
from stylize.errors import RecipeError
from stylize.images.write import write_picture
from stylize.runs.recipe import compose, load_recipe, to_text
from stylize.settings.fields import from_document, to_document
from stylize.settings.inspect import (
    ActivationsSettings,
    CaricatureSettings,
    FeatureSettings,
    FiltersSettings,
    InversionSettings,
    MapSettings,
    OcclusionSettings,
    PatchesSettings,
    SaliencySettings,
    SegmentSettings,
)
from tests.cli.conftest import HELP, Run, complaint, done, listing
from tests.conftest import as_picture, cat, photo, save

KINDS: list[Any] = [
    ActivationsSettings,
    CaricatureSettings,
    FeatureSettings,
    FiltersSettings,
    InversionSettings,
    MapSettings,
    OcclusionSettings,
    PatchesSettings,
    SaliencySettings,
    SegmentSettings,
]


def recipe_of(kind: Any, changes: dict[str, Any], **parts: str) -> dict[str, Any]:
    """As an inspection writes it, where it matters."""
    pictures = [(role, as_picture(cat(16), name)) for role, name in parts.items()]
    settings = to_document(from_document(kind, changes))
    return compose(
        kind.TECHNIQUE, settings, pictures, weights={}, resolved={}, losses={}, interrupted=False
    )


def parsed(line: str) -> dict[str, Any]:
    """What the command makes of a line."""
    program, group, name, *words = shlex.split(line)
    assert (program, group) == ("stylize", "inspect")
    command: click.Command = getattr(import_module(COMMANDS[name]), name)
    return command.make_context(name, words, **HELP).params


def test_every_command_is_tried() -> None:
    assert sorted(kind.TECHNIQUE for kind in KINDS) == [
        f"inspect {name}" for name in sorted(COMMANDS)
    ]


class TestLines:
    """What is told can be said, and means the same."""

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.TECHNIQUE)
    def test_by_default(self, kind: Any) -> None:
        """Nothing is said that need not be."""
        line = command_of(recipe_of(kind, {}, content="my cat.png"))
        assert "--" not in line
        said = {key: value for key, value in parsed(line).items() if value}
        assert set(said) <= {"photo", "folder", "layer", "channels", "output", "format"} | {
            "depth",
            "quality",
            "max_input_pixels",
        }
        if "photo" in said:
            assert said["photo"] == "my cat.png"

    @pytest.mark.parametrize(
        ("kind", "changes"),
        [
            (ActivationsSettings, {"layer": "conv2_2:3,17-20", "overlay": True, "columns": 3}),
            (CaricatureSettings, {"layer": "relu5_1", "power": 0.0}),
            (FeatureSettings, {"target": "conv4_3:30", "to": "conv4_3:100", "frames": 3}),
            (FeatureSettings, {"category": "golden retriever", "network": "vgg16-imagenet"}),
            (FeatureSettings, {"recipe": "cs231n", "neuron": True, "rate": 0.25}),
            (FiltersSettings, {"layer": "conv3_1", "count": 8, "normalize": "each"}),
            (InversionSettings, {"seed": 7}),
            (MapSettings, {"layer": "relu4_3", "perplexity": 7.5, "seed": 3}),
            (OcclusionSettings, {"target": "conv5_1:7"}),
            (PatchesSettings, {"channels": "relu4_3:7,21-26", "per_photo": 1}),
            (SaliencySettings, {"target": "conv4_3 + 0.5*conv3_3:30-40"}),
        ],
        ids=str,
    )
    def test_of_other_settings(self, kind: Any, changes: dict[str, Any]) -> None:
        params = parsed(command_of(recipe_of(kind, changes, content="cat.png")))
        meant = {name: value for name, value in params.items() if value is not None}
        fields = kind.__dataclass_fields__
        again = kind(**{name: value for name, value in meant.items() if name in fields})
        assert again == from_document(kind, changes)

    def test_its_pictures(self) -> None:
        inputs = {"content": "cat.png", "like": "it's.png"}
        params = parsed(command_of(recipe_of(SaliencySettings, {}, **inputs)))
        assert (params["photo"], params["like"]) == ("cat.png", "it's.png")
        recipe = recipe_of(FeatureSettings, {"target": "conv5_1"}, direction="a.png")
        recipe["inputs"] *= 2
        assert parsed(command_of(recipe))["direction"] == ("a.png", "a.png")
        assert " FOLDER " in command_of(recipe_of(PatchesSettings, {})), "no recipe names it"


class TestReplay:
    """In one line, with nothing left behind."""

    def test_a_picture_of_an_inspection(self, run: Run, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        words = ("--layer", "conv1_2", "--count", "3")
        done(run("inspect", "filters", *words, "-o", out))
        before = listing(tmp_path)
        line = complaint(run("replay", out), RecipeError.exit_code)
        assert line == (
            "out.png is of 'stylize inspect filters', which is not replayed"
            " (run it again: stylize inspect filters --layer conv1_2 --count 3)"
        )
        assert listing(tmp_path) == before

    @pytest.mark.usefixtures("network")
    def test_of_one_with_pictures(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The line that is told makes the very picture."""
        monkeypatch.chdir(tmp_path)
        save(cat(32), tmp_path / "a cat.png")
        save(photo(32, 32), tmp_path / "other.png")
        words = ("a cat.png", "conv2_1", "--like", "other.png", "--precision", "fp32")
        done(run("inspect", "saliency", *words, "-o", "out.png"))
        line = complaint(run("replay", "out.png"), RecipeError.exit_code)
        told = line.split("run it again: ")[1].removesuffix(")")
        assert told == "stylize inspect saliency 'a cat.png' conv2_1 --like other.png"
        done(run(*shlex.split(told)[1:], "--precision", "fp32", "-o", "again.png"))
        assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"technique": "inspect"}, "a recipe for 'inspect' cannot be replayed"),
            ({"technique": "filters"}, "a recipe for 'filters' cannot be replayed"),
            ({"technique": "inspect walls"}, "a recipe for 'inspect walls' cannot be replayed"),
            ({"settings": {"wings": 2}}, "unknown setting 'wings'"),
            ({"settings": {"count": 0}}, "--count: 0 is too small"),
            ({"inputs": [{"role": "content"}]}, "input 1 has no proper role, name or sha256"),
            ({"settings": {"layer": "conv1_1;\n\x1b[2Jrm"}}, "--layer 'conv1_1;[2Jrm'"),
        ],
        ids=str,
    )
    def test_hostile_recipes(
        self, run: Run, tmp_path: Path, changes: dict[str, Any], said: str
    ) -> None:
        recipe = recipe_of(FiltersSettings, {}) | changes
        path = tmp_path / "forged.png"
        write_picture(path, photo(16, 16), recipe=to_text(recipe))
        assert load_recipe(path) == recipe
        assert said in complaint(run("replay", path), RecipeError.exit_code)
