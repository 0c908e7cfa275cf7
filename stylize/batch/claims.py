"""Who works on which picture, so that runs on one folder share the work.

A claim is a lock of the system's on an empty file, one for each picture: the system releases it
when its holder ends, however it ends. Where there are no such locks, claims are leases, see
:mod:`stylize.batch.leases`. Locks that a network file system keeps to each machine do not exclude
runs on others; for those there are shards.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stylize.batch.leases import Leases
from stylize.batch.manifest import state_folder
from stylize.images.atomic import refusals_named

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
