"""``stylize replay``: the same pixels again, inputs found or missed, recipes not trusted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.gradients import self_test
from stylize.images.read import read_picture
from stylize.images.write import write_picture
from stylize.planning.self_test_cache import Verdict
from stylize.products.dream.dream import Dream
from stylize.runs.recipe import load_recipe, to_text
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from tests.cli.conftest import (
    BRIEF,
    QUICK,
    Run,
    StopAfter,
    complaint,
    done,
    listing,
    size_of,
)
from tests.conftest import cat, photo, save, strokes

# Octaves, though the picture is too small for them.
TWO = ("--octaves", 2, "--min-octave", 16)

pytestmark = pytest.mark.usefixtures("network")


@pytest.fixture(autouse=True)
def index(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of its own, which knows of no other test's pictures."""
    used = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("stylize.runs.inputs.cache_directory", lambda: used)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures to use."""
    monkeypatch.chdir(tmp_path)
    save(cat(32), tmp_path / "cat.png")
    save(strokes(48, 48), tmp_path / "strokes.png")
    half = torch.zeros(1, 3, 32, 32)
    half[..., :16] = 1
    save(half, tmp_path / "mask.png")
    return tmp_path


@pytest.fixture(scope="module")
def dreamt(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A dream on the cat, as a file's content."""
    photo = read_picture(save(cat(32), tmp_path_factory.mktemp("dreamt") / "cat.png"))
    settings = DreamSettings(octaves=1, steps=1, layers="conv2_2")
    file = io.BytesIO()
    Dream(photo, settings, Execution(precision="fp32")).run().save(file, format="png")
    return file.getvalue()


@pytest.fixture
def out(folder: Path, dreamt: bytes) -> Path:
    """The same, next to the cat."""
    (folder / "out.png").write_bytes(dreamt)
    return folder / "out.png"


def pixels_of(path: Path) -> torch.Tensor:
    return read_picture(path).pixels


def forged(folder: Path, changes: dict[str, Any], source: str = "out.png") -> Path:
    """A picture whose recipe somebody has changed."""
    recipe = load_recipe(folder / source)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(recipe.get(key), dict)
        recipe[key] = recipe[key] | value if both else value
    path = folder / "forged.png"
    text = json.dumps(recipe)  # unlike our own, this writes NaN and Infinity
    write_picture(path, pixels_of(folder / source), recipe=text)
    return path


