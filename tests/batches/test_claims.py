"""Claims, where the system has locks and where it has none."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from stylize.batches.claims import Claims
from stylize.errors import OutputError
from tests.conftest import unprivileged

fcntl = pytest.importorskip("fcntl")

# Makes flock fail with the error number that the second argument gives, if there is one.
REFUSE = """
import fcntl, os, sys
from pathlib import Path
from stylize.batches.claims import Claims
def refuse(descriptor, how):
    raise OSError(int(sys.argv[2]), os.strerror(int(sys.argv[2])))
if sys.argv[2] != "0":
    fcntl.flock = refuse
"""


def refuse_locks(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.fixture(params=[0, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The error number of flock; 0 where it works."""
    if request.param:
        refuse_locks(monkeypatch, request.param)
    return int(request.param)


def locks(output: Path) -> list[str]:
    return [path.name for path in output.glob(".stylize/claims/*")]


@pytest.mark.usefixtures("code")
class TestTaking:
    def test_one_at_a_time(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine, Claims(tmp_path) as others:
            held = mine.take("a.png")
            assert held is not None
            assert others.take("a.png") is None
            assert mine.take("a.png") is None
            held.release()
            again = others.take("a.png")
            assert again is not None
            held.release()
            assert mine.take("a.png") is None, "the second release gave nobody else's claim back"

    def test_a_claim_is_to_one_picture(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine, Claims(tmp_path) as others:
            assert mine.take("a.png")
            assert others.take("b.png")
            assert others.take("sub/a.png")

    @pytest.mark.parametrize("target", ["\udcff\n.png", "🎨/" + "é" * 200 + ".png", "-a b.png"])
    def test_any_name(self, tmp_path: Path, target: str) -> None:
        with Claims(tmp_path) as mine:
            assert mine.take(target)
            assert mine.take(target) is None

    def test_blocks_release(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as others:
            with Claims(tmp_path) as mine:
                taken = mine.take("a.png")
                assert taken is not None
                with pytest.raises(KeyboardInterrupt), taken:
                    raise KeyboardInterrupt
                assert others.take("a.png")
                assert mine.take("b.png")
            assert others.take("b.png")
            with pytest.raises(ValueError, match="closed"):
                mine.take("c.png")

    def test_the_folder_may_vanish_between(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine:
            shutil.rmtree(tmp_path / ".stylize" / "claims")
            assert mine.take("a.png")

    def test_a_folder_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / ".stylize").write_bytes(b"")
        with pytest.raises(OutputError, match="cannot write"):
            Claims(tmp_path)


def test_no_permission(tmp_path: Path) -> None:
    with unprivileged(), Claims(tmp_path) as mine:
        folder = tmp_path / ".stylize" / "claims"
        folder.chmod(0o500)
        with pytest.raises(OutputError, match="permission denied"):
            mine.take("a.png")
        folder.chmod(0o700)


def test_other_refusals_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locks(monkeypatch, errno.EIO)
    with pytest.raises(OutputError, match=r"cannot write .*claims: input/output error"):
        Claims(tmp_path)


@pytest.mark.usefixtures("code")
class TestTidying:
    def test_nothing_is_left(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine:
            for number in range(3):
                with mine.take(f"{number}.png") or pytest.fail("not taken"):
                    pass
            assert mine.tidy()
            assert locks(tmp_path) == []
            assert mine.take("0.png"), "as if nothing had happened"

    def test_what_is_held_stays(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine, Claims(tmp_path) as others:
            assert mine.take("a.png")
            assert others.take("b.png")
            assert not mine.tidy()
            assert not others.tidy()
            assert len(locks(tmp_path)) == 2
            assert mine.take("b.png") is None
            assert others.take("a.png") is None

    def test_files_that_are_no_locks_stay(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine:
            (tmp_path / ".stylize" / "claims" / "notes.txt").write_text("mine")
            assert mine.tidy()
            assert locks(tmp_path) == ["notes.txt"]


# Claims as many of fifty pictures as it can, waits until all racers have tried, and prints them.
RACER = (
    REFUSE
    + """
print("ready", flush=True)
sys.stdin.readline()
with Claims(Path(sys.argv[1])) as mine:
    print(*(number for number in range(50) if mine.take(f"{number}.png")), flush=True)
    sys.stdin.readline()
"""
)


@pytest.mark.parametrize("code", [0, errno.ENOLCK])
def test_a_race(tmp_path: Path, code: int) -> None:
    command = [sys.executable, "-c", RACER, str(tmp_path), str(code)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(2)]
    try:
        assert [each.stdout.readline() for each in racers] == ["ready\n"] * 2  # type: ignore[union-attr]
        for each in racers:
            print(file=each.stdin, flush=True)
        taken = [each.stdout.readline().split() for each in racers]  # type: ignore[union-attr]
    finally:
        for each in racers:
            each.communicate("\n", timeout=30)
    assert sorted(map(int, chain(*taken))) == list(range(50))


# Holds a claim, with a child that has inherited what children inherit, until it is killed.
HOLDER = (
    REFUSE
    + """
import subprocess, time
mine = Claims(Path(sys.argv[1]))
held = mine.take("a.png")
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin, close_fds=False)
print(held is not None, flush=True)
time.sleep(60)
"""
)


@pytest.fixture
def holder(tmp_path: Path, code: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), str(code)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout and process.stdin
        try:
            assert process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()
            print(file=process.stdin, flush=True)


@pytest.mark.slow
def test_the_killed_hold_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with Claims(tmp_path) as mine:
        assert mine.take("a.png") is None
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert mine.take("a.png"), "although the child lives"
        assert mine.tidy() is False
    with Claims(tmp_path) as mine:
        assert mine.tidy()


@pytest.mark.parametrize("link", [".stylize", ".stylize/claims"])
def test_claims_are_not_taken_through_a_link_to_another_folder(tmp_path: Path, link: str) -> None:
    other = tmp_path / "project"
    (other / "claims").mkdir(parents=True)
    (other / "yarn.lock").write_text("precious")
    (other / "claims" / "yarn.lock").write_text("precious")
    place = tmp_path / "out" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(other)
    with pytest.raises(OutputError, match="is a link"):
        Claims(tmp_path / "out")
    assert sorted(each.name for each in other.rglob("*")) == ["claims", "yarn.lock", "yarn.lock"]


def test_tidying_removes_no_lock_files_of_others(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        (tmp_path / ".stylize" / "claims" / "yarn.lock").write_text("precious")
        taken = claims.take("a.png")
        assert taken is not None
        taken.release()
        assert claims.tidy()
    assert locks(tmp_path) == ["yarn.lock"]
