"""Every file that a command writes, where its name is taken, gets taken, or cannot be used."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from click.testing import Result as Invocation

from stylize.cli import run as running
from stylize.cli.main import cli
from stylize.cli.progress import Stop
from stylize.images import pipes
from stylize.images.atomic import reserved
from stylize.networks.weight_files import convolution_shapes
from stylize.runs.checkpoint import describe
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import BRIEF, QUICK, Counted, Run, done, listing, program
from tests.conftest import cat, save, strokes, unprivileged

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here"),
]

STATES = ("file", "link", "dangling link", "folder", "pipe")
FEW = ("--style-layers", "relu1_1", "--content-layers", "relu1_1")
TRANSFER = ("transfer", "cat.png", "strokes.png", *QUICK, *FEW, "-o", "out.png")
DREAM = ("dream", "cat.png", *BRIEF, "-o", "out.png")
TUNNEL = ("tunnel", "cat.png", *BRIEF, "--frames", 2)
SHEET = ("--size", 32, "--precision", "fp32", "-o", "out.png")
BATCH = ("batch", "dream", "photos", *BRIEF, "-o", "out")
REPORT = ("inspect", "report", "cat.png", "--size", 32, "--channels", 1, "--samples", 1)
REPORT += ("--patch", 16, "--step", 16, "--steps", 1)
MAP = ("inspect", "map", "photos", "--size", 32, "--thumbnail", 16, "-o", "map.png")
PATCHES = ("inspect", "patches", "photos", "relu1_2:3", "--cell", 32, "-o", "out.png")


@dataclass(frozen=True)
class Writer:
    """A command and a file that it writes.

    Attributes:
        instead: what the command writes if another program takes the name at the last moment;
            None if the command then fails.
        typed: whether the user types the name, so that a link is followed.
        replaces: whether ``--overwrite`` replaces any file of that name.
    """

    words: tuple[object, ...]
    file: str
    instead: str | None
    typed: bool = True
    replaces: bool = True


WRITERS = {
    "transfer": Writer(TRANSFER, "out.png", "out-2.png"),
    "transfer --save-preset": Writer(
        (*TRANSFER, "--save-preset", "mine.toml"), "mine.toml", "mine-2.toml"
    ),
    "transfer --save-mask": Writer(
        (*TRANSFER, "--subject", "keep", "--save-mask", "mask.png"), "mask.png", "mask-2.png"
    ),
    "transfer --film": Writer((*TRANSFER, "--film", "film.gif"), "film.gif", "film-2.gif"),
    "transfer --save-steps": Writer(
        (*TRANSFER, "--save-steps", "steps"),
        "steps/scale-1-32x32-step-0002.png",
        "steps/scale-1-32x32-step-0002-2.png",
        typed=False,
    ),
    "dream": Writer(DREAM, "out.png", "out-2.png"),
    "dream --variants": Writer(
        (*DREAM[:-2], "--variants", 2, "-o", "out.png"), "out-seed-2.png", "out-seed-2-2.png"
    ),
    "dream, template": Writer(
        (*DREAM[:-1], "{photo}-{preset}.png"), "cat-dogs.png", "cat-dogs-2.png"
    ),
    "tunnel": Writer((*TUNNEL, "-o", "film.webp"), "film.webp", "film-2.webp"),
    "tunnel, frames": Writer(
        (*TUNNEL, "-o", "frames"), "frames/frame-00002.png", None, typed=False
    ),
    "tunnel, loop": Writer(
        (*TUNNEL, "--loop", "-o", "frames"), "frames/frame-00001.png", None, typed=False
    ),
    "explore dream": Writer(
        ("explore", "dream", "cat.png", "--vary", "octaves=1,2", *SHEET), "out.png", "out-2.png"
    ),
    "explore transfer": Writer(
        ("explore", "transfer", "cat.png", "strokes.png", "--presets", "quick.toml", *SHEET),
        "out.png",
        "out-2.png",
    ),
    "replay": Writer(("replay", "old.png", "-o", "out.png"), "out.png", "out-2.png"),
    "resume": Writer(("resume", "old.checkpoint", "-o", "out.png"), "out.png", "out-2.png"),
    "batch": Writer(BATCH, "out/0.png", "out/0-2.png", typed=False),
    "batch --gallery": Writer(
        (*BATCH, "--gallery"), "out/index.html", "out/index-2.html", typed=False, replaces=False
    ),
    "inspect activations": Writer(
        ("inspect", "activations", "cat.png", "relu1_1", "-o", "out.png"), "out.png", "out-2.png"
    ),
    "inspect report": Writer((*REPORT, "-o", "page.html"), "page.html", "page-2.html"),
    "inspect map": Writer(MAP, "map.png", "map-2.png"),
    "inspect map, page": Writer(MAP, "map.html", "map-2.html", typed=False),
    "inspect map, list": Writer(MAP, "map.png.sha256", "map.png-2.sha256", typed=False),
    "inspect patches": Writer(PATCHES, "out.png", "out-2.png"),
    "inspect patches, list": Writer(PATCHES, "out.png.sha256", "out.png-2.sha256", typed=False),
    "models add": Writer(
        ("models", "add", "weights.pth", "--name", "mine"),
        "data/models/mine.json",
        None,
        replaces=False,
    ),
}
# The checkpoint of a run that is stopped.
CHECKPOINT = Writer(
    (*TRANSFER, "--steps", 6, "--checkpoint", "run.checkpoint"),
    "run.checkpoint",
    "run-2.checkpoint",
    replaces=False,
)
EVERY = {**WRITERS, "transfer --checkpoint": CHECKPOINT}
EACH = pytest.mark.parametrize("name", EVERY)


def in_the_way(states: Sequence[str], *, overwrite: bool) -> Any:
    """Each command with each of these in its way; -o FOLDER is not, but puts the file there."""
    return pytest.mark.parametrize(
        ("name", "state"),
        [
            (name, state)
            for name, writer in EVERY.items()
            for state in states
            if writer.replaces or not overwrite
            if state != "folder" or not writer.typed or writer.words[-2] != "-o"
        ],
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a painting, weights and a checkpoint, made once."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "quick.toml").write_text("[settings]\nsteps = 1\nmin_size = 32\n")
    save(cat(32), folder / "cat.png")
    save(strokes(32, 32), folder / "strokes.png")
    (folder / "photos").mkdir()
    save(cat(32), folder / "photos" / "0.png")
    shapes = convolution_shapes("vgg16")
    weights = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    torch.save(weights, folder / "weights.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done(CliRunner().invoke(cli, [*map(str, TRANSFER[:-1]), "old.png"]))
        patch.setattr(running, "stop_on_interrupt", stopped_at_once)
        words = (*TRANSFER[:-1], "half.png", "--steps", 6, "--checkpoint", "old.checkpoint")
        done(CliRunner().invoke(cli, [*map(str, words)]), 130)
    torch.set_flush_denormal(False)
    return folder


@contextmanager
def stopped_at_once(**_: Any) -> Iterator[Stop]:
    yield Counted(count(1), 1)


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STYLIZE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def occupy(path: Path, state: str, elsewhere: Path) -> None:
    """Put something at a path; links lead to ``elsewhere``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match state:
        case "file":
            path.write_bytes(b"theirs")
        case "link":
            elsewhere.write_bytes(b"theirs")
            path.symlink_to(elsewhere)
        case "dangling link":
            path.symlink_to(elsewhere)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)


