"""Bad input: one clear line, the right code, nothing left behind."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from stylize.errors import NumericalError, OutputError
from stylize.networks import models as store
from stylize.products.dream.dream import Dream
from stylize.runs.recipe import load_recipe
from stylize.runs.result import Result
from tests.cli.conftest import (
    QUICK,
    Run,
    Sketch,
    complaint,
    done,
    listing,
    size_of,
)
from tests.conftest import photo, save, unprivileged

Files = tuple[Path, Path]

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")


def truncated_jpeg(folder: Path) -> Path:
    path = save(photo(200, 200), folder / "cut.jpg")
    path.write_bytes(path.read_bytes()[:1500])
    return path


def text_file(folder: Path) -> Path:
    path = folder / "text.png"
    path.write_text("This is no picture.")
    return path


def empty_file(folder: Path) -> Path:
    path = folder / "empty.png"
    path.touch()
    return path


def bomb(folder: Path) -> Path:
    """20000×20000 says the header; refused for that alone."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    path = folder / "bomb.png"
    header = struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 2501 * 20000)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def some_folder(folder: Path) -> Path:
    path = folder / "folder"
    path.mkdir()
    return path


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Let writing fail as a system does."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"stylize.images.atomic.{name}", fail)


@pytest.mark.parametrize("place", ["content", "style", "start"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text_file, "text.png is not a picture this program reads (it reads PNG, "),
        (truncated_jpeg, "cut.jpg is damaged or incomplete"),
        (empty_file, "empty.png is empty (0 bytes)"),
        (bomb, "is too large: 20000×20000 = 400 MP, the limit is 80 MP (raise it with --max-"),
        (some_folder, "folder is a folder, not a picture"),
    ],
)
def test_pictures(
    run: Run,
    sketch: type[Sketch],
    files: Files,
    tmp_path: Path,
    place: str,
    make: Callable[[Path], Path],
    said: str,
) -> None:
    bad = make(tmp_path)
    before = listing(tmp_path)
    words = {
        "content": (bad, files[1]),
        "style": (files[0], files[1], bad),
        "start": (*files, "--init", bad),
    }[place]
    aside = ("--save-preset", tmp_path / "p.toml", "--save-steps", tmp_path / "steps")
    assert said in complaint(run("transfer", *words, *aside), 1)
    assert listing(tmp_path) == before
    assert not sketch.made


@pytest.mark.parametrize("name", ["gone.png", "gone/gone.png", "x" * 300, "a\nb.png"])
def test_missing_files(
    run: Run, sketch: type[Sketch], files: Files, tmp_path: Path, name: str
) -> None:
    before, gone = listing(tmp_path), tmp_path / name
    for words in ((gone, files[1]), (files[0], gone)):
        assert complaint(run("transfer", *words), 1).endswith(": there is no such file")
    assert "unknown start" in complaint(run("transfer", *files, "--init", gone), 2)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("command", [("transfer",), ("explore", "transfer"), ("explore", "blend")])
def test_of_several_bad_pictures_the_first_is_named(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    first, second = truncated_jpeg(tmp_path), text_file(tmp_path)
    line = complaint(run(*command, first, second, second, "-o", tmp_path / "out.png"), 1)
    assert line == f"{first} is damaged or incomplete"


def test_one_picture_in_several_roles(run: Run, files: Files, tmp_path: Path) -> None:
    warned = list(warnings.filters)
    out = tmp_path / "out.png"
    done(run("transfer", files[0], files[0], files[0], "-o", out, *QUICK))
    digests = [each["sha256"] for each in load_recipe(out)["inputs"]]
    assert digests == [hashlib.sha256(files[0].read_bytes()).hexdigest()] * 3
    assert warnings.filters == warned


@posix
def test_a_picture_from_a_pipe_is_read_once(run: Run, files: Files, tmp_path: Path) -> None:
    pipe, content = tmp_path / "photo", files[0].read_bytes()
    os.mkfifo(pipe)
    # Whoever opens it again waits for a writer that does not come.
    Thread(target=pipe.write_bytes, args=[content], daemon=True).start()
    done(run("transfer", pipe, files[1], "-o", tmp_path / "out.png", *QUICK))
    assert size_of(tmp_path / "out.png") == (32, 32)


def test_the_limit_can_be_raised_and_lowered(run: Run, sketch: type[Sketch], files: Files) -> None:
    line = complaint(run("transfer", *files, "--max-input-pixels", 4095), 1)
    assert "64×64 = 0.004096 MP, the limit is 0.004095 MP" in line
    assert run("transfer", *files, "--max-input-pixels", 4096).exit_code == 0


def test_nothing_on_stdin(run: Run, sketch: type[Sketch], files: Files) -> None:
    assert complaint(run("transfer", "-", files[1], input=b""), 1) == "stdin is empty (0 bytes)"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("photo.png/out.png", "photo.png is not a folder"),
        ("out.gif", "out.gif is the name of a film"),
        ("out", "out is neither a folder nor a file name with an extension (write"),
    ],
)
def test_targets(
    run: Run,
    sketch: type[Sketch],
    files: Files,
    tmp_path: Path,
    output: str,
    said: str,
) -> None:
    before = listing(tmp_path)
    assert said in complaint(run("transfer", *files, "-o", tmp_path / output), 1)
    assert listing(tmp_path) == before
    assert not sketch.made, "said before the work"


