"""The program under limits of the system, and the library in forked processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import program

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")

PAINT = "transfer(*files, preset='draft', steps=1, size=32)"
FORK = f"""
import os, sys, torch
torch.set_num_threads(2)
from stylize import dream, transfer
from stylize.errors import UsageError
from stylize.runs.session import Session
files = sys.argv[1:]
session = Session()
{PAINT}
if os.fork() == 0:
    code = 0
    for use in (
        lambda: {PAINT},
        lambda: dream(files[0], size=32, octaves=1, steps=1),
        lambda: session.weights("vgg16"),
    ):
        try:
            use()
            code = 1
        except UsageError as error:
            print(error, flush=True)
    torch.set_num_threads(1)
    {PAINT}
    os._exit(code)
_, status = os.wait()
sys.exit(os.waitstatus_to_exitcode(status))
"""
UNUSED = f"""
import os, sys, torch
torch.set_num_threads(2)
from stylize import transfer
files = sys.argv[1:]
if os.fork() == 0:
    {PAINT}
    os._exit(0)
_, status = os.wait()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def python(code: str, files: tuple[Path, Path]) -> subprocess.CompletedProcess[str]:
    ways = program(*files)
    ways["args"][1:3] = ["-c", code]
    return subprocess.run(**ways, check=False, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_after_a_fork_it_says_what_to_do(files: tuple[Path, Path]) -> None:
    ran = python(FORK, files)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = ran.stdout.splitlines()
    assert len(said) == 3
    assert all("get_context('spawn')" in line for line in said)


@pytest.mark.slow
def test_a_fork_before_the_first_use_works(files: tuple[Path, Path]) -> None:
    assert python(UNUSED, files).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-v 1500000", "-v 3300000", "-v 3500000", "-d 400000"])
@pytest.mark.parametrize(
    "words",
    [
        ["transfer", "{0}", "{1}", "--preset", "draft", "--steps", "1", "--size", "32"],
        ["dream", "{0}", "--size", "32", "--octaves", "1", "--steps", "1"],
        ["inspect", "saliency", "{0}", "--size", "64"],
        ["batch", "dream", "{0}", "-o", "{2}", "--size", "32", "--octaves", "1", "--steps", "1"],
    ],
    ids=lambda words: words[0],
)
def test_a_limit_on_memory_is_named(
    option: str, words: list[str], files: tuple[Path, Path], tmp_path: Path
) -> None:
    ways = program(*(word.format(*files, tmp_path / "out") for word in words))
    limited = ["sh", "-c", f'ulimit {option}; exec "$@"', "sh", *ways["args"]]
    ran = subprocess.run(
        limited,
        env=ways["env"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 1, line
    assert f"'ulimit {option[:2]} unlimited'" in line
    assert "--size" not in line
