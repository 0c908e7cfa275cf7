"""The speed of pastiche 1.6.0: Gram matrices of VGG-19, L-BFGS, 1000 steps."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.report.pairs import Pair

STEPS = 1000


def seconds_a_step(pair: Pair, folder: Path, size: int) -> float | None:
    """From two short runs: a step takes the same time from first to last."""
    if shutil.which("pastiche") is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for steps in (3, 13):
        started = time.perf_counter()
        _run(pair, folder / "steps.png", size, steps)
        found.append(time.perf_counter() - started)
    (folder / "steps.png").unlink()
    return (found[1] - found[0]) / 10


def _run(pair: Pair, out: Path, size: int, steps: int) -> None:
    command = ["pastiche", "--content", str(pair.content), "--styles", str(pair.style)]
    command += ["--output", str(out), "--size", str(size), "--num-steps", str(steps)]
    subprocess.run(
        [*command, "--device", "cpu", "--no-verbose"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
