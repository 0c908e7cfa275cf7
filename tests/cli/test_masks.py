"""Masks and regions from the command line: how they are read, and what reaches the picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.masks import subject
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import BRIEF, QUICK, Run, complaint, done, listing
from tests.conftest import cat, save, strokes

SOFT = ("--feather", 4)


@pytest.fixture(autouse=True)
def glance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees less: how well a subject is found is another file's matter."""
    monkeypatch.setattr(subject, "SEEN_PX", 96)
    monkeypatch.setattr(subject, "PROPOSED_PX", 48)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A folder with a cat, two styles, two masks and a coloured picture of both."""
    save(cat(32), tmp_path / "cat.png")
    save(strokes(), tmp_path / "warm.png")
    save(strokes().flip(1), tmp_path / "cool.png")
    left = torch.zeros(1, 3, 32, 32)
    left[..., :16] = 1
    save(left, tmp_path / "left.png")
    save(1 - left, tmp_path / "right.png")
    save(torch.cat([left[:, :1], 1 - left[:, :1], 0 * left[:, :1]], 1), tmp_path / "map.png")
    return tmp_path


def transferred(run: Run, scene: Path, *words: object) -> torch.Tensor:
    """The result at 32 px, where the photo needs no resizing."""
    start = ("transfer", scene / "cat.png", scene / "warm.png", *QUICK, *SOFT, "--overwrite")
    done(run(*start, *words, "-o", scene / "out.png"))
    return read_picture(scene / "out.png").pixels


def untouched(pixels: torch.Tensor, scene: Path) -> torch.Tensor:
    """Which columns are the photo's own."""
    photo = read_picture(scene / "cat.png").pixels
    return (pixels == photo).all(1).all(1)[0]


def roles(scene: Path) -> list[tuple[str, str]]:
    return [(each["role"], each["name"]) for each in load_recipe(scene / "out.png")["inputs"]]


def test_a_kept_area_that_is_half_transparent_keeps_its_colours(run: Run, scene: Path) -> None:
    rows = np.zeros((32, 32, 4), dtype=np.uint8)
    rows[:, :16], rows[:, 16:] = (30, 30, 200, 255), (200, 30, 30, 128)
    Image.fromarray(rows).save(scene / "cat.png")
    transferred(run, scene, "--mask", scene / "right.png=keep")
    found = np.asarray(Image.open(scene / "out.png"))
    assert (found[:, 16:] == rows[:, 16:]).all()
    assert (found[:, :16] != rows[:, :16]).any()


