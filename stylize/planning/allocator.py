"""Let the C library keep memory from step to step, and from picture to picture."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache
from typing import Any

# Parameters of mallopt(3) in the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


@cache
def _function(name: str) -> Any:
    """Find a function of the C library; None if it is not the GNU one."""
    if not sys.platform.startswith("linux"):
        return None
    with suppress(OSError, AttributeError):
        return getattr(ctypes.CDLL(None), name)
    return None


def keep_buffers() -> None:
    """Keep freed buffers of up to 32 MB instead of giving them back to the system at once.

    Every step frees and takes the same few buffers. Otherwise the system would clear each of their
    pages again, which took a twentieth of the time when measured. At most 1 GB stays free at the
    end of the heap.
    """
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 1 << 30)


def give_back_memory() -> None:
    """Return freed memory to the system, where the C library can do that.

    Left alone, it keeps holes of the sizes of the last picture, which the next one, of other
    sizes, does not fit: after 200 pictures of 200 sizes, they came to a tenth of all memory.
    """
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)
