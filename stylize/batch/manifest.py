"""What became of each picture: lines of JSON that are only ever added.

Every process writes a file of its own in the batch's folder, so that nothing is locked and a run
that is killed tears at most the last line of its own. Whoever asks reads them all.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import re
import secrets
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal

from stylize.errors import OutputError
from stylize.images.atomic import refusals_named, sync_folder

# Far above two of the longest paths, an error and a hundred losses, all of them escaped.
MAX_LINE_BYTES = 1 << 18
MAX_ERROR_LENGTH = 2000

_NAME = re.compile(r"manifest-.*\.jsonl", re.DOTALL)
_MAX_HOST_LENGTH = 60
_MAX_ATTEMPTS = 10**9


@dataclass(frozen=True)
class Entry:
    """What became of one picture.

    Attributes:
        target: relative to the batch's folder, with slashes.
        source: the picture it is made of, as it was named.
        identity: what it is made of and how, see :func:`stylize.batch.tasks.identity`.
        status: how it ended.
        attempts: so far for a picture of this identity, this one included.
        seconds: what this attempt took.
        error: one line, of a failure.
        losses: at the end, by term; values that are not finite are not kept.
        time: of the entry, Unix seconds.
        input_sha256: of the source; None if it could not be read.
    """

    target: str
    source: str
    identity: str
    status: Literal["done", "failed"]
    attempts: int
    seconds: float
    error: str | None
    losses: dict[str, float]
    time: float
    input_sha256: str | None


def state_folder(output: Path) -> Path:
    """Where a batch keeps all that is no picture. May not exist."""
    return output / ".stylize"


class Manifest:
    """This process's file of entries, made with the first of them.

    Args:
        output: the batch's folder.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        name = f"manifest-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._path = state_folder(output) / name
        self._torn = False
        self._writing = threading.Lock()

    def append(self, entry: Entry) -> None:
        """Add an entry; when this returns, it outlasts a power cut.

        Raises:
            OutputError: the system refuses. Entries before and after are not harmed.
        """
        line = _line(entry)
        with self._writing, refusals_named(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self._path.exists()
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            descriptor = os.open(self._path, flags, 0o666)
            try:
                self._write(descriptor, line)
            finally:
                os.close(descriptor)
            if fresh:
                sync_folder(self._path.parent)
                sync_folder(self._output)

    def _write(self, descriptor: int, line: bytes) -> None:
        # An entry must not continue the line that a full disk has torn.
        data = b"\n" + line if self._torn else line
        self._torn = True
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False
        os.fsync(descriptor)


def read_all(output: Path) -> dict[str, Entry]:
    """The newest entry of each target, over the files of all processes.

    Newest is by time; of equal times, the later line, of the file whose name sorts later. Lines
    that are torn, foreign or hostile are passed over, as are entries whose target lies outside
    the batch's folder.

    Raises:
        OutputError: a file is there and cannot be read.
    """
    newest: dict[str, Entry] = {}
    for path in _files(state_folder(output)):
        for entry in _entries(path):
            before = newest.get(entry.target)
            if before is None or entry.time >= before.time:
                newest[entry.target] = entry
    return newest


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname())[:_MAX_HOST_LENGTH] or "host"


def _line(entry: Entry) -> bytes:
    """ASCII alone, so that no name, however it is spelt or misspelt, breaks the line."""
    document = dataclasses.asdict(entry)
    if entry.error is not None:
        document["error"] = entry.error[:MAX_ERROR_LENGTH]
    document["losses"] = {
        name: value for name, value in entry.losses.items() if math.isfinite(value)
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _files(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error
    return [folder / name for name in sorted(names) if _NAME.fullmatch(name)]


def _entries(path: Path) -> Iterator[Entry]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return
        with path.open("rb") as file:
            for line in _lines(file):
                entry = _entry(line)
                if entry is not None:
                    yield entry
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines, except those that no entry can be as long as; these are never held in full."""
    while line := file.readline(MAX_LINE_BYTES):
        if line.endswith(b"\n") or len(line) < MAX_LINE_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)


def _entry(line: bytes) -> Entry | None:
    document = None
    with suppress(ValueError, RecursionError):
        document = json.loads(line)
    if not isinstance(document, dict):
        return None
    if not all(name in document and fits(document[name]) for name, fits in _CHECKS.items()):
        return None
    return Entry(**{name: document[name] for name in _CHECKS})


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value: Any) -> bool:
    """Whether a float holds it: a hostile line may have integers of any length, or infinity."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_ATTEMPTS


def _are_losses(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_within(value: Any) -> bool:
    """Whether a target names something below the batch's folder, by a name that a file can have."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    path = PurePath(value)
    return bool(path.parts) and not path.anchor and ".." not in path.parts


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "target": _is_within,
    "source": _is_text,
    "identity": _is_text,
    "status": lambda value: value in ("done", "failed"),
    "attempts": _is_count,
    "seconds": _is_number,
    "error": _is_text_or_none,
    "losses": _are_losses,
    "time": _is_number,
    "input_sha256": _is_text_or_none,
}
