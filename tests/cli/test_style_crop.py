"""``--style-crop``: what people see of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylize.images.read import read_picture
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import QUICK, Run
from tests.conftest import save, strokes


@pytest.fixture
def framed(files: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The photo, and the style image on white paper."""
    path = tmp_path / "framed.png"
    page = torch.ones(1, 3, 66, 81)
    page[..., 7:55, 9:73] = strokes(48, 64, 5.0)
    save(page, path)
    return files[0], path


def test_the_command(run: Run, framed: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    result = run("transfer", *framed, *QUICK, "-o", out)
    assert result.exit_code == 0, result.stderr
    assert "left out a frame of the style image framed.png: 9 px on the left" in result.stderr
    assert "used 64x48+9+7" in run("info", out).stdout
    again = run("replay", out, "-o", tmp_path / "again.png")
    assert "every pixel as in out.png" in again.stderr
    whole = run("replay", out, "--set", "style_crop=none", "-o", tmp_path / "whole.png")
    assert whole.exit_code == 0, whole.stderr
    assert "left out" not in whole.stderr
    assert not torch.equal(read_picture(out).pixels, read_picture(tmp_path / "whole.png").pixels)


def test_a_batch_says_so_once(run: Run, framed: tuple[Path, Path], tmp_path: Path) -> None:
    other = save(strokes(40, 60), tmp_path / "other.png")
    words = (framed[0], other, "--style", framed[1], *QUICK, "--steps", 1, "-o", tmp_path / "out")
    said = run("batch", "transfer", *words).stderr.splitlines()
    assert [line for line in said if "left out" in line] == [
        "left out a frame of the style image framed.png: 9 px on the left, 8 px on the right,"
        " 7 px at the top, 11 px at the bottom; --style-crop none keeps it"
    ]


@pytest.mark.parametrize("text", ["64x48+40+0", "8x8+0+0", "0x9+1+1", "half", "64x48"])
def test_a_bad_rectangle_is_one_line(
    run: Run, framed: tuple[Path, Path], tmp_path: Path, text: str
) -> None:
    for words in (
        ("transfer", *framed, "-o", tmp_path / "out.png"),
        ("batch", "transfer", framed[0], "--style", framed[1], "-o", tmp_path / "out"),
    ):
        result = run(*words, "--style-crop", text)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("stylize: --style-crop: ")
    assert not list(tmp_path.glob("out*"))


def test_a_rectangle_is_not_meant_for_another_style(
    run: Run, framed: tuple[Path, Path], files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    run("transfer", *framed, *QUICK, "--style-crop", "60x40+20+25", "-o", out)
    result = run("replay", out, "--style", files[1], "-o", tmp_path / "other.png")
    assert result.exit_code == 0, result.stderr
    assert load_recipe(tmp_path / "other.png")["settings"]["style_crop"] == "auto"
