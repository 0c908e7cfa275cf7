"""``stylize inspect`` on gradients: words, files, exit codes of its five commands."""

from __future__ import annotations

import json
import signal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from stylize.cli import inspect
from stylize.cli.progress import Meter
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import Counted, Run, complaint, done, listing, pointed_at, size_of
from tests.conftest import cat, photo, save

pytestmark = pytest.mark.usefixtures("network")
EXACT = ("--precision", "fp32")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return save(cat(48), tmp_path / "cat.png")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return save(photo(48, 48), tmp_path / "disc.png")


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch):
    """``stop_after(2)``: runs stop when they ask for the third time."""
    from contextlib import contextmanager

    def patch(times: int) -> None:
        @contextmanager
        def stop_on_interrupt(**options: Any):
            asked = count(1)
            yield Counted(asked, times)

        monkeypatch.setattr(inspect, "stop_on_interrupt", stop_on_interrupt)

    return patch


class TestFeature:
    """Of a channel, a row, a direction."""

    quick = ("--size", 32, "--steps", 2, *EXACT)

    def test_a_name_of_its_own(self, run: Run, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        result = done(run("inspect", "feature", "conv2_1:3", *self.quick))
        (made,) = tmp_path.glob("*.png")
        assert made.name == "feature-conv2_1-3.png"
        assert result.stderr.startswith("saved ")
        assert size_of(made) == (32, 32)
        recipe = load_recipe(made)
        assert recipe["technique"] == "inspect feature"
        assert (recipe["settings"]["target"], recipe["settings"]["steps"]) == ("conv2_1:3", 2)

    def test_json(self, run: Run, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        words = ("--diversity", 2, "--json", "-o", out)
        result = done(run("inspect", "feature", "conv2_1:3", *self.quick, *words))
        assert result.stderr == ""
        document = json.loads(result.stdout)
        assert document["file"] == str(out)
        assert len(document["responses"]) == 2
        assert document["recipe"] == load_recipe(out)

    def test_directions(self, run: Run, scene: Path, other: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        words = ("--direction", scene, "--direction", other, "-o", out)
        done(run("inspect", "feature", "conv2_1", *self.quick, *words))
        assert [each["name"] for each in load_recipe(out)["inputs"]] == ["cat.png", "disc.png"]

    def test_a_stream(self, run: Run) -> None:
        result = done(run("inspect", "feature", "conv2_1:3", *self.quick, "-o", "-"))
        assert load_recipe(result.stdout_bytes)["settings"]["size"] == 32

    def test_stopped(self, run: Run, tmp_path: Path, stop_after: Any) -> None:
        out = tmp_path / "out.png"
        stop_after(2)
        words = ("--size", 32, "--steps", 9, *EXACT, "-o", out)
        result = done(run("inspect", "feature", "conv2_1:3", *words), 130)
        assert result.stderr.startswith(f"stopped early, saved {out} (")
        assert load_recipe(out)["resolved"]["steps"] == 3
        assert load_recipe(out)["interrupted"]

    def test_terminated(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def advance(meter: Meter, done: float, *labels: str) -> None:
            if done == 2:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(Meter, "advance", advance)
        out = tmp_path / "out.png"
        words = ("--size", 32, "--steps", 9, *EXACT, "-o", out)
        done(run("inspect", "feature", "conv2_1:3", *words), 143)
        assert load_recipe(out)["resolved"]["steps"] == 2

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("conv2_1:3", "--l2", "0.1"), "--l2 makes no difference with --method fourier"),
            (("conv2_1:3", "--blur-every", "2"), "--blur-every makes no difference"),
            (("conv2_1:3", "--cut", "0.2"), "--cut makes no difference"),
            (("conv2_1:3", "--method", "cs231n", "--decay", "1"), "--decay makes no difference"),
            (
                ("conv2_1:3", "--method", "cs231n", "--diversity", "2"),
                "--diversity makes no difference with --method cs231n",
            ),
            (("conv2_1:3", "--frames", "3"), "--frames makes no difference without --to"),
            (
                ("conv2_1:3", "--to", "conv2_1:4", "--diversity", "2"),
                "--to cannot be combined with --diversity",
            ),
            (("conv2_1:3", "--size", "8"), "--size: 8 is too small"),
            (("conv2_1:3", "--rate", "0"), "--rate: 0 is too small (more than 0"),
            (("conv2_1:3", "--decay", "nan"), "--decay: nan is not a finite number"),
            (("conv2_1:3", "--network", "vgg61"), "unknown network 'vgg61' (did you mean vgg"),
            (("conv2_1:3", "--direction", "a.png"), "'conv2_1:3' is not one layer"),
            (
                ("conv2_1", "--direction", "a.png", "--neuron"),
                "--direction cannot be combined with --neuron",
            ),
            (("conv2_1", "--direction", "-", "--direction", "-"), "stdin can give only one"),
            (("conv2_1:3", "-o", "-", "--json"), "-o - and --json both want stdout"),
        ],
    )
    def test_requests(
        self, run: Run, tmp_path: Path, monkeypatch: Any, words: tuple[str, ...], said: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert said in complaint(run("inspect", "feature", *words), 2)
        assert listing(tmp_path) == {}

    @pytest.mark.parametrize("words", [("conv9_1:3",), ("conv2_1:3", "--to", "conv9_1:3")])
    def test_expressions(self, run: Run, words: tuple[str, ...]) -> None:
        line, rest = pointed_at(run("inspect", "feature", *words))
        assert "unknown layer of vgg16 'conv9_1'" in line
        assert rest == "conv9_1:3"
        assert run("inspect", "feature").exit_code == 2

    def test_files(self, run: Run, tmp_path: Path) -> None:
        words = ("inspect", "feature", "conv2_1", "--direction", tmp_path / "gone.png")
        assert "there is no such file" in complaint(run(*words), 1)


class TestPhotos:
    """What the commands about a photo share."""

    commands = (
        ("saliency", ("--size", 32), "saliency-gradient"),
        ("occlude", ("--size", 32, "--patch", 16), "occlusion"),
        ("invert", ("--size", 32, "--steps", 2, "--layer", "conv1_1"), "inversion-conv1_1"),
        ("caricature", ("--size", 32, "--steps", 2, "--layer", "relu1_2"), "caricature-relu1_2"),
    )

    @pytest.mark.parametrize(("command", "words", "name"), commands)
    def test_beside_the_photo(
        self, run: Run, scene: Path, command: str, words: tuple[object, ...], name: str
    ) -> None:
        call = ("inspect", command, scene, *words, *EXACT)
        result = done(run(*call))
        out = scene.parent / f"cat-{name}.png"
        assert result.stderr.startswith(f"saved {out} (32×32, ")
        recipe = load_recipe(out)
        assert recipe["technique"] == f"inspect {command}"
        assert recipe["inputs"][0]["name"] == "cat.png"
        assert done(run(*call, "--quiet", "--overwrite")).stderr == ""
        assert "already exists" in complaint(run(*call, "-o", out), 1)

    @pytest.mark.parametrize(("command", "words", "name"), commands)
    def test_json_is_one_document(
        self, run: Run, scene: Path, command: str, words: tuple[object, ...], name: str
    ) -> None:
        result = done(run("inspect", command, scene, *words, *EXACT, "--json"))
        document = json.loads(result.stdout)
        assert result.stderr == ""
        assert document["recipe"] == load_recipe(Path(document["file"]))

    @pytest.mark.parametrize(("command", "words", "name"), commands)
    def test_bad_pictures(
        self, run: Run, tmp_path: Path, command: str, words: tuple[object, ...], name: str
    ) -> None:
        gone = run("inspect", command, tmp_path / "gone.png", *words)
        assert complaint(gone, 1).endswith("gone.png: there is no such file")
        bad = tmp_path / "bad.png"
        bad.write_text("no picture")
        before = listing(tmp_path)
        assert "is not a picture" in complaint(run("inspect", command, bad, *words, *EXACT), 1)
        large = ("--max-input-pixels", 100)
        small = save(cat(16), tmp_path / "small.png")
        said = complaint(run("inspect", command, small, *words, *large, *EXACT), 1)
        assert "16×16" in said
        small.unlink()
        assert listing(tmp_path) == before
        assert run("inspect", command).exit_code == 2

    @pytest.mark.parametrize(
        ("command", "words", "said"),
        [
            ("saliency", ("--samples", "3"), "--samples makes no difference with --method grad"),
            ("saliency", ("--noise", "0.1", "--method", "guided"), "--noise makes no difference"),
            ("saliency", ("--at", "1"), "--at: '1' is not a place (X,Y in pixels: 120,80)"),
            ("saliency", ("--at", "-1,5"), "--at: '-1,5' is not a place"),
            ("saliency", ("--at", "inf,5"), "--at: 'inf,5' is not a place"),
            ("saliency", ("--at", "48,5"), "--at 48,5 is outside the photo (it has 48×48 px)"),
            ("saliency", ("conv2_1:3", "--like", "cat.png"), "--like compares whole layers"),
            (
                "saliency",
                ("conv2_1", "--like", "cat.png", "--at", "1,1"),
                "--like cannot be combined with --at",
            ),
            ("saliency", ("--like", "-", "-o", "-", "--json"), "both want stdout"),
            ("saliency", ("--size", "big"), "no such size: 'big'"),
            ("saliency", ("--method", "guidde"), "'guidde' is not one of"),
            ("occlude", ("--patch", "8", "--step", "16"), "--step: 16 is too large"),
            ("occlude", ("--fill", "2"), "--fill: 2 is too large"),
            ("occlude", ("--like", "cat.png", "conv2_1 + conv3_1"), "--like compares whole"),
            ("invert", ("--layer", "conv9_1"), "unknown layer of vgg16 'conv9_1'"),
            ("invert", ("--layer", "conv2_1", "--strip"), "--layer makes no difference with"),
            ("invert", ("--smoothness", "-1"), "--smoothness: -1 is too small"),
            ("caricature", ("--power", "-1"), "--power: -1 is too small"),
            ("caricature", ("--layer", "conv9_1"), "unknown layer of vgg16 'conv9_1'"),
            ("caricature", ("--steps", "0"), "--steps: 0 is too small"),
        ],
    )
    def test_requests(
        self,
        run: Run,
        scene: Path,
        monkeypatch: Any,
        command: str,
        words: tuple[str, ...],
        said: str,
    ) -> None:
        monkeypatch.chdir(scene.parent)
        before = listing(scene.parent)
        assert said in complaint(run("inspect", command, scene, *words, *EXACT), 2)
        assert listing(scene.parent) == before

    @pytest.mark.parametrize("command", ["saliency", "occlude"])
    def test_targets(self, run: Run, scene: Path, command: str) -> None:
        line, rest = pointed_at(run("inspect", command, scene, "conv2_1:128"))
        assert line.startswith("no channel 128: conv2_1 of vgg16 has 128 channels")
        assert rest == "128"

    def test_saliency_by_its_options(self, run: Run, scene: Path, other: Path) -> None:
        out = scene.parent / "out.png"
        words = ("conv2_1", "--like", other, "--method", "smoothgrad", "--samples", 2)
        words += ("--noise", 0.1, "--view", "mask", "--size", 24, "--overwrite")
        result = done(run("inspect", "saliency", scene, *words, *EXACT, "--json", "-o", out))
        assert 0 < json.loads(result.stdout)["response"] < 1
        settings = load_recipe(out)["settings"]
        assert (settings["method"], settings["samples"]) == ("smoothgrad", 2)
        assert size_of(out) == (24, 24)

    def test_stopped(self, run: Run, scene: Path, stop_after: Any) -> None:
        stop_after(0)
        before = listing(scene.parent)
        words = ("--size", 32, "--patch", 16, "--batch", 1, *EXACT)
        line = complaint(run("inspect", "occlude", scene, *words), 130)
        assert line == "stopped before the patch reached every place"
        assert listing(scene.parent) == before
        words = ("--size", 32, "--strip", *EXACT)
        done(run("inspect", "invert", scene, *words), 130)
        assert load_recipe(scene.parent / "cat-inversions.png")["interrupted"]
