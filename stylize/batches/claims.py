"""Claims: which run is working on which picture."""

from __future__ import annotations

import errno
import hashlib
import re
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from stylize.batches.records import make_folder, state_folder
from stylize.images.atomic import refusals_named
from stylize.video.sharing import Sharing

# How file systems say that they have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

# For less than that, runs hold locks of others to see whether anybody holds them.
_MOMENT_S = 0.02

_NAME = re.compile(r"(?:[0-9a-f]{32}|probe)\.lock")


class Claim:
    """The right to make one picture, until it is released."""

    def __init__(self, claims: Claims, lock: BaseFileLock) -> None:
        self._claims = claims
        self._lock = lock

    def release(self) -> None:
        """Let other runs have the picture. A second call does nothing."""
        self._claims._held.discard(self)
        self._lock.release()

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
    """The pictures and shots that this run works on. Leaving the block releases all of them.

    The system releases the locks of a killed run. A file system without locks gets lock files
    instead (``SoftFileLock``). Those of a killed run count as released only on the same machine.

    Args:
        output: the batch's folder; created if it does not exist.

    Raises:
        OutputError: the system refuses.
    """

    def __init__(self, output: Path) -> None:
        self._folder = state_folder(output) / "claims"
        self._held: set[Claim] = set()
        self._closed = False
        with refusals_named(self._folder):
            make_folder(self._folder)
            self._kind = _kind_of_lock(self._folder)

    def take(self, target: str) -> Claim | None:
        """Claim a picture; None while another run, or this one, holds it.

        Args:
            target: relative to the batch's folder, with slashes.

        Raises:
            OutputError: the system refuses.
            ValueError: the claims are closed.
        """
        if self._closed:
            raise ValueError("these claims are closed")
        with refusals_named(self._folder):
            make_folder(self._folder)
            lock = _acquire(self._kind, self._path(target), _MOMENT_S)
        if lock is None:
            return None
        claim = Claim(self, lock)
        self._held.add(claim)
        return claim

    def _path(self, target: str) -> Path:
        name = hashlib.sha256(target.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._folder / f"{name}.lock"

    def is_held(self, target: str) -> bool:
        """Whether another run, or this one, has a claim that :meth:`take` gave.

        Raises:
            OutputError: the system refuses.
        """
        path = self._path(target)
        if not path.exists():
            return False
        with refusals_named(self._folder):
            lock = _acquire(self._kind, path)
        if lock is not None:
            lock.release()
        return lock is None

    def on_shots(self, token: str) -> Sharing | None:
        """Claims on the shots of a clip.

        Args:
            token: of the clip, see :func:`stylize.batches.tasks.token_of`.

        Returns:
            None where a killed run may hold its claims for ever: others would wait for its shot.
        """
        return None if self._kind is SoftFileLock else Sharing(self, token)

    def tidy(self) -> bool:
        """Remove the lock files that no run holds; True if none is left."""
        for path in self._files():
            with suppress(OSError):
                lock = _acquire(self._kind, path)
                if lock is not None:
                    try:
                        # While it is locked: filelock refuses a lock on a file without a name.
                        path.unlink(missing_ok=True)
                    finally:
                        lock.release()
        return not self._files()

    def _files(self) -> list[Path]:
        """The lock files that have a name of ours, unless the folder is a link by now."""
        if self._folder.is_symlink() or self._folder.parent.is_symlink():
            return []
        found = self._folder.glob("*.lock")
        return [each for each in found if _NAME.fullmatch(each.name) and not each.is_symlink()]

    def close(self) -> None:
        """Release everything, for good. A second call does nothing."""
        self._closed = True
        for claim in list(self._held):
            claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _kind_of_lock(folder: Path) -> type[BaseFileLock]:
    probe = folder / "probe.lock"
    try:
        with warnings.catch_warnings(action="error", category=UserWarning):
            lock = _acquire(FileLock, probe)
    except (UserWarning, OSError) as error:
        # The warning says that FileLock has fallen back to a lock file by itself.
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        probe.unlink(missing_ok=True)
        return SoftFileLock
    if lock is not None:
        lock.release()
    return FileLock


def _acquire(kind: type[BaseFileLock], path: Path, timeout_s: float = 0.0) -> BaseFileLock | None:
    # A claim may be released by another thread than the one that took it.
    lock = kind(path, timeout=timeout_s, poll_interval=_MOMENT_S / 2, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock
