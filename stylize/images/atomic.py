"""Write files that are complete or absent, and never replace one without being asked.

A file is written under a hidden temporary name in the folder of its target, then published under
its own name: by a rename where it may replace an existing file, otherwise by a step that fails if
the name is taken. The temporary file is locked while its writer lives, so that a later run can
tell what a killed run left behind and remove it.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from stylize.errors import OutputError

# Windows has no such locks, and renames no open files.
_FCNTL: Any = import_module("fcntl") if os.name == "posix" else None

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TEMPORARY = re.compile(r"\.stylize-[0-9a-f]{16}\.(?:part|lock)")
_SCRATCH = re.compile(r"\.stylize-[0-9a-f]{16}\.work")
# What a file system answers that has no hard links (exFAT, SMB, some FUSE).
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
_MOST_REFUSALS, _PAUSE_S = 2, 0.01
_RENAME_NOREPLACE, _RENAME_EXCL, _AT_FDCWD = 1, 4, -100
_MAX_NAME_BYTES = 255
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass
class NewFile:
    """A file that is being written.

    Attributes:
        partial: the temporary file, empty at first.
        final: the file's own name; after publishing, the name it was given.
    """

    partial: Path
    final: Path


def write_atomically(
    target: Path,
    data: bytes,
    *,
    overwrite: bool = True,
    numbered: bool = True,
    token: str | None = None,
    follow_links: bool = True,
) -> Path:
    """Write a file; see :func:`new_file`.

    Returns:
        Where it was written.
    """
    with new_file(
        target, overwrite=overwrite, numbered=numbered, token=token, follow_links=follow_links
    ) as file:
        file.partial.write_bytes(data)
    return file.final


@contextmanager
def new_file(
    target: Path,
    *,
    overwrite: bool,
    numbered: bool = True,
    token: str | None = None,
    follow_links: bool = True,
) -> Iterator[NewFile]:
    """A temporary file in the folder of ``target``, published at the end of the block.

    Permissions follow the umask.

    Args:
        target: the file to write.
        overwrite: replace an existing file, but only by a complete one. Otherwise nothing is ever
            replaced.
        numbered: if ``target`` exists by the time the file is complete, and is not to be replaced,
            publish the file as ``NAME-2``, ``NAME-3`` …; otherwise the new file is dropped.
        token: gives the temporary file a predictable name, so that the next run replaces what a
            killed run left; the caller must ensure that no one else uses the token meanwhile.
        follow_links: with ``overwrite``, replace the file that a symbolic link points to and keep
            the link; otherwise replace the link itself. For names that no user has typed, False.

    Raises:
        OutputError: the system refuses, or ``target`` exists and may be neither replaced nor
            numbered; nothing is left behind, ``target`` is as it was.
        ValueError: the token has characters other than letters, digits, ``-`` and ``_``.
    """
    with refusals_named(target), ExitStack() as stack:
        final = _final(target, follow_links=overwrite and follow_links)
        if overwrite:
            _refuse_special(final, follow_links=follow_links)
        partial = _created(final, token, stack)
        file = NewFile(partial, target)
        yield file
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        published = _publish(partial, final, overwrite=overwrite, numbered=numbered)
        sync_folder(final.parent)
        file.final = target if overwrite else target.with_name(published.name)


def _created(final: Path, token: str | None, stack: ExitStack) -> Path:
    """Create a temporary file for ``final``; ``stack`` unlocks and removes it."""
    while True:
        partial = _hidden_name(final.parent) if token is None else stale_partial(final, token)
        if token is not None:
            partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
        locked = lock(descriptor)
        # Another run may have taken it for a leftover before it was locked.
        if locked is None or (locked and _is_at(descriptor, partial)):
            break
        os.close(descriptor)
    stack.callback(_discard, partial)
    if locked is None:
        os.close(descriptor)
    else:
        stack.callback(os.close, descriptor)
    return partial


def numbered_names(path: Path) -> Iterator[Path]:
    """``path``, then the same with ``-2``, ``-3`` … after the stem."""
    yield path
    for number in count(2):
        end = f"-{number}{path.suffix}"
        stem, most = os.fsencode(path.stem), _MAX_NAME_BYTES - len(os.fsencode(end))
        short = path.stem if len(stem) <= most else stem[:most].decode(errors="ignore")
        yield path.with_name(short + end)


def stale_partial(target: Path, token: str) -> Path:
    """Where a killed run left what it had of ``target``; need not exist.

    Raises:
        ValueError: the token has characters other than letters, digits, ``-`` and ``_``.
    """
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"token {token!r}")
    return Path(os.path.realpath(target.parent)) / f".stylize-{token}.part"


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed runs left in a folder.

    Only what has a name of ours and is not locked by a running program is removed, and no link;
    where files cannot be locked, nothing is.
    """
    if _FCNTL is None:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            is_file = entry.is_file(follow_symlinks=False) and _TEMPORARY.fullmatch(entry.name)
            if is_file or (entry.is_dir(follow_symlinks=False) and _SCRATCH.fullmatch(entry.name)):
                _remove_if_unlocked(Path(entry.path))


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A hidden folder for temporary files, removed at the end, or by the next run after a kill.

    Raises:
        OSError: the system refuses.
    """
    remove_leftovers(parent)
    with ExitStack() as stack:
        while True:
            folder = _hidden_name(parent, "work")
            folder.mkdir(0o700)
            # Windows opens no folders.
            descriptor = os.open(folder, os.O_RDONLY) if _FCNTL is not None else None
            if descriptor is None:
                break
            stack.callback(os.close, descriptor)
            if lock(descriptor) is not False and _is_at(descriptor, folder):
                break
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reserved(path: Path) -> Iterator[bool]:
    """Reserve a name for a file that will be written later, by a hidden lock file.

    Yields:
        Whether the name is ours; False if another run has reserved it. Where files cannot be
        locked it is ours without a lock.
    """
    lock_file = path.parent / f".stylize-{_digest(path.name)}.lock"
    try:
        descriptor, locked = _open_locked(lock_file)
    except OSError:
        yield True
        return
    try:
        yield locked is not False
    finally:
        if locked:
            _discard(lock_file)
        os.close(descriptor)


def _open_locked(lock_file: Path) -> tuple[int, bool | None]:
    refusals = 0
    while True:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
        locked = lock(descriptor)
        if locked is False and refusals < _MOST_REFUSALS:
            # For a moment, runs that remove leftovers lock them, too.
            refusals += 1
            time.sleep(_PAUSE_S)
        # The last owner may have removed the file since it was opened.
        elif not locked or _is_at(descriptor, lock_file):
            return descriptor, locked
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can do that."""
    # Windows opens no folders and some file systems do not sync them. Nor is any other refusal
    # worth an error: the file is there, whole, under its name.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(path: Path) -> None:
    """Check before a long run that ``path`` can be created; remove what killed runs left there.

    Raises:
        OutputError: it cannot be created.
    """
    final = Path(os.path.realpath(path))
    remove_leftovers(final.parent)
    with refusals_named(path):
        _refuse_special(final)
        partial = _hidden_name(final.parent)
        try:
            partial.open("xb").close()
        finally:
            _discard(partial)


