"""What this machine can do, and how much of it an evaluation reaches."""

from __future__ import annotations

import cProfile
import pstats
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.report.pairs import Pair
from stylize.gradients.canvas import Canvas
from stylize.gradients.self_test import resolve
from stylize.gradients.tiled import TiledEngine
from stylize.images.read import read_picture
from stylize.networks.models import load_weights
from stylize.planning.allocator import keep_buffers
from stylize.planning.cost import network_flop_per_px
from stylize.planning.device import processor
from stylize.products.transfer.transfer import Transfer
from stylize.settings.execution import Execution
from stylize.settings.schedule import Scale
from stylize.settings.transfer import TransferSettings

# What an evaluation consists of: functions that do not call each other, as FILE:NAME.
PARTS = {
    "convolutions, the ReLU included": (
        "~:<built-in method torch.conv2d>",
        "~:<built-in method torch.conv_transpose2d>",
        "~:<built-in method torch._ops.mkldnn._convolution_pointwise>",
        "winograd.py:__call__",
    ),
    "matrix products of the style's statistics": (
        "statistics.py:sums_of",
        "statistics.py:linear_gradient",
    ),
    "Wasserstein distance of the statistics": ("wasserstein.py:__call__",),
    "poolings": ("fast_pass.py:max_pool", "fast_pass.py:max_unpool"),
    "masks of the ReLU on the way back": (
        "fast_pass.py:keep_where",
        "fast_pass.py:keep_where_positive",
    ),
    "smoothness": ("loss.py:value_and_gradient",),
}
CONVOLUTIONS = next(iter(PARTS))

STYLIZE = (sys.executable, "-m", "stylize")


class Evaluation(NamedTuple):
    """One evaluation of the default objective.

    Attributes:
        side: long side of the picture.
        seconds: best of five.
        shares: of the time, by :data:`PARTS`.
        gflops: reached in the convolutions alone.
    """

    side: int
    precision: str
    seconds: float
    shares: dict[str, float]
    gflops: float


def usual_precision() -> str:
    """The precision of runs on this machine, by its self-test."""
    return resolve(Execution(), load_weights(TransferSettings().network)).precision


def matmul_gflops(dtype: torch.dtype, side: int = 4096) -> float:
    """The best rate of five products of square matrices."""
    one, two = torch.rand(side, side).to(dtype), torch.rand(side, side).to(dtype)
    return 2 * side**3 / best_of(5, lambda: one @ two) / 1e9


def best_of(times: int, work: Callable[[], object]) -> float:
    """The shortest of so many runs, in seconds."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def evaluation(pair: Pair, side: int, precision: str) -> Evaluation:
    """Time one evaluation, and how much of it is in convolutions."""
    keep_buffers()
    transfer = Transfer(
        read_picture(pair.content),
        [read_picture(pair.style)],
        TransferSettings(size=str(side), enlarge=True),
        Execution(precision=precision),
    )
    canvas = Canvas(transfer.size, 16)
    objective = transfer._objective(Scale(*transfer.size, 1), canvas)
    engine = TiledEngine(transfer._vgg, objective, tile_px=None)
    image = transfer._enlarged(None, canvas)
    seconds = best_of(5, lambda: engine(image))
    shares = shares_of(lambda: engine(image))
    layers = transfer._vgg.layers
    flop = network_flop_per_px(transfer.weights.architecture, layers)
    flop *= image.shape[2] * image.shape[3]
    reached = flop / (shares[CONVOLUTIONS] * seconds) / 1e9
    return Evaluation(side, precision, seconds, shares, reached)


def shares_of(work: Callable[[], object]) -> dict[str, float]:
    """The shares of :data:`PARTS` in the time that some work takes."""
    watched = cProfile.Profile()
    for _ in range(5):
        watched.runcall(work)
    found: Any = pstats.Stats(watched)
    times = {f"{Path(file).name}:{name}": each[3] for (file, _, name), each in found.stats.items()}
    shares = {
        part: sum(times.get(name, 0.0) for name in names) / found.total_tt
        for part, names in PARTS.items()
    }
    if missing := [part for part, share in shares.items() if not share]:
        raise SystemExit(f"no function found for: {', '.join(missing)}")
    return shares


def bytes_per_px(pair: Pair, precision: str) -> float:
    """Slope of the peak resident memory from 1 to 4 MP, of whole commands with Adam."""
    peaks = [peak_bytes(pair, megapixels, precision) for megapixels in (1, 4)]
    return (peaks[1] - peaks[0]) / 3e6


def peak_bytes(pair: Pair, megapixels: int, precision: str) -> int:
    """Peak resident memory of a command that paints so many for two steps, at one size."""
    code = (
        "import resource, subprocess, sys;"
        " subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [
        *(*STYLIZE, "transfer", str(pair.content), str(pair.style), "-o", "-", "--format", "jpeg"),
        *("--size", f"{megapixels}MP", "--enlarge", "--min-size", "4096", "--steps", "2"),
        *("--optimizer", "adam", "--precision", precision, "--max-memory", "16GB", "-q"),
    ]
    reported = subprocess.run(
        [sys.executable, "-c", code, *command], check=True, capture_output=True
    ).stdout
    return int(reported) * 1024


def whole_command(pair: Pair, *options: str) -> float:
    """Seconds of a command, start-up and saving included; the better of two."""
    command = [*STYLIZE, "transfer", str(pair.content), str(pair.style), "-o", "-", "-q", *options]
    return best_of(2, lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def device_name(device: str) -> str:
    """A device in words."""
    return "the CPU" if device == "cpu" else torch.cuda.get_device_name(device)


def description() -> str:
    """Processor, threads, torch."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    known = [each for each in ("avx2", "avx512_bf16", "amx_bf16") if each in processor()]
    name = names[0] if names else processor()
    return (
        f"{name} ({', '.join(known)}), {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
