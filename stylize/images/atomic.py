"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stylize.errors import OutputError


def write_atomically(target: Path, data: bytes) -> None:
    """Write a file under a temporary name beside ``target``, then rename it.

    An existing file is replaced only by a complete one; a symbolic link keeps pointing where it
    does, and the file there is replaced. Permissions follow the umask.

    Raises:
        OutputError: the system refuses; nothing is left behind, ``target`` is as it was.
    """
    with replacing(target) as partial, partial.open("wb") as file:
        file.write(data)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """An empty file beside ``target`` to be filled, which then takes its place.

    Raises:
        OutputError: the system refuses; nothing is left behind, ``target`` is as it was.
    """
    final = Path(os.path.realpath(target))
    with _refusals_named(target):
        _refuse_special(final)
        partial = _partial_name(final.parent)
        try:
            partial.open("xb").close()
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, final)
        finally:
            with suppress(OSError):
                partial.unlink()


def check_writable(path: Path) -> None:
    """Prove, before a long run, that a file can be made where ``path`` will stand.

    Raises:
        OutputError: it cannot; nothing is left behind either way.
    """
    final = Path(os.path.realpath(path))
    with _refusals_named(path):
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
def _refusals_named(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot write {target}: {reason}") from error