def test_a_read_only_folder(run: Run, sketch: type[Sketch], files: Files, tmp_path: Path) -> None:
    folder = some_folder(tmp_path)
    folder.chmod(0o500)
    with unprivileged():
        result = run("transfer", *files, "-o", folder / "out.png")
    assert f"cannot write {folder / 'out.png'}: permission denied" in complaint(result, 1)
    assert not sketch.made, "said before the work"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk(
    run: Run,
    sketch: type[Sketch],
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    existing: bool,
) -> None:
    out = tmp_path / "out.png"
    if existing:
        out.write_text("precious")
    before = listing(tmp_path)
    refuse(monkeypatch, "os.fsync", errno.ENOSPC)
    result = run("transfer", *files, "-o", out, "--overwrite")
    assert complaint(result, 1) == f"cannot write {out}: no space left on device"
    assert sketch.made
    assert listing(tmp_path) == before


def test_a_picture_that_cannot_be_written_in_the_end_is_kept_elsewhere(
    run: Run,
    sketch: type[Sketch],
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The folder could be written to before the run, and cannot after it."""
    refuge = tmp_path / "refuge"
    refuge.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(refuge))
    save = Result.save

    def full(result: Result, target: Path, **options: Any) -> None:
        if refuge not in target.parents:
            raise OutputError(f"cannot write {target}: no space left on device")
        save(result, target, **options)

    monkeypatch.setattr(Result, "save", full)
    line = complaint(run("transfer", *files, "-o", tmp_path / "out.png"), 1)
    (kept,) = refuge.glob("stylize-*/out.png")
    assert line.endswith(f"no space left on device; the picture is kept as {kept}")
    assert load_recipe(kept)["technique"] == "transfer"


@pytest.mark.parametrize("option", ["--save-preset", "--save-steps"])
def test_a_full_disk_beside_the_picture(
    run: Run,
    sketch: type[Sketch],
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    refuse(monkeypatch, "os.fsync", errno.ENOSPC)
    refuge = tmp_path / "refuge"
    refuge.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(refuge))
    result = run("transfer", *files, option, tmp_path / "x.toml")
    assert result.exit_code == 1, "nor can the picture be written"
    assert "no space left on device" in result.stderr.splitlines()[-1]
    assert not list(refuge.iterdir()), "where nothing could be kept, nothing is left"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path not in files]


def test_a_file_where_previews_should_go(run: Run, sketch: type[Sketch], files: Files) -> None:
    line = complaint(run("transfer", *files, "--save-steps", files[1]), 2)
    assert "strokes.png' is a file" in line


@pytest.mark.parametrize(
    ("sides", "most", "words", "said"),
    [
        (
            "16384x16",
            "16383x16",
            ("out.webp",),
            "webp holds at most 16383 pixels per side, the picture is 163",
        ),
        (
            "16x65536",
            "16x65500",
            ("out.jpg",),
            "jpeg holds at most 65500 pixels per side, the picture is 16×6",
        ),
        ("16384x16", "16383x16", ("-", "--format", "webp"), "webp holds at most 16383"),
    ],
)
def test_a_format_that_cannot_hold_the_picture(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sides: str,
    most: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    """Told before the run; the longest side that it can hold is taken."""
    monkeypatch.chdir(tmp_path)
    started: list[Dream] = []

    def run_dream(self: Dream, *listeners: object) -> Result:
        started.append(self)
        raise NumericalError("far enough")

    monkeypatch.setattr(Dream, "run", run_dream)
    brief = ("--layer", "conv1_1", "--octaves", 1, "--steps", 1, "--precision", "fp32")
    line = complaint(run("dream", "--from-noise", sides, *brief, "-o", *words), 1)
    assert line.startswith(said)
    assert line.endswith("(write png or tiff)")
    assert not started
    assert listing(tmp_path) == {}
    complaint(run("dream", "--from-noise", most, *brief, "-o", *words), 1)
    assert len(started) == 1


def test_an_objective_that_explodes(
    run: Run, sketch: type[Sketch], files: Files, tmp_path: Path
) -> None:
    before = listing(tmp_path)
    sketch.failure = NumericalError("the objective became nan", hint="lower --learning-rate")
    line = complaint(run("transfer", *files), 1)
    assert line == "the objective became nan (lower --learning-rate)"
    assert listing(tmp_path) == before


def test_damaged_weights(
    run: Run, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store.PACKAGED, "vgg19", ("0" * 64, "elsewhere"))
    before = listing(tmp_path)
    line = complaint(run("transfer", *files, *QUICK), 1)
    assert "vgg19.safetensors is damaged: expected SHA-256 0000" in line
    assert line.endswith("(reinstall stylize)")
    assert listing(tmp_path) == before


def test_a_picture_of_one_pixel(run: Run, files: Files, tmp_path: Path) -> None:
    tiny = save(photo(1, 1), tmp_path / "tiny.png")
    before = listing(tmp_path)
    for words in ((tiny, files[1]), (files[0], tiny)):
        line = complaint(run("transfer", *words, *QUICK), 1)
        assert line.startswith("tiny.png: 1×1 px is too small (the network needs at least")
    assert listing(tmp_path) == before


def test_an_address_is_no_file(run: Run, files: tuple[Path, Path]) -> None:
    result = run("transfer", "https://example.com/cat.jpg", files[1])
    assert result.exit_code == 1
    assert "https://example.com/cat.jpg: there is no such file (download it first" in result.stderr
