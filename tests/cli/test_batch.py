"""``stylize batch``: whole folders, with all that folders hold and all that happens to runs."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

from stylize.batches.local import Outcome
from stylize.batches.records import Entry, read_all
from stylize.batches.tasks import Look, Task
from stylize.cli.batch_report import Report
from stylize.cli.batch_run import distinct
from stylize.cli.main import cli
from stylize.cli.requests import Messages
from stylize.errors import UsageError
from stylize.gradients.fast_pass import FastPass
from stylize.images.read import read_picture
from stylize.runs.recipe import load_recipe
from stylize.settings.dream import DreamSettings
from tests.cli.conftest import Run, complaint, done, listing
from tests.conftest import cat, photo, save, strokes

EXACT = ("--precision", "fp32", "--threads", 1)
DREAM = ("--size", 32, "--steps", 1, "--octaves", 1, "--layer", "conv2_1", *EXACT)
PAINT = ("--size", 32, "--min-size", 32, "--steps", 1, *EXACT)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="names, links, signals of POSIX")
FAILING = {"truncated.jpg", "text.jpg", "loop.png"}


def fill(folder: Path) -> None:
    """Thirty pictures, some of them none, some of names that are hard to bear."""
    folder.mkdir()
    plain = [f"{number}.png" for number in range(18)]
    hard = ["two  words.png", "line\nbreak.png", "😀.png", "-o.png", "a.png", "a.jpg"]
    for number, name in enumerate([*plain, *hard]):
        save(photo(32, 20 + number), folder / name)
    save(cat(64), folder / "truncated.jpg")
    data = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (folder / "text.jpg").write_text("no picture at all")
    grey = np.linspace(0, 65535, 32 * 40).reshape(32, 40).astype(np.uint16)
    Image.fromarray(grey).save(folder / "deep.png")
    Image.new("RGBA", (40, 32), (200, 50, 90, 128)).save(folder / "rgba.png")
    Image.new("P", (40, 32), 3).save(folder / "still.gif")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "again").symlink_to(".")


def some(folder: Path, count: int, start: int = 0) -> Path:
    """A folder of a few different pictures."""
    folder.mkdir(exist_ok=True)
    for number in range(start, start + count):
        save(photo(32, 24 + number), folder / f"{number}.png")
    return folder


def invoke(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="stylize")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The thirty and what became of them, painted once; copied before it is changed."""
    place, threads = tmp_path_factory.mktemp("zoo"), torch.get_num_threads()
    fill(place / "in")
    before = listing(place / "in")
    result = invoke("batch", "dream", place / "in", "-r", "-o", place / "out", *DREAM, "--json")
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    assert listing(place / "in") == before
    return place, result


