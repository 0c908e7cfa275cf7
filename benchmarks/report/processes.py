"""Whole processes as users start them: start-up, sizes, batches, busy machines.

Each is measured next to the floor, which no program that uses torch can go below: a process that
imports torch, and on a GPU computes one convolution.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.contention import PICTURES, SAMPLES, ratios, transfer

Rows = list[tuple[str, ...]]

RUNS = 5
ONE_STEP = ("--size", "64", "--steps", "1")
SIZES = (256, 512, 1024, 2048, 4096)
BATCH = 12

FLOORS = {
    "cpu": "import torch",
    "cuda": "import torch; x = torch.rand(1, 64, 64, 64, device='cuda');"
    " torch.nn.functional.conv2d(x, x[:, :, :3, :3]); torch.cuda.synchronize()",
}

# Runs the program and writes the moments at which it begins to import something to stderr. The
# module that follows torch marks the end of that import.
WATCHED = {
    "torch": "interpreter, arguments and checks",
    "stylize.planning.allocator": "import torch, and decode the pictures meanwhile",
    "start": "import the rest, load the network, plan",
    "step": "targets and first step",
    "end": "save, report, exit",
}
WATCH = f"""
import sys, time
names = set({list(WATCHED)!r})
def watch(event, words):
    if event == "import" and words[0] in names:
        names.remove(words[0])
        print("mark", words[0], time.time(), file=sys.stderr)
sys.addaudithook(watch)
from stylize.cli.main import main
main()
"""


class Finished(NamedTuple):
    """A process that ended well.

    Attributes:
        seconds: from its start to its end.
        peak_bytes: most resident memory; the system's own measure, Linux only.
    """

    seconds: float
    peak_bytes: int


def finish(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Finished(seconds, usage.ru_maxrss * 1024)


def devices() -> list[str]:
    """The devices to measure."""
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def floor_s(device: str) -> float:
    """Median seconds of a process that only gets torch and the device ready."""
    command = [sys.executable, "-c", FLOORS[device]]
    return median(finish(command).seconds for _ in range(RUNS))


def start_rows(device: str) -> Rows:
    """The stages of a transfer of one step at 64 px, in seconds; medians."""
    options = (*ONE_STEP, "--device", device)
    finish(transfer(PICTURES, options))
    floors, stages, wholes = [], [], []
    for _ in range(RUNS):  # alternate, so that what else happens hits all
        floors.append(finish([sys.executable, "-c", FLOORS[device]]).seconds)
        stages.append(timeline(options))
        wholes.append(finish(transfer(PICTURES, options)).seconds)
    floor = median(floors)
    first = median(sum(list(each.values())[:-1]) for each in stages)
    with tempfile.TemporaryDirectory() as cache:
        fresh = os.environ | {"STYLIZE_CACHE_DIR": cache}
        first_use = finish(transfer(PICTURES, options), fresh).seconds
    return [
        ("stage", "seconds"),
        *((name, f"{median(each[name] for each in stages):.2f}") for name in stages[0]),
        ("**from the start of the process to the first step**", f"{first:.2f}"),
        ("the floor", f"{floor:.2f}"),
        ("the first step after the floor", f"{first - floor:+.2f}"),
        ("whole command", f"{median(wholes):.2f}"),
        ("whole command, first use of a machine (self-test)", f"{first_use:.2f}"),
    ]


def import_rows(baseline: Path | None = None) -> Rows:
    """What that transfer imports, by ``python -X importtime``: modules, and milliseconds.

    Args:
        baseline: the checkout of another version, to compare with.
    """
    bare = imports([sys.executable, "-X", "importtime", "-c", FLOORS["cpu"]])
    trees = [("this version", None), ("the version before", baseline)]
    rows: Rows = [("", "package", "modules", "milliseconds")]
    for name, tree in trees[: 1 if baseline is None else 2]:
        command = transfer(PICTURES, (*ONE_STEP, "--device", "cpu"))
        command[1:1] = ["-X", "importtime"]
        found = imports(command, tree)
        groups = {"torch itself": found.keys() & bare.keys()}
        beyond = found.keys() - bare.keys()
        for package in ("stylize", "PIL", "scipy"):
            groups[package] = {each for each in beyond if each.split(".")[0] == package}
        groups["others"] = beyond - set().union(*groups.values())
        for group, modules in groups.items():
            spent = sum(found[each] for each in modules) / 1000
            rows.append((name, group, str(len(modules)), f"{spent:.0f}"))
    return rows


def imports(command: Sequence[str], tree: Path | None = None) -> dict[str, int]:
    """Microseconds that each module took by itself."""
    environment = os.environ | ({} if tree is None else {"PYTHONPATH": str(tree)})
    done = subprocess.run(command, check=True, capture_output=True, env=environment, cwd=tree)
    lines = [line.split("|") for line in done.stderr.decode().splitlines() if line.count("|") == 2]
    return {name.strip(): int(own.split(":")[1]) for own, _, name in lines[1:]}


def timeline(options: Sequence[str]) -> dict[str, float]:
    """Seconds of each stage of one transfer."""
    command = transfer(PICTURES, [*options, "--json"])
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "result.png")
        words = [output if each == "-" else each for each in command[3:] if each != "-q"]
        marks = {"": time.time()}
        process = subprocess.Popen(
            [sys.executable, "-c", WATCH, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            marks.setdefault(json.loads(line)["event"], time.time())
        for line in process.stderr:
            with suppress(ValueError):
                _, name, moment = line.split()
                marks[name] = float(moment)
        process.wait()
        marks["end"] = time.time()
    moments = [marks[each] for each in ("", *WATCHED)]
    return {
        stage: moments[index + 1] - moments[index] for index, stage in enumerate(WATCHED.values())
    }


def size_rows(device: str) -> Iterator[tuple[str, ...]]:
    """Whole commands by the long side of the picture."""
    floor = floor_s(device)
    yield ("long side, px", "seconds", "seconds after the floor", "peak memory, GB")
    for side in SIZES:
        options = ("--size", str(side), "--enlarge", "--device", device)
        kinds = [(str(side), options)]
        if side == max(SIZES):
            kinds.append((f"{side}, `--preset poster`", (*options, "--preset", "poster")))
        for name, words in kinds:
            found = finish(transfer(PICTURES, words))
            after = found.seconds - floor
            peak = f"{found.peak_bytes / 1e9:.2f}"
            yield (name, f"{found.seconds:.1f}", f"{after:.1f}", peak)


def batch_rows(device: str) -> Rows:
    """Throughput of a batch of photos at 512 px."""
    photos = sorted((SAMPLES / "photos").glob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "in", Path(folder) / "out"
        inputs.mkdir()
        for index in range(BATCH):
            shutil.copy(photos[index % len(photos)], inputs / f"{index}.jpg")
        command = [*transfer([], ()), "--size", "512", "--enlarge", "--device", device]
        command[3:4] = ["batch", "transfer", str(inputs), "--style", str(PICTURES[1])]
        command[command.index("-")] = str(outputs)
        seconds = finish(command).seconds
    after = seconds - floor_s(device)
    return [
        ("pictures", "seconds", "seconds after the floor", "pictures per second after the floor"),
        (str(BATCH), f"{seconds:.1f}", f"{after:.1f}", f"{BATCH / after:.2f}"),
    ]


def contention_rows(rounds: int = 3) -> Rows:
    """Ratios of transfers that share the machine, see :mod:`benchmarks.contention`."""
    return [*ratios(transfer(PICTURES), rounds)]
