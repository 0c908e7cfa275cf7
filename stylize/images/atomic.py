"""Write files completely or not at all."""

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
    """Write a file under a temporary name next to ``target``, then rename it.

    An existing file is replaced only by a complete one. The target of a symbolic link is replaced,
    not the link. Permissions follow the umask.

    Args:
        token: as :func:`replacing` takes it.

    Raises:
        OutputError: the system refuses; nothing is left behind, ``target`` is as it was.
    """
    with replacing(target, token=token) as partial, partial.open("wb") as file:
        file.write(data)


@contextmanager
def replacing(target: Path, *, token: str | None = None) -> Iterator[Path]:
    """Yield an empty file next to ``target`` to be filled, which then replaces it.

    Args:
        token: gives the temporary file a fixed name, so that the next run removes what a killed
            run left; the caller makes sure that nobody else writes under that name at the same
            time. By default the name is random.

    Raises:
        OutputError: the system refuses; nothing is left behind, ``target`` is as it was.
        ValueError: the token has other characters than letters, digits, ``-`` and ``_``.
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
    """Return the temporary file that a killed run may have left next to ``target``.

    Raises:
        ValueError: the token has other characters than letters, digits, ``-`` and ``_``.
    """
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"token {token!r}")
    return Path(os.path.realpath(target)).parent / f".stylize-{token}.part"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, if the system can do that."""
    # Windows cannot open folders and some file systems do not sync them. No refusal is worth an
    # error, because the file is complete under its name.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(path: Path) -> None:
    """Check before a long run that the file ``path`` can be created.

    Raises:
        OutputError: it cannot. Nothing is left behind either way.
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
    """Raise OSError for a folder, a device, a pipe, or an impossible name."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(final.stat().st_mode):
            raise OSError("not a regular file")


def _partial_name(folder: Path) -> Path:
    """Make a hidden, random name whose length does not depend on the target's."""
    return folder / f".stylize-{secrets.token_hex(8)}.part"


@contextmanager
def refusals_named(target: Path) -> Iterator[None]:
    """Turn an OSError into an :class:`OutputError` about ``target``."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot write {target}: {reason}") from error