@pytest.fixture
def place(zoo: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of the thirty with their results."""
    return Path(shutil.copytree(zoo[0], tmp_path / "zoo", symlinks=True))


def results(output: Path) -> dict[str, int]:
    """All files of a batch but its own, hidden ones included, with the time of their writing."""
    files = [path for path in output.rglob("*") if path.is_file()]
    return {
        path.relative_to(output).as_posix(): path.stat().st_mtime_ns
        for path in files
        if path.parent.name not in (".stylize", "claims")
    }


def events(text: str, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    return [each for each in found if each["event"] == kind]


def last_line(result: Result) -> str:
    return result.stderr.splitlines()[-1]


@POSIX
class TestThirty:
    """A folder as folders are."""

    def test_all_are_accounted_for(self, zoo: tuple[Path, Result]) -> None:
        folder, result = zoo
        assert result.exit_code == 1, result.output
        assert result.stderr == ""
        manifest = read_all(folder / "out")
        sources = {Path(entry.source).name: entry for entry in manifest.values()}
        names = {path.name for path in (folder / "in").iterdir()} - {"again"}
        assert len(names) == 30
        assert sources.keys() == names
        failed = {name for name, entry in sources.items() if entry.status == "failed"}
        assert failed == FAILING
        assert all(sources[name].error for name in FAILING)
        assert set(results(folder / "out")) == {
            entry.target for entry in manifest.values() if entry.status == "done"
        }

    def test_also_in_json(self, zoo: tuple[Path, Result]) -> None:
        folder, result = zoo
        reported = events(result.stdout, "picture")
        assert Counter(each["status"] for each in reported) == {
            "finished": len(reported) - 3,
            "failed": 3,
        }
        assert {each["target"] for each in reported} == {
            str(folder / "out" / name) for name in read_all(folder / "out")
        }
        (summary,) = events(result.stdout, "summary")
        assert summary == {
            "event": "summary",
            "finished": len(reported) - 3,
            "earlier": 0,
            "failed": 3,
            "elsewhere": 0,
            "left": 0,
        }

    def test_each_has_its_own_picture(self, zoo: tuple[Path, Result]) -> None:
        folder, _ = zoo
        for entry in read_all(folder / "out").values():
            if entry.status == "done":
                inputs = load_recipe(folder / "out" / entry.target)["inputs"]
                assert [each["sha256"] for each in inputs] == [entry.input_sha256]
                read_picture(folder / "out" / entry.target)
        names = set(results(folder / "out"))
        assert {"a-png.png", "a-jpg.png", "line_break.png", "😀.png", "-o.png"} <= names

    def test_transparency_is_kept(self, zoo: tuple[Path, Result]) -> None:
        alpha = read_picture(zoo[0] / "out" / "rgba.png").alpha
        assert alpha is not None
        assert float(alpha.mean()) == pytest.approx(128 / 255)

    def test_nothing_else_is_left(self, zoo: tuple[Path, Result]) -> None:
        own = {path.name for path in (zoo[0] / "out" / ".stylize").iterdir()}
        assert {name for name in own if not name.startswith(("manifest-", "plan-"))} <= {"claims"}
        assert not list((zoo[0] / "out").glob(".stylize/claims/*"))

    def test_again_does_nothing(self, run: Run, place: Path) -> None:
        before = results(place / "out")
        result = done(run("batch", "dream", place / "in", "-r", "-o", place / "out", *DREAM), 1)
        assert last_line(result) == f"0 finished, {len(before)} finished before, 3 failed"
        assert "as before; --retry-failed tries again" in result.stderr
        assert result.stdout == ""
        assert results(place / "out") == before

    def test_failures_are_tried_again(self, run: Run, place: Path) -> None:
        before = results(place / "out")
        words = ("batch", "dream", place / "in", "-o", place / "out", *DREAM)
        assert "3 failed" in last_line(done(run(*words, "--retry-failed"), 1))
        tries = Counter(entry.attempts for entry in read_all(place / "out").values())
        assert tries == {1: len(before), 2: 3}
        for name in FAILING:
            (place / "in" / name).unlink()
            save(photo(32, 60), place / "in" / name)
        # Other sources have no past.
        assert f"3 finished, {len(before)} finished before, 0 failed" in last_line(
            done(run(*words))
        )
        assert before.items() <= results(place / "out").items()

    def test_the_first_failure_can_end_it(self, run: Run, place: Path, tmp_path: Path) -> None:
        words = ("batch", "dream", place / "in", "-o", tmp_path / "new", *DREAM, "--fail-fast")
        result = done(run(*words), 1)
        assert " 1 failed" in last_line(result)
        assert " not begun" in last_line(result)

    def test_status(self, run: Run, zoo: tuple[Path, Result], place: Path) -> None:
        result = done(run("batch", "status", zoo[0] / "out"), 1)
        *failed, total = result.stdout.splitlines()
        assert len(failed) == 3
        assert all(line.startswith("failed ") for line in failed)
        assert total.startswith(f"{len(results(zoo[0] / 'out'))} finished, 3 failed, 0 not begun;")
        (place / "out" / "0.png").unlink()
        result = done(run("batch", "status", place / "out", "--json"), 1)
        states = Counter(each["status"] for each in events(result.stdout, "picture"))
        assert (states["deleted"], states["failed"]) == (1, 3)
        (summary,) = events(result.stdout, "summary")
        assert summary == {"event": "summary", **states, "not_begun": 0}

    def test_gallery(self, run: Run, place: Path) -> None:
        words = ("batch", "dream", place / "in", "-o", place / "out", *DREAM, "--gallery")
        assert f"saved {place / 'out' / 'index.html'}" in done(run(*words), 1).stderr
        page = Page((place / "out" / "index.html").read_text("utf-8"))
        pictures = set(results(place / "out")) - {"index.html"}
        # Of the failures the original is linked, too; none of these can be shown.
        links = 2 * len(pictures) + len(FAILING)
        assert (page.images, page.links) == (2 * len(pictures), links)
        assert "3 without a result" in page.text
        command = shlex.join(["stylize", *map(str, words)])
        assert command in page.text


class Page(HTMLParser):
    """Counts what a page shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images = self.links = 0
        self.text = ""
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.images += tag == "img"
        self.links += tag == "a"


class TestSameAsSingleRuns:
    """What pictures of a batch share is not to be seen: file by file the same bytes."""

    def test_dreams(self, run: Run, tmp_path: Path) -> None:
        folder = some(tmp_path / "in", 3)
        words = ("--size", 32, "--steps", 2, "--octaves", 2, "--min-octave", 16, *EXACT)
        done(run("batch", "dream", folder, "-o", tmp_path / "out", *words))
        for name in ("0.png", "1.png", "2.png"):
            done(run("dream", folder / name, "-o", tmp_path / "one.png", "--overwrite", *words))
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "one.png").read_bytes()

    def test_transfers_blended(self, run: Run, tmp_path: Path) -> None:
        folder = some(tmp_path / "in", 3)
        styles = [
            save(strokes(), tmp_path / "s.png"),
            save(strokes(period=5), tmp_path / "t.png"),
        ]
        words = (*PAINT, "--style-weight", 1, "--style-weight", 3)
        shared = ("--style", styles[0], "--style", styles[1], "-o", tmp_path / "out")
        done(run("batch", "transfer", folder, *shared, *words))
        for name in ("0.png", "1.png", "2.png"):
            one = ("-o", tmp_path / "one.png", "--overwrite")
            done(run("transfer", folder / name, *styles, *one, *words))
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "one.png").read_bytes()

    def test_formats(self, run: Run, tmp_path: Path) -> None:
        folder = some(tmp_path / "in", 1)
        for suffix, options in (("jpg", ("--quality", 50)), ("png", ("--depth", 16))):
            output = tmp_path / suffix
            done(run("batch", "dream", folder, "-o", output, "--suffix", suffix, *options, *DREAM))
            one = tmp_path / f"one.{suffix}"
            done(run("dream", folder / "0.png", "-o", one, *options, *DREAM))
            assert (output / f"0.{suffix}").read_bytes() == one.read_bytes()


