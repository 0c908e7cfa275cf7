"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stylize.errors import OutputError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,80}")


def write_atomically(target: Path, data: bytes, *, token: str | None = None) -> None:
    """Write a file under a temporary name beside ``target``, then rename it.

    An existing file is replaced only by a complete one; a symbolic link keeps pointing where it
    does, and the file there is replaced. Permissions follow the umask.

    Args:
        token: as :func:`replacing` takes it.

    Raises:
        OutputError: the system refuses; nothing is left behind, ``target`` is as it was.
    """
    with replacing(target, token=token) as partial, partial.open("wb") as file:
        file.write(data)


@contextmanager
def replacing(target: Path, *, token: str | None = None) -> Iterator[Path]:
    """An empty file beside ``target`` to be filled, which then takes its place.

    Args:
        token: gives the temporary file a name that can be told again, so that what a killed run
            left there is removed by the next; the caller sees to it that nobody else writes
            under that name at the time. By default the name is random.

    Raises:
        OutputError: the system refuses; nothing is left behind, ``target`` is as it was.
        ValueError: a token that is more than letters, digits, ``-`` and ``_``.
    """
    final = Path(os.path.realpath(target))
    with refusals_named(target):
        _refuse_special(final)
        partial = _partial_name(final.parent) if token is None else stale_partial(target, token)
        try:
            if token is not None:
                partial.unlink(missing_ok=True)
            partial.open("xb").close()
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, final)
        finally:
            with suppress(OSError):
                partial.unlink()
        sync_folder(final.parent)


def stale_partial(target: Path, token: str) -> Path:
    """Where a run that was killed has left what it had of ``target``; need not exist.

    Raises:
        ValueError: a token that is more than letters, digits, ``-`` and ``_``.
    """
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"token {token!r}")
    return Path(os.path.realpath(target)).parent / f".stylize-{token}.part"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power cut, where the system can do that."""
    # Windows opens no folders and some file systems do not sync them. Nor is any other refusal
    # worth an error: the file is there, whole, under its name.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(path: Path) -> None:
    """Prove, before a long run, that a file can be made where ``path`` will stand.

    Raises:
        OutputError: it cannot; nothing is left behind either way.
    """
    final = Path(os.path.realpath(path))
    with refusals_named(path):
        _refuse_special(final)
        partial = _partial_name(final.parent)
        try:
            partial.open("xb").close()
        finally:
            with suppress(OSError):
                partial.unlink()


def _refuse_special(final: Path) -> None:
    """Raise OSError for a folder, a device, a pipe, or a name the file system does not take."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(final.stat().st_mode):
            raise OSError("not a regular file")


def _partial_name(folder: Path) -> Path:
    """Hidden and, by 64 random bits, no one else's; its length does not grow with the target's."""
    return folder / f".stylize-{secrets.token_hex(8)}.part"


@contextmanager
def refusals_named(target: Path) -> Iterator[None]:
    """Make an :class:`OutputError` about ``target`` of whatever the system refuses."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot write {target}: {reason}") from error
