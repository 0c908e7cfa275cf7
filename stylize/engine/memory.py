"""How much memory this process may take, as far as the system tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stylize.errors import SettingError

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_AMOUNT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([kmgt]?)b?", re.I)
_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def parse_bytes(text: str) -> float:
    """``7GB``, ``800M`` or plain bytes, in powers of ten.

    Raises:
        SettingError: none of these, or zero.
    """
    match = _AMOUNT.fullmatch(text.strip())
    amount = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    if amount <= 0:
        raise SettingError(f"no such amount of memory: '{text}'", hint="for instance 7GB or 800MB")
    return amount


def available_bytes() -> float | None:
    """Memory that is free for this process: the machine's, and what its control groups leave.

    None where the system does not tell (anywhere but on Linux).
    """
    amounts = list(_found())
    return min(amounts) if amounts else None


def _found() -> Iterator[float]:
    info = _text(_PROC / "meminfo")
    match = re.search(r"^MemAvailable:\s+(\d+) kB", info, re.M)
    if match:
        yield float(match[1]) * 1024
    for folder in _groups():
        limit = _text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes")
        used = _text(folder / "memory.current") or _text(folder / "memory.usage_in_bytes")
        if limit.strip().isdigit() and used.strip().isdigit():
            # What files occupy is given back when it is needed.
            cache = re.search(r"^inactive_file (\d+)", _text(folder / "memory.stat"), re.M)
            yield max(0.0, float(limit) - float(used) + (float(cache[1]) if cache else 0.0))


def _groups() -> Iterator[Path]:
    """The control groups that this process is in, and those around them."""
    for line in _text(_PROC / "self" / "cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "memory"):
            continue
        root = _CGROUP / controllers if controllers else _CGROUP
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
