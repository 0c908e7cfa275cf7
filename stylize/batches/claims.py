"""Claims: which run is working on which picture."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stylize.batches.records import state_folder
from stylize.images.atomic import refusals_named

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


_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None

# How file systems say that they have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


class Claim:
    """The right to make one picture, until it is released."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Let others have it. Nothing happens the second time."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class Claims:
    """What this run takes for itself. Leaving the block releases whatever is still held.

    Args:
        output: the batch's folder; made if it does not exist.

    Raises:
        OutputError: the system refuses.
    """

    # An empty lock file is never removed while a run could have it open: that run would hold a
    # lock on a file without a name while the next one locks a new file of the old name, and both
    # would have the same claim. So every run holds the gate, shared, before it opens any lock
    # file, and lock files are removed only by who has the gate alone. The gate itself stays.

    def __init__(self, output: Path) -> None:
        self._folder = state_folder(output) / "claims"
        self._held: set[Claim] = set()
        self._leases = Leases()
        self._closed = False
        gate = self._folder.with_suffix(".lock")
        with refusals_named(gate):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._gate = _enter(gate)

    def take(self, target: str) -> Claim | None:
        """The claim to a picture; None while another run, or this one, holds it.

        Args:
            target: relative to the batch's folder, with slashes.

        Raises:
            OutputError: the system refuses.
            ValueError: everything has been released.
        """
        if self._closed:
            raise ValueError("these claims are closed")
        name = hashlib.sha256(target.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        with refusals_named(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            release = self._taken(name)
        if release is None:
            return None
        claim = Claim(lambda: self._give_back(claim, release))
        self._held.add(claim)
        return claim

    def tidy(self) -> bool:
        """Remove the lock files, if no run is at work here; call it last, and holding nothing.

        Returns:
            Whether they are gone. If not, they do no harm: they are empty, and used again.
        """
        if self._held:
            return False
        if self._gate is None:
            return self._removed()
        try:
            _fcntl.flock(self._gate, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except OSError:
            removed = False
        else:
            removed = self._removed()
        # Also after a refusal, which may have cost the shared lock.
        with refusals_named(self._folder):
            _fcntl.flock(self._gate, _fcntl.LOCK_SH)
        return removed

    def close(self) -> None:
        """Release everything, for good. Nothing happens the second time."""
        if self._closed:
            return
        self._closed = True
        for claim in list(self._held):
            claim.release()
        self._leases.close()
        if self._gate is not None:
            os.close(self._gate)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _taken(self, name: str) -> Callable[[], None] | None:
        if self._gate is None:
            path = self._folder / f"{name}.lease"
            return partial(self._leases.release, path) if self._leases.take(path) else None
        descriptor = _locked(self._folder / f"{name}.lock")
        return None if descriptor is None else partial(_unlock, descriptor, os.getpid())

    def _give_back(self, claim: Claim, release: Callable[[], None]) -> None:
        self._held.discard(claim)
        release()

    def _removed(self) -> bool:
        """Try to remove the lock files and their folder; says whether that went well."""
        with suppress(OSError):
            for path in self._folder.glob("*.lock"):
                path.unlink()
            # Refused while there are leases in it; and who comes for one makes it anew.
            self._folder.rmdir()
        return not self._folder.exists()


def _open(path: Path) -> int:
    # Not for the children: a program that one starts must not keep a claim when the run is killed.
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)


def _enter(gate: Path) -> int | None:
    """The gate, held with others; None where there are no locks."""
    if _fcntl is None:
        return None
    descriptor = _open(gate)
    try:
        _fcntl.flock(descriptor, _fcntl.LOCK_SH)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return descriptor


def _locked(path: Path) -> int | None:
    """The file, held alone; None if someone else holds it."""
    descriptor = _open(path)
    try:
        _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unlock(descriptor: int, owner: int) -> None:
    # Said aloud, since a forked copy of this process would keep the lock by its own descriptor;
    # and not by such a copy, whose lock it is not.
    if os.getpid() == owner:
        _fcntl.flock(descriptor, _fcntl.LOCK_UN)
    os.close(descriptor)
