from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from stylize.batches import claims as claims_module
from stylize.batches import claims as leases_module
from stylize.batches.claims import STALE_S, Claims, Leases
from stylize.errors import OutputError

New = Callable[[], Leases]
LOCKS = claims_module._fcntl is not None
KINDS = ["locks", "leases"] if LOCKS else ["leases"]
locked = pytest.mark.skipif(not LOCKS, reason="no flock here")


class Refusing:
    """A system whose flock says that there are no locks."""

    LOCK_SH = LOCK_EX = LOCK_NB = LOCK_UN = 0

    def __init__(self, code: int) -> None:
        self.code = code

    def flock(self, descriptor: int, how: int) -> None:
        raise OSError(self.code, os.strerror(self.code))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything holds for locks as for leases."""
    if request.param == "leases":
        monkeypatch.setattr(claims_module, "_fcntl", None)
    return request.param


def state(output: Path) -> set[str]:
    return {path.relative_to(output).as_posix() for path in output.rglob("*")}


def lease_of(output: Path) -> Path:
    (found,) = output.glob(".stylize/claims/*.lease")
    return found


def make_stale(path: Path, age_s: float = STALE_S + 60) -> None:
    os.utime(path, (time.time() - age_s,) * 2)


@pytest.mark.usefixtures("kind")
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
            (tmp_path / ".stylize" / "claims").rmdir()
            assert mine.take("a.png")

    def test_a_folder_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / ".stylize").write_bytes(b"")
        with pytest.raises(OutputError, match="cannot write"):
            Claims(tmp_path)

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        with Claims(tmp_path) as mine:
            monkeypatch.setattr(os, "open", refuse)
            monkeypatch.setattr(Path, "open", refuse)
            with pytest.raises(OutputError, match="permission denied"):
                mine.take("a.png")


@pytest.mark.usefixtures("kind")
class TestTidying:
    def test_nothing_is_left(self, tmp_path: Path, kind: str) -> None:
        with Claims(tmp_path) as mine:
            for number in range(3):
                with mine.take(f"{number}.png") or pytest.fail("not taken"):
                    pass
            assert mine.tidy()
            gate = {".stylize/claims.lock"} if kind == "locks" else set()
            assert state(tmp_path) == {".stylize"} | gate
            assert mine.take("0.png"), "as if nothing had happened"

    def test_not_while_holding(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine:
            assert mine.take("a.png")
            before = state(tmp_path)
            assert not mine.tidy()
            assert state(tmp_path) == before

    def test_not_while_another_holds(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine, Claims(tmp_path) as others:
            assert others.take("a.png")
            assert not mine.tidy()
            assert mine.take("a.png") is None

    def test_the_last_one_out(self, tmp_path: Path) -> None:
        with Claims(tmp_path) as mine:
            with Claims(tmp_path) as others:
                assert others.take("a.png")
            assert mine.tidy()


@locked
def test_tidying_keeps_the_gate(tmp_path: Path) -> None:
    """Whether it went well or not, a run that has tidied up still keeps others from doing so."""
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert not first.tidy()
        assert not second.tidy()
        assert not first.tidy()
        second.close()
        assert first.tidy()
        with Claims(tmp_path) as third:
            assert not third.tidy()


@locked
@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_without_locks_there_are_leases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(claims_module, "_fcntl", Refusing(getattr(errno, name)))
    with Claims(tmp_path) as mine, Claims(tmp_path) as others:
        assert mine.take("a.png")
        assert others.take("a.png") is None
        holder = json.loads(lease_of(tmp_path).read_bytes())
        assert holder["pid"] == os.getpid()
        assert abs(holder["time"] - time.time()) < 60
    assert not list(tmp_path.glob(".stylize/claims/*"))


@locked
def test_other_refusals_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "_fcntl", Refusing(errno.EIO))
    with pytest.raises(OutputError, match=r"cannot write .*claims.lock: input/output error"):
        Claims(tmp_path)


# Takes what it can get of fifty claims, waits until all have tried, and says what it has.
RACER = """
import sys
from pathlib import Path
from stylize.batches import claims
if sys.argv[2] == "leases":
    claims._fcntl = None
print("ready", flush=True)
sys.stdin.readline()
with claims.Claims(Path(sys.argv[1])) as mine:
    print(*(number for number in range(50) if mine.take(f"{number}.png")), flush=True)
    sys.stdin.readline()
"""


def race(output: Path, kind: str, runners: int) -> list[list[int]]:
    """What each of several processes that start at the same time has got."""
    command = [sys.executable, "-c", RACER, str(output), kind]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(runners)]
    try:
        assert [each.stdout.readline() for each in racers] == ["ready\n"] * runners  # type: ignore[union-attr]
        for each in racers:
            print(file=each.stdin, flush=True)
        taken = [each.stdout.readline() for each in racers]  # type: ignore[union-attr]
        return [[int(number) for number in line.split()] for line in taken]
    finally:
        for each in racers:
            each.communicate("\n", timeout=30)


@pytest.mark.parametrize("kind", KINDS)
def test_a_race(tmp_path: Path, kind: str) -> None:
    taken = race(tmp_path, kind, runners=2)
    assert sorted(chain(*taken)) == list(range(50))


def test_a_race_for_what_the_dead_have_left(tmp_path: Path) -> None:
    race(tmp_path, "leases", runners=1)
    for number, name in enumerate(names_of_leases(tmp_path)):
        text = json.dumps({"nonce": f"{number:016x}"}) if number % 2 else ""
        path = tmp_path / ".stylize" / "claims" / name
        path.write_text(text)
        make_stale(path)
    taken = race(tmp_path, "leases", runners=3)
    assert sorted(chain(*taken)) == list(range(50))
    assert not list(tmp_path.glob(".stylize/claims/*"))


def names_of_leases(output: Path) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims_module, "_fcntl", None)
        with Claims(output) as mine:
            assert all(mine.take(f"{number}.png") for number in range(50))
            return [path.name for path in output.glob(".stylize/claims/*.lease")]


# Holds a claim, with a child that has inherited what children inherit, until it is killed.
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from stylize.batches.claims import Claims
mine = Claims(Path(sys.argv[1]))
held = mine.take("a.png")
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin, close_fds=False)
print(held is not None, flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout and process.stdin
        try:
            assert process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()
            print(file=process.stdin, flush=True)


@locked
def test_the_killed_hold_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with Claims(tmp_path) as mine:
        assert mine.take("a.png") is None
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert mine.take("a.png"), "although the child lives"


FORKED = """
import os, sys
from pathlib import Path
from stylize.batches.claims import Claims
with Claims(Path(sys.argv[1])) as mine:
    held = mine.take("a.png")
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        with Claims(Path(sys.argv[1])) as others:
            print(others.take("a.png") is None)