def test_statistics_of_styles_are_had_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: Counter[tuple[int, ...]] = Counter()
    call = FastPass.forward

    def spy(self: FastPass, image: Tensor, visit: Any, *, remember: bool = True) -> None:
        if not remember:
            sizes[tuple(image.shape[2:])] += 1
        call(self, image, visit, remember=remember)

    monkeypatch.setattr(FastPass, "forward", spy)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        save(photo(40 + number, 64), folder / f"{number}.png")
    # Of a shape that no picture has.
    style = save(strokes(60, 70), tmp_path / "style.png")
    words = ("--size", 64, "--min-size", 32, "--steps", 1, "--content-weight", 0, *EXACT)
    words += ("--match", 0)
    done(run("batch", "transfer", folder, "--style", style, "-o", tmp_path / "out", *words))
    assert set(sizes.values()) == {1}
    assert (55, 64) in sizes


class TestLooks:
    @pytest.fixture
    def styles(self, tmp_path: Path) -> tuple[Path, Path]:
        (tmp_path / "more").mkdir()
        return (
            save(strokes(), tmp_path / "wave.png"),
            save(strokes(period=5), tmp_path / "more" / "wave.png"),
        )

    def test_every_style_by_itself(
        self, run: Run, tmp_path: Path, styles: tuple[Path, Path]
    ) -> None:
        folder, output = some(tmp_path / "in", 2), tmp_path / "out"
        names = (styles[0], styles[1], styles[0])  # one of them twice
        words = (*(word for name in names for word in ("--style", name)), "--each", "-o", output)
        done(run("batch", "transfer", folder, *words, *PAINT))
        used = {name: load_recipe(output / name)["inputs"] for name in results(output)}
        digests = [read_picture(style).sha256 for style in styles]
        assert {name: each[1]["sha256"] for name, each in used.items()} == {
            f"{number}-{word}.png": digest
            for number in (0, 1)
            for word, digest in zip(("wave", "wave-2"), digests, strict=True)
        }
        assert all(len(each) == 2 for each in used.values())

    def test_what_was_taken_as_a_style_is_said(
        self, run: Run, tmp_path: Path, styles: tuple[Path, Path]
    ) -> None:
        folder, out = some(tmp_path / "in", 2), ("-o", tmp_path / "out", "--dry-run")
        one, other = styles
        for words in (("--style", one, other), (f"--style={one}", other)):
            line = complaint(run("batch", "transfer", folder, *words, *out), 2)
            assert f"{other} follows --style {one}: is it a photo or a style image?" in line
            assert f"a style image as --style {other}" in line
        for words, said in (
            (("--style", one, folder), "2 photos, 1 style image (wave.png)"),
            (("--style", one, other), "1 photo, 1 style image (wave.png)"),
            ((folder, "--style", one, "--", other), "3 photos, 1 style image (wave.png)"),
            (
                (folder, "--style", one, "--style", other),
                "2 photos, 2 style images (wave.png, wave.png), blended",
            ),
        ):
            shown = done(run("batch", "transfer", *out, *words)).stdout
            assert shown.splitlines()[0] == said

    def test_every_preset_by_itself(self, run: Run, tmp_path: Path) -> None:
        folder, output = some(tmp_path / "in", 2), tmp_path / "out"
        presets = ("--preset", "swirls", "--preset", "impressionist")
        words = ("batch", "dream", folder, *presets, "-o", output, *DREAM)
        assert "presets cannot be blended" in complaint(run(*words), 2)
        assert not output.exists()
        done(run(*words, "--each", "--preset", "swirls"))
        assert {name: load_recipe(output / name)["preset"] for name in results(output)} == {
            f"{number}-{preset}.png": preset
            for number in (0, 1)
            for preset in ("swirls", "impressionist")
        }

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ([], []),
            (["a", "b"], ["a", "b"]),
            (["a", "A", "a"], ["a", "A-2", "a-3"]),
            (["a", "a", "a-2"], ["a", "a-2", "a-2-2"]),
            (["a-2", "a", "a"], ["a-2", "a", "a-3"]),
        ],
    )
    def test_names_differ(self, names: list[str], expected: list[str]) -> None:
        assert distinct(names) == expected


