"""``stylize tunnel``: where a film goes, how it stops and continues, what it refuses."""

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from PIL import Image

from stylize.cli.tunnel import tunnel
from stylize.images.read import read_picture
from stylize.runs.recipe import load_recipe
from stylize.settings.dream import TunnelSettings
from stylize.settings.fields import option_name
from tests.cli.conftest import (
    BRIEF,
    Run,
    StopAfter,
    complaint,
    done,
    listing,
    pointed_at,
    size_of,
)
from tests.conftest import cat, photo, save, strokes

pytestmark = pytest.mark.usefixtures("network")
HAS_AV = importlib.util.find_spec("av") is not None
CAMERA: dict[str, Any] = {
    "frames": 3,
    "pace": 0.5,
    "zoom": 0.9,
    "rotate": -12.5,
    "pan_x": 3.0,
    "pan_y": -2.0,
    "fps": 24.0,
}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return save(cat(32), tmp_path / "cat.png")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def frames_of(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("frame-*.png"))]


def frame_names(count: int) -> list[str]:
    return [f"frame-{number:05d}.png" for number in range(1, count + 1)]


class TestFrames:
    """A folder of pictures."""

    def test_each_with_its_recipe(self, run: Run, scene: Path, tmp_path: Path) -> None:
        folder = tmp_path / "frames"
        result = done(run("tunnel", scene, *BRIEF, "--frames", 3, "-o", folder))
        assert result.stdout == ""
        assert result.stderr.startswith(f"saved {folder} (3 frames of 32×32, ")
        assert names(folder) == frame_names(3)
        recipes = [load_recipe(folder / name) for name in names(folder)]
        assert [each["technique"] for each in recipes] == ["tunnel"] * 3
        assert [each["resolved"]["frames"] for each in recipes] == [1, 2, 3]
        pictures = [read_picture(folder / name).pixels for name in names(folder)]
        assert torch.equal(pictures[0], read_picture(scene).pixels), "it begins with the photo"
        for one, other in pairwise(pictures):
            assert float((one - other).abs().mean()) > 0.01, "nothing has moved"

    def test_stopped_and_continued(
        self,
        run: Run,
        scene: Path,
        tmp_path: Path,
        stop_after: StopAfter,
    ) -> None:
        words = ("tunnel", scene, *BRIEF, "--frames", 5, "--rotate", 3, "-o")
        done(run(*words, tmp_path / "whole"))
        part = tmp_path / "part"
        for asked in (0, 3, 6):
            stop_after(asked)
            result = done(run(*words, part), 130)
            there = len(names(part))
            assert f"stopped after {there} of 5 frames in {part}; the same" in result.stderr
        assert 0 < there < 5
        stop_after(10**6)
        done(run(*words, part))
        assert frames_of(part) == frames_of(tmp_path / "whole")

    def test_extended(self, run: Run, scene: Path, tmp_path: Path) -> None:
        words = ("tunnel", scene, *BRIEF, "--frames")
        done(run(*words, 2, "-o", tmp_path / "f"))
        first = frames_of(tmp_path / "f")
        done(run(*words, 4, "--fps", 30, "-o", tmp_path / "f"))
        done(run(*words, 4, "-o", tmp_path / "g"))
        shown = [
            [read_picture(tmp_path / folder / name).pixels for name in frame_names(4)]
            for folder in "fg"
        ]
        assert all(map(torch.equal, *shown))
        assert frames_of(tmp_path / "f")[:2] == first, "what is there stays"

    def test_a_damaged_frame_is_dreamt_again(self, run: Run, scene: Path, tmp_path: Path) -> None:
        folder = tmp_path / "frames"
        words = ("tunnel", scene, *BRIEF, "--frames", 4, "-o", folder)
        done(run(*words))
        before = frames_of(folder)
        third = folder / "frame-00003.png"
        third.write_bytes(before[2][:-300])
        done(run(*words))
        assert frames_of(folder) == before
        third.write_bytes(b"")
        done(run(*words))
        assert frames_of(folder) == before

    @pytest.mark.parametrize("foreign", ["seed", "guide", "no recipe"])
    def test_foreign_frames(self, run: Run, scene: Path, tmp_path: Path, foreign: str) -> None:
        folder = tmp_path / "frames"
        words = ("tunnel", scene, *BRIEF, "--frames", 2, "-o", folder)
        if foreign == "no recipe":
            folder.mkdir()
            save(photo(32, 32), folder / "frame-00009.png")
        elif foreign == "guide":
            guide = save(strokes(32, 32), tmp_path / "guide.png")
            done(run(*words, "--guide", guide))
        else:
            done(run(*words, "--seed", 7))
        (folder / "notes.txt").write_text("precious")
        before = listing(folder)
        line = complaint(run(*words), 1)
        assert line == f"{folder} holds frames of another film (replace them with --overwrite)"
        assert listing(folder) == before
        done(run(*words, "--overwrite"))
        assert names(folder) == [*frame_names(2), "notes.txt"]
        assert load_recipe(folder / "frame-00002.png")["settings"]["seed"] == 0

    def test_of_a_loop(self, run: Run, scene: Path, tmp_path: Path) -> None:
        folder = tmp_path / "frames"
        words = ("tunnel", scene, *BRIEF, "-o", folder, "--loop", "--frames")
        done(run(*words, 8))
        assert names(folder) == [*frame_names(8), "raw"]
        assert names(folder / "raw") == frame_names(10)
        shown, raw = frames_of(folder), frames_of(folder / "raw")
        assert shown[2:] == raw[2:8], "a quarter is faded"
        assert shown[0] != raw[0]
        done(run(*words, 4))
        assert names(folder) == [*frame_names(4), "raw"], "none of the longer loop is left"

    def test_a_finished_loop_is_no_beginning_of_a_film(
        self, run: Run, scene: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "frames"
        words = ("tunnel", scene, *BRIEF, "--frames", 4, "-o", folder)
        done(run(*words, "--loop"))
        assert "holds frames of another film" in complaint(run(*words), 1)
        done(run(*words, "--loop"))

    def test_a_loop_spares_foreign_frames(self, run: Run, scene: Path, tmp_path: Path) -> None:
        folder = tmp_path / "frames"
        folder.mkdir()
        save(photo(32, 32), folder / "frame-00001.png")
        before = listing(folder)
        words = ("tunnel", scene, *BRIEF, "--frames", 4, "--loop", "-o", folder)
        assert "holds frames of another film" in complaint(run(*words), 1)
        assert listing(folder) == before


class TestFilms:
    """One file."""

    @pytest.mark.parametrize(
        ("suffix", "format"),
        [
            (".gif", "GIF"),
            (".webp", "WEBP"),
            (".apng", "PNG"),
            pytest.param(".mp4", None, marks=pytest.mark.skipif(not HAS_AV, reason="without PyAV")),
        ],
    )
    def test_formats(
        self, run: Run, scene: Path, tmp_path: Path, suffix: str, format: str | None
    ) -> None:
        film = tmp_path / f"film{suffix}"
        result = done(run("tunnel", scene, *BRIEF, "--frames", 3, "--fps", 10, "-o", film))
        assert result.stderr.startswith(f"saved {film} (3 frames of 32×32, ")
        assert names(tmp_path) == sorted(["cat.png", film.name]), "the frames are gone"
        recipe = load_recipe(film)
        assert recipe["resolved"]["frames"] == recipe["settings"]["frames"] == 3
        if format:
            with Image.open(film) as image:
                assert (image.format, image.n_frames, image.size) == (format, 3, (32, 32))
                image.seek(1)
                image.load()
                assert image.info["duration"] == 100

    def test_beside_the_photo(
        self, run: Run, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("cat-tunnel-dogs-layer-conv2_2.webp", "cat-tunnel-dogs-layer-conv2_2-2.webp"):
            done(run("tunnel", scene, *BRIEF, "--frames", 1))
            assert (tmp_path / name).exists()
        done(run("tunnel", "--from-noise", "32x24", *BRIEF, "--preset", "eyes", "--frames", 1))
        assert size_of(tmp_path / "noise-tunnel-eyes-layer-conv2_2.webp") == (32, 24)

    def test_the_frames_can_be_kept(self, run: Run, scene: Path, tmp_path: Path) -> None:
        words = ("tunnel", scene, *BRIEF, "--keep-frames", "-o", tmp_path / "film.gif", "--frames")
        done(run(*words, 2))
        kept = frames_of(tmp_path / "film.gif.frames")
        assert len(kept) == 2
        done(run(*words, 3, "--overwrite"))
        longer = frames_of(tmp_path / "film.gif.frames")
        assert (len(longer), longer[:2]) == (3, kept), "a longer film begins with them"

    def test_stopped_and_continued_though_it_overwrites(
        self, run: Run, scene: Path, tmp_path: Path, stop_after: StopAfter
    ) -> None:
        film, raw = tmp_path / "film.gif", tmp_path / "film.gif.frames"
        film.write_text("old")
        words = ("tunnel", scene, *BRIEF, "--frames", 4, "-o", film, "--overwrite")
        stop_after(4)
        done(run(*words), 130)
        begun = frames_of(raw)
        assert len(begun) > 1
        assert film.read_text() == "old"
        stop_after(2)
        result = done(run(*words, "--json"), 130)
        event = json.loads(result.stdout.splitlines()[1])
        assert (event["event"], event["frame"]) == ("frame", len(begun)), "continues where it was"
        assert frames_of(raw)[: len(begun)] == begun
        assert json.loads(result.stdout.splitlines()[-1])["file"] is None
        stop_after(10**6)
        done(run(*words))
        assert not raw.exists()
        with Image.open(film) as image:
            assert image.n_frames == 4

    def test_a_loop(self, run: Run, scene: Path, tmp_path: Path) -> None:
        film = tmp_path / "loop.apng"
        done(run("tunnel", scene, *BRIEF, "--frames", 8, "--loop", "-o", film))
        with Image.open(film) as image:
            assert (image.n_frames, image.info["loop"]) == (8, 0)
        assert names(tmp_path) == ["cat.png", "loop.apng"]


class TestMessages:
    """What is printed on the way."""

    def test_json_lines(self, run: Run, scene: Path, tmp_path: Path) -> None:
        film = tmp_path / "film.gif"
        result = done(run("tunnel", scene, *BRIEF, "--frames", 2, "-o", film, "--json"))
        assert result.stderr == ""
        events = [json.loads(line) for line in result.stdout.splitlines()]
        events = events[1:]
        assert events[:2] == [{"event": "frame", "frame": number, "frames": 2} for number in (1, 2)]
        assert (events[2]["event"], events[2]["file"]) == ("done", str(film))
        assert events[2]["frames"] == 2
        assert events[2]["recipe"] == load_recipe(film)

    def test_the_plan_and_the_note(self, run: Run, scene: Path, tmp_path: Path) -> None:
        words = ("tunnel", scene, "--precision", "fp32", "--frames", 1, "--overwrite")
        words += ("-o", tmp_path / "film.gif")
        lines = done(run(*words, "-v")).stderr.splitlines()
        assert lines[0] == "1 octave instead of 4: conv4_3 needs 64 px on the short side"
        assert lines[2] == "scales 32×32: 2", "a fifth of ten steps"
        assert "TFLOP" in lines[3]
        assert done(run(*words, "--quiet")).stderr == ""


class TestOptions:
    """Those besides the dream's own, which are tested with ``stylize dream``."""

    @pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(TunnelSettings)])
    def test_one_for_each_setting(self, name: str) -> None:
        (each,) = (each for each in dataclasses.fields(TunnelSettings) if each.name == name)
        (option,) = (p for p in tunnel.params if p.name == name)
        assert isinstance(option, click.Option)
        assert (option.opts, option.default) == ([option_name(each)], None)
        assert option.help is not None
        assert option.help.startswith(each.metadata["help"])

    def test_the_camera(self, run: Run, scene: Path, tmp_path: Path) -> None:
        words = [word for name, value in CAMERA.items() for word in (option_name_of(name), value)]
        done(run("tunnel", scene, *BRIEF, *words, "-o", tmp_path / "frames"))
        settings = load_recipe(tmp_path / "frames" / "frame-00003.png")["settings"]
        assert settings.items() >= CAMERA.items()

    def test_a_preset_below_the_flags(self, run: Run, scene: Path, tmp_path: Path) -> None:
        mine = tmp_path / "mine.toml"
        mine.write_text('technique = "dream"\n[settings]\nseed = 3\npalette = "neon"\n')
        words = ("--preset", mine, "--seed", 4, "--frames", 1, "-o", tmp_path / "f")
        done(run("tunnel", scene, *BRIEF, *words))
        recipe = load_recipe(tmp_path / "f" / "frame-00001.png")
        assert recipe["preset"] == "mine"
        assert (recipe["settings"]["seed"], recipe["settings"]["palette"]) == (4, "neon")

    def test_quality(self, run: Run, scene: Path, tmp_path: Path) -> None:
        sizes = []
        for quality in (20, 95):
            film = tmp_path / f"{quality}.webp"
            words = ("--frames", 2, "--quality", quality, "-o", film)
            done(run("tunnel", scene, *BRIEF, *words))
            sizes.append(film.stat().st_size)
        assert sizes[0] < 0.8 * sizes[1]


