"""What the program does to its own process, and a library does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import QUICK, program

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")

# Says at the end which of them are set.
VARIABLES = f"""
import atexit, os
names = {POLICIES}
atexit.register(lambda: print(*(f"{{n}}={{os.environ[n]}}" for n in names if n in os.environ)))
"""
COMMAND = """
from stylize.cli.main import main
main()
"""


def variables(code: str, *words: object, given: dict[str, str] | None = None) -> list[str]:
    """How threads wait after this code has run, where the user has set nothing but ``given``."""
    call = program()
    call["env"] = {k: v for k, v in call["env"].items() if k not in POLICIES} | (given or {})
    call["args"] = [sys.executable, "-c", VARIABLES + code, *map(str, words)]
    return subprocess.check_output(**call, text=True).splitlines()[-1].split()


def test_threads_of_the_program_sleep_while_they_wait() -> None:
    assert variables(COMMAND, "--version") == ["OMP_WAIT_POLICY=PASSIVE", "GOMP_SPINCOUNT=2000"]


@pytest.mark.parametrize(
    "given", ["OMP_WAIT_POLICY=ACTIVE", "GOMP_SPINCOUNT=100", "KMP_BLOCKTIME=1"]
)
def test_what_the_user_says_about_waiting_stays(given: str) -> None:
    assert variables(COMMAND, "--version", given=dict([given.split("=")])) == [given]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux has affinities")
def test_no_more_threads_than_the_affinity_allows(files: tuple[Path, Path], tmp_path: Path) -> None:
    code = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})" + COMMAND
    words = ["transfer", *files, "-o", tmp_path / "out.png", "--json", *QUICK]
    call = program()
    call["args"] = [sys.executable, "-c", code, *map(str, words)]
    events = [json.loads(line) for line in subprocess.check_output(**call).splitlines()]
    assert events[0]["plan"]["threads"] == 1


@pytest.mark.slow  # a process that paints
def test_a_library_leaves_the_threads_of_its_host_alone(files: tuple[Path, Path]) -> None:
    code = """
import sys
from stylize import transfer
transfer(*sys.argv[1:], size=32, min_size=32, steps=1, precision="fp32")
"""
    assert variables(code, *files) == []
