"""Time the default transfer against pastiche 1.6.0, on the same pictures, in the same run.

    pip install . pastiche==1.6.0
    python benchmarks/against_pastiche.py CONTENT STYLE [--size 512]

pastiche runs 1000 steps by default. A step takes the same time from first to last, so two short
runs give its seconds per step and its start-up; the default's time follows. The rate of plain
matrix products is measured in the same run: seconds mean little without what the machine can do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

SHORT, LONG, DEFAULT_STEPS = 3, 13, 1000


def seconds(*command: str) -> float:
    """Wall time of a command, which must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def matmul_gflops(dtype: torch.dtype, side: int = 2048) -> float:
    """The best rate of five products of square matrices."""
    one, two = torch.rand(side, side).to(dtype), torch.rand(side, side).to(dtype)
    best = min(_time(one, two) for _ in range(5))
    return 2 * side**3 / best / 1e9


def _time(one: torch.Tensor, two: torch.Tensor) -> float:
    started = time.perf_counter()
    one @ two
    return time.perf_counter() - started


def pastiche(content: str, style: str, size: int, steps: int, out: Path) -> float:
    """Wall time of pastiche with so many steps."""
    return seconds(
        "pastiche", "--content", content, "--styles", style, "--output", str(out),
        "--size", str(size), "--num-steps", str(steps), "--device", "cpu", "--no-verbose",
    )  # fmt: skip


def main() -> int:
    """Measure and print a small table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--preset", default="balanced")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.png"
        job = ("stylize", "transfer", chosen.content, chosen.style, "-o", str(out), "--overwrite")
        job = (*job, "--size", str(chosen.size), "--preset", chosen.preset, "-q")
        seconds(*job, "--steps", "1")  # the machine's self-test, once
        ours = [seconds(*job) for _ in range(2)]
        theirs = [
            pastiche(chosen.content, chosen.style, chosen.size, steps, out)
            for steps in (SHORT, LONG)
        ]
    step = (theirs[1] - theirs[0]) / (LONG - SHORT)
    whole = theirs[0] + step * (DEFAULT_STEPS - SHORT)
    print(f"threads                    {torch.get_num_threads()}")
    print(f"matmul, bf16               {matmul_gflops(torch.bfloat16):.0f} GFLOP/s")
    print(f"matmul, fp32               {matmul_gflops(torch.float32):.0f} GFLOP/s")
    print(f"stylize {chosen.preset:<18} {min(ours):.1f} s, {max(ours):.1f} s")
    print(f"pastiche, a step           {step:.2f} s")
    print(f"pastiche, 1000 steps       {whole:.0f} s")
    print(f"ratio                      1/{whole / min(ours):.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