class TestAgain:
    """Every pixel, for each technique."""

    @pytest.mark.parametrize(
        "words",
        [
            ("dream", "cat.png", *BRIEF),
            ("dream", "cat.png", *BRIEF, "--seed", 4, *TWO, "--jitter", 5),
            ("dream", "cat.png", *BRIEF, "--guide", "strokes.png", "--mask", "mask.png"),
            ("dream", "cat.png", *BRIEF, "--preset", "bad-trip", "--size", 24),
            ("dream", "--from-noise", "40x32", *BRIEF, "--tileable"),
            ("transfer", "cat.png", "strokes.png", *QUICK),
            ("transfer", "cat.png", "strokes.png", "mask.png", *QUICK, "--style-weight", 2,
             "--style-weight", 1, "--optimizer", "adam"),
            ("transfer", "cat.png", "strokes.png", *QUICK, "--init", "mask.png"),
            ("transfer", "cat.png", "strokes.png", *QUICK, "--init", "noise", "--seed", 3),
        ],
        ids=["dream", "octaves", "guide-mask", "preset", "noise", "transfer", "adam", "start",
             "transfer-noise"],
    )  # fmt: skip
    def test_the_same_pixels(self, run: Run, folder: Path, words: tuple[object, ...]) -> None:
        done(run(*words, "-o", "out.png"))
        result = done(run("replay", "out.png"))
        said = result.stderr.splitlines()
        assert said[0] == "every pixel as in out.png"
        assert said[1].startswith("saved out-replay.png (")
        assert torch.equal(pixels_of(folder / "out.png"), pixels_of(folder / "out-replay.png"))
        assert load_recipe(folder / "out.png") == load_recipe(folder / "out-replay.png")

    @pytest.mark.parametrize("technique", ["dream", "transfer"])
    @pytest.mark.parametrize("asked", [2, 4, 5])
    def test_a_run_that_was_stopped(
        self, run: Run, folder: Path, stop_after: StopAfter, technique: str, asked: int
    ) -> None:
        """It is stopped where it was; and that is no interruption now."""
        words = {
            "dream": ("cat.png", *BRIEF, *TWO, "--steps", 2),
            "transfer": ("cat.png", "strokes.png", *QUICK, "--steps", 9),
        }[technique]
        stop_after(asked)
        done(run(technique, *words, "-o", "out.png"), 130)
        stop_after(10**6)
        result = done(run("replay", "out.png"))
        assert result.stderr.startswith("every pixel as in out.png\nsaved out-replay.png (")
        recipe = load_recipe(folder / "out-replay.png")
        assert recipe == load_recipe(folder / "out.png")
        assert recipe["interrupted"]

    def test_a_replay_that_is_stopped(self, run: Run, folder: Path, stop_after: StopAfter) -> None:
        done(run("dream", "cat.png", *BRIEF, "--steps", 4, "-o", "out.png"))
        stop_after(2)
        result = done(run("replay", "out.png"), 130)
        assert result.stderr.splitlines()[1].startswith("stopped early, saved out-replay.png")

    @pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tiff", ".avif"])
    def test_other_formats(self, run: Run, folder: Path, suffix: str) -> None:
        done(run("dream", "cat.png", *BRIEF, "-o", f"out{suffix}", "--quality", 90))
        done(run("dream", "cat.png", *BRIEF, "-o", "whole.png"))
        result = done(run("replay", f"out{suffix}"))
        assert torch.equal(pixels_of(folder / "whole.png"), pixels_of(folder / "out-replay.png"))
        if suffix != ".tiff":
            assert f"differs from out{suffix} by " in result.stderr
            assert "grey levels at most" in result.stderr

    def test_a_film(self, run: Run, folder: Path) -> None:
        words = (*BRIEF, "--frames", 3, "--guide", "strokes.png", "--fps", 10)
        done(run("tunnel", "cat.png", *words, "-o", "film.gif"))
        result = done(run("replay", "film.gif"))
        assert result.stderr.startswith("saved film-replay.gif (3 frames of 32×32, ")
        assert (folder / "film-replay.gif").read_bytes() == (folder / "film.gif").read_bytes()
        done(run("replay", "film.gif", "--size", 16, "-o", "small.webp"))
        assert size_of(folder / "small.webp") == (16, 16)
        assert not list(folder.glob("*.frames"))

    def test_a_film_that_was_stopped_goes_on(
        self, run: Run, folder: Path, stop_after: StopAfter
    ) -> None:
        done(run("tunnel", "cat.png", *BRIEF, "--frames", 4, "-o", "film.gif"))
        stop_after(5)
        result = done(run("replay", "film.gif", "-o", "again.gif"), 130)
        assert "of 4 frames in again.gif.frames; the same command continues" in result.stderr
        stop_after(10**6)
        done(run("replay", "film.gif", "-o", "again.gif"))
        assert (folder / "again.gif").read_bytes() == (folder / "film.gif").read_bytes()

    def test_as_it_was_resolved(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Precision and threads are the recipe's, unless the user says otherwise."""
        verdict = Verdict(precision="bf16", gflops=100.0, speedup=2.0, cosine=1.0)
        monkeypatch.setattr(self_test, "self_test", lambda *_: verdict)
        done(run("dream", "cat.png", *BRIEF, "--threads", 2, "-o", "out.png"))
        lines = done(run("replay", "out.png", "-v")).stderr.splitlines()
        assert lines[0] == "device cpu, fp32, 2 threads"
        lines = done(run("replay", "out.png", "-v", "--threads", 1)).stderr.splitlines()
        assert lines[0] == "device cpu, fp32, 1 thread"
        done(run("replay", forged(folder, {"resolved": {"device": "cuda:7"}})))


class TestChanged:
    """The same dream in another size, or on another picture."""

    def test_size(self, run: Run, folder: Path) -> None:
        done(run("dream", "cat.png", *BRIEF, "--size", 16, "-o", "out.png"))
        result = done(run("replay", "out.png", "--size", 24))
        assert result.stderr.startswith(
            "not compared: out.png has another size\nsaved out-size-24.png (24×24"
        )
        done(run("dream", "cat.png", *BRIEF, "--size", 24, "-o", "large.png"))
        assert torch.equal(pixels_of(folder / "large.png"), pixels_of(folder / "out-size-24.png"))

    def test_larger_than_the_photo_where_that_is_asked_for(self, run: Run, folder: Path) -> None:
        done(run("dream", "cat.png", *BRIEF, "--size", 16, "-o", "out.png"))
        result = done(run("replay", "out.png", "--size", 64, "-o", "as-is.png"))
        assert "kept at 32×32 px: add --enlarge to reach 64" in result.stderr
        assert size_of(folder / "as-is.png") == (32, 32)
        done(run("replay", "out.png", "--size", 64, "--enlarge", "-o", "poster.png"))
        assert size_of(folder / "poster.png") == (64, 64)
        assert load_recipe(folder / "poster.png")["settings"]["enlarge"] is True

    def test_the_size_of_noise(self, run: Run, folder: Path) -> None:
        done(run("dream", "--from-noise", "32x20", *BRIEF, "-o", "out.png"))
        done(run("replay", "out.png", "--size", 64))
        assert size_of(folder / "out-size-64.png") == (64, 40)

    def test_cells(self, run: Run, folder: Path) -> None:
        words = ("--layer", "conv1_1", "--layer", "conv1_2", "--size", 16, "--precision", "fp32")
        words += ("--strength", 5, "--strength", 50, "-o", "sheet.png")
        done(run("explore", "dream", "cat.png", *words))
        result = done(run("replay", "sheet.png", "--cell", "b2", "--size", 32))
        assert result.stderr.splitlines()[-1].startswith("saved sheet-b2-size-32.png (32×32, ")
        recipe = load_recipe(folder / "sheet-b2-size-32.png")
        assert (recipe["technique"], recipe["settings"]["layers"]) == ("dream", "conv1_2")
        assert recipe["settings"]["strength"] == 50
        for words, code, said in [
            ((), 1, "the picture is a contact sheet (choose with --cell: A1, B1, A2, B2)"),
            (("--cell", "C9"), 1, "the sheet has no cell C9 (it has: A1, B1, A2, B2)"),
            (("--cell", "3B"), 2, "no such cell: '3B' (use the column's letter and the row's"),
        ]:
            assert complaint(run("replay", "sheet.png", *words), code).startswith(said)
        line = complaint(run("replay", "sheet-b2-size-32.png", "--cell", "A1"), 1)
        assert line == "the picture is not a contact sheet (leave --cell out)"

    def test_the_cell_of_a_sheet_that_was_stopped(
        self, run: Run, folder: Path, stop_after: StopAfter
    ) -> None:
        words = ("--layer", "conv1_1", "--size", 16, "--precision", "fp32", "-o", "sheet.png")
        stop_after(200)
        done(run("explore", "dream", "cat.png", *words))
        whole = load_recipe(folder / "sheet.png")["cells"]
        assert len(whole) == 3
        stop_after(13)
        done(run("explore", "dream", "cat.png", *words, "--overwrite"), 130)
        assert list(load_recipe(folder / "sheet.png")["cells"]) == ["A1"]
        stop_after(10**6)
        done(run("replay", "sheet.png", "--cell", "A1"))
        done(
            run("dream", "cat.png", "--layer", "conv1_1", "--strength", 30, *words[2:-1], "one.png")
        )
        assert torch.equal(pixels_of(folder / "one.png"), pixels_of(folder / "sheet-A1.png"))

    def test_settings(self, run: Run, folder: Path) -> None:
        """The picture is the one that the options make."""
        done(run("transfer", "cat.png", "strokes.png", *QUICK, "-o", "out.png"))
        words = ("--set", "content_weight=0.2", "--set", "seed=3")
        result = done(run("replay", "out.png", *words))
        assert result.stderr.startswith("saved out-content-weight-0.2-seed-3.png (")
        direct = ("--content-weight", 0.2, "--seed", 3, "-o", "direct.png")
        done(run("transfer", "cat.png", "strokes.png", *QUICK, *direct))
        again = folder / "out-content-weight-0.2-seed-3.png"
        assert torch.equal(pixels_of(folder / "direct.png"), pixels_of(again))
        assert load_recipe(again)["settings"]["content_weight"] == 0.2
        for assignment, said in [
            ("content_weight", "--set: 'content_weight' is not NAME=VALUE"),
            ("contentweight=1", "unknown setting 'contentweight' (did you mean content_weight"),
            ("content_weight=much", "'--set content_weight': 'much' is not a number"),
            ("blend=7", "--blend: "),
        ]:
            assert said in complaint(run("replay", "out.png", "--set", assignment), 2)

    def test_other_inputs(self, run: Run, folder: Path) -> None:
        save(photo(32, 32), folder / "other.png")
        save(strokes(40, 40).flip(-1), folder / "sea.png")
        done(run("transfer", "cat.png", "strokes.png", *QUICK, "-o", "out.png"))
        done(run("replay", "out.png", "--content", "other.png", "--style", "sea.png"))
        done(run("transfer", "other.png", "sea.png", *QUICK, "-o", "direct.png"))
        again = folder / "out-other-sea.png"
        assert torch.equal(pixels_of(folder / "direct.png"), pixels_of(again))
        assert load_recipe(again)["inputs"] == load_recipe(folder / "direct.png")["inputs"]
        (folder / "cat.png").unlink()
        done(run("replay", "out.png", "--content", "other.png", "-o", "more.png"))
        done(run("dream", "other.png", *BRIEF, "-o", "dream.png"))
        line = complaint(run("replay", "dream.png", "--style", "sea.png"), 2)
        assert line == "--style: the recipe has no style image to replace"

    def test_a_setting_without_effect_is_named(self, run: Run, folder: Path) -> None:
        done(run("transfer", "cat.png", "strokes.png", *QUICK, "-o", "out.png"))
        result = done(run("replay", "out.png", "--set", "feather=4", "--json"))
        line = "--set feather has no effect without a mask, --subject or --background"
        assert result.stderr.splitlines() == [line]
        assert json.loads(result.stdout.splitlines()[0])["notes"] == [line]

    def test_other_styles_drop_the_weights_and_another_start_its_picture(
        self, run: Run, folder: Path
    ) -> None:
        words = ("--style-weight", 3, "--style-weight", 1, "--init", "mask.png")
        done(run("transfer", "cat.png", "strokes.png", "mask.png", *QUICK, *words, "-o", "out.png"))
        done(run("replay", "out.png", "--style", "strokes.png", "-o", "one.png"))
        words = ("--init", "mask.png", "-o", "direct.png")
        done(run("transfer", "cat.png", "strokes.png", *QUICK, *words))
        assert torch.equal(pixels_of(folder / "direct.png"), pixels_of(folder / "one.png"))
        done(run("replay", "one.png", "--set", "init=noise", "--set", "seed=2"))
        recipe = load_recipe(folder / "one-init-noise-seed-2.png")
        assert [each["role"] for each in recipe["inputs"]] == ["content", "style"]
        (folder / "mask.png").unlink()
        done(run("replay", "one-init-noise-seed-2.png"))

    def test_a_film_is_named_after_the_change(self, run: Run, folder: Path) -> None:
        done(run("tunnel", "cat.png", *BRIEF, "--frames", 2, "-o", "film.gif"))
        done(run("replay", "film.gif", "--set", "strength=30", "--set", "fps=5"))
        assert load_recipe(folder / "film-strength-30-fps-5.gif")["settings"]["fps"] == 5

    def test_substitute(self, run: Run, folder: Path, tmp_path: Path) -> None:
        done(run("dream", "cat.png", *BRIEF, "-o", "out.png"))
        other = save(photo(32, 32), folder / "other.png")
        (folder / "cat.png").unlink()
        line = complaint(run("replay", "out.png", "--input", other), 1)
        assert "other.png is none of the recipe's inputs" in line
        assert "add --substitute" in line
        result = done(run("replay", "out.png", "--input", other, "--substitute"))
        assert "differs from out.png" in result.stderr
        done(run("dream", other, *BRIEF, "-o", "direct.png"))
        assert torch.equal(pixels_of(folder / "direct.png"), pixels_of(folder / "out-replay.png"))
        recipe = load_recipe(folder / "out-replay.png")
        assert recipe["inputs"][0]["name"] == "other.png", "it says what it was made of"


class TestSeeds:
    """A seed varies what is made now, and nothing that was made earlier."""

    def test_an_earlier_recipe_gives_the_same_pixels(self, run: Run, folder: Path) -> None:
        done(run("transfer", "cat.png", "strokes.png", *QUICK, "-o", "out.png"))
        earlier = forged(folder, {"settings": {"seed": 7}})
        assert "every pixel" in done(run("replay", earlier)).stderr
        noise = ("--init", "noise", "-o", "noise.png")
        done(run("transfer", "cat.png", "strokes.png", *QUICK, *noise, "--seed", 7))
        recipe = load_recipe(folder / "noise.png")
        del recipe["seeded"]
        write_picture(
            folder / "earlier.png", pixels_of(folder / "noise.png"), recipe=json.dumps(recipe)
        )
        assert "every pixel" in done(run("replay", "earlier.png")).stderr

    def test_a_cell_of_a_sheet_of_seeds(self, run: Run, folder: Path) -> None:
        short = ("--size", 32, "--precision", "fp32")
        words = ("--vary", "seed=1,2", "--vary", "steps=3", *short, "-o", "sheet.png")
        done(run("explore", "transfer", "cat.png", "strokes.png", *words))
        done(run("replay", "sheet.png", "--cell", "B1", "-o", "cell.png"))
        words = ("--seed", 2, "--steps", 3, *short, "-o", "direct.png")
        done(run("transfer", "cat.png", "strokes.png", *words))
        assert torch.equal(pixels_of(folder / "direct.png"), pixels_of(folder / "cell.png"))


class TestInputs:
    """Where they are looked for."""

    @pytest.fixture
    def picture(self, run: Run, folder: Path) -> Path:
        """With two inputs, in a folder without them."""
        (folder / "elsewhere").mkdir()
        out = folder / "elsewhere" / "out.png"
        done(run("dream", "cat.png", *BRIEF, "--guide", "strokes.png", "-o", out))
        return out

    def test_beside_the_picture_under_any_name(
        self, run: Run, folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("cat.png", "strokes.png"):
            (folder / name).rename(picture.parent / f"my {name}")
        (folder / "empty").mkdir()
        monkeypatch.chdir(folder / "empty")
        assert "every pixel" in done(run("replay", picture, "-o", "again.png")).stderr

    def test_where_the_user_says(
        self, run: Run, folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a", "b", "empty"):
            (folder / name).mkdir()
        (folder / "cat.png").rename(folder / "a" / "1.dat")
        (folder / "strokes.png").rename(folder / "b" / "2.png")
        monkeypatch.chdir(folder / "empty")
        words = ("replay", picture, "-o", "again.png", "--input", folder / "a" / "1.dat")
        line = complaint(run(*words), 1)
        assert line.startswith("cannot find the recipe's guide 'strokes.png' (")
        assert "every pixel" in done(run(*words, "--input", folder / "b")).stderr

    def test_where_they_were_used_last(
        self, run: Run, folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "empty").mkdir()
        monkeypatch.chdir(folder / "empty")
        assert "every pixel" in done(run("replay", picture, "-o", "again.png")).stderr

    def test_all_that_is_missing_is_listed(self, run: Run, folder: Path, picture: Path) -> None:
        (folder / "cat.png").unlink()
        (folder / "strokes.png").unlink()
        before = listing(folder)
        line = complaint(run("replay", picture), 1)
        assert "cannot find the recipe's content 'cat.png' (" in line
        assert "guide 'strokes.png' (" in line
        assert "name the file with --input PATH" in line
        assert listing(folder) == before

    def test_a_changed_input_is_refused(self, run: Run, folder: Path, picture: Path) -> None:
        save(photo(32, 32), folder / "cat.png")
        line = complaint(run("replay", picture), 1)
        assert "content 'cat.png'" in line
        assert ", but cat.png has other content" in line
        assert "--substitute accepts one that differs" in line
        words = ("--input", "cat.png", "--substitute")
        done(run("replay", picture, *words))

    def test_an_input_that_changes_meanwhile(
        self, run: Run, folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from stylize.runs import inputs

        find = inputs.find_sources

        def found(*args: Any, **options: Any) -> list[Path]:
            paths = find(*args, **options)
            save(photo(32, 32), folder / "strokes.png")
            return paths

        monkeypatch.setattr(inputs, "find_sources", found)
        line = complaint(run("replay", picture), 1)
        assert line == "strokes.png has changed since it was found"

    def test_needless_inputs(self, run: Run, folder: Path, picture: Path) -> None:
        line = complaint(run("replay", picture, "--input", "mask.png"), 1)
        assert line.startswith("mask.png is not needed")
        line = complaint(run("replay", picture, "--input", "gone.png"), 1)
        assert line == "gone.png: there is no such file"


class TestBadInput:
    """One line, the right code, nothing left behind."""

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            ((), 2, "Missing argument 'FILE'"),
            (("gone.png",), 1, "gone.png: there is no such file"),
            (("cat.png",), 1, "cat.png carries no recipe"),
            (("text.png",), 1, "text.png is not a picture"),
            ((".",), 1, "is a folder, not a picture"),
            (("out.png", "--size", "big"), 2, "no such size: 'big'"),
            (("out.png", "--size", "8"), 1, "cat.png: 8×8 px is too small"),
            (("out.png", "--threads", "0"), 2, "--threads: 0 is too small"),
            (("out.png", "--device", "cuda:77"), 2, "this machine has no device 'cuda:77'"),
            (("out.png", "-o", "out.png", "--overwrite"), 1, "out.png is an input of this run"),
            (("out.png", "-o", "cat.png", "--overwrite"), 1, "cat.png is an input of this run"),
            (("out.png", "-o", "mask.png"), 1, "mask.png already exists"),
            (("out.png", "-o", "-", "--json"), 2, "-o - and --json both want stdout"),
            (("out.png", "--max-input-pixels", "1023"), 1, "is too large: 32×32"),
            (("film.gif", "-o", "-"), 2, "a film cannot go to stdout"),
            (("film.gif", "-o", "film.png", "--format", "png"), 2, "--format is not for films"),
            (("film.gif", "--save-steps", "steps"), 2, "--save-steps is not for films"),
            (("film.gif", "--cell", "A1"), 1, "the picture is not a contact sheet"),
            (("film.gif", "-o", "film.avi"), 1, "no animation format"),
            (("film.gif", "-o", "film.gif", "--overwrite"), 1, "is an input of this run"),
            (("fast.webp", "-o", "fast.gif"), 2, "a gif plays at most 50 frames per second"),
        ],
    )
    def test_requests(
        self, run: Run, out: Path, folder: Path, words: tuple[str, ...], code: int, said: str
    ) -> None:
        (folder / "text.png").write_text("no picture")
        if "film" in str(words):
            done(run("tunnel", "cat.png", *BRIEF, "--frames", 1, "-o", "film.gif"))
        if "fast" in str(words):
            fast = ("--frames", 1, "--fps", 60)
            done(run("tunnel", "cat.png", *BRIEF, *fast, "-o", "fast.webp"))
        before = listing(folder)
        assert said in complaint(run("replay", *words), code)
        assert listing(folder) == before

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"technique": "sculpture"}, "a recipe for 'sculpture' cannot be replayed"),
            ({"technique": "explore"}, "a recipe for 'explore' cannot be replayed"),
            ({"settings": {"steps": "many"}}, "--steps: 'many' is not a whole number"),
            ({"settings": {"steps": True}}, "--steps: True is not a whole number"),
            ({"settings": {"steps": 10**40}}, "--steps: 1e+40 is too large"),
            (
                {"settings": {"strength": float("nan")}},
                "settings holds a number that is not finite",
            ),
            (
                {"settings": {"strength": float("inf")}},
                "settings holds a number that is not finite",
            ),
            ({"settings": {"strength": [1]}}, "is not a number"),
            ({"settings": {"layers": {"conv4_3": 1}}}, "is not a text"),
            ({"settings": {"layers": "conv4_3 +"}}, "expected a layer or a weight, found the"),
            ({"settings": {"layers": "conv4_9"}}, "unknown layer of vgg16 'conv4_9'"),
            ({"settings": {"layers": "conv1_1:64"}}, "no channel 64"),
            ({"settings": {"wings": 2}}, "unknown setting 'wings'"),
            ({"settings": {"palette": None}}, "--palette: None is not a text"),
            ({"settings": {"from_noise": "20x20"}}, "a dream starts either from a photo"),
            ({"settings": {"network": "vgg61"}}, "the recipe's network 'vgg61' is not installed"),
            ({"settings": {"network": "../vgg16"}}, "network '../vgg16' is not installed"),
            (
                {"settings": {"network": "vgg19"}},
                "'vgg19' differ from those in the recipe",
            ),
            ({"settings": 3}, "carries a damaged recipe: no settings"),
            ({"resolved": []}, "carries a damaged recipe: no resolved"),
            ({"resolved": {"threads": "all"}}, "damaged recipe: --threads: 'all' is not a whole"),
            ({"resolved": {"threads": 10**9}}, "damaged recipe: --threads: 1000000000 is too l"),
            ({"resolved": {"precision": ["fp32"]}}, "damaged recipe: --precision"),
            ({"resolved": {"precision": "fp8"}}, "damaged recipe: unknown value of --precision"),
            ({"interrupted": True, "resolved": {"scales": 7}}, "damaged recipe: no scales"),
            ({"interrupted": True, "resolved": {"scales": [[1, 2]]}}, "damaged recipe: no sca"),
            (
                {"interrupted": True, "resolved": {"scales": [[1, 2, float("inf")]]}},
                "resolved holds a number that is not finite",
            ),
            ({"interrupted": True, "resolved": {"scales": []}}, "a picture without a step"),
            ({"interrupted": True, "resolved": {"scales": [[9, 9, -1]]}}, "without a step"),
            ({"weights": 7}, "the network 'vgg16' differ from those in the recipe"),
            ({"weights": {"sha256": "0" * 64}}, "differ from those in the recipe"),
            ({"inputs": {}}, "carries a damaged recipe: no inputs"),
            ({"inputs": [7]}, "damaged recipe: input 1 has no proper role, name or sha256"),
            ({"inputs": []}, "a dream starts either from a photo or from noise"),
            ({"cells": {"A1": 7}}, "the picture is a contact sheet (choose with --cell: A1)"),
            ({"tool": "gimp"}, "carries a recipe of another program"),
            ({"schema": 99}, "carries a recipe of schema 99, this version reads 1"),
            ({"technique": "transfer", "settings": 3}, "carries a damaged recipe: no settings"),
            ({"technique": "transfer"}, "unknown setting 'from_noise'"),
        ],
        ids=str,
    )
    def test_hostile_recipes(
        self, run: Run, out: Path, folder: Path, changes: dict[str, Any], said: str
    ) -> None:
        file = forged(folder, changes)
        before = listing(folder)
        line = complaint(run("replay", file), 1)
        if changes == {"technique": "transfer"}:
            assert "unknown setting" in line
        else:
            assert said in line
        assert listing(folder) == before

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"of": ["dream"]}, "a recipe for '['dream']' cannot be replayed"),
            ({"of": "explore"}, "a recipe for 'explore' cannot be replayed"),
            ({"cells": {"A1": 7}}, "the sheet has no cell A1"),
            ({"cells": {"A1": {"settings": []}}}, "the sheet has no cell A1"),
            ({"cells": {"A1": {"settings": {"steps": 0}}}}, "--steps: 0 is too small"),
            ({"cells": []}, "the picture is not a contact sheet"),
        ],
        ids=str,
    )
    def test_hostile_sheets(
        self, run: Run, folder: Path, changes: dict[str, Any], said: str
    ) -> None:
        words = ("--layer", "conv1_1", "--strength", 1, "--size", 16, "--precision", "fp32")
        done(run("explore", "dream", "cat.png", *words, "-o", "out.png"))
        recipe = load_recipe(folder / "out.png") | changes
        path = folder / "forged.png"
        write_picture(path, pixels_of(folder / "out.png"), recipe=to_text(recipe))
        assert said in complaint(run("replay", path, "--cell", "A1"), 1)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"inputs": []}, "a transfer without a content picture"),
            (
                {"settings": {"style_weights": [1.0, 2.0]}},
                "--style-weight: 2 given for 1 style image",
            ),
            ({"settings": {"style_layers": {"relu9_9": 1}}}, "unknown layer of vgg"),
            ({"settings": {"style_layers": 7}}, "is not a table of layers and weights"),
            ({"settings": {"init": "file"}}, "init='file' needs a picture to start from"),
            ({"settings": {"style_layers": {"relu1_1": [1]}}}, "is not layers with weights"),
        ],
        ids=str,
    )
    def test_hostile_transfers(
        self, run: Run, folder: Path, changes: dict[str, Any], said: str
    ) -> None:
        done(run("transfer", "cat.png", "strokes.png", *QUICK, "--steps", 1, "-o", "out.png"))
        assert said in complaint(run("replay", forged(folder, changes)), 1)

    def test_more_noise_than_anybody_asked_for(self, run: Run, folder: Path) -> None:
        done(run("dream", "--from-noise", "20x20", *BRIEF, "-o", "out.png"))
        file = forged(folder, {"settings": {"from_noise": "90000x90000"}})
        line = complaint(run("replay", file), 1)
        assert line.startswith("the recipe begins from 90000×90000 pixels of noise (raise")

    def test_pixels_that_are_damaged_below_a_good_recipe(
        self, run: Run, out: Path, folder: Path
    ) -> None:
        """They cannot be compared, which is no reason to lose the new picture."""
        cut = folder / "cut.png"
        cut.write_bytes(out.read_bytes()[:-500])
        result = done(run("replay", "cut.png"))
        assert result.stderr.splitlines()[0] == "cut.png is damaged or incomplete"
        assert torch.equal(pixels_of(folder / "cut-replay.png"), pixels_of(out))