class TestTransfer:
    """``stylize transfer --mask`` and the others."""

    def test_a_bare_mask(self, run: Run, scene: Path) -> None:
        same = untouched(transferred(run, scene, "--mask", scene / "left.png"), scene)
        assert bool(same[16:].all())
        assert not bool(same[:10].any())
        assert roles(scene)[2:] == [("mask", "left.png")]

    def test_a_style_of_its_own(self, run: Run, scene: Path) -> None:
        long = ("--steps", 15, "--content-weight", 0.001)
        plain = transferred(run, scene, *long)
        found = transferred(run, scene, *long, "--mask", f"{scene}/right.png={scene}/cool.png")
        blue = (found - plain)[:, 2] - (found - plain)[:, 0]
        assert float(blue[..., 20:].mean()) > 0.1
        assert float(blue[..., :12].mean()) < 0.05
        assert roles(scene)[2:] == [("region 1", "right.png"), ("region 1 style", "cool.png")]

    def test_keep(self, run: Run, scene: Path) -> None:
        same = untouched(transferred(run, scene, "--mask", f"{scene}/left.png=keep"), scene)
        assert bool(same[:16].all())
        assert not bool(same[22:].any())

    def test_colours(self, run: Run, scene: Path) -> None:
        words = ("--regions", scene / "map.png", "--region", "#0f0=keep")
        same = untouched(transferred(run, scene, *words), scene)
        assert bool(same[16:].all())
        assert not bool(same[:10].any())
        transferred(run, scene, *words, "--region", f"red={scene}/cool.png")
        assert roles(scene)[2:] == [
            ("region 1 #0f0", "map.png"),
            ("region 2 red", "map.png"),
            ("region 2 style", "cool.png"),
        ]

    def test_a_name_with_an_equals_sign(self, run: Run, scene: Path) -> None:
        odd = scene / "a=b.png"
        odd.write_bytes((scene / "left.png").read_bytes())
        transferred(run, scene, "--mask", odd)
        assert roles(scene)[2:] == [("mask", "a=b.png")]
        transferred(run, scene, "--mask", f"{odd}=keep")
        assert roles(scene)[2:] == [("region 1", "a=b.png")]

    def test_without_a_style_of_the_whole_the_rest_stays(self, run: Run, scene: Path) -> None:
        start = ("transfer", scene / "cat.png", *QUICK, *SOFT, "--steps", 6)
        left = ("--mask", f"{scene}/left.png={scene}/cool.png")
        done(run(*start, *left))
        found = read_picture(scene / "cat-cool.png").pixels
        same = untouched(found, scene)
        assert bool(same[16:].all())
        assert not bool(same[:10].any())
        assert [each["role"] for each in load_recipe(scene / "cat-cool.png")["inputs"]] == [
            "content",
            "region 1",
            "region 1 style",
        ]
        result = done(run(*start, *left, "--mask", f"{scene}/right.png={scene}/warm.png"))
        assert "cover the whole" not in result.stderr
        both = read_picture(scene / "cat-cool-warm.png").pixels
        assert not bool(untouched(both, scene).any())
        twice = ("--mask", f"{scene}/right.png={scene}/warm.png", "-o", scene / "out.png")
        result = done(
            run("transfer", scene / "cat.png", scene / "warm.png", *start[2:], *left, *twice)
        )
        assert "the regions cover the whole picture" in result.stderr
        assert torch.equal(read_picture(scene / "out.png").pixels, both)

    def test_a_replay(self, run: Run, scene: Path) -> None:
        words = ("--mask", f"{scene}/right.png={scene}/cool.png", "--mask", scene / "left.png")
        transferred(run, scene, *words)
        result = done(run("replay", scene / "out.png", "-o", scene / "again.png"))
        assert "every pixel as in out.png" in result.stderr

    def test_the_subject(self, run: Run, scene: Path) -> None:
        words = ("--subject", "keep", "--save-mask", scene / "mask.png")
        found = transferred(run, scene, *words)
        mask = read_picture(scene / "mask.png").pixels
        photo = read_picture(scene / "cat.png").pixels
        assert bool((mask == 0).any())
        assert torch.equal(found[mask == 0], photo[mask == 0])
        assert not torch.equal(found, photo)
        assert roles(scene) == [("content", "cat.png"), ("style", "warm.png")]
        by_hand = transferred(run, scene, "--mask", scene / "mask.png")
        # The file holds 8 bits of the mask.
        assert float((by_hand - found).abs().mean()) < 0.01

    def test_each_region_takes_the_palette_of_its_own_style(self, run: Run, scene: Path) -> None:
        found = transferred(
            run, scene, "--mask", f"{scene / 'left.png'}={scene / 'cool.png'}", "--color", "palette"
        )
        redness = (found[:, 0] - found[:, 2]).mean((0, 1))
        assert float(redness[:12].mean()) < 0 < float(redness[20:].mean())