def look(path: Path) -> tuple[int, str | None, bytes | None]:
    """What is there: its kind, where it leads, what it holds."""
    mode = stat.S_IFMT(path.lstat().st_mode)
    leads = os.readlink(path) if path.is_symlink() else None
    return mode, leads, path.read_bytes() if path.is_file() else None


def refused(result: Invocation) -> None:
    """The command failed, and said why."""
    assert result.exit_code in (1, 2), result.output
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert "internal error" not in result.stderr


def kept(before: dict[str, bytes | None], after: dict[str, bytes | None]) -> None:
    """All that was there is there, and nothing else, but for the records of a batch."""
    added = {name for name in after.keys() - before.keys() if not name.startswith("out/.stylize")}
    assert added <= {"data", "data/models"}
    assert {**after, **before} == after


@in_the_way(STATES, overwrite=False)
def test_what_has_the_name_stays(run: Run, folder: Path, name: str, state: str) -> None:
    writer = EVERY[name]
    path, elsewhere = folder / writer.file, folder / "elsewhere"
    occupy(path, state, elsewhere)
    before, was = listing(folder), look(path)
    result = run(*writer.words)
    refused(result)
    assert path.name in result.stderr or path.parent.name in result.stderr
    assert look(path) == was
    kept(before, listing(folder))


@in_the_way(["folder", "pipe"], overwrite=True)
def test_nothing_but_files_is_overwritten(run: Run, folder: Path, name: str, state: str) -> None:
    writer = EVERY[name]
    path = folder / writer.file
    occupy(path, state, folder / "elsewhere")
    was = look(path)
    result = run(*writer.words, "--overwrite")
    if name == "transfer --save-steps":  # a picture of a step is not worth the run
        assert "the run continues without" in done(result).stderr
    else:
        refused(result)
        assert path.name in result.stderr
    assert look(path) == was


