from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize.batches.records import (
    MAX_ERROR_LENGTH,
    MAX_LINE_BYTES,
    Entry,
    Manifest,
    read_all,
    state_folder,
)
from stylize.errors import OutputError

DONE = Entry("a.png", "in/a.jpg", "1" * 64, "done", 1, 2.5, None, {"style": 0.5}, 100.0, "2" * 64)
FAILED = dataclasses.replace(DONE, status="failed", error="a.jpg is damaged", losses={}, revision=1)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="limits and signals of POSIX")


def files(output: Path) -> list[Path]:
    return sorted(state_folder(output).iterdir())


def plant(output: Path, *lines: bytes, name: str = "manifest-x.jsonl") -> None:
    state_folder(output).mkdir(exist_ok=True)
    (state_folder(output) / name).write_bytes(b"".join(lines))


def line(entry: Entry = DONE, **changes: object) -> bytes:
    return json.dumps({**dataclasses.asdict(entry), **changes}).encode() + b"\n"


def test_there_is_nothing_yet(tmp_path: Path) -> None:
    assert read_all(tmp_path) == read_all(tmp_path / "gone") == {}
    Manifest(tmp_path)
    assert os.listdir(tmp_path) == []


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/") | st.just("\udcff"),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in (".", ".."))
numbers = st.floats(allow_nan=False, allow_infinity=False)
entries = st.builds(
    Entry,
    target=st.lists(names, min_size=1, max_size=3).map("/".join),
    source=st.text(),
    status=st.sampled_from(["done", "failed"]),
    attempts=st.integers(0, 10**6),
    seconds=numbers,
    error=st.none() | st.text(),
    losses=st.dictionaries(st.text(), numbers),
    time=numbers,
)


@pytest.mark.skipif(sys.platform == "win32", reason="the names are those of POSIX")
@settings(deadline=None, max_examples=50)
@given(st.lists(entries, max_size=5, unique_by=lambda entry: entry.target))
def test_what_goes_in_comes_out(some: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest(Path(folder))
        for entry in some:
            manifest.append(entry)
        assert list(read_all(Path(folder)).values()) == some
        for path in files(Path(folder)) if some else []:
            assert len(path.read_bytes().splitlines()) == len(some)


def test_a_file_for_each_writer(tmp_path: Path) -> None:
    for target in ("a.png", "b.png"):
        Manifest(tmp_path).append(dataclasses.replace(DONE, target=target))
    assert len(files(tmp_path)) == 2
    assert all(path.match(f"manifest-*-{os.getpid()}-*.jsonl") for path in files(tmp_path))
    assert set(read_all(tmp_path)) == {"a.png", "b.png"}


@pytest.mark.parametrize("ahead", [-1e6, 0.0, 1e6])
def test_the_highest_revision_counts_whatever_the_clocks_say(tmp_path: Path, ahead: float) -> None:
    second = dataclasses.replace(FAILED, time=100.0 + ahead)
    third = dataclasses.replace(DONE, revision=2, time=100.0 - ahead)
    plant(tmp_path, line(third), name="manifest-1.jsonl")
    plant(tmp_path, line(DONE), line(second), name="manifest-2.jsonl")
    assert read_all(tmp_path) == {"a.png": third}


def test_of_equal_revisions_a_finished_picture_counts(tmp_path: Path) -> None:
    """Two runs that did not know of each other."""
    made = dataclasses.replace(DONE, revision=1)
    plant(tmp_path, line(made), name="manifest-1.jsonl")
    plant(tmp_path, line(FAILED), name="manifest-2.jsonl")
    assert read_all(tmp_path) == {"a.png": made}
    later = dataclasses.replace(made, seconds=9.0)
    plant(tmp_path, line(later), name="manifest-3.jsonl")
    assert read_all(tmp_path) == {"a.png": later}


def test_entries_of_earlier_versions_have_no_revision(tmp_path: Path) -> None:
    document = dataclasses.asdict(FAILED)
    del document["revision"]
    plant(tmp_path, json.dumps(document).encode() + b"\n")
    assert read_all(tmp_path) == {"a.png": dataclasses.replace(FAILED, revision=0)}


@pytest.mark.parametrize(
    "bad",
    [
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"null\n",
        b"\xff\xfe\x00\n",
        b"[" * 100_000 + b"\n",
        b'{"time":' + b"9" * 5000 + b"}\n",
        line(target="../b.png"),
        line(target="/b.png"),
        line(target="."),
        line(target="b\0.png"),
        line(target="\ud800.png"),
        line(target=["b.png"]),
        line(source=None),
        line(status="doing"),
        line(status=[]),
        line(attempts=-1),
        line(attempts=True),
        line(attempts=1.0),
        line(seconds=math.nan),
        line(time=math.inf),
        line(time=10**400),
        line(time="100"),
        line(losses={"style": "low"}),
        line(losses=[]),
        line(error=5),
        line(source="b" * MAX_LINE_BYTES),
        line(source="b" * 3 * MAX_LINE_BYTES),
        b"x" * MAX_LINE_BYTES + b"\n",
        b"x" * MAX_LINE_BYTES + line(target="b.png"),
    ],
    ids=lambda bad: repr(bad[:40]),
)
def test_bad_lines_are_passed_over(tmp_path: Path, bad: bytes) -> None:
    other = dataclasses.replace(DONE, target="z.png")
    plant(tmp_path, line(DONE), bad, line(other))
    assert read_all(tmp_path) == {"a.png": DONE, "z.png": other}


@given(st.integers(0, len(line(FAILED))))
def test_a_torn_line_costs_itself_alone(kept: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(folder), line(DONE), line(FAILED)[:kept])
        whole = kept >= len(line(FAILED)) - 1
        assert read_all(Path(folder)) == {"a.png": FAILED if whole else DONE}


def test_a_later_version_may_say_more(tmp_path: Path) -> None:
    plant(tmp_path, line(DONE, host="elsewhere", grade={"a": [1]}))
    assert read_all(tmp_path) == {"a.png": DONE}


def test_other_files_are_not_read(tmp_path: Path) -> None:
    plant(tmp_path, line(DONE), name="notes.jsonl")
    plant(tmp_path, line(DONE), name="manifest-x.jsonl.bak")
    (state_folder(tmp_path) / "manifest-folder.jsonl").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(state_folder(tmp_path) / "manifest-pipe.jsonl")
    (state_folder(tmp_path) / "manifest-link.jsonl").symlink_to(tmp_path / "gone")
    assert read_all(tmp_path) == {}


def test_an_unreadable_file_is_not_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, line(DONE))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(OutputError, match=r"cannot read .*manifest-x.jsonl: permission"):
            read_all(tmp_path)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(OutputError, match=r"cannot read .*\.stylize: permission"):
        read_all(tmp_path)


