"""``stylize batch``, killed, interrupted, and not alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.images.read import read_picture
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import program
from tests.cli.test_batch import DREAM, POSIX, events, invoke, results, some

pytestmark = [POSIX, pytest.mark.slow]


# Runs this program many times over, for the price of one start: what a test asks for on stdin is
# done by a copy of this process, which is as good as a new one, since it has not computed yet.
ZYGOTE = """
import json, os, sys, warnings
import torch, stylize.batches.claims, stylize.batches.local, stylize.cli.batch
from stylize.cli.main import cli

warnings.simplefilter("ignore")
for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
        print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        cli.main(request["words"], prog_name="stylize")
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code or 0)
    except BaseException:
        os._exit(70)
"""


class Zygote:
    """Starts runs, and says how they ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _ask(self, **request: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(self, log: Path, *words: object) -> int:
        return self._ask(log=str(log), words=[str(word) for word in words])

    def wait(self, pid: int) -> int:
        return self._ask(wait=pid)


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    # One picture here, so that the machine's self-test is remembered by all others.
    place, threads = tmp_path_factory.mktemp("first"), torch.get_num_threads()
    assert invoke("batch", "dream", some(place, 1), "-o", place / "out", *DREAM).exit_code == 0
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    start = program()
    start["args"] = [sys.executable, "-c", ZYGOTE]
    with subprocess.Popen(
        **start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Zygote(process)


def entries(output: Path) -> list[dict[str, Any]]:
    """All lines of all manifests; only the last of each may be torn."""
    found = []
    for file in sorted((output / ".stylize").glob("manifest-*")):
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                found.append(json.loads(line))
    return found


def pictures(output: Path) -> dict[str, int]:
    """The results with the time of their writing, without what is being written."""
    return {path.name: path.stat().st_mtime_ns for path in output.glob("[0-9]*.png")}


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again, but not for ever: the run may have come to grief."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def require_whole(output: Path, count: int) -> None:
    """One valid picture for each input, one line that says so, and nothing else."""
    assert set(results(output)) == {f"{number}.png" for number in range(count)}
    for name in results(output):
        read_picture(output / name)
        assert load_recipe(output / name)["interrupted"] is False
    assert Counter((each["target"], each["status"]) for each in entries(output)) == {
        (f"{number}.png", "done"): 1 for number in range(count)
    }
    own = {path.name for path in (output / ".stylize").iterdir()}
    assert {name for name in own if not name.startswith(("manifest-", "plan-"))} <= {"claims"}


def test_killed_ten_times(zygote: Zygote, tmp_path: Path) -> None:
    folder, output = some(tmp_path / "in", 32), tmp_path / "out"
    words = ("batch", "dream", folder, "-o", output, *DREAM, "--steps", 6)
    seen: dict[str, int] = {}
    counts: list[int] = []
    chance = random.Random(4)
    for _ in range(10):
        pid = zygote.start(tmp_path / "log", *words)
        goal = min(32, len(seen) + chance.choice([0, 1, 2]))
        wait_until(lambda goal=goal: len(pictures(output)) >= goal)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
        # A fast machine may have been through before.
        assert zygote.wait(pid) in (-signal.SIGKILL, 0)
        assert seen.items() <= pictures(output).items()
        seen = pictures(output)
        counts.append(len(seen))
    assert len(set(counts)) > 3, "most were killed at work"
    assert zygote.wait(zygote.start(tmp_path / "log", *words)) == 0
    assert seen.items() <= results(output).items()
    require_whole(output, 32)


def test_two_at_once(zygote: Zygote, tmp_path: Path) -> None:
    folder, output = some(tmp_path / "in", 10), tmp_path / "out"
    words = ("batch", "dream", folder, "-o", output, *DREAM, "--json")
    logs = [tmp_path / "one", tmp_path / "two"]
    pids = [zygote.start(log, *words) for log in logs]
    assert [zygote.wait(pid) for pid in pids] == [0, 0]
    reported = [events(log.read_text(), "picture") for log in logs]
    assert [len(each) for each in reported] == [10, 10]
    statuses = Counter(
        each["status"] for both in reported for each in both if not each.get("earlier")
    )
    assert statuses["finished"] == 10
    assert statuses.keys() <= {"finished", "elsewhere"}
    require_whole(output, 10)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(zygote: Zygote, tmp_path: Path, number: signal.Signals, code: int) -> None:
    folder, output = some(tmp_path / "in", 3), tmp_path / "out"
    log = tmp_path / "log"
    words = ("batch", "dream", folder, "-o", output, *DREAM, "--steps", 50)
    pid = zygote.start(log, *words)
    wait_until((output / "0.png").exists)
    os.kill(pid, number)
    assert zygote.wait(pid) == code
    said = log.read_text()
    assert "the current picture is dropped" in said
    assert " not begun" in said.splitlines()[-1]
    before = results(output)
    assert set(before) < {f"{number}.png" for number in range(3)}
    assert zygote.wait(zygote.start(log, *words)) == 0
    assert before.items() <= results(output).items()
    require_whole(output, 3)


def test_a_reader_that_goes(tmp_path: Path) -> None:
    """A program of its own, from the shell to the exit code."""
    folder, output = some(tmp_path / "in", 3), tmp_path / "out"
    words = ("batch", "dream", folder, "-o", output, *DREAM, "--json")
    with subprocess.Popen(
        **program(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["event"] == "start"
        assert json.loads(process.stdout.readline())["status"] == "finished"
        process.stdout.close()
        assert process.stderr.read() == ("stdout: broken pipe; the run continues without events\n")
    assert process.returncode == 0
    require_whole(output, 3)
