"""``--checkpoint`` and ``stylize resume``: stopped, killed, gone on; and what is refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.cli import checkpoints as checkpointing
from stylize.errors import OutputError
from stylize.images.atomic import reserved
from stylize.images.read import read_picture
from stylize.runs import checkpoint as container
from stylize.runs.checkpoint import describe
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import (
    QUICK,
    Counted,
    Run,
    Sketch,
    complaint,
    done,
    listing,
    program,
    replay_command,
    resume_command,
)
from tests.conftest import cat, save, strokes

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
FEW = ("--style-layers", "relu1_1,relu2_1", "--content-layers", "relu2_1")
TRANSFER = ("transfer", "cat.png", "strokes.png", *QUICK, *FEW, "--steps", 6)
DREAM = ("dream", "cat.png", "--layer", "conv2_2", "--precision", "fp32", "--steps", 3)
DREAM += ("--octaves", 2, "--min-octave", 16, "--jitter", 9)
KEPT = ("--checkpoint", "run.checkpoint")

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


@pytest.fixture
def stopped(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A transfer to out.png that was stopped after its second step, kept in run.checkpoint."""
    stop(run, monkeypatch, *TRANSFER, *KEPT, "-o", "out.png")
    return folder


def stop(run: Run, monkeypatch: pytest.MonkeyPatch, *words: object, asked: int = 2) -> Any:
    """A run that stops when it asks for the third time."""
    from contextlib import contextmanager
    from itertools import count

    from stylize.cli import run as running

    @contextmanager
    def stopping(**options: Any) -> Any:
        times = count(1)
        yield Counted(times, asked)

    with monkeypatch.context() as patch:
        for module in (running, replay_command, resume_command):
            patch.setattr(module, "stop_on_interrupt", stopping)
        return done(run(*words), 130)


def assert_same(one: str, other: str) -> None:
    assert torch.equal(read_picture(Path(one)).pixels, read_picture(Path(other)).pixels)
    assert load_recipe(Path(one)) == load_recipe(Path(other))