def test_what_no_line_should_hold(tmp_path: Path) -> None:
    losses = {"style": math.nan, "content": math.inf, "tv": 1.0}
    manifest = Manifest(tmp_path)
    manifest.append(dataclasses.replace(FAILED, losses=losses, error="x" * 10**6))
    entry = read_all(tmp_path)["a.png"]
    assert entry.losses == {"tv": 1.0}
    assert entry.error == "x" * MAX_ERROR_LENGTH


def test_the_folder_is_in_the_way(tmp_path: Path) -> None:
    state_folder(tmp_path).write_bytes(b"")
    assert read_all(tmp_path) == {}
    with pytest.raises(OutputError, match=r"cannot write .*manifest-"):
        Manifest(tmp_path).append(DONE)


def test_an_entry_is_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, real = Manifest(tmp_path), os.fsync

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="input/output error"):
        manifest.append(DONE)
    monkeypatch.setattr(os, "fsync", real)
    manifest.append(FAILED)
    assert read_all(tmp_path) == {"a.png": FAILED}


FULL = """
import resource, signal, sys
from pathlib import Path
from stylize.errors import OutputError
from tests.batches.test_manifest import DONE, FAILED, Manifest, files, line
output, manifest = Path(sys.argv[1]), Manifest(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
manifest.append(DONE)
room = files(output)[0].stat().st_size + 20
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
try:
    manifest.append(FAILED)
except OutputError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
manifest.append(FAILED)
"""


@POSIX
def test_a_full_disk_tears_one_line_alone(tmp_path: Path) -> None:
    said = subprocess.check_output([sys.executable, "-c", FULL, str(tmp_path)], text=True)
    assert said == f"cannot write {files(tmp_path)[0]}: no space left on device\n"
    lines = files(tmp_path)[0].read_bytes().splitlines()
    assert [len(each) for each in lines][1] == 20
    assert len(lines) == 3
    assert read_all(tmp_path) == {"a.png": FAILED}


MANY = """
import dataclasses, sys
from pathlib import Path
from tests.batches.test_manifest import DONE, Manifest
manifest = Manifest(Path(sys.argv[1]))
for number in range(10**6):
    manifest.append(dataclasses.replace(DONE, target=f"{number}.png"))
    print(number, flush=True)
"""


@POSIX
def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for said in writer.stdout:
            if said == "30\n":
                writer.kill()
                break
        reported = [int(said) for said in writer.stdout]
    kept = read_all(tmp_path)
    assert writer.returncode == -signal.SIGKILL
    last = max([30, *reported])
    assert len(kept) in (last + 1, last + 2)
    assert set(kept) == {f"{number}.png" for number in range(len(kept))}
