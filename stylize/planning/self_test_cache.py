"""What the self-tests of this machine found, remembered between runs. No torch."""

from __future__ import annotations

import json
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from stylize.directories import cache_directory
from stylize.errors import OutputError
from stylize.images.atomic import write_atomically

# Far more than the verdicts of any machine take.
_MOST_BYTES = 1 << 20

# Far beyond any machine's, and what costs can be divided by without leaving the floats.
_LEAST_FIGURE, _MAX_FIGURE = 1e-6, 1e12


@dataclass(frozen=True)
class Verdict:
    """What the self-test found.

    Attributes:
        precision: ``bf16`` or ``fp32``, the faster one that is exact enough.
        gflops: reached in that precision, in the convolutions of one evaluation.
        speedup: time in fp32 over time in bf16.
        cosine: between the two gradients with respect to the picture.
    """

    precision: str
    gflops: float
    speedup: float
    cosine: float


def recall(key: str) -> Verdict | None:
    """The verdict under this key, if there is one."""
    return _read().get(key)


def latest() -> Verdict | None:
    """The verdict that was found last, if any."""
    verdicts = list(_read().values())
    return verdicts[-1] if verdicts else None


def remember(key: str, verdict: Verdict) -> None:
    """Keep a verdict; a cache that cannot be written only costs the next run a self-test."""
    known = {name: each for name, each in _read().items() if name != key} | {key: verdict}
    text = json.dumps({name: asdict(each) for name, each in known.items()}, indent=1)
    path = _path()
    # A link may be another user's, in a shared cache: what it points to is not ours to replace.
    if path.is_symlink():
        return
    with suppress(OutputError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())


def _path() -> Path:
    return cache_directory() / "machine.json"


def _read() -> dict[str, Verdict]:
    """Remembered verdicts in the order they were found; a damaged file counts as none."""
    try:
        path = _path()
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            return {}
        document = json.loads(path.read_text("utf-8"))
        verdicts = {key: Verdict(**value) for key, value in document.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return {key: verdict for key, verdict in verdicts.items() if _is_sound(verdict)}


def _is_sound(verdict: Verdict) -> bool:
    return (
        verdict.precision in ("bf16", "fp32")
        and all(
            isinstance(each, int | float) and _LEAST_FIGURE <= each <= _MAX_FIGURE
            for each in (verdict.gflops, verdict.speedup)
        )
        and isinstance(verdict.cosine, int | float)
        and abs(verdict.cosine) <= 2  # of rounded figures
    )