class TestGoingOn:
    """The picture of an undisturbed run, with its recipe."""

    @pytest.mark.parametrize(
        "words",
        [
            TRANSFER,
            (*TRANSFER, "--optimizer", "adam", "--init", "cat.png"),
            DREAM,
            (*DREAM, "--guide", "strokes.png", "--mask", "mask.png", "--preset", "eyes"),
            ("dream", "--from-noise", "40x32", *DREAM[2:], "--tileable", "--seed", 4),
        ],
        ids=["transfer", "adam", "dream", "guide and mask", "noise"],
    )
    def test_the_same_picture(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
    ) -> None:
        done(run(*words, "-o", "whole.png"))
        before = listing(folder)
        result = stop(run, monkeypatch, *words, *KEPT, "-o", "out.png")
        assert result.stderr.splitlines()[-1] == "'stylize resume run.checkpoint' continues the run"
        assert load_recipe(folder / "out.png") == describe(folder / "run.checkpoint").recipe
        result = done(run("resume", "run.checkpoint"))
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"saved {folder / 'out.png'} (")
        assert_same("whole.png", "out.png")
        assert listing(folder).keys() == before.keys() | {"out.png"}

    def test_stopped_again(self, run: Run, stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And by its own name where that needs quotes."""
        odd = stopped / "my run"
        (stopped / "run.checkpoint").rename(odd)
        result = stop(run, monkeypatch, "resume", "my run", asked=1)
        assert result.stderr.splitlines()[-1] == "'stylize resume 'my run'' continues the run"
        assert describe(odd).scales[-1][0] == 4
        done(run("resume", odd))
        done(run(*TRANSFER, "-o", "whole.png"))
        assert_same("whole.png", "out.png")
        assert not odd.exists()

    def test_steps_and_seconds_are_told_from_where_it_was(self, run: Run, stopped: Path) -> None:
        result = done(run("resume", "run.checkpoint", "--json", "--save-steps", "steps"))
        events = [json.loads(line) for line in result.stdout.splitlines()]
        assert [event["event"] for event in events] == ["start", *["step"] * 4, "done"]
        events = events[1:]
        assert [event["step"] for event in events[:-1]] == [3, 4, 5, 6]
        seconds = [event["seconds"] for event in events[:-1]]
        assert seconds == sorted(seconds)
        assert [path.name for path in (stopped / "steps").iterdir()] == [
            "scale-1-32x32-step-0006.png"
        ]

    def test_how_it_is_written_is_remembered(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stop(run, monkeypatch, *TRANSFER, *KEPT, "-o", "out.png", "--depth", 16)
        done(run("resume", "run.checkpoint", "-o", "other.png"))
        assert (folder / "other.png").read_bytes()[24] == 16
        words = ("-o", "-", "--format", "jpeg", "--quality", 30, "--max-input-pixels", 9000)
        stop(run, monkeypatch, *TRANSFER, *KEPT, *words)
        result = done(run("resume", "run.checkpoint"))
        assert result.stdout_bytes.startswith(b"\xff\xd8")
        assert not (folder / "run.checkpoint").exists()

    def test_only_what_is_its_own_is_replaced(self, run: Run, stopped: Path) -> None:
        (stopped / "out.png").write_bytes((stopped / "cat.png").read_bytes())
        before = listing(stopped)
        assert "out.png already exists" in complaint(run("resume", "run.checkpoint"), 1)
        line = complaint(run("resume", "run.checkpoint", "-o", "strokes.png", "--overwrite"), 1)
        assert "strokes.png is an input of this run" in line
        assert listing(stopped) == before
        done(run("resume", "run.checkpoint", "--overwrite"))

    def test_a_picture_that_took_its_name_during_the_run_stays(
        self, run: Run, stopped: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out, rest = stopped / "out.png", resume_command.paint_rest

        def interrupted(*words: Any) -> int:
            save(strokes(8, 8), out)
            return rest(*words)

        monkeypatch.setattr(resume_command, "paint_rest", interrupted)
        before = save(strokes(8, 8), stopped / "same.png").read_bytes()
        result = done(run("resume", "run.checkpoint"))
        assert "the name out.png was taken during the run" in result.stderr
        assert out.read_bytes() == before
        assert load_recipe(stopped / "out-2.png")["interrupted"] is False

    def test_only_the_picture_is_replaced_unasked(self, run: Run, stopped: Path) -> None:
        film, steps = stopped / "film.gif", stopped / "steps"
        film.write_bytes(b"theirs")
        line = complaint(run("resume", "run.checkpoint", "--film", film), 1)
        assert line.startswith(f"{film} already exists")
        steps.mkdir()
        first = steps / "scale-1-32x32-step-0006.png"
        first.write_bytes(b"theirs")
        done(run("resume", "run.checkpoint", "--save-steps", steps))
        assert (first.read_bytes(), film.read_bytes()) == (b"theirs", b"theirs")
        assert (steps / "scale-1-32x32-step-0006-2.png").exists()

    def test_what_a_checkpoint_says_of_overwriting_is_not_followed(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stop(run, monkeypatch, *TRANSFER, *KEPT, "-o", "out.png", "--overwrite")
        save(cat(24), folder / "out.png")
        assert "already exists" in complaint(run("resume", "run.checkpoint"), 1)
        done(run("resume", "run.checkpoint", "--overwrite"))
        assert load_recipe(folder / "out.png")["interrupted"] is False

    def test_nor_where_it_says_that_something_is_written(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = folder / "home"
        elsewhere.mkdir()
        stop(run, monkeypatch, *TRANSFER, *KEPT, "-o", elsewhere / "out.png")
        (elsewhere / "out.png").unlink()
        line = complaint(run("resume", "run.checkpoint"), 1)
        assert "which is in another folder (confirm it: -o" in line
        assert not list(elsewhere.iterdir())
        done(run("resume", "run.checkpoint", "-o", elsewhere / "out.png"))

    def test_another_machine_is_told(self, run: Run, stopped: Path) -> None:
        result = done(run("resume", "run.checkpoint", "--precision", "bf16"))
        assert result.stderr.splitlines()[0] == (
            "continues with precision bf16 instead of fp32: the last bits of the pixels may differ"
        )
        assert load_recipe(stopped / "out.png")["resolved"]["precision"] == "bf16"

    def test_how_often_can_be_changed(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stop(run, monkeypatch, *TRANSFER, *KEPT, "--checkpoint-every", "0.5")
        assert describe(folder / "run.checkpoint").request.minutes == 0.5
        stop(run, monkeypatch, "resume", "run.checkpoint", asked=1)
        assert describe(folder / "run.checkpoint").request.minutes == 0.5
        stop(run, monkeypatch, "resume", "run.checkpoint", "--checkpoint-every", 7, asked=0)
        assert describe(folder / "run.checkpoint").request.minutes == 7


class TestInputs:
    """Found by content, never replaced by others."""

    def test_wherever_they_went(self, run: Run, stopped: Path) -> None:
        elsewhere = stopped / "elsewhere"
        elsewhere.mkdir()
        for name in ("cat.png", "strokes.png"):
            (stopped / name).rename(elsewhere / f"other-{name}")
        line = complaint(run("resume", "run.checkpoint"), 1)
        assert "cannot find the run's content 'cat.png'" in line
        assert line.endswith("(the run needs the very same pictures; name them with --input)")
        done(run("resume", "run.checkpoint", "--input", "elsewhere"))
        inputs = load_recipe(stopped / "out.png")["inputs"]
        assert [each["name"] for each in inputs] == ["cat.png", "strokes.png"]

    def test_its_recipe_is_shown(self, run: Run, stopped: Path) -> None:
        shown = done(run("info", "run.checkpoint")).stdout
        assert shown.startswith("transfer, made by stylize")
        assert "(interrupted)\ncontent    cat.png, 32×32 px" in shown

    def test_none_that_has_changed(self, run: Run, stopped: Path) -> None:
        save(cat(32).flip(3), stopped / "cat.png")
        before = listing(stopped)
        for words in ((), ("--input", "cat.png")):
            line = complaint(run("resume", "run.checkpoint", *words), 1)
            assert "--substitute" not in line
            assert "cat.png" in line
        assert listing(stopped) == before


class TestRefusals:
    """One line, nothing touched."""

    def test_files_that_are_none(self, run: Run, stopped: Path) -> None:
        whole = (stopped / "run.checkpoint").read_bytes()
        (stopped / "cut").write_bytes(whole[:-1])
        (stopped / "edited").write_bytes(whole.replace(b"transfer", b"Transfer", 1))
        before = listing(stopped)
        for name, said in {
            "gone": "gone: there is no such file",
            ".": ". is not the folder of an unfinished clip",
            "cat.png": "cat.png is not a checkpoint of stylize",
            "cut": "cut is not a checkpoint of stylize, or it is damaged",
            "edited": "edited is damaged (start the run again)",
        }.items():
            assert complaint(run("resume", name), 1).startswith(said)
        assert listing(stopped) == before

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("technique", "tunnel", "cannot follow the recipe"),
            ("technique", "mosaic", "a recipe for 'mosaic' cannot be replayed"),
            ("settings", {"steps": -1}, "this version cannot follow the recipe"),
            ("inputs", [{"role": "content"}], "damaged recipe: input 1"),
            ("weights", {"name": "vgg16", "sha256": "0" * 64}, "differ from those in the recipe"),
            ("resolved", {"precision": "fp8"}, "damaged recipe"),
        ],
    )
    def test_forged_recipes(self, run: Run, stopped: Path, key: str, value: Any, said: str) -> None:
        document = container.read(stopped / "run.checkpoint")
        document["recipe"][key] = value
        container.write(stopped / "forged", document, {})
        assert said in complaint(run("resume", "forged", "-o", "other.png"), 1)

    def test_no_tensors(self, run: Run, stopped: Path) -> None:
        document = container.read(stopped / "run.checkpoint")
        container.write(stopped / "forged", document, {})
        line = complaint(run("resume", "forged"), 1)
        assert line == "forged is a checkpoint without the state of a run"

    def test_a_new_run_does_not_replace_an_old_one(self, run: Run, stopped: Path) -> None:
        before = listing(stopped)
        line = complaint(run(*TRANSFER, *KEPT, "-o", "new.png"), 1)
        assert line == (
            "run.checkpoint holds a run that was not finished"
            " ('stylize resume run.checkpoint' continues it, --overwrite discards it)"
        )
        assert listing(stopped) == before
        done(run(*TRANSFER, *KEPT, "-o", "new.png", "--overwrite"))
        assert not (stopped / "run.checkpoint").exists()

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("cat.png", "cat.png is another file of this run (name another checkpoint)"),
            ("new.png", "new.png is another file of this run"),
            ("mask.png", "mask.png exists and is not a checkpoint (name another file)"),
            ("mask.png/run", "mask.png is not a folder"),
        ],
    )
    def test_files_that_are_something_else(
        self, run: Run, folder: Path, name: str, said: str
    ) -> None:
        before = listing(folder)
        words = ("-o", "new.png", "--checkpoint", name, "--overwrite")
        assert complaint(run(*TRANSFER, *words), 1).startswith(said)
        assert listing(folder) == before

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((*KEPT, "--no-checkpoint"), "--checkpoint cannot be combined with --no-checkpoint"),
            (("--checkpoint-every", "0"), "--checkpoint-every: 0 is too small"),
            (("--checkpoint-every", "nan"), "--checkpoint-every: nan is not a finite number"),
        ],
    )
    def test_requests_that_make_no_sense(
        self, run: Run, folder: Path, words: tuple[str, ...], said: str
    ) -> None:
        assert said in complaint(run(*TRANSFER, *words), 2)
        assert said in complaint(run(*DREAM, *words), 2)


class TestWhenThereIsOne:
    """Asked for, or a long run; removed once the picture is there."""

    def test_nothing_remains_of_a_run_that_went_well(self, run: Run, folder: Path) -> None:
        before = listing(folder)
        done(run(*DREAM, *KEPT, "--checkpoint-every", "0.00001", "-o", "out.png"))
        assert listing(folder).keys() == before.keys() | {"out.png"}

    def test_a_short_run_has_none(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = stop(run, monkeypatch, *TRANSFER, "-o", "out.png")
        assert "resume" not in result.stderr
        assert not list(folder.glob("*.checkpoint"))

    def test_a_long_run_has_one(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checkpointing, "LONG_S", 1e-9)
        usual = folder / "out.png.checkpoint"
        result = stop(run, monkeypatch, *TRANSFER, "-o", "out.png")
        first, *_, last = result.stderr.splitlines()
        assert first == (
            "long run: checkpoints go to out.png.checkpoint (--no-checkpoint turns them off)"
        ).replace("out.png", str(folder / "out.png"))
        assert last == f"'stylize resume {usual}' continues the run"
        assert describe(usual).request.minutes == 5.0
        line = complaint(run(*TRANSFER, "-o", "out.png", "--no-checkpoint"), 1)
        assert "out.png already exists" in line
        (folder / "out.png").unlink()
        assert "holds a run that was not" in complaint(run(*TRANSFER, "-o", "out.png"), 1)
        done(run("resume", usual))
        assert not usual.exists()

    def test_a_name_of_the_greatest_length(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checkpointing, "LONG_S", 1e-9)
        stop(run, monkeypatch, *TRANSFER, "-o", "b" * 251 + ".png")
        (usual,) = folder.glob("*.checkpoint")
        assert len(usual.name) == 255
        done(run("resume", usual, "--overwrite"))
        assert not usual.exists()

    @pytest.mark.parametrize("words", [("-o", "-"), ("-o", "a.png", "--no-checkpoint")])
    def test_a_long_run_without_one(
        self,
        run: Run,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
    ) -> None:
        monkeypatch.setattr(checkpointing, "LONG_S", 1e-9)
        result = stop(run, monkeypatch, *TRANSFER, *words)
        assert "long run" not in result.stderr
        assert not list(folder.glob("*.checkpoint"))

    def test_the_time_that_counts(
        self, run: Run, folder: Path, sketch: type[Sketch], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A sketch takes 42 seconds, it says, and can be kept in no checkpoint."""
        done(run(*TRANSFER, "-o", "a.png"))
        monkeypatch.setattr(checkpointing, "LONG_S", 41.9)
        assert "long run" in run(*TRANSFER, "-o", "b.png").stderr

    def test_quietly(self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpointing, "LONG_S", 1e-9)
        assert stop(run, monkeypatch, *TRANSFER, "-o", "out.png", "-q").stderr == ""
        assert done(run("resume", folder / "out.png.checkpoint", "-q")).stderr == ""

    def test_a_full_disk_is_told_once(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OutputError("cannot write run.checkpoint: no space left on device")

        monkeypatch.setattr("stylize.runs.checkpoint.save", full)
        words = (*KEPT, "--checkpoint-every", "0.00000001", "-o")
        first, second = done(run(*TRANSFER, *words, "out.png")).stderr.splitlines()
        assert first == (
            "no checkpoint: cannot write run.checkpoint: no space left on device;"
            " the run continues without one"
        )
        assert second.startswith("saved out.png")
        result = stop(run, monkeypatch, *TRANSFER, *words, "again.png")
        assert "resume" not in result.stderr


SLOW = ("--precision", "fp32", "--threads", 1, "--checkpoint-every", 0.0005)
# Some seconds of work in a hundred steps or more.
LONG = {
    "transfer": ("transfer", "cat.png", "strokes.png", "--size", 96, "--min-size", 64, *FEW),
    "dream": ("dream", "cat.png", "--size", 96, "--layer", "conv3_1", "--steps", 60),
}
STEPS = {"transfer": ("--steps", 80), "dream": ("--octaves", 2, "--min-octave", 32)}


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("technique", LONG)
def test_killed_at_random_moments(run: Run, folder: Path, technique: str) -> None:
    """With -9 and politely, in processes of their own: the picture is that of a run left alone."""
    save(cat(96), folder / "cat.png")
    words = (*LONG[technique], *STEPS[technique], *SLOW)
    done(run(*words, "-o", "whole.png"))
    chance = random.Random(technique)
    call = program(*words, *KEPT, "-o", "out.png", "--json")
    for number in (signal.SIGKILL, signal.SIGTERM):
        kill(call, number, chance.uniform(0.0, 0.4))
        assert (folder / "run.checkpoint").exists()
        call = program("resume", "run.checkpoint", "--json")
    done(run("resume", "run.checkpoint"))
    assert_same("whole.png", "out.png")
    left = {path.name for path in folder.iterdir()}
    assert left == {"cat.png", "strokes.png", "mask.png", "whole.png", "out.png"}


def kill(call: dict[str, Any], number: int, wait_s: float) -> None:
    """Run until there has been a step and some time, then send the signal."""
    process = subprocess.Popen(**call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    while not os.path.exists("run.checkpoint"):
        assert process.stdout.readline(), "it ended too soon"
    while json.loads(process.stdout.readline())["event"] != "step":
        pass
    time.sleep(wait_s)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else -number)


@POSIX
@pytest.mark.parametrize("is_resume", [False, True])
def test_a_checkpoint_has_one_run(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, is_resume: bool
) -> None:
    words: tuple[object, ...] = (*TRANSFER, "-o", "other.png", *KEPT, "--overwrite")
    if is_resume:
        stop(run, monkeypatch, *TRANSFER, "-o", "out.png", *KEPT)
        words = ("resume", "run.checkpoint", "-o", "other.png")
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    with reserved(folder / "run.checkpoint"):
        result = run(*words)
    assert result.exit_code == 1
    assert "is the checkpoint of a run that is not finished yet" in result.stderr
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before
