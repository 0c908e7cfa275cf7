"""``stylize explore blend``: from one style to another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylize.images.read import read_picture
from stylize.reruns.explore import strip_cells
from stylize.runs.recipe import load_recipe, of_cell, settings_of
from stylize.settings.transfer import TransferSettings
from tests.cli.conftest import QUICK, Run, complaint, done, listing, size_of
from tests.conftest import cat, save, strokes

pytestmark = pytest.mark.usefixtures("network")


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path, Path]:
    return (
        save(cat(32), tmp_path / "cat.png"),
        save(strokes(32, 32), tmp_path / "red.png"),
        save(strokes(32, 32, 5.0).flip(1), tmp_path / "blue.png"),
    )


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A preset of two steps, with the layers of QUICK."""
    path = tmp_path / "quick.toml"
    path.write_text(
        "[settings]\nsteps = 2\nmin_size = 32\nsmoothness = 0.25\n"
        "style_layers = {relu1_1 = 1, relu2_1 = 1}\ncontent_layers = {relu2_2 = 1}\n"
    )
    return path


@pytest.mark.parametrize("count", [2, 5, 26])
def test_shares_are_evenly_spaced(count: int) -> None:
    cells = strip_cells(TransferSettings(), ("red", "blue"), count)
    shares = [cell.settings.style_weights[1] for cell in cells]  # type: ignore[union-attr]
    assert shares == pytest.approx([index / (count - 1) for index in range(count)])
    for cell in cells:
        assert sum(cell.settings.style_weights) == pytest.approx(1)  # type: ignore[union-attr]


def test_labels() -> None:
    cells = strip_cells(TransferSettings(), ("red", "blue"), 5)
    assert [cell.label for cell in cells] == ["red", "25 % blue", "50 % blue", "75 % blue", "blue"]


def test_a_strip_and_its_cells(
    run: Run, sources: tuple[Path, Path, Path], quick: Path, tmp_path: Path
) -> None:
    """Every cell is the transfer with its weights, and comes back by its name."""
    words = ("--size", 32, "--precision", "fp32", "--preset", quick)
    done(run("explore", "blend", *sources, "--steps", 3, *words))
    strip = tmp_path / "cat-strip.png"
    recipe = load_recipe(strip)
    assert [each["name"] for each in recipe["inputs"]] == ["cat.png", "red.png", "blue.png"]
    assert list(recipe["cells"]) == ["A1", "B1", "C1"]
    assert size_of(strip)[0] > 3 * 32
    assert settings_of(of_cell(recipe, "B1")).style_weights == (0.5, 0.5)
    assert settings_of(of_cell(recipe, "B1")).smoothness == 0.25
    out, direct = tmp_path / "out.png", tmp_path / "direct.png"
    for cell, weights in {"A1": (1, 0), "B1": (1, 1), "C1": (0, 1)}.items():
        done(run("replay", strip, "--cell", cell, "-o", out, "--overwrite"))
        chosen = [word for weight in weights for word in ("--style-weight", weight)]
        flags = ("-o", direct, "--overwrite", "--smoothness", 0.25)
        done(run("transfer", *sources, *QUICK, *chosen, *flags))
        assert torch.equal(read_picture(out).pixels, read_picture(direct).pixels), cell


def test_a_preset_that_knows_better(
    run: Run, sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[settings]\nstyle_weights = [1.0, 2.0]\n")
    before = listing(tmp_path)
    text = complaint(run("explore", "blend", *sources, "--preset", path), 2)
    assert "cannot be used on a strip" in text
    assert listing(tmp_path) == before


@pytest.mark.parametrize("words", [["--steps", 1], ["--steps", 27], ["--size", "x"]])
def test_nonsense(
    run: Run, sources: tuple[Path, Path, Path], words: list[object], tmp_path: Path
) -> None:
    before = listing(tmp_path)
    complaint(run("explore", "blend", *sources, *words), 2)
    assert listing(tmp_path) == before