class TestInputs:
    """What is made of what is named."""

    def made(self, run: Run, output: Path, *words: object, **extra: Any) -> set[str]:
        done(run("batch", "dream", *words, "-o", output, *DREAM, **extra))
        return set(results(output))

    def test_results_among_the_inputs(self, run: Run, tmp_path: Path) -> None:
        folder = some(tmp_path / "in", 2)
        output = folder / "dreams"
        assert self.made(run, output, folder, "-r") == {"0.png", "1.png"}
        result = done(run("batch", "dream", folder, "-r", "-o", output, *DREAM))
        assert last_line(result) == "0 finished, 2 finished before, 0 failed"
        assert set(results(folder)) == {"0.png", "1.png", "dreams/0.png", "dreams/1.png"}

    def test_the_very_folder_of_the_inputs(self, run: Run, tmp_path: Path) -> None:
        folder = some(tmp_path / "in", 1)
        before = listing(folder)
        words = ("batch", "dream", folder, "-o", folder, *DREAM)
        assert "is an input of this batch" in complaint(run(*words), 2)
        assert "is an input of this batch" in complaint(run(*words, "--overwrite"), 2)
        assert listing(folder) == before
        done(run(*words, "--suffix", "webp"))
        assert set(results(folder)) == {"0.png", "0.webp"}

    @pytest.mark.parametrize("end", ["\n", "\0"])
    def test_a_list_from_stdin(self, run: Run, tmp_path: Path, end: str) -> None:
        folder = some(tmp_path / "in", 3)
        text = f"{folder / '0.png'}{end}{folder / '2.png'}{end}"
        found = self.made(run, tmp_path / "out", "--from-file", "-", input=text)
        assert found == {"0.png", "2.png"}

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_a_list_of_windows(self, run: Run, tmp_path: Path, encoding: str) -> None:
        folder = some(tmp_path / "in", 3)
        (folder / "1.png").rename(folder / "ß.png")
        text = f"{folder / '0.png'}\r\n{folder / 'ß.png'}\r\n"
        (tmp_path / "list").write_bytes(text.encode(encoding))
        found = self.made(run, tmp_path / "out", "--from-file", tmp_path / "list")
        assert found == {"0.png", "ß.png"}

    def test_a_list_and_a_pattern(self, run: Run, tmp_path: Path) -> None:
        folder = some(tmp_path / "in", 3)
        (tmp_path / "list").write_text(f"# mine\n{folder / '0.png'}\n")
        words = ("--from-file", tmp_path / "list", folder / "[12].png")
        assert self.made(run, tmp_path / "out", *words) == {"0.png", "1.png", "2.png"}

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (["in/9.png"], 1, "there is no such file"),
            (["in/*.gif"], 2, "nothing matches"),
            (["empty"], 2, "no pictures among the inputs"),
            ([], 2, "there are no inputs"),
            (["in", "--from-file", "gone"], 2, "--from-file: gone: no such file"),
            (["in", "--shard", "4/3"], 2, "no shard 4 of 3"),
            (["in", "--shard", "x"], 2, "'x' is not a shard"),
            (["in", "--device", "cuda:99"], 2, "no device 'cuda:99'"),
            (["in", "--suffix", "jpg", "--depth", "16"], 2, "8 bits per channel"),
            (["in", "--from-noise", "32x32"], 2, "cannot be used in a batch"),
            (["in", "--preset", "dgos"], 2, "did you mean dogs"),
            (["in", "-o", ""], 2, "--output is empty (name a folder; . is this one)"),
            (["in", "--runner", "local", "--address", "here:1"], 2, "--address"),
        ],
    )
    def test_refusals_leave_nothing_behind(
        self,
        run: Run,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: list[str],
        code: int,
        message: str,
    ) -> None:
        some(tmp_path / "in", 1)
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path)
        before = listing(tmp_path)
        assert message in complaint(run("batch", "dream", "-o", "out", *words, *DREAM), code)
        assert listing(tmp_path) == before

    def test_a_style_that_is_none(self, run: Run, tmp_path: Path) -> None:
        folder, style = some(tmp_path / "in", 1), tmp_path / "style.png"
        words = ("batch", "transfer", folder, "--style", style, "-o", tmp_path / "out", *PAINT)
        assert "no such file" in complaint(run(*words), 1)
        style.write_text("no picture")
        assert "style.png" in complaint(run(*words), 1)
        assert not (tmp_path / "out").exists()
        words = ("batch", "transfer", folder, "--style", folder, "-o", tmp_path / "out", *PAINT)
        assert "in is a folder, not a style image" in complaint(run(*words), 1)
        words = ("batch", "dream", "--from-file", folder / "0.png", "-o", tmp_path / "out")
        assert "0.png is a picture, not a list of files" in complaint(run(*words), 2)

    def test_a_folder_that_cannot_be(self, run: Run, tmp_path: Path) -> None:
        folder = some(tmp_path / "in", 1)
        (tmp_path / "file").write_text("in the way")
        words = ("batch", "dream", folder, "-o", tmp_path / "file" / "out", *DREAM)
        assert "cannot create" in complaint(run(*words), 1)

    def test_no_batch_has_no_status(self, run: Run, tmp_path: Path) -> None:
        assert "is not a batch folder" in complaint(run("batch", "status", tmp_path), 2)