@contextmanager
def refusals_named(target: Path) -> Iterator[None]:
    """Turn whatever the system refuses into an :class:`OutputError` about ``target``."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot write {target}: {reason}") from error


def _final(target: Path, *, follow_links: bool) -> Path:
    if follow_links:
        return Path(os.path.realpath(target))
    return Path(os.path.realpath(target.parent)) / target.name


def _publish(partial: Path, final: Path, *, overwrite: bool, numbered: bool) -> Path:
    if overwrite:
        os.replace(partial, final)
        return final
    for free in numbered_names(final) if numbered else (final,):
        with suppress(FileExistsError):
            move_without_replacing(partial, free)
            return free
    raise OutputError(f"{final} already exists", hint="overwrite=True replaces it")


def move_without_replacing(source: Path, target: Path) -> None:
    """Rename a file within its file system.

    Raises:
        FileExistsError: the target exists, whatever it is.
        OSError: the system refuses.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except NotImplementedError:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not _rename_without_replacing(source, target):
            _copy_without_replacing(source, target)
            source.unlink()
        return
    source.unlink()


def _rename_without_replacing(source: Path, target: Path) -> bool:
    """Whether the system knows such a rename and did it."""
    if os.name == "nt":
        os.rename(source, target)
        return True
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            code = libc.renamex_np(os.fsencode(source), os.fsencode(target), _RENAME_EXCL)
        else:
            names = (_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target))
            code = libc.renameat2(*names, _RENAME_NOREPLACE)
    except (OSError, AttributeError):
        return False
    if code and ctypes.get_errno() == errno.EEXIST:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    return bool(code == 0)


def _copy_without_replacing(source: Path, target: Path) -> None:
    with source.open("rb") as written, target.open("xb") as copy:
        try:
            shutil.copyfileobj(written, copy)
            copy.flush()
            os.fsync(copy.fileno())
        except BaseException:
            _discard(target)
            raise


def _refuse_special(final: Path, *, follow_links: bool = True) -> None:
    """Raise OSError for a folder, a device, a pipe, or a name the file system does not take."""
    with suppress(FileNotFoundError):
        mode = final.stat(follow_symlinks=follow_links).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise OSError("not a regular file")


def _hidden_name(folder: Path, suffix: str = "part") -> Path:
    """Hidden and, by 64 random bits, no one else's; its length does not grow with the target's."""
    return folder / f".stylize-{secrets.token_hex(8)}.{suffix}"


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def lock(descriptor: int) -> bool | None:
    """Lock an open file: True if it is ours now, False if another has it, None if it cannot be."""
    if _FCNTL is None:
        return None
    try:
        _FCNTL.flock(descriptor, _FCNTL.LOCK_EX | _FCNTL.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_if_unlocked(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if lock(descriptor) and stat.S_ISDIR(os.fstat(descriptor).st_mode):
                shutil.rmtree(path, ignore_errors=True)
            elif lock(descriptor):
                path.unlink()
        finally:
            os.close(descriptor)
