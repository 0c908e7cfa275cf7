"""What the system says about its memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from stylize.errors import SettingError
from stylize.planning import limits
from stylize.settings.execution import parse_bytes


@pytest.mark.parametrize(
    ("text", "amount"),
    [("7GB", 7e9), ("7g", 7e9), ("800 MB", 8e8), ("1.5G", 1.5e9), ("123", 123), ("2kb", 2000)],
)
def test_amounts(text: str, amount: float) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "GB", "0", "-1GB", "7 apples", "1e9", "9" * 40, "nan"])
def test_no_amounts(text: str) -> None:
    with pytest.raises(SettingError, match="no such amount"):
        parse_bytes(text)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 2 MB of free memory and no control groups."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2_000_000))
    monkeypatch.setattr(limits, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(limits, "_CGROUP", tmp_path / "cgroup")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_nothing_is_known(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("no /proc here")

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    assert limits.available_bytes() is None


def test_the_machine(system: Path) -> None:
    assert limits.available_bytes() == 2_000_000


def test_a_control_group_and_the_one_around_it(system: Path) -> None:
    write(system / "proc" / "self" / "cgroup", "0::/outer/inner\n")
    inner = system / "cgroup" / "outer" / "inner"
    write(inner / "memory.max", "max\n")
    write(inner / "memory.current", "500\n")
    write(inner.parent / "memory.max", "10000\n")
    write(inner.parent / "memory.current", "4000\n")
    write(inner.parent / "memory.stat", "anon 1\ninactive_file 1000\n")
    assert limits.available_bytes() == 10_000 - 4000 + 1000


def test_the_first_version_of_control_groups(system: Path) -> None:
    write(system / "proc" / "self" / "cgroup", "3:cpu:/x\n7:memory:/job\n")
    job = system / "cgroup" / "memory" / "job"
    write(job / "memory.limit_in_bytes", "900\n")
    write(job / "memory.usage_in_bytes", "1000\n")
    assert limits.available_bytes() == 0


def test_this_machine_says_something_sane() -> None:
    free = limits.available_bytes()
    assert free is not None
    assert 1e6 < free < 1e15


@pytest.fixture
def one_of_many(system: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with an affinity to 64 processors."""
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    return system


@pytest.mark.parametrize(
    ("quota", "processors"),
    [("max 100000", 64), ("100000 100000", 1), ("150000 100000", 2), ("5000 100000", 1)],
)
def test_a_quota_of_processor_time(one_of_many: Path, quota: str, processors: int) -> None:
    write(one_of_many / "proc" / "self" / "cgroup", "0::/pod/box\n")
    write(one_of_many / "cgroup" / "pod" / "cpu.max", quota + "\n")
    write(one_of_many / "cgroup" / "pod" / "box" / "cpu.max", "max 100000\n")
    assert limits.available_processors() == processors


@pytest.mark.parametrize("mounted_at", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "processors"), [("-1", 64), ("250000", 5)])
def test_a_quota_in_the_first_version(
    one_of_many: Path, mounted_at: str, quota: str, processors: int
) -> None:
    write(one_of_many / "proc" / "self" / "cgroup", "3:memory:/job\n2:cpu,cpuacct:/job\n")
    job = one_of_many / "cgroup" / mounted_at / "job"
    write(job / "cpu.cfs_quota_us", quota + "\n")
    write(job / "cpu.cfs_period_us", "50000\n")
    assert limits.available_processors() == processors


def test_the_affinity_counts(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    write(system / "proc" / "self" / "cgroup", "0::/\n")
    write(system / "cgroup" / "cpu.max", "800000 100000\n")
    assert limits.available_processors() == 3
