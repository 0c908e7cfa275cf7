"""Limits that the system sets for this process: memory and processors. No torch."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from stylize.errors import StylizeError

# Elsewhere limits on memory are not enforced. Not later: then memory may have run out.
_RESOURCE: Any = import_module("resource") if sys.platform.startswith("linux") else None

_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")

# Less than this is not enough for a network and the smallest picture.
LEAST_BYTES = 0.5e9


def available_bytes() -> float | None:
    """Return the memory that this process may still use: the machine's, or what limits allow.

    None where the system does not say.
    """
    amounts = [*_machine(), *_group_allowances()]
    space = _address_space()
    if space is not None:
        # What a run needs is counted with the libraries, which are mapped already.
        amounts.append(sum(space))
    return min(amounts) if amounts else None


def available_processors() -> int | None:
    """Return how many processors this process may use, by its affinity and its control groups.

    A quota of one and a half processors counts as two. None where the system does not say.
    """
    counts = [math.ceil(quota) for quota in _quotas()]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    return max(1, min(counts)) if counts else None


def require_address_space(least_bytes: float = LEAST_BYTES) -> None:
    """Refuse to work where a limit such as ``ulimit -v`` leaves too little.

    Native libraries end the process, or worse, when they get no memory.

    Raises:
        StylizeError: less than this is left.
    """
    space = _address_space()
    if space is not None and space[0] < least_bytes:
        raise StylizeError(out_of_memory())


def out_of_memory() -> str:
    """Say in one line that memory ran out, and what helps."""
    limit = _limit()
    if limit is None:
        return "the machine's memory does not hold a picture of this size (a smaller --size does)"
    return f"this process may use only {limit[1] / 1e9:.1f} GB of memory ({more_memory()})"


def has_memory_limit() -> bool:
    """Whether a limit such as ``ulimit -v`` is in force, under which threads take their share."""
    return _limit() is not None


def more_memory() -> str:
    """Say how to get more memory."""
    limit = _limit()
    if limit is None:
        return "close other programs or raise --max-memory"
    return f"raise the limit with 'ulimit -{limit[0]} unlimited', or ask your batch system for more"


def _limit() -> tuple[str, float] | None:
    """Return the option of ``ulimit`` and the bytes of the lowest limit of this process."""
    if _RESOURCE is None:
        return None
    limits = []
    for option, kind in (("v", _RESOURCE.RLIMIT_AS), ("d", _RESOURCE.RLIMIT_DATA)):
        soft, _ = _RESOURCE.getrlimit(kind)
        if soft != _RESOURCE.RLIM_INFINITY:
            limits.append((option, float(soft)))
    return min(limits, key=lambda each: each[1], default=None)


def _address_space() -> tuple[float, float] | None:
    """Return how much address space is left and how much is resident; None without a limit."""
    limit = _limit()
    if limit is None:
        return None
    import psutil  # noqa: PLC0415

    with suppress(OSError, psutil.Error):
        used = psutil.Process().memory_info()
        return max(0.0, limit[1] - (used.vms if limit[0] == "v" else used.data)), float(used.rss)
    return None


def _machine() -> Iterator[float]:
    import psutil  # noqa: PLC0415

    with suppress(OSError, RuntimeError, psutil.Error):
        yield float(psutil.virtual_memory().available)


def _group_allowances() -> Iterator[float]:
    for folder in _groups("memory"):
        limit = _text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes")
        used = _text(folder / "memory.current") or _text(folder / "memory.usage_in_bytes")
        if limit.strip().isdigit() and used.strip().isdigit():
            # The kernel gives the file cache back when memory is needed.
            cache = re.search(r"^inactive_file (\d+)", _text(folder / "memory.stat"), re.M)
            yield max(0.0, float(limit) - float(used) + (float(cache[1]) if cache else 0.0))


def _quotas() -> Iterator[float]:
    for folder in _groups("cpu"):
        first = _text(folder / "cpu.max").split()
        second = [_text(folder / f"cpu.cfs_{each}_us").strip() for each in ("quota", "period")]
        for words in (first, second):
            # Without a quota the first word is "max", in version 1 "-1".
            if len(words) == 2 and all(map(str.isdigit, words)) and int(words[1]):
                yield int(words[0]) / int(words[1])


def _groups(controller: str) -> Iterator[Path]:
    """Find the control groups of this process and those around them; none except on Linux."""
    for line in _text(_PROC / "self" / "cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        # Controllers that share a hierarchy of version 1 are linked to their common folder.
        names = {controllers, controller} if controllers else {""}
        for root in (_CGROUP / name for name in sorted(names)):
            folder = root / path.lstrip("/")
            while folder != root and root in folder.parents:
                yield folder
                folder = folder.parent
            yield root


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
