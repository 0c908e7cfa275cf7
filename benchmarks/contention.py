"""Transfers on a busy machine, whole processes: what it costs to share the processors.

    python -m benchmarks.contention [PHOTO STYLE] [--rounds 3] [-- OPTIONS]

Each round runs a transfer alone, two at once, and one next to a program that keeps one processor
busy, with waiting threads that sleep, as the command sets it; and one alone with threads that
spin, as the runtime of OpenMP would. Only the first round has spinning threads beside other
programs, which takes minutes. Figures are ratios to one transfer alone with sleeping threads in the
same run, and medians where there are several rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from statistics import median

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
PICTURES = (SAMPLES / "photos" / "chelsea.jpg", SAMPLES / "styles" / "mosaic.jpg")

# What GNU's runtime does by default, where neither the user nor the command says anything.
POLICIES = {
    "sleep": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000"},
    "spin": {"GOMP_SPINCOUNT": "300000"},
}
SITUATIONS = ("alone", "two at once", "next to a busy program")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pictures", type=Path, nargs="*", default=PICTURES)
    parser.add_argument("--rounds", type=int, default=3)
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    chosen = parser.parse_args(words[:cut])
    for row in ratios(transfer(chosen.pictures, words[cut + 1 :]), chosen.rounds):
        print("  ".join(f"{cell:>24}" for cell in row), flush=True)
    return 0


def transfer(pictures: Sequence[Path], options: Sequence[str] = ()) -> list[str]:
    """A command that paints and throws the picture away."""
    start = [sys.executable, "-m", "stylize", "transfer", *map(str, pictures)]
    return [*start, "-o", "-", "-q", *options]


def ratios(command: Sequence[str], rounds: int) -> list[tuple[str, str, str]]:
    """Ratios to one run alone with sleeping threads: a row for each situation, sleep and spin."""
    seconds: dict[tuple[str, str], list[float]] = {}
    run_together([command])  # self-test and file cache
    for number in range(rounds):
        for policy, situation in product(POLICIES, SITUATIONS):
            if number and policy == "spin" and situation != "alone":
                continue
            taken = measure(command, situation, policy)
            seconds.setdefault((situation, policy), []).append(taken)
    one = median(seconds["alone", "sleep"])
    head = ("", "waiting threads sleep", "waiting threads spin")
    shares = {key: f"{median(taken) / one:.2f}" for key, taken in seconds.items()}
    return [head, *((each, shares[each, "sleep"], shares[each, "spin"]) for each in SITUATIONS)]


def measure(command: Sequence[str], situation: str, policy: str) -> float:
    """Seconds until all transfers of a situation have ended."""
    with busy_program() if situation == "next to a busy program" else nullcontext():
        return run_together([command] * (2 if situation == "two at once" else 1), policy)


def run_together(commands: Sequence[Sequence[str]], policy: str = "sleep") -> float:
    """Start commands at once; seconds until the last has ended."""
    known = {name for each in POLICIES.values() for name in each}
    environment = {name: value for name, value in os.environ.items() if name not in known}
    started = time.perf_counter()
    processes = [
        subprocess.Popen(each, stdout=subprocess.DEVNULL, env=environment | POLICIES[policy])
        for each in commands
    ]
    for process in processes:
        if process.wait():
            raise SystemExit(f"a transfer failed with {process.returncode}")
    return time.perf_counter() - started


@contextmanager
def busy_program() -> Iterator[None]:
    """A process that computes on one processor during the block."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