"""


@locked
def test_a_fork_gives_nothing_back(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKED, str(tmp_path)]
    assert subprocess.check_output(command, text=True) == "True\n"


class TestLeases:
    @pytest.fixture
    def new(self) -> Iterator[New]:
        """Makes what other processes would have, and in the end stops their threads."""
        made: list[Leases] = []

        def make() -> Leases:
            made.append(Leases())
            return made[-1]

        yield make
        for each in made:
            each.close()

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "x.lease"

    @pytest.mark.parametrize("age_s, taken", [(STALE_S - 30, False), (STALE_S + 30, True)])
    def test_they_age(self, new: New, path: Path, age_s: float, taken: bool) -> None:
        first, second = new(), new()
        assert first.take(path)
        make_stale(path, age_s)
        assert second.take(path) is taken
        assert os.listdir(path.parent) == ["x.lease"]
        assert not new().take(path)

    def test_what_was_taken_from_us_is_not_ours_to_give_back(self, new: New, path: Path) -> None:
        first, second = new(), new()
        assert first.take(path)
        make_stale(path)
        assert second.take(path)
        first.release(path)
        assert not new().take(path)
        second.release(path)
        assert os.listdir(path.parent) == []

    def test_they_are_kept_young(
        self, new: New, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases_module, "REFRESH_S", 0.01)
        mine = new()
        assert mine.take(path)
        make_stale(path)
        touched = until(lambda: time.time() - path.stat().st_mtime < STALE_S)
        mine.close()
        assert touched

    def test_others_are_not(self, new: New, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leases_module, "REFRESH_S", 0.01)
        mine = new()
        assert mine.take(path)
        assert mine.take(path.with_name("y.lease"))
        path.write_text(json.dumps({"nonce": "0" * 16}))
        for each in path.parent.iterdir():
            make_stale(each)
        touched = until(lambda: time.time() - path.with_name("y.lease").stat().st_mtime < STALE_S)
        assert touched, "the keeper has been round"
        assert new().take(path)
        mine.close()

    def test_the_keeper_ends(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(claims_module, "_fcntl", None)
        with Claims(path.parent) as mine:
            assert mine._leases._keeper is None
            assert mine.take("a.png")
            keeper = mine._leases._keeper
            assert mine.take("b.png")
            assert keeper is mine._leases._keeper
            assert keeper.is_alive()
        keeper.join(10)
        assert not keeper.is_alive()

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "5", '{"nonce": 5}', '{"nonce": "../../x"}', "[" * 4000]
    )
    def test_hostile_ones(self, new: New, path: Path, text: str) -> None:
        path.write_text(text)
        assert not new().take(path)
        make_stale(path)
        assert new().take(path)
        assert os.listdir(path.parent) == ["x.lease"]

    def test_one_successor(self, new: New, path: Path) -> None:
        """Somebody is at it: whoever is later leaves it alone."""
        nonce = "0123456789abcdef"
        path.write_text(json.dumps({"nonce": nonce}))
        make_stale(path)
        other = path.with_name(f"x-{nonce}-0.end")
        other.write_bytes(b"")
        assert not new().take(path)
        make_stale(other)
        assert new().take(path), "that one died, too"
        assert os.listdir(path.parent) == ["x.lease"]

    def test_a_slow_one_does_not_replace_what_a_fast_one_took(
        self, new: New, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The fast one comes between the slow one's look and its deed."""
        assert new().take(path)
        make_stale(path)
        fast, slow, right = new(), new(), leases_module._right_to_end

        def delayed(*args: Any, **keywords: Any) -> Any:
            monkeypatch.setattr(leases_module, "_right_to_end", right)
            assert fast.take(path)
            return right(*args, **keywords)

        monkeypatch.setattr(leases_module, "_right_to_end", delayed)
        assert not slow.take(path)
        assert os.listdir(path.parent) == ["x.lease"]
        fast.release(path)
        assert os.listdir(path.parent) == []

    def test_a_torn_one_may_be_followed_by_another(
        self, new: New, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing tells the two apart but their age."""
        path.write_bytes(b"")
        make_stale(path)
        right = leases_module._right_to_end

        def delayed(*args: Any, **keywords: Any) -> Any:
            path.unlink()
            path.write_bytes(b"")
            return right(*args, **keywords)

        monkeypatch.setattr(leases_module, "_right_to_end", delayed)
        assert not new().take(path)
        assert os.listdir(path.parent) == ["x.lease"]
        assert path.read_bytes() == b""

    @pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
    def test_no_room_to_write_it(self, new: New, path: Path) -> None:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises(OSError, match="too large"):
                new().take(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert os.listdir(path.parent) == []


def until(true: Any, seconds: float = 10) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(true())
