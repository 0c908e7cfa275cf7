"""What the program does to its own process: variables for native libraries, and torch, late."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from stylize.cli.inputs import decoding

# What users may set to decide how the threads of OpenMP wait, in the runtimes of GNU and LLVM.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")

_DEFAULTS = {
    # torch asks Linux for huge pages where it may: a tenth off every step, measured.
    "THP_MEM_ALLOC_ENABLE": "1",
    # Both keep up to 1024 compiled convolutions, of every size of picture: a twentieth of all
    # memory, measured over a batch. One picture uses some thirty at a time.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "128",
}

# What torch and its libraries read when they are loaded, here and in workers elsewhere.
VARIABLES = (*_DEFAULTS, *_WAITING)


def prepare_environment() -> None:
    """Set the variables that torch and its libraries read when they are loaded, which is later."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    # By default, threads spin while they wait for each other. On a busy machine they keep the
    # threads that they wait for from running. Threads that sleep soon wake up late for short
    # operations. Measured on two cores, a transfer alone, two at once, and one next to a busy
    # program: with 1000 rounds before sleep 10.0, 15.1 and 15.0 s, with 2000 8.4, 16.6 and
    # 16.0 s, with 3000 8.3, 20.0 and 19.4 s, with 10000 7.6, 37.2 and 29.8 s.
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ["GOMP_SPINCOUNT"] = "2000"


def load_torch(pictures: Sequence[Path] = ()) -> None:
    """Import torch, late, so that errors in the arguments do not wait for it.

    Args:
        pictures: files to decode at the same time.
    """
    with decoding(pictures):
        _import_torch()
    import torch

    from stylize.planning.allocator import keep_buffers
    from stylize.planning.limits import require_address_space

    require_address_space()
    # Gradients can fade into denormal numbers, which are slow (PyTorch issue 67797).
    torch.set_flush_denormal(True)
    keep_buffers()


def _import_torch() -> None:
    """Import torch without looking for garbage, in what stays until the process ends.

    The collector would go through it again and again, also at the end: a quarter of the time of
    the import, measured.
    """
    if "torch" in sys.modules or not gc.isenabled():
        return
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()
