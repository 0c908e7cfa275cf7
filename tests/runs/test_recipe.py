"""Recipes: small enough for every format, silent about the machine, refused if not our own."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.errors import RecipeError
from stylize.images.metadata import MAX_RECIPE_BYTES, read_recipe
from stylize.images.read import Picture
from stylize.images.write import write_picture
from stylize.networks.architecture import layer_names
from stylize.runs.recipe import SCHEMA, compose, load_recipe, of_cell, settings_of, to_text
from stylize.settings.fields import to_document
from stylize.settings.transfer import MAX_STYLES, TransferSettings
from stylize.version import __version__
from tests.conftest import as_picture, photo, strokes

FORMATS = [("png", 8), ("png", 16), ("jpg", 8), ("webp", 8), ("avif", 8), ("tiff", 8), ("tiff", 16)]


def recipe(
    *styles: Picture, settings: TransferSettings | None = None, **changes: Any
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "weights": {"name": "vgg16", "sha256": "f" * 64},
        "resolved": {"size": [64, 48], "device": "cpu", "scales": [[64, 48, 12]]},
        "losses": {"style relu1_1": 0.123456789},
        "interrupted": False,
    }
    inputs = [("content", as_picture(photo(48, 64), "photo.png"))]
    inputs += [("style", style) for style in styles or [as_picture(strokes(), "猫 & “ink”.png")]]
    document = to_document(settings or TransferSettings())
    return compose("transfer", document, inputs, **(values | changes))


@pytest.fixture
def carrying(tmp_path: Path) -> Callable[..., Path]:
    """``carrying(document)``: a picture with that recipe, sound or not."""

    def write(document: object, suffix: str = "png", depth: int = 8) -> Path:
        path = tmp_path / f"picture.{suffix}"
        text = document if isinstance(document, str) else json.dumps(document)
        write_picture(path, photo(16, 16), recipe=text, depth=depth)
        return path

    return write


def test_what_it_says() -> None:
    found = recipe(preset="bold")
    assert found["schema"] == SCHEMA
    assert (found["tool"], found["version"]) == ("stylize", __version__)
    assert found["preset"] == "bold"
    assert found["settings"] == to_document(TransferSettings())
    assert found["inputs"][0] == {
        "role": "content",
        "name": "photo.png",
        "sha256": as_picture(photo(48, 64)).sha256,
        "size": [64, 48],
    }
    assert found["losses"] == {"style relu1_1": 0.1235}
    assert "preset" not in recipe()


@pytest.mark.parametrize(("suffix", "depth"), FORMATS)
def test_through_a_file_and_back(carrying: Callable[..., Path], suffix: str, depth: int) -> None:
    document = recipe()
    path = carrying(to_text(document), suffix, depth)
    assert load_recipe(path) == document
    assert load_recipe(path.read_bytes()) == document


@pytest.mark.parametrize("letter", ["x", "é", "猫", "🎨"])
def test_the_longest_recipe_fits(carrying: Callable[..., Path], letter: str) -> None:
    """As many styles as may be, with names as long as file systems allow, and all layers."""
    styles = [as_picture(strokes(), letter * 250 + ".png") for _ in range(MAX_STYLES)]
    layers = tuple((name, 0.123456789012345678) for name in layer_names("vgg19"))
    settings = TransferSettings(
        style_weights=(0.123456789012345678,) * MAX_STYLES,
        style_layers=layers,
        content_layers=layers,
    )
    losses = {f"{kind} {name}": 1e-5 / 3 for kind in ("style", "content") for name, _ in layers}
    document = recipe(*styles, settings=settings, losses=losses)
    assert len(to_text(document).encode()) < MAX_RECIPE_BYTES
    assert len({each["name"] for each in document["inputs"]}) == 2
    assert load_recipe(carrying(to_text(document), "jpg")) == document


def test_short_names_are_kept_whole() -> None:
    found = recipe(as_picture(strokes(), "猫" * 26 + ".p"))
    assert found["inputs"][1]["name"] == "猫" * 26 + ".p"


def test_nothing_of_the_machine_is_in_it(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A whole run, read as text from the file."""
    import stylize

    content, style = files
    result = stylize.transfer(content, style, size="32", min_size=32, steps=1)
    result.save(tmp_path / "out.png")
    text = read_recipe(tmp_path / "out.png")
    assert text is not None
    assert str(tmp_path) not in text
    assert socket.gethostname() not in text
    assert f'"{getpass.getuser()}"' not in text
    assert not [word for word in strings(json.loads(text)) if "/" in word or "\\" in word]
    keys = set(names(json.loads(text)))
    assert not keys & {"time", "date", "seconds", "host", "user", "path", "cwd", "started"}