def option_name_of(name: str) -> str:
    (each,) = (each for each in dataclasses.fields(TunnelSettings) if each.name == name)
    return option_name(each)


class TestBadInput:
    """One line, the right code, nothing left behind."""

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            ((), 2, "nothing to dream on (name a picture, or --from-noise 640x480)"),
            (("cat.png", "--from-noise", "32x32"), 2, "--from-noise needs no photo"),
            (
                ("--from-noise", "32x32", "--size", "99"),
                2,
                "--size cannot be combined with --from-noise",
            ),
            (("cat.png", "-o", "-"), 2, "a film cannot go to stdout"),
            (("-", "--guide", "-"), 2, "stdin can give only one picture"),
            (("cat.png", "-o", "film.avi"), 1, "film.avi: no animation format has the ext"),
            (("cat.png", "-o", "old.gif/film.gif"), 1, "old.gif is not a folder"),
            (("cat.png", "-o", "taken/frames"), 1, "taken is not a folder"),
            (("cat.png", "-o", "taken"), 1, "taken is not a folder"),
            (("cat.png", "-o", "old.gif"), 1, "old.gif already exists (replace it with --over"),
            (
                ("cat.png", "-o", "film.png"),
                1,
                "film.png: no animation format has the ext",
            ),
            (("cat.png", "-o", "f.gif", "--fps", "60"), 2, "a gif plays at most 50 frames per sec"),
            (("cat.png", "--frames", "0"), 2, "--frames: 0 is too small"),
            (("cat.png", "--pace", "0"), 2, "--pace: 0 is too small (more than 0)"),
            (("cat.png", "--zoom", "nan"), 2, "--zoom: nan is not a finite number"),
            (("cat.png", "--zoom", "9"), 2, "--zoom: 9 is too large (at most 2)"),
            (("cat.png", "--preset", "bold"), 2, "unknown preset 'bold'"),
            (("gone.png",), 1, "gone.png: there is no such file"),
            (("bad.png", "-o", "frames"), 1, "bad.png is not a picture this program reads"),
            (("cat.png", "--guide", "bad.png", "-o", "f.gif"), 1, "bad.png is not a picture"),
            (("cat.png", "--guide", "tiny.png", "-o", "f"), 1, "is too small for a guide"),
            (("tiny.png", "-o", "f"), 1, "tiny.png: 8×8 px is too small"),
        ],
    )
    def test_requests(
        self,
        run: Run,
        scene: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        code: int,
        said: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("bad.png", "taken", "old.gif"):
            (tmp_path / name).write_text("no picture")
        save(photo(8, 8), tmp_path / "tiny.png")
        before = listing(tmp_path)
        assert said in complaint(run("tunnel", *words), code)
        assert listing(tmp_path) == before

    def test_an_expression(self, run: Run, scene: Path) -> None:
        line, rest = pointed_at(run("tunnel", scene, "--layer", "conv4_3 + conv9_1"))
        assert (line.split(" (")[0], rest) == ("unknown layer of vgg16 'conv9_1'", "conv9_1")

    def test_a_film_that_cannot_be_written(
        self, run: Run, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The raw frames stay; nothing half-written takes the film's name."""
        film, link = tmp_path / "film.gif", os.link

        def refuse(source: Path, target: Path, **options: Any) -> None:
            if Path(target).name == film.name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            link(source, target, **options)

        words = ("tunnel", scene, *BRIEF, "--frames", 3, "-o", film)
        with monkeypatch.context() as patch:
            patch.setattr("stylize.images.atomic.os.link", refuse)
            line = complaint(run(*words), 1)
        assert line == f"cannot write {film}: no space left on device"
        assert names(tmp_path) == ["cat.png", "film.gif.frames"]
        assert names(tmp_path / "film.gif.frames") == frame_names(3)
        done(run(*words))
        assert names(tmp_path) == ["cat.png", "film.gif"]
