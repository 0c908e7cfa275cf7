"""Resident memory of one batch of many tiny pictures, no two of one size.

    OMP_NUM_THREADS=1 python benchmarks/batch_memory.py [--technique transfer] [--count 200]

Whatever is kept for each size of picture (primitives of oneDNN, statistics of styles) or for each
picture (futures, claims) shows as growth; it should stay below 5 % from the 10th to the last.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import tempfile
from pathlib import Path

from stylize.cli.process import prepare_environment

prepare_environment()  # before torch is loaded, as the program does

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from stylize.batches.claims import Claims  # noqa: E402
from stylize.batches.local import LocalRunner, Outcome, Saving  # noqa: E402
from stylize.batches.painter import BatchPainter  # noqa: E402
from stylize.batches.records import Ledger  # noqa: E402
from stylize.batches.tasks import Look, Task  # noqa: E402
from stylize.settings.dream import DreamSettings  # noqa: E402
from stylize.settings.execution import Execution  # noqa: E402
from stylize.settings.fields import to_document  # noqa: E402
from stylize.settings.transfer import TransferSettings  # noqa: E402

MARKS = (10, 25, 50, 100, 150, 200)
STYLE = Path(__file__).parent.parent / "samples" / "styles" / "mosaic.jpg"


def resident_mb() -> float:
    """The resident memory of this process in megabytes; only Linux reports it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def look_of(technique: str) -> Look:
    """Two steps at one or two scales, in fp32."""
    if technique == "dream":
        settings = DreamSettings(octaves=1, steps=2, layers="conv4_2")
        return Look("", "dream", to_document(settings))
    return Look("", "transfer", to_document(TransferSettings(steps=2, min_size=48)), (STYLE,))


def make_tasks(folder: Path, look: Look, count: int) -> list[Task]:
    """Pictures of noise, each of its own size, in no order of size."""
    generator = np.random.default_rng(0)
    sizes = [(40 + index % 37, 48 + index) for index in range(count)]
    random.Random(0).shuffle(sizes)
    tasks = []
    for index, (height, width) in enumerate(sizes):
        source = folder / f"{index}.png"
        Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8)).save(source)
        tasks.append(Task(source, folder / "out" / source.name, look, (height, width)))
    return tasks


class Meter:
    """Prints the resident memory after some of the pictures."""

    def __init__(self, count: int) -> None:
        self._marks = {*MARKS, count}
        self._done = 0
        self.found: dict[int, float] = {}

    def reported(self, outcome: Outcome) -> None:
        assert outcome.status == "done", outcome
        self._done += 1
        if self._done in self._marks:
            gc.collect()
            self.found[self._done] = resident_mb()
            print(f"{self._done:5d} {self.found[self._done]:8.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--technique", choices=("dream", "transfer"), default="dream")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    look, meter = look_of(options.technique), Meter(options.count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = make_tasks(folder, look, options.count)
        painter = BatchPainter(Execution(precision="fp32", threads=1))
        ledger = Ledger(folder / "out", {"": painter.inputs(look)})
        with Claims(folder / "out") as claims:
            runner = LocalRunner(
                painter,
                ledger,
                claims,
                saving=Saving(),
                reported=meter.reported,
                on_image=lambda task: None,
                stop=lambda: False,
            )
            runner.run(tasks)
    growth = meter.found[options.count] / meter.found[10] - 1
    print(f"{options.technique}: {growth:+.1%} from the 10th to the last")
    sys.exit(growth >= 0.05)


if __name__ == "__main__":
    main()
