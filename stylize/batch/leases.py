"""Claims where the system has no locks: files that age unless their holder keeps them young.

A lease is had by making its file, which only one can. A holder that was killed leaves the file
behind; after two minutes without a sign of life, another run takes it over. That rests on one
assumption: a live holder is never kept from touching its files for so long, and no one stands
still for so long between looking at a lease and replacing it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

REFRESH_S = 20.0
STALE_S = 120.0

_NONCE = re.compile(r"[0-9a-f]{16}")
_TORN = "torn"  # stands for the nonce of a lease whose maker did not come to write it
_MAX_LEASE_BYTES = 4096


class Leases:
    """The leases that this process holds, touched by a thread of their own as long as it lives."""

    def __init__(self) -> None:
        self._held: dict[Path, str] = {}
        self._closed = threading.Event()
        self._keeper: threading.Thread | None = None

    def take(self, path: Path) -> bool:
        """Whether the lease of that file is ours now.

        Raises:
            OSError: the system refuses.
        """
        nonce = secrets.token_hex(8)
        if not (_made(path, _text(nonce)) or _taken_over(path, nonce)):
            return False
        self._held[path] = nonce
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="leases", daemon=True)
            self._keeper.start()
        return True

    def release(self, path: Path) -> None:
        """Give a lease back. One that was taken from us meanwhile is left alone."""
        nonce = self._held.pop(path)
        with suppress(OSError), _right_to_end(path, nonce, now=0.0) as right:
            if right and _nonce(path) == nonce:
                path.unlink()

    def close(self) -> None:
        """Stop touching."""
        self._closed.set()

    def _keep(self) -> None:
        while not self._closed.wait(REFRESH_S):
            for path, nonce in self._held.copy().items():
                with suppress(OSError):
                    if _nonce(path) == nonce:
                        os.utime(path)


def _text(nonce: str) -> bytes:
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "time": time.time()}
    return json.dumps({"nonce": nonce, **holder}).encode()


def _made(path: Path, data: bytes = b"") -> bool:
    """Whether the file did not exist, and was made."""
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(data)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    return True


def _nonce(path: Path) -> str:
    """What tells a lease from its predecessors; OSError if there is none."""
    with path.open("rb") as file, suppress(ValueError, TypeError, KeyError, RecursionError):
        nonce = json.loads(file.read(_MAX_LEASE_BYTES))["nonce"]
        if _NONCE.fullmatch(nonce):
            return str(nonce)
    return _TORN


def _taken_over(path: Path, nonce: str) -> bool:
    """Whether the lease was a dead one, and has been replaced by ours."""
    mine = path.with_name(f"{path.stem}-{nonce}.new")
    try:
        _made(mine, _text(nonce))
        # Both times are the file system's: the clocks of two machines may differ by minutes.
        now = mine.stat().st_mtime
        dead = _nonce(path)
        if not _is_stale(path, now):
            return False
        with _right_to_end(path, dead, now) as right:
            # Looked at again, since it may have been replaced before the right was had.
            if not (right and _nonce(path) == dead and _is_stale(path, now)):
                return False
            os.replace(mine, path)
        return True
    except FileNotFoundError:  # given back meanwhile
        return False
    finally:
        mine.unlink(missing_ok=True)


def _is_stale(path: Path, now: float) -> bool:
    return now - path.stat().st_mtime > STALE_S


@contextmanager
def _right_to_end(path: Path, nonce: str, now: float) -> Iterator[bool]:
    """Whether we alone may remove or replace the lease of that nonce, if it still is that one.

    Two runs may find the same lease dead. The slower one must not replace what the faster one
    has just put there, so each lease is ended only by who makes a file named after its nonce. If
    that one dies as well, the right is had by a second such file, and so on: nothing that another
    could still act upon is ever removed.
    """
    guards: list[Path] = []
    for number in count():
        guards.append(path.with_name(f"{path.stem}-{nonce}-{number}.end"))
        if _made(guards[-1]):
            break
        if not _is_stale(guards[-1], now):
            yield False
            return
    try:
        yield True
    finally:
        # Ours goes last: as long as it stands, no second run gets past the first.
        for guard in guards:
            guard.unlink(missing_ok=True)