@pytest.mark.parametrize("name", ["transfer", "transfer --save-steps", "tunnel, frames", "batch",
                                  "inspect map, page", "inspect patches, list"])  # fmt: skip
@pytest.mark.parametrize("state", ["link", "dangling link"])
def test_only_links_that_the_user_named_are_followed(
    run: Run, folder: Path, name: str, state: str
) -> None:
    writer = EVERY[name]
    path, elsewhere = folder / writer.file, folder / "elsewhere"
    occupy(path, state, elsewhere)
    done(run(*writer.words, "--overwrite"))
    assert path.is_symlink() == writer.typed
    assert path.read_bytes() != b"theirs"
    if not writer.typed:
        assert not elsewhere.exists() if state == "dangling link" else True
        assert state == "dangling link" or elsewhere.read_bytes() == b"theirs"


@pytest.mark.parametrize("name", [name for name in EVERY if name != "transfer --save-mask"])
def test_a_file_that_appears_at_the_last_moment_stays(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    writer, link = EVERY[name], os.link
    path = folder / writer.file

    def late(source: Any, target: Any, **options: Any) -> None:
        if Path(target) == path and not os.path.lexists(path):
            path.write_bytes(b"theirs")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", late)
    if writer is CHECKPOINT:
        monkeypatch.setattr(running, "stop_on_interrupt", stopped_at_once)
    result = run(*writer.words)
    assert path.read_bytes() == b"theirs"
    if writer.instead is None:
        refused(result)
        assert path.name in result.stderr
        return
    assert result.exit_code == (130 if writer is CHECKPOINT else int(name == "batch"))
    assert (folder / writer.instead).stat().st_size > 0
    assert "--save-steps" in name or Path(writer.instead).name in result.stderr


def test_a_name_of_255_bytes(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def long(ending: str, letter: str = "n") -> str:
        return letter * (255 - len(ending)) + ending

    steps = long("", "s")
    words = (*TRANSFER[:-1], long(".png"), "--save-steps", steps, "--film", long(".gif"))
    with monkeypatch.context() as patch:
        patch.setattr(running, "stop_on_interrupt", stopped_at_once)
        done(run(*words, "--checkpoint", long(".checkpoint"), "--steps", 6), 130)
    assert describe(folder / long(".checkpoint")).request.target == str(folder / long(".png"))
    assert load_recipe(folder / long(".png"))["interrupted"] is True
    assert (folder / long(".gif")).stat().st_size > 0
    done(run("resume", long(".checkpoint"), "--save-steps", steps))
    assert load_recipe(folder / long(".png"))["interrupted"] is False
    assert not (folder / long(".checkpoint")).exists()
    assert any((folder / steps).iterdir())
    before = set(listing(folder))
    done(run(*TUNNEL, "-o", long(".webp")))
    done(run(*MAP[:-1], long(".png", "m")))
    done(run(*PATCHES[:-1], long(".png", "p")))
    shutil.copy("cat.png", folder / "photos" / long(".png"))
    done(run(*BATCH))
    added = {name.rpartition("/")[2] for name in set(listing(folder)) - before}
    assert {long(".webp"), long(".png", "m"), long(".png", "p")} <= added
    endings = [Path(name).suffix for name in added if len(name) > 190]
    assert sorted(endings) == [".html", *[".png"] * 4, *[".sha256"] * 2, ".webp"]


@EACH
def test_a_folder_that_cannot_be_written_to(run: Run, folder: Path, name: str) -> None:
    writer = EVERY[name]
    home = folder / writer.file
    home.parent.mkdir(parents=True, exist_ok=True)
    before = listing(folder)
    home.parent.chmod(0o555)
    try:
        with unprivileged():
            result = run(*writer.words)
    finally:
        home.parent.chmod(0o755)
    refused(result)
    assert "permission denied" in result.stderr.lower()
    assert listing(folder) == before


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
@pytest.mark.parametrize("place", ["out/deep", "out/.stylize", "out/.stylize/claims"])
def test_a_batch_follows_no_link_out_of_its_folder(
    run: Run, folder: Path, place: str, more: tuple[str, ...]
) -> None:
    (folder / "photos" / "deep").mkdir()
    shutil.move("photos/0.png", "photos/deep/0.png")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / place).parent.mkdir(parents=True)
    (folder / place).symlink_to(elsewhere)
    result = run(*BATCH, "-r", *more)
    refused(result)
    assert "is a link" in result.stderr
    assert not any(elsewhere.iterdir())


def test_a_film_keeps_its_frames_in_a_folder_of_its_own(run: Run, folder: Path) -> None:
    frames = folder / "film.webp.frames"
    with reserved(frames):
        result = run(*TUNNEL, "-o", "film.webp")
    refused(result)
    assert "another run is making" in result.stderr
    (folder / "elsewhere").mkdir()
    frames.symlink_to(folder / "elsewhere")
    result = run(*TUNNEL, "-o", "film.webp", "--overwrite")
    refused(result)
    assert "is a link to another folder" in result.stderr
    assert not any((folder / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("transfer", "pipe", "strokes.png"),
        ("transfer", "cat.png", "pipe"),
        (*TRANSFER, "--mask", "pipe"),
        (*TRANSFER, "--regions", "pipe", "--region", "#ffffff=keep"),
        (*TRANSFER, "--init", "pipe"),
        (*TRANSFER, "--preset", "pipe"),
        (*TRANSFER, "--preset", "pipe.toml"),
        (*DREAM, "--guide", "pipe"),
        ("tunnel", "pipe", *BRIEF),
        ("explore", "dream", "pipe", *SHEET),
        ("explore", "transfer", "cat.png", "pipe", *SHEET),
        ("inspect", "activations", "pipe", "relu1_1"),
        ("inspect", "report", "pipe"),
        ("replay", "pipe"),
        ("replay", "old.png", "--input", "pipe"),
        ("resume", "pipe"),
        ("info", "pipe"),
        ("presets", "show", "pipe.toml"),
        ("batch", "dream", "pipe", "-o", "out"),
        ("batch", "dream", "--from-file", "pipe", "-o", "out"),
        ("batch", "transfer", "photos", "--style", "pipe", "-o", "out"),
        ("batch", "run", "pipe.toml"),
        ("models", "add", "pipe.pth"),
        ("models", "add", "pipe.safetensors"),
    ],
)
def test_a_pipe_without_a_writer_is_not_read_for_ever(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(pipes, "WAIT_S", 0.05)
    for name in ("pipe", "pipe.toml", "pipe.pth", "pipe.safetensors"):
        os.mkfifo(folder / name)
    before = listing(folder)
    result = run(*words)
    refused(result)
    assert "pipe" in result.stderr
    kept(before, listing(folder))


@pytest.mark.parametrize("delay_s", [0.0, 0.1])
def test_a_pipe_with_a_writer_is_read(run: Run, folder: Path, delay_s: float) -> None:
    """Also if the program that writes to it starts later, and pauses."""
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "mine.toml")
    preset = b'name = "mine"\ntechnique = "dream"\n[settings]\nstrength = 7.0\n'
    contents = {"pipe": (folder / "cat.png").read_bytes(), "mine.toml": preset}

    def write(name: str) -> None:
        threading.Event().wait(delay_s)
        with (folder / name).open("wb", buffering=0) as pipe:
            pipe.write(contents[name][:9])
            threading.Event().wait(delay_s)
            pipe.write(contents[name][9:])

    for name in contents:
        threading.Thread(target=write, args=(name,), daemon=True).start()
    words = ("dream", "pipe", "--preset", "mine.toml", *BRIEF, "-o")
    done(run(*words, "piped.png"))
    (folder / "mine.toml").unlink()
    (folder / "mine.toml").write_bytes(preset)
    done(run("dream", "cat.png", "--preset", "mine.toml", *BRIEF, "-o", "plain.png"))
    found = [load_recipe(folder / name) for name in ("piped.png", "plain.png")]
    assert found[0]["settings"] == found[1]["settings"]
    assert found[0]["inputs"][0]["sha256"] == found[1]["inputs"][0]["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WRITERS if name != "transfer --save-mask"])
def test_two_at_once_lose_nothing(folder: Path, name: str) -> None:
    writer = WRITERS[name]
    path = folder / writer.file
    call = program(*writer.words)
    pair = [
        subprocess.Popen(**call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=240)[1] for process in pair]
    codes = [process.returncode for process in pair]
    assert 0 in codes, said
    assert set(codes) <= {0, 1}, said
    assert path.stat().st_size > 0
    assert not any("Traceback" in each or "internal error" in each for each in said)
    hidden = [each for each in folder.rglob(".stylize-*") if each.suffix in (".part", ".lock")]
    assert not hidden
    if codes == [0, 0] and writer.instead and writer.typed:
        assert (folder / writer.instead).stat().st_size > 0


@pytest.mark.slow
def test_a_pipe_without_a_writer_ends_a_real_run(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    ran = subprocess.run(
        **program("dream", "pipe", *BRIEF), check=False, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 1
    assert ran.stderr == "stylize: pipe cannot be read: no program writes to this pipe\n"