class TestPlans:
    def test_a_dry_run_writes_nothing(self, run: Run, place: Path) -> None:
        shutil.rmtree(place / "out")
        before = listing(place)
        words = ("batch", "dream", place / "in", "-r", "-o", place / "out", *DREAM, "--dry-run")
        result = done(run(*words, "--gallery"))
        *tasks, totals, _ = result.stdout.splitlines()
        assert result.stderr == ""
        assert len(tasks) == len([line for line in tasks if " -> " in line])
        assert totals.startswith(f"{len(tasks)} pictures, 2 of them cannot be read, ")
        reported = done(run(*words, "--json"))
        assert len(events(reported.stdout, "task")) == len(tasks)
        (plan,) = events(reported.stdout, "plan")
        assert (plan["pictures"], plan["unreadable"]) == (len(tasks), 2)
        assert listing(place) == before

    def test_shards(self, run: Run, tmp_path: Path) -> None:
        folder, output = some(tmp_path / "in", 7), tmp_path / "out"
        words = ("batch", "dream", folder, "-o", output, *DREAM)
        shares = []
        for number in (1, 2, 3):
            plan = run(*words, "--shard", f"{number}/3", "--dry-run", "--json")
            shares.append({each["target"] for each in events(plan.stdout, "task")})
            before = set(results(output)) if output.exists() else set()
            done(run(*words, "--shard", f"{number}/3"))
            assert {str(output / name) for name in set(results(output)) - before} == shares[-1]
        assert sorted(map(len, shares)) == [2, 2, 3]
        assert len(set.union(*shares)) == 7
        assert len(list((output / ".stylize").glob("manifest-*"))) == 3
        assert done(run("batch", "status", output)).stdout.startswith(
            "7 finished, 0 failed, 0 not begun;"
        )


