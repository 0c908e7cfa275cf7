"""Keep the verdicts of this machine's self-tests between runs. No torch."""

from __future__ import annotations

import json
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from stylize.directories import cache_directory
from stylize.errors import OutputError
from stylize.images.atomic import write_atomically

# More bytes than all verdicts of a machine take, and a larger number than any of them holds.
_MOST_BYTES, _MOST = 1 << 20, 1e9

# Slower or faster than this is a mistake of the clock, for instance after a machine's sleep.
_LEAST_SPEED = 1e-4


@dataclass(frozen=True)
class Verdict:
    """The result of a self-test.

    Attributes:
        precision: ``bf16`` or ``fp32``, the faster one that is exact enough.
        gflops: reached in that precision, in the convolutions of one evaluation.
        speedup: time in fp32 over time in bf16.
        cosine: between the two gradients with respect to the picture; 0 if bf16 was so slow that
            it was not compared.
    """

    precision: str
    gflops: float
    speedup: float
    cosine: float


def recall(key: str) -> Verdict | None:
    """Return the verdict under this key, if there is one."""
    return _read().get(key)


def latest() -> Verdict | None:
    """Return the newest verdict, if any."""
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


def correct_rate(key: str, speed: float) -> None:
    """Correct the rate of a verdict by a finished run.

    A faster run shows what the machine can do. A slower one may have shared the machine with other
    programs, so it counts by half.

    Args:
        key: of the verdict.
        speed: predicted time over measured time.
    """
    verdict = recall(key)
    if verdict is None or not _LEAST_SPEED < speed < 1 / _LEAST_SPEED:
        return
    factor = speed if speed > 1 else (1 + speed) / 2
    remember(key, replace(verdict, gflops=verdict.gflops * factor))


def _path() -> Path:
    return cache_directory() / "machine.json"


def _read() -> dict[str, Verdict]:
    """Read the verdicts, oldest first; a damaged file counts as empty."""
    try:
        path = _path()
        if not stat.S_ISREG(path.stat().st_mode) or path.stat().st_size > _MOST_BYTES:
            return {}
        document = json.loads(path.read_text("utf-8"))
        found = {key: Verdict(**value) for key, value in document.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return found if all(map(_is_sound, found.values())) else {}


def _is_sound(verdict: Verdict) -> bool:
    numbers = (verdict.gflops, verdict.speedup, verdict.cosine)
    return (
        verdict.precision in ("bf16", "fp32")
        and all(type(each) in (int, float) and abs(each) < _MOST for each in numbers)
        # Costs are divided by them, and stay floats.
        and verdict.gflops > 1 / _MOST
        and verdict.speedup > 1 / _MOST
    )
