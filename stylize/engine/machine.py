"""Where the work is done and how precisely: devices, the self-test, its cached verdict."""

from __future__ import annotations

import hashlib
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylize.engine.calibration import Verdict, recall, remember
from stylize.engine.layout import USABLE
from stylize.engine.memory import available_bytes, parse_bytes
from stylize.engine.plan import network_flop_per_px
from stylize.errors import UsageError
from stylize.networks.store import Weights
from stylize.networks.trunk import Trunk
from stylize.settings import Execution

PROBE_LAYER = "relu5_1"
PROBE_SIZE = 192
# Below this cosine between gradients in bf16 and fp32 the faster arithmetic is not trusted.
LEAST_COSINE = 0.99


@dataclass(frozen=True)
class Machine:
    """An execution request, resolved.

    Attributes:
        device: ``cpu``, ``cuda:0`` …
        precision: ``bf16`` or ``fp32``.
        threads: CPU threads in use.
        gflops: what the self-test reached; None where it was not run.
    """

    device: str
    precision: str
    threads: int
    gflops: float | None = None


def resolve(execution: Execution, weights: Weights) -> Machine:
    """Choose device and precision; measures once per machine, then remembers.

    Raises:
        UsageError: a device was named that this machine does not have.
    """
    if execution.threads is not None:
        torch.set_num_threads(execution.threads)
    device = choose_device(execution.device)
    if device == "mps":
        # No bf16 convolutions to rely on, see PyTorch issues 174269 and 175190.
        return Machine(device, "fp32", torch.get_num_threads())
    if device.startswith("cuda"):
        # By default convolutions of float32 run on TensorFloat-32: 4 % off in the gradient.
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    verdict = verdict_for(device, weights)
    precision = verdict.precision if execution.precision == "auto" else execution.precision
    gflops = verdict.gflops
    if precision != verdict.precision:
        gflops *= verdict.speedup if precision == "bf16" else 1 / verdict.speedup
    return Machine(device, precision, torch.get_num_threads(), gflops)


def budget_bytes(execution: Execution, machine: Machine) -> float | None:
    """Memory that a run may plan with: what was allowed, or most of what is free now.

    None where nothing is known.
    """
    if execution.max_memory is not None:
        return parse_bytes(execution.max_memory)
    if machine.device.startswith("cuda"):
        return USABLE * torch.cuda.mem_get_info(machine.device)[0]
    free = available_bytes() if machine.device == "cpu" else None
    return None if free is None else USABLE * free


def choose_device(requested: str) -> str:
    """A device that exists; ``auto`` prefers cuda, then mps, then the CPU.

    Raises:
        UsageError: the device named is not there.
    """
    present = available_devices()
    if requested == "auto":
        return present[0]
    name = "cuda:0" if requested == "cuda" else requested
    if name not in present:
        raise UsageError(
            f"this machine has no device '{requested}'", hint=f"it has: {', '.join(present)}"
        )
    return name


def available_devices() -> list[str]:
    """Devices of this machine, the preferred one first."""
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def verdict_for(device: str, weights: Weights) -> Verdict:
    """The self-test's verdict, from the cache if this machine has been tested before."""
    key = fingerprint(device, weights)
    known = recall(key)
    if known is not None:
        return known
    verdict = self_test(device, weights)
    remember(key, verdict)
    return verdict


def fingerprint(device: str, weights: Weights) -> str:
    """What a verdict depends on: processor, torch, threads, device, weights."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    parts = (name, device, torch.__version__, torch.get_num_threads(), weights.sha256)
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def processor() -> str:
    """Name and instruction sets of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    told = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    named = {key.strip(): value.strip() for key, value in told.items()}
    return " ".join((named.get("model name", platform.machine()), named.get("flags", "")))


def self_test(device: str, weights: Weights) -> Verdict:
    """Compare bf16 with fp32 on the real trunk and a small picture: gradient and time."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, PROBE_SIZE // 8, PROBE_SIZE // 8, generator=generator)
    image = torch.nn.functional.interpolate(image, scale_factor=8, mode="bilinear").to(device)
    found = {each: _probe(device, weights, each, image) for each in ("fp32", "bf16")}
    cosine = float(
        torch.nn.functional.cosine_similarity(
            found["fp32"][0].flatten(), found["bf16"][0].flatten(), dim=0
        )
    )
    speedup = found["fp32"][1] / found["bf16"][1]
    precision = "bf16" if cosine > LEAST_COSINE and speedup > 1 else "fp32"
    flop = network_flop_per_px(weights.architecture, (PROBE_LAYER,)) * PROBE_SIZE**2
    return Verdict(precision, flop / found[precision][1] / 1e9, speedup, cosine)


@torch.enable_grad()
def _probe(device: str, weights: Weights, precision: str, image: Tensor) -> tuple[Tensor, float]:
    """Gradient of the deepest layer's energy, and the best of three times, in seconds."""
    trunk = Trunk(weights, (PROBE_LAYER,), precision=precision, device=device)
    best = float("inf")
    for _ in range(3):
        leaf = image.detach().requires_grad_()
        started = time.perf_counter()
        features = trunk(leaf)[PROBE_LAYER]
        (gradient,) = torch.autograd.grad(features, leaf, features.detach())
        float(gradient.sum())
        best = min(best, time.perf_counter() - started)
    return gradient.float(), best
