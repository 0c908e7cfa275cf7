"""Loss against seconds and evaluations: Adam, our L-BFGS, scipy's L-BFGS-B, on one scale.

    python benchmarks/optimizers.py CONTENT STYLE [--size 256] [--evaluations 100]

All three minimise the default objective in the box [0, 1] from the content picture. The loss is
that of the optimiser's own result (Adam: the average of iterates), evaluated at checkpoints that
are not counted in its time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from stylize.gradients.canvas import Canvas
from stylize.gradients.tiled import TiledEngine
from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.losses.loss import Evaluation
from stylize.optimize.adam import Adam
from stylize.optimize.lbfgs import LBFGS
from stylize.products.transfer.transfer import Transfer
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings

Rows = list[tuple[int, float, float]]


class Watch:
    """Counts evaluations and their time, and looks at the loss of a result now and then."""

    def __init__(self, engine: TiledEngine, marks: list[int]) -> None:
        self._engine, self._marks = engine, marks
        self.rows: Rows = []
        self._started = time.perf_counter()
        self._away = 0.0
        self.evaluations = 0

    def __call__(self, image: Tensor) -> Evaluation:
        self.evaluations += 1
        return self._engine(image)

    def look(self, result: Callable[[], Tensor]) -> None:
        """Note the loss of the result, if it is time; the clock is stopped while it does."""
        if self.evaluations not in self._marks or len(self.rows) == len(self._marks):
            return
        if self.rows and self.rows[-1][0] == self.evaluations:
            return
        stopped = time.perf_counter()
        loss = float(self._engine(result()).total)
        self.rows.append((self.evaluations, stopped - self._started - self._away, loss))
        self._away += time.perf_counter() - stopped


def by_steps(optimizer: Adam | LBFGS, start: Tensor, watch: Watch, count: int) -> None:
    """Run one of our own optimisers."""
    image = start.clone()
    while watch.evaluations < count:
        optimizer.step(image, watch)
        watch.look(lambda: optimizer.result(image))


def by_scipy(start: Tensor, watch: Watch, count: int) -> None:
    """Run scipy's L-BFGS-B with the same number of pairs; double precision, on numpy arrays."""
    best: list[tuple[float, Tensor]] = []

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        image = torch.from_numpy(x.astype(np.float32)).view_as(start)
        found = watch(image)
        total = float(found.total)
        if not best or total < best[0][0]:
            best[:] = [(total, image)]
        watch.look(lambda: best[0][1])
        # Its tolerances are absolute: a loss of order one per picture suits them badly.
        return 1e4 * total, 1e4 * found.gradient.double().numpy().ravel()

    scipy.optimize.minimize(
        evaluate,
        start.double().numpy().ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=scipy.optimize.Bounds(0, 1),
        options={"maxcor": 10, "maxfun": count, "maxiter": count, "ftol": 0, "gtol": 0},
    )


def prepare(content: str, style: str, size: int) -> tuple[TiledEngine, Tensor, str]:
    """The engine and the start of the one scale."""
    settings = TransferSettings(size=str(size), min_size=size)
    pictures = read_picture(Path(content)), [read_picture(Path(style))]
    job = Transfer(*pictures, settings, Execution(device="cpu"))
    canvas = Canvas(job.size, 16)
    engine = TiledEngine(job._vgg, job._objective(job.scales[0], canvas), tile_px=None)
    start = canvas.extend(resize(job.content.pixels, job.size).clamp(0, 1)).contiguous()
    return engine, start, job.machine.precision


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--evaluations", type=int, default=100)
    chosen = parser.parse_args()
    torch.set_flush_denormal(True)
    engine, start, precision = prepare(chosen.content, chosen.style, chosen.size)
    engine(start)
    count = chosen.evaluations
    marks = sorted({max(1, round(count * share)) for share in (0.1, 0.2, 0.4, 0.6, 0.8, 1)})
    print(f"{chosen.size} px, {precision}, {torch.get_num_threads()} threads")
    runs: dict[str, Callable[[Watch], None]] = {
        "Adam": lambda watch: by_steps(Adam(), start, watch, count),
        "L-BFGS": lambda watch: by_steps(LBFGS(), start, watch, count),
        "scipy L-BFGS-B": lambda watch: by_scipy(start, watch, count),
    }
    for name, run in runs.items():
        watch = Watch(engine, marks)
        run(watch)
        for evaluations, seconds, loss in watch.rows:
            print(f"{name:<15} {evaluations:>4} evaluations {seconds:>6.1f} s  loss {loss:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
