"""Choose the device, the precision and the number of threads."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import torch

from stylize.errors import UsageError
from stylize.networks.models import Weights
from stylize.planning.limits import available_bytes, available_processors
from stylize.planning.memory import USABLE
from stylize.planning.self_test_cache import Verdict
from stylize.settings.execution import Execution, parse_bytes


@dataclass(frozen=True)
class Device:
    """An execution request, resolved.

    Attributes:
        name: ``cpu``, ``cuda:0`` …
        precision: ``bf16`` or ``fp32``.
        threads: CPU threads in use.
        gflops: reached in the self-test and corrected by later runs; None without a self-test.
        key: under which the self-test's verdict is kept; None where there is none.
    """

    name: str
    precision: str
    threads: int
    gflops: float | None = None
    key: str | None = field(default=None, compare=False)


# The process that has used PyTorch's threads.
_owner: dict[str, int] = {}


def prepare_device(execution: Execution) -> str:
    """Choose the device of a run; set the number of threads and the arithmetic of CUDA.

    Raises:
        UsageError: a device was named that this machine does not have.
    """
    if execution.threads is not None:
        torch.set_num_threads(execution.threads)
    else:
        # PyTorch's own default knows the affinity, but no quota.
        allowed = available_processors()
        if allowed is not None and allowed < torch.get_num_threads():
            torch.set_num_threads(allowed)
    device = choose_device(execution.device)
    if device.startswith("cuda"):
        # By default convolutions of float32 run on TensorFloat-32: 4 % off in the gradient.
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    return device


def require_own_threads() -> None:
    """Refuse to wait for threads that a fork has not copied; OpenMP would wait forever.

    Raises:
        UsageError: this process was forked from one that had used PyTorch's threads.
    """
    if torch.get_num_threads() > 1 and _owner.setdefault("pid", os.getpid()) != os.getpid():
        raise UsageError(
            "this process was forked after its parent had used stylize, so that PyTorch's threads"
            " are missing here",
            hint="start processes with multiprocessing.get_context('spawn'), or call"
            " torch.set_num_threads(1) first",
        )


def with_verdict(execution: Execution, device: str, verdict: Verdict) -> Device:
    """Describe the device with the requested precision, or with the best of the self-test."""
    precision = verdict.precision if execution.precision == "auto" else execution.precision
    gflops = verdict.gflops
    if precision != verdict.precision:
        gflops *= verdict.speedup if precision == "bf16" else 1 / verdict.speedup
    return Device(device, precision, torch.get_num_threads(), gflops)


def budget_bytes(execution: Execution, device: Device) -> float | None:
    """Return the memory that a run may plan with: the limit, or most of the free memory.

    None where nothing is known.
    """
    if execution.max_memory is not None:
        return parse_bytes(execution.max_memory)
    if device.name.startswith("cuda"):
        return USABLE * torch.cuda.mem_get_info(device.name)[0]
    free = available_bytes() if device.name == "cpu" else None
    return None if free is None else USABLE * free


def choose_device(requested: str) -> str:
    """Choose a device that exists; ``auto`` prefers cuda, then mps, then the CPU.

    Raises:
        UsageError: this machine does not have the device.
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
    """List the devices of this machine, the preferred one first."""
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def fingerprint(device: str, weights: Weights) -> str:
    """Name everything that a verdict depends on: processor, torch, threads, device, weights."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    parts = (name, device, torch.__version__, torch.get_num_threads(), weights.sha256)
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def processor() -> str:
    """Name the processor and its instruction sets, as far as the system says."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            # Only the first: the system asks each processor for its frequency when it is read.
            lines = list(takewhile(str.strip, file))
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    named = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    return " ".join((named.get("model name", platform.machine()), named.get("flags", "")))