class TestAgain:
    """Files that are there already."""

    def test_overwrite(self, run: Run, tmp_path: Path) -> None:
        folder, output = some(tmp_path / "in", 2), tmp_path / "out"
        words = ("batch", "dream", folder, "-o", output, *DREAM)
        done(run(*words))
        before, pictures = results(output), {n: (output / n).read_bytes() for n in results(output)}
        result = done(run(*words, "--overwrite"))
        assert last_line(result) == "2 finished, 0 failed"
        assert all(time > before[name] for name, time in results(output).items())
        assert {name: (output / name).read_bytes() for name in before} == pictures

    @pytest.mark.parametrize("change", ["input", "settings"])
    def test_another_picture_is_in_its_place(self, run: Run, tmp_path: Path, change: str) -> None:
        folder, output = some(tmp_path / "in", 2), tmp_path / "out"
        words = ["batch", "dream", folder, "-o", output, *DREAM]
        done(run(*words))
        before = results(output)
        if change == "input":
            save(photo(30, 50), folder / "0.png")
        else:
            words += ["--seed", 7]
        result = done(run(*words), 1)
        count = 1 if change == "input" else 2
        assert result.stderr.count(f"another picture is at {output / '0.png'} (--overwrite") == 1
        assert result.stderr.count("another picture is at") == count
        assert last_line(result) == (
            f"0 finished, {'1 finished before, ' if count == 1 else ''}{count} failed"
        )
        assert results(output) == before
        # The page does not show what is there instead.
        done(run(*words, "--shard", "1/2", "--gallery"), 1)
        page = Page((output / "index.html").read_text("utf-8"))
        assert (page.images, page.links) == (3, 3)
        assert "1 without a result" in page.text
        (output / "index.html").unlink()
        done(run(*words, "--overwrite"))
        assert last_line(done(run(*words))) == "0 finished, 2 finished before, 0 failed"

    def test_a_result_keeps_its_name(self, run: Run, tmp_path: Path) -> None:
        """Also when a photo of the same name comes or goes."""
        folder, output = some(tmp_path / "in", 2), tmp_path / "out"
        words = ("batch", "dream", folder, "-o", output, *DREAM)
        done(run(*words))
        save(photo(20, 30), folder / "0.jpg")
        assert last_line(done(run(*words))) == "1 finished, 2 finished before, 0 failed"
        assert sorted(results(output)) == ["0-jpg.png", "0.png", "1.png"]
        (folder / "0.png").unlink()
        assert last_line(done(run(*words))) == "0 finished, 2 finished before, 0 failed"

    def test_a_full_disk(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, output = some(tmp_path / "in", 5), tmp_path / "out"
        words = ("batch", "dream", folder, "-o", output, *DREAM)
        real, linked = os.link, list[Path]()

        def link(source: Path, target: Path, **options: Any) -> None:
            if len(linked) == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            linked.append(target)
            real(source, target, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, "link", link)
            result = done(run(*words), 1)
        assert "no space left on device" in last_line(result)
        assert "2 finished, 0 failed, 3 not begun" in result.stderr
        before = results(output)
        assert set(before) == {"0.png", "1.png"}
        assert "3 finished, 2 finished before, 0 failed" in last_line(done(run(*words)))
        assert before.items() <= results(output).items()
        assert "5 finished, 0 failed" in done(run("batch", "status", output)).stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


SETTINGS = DreamSettings(size="64", octaves=1, steps=4)
TASK = Task(Path("in/a\nb.png"), Path("out/a.png"), Look("", SETTINGS), (64, 64))
OTHER = replace(TASK, target=Path("out/b.png"))
STEP = SimpleNamespace(scale=1, scales=1, step=1, steps=4)


class TestReport:
    @contextmanager
    def report(self, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **changes: Any) -> Any:
        monkeypatch.setattr(sys, "stderr", stream)
        with Report([TASK, TASK, OTHER], Path("out"), Messages(**changes)) as report:
            yield report

    def test_bars_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with self.report(monkeypatch, stream := Terminal()) as report:
            listen: Callable[[Any], None] = report.on_image(TASK)
            listen(STEP)
            report.on_picture(Outcome(TASK, "done", 1.0))
            report.on_picture(Outcome(TASK, "failed", 1.0, "no luck"))
        said = stream.getvalue()
        assert "0 of 3 pictures" in said
        assert "failed in/a b.png: no luck\n" in said
        assert "finished out/a.png" not in said
        assert said.endswith("1 finished, 1 failed, 1 not begun\n")

    def test_lines_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with self.report(monkeypatch, stream := io.StringIO()) as report:
            report.on_picture(Outcome(TASK, "done", 1.25))
            report.on_picture(Outcome(OTHER, "elsewhere"))
            report.on_picture(Outcome(TASK, "failed", error="no luck", remembered=True))
        assert stream.getvalue().splitlines() == [
            "finished out/a.png (1.2 s)",
            "failed in/a b.png: no luck (as before; --retry-failed tries again)",
            "1 finished, 1 failed, 1 being processed by another run",
        ]

    def test_what_another_run_has_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with self.report(monkeypatch, stream := Terminal()) as report:
            report.on_picture(Outcome(TASK, "done", 1.25))
            report.on_picture(Outcome(TASK, "done", 1.25))
            report.on_picture(Outcome(OTHER, "elsewhere"))
            report.on_image(OTHER)(STEP)
            report.on_picture(Outcome(OTHER, "done", 1.0))
        assert "picture 3 of 3" in stream.getvalue()
        assert "picture 4" not in stream.getvalue()
        assert stream.getvalue().endswith("3 finished, 0 failed\n")

    def test_quietly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with self.report(monkeypatch, stream := Terminal(), quiet=True) as report:
            report.on_picture(Outcome(TASK, "done", 1.25))
            report.on_picture(Outcome(TASK, "failed", 1.0, "no luck"))
        assert stream.getvalue() == "failed in/a b.png: no luck\n"

    @pytest.mark.parametrize("quiet", [False, True])
    def test_notes_before_the_picture(self, monkeypatch: pytest.MonkeyPatch, quiet: bool) -> None:
        notes = ("kept at 24×24 px", "a\nb.png: not sure")
        with self.report(monkeypatch, stream := io.StringIO(), quiet=quiet) as report:
            report.on_picture(Outcome(TASK, "done", 1.25, notes=notes))
        said = ["in/a b.png: kept at 24×24 px", "in/a b.png: not sure"]
        assert stream.getvalue().splitlines()[:2] == ([] if quiet else said)

    def test_totals_come_before_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.StringIO()
        with pytest.raises(UsageError), self.report(monkeypatch, stream):
            raise UsageError("no")
        assert stream.getvalue() == "0 finished, 0 failed, 3 not begun\n"


def test_a_hostile_manifest(run: Run, tmp_path: Path) -> None:
    """Names that no file has, and texts that would move the cursor."""
    folder = tmp_path / ".stylize"
    folder.mkdir()
    names = ["x" * 5000, "\udcff.png", "a\x1b[31m.png"]
    lines = [
        Entry(name, "\x1b]0;x\x07", "", status, 1, 1.0, "no\nluck", {}, 1.0, None).__dict__
        for name, status in zip(names, ("done", "done", "failed"), strict=True)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "manifest-x.jsonl").write_text(text + '{"torn":')
    result = done(run("batch", "status", tmp_path), 1)
    assert "\x1b" not in result.stdout
    assert (
        result.stdout.splitlines()[-1]
        == "0 finished, 1 failed, 2 deleted, 0 not begun; 3 s of work"
    )


class TestTruth:
    """What a plan and the status say is what a run would do and has done."""

    def test_a_plan_leaves_out_what_is_finished(self, run: Run, tmp_path: Path) -> None:
        folder, output = some(tmp_path / "in", 3), tmp_path / "out"
        (folder / "bad.png").write_text("no picture")
        words = ("batch", "dream", folder, "-o", output, *DREAM)
        done(run(*words), 1)
        save(photo(32, 60), folder / "new.png")
        plan = done(run(*words, "--dry-run")).stdout.splitlines()
        assert plan[0] == f"{folder / 'new.png'} -> {output / 'new.png'}"
        assert plan[1].startswith("1 picture, ")
        failed = "1 failed before; --retry-failed tries again"
        assert plan[2:] == ["3 finished before", failed]
        again = events(run(*words, "--dry-run", "--retry-failed", "--json").stdout, "task")
        assert {Path(each["source"]).name for each in again} == {"new.png", "bad.png"}
        every = events(run(*words, "--dry-run", "--overwrite", "--json").stdout, "task")
        assert len(every) == 5

    def test_shards_that_never_began(self, run: Run, tmp_path: Path) -> None:
        folder, output = some(tmp_path / "in", 4), tmp_path / "out"
        words = ("batch", "dream", folder, "-o", output, *DREAM)
        done(run(*words, "--shard", "1/2"))
        *lines, total = done(run("batch", "status", output), 1).stdout.splitlines()
        assert total.startswith("2 finished, 0 failed, 2 not begun;")
        assert [line.split(" ")[:2] for line in lines] == [["not", "begun"]] * 2
        result = done(run("batch", "status", output, "--json"), 1)
        states = Counter(each["status"] for each in events(result.stdout, "picture"))
        assert states == {"finished": 2, "not begun": 2}
        done(run(*words, "--shard", "2/2"))
        assert "4 finished, 0 failed, 0 not begun" in done(run("batch", "status", output)).stdout

    @pytest.mark.parametrize("text", ["[1]", "{", '{"../x": "y", "/x": "y", "a": 1}', "\0"])
    def test_a_damaged_plan_counts_as_none(self, run: Run, tmp_path: Path, text: str) -> None:
        folder, output = some(tmp_path / "in", 1), tmp_path / "out"
        done(run("batch", "dream", folder, "-o", output, *DREAM))
        (output / ".stylize" / "plan-x.json").write_text(text)
        assert "1 finished, 0 failed, 0 not begun" in done(run("batch", "status", output)).stdout

    @POSIX
    def test_the_next_run_removes_a_plan_half_written(self, run: Run, tmp_path: Path) -> None:
        folder, output = some(tmp_path / "in", 1), tmp_path / "out"
        (output / ".stylize").mkdir(parents=True)
        half = output / ".stylize" / ".stylize-0123456789abcdef.part"
        half.write_text("{")
        done(run("batch", "dream", folder, "-o", output, *DREAM))
        assert not half.exists()

    def test_clocks_do_not_decide(self, run: Run, tmp_path: Path) -> None:
        """A failure was noted by a machine whose clock is ahead."""
        folder, output = some(tmp_path / "in", 1), tmp_path / "out"
        (folder / "b.png").write_text("no picture")
        words = ("batch", "dream", folder, "-o", output, *DREAM)
        done(run(*words), 1)
        for path in (output / ".stylize").glob("manifest-*"):
            entries = [json.loads(line) for line in path.read_text().splitlines()]
            lines = (json.dumps(each | {"time": each["time"] + 1e5}) + "\n" for each in entries)
            path.write_text("".join(lines))
        save(photo(), folder / "b.png")
        done(run(*words))
        assert "2 finished, 0 failed" in done(run("batch", "status", output)).stdout

    def test_dreams_of_paintings(self, run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
        painted, dreams = tmp_path / "painted", tmp_path / "dreams"
        paint = ("batch", "transfer", files[0], "--style", files[1], "-o", painted, *PAINT)
        done(run(*paint))
        words = ("batch", "dream", painted, "-o", dreams, *DREAM)
        result = run(*words)
        assert result.exit_code == 2
        assert "--include-results takes pictures made by stylize" in last_line(result)
        assert "(-r" not in last_line(result)
        assert last_line(done(run(*words, "--include-results"))) == "1 finished, 0 failed"
        assert load_recipe(dreams / "photo.png")["technique"] == "dream"
        (tmp_path / "deep").mkdir()
        painted.rename(tmp_path / "deep" / "painted")
        below = run("batch", "dream", tmp_path / "deep", "-o", tmp_path / "new", *DREAM)
        assert "-r also searches the subfolders" in last_line(below)

    @POSIX
    @pytest.mark.parametrize("kind", ["mkfifo", "socket"])
    def test_special_files_are_not_waited_for(
        self, run: Run, files: tuple[Path, Path], tmp_path: Path, kind: str
    ) -> None:
        make = socket_at if kind == "socket" else os.mkfifo
        folder, output = some(tmp_path / "in", 2), tmp_path / "out"
        (output / ".stylize").mkdir(parents=True)
        make(output / "0.png")
        make(output / ".stylize" / "plan-x.json")
        make(output / ".stylize" / "manifest-x.jsonl")
        make(folder / "special.png")
        words = ("batch", "dream", folder, "-o", output, *DREAM)
        assert "1 picture" in done(run(*words, "--dry-run")).stdout
        result = done(run(*words, "--gallery"), 1)
        assert "left out 1 (not a regular file)" in result.stderr
        assert "1 finished, 1 failed" in result.stderr
        assert "not a regular file" in done(run(*words, "--overwrite"), 1).stderr
        done(run("batch", "status", output), 1)
        make(tmp_path / "style.png")
        transfer = ("batch", "transfer", folder, "--style", tmp_path / "style.png")
        assert "not a regular file" in complaint(run(*transfer, "-o", tmp_path / "new"), 1)


def socket_at(path: Path) -> None:
    """A socket as a file."""
    before = os.getcwd()
    os.chdir(path.parent)  # paths of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as found:
            found.bind(path.name)
    finally:
        os.chdir(before)


def test_messages_cut_long_values(run: Run, files: tuple[Path, Path]) -> None:
    long = "x" * 100_000
    for words in (
        ("batch", "dream", files[0], "-o", "out", "--shard", long),
        ("batch", "dream", files[0], "-o", "out", "--preset", long),
        ("batch", "dream", files[0], "-o", "out", "--size", long),
        ("batch", "dream", long, "-o", "out"),
    ):
        result = run(*words)
        assert result.exit_code in (1, 2)
        assert len(result.stderr) < 3000
        assert "…" in result.stderr
