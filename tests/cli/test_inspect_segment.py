"""``stylize inspect segment``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.masks import subject
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import Run, complaint, done, listing, size_of
from tests.conftest import SAMPLES, save


@pytest.fixture(autouse=True)
def glance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees less: how well a subject is found is another file's matter."""
    monkeypatch.setattr(subject, "SEEN_PX", 128)
    monkeypatch.setattr(subject, "PROPOSED_PX", 80)


@pytest.fixture
def kitten(tmp_path: Path) -> Path:
    pixels = read_picture(SAMPLES / "photos" / "chelsea.jpg").pixels
    return save(resize(pixels, (64, 96)).clamp(0, 1), tmp_path / "kitten.png")


def test_a_mask_beside_the_photo(run: Run, kitten: Path) -> None:
    done(run("inspect", "segment", kitten, "--precision", "fp32"))
    mask = kitten.with_name("kitten-subject-mask.png")
    assert size_of(mask) == size_of(kitten)
    recipe = load_recipe(mask)
    assert recipe["technique"] == "inspect segment"
    assert recipe["settings"] == {"network": "vgg16", "view": "mask", "invert": False}


def test_numbers(run: Run, kitten: Path, tmp_path: Path) -> None:
    result = done(
        run("inspect", "segment", kitten, "--json", "-q", "-o", tmp_path / "m.png", "--threads", 1)
    )
    found = json.loads(result.stdout)
    left, top, right, bottom = found["box"]
    assert 0 <= left < right <= 96
    assert 0 <= top < bottom <= 64
    assert 0 < found["area"] < 1
    assert 0 <= found["confidence"] <= 1
    assert found["sure"] is (found["confidence"] >= 0.5)
    assert result.stderr == ""


def test_cutout_and_its_opposite(run: Run, kitten: Path) -> None:
    words = ("inspect", "segment", kitten, "--view", "cutout", "--precision", "fp32")
    done(run(*words))
    done(run(*words, "--invert"))
    alphas = []
    for part in ("subject", "background"):
        with Image.open(kitten.with_name(f"kitten-{part}-cutout.png")) as image:
            assert image.mode == "RGBA"
            alphas.append((*image.getchannel("A").getextrema(), image.getpixel((48, 32))[3]))
    assert alphas[0][:2] == alphas[1][:2] == (0, 255)
    assert (alphas[0][2], alphas[1][2]) == (255, 0), "the middle of the picture is the cat's"


def test_doubt_is_told_unless_quiet(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 120, 90)).save(tmp_path / "flat.png")
    words = ("inspect", "segment", tmp_path / "flat.png", "--overwrite", "--precision", "fp32")
    assert "flat.png: not sure of the subject" in done(run(*words)).stderr
    assert done(run(*words, "-q")).stderr == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--view", "heat"), 2, "'heat' is not one of"),
        (("--network", "vgg61"), 2, "unknown network 'vgg61'"),
        (("-o", "-", "--json"), 2, "-o - and --json both want stdout"),
        (("-o", "mask.gif"), 1, "no picture format has the extension '.gif'"),
        (("--view", "cutout", "-o", "new/x.JPG"), 2, "needs (use png, webp, avif, tiff)"),
        (("--view", "cutout", "-o", "-", "--format", "jpeg"), 2, "jpeg holds no transparency"),
        (("--precision", "fp8"), 2, "'fp8' is not one of"),
    ],
)
def test_bad_requests(
    run: Run,
    kitten: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(kitten.parent)
    before = listing(kitten.parent)
    assert said.lower() in complaint(run("inspect", "segment", kitten, *words), code).lower()
    assert listing(kitten.parent) == before


def test_bad_photos(run: Run, tmp_path: Path) -> None:
    line = complaint(run("inspect", "segment", tmp_path / "gone.png"), 1)
    assert line.endswith("gone.png: there is no such file")
    Image.new("RGB", (400, 20)).save(tmp_path / "strip.png")
    line = complaint(run("inspect", "segment", tmp_path / "strip.png", "--precision", "fp32"), 1)
    assert line.startswith("strip.png: too narrow to look for a subject")


def test_without_opencv(run: Run, kitten: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    before = listing(kitten.parent)
    line = complaint(run("inspect", "segment", kitten, "--precision", "fp32"), 1)
    assert line.startswith("finding the subject of a photo needs a library that is not installed")
    assert "pip install opencv-python-headless" in line
    assert listing(kitten.parent) == before