class TestMessages:
    """What is printed on the way."""

    def test_to_stdout(self, run: Run, out: Path, folder: Path) -> None:
        before = listing(folder)
        result = done(run("replay", out, "-o", "-"))
        assert load_recipe(result.stdout_bytes) == load_recipe(out)
        assert result.stderr == "every pixel as in out.png\n"
        assert done(run("replay", out, "-o", "-", "-q")).stderr == ""
        assert listing(folder) == before

    def test_json_lines(self, run: Run, out: Path) -> None:
        events = done(run("replay", "out.png", "--json", "-q")).stdout.splitlines()
        assert [json.loads(line)["event"] for line in events] == ["start", "step", "done"]
        assert json.loads(events[-1])["file"] == "out-replay.png"

    def test_pictures_on_the_way(self, run: Run, out: Path, folder: Path) -> None:
        done(run("replay", out, "--save-steps", folder / "steps"))
        (step,) = (folder / "steps").iterdir()
        assert torch.equal(pixels_of(step), pixels_of(out))

    @pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
    def test_sixteen_bits(self, run: Run, out: Path, folder: Path, name: str) -> None:
        done(run("replay", out, "-o", name, "--depth", 16))
        assert float((pixels_of(folder / name) - pixels_of(out)).abs().max()) < 1.01 / 255
        result = done(run("replay", name, "-o", "again.png"))
        assert result.stderr.startswith(f"every pixel as in {name}\n")
        assert torch.equal(pixels_of(folder / "again.png"), pixels_of(out))