def strings(value: Any) -> list[str]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [word for each in inner for word in strings(each)]
    return [value] if isinstance(value, str) else []


def names(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for each in value.values() for name in names(each))]
    return [name for each in value for name in names(each)] if isinstance(value, list) else []


def test_two_runs_say_the_same(content: Picture, style: Picture) -> None:
    assert to_text(recipe(style)) == to_text(recipe(style))


def test_no_number_that_json_lacks() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_text(recipe(resolved={"gflops": float("nan")}))


def test_a_picture_without_a_recipe(files: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match=r"photo\.png carries no recipe .stylize writes one"):
        load_recipe(files[0])


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"tool": "gimp"}, "a recipe of another program"),
        (
            {"schema": 99},
            f"a recipe of schema 99, this version reads {SCHEMA} .use the version of stylize",
        ),
        ({"schema": None}, "a recipe of schema None"),
        ({"settings": [1]}, "a damaged recipe: no settings"),
        ({"inputs": {}}, "a damaged recipe: no inputs"),
        ({"resolved": None}, "a damaged recipe: no resolved"),
        ({"technique": 3}, "a damaged recipe: no technique"),
    ],
)
def test_foreign_and_damaged_recipes(
    carrying: Callable[..., Path], changed: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(RecipeError, match=rf"picture\.png carries {complaint}") as raised:
        load_recipe(carrying(recipe() | changed))
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "no JSON", "null"])
def test_what_is_no_recipe_at_all(carrying: Callable[..., Path], text: str) -> None:
    with pytest.raises(RecipeError, match="carries no recipe"):
        load_recipe(carrying(text))


def test_the_name_of_the_source(files: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match="stdin carries no recipe"):
        load_recipe(files[0].read_bytes(), "stdin")
    with pytest.raises(RecipeError, match="the picture carries no recipe"):
        load_recipe(files[0].read_bytes())


def test_a_recipe_too_long_is_refused_rather_than_cut(tmp_path: Path) -> None:
    from stylize.errors import OutputError

    with pytest.raises(OutputError, match="the recipe takes"):
        write_picture(
            tmp_path / "out.png", torch.zeros(1, 3, 16, 16), recipe='{"a": "%s"}' % ("x" * 17000)
        )
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("places", "names"),
    [(None, ["photo.png", "a.png", "b.png"]), ([0, 2], ["photo.png", "b.png"]), ([], [])],
)
def test_the_inputs_of_a_cell(places: list[int] | None, names: list[str]) -> None:
    styles = [as_picture(strokes(), name) for name in ("a.png", "b.png")]
    cell = {"label": "x", "settings": {"steps": 7}} | ({} if places is None else {"inputs": places})
    found = of_cell(recipe(*styles) | {"of": "transfer", "cells": {"A1": cell}}, "a1")
    assert [each["name"] for each in found["inputs"]] == names
    assert found["settings"]["steps"] == 7


@pytest.mark.parametrize("places", [[2], [-1], ["0"], [0.0], {"0": 1}, 0, "0", [[0]], [None]])
def test_a_cell_of_inputs_that_are_not_there(places: Any) -> None:
    cell = {"settings": {}, "inputs": places}
    with pytest.raises(RecipeError, match="a cell of inputs that the sheet does not have"):
        of_cell(recipe() | {"cells": {"A1": cell}}, "A1")


def test_an_earlier_recipe_keeps_its_final_steps() -> None:
    """They were half of the steps where the recipe does not say."""
    document = recipe()
    document["settings"] |= {"steps": 28}
    assert settings_of(document).steps_at_the_end == 10
    earlier = document["settings"].copy()
    del earlier["style_crop"]
    assert settings_of(document | {"settings": earlier}).steps_at_the_end == 14
    stated = earlier | {"final_steps": 3}
    assert settings_of(document | {"settings": stated}).steps_at_the_end == 3