class TestDream:
    """The same masks for dreams."""

    def test_the_background(self, run: Run, scene: Path) -> None:
        words = ("--background", "keep", "--save-mask", scene / "mask.png", "-o", scene / "out.png")
        done(run("dream", scene / "cat.png", *BRIEF, *words))
        found, photo, mask = (
            read_picture(scene / name).pixels for name in ("out.png", "cat.png", "mask.png")
        )
        assert bool((mask == 0).any())
        assert torch.equal(found[mask == 0], photo[mask == 0])
        assert float((found - photo)[mask == 1].abs().mean()) > 0.01
        result = done(run("replay", scene / "out.png", "-o", scene / "again.png"))
        assert "every pixel as in out.png" in result.stderr

    def test_the_soft_edge(self, run: Run, scene: Path) -> None:
        photo, changed = read_picture(scene / "cat.png").pixels, []
        for width in (0, 24):
            words = ("--feather", width, "--mask", scene / "left.png", "--overwrite")
            done(run("dream", scene / "cat.png", *BRIEF, *words, "-o", scene / "out.png"))
            pixels = read_picture(scene / "out.png").pixels
            assert bool(untouched(pixels, scene)[16:].all())
            changed.append(float((pixels - photo)[..., 12:16].abs().mean()))
        assert changed[0] > 2 * changed[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mask", "left.png", "--mask", "right.png"], "2 masks without a style"),
        (["--mask", "left.png="], "--mask 'left.png=' names no style"),
        (["--mask", "=warm.png"], "--mask '=warm.png' names no style"),
        (["--regions", "map.png"], "--regions and --region go together"),
        (["--region", "red=keep"], "--regions and --region go together"),
        (["--regions", "map.png", "--region", "red"], "--region 'red' names no style"),
        (["--regions", "map.png", "--region", "=keep"], "--region '=keep' names no colour"),
        (
            ["--regions", "map.png", "--region", "blue=keep"],
            "map.png has no region of the colour blue (it has #00ff00 (50 %), #ff0000 (50 %))",
        ),
        (["--regions", "map.png", "--region", "rot=keep"], "'rot' is not a colour"),
        (
            ["--mask", "left.png", "--subject", "keep"],
            "--mask cannot be combined with --subject or --background",
        ),
        (["--subject", "keep", "--background", "keep"], "are both 'keep'"),
        (["--subject", "dream"], "'dream' is not one of 'style', 'keep'"),
        (["--save-mask", "m.png"], "--save-mask needs a mask to find"),
        (["--subject", "keep", "--save-mask", "out.png"], "out.png is the file of the result"),
    ],
)
def test_requests_that_make_no_sense(
    run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(scene)
    before = listing(scene)
    start = ("transfer", "cat.png", "warm.png", *QUICK, "-o", "out.png")
    assert said in complaint(run(*start, *words), 2)
    assert listing(scene) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'STYLE...'"),
        (["--mask", "left.png=keep"], "Missing argument 'STYLE...'"),
        (["--mask", "right.png"], "Missing argument 'STYLE...'"),
        (
            ["--mask", "left.png=cool.png", "--mask", "right.png"],
            "no STYLE was given (name",
        ),
        (["--mask", "left.png=cool.png", "--subject", "keep"], "no STYLE was given (name"),
        (["--mask", "left.png=cool.png", "--init", "style"], "--init style needs a style image"),
        (
            ["--mask", "left.png=cool.png", "--style-weight", 2],
            "--style-weight: 1 given for 0 style images",
        ),
    ],
)
def test_requests_without_a_style(
    run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch, words: list[object], said: str
) -> None:
    monkeypatch.chdir(scene)
    before = listing(scene)
    assert said in complaint(run("transfer", "cat.png", *QUICK, *words), 2)
    assert listing(scene) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mask", "gone.png"], "gone.png: there is no such file"),
        (["--mask", "gone.png=keep"], "gone.png: there is no such file"),
        (["--mask", "left.png=gone.png"], "gone.png: there is no such file"),
        (["--subject", "keep", "--save-mask", "cat.png"], "cat.png is an input of this run"),
        (["--subject", "keep", "--save-mask", "map.png"], "map.png already exists"),
        (
            ["--subject", "keep", "--save-mask", "m.gif"],
            "format has the extension '.gif'",
        ),
    ],
)
def test_files_that_are_not_there_or_in_the_way(
    run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(scene)
    before = listing(scene)
    assert said in complaint(run("transfer", "cat.png", "warm.png", *QUICK, *words), 1)
    assert listing(scene) == before


@pytest.mark.parametrize("side", [4, 15])
def test_the_style_of_a_region_is_too_small(run: Run, scene: Path, side: int) -> None:
    save(strokes()[..., :side, :side], scene / "tiny.png")
    region = f"{scene / 'left.png'}={scene / 'tiny.png'}"
    words = ("transfer", scene / "cat.png", scene / "warm.png", "--mask", region, *QUICK)
    message = complaint(run(*words, "-o", scene / "out.png"), 1)
    assert f"tiny.png: {side}×{side} px is too small" in message
    assert not (scene / "out.png").exists()


def test_without_opencv(run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    for words in [
        ("transfer", scene / "cat.png", scene / "warm.png"),
        ("dream", scene / "cat.png"),
    ]:
        line = complaint(run(*words, "--subject", "keep", "--precision", "fp32"), 1)
        assert line.startswith(
            "finding the subject of a photo needs a library that is not installed"
        )


def test_noise_has_no_subject(run: Run) -> None:
    line = complaint(run("dream", "--from-noise", "32x32", "--subject", "keep"), 2)
    assert line == "--subject and --background need a photo (noise has no subject)"


class TestBatch:
    """A mask is one picture's; a subject is found in each."""

    @pytest.mark.parametrize("option", ["--mask", "--regions", "--region", "--save-mask"])
    def test_no_masks(self, run: Run, scene: Path, option: str) -> None:
        for words in [("transfer", "--style", scene / "warm.png"), ("dream",)]:
            start = ("batch", words[0], scene / "cat.png", *words[1:], "-o", scene / "out")
            line = complaint(run(*start, option, scene / "left.png"), 2)
            assert line.startswith(f"a batch takes no {option}: a mask belongs to one picture")
            assert not (scene / "out").exists()

    def test_a_subject_for_each(self, run: Run, scene: Path) -> None:
        folder = scene / "photos"
        folder.mkdir()
        photos = {"cat": cat(32), "flipped": cat(32).flip(3)}
        for name, pixels in photos.items():
            save(pixels, folder / f"{name}.png")
        words = ("--style", scene / "warm.png", *QUICK, *SOFT, "--subject", "keep")
        done(run("batch", "transfer", folder, *words, "-o", scene / "out"))
        for name in photos:
            found, photo = (
                read_picture(where / f"{name}.png").pixels for where in (scene / "out", folder)
            )
            same = (found == photo).all(1)[0]
            assert 0.05 < float(same.float().mean()) < 0.95
            assert load_recipe(scene / "out" / f"{name}.png")["settings"]["subject"] == "keep"

    def test_doubts_are_told_of_each(
        self, run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subject, "SURE", 2.0)
        words = ("batch", "dream", scene / "cat.png", *BRIEF, "--subject", "keep", "-o")
        result = done(run(*words, scene / "out"))
        assert f"{scene}/cat.png: not sure of the subject: " in result.stderr
        reported = done(run(*words, scene / "again", "--json")).stdout.splitlines()
        (picture,) = [each for each in map(json.loads, reported) if each["event"] == "picture"]
        (note,) = picture["notes"]
        assert note.startswith("cat.png: not sure of the subject: ")


class TestPreviews:
    """``--save-steps`` shows what the result would be without retouching."""

    TWO = ("--size", 64, "--final-steps", 2, "--retouch", 0)

    @pytest.fixture(autouse=True)
    def larger(self, scene: Path) -> None:
        save(cat(64), scene / "cat.png")

    def steps(self, folder: Path) -> list[torch.Tensor]:
        return [read_picture(path).pixels for path in sorted(folder.iterdir())]

    @pytest.mark.parametrize(
        "words", [("--mask", "left.png"), ("--color", "luminance"), ("--blend", 0.3)]
    )
    def test_of_a_transfer(
        self, run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
    ) -> None:
        monkeypatch.chdir(scene)
        found = transferred(run, scene, *self.TWO, *words, "--save-steps", "steps")
        previews = self.steps(scene / "steps")
        assert len(previews) > 1
        assert torch.equal(previews[-1], found)
        plain = transferred(run, scene, *self.TWO, "--save-steps", "plain")
        assert not torch.equal(previews[0], self.steps(scene / "plain")[0])
        assert not torch.equal(found, plain)

    def test_what_is_kept_is_the_photos_at_every_size(self, run: Run, scene: Path) -> None:
        mask = f"{scene}/right.png=keep"
        transferred(run, scene, *self.TWO, "--mask", mask, "--save-steps", scene / "steps")
        photo = read_picture(scene / "cat.png").pixels
        for pixels in self.steps(scene / "steps"):
            size = (pixels.shape[2], pixels.shape[3])
            there = resize(photo, size).clamp(0, 1)[..., size[1] // 2 + 3 :]
            torch.testing.assert_close(pixels[..., -there.shape[3] :], there, rtol=0, atol=0.003)

    def test_of_a_dream(self, run: Run, scene: Path) -> None:
        words = ("--mask", scene / "left.png", "--feather", 16, "--save-steps", scene / "steps")
        out = scene / "out.png"
        done(run("dream", scene / "cat.png", *BRIEF, "--octaves", 2, *words, "-o", out))
        first, last = self.steps(scene / "steps")
        assert torch.equal(last, read_picture(out).pixels)
        photo = resize(read_picture(scene / "cat.png").pixels, (first.shape[2], first.shape[3]))
        changed = (first - photo.clamp(0, 1)).abs().mean((0, 1, 2))
        assert float(changed[-first.shape[3] // 2 + 1 :].max()) < 0.003
        assert float(changed[0]) > 4 * float(changed[first.shape[3] // 2 - 2]), "a soft edge"


def test_a_flat_photo_is_doubted(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 120, 90)).save(tmp_path / "flat.png")
    result = run("dream", tmp_path / "flat.png", *BRIEF, "--subject", "dream")
    assert "not sure of the subject" in result.stderr or "is empty" in result.stderr
