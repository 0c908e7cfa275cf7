"""What a batch has done: the manifest of results, and what the pictures themselves say."""

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
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, Literal

from stylize.batches.tasks import Look, Task, identity, identity_of
from stylize.errors import OutputError, PictureError, StylizeError
from stylize.images.atomic import refusals_named, sync_folder
from stylize.images.open import pixel_limit
from stylize.images.read import read_picture
from stylize.networks.models import find_model
from stylize.runs.inputs import digest, remember
from stylize.runs.recipe import load_recipe
from stylize.settings.fields import to_document
from stylize.settings.schedule import result_size
from stylize.video.clip import open_clip

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
        identity: what it is made of and how, see :func:`stylize.batches.tasks.identity`.
        status: how it ended.
        attempts: so far for a picture of this identity, this one included.
        seconds: what this attempt took.
        error: one line, of a failure.
        losses: at the end, by term; values that are not finite are not kept.
        time: of the entry, Unix seconds, by the clock of the machine; decides nothing.
        input_sha256: of the source; None if it could not be read.
        revision: one more than that of the entry before it for this target.
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
    revision: int = 0

    @property
    def order(self) -> tuple[int, bool]:
        """Sorts the entries of one target, the last one last, whatever the clocks say.

        Of two runs that did not know of each other, the one that made the picture was right.
        """
        return self.revision, self.status == "done"


_FIELDS = [each.name for each in dataclasses.fields(Entry) if each.name != "revision"]


def state_folder(output: Path) -> Path:
    """Where a batch keeps all that is no picture. May not exist."""
    return output / ".stylize"


def make_folder(folder: Path) -> None:
    """Make a folder of a batch's state, which is never a link to another folder.

    Raises:
        OSError: the system refuses, or a link or a file is in the way.
    """
    for each in (folder.parent, folder) if folder.parent.name == ".stylize" else (folder,):
        if each.is_symlink():
            raise OSError(f"{each} is a link to another folder")
        each.mkdir(parents=True, exist_ok=True)


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
            make_folder(self._path.parent)
            fresh = not self._path.exists()
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            flags |= getattr(os, "O_NOFOLLOW", 0)
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

    Newest is by :attr:`Entry.order`; of equals, the later line, of the file whose name sorts
    later. Lines that are torn, foreign or hostile are skipped, as are entries whose target is
    outside the batch's folder.

    Raises:
        OutputError: a file is there and cannot be read.
    """
    newest: dict[str, Entry] = {}
    for path in _files(state_folder(output)):
        for entry in _entries(path):
            before = newest.get(entry.target)
            if before is None or entry.order >= before.order:
                newest[entry.target] = entry
    return newest


def sources_made(output: Path) -> dict[str, str]:
    """The sources of all finished results by their targets, relative to the batch's folder.

    Raises:
        OutputError: a file is there and cannot be read.
    """
    return {name: each.source for name, each in read_all(output).items() if each.status == "done"}


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
    """The entry in a line; None for a line that is damaged."""
    try:
        document = json.loads(line)
        # A later version may write more.
        values = {name: document[name] for name in _FIELDS}
        entry = Entry(**values, revision=document.get("revision", 0))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return entry if _is_sound(entry) else None


def _is_sound(entry: Entry) -> bool:
    """Whether the values have the right types and the target is below the batch's folder."""
    texts = (entry.target, entry.source, entry.identity)
    optional = (entry.error, entry.input_sha256)
    return (
        all(isinstance(each, str) for each in texts)
        and all(each is None or isinstance(each, str) for each in optional)
        and entry.status in ("done", "failed")
        and type(entry.attempts) is int
        and 0 <= entry.attempts <= _MAX_ATTEMPTS
        and type(entry.revision) is int
        and 0 <= entry.revision <= _MAX_ATTEMPTS
        and isinstance(entry.losses, dict)
        and all(map(_is_number, (entry.seconds, entry.time, *entry.losses.values())))
        and _is_below(entry.target)
    )


def _is_number(value: object) -> bool:
    # JSON integers have any length, and Python reads Infinity and NaN.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def _is_below(target: str) -> bool:
    try:
        name = os.fsencode(target)
    except UnicodeEncodeError:
        return False
    path = PurePath(target)
    return bool(path.parts) and not path.anchor and ".." not in path.parts and b"\0" not in name


State = Literal["todo", "done", "failed", "foreign"]


@dataclass(frozen=True)
class Standing:
    """The state of a task.

    Attributes:
        state: ``foreign`` if another picture has its name.
        identity: of the picture wanted; empty if the source cannot be read.
        sha256: of the source.
        attempts: that failed, of this very picture.
        error: of the last of them.
    """

    state: State
    identity: str
    sha256: str | None = None
    attempts: int = 0
    error: str | None = None


class Ledger:
    """Knows of each task whether it is done, and writes down what became of it.

    Args:
        output: the batch's folder.
        common: role and SHA-256 of the inputs that all pictures of a look share, by look's name.
        retry: whether failures are tried again.
        overwrite: whether everything is done again.
    """

    def __init__(
        self,
        output: Path,
        common: Mapping[str, list[tuple[str, str]]],
        *,
        retry: bool = False,
        overwrite: bool = False,
    ) -> None:
        self._output = output
        self._common = common
        self._retry = retry
        self._overwrite = overwrite
        self._past = read_all(output)
        self._fresh: dict[str, Entry] = {}
        self._manifest = Manifest(output)
        self._unsaid: list[tuple[Task, Standing]] = []

    def refresh(self) -> None:
        """Read what other runs have recorded meanwhile, so that this one does not repeat it.

        Raises:
            OutputError: a file is there and cannot be read.
        """
        found = read_all(self._output)
        self._fresh |= {name: each for name, each in found.items() if each != self._past.get(name)}
        self._past = found

    def name(self, task: Task) -> str:
        """What a task is called in the manifest: its target, relative to the output folder."""
        return task.target.relative_to(self._output).as_posix()

    def is_inside(self, task: Task) -> bool:
        """Whether the target is in the batch's folder, and no link leads out of it."""
        folder = Path(os.path.realpath(task.target.parent))
        return folder.is_relative_to(os.path.realpath(self._output))

    def standing(self, task: Task) -> Standing:
        """The current state of a task; call this while holding its claim."""
        if not self.is_inside(task):
            error = f"{task.target.parent} is a link out of {self._output} (remove the link)"
            return Standing("foreign", "", error=error)
        sha256, problem = _digest(task.source)
        wanted = "" if sha256 is None else self._identity(task.look, sha256)
        past = self._past.get(self.name(task))
        same = past is not None and past.identity == wanted and past.status == "failed"
        attempts = past.attempts if past is not None and same else 0
        if self._overwrite and not _says_done(self._fresh.get(self.name(task)), wanted):
            return Standing("todo", wanted, sha256, attempts)
        # A link that leads nowhere is there, too: writing through it would make a file elsewhere.
        if os.path.lexists(task.target):
            # A pipe would be waited for.
            made = os.path.isfile(task.target) and is_made(
                task.target, wanted, max_pixels=most_pixels(task)
            )
            state: State = "done" if made else "foreign"
            found = Standing(state, wanted, sha256)
            if state == "done" and not _says_done(past, wanted):
                self._unsaid.append((task, found))
            return found
        if past is not None and same and not self._retry:
            return Standing("failed", wanted, sha256, attempts, past.error)
        return Standing("todo", wanted, sha256, attempts, problem)

    def _identity(self, look: Look, sha256: str) -> str:
        inputs = [("content", sha256), *self._common[look.name]]
        weights = find_model(look.settings.network).sha256
        clip = look.clips.document if look.clips else None
        return identity(look.technique, to_document(look.settings), inputs, weights, clip)

    def write(
        self,
        task: Task,
        standing: Standing,
        *,
        seconds: float,
        error: str | None = None,
        losses: Mapping[str, float] | None = None,
    ) -> None:
        """Write down what became of a task; without an error it is done.

        Raises:
            OutputError: the system refuses.
        """
        past = self._past.get(self.name(task))
        entry = Entry(
            target=self.name(task),
            source=str(task.source),
            identity=standing.identity,
            status="failed" if error else "done",
            attempts=standing.attempts + 1,
            seconds=round(seconds, 3),
            error=error,
            losses=dict(losses or {}),
            time=time.time(),
            input_sha256=standing.sha256,
            revision=past.revision + 1 if past else 1,
        )
        self._manifest.append(entry)
        self._past[entry.target] = entry

    def settle(self) -> None:
        """Write down what was found done though no line says so; call it when all are dealt with.

        Such pictures are of runs that were killed, or met a full disk, before they wrote the line.

        Raises:
            OutputError: the system refuses.
        """
        unsaid, self._unsaid = self._unsaid, []
        # Another run at work here may have said so meanwhile.
        past = read_all(self._output) if unsaid else {}
        for task, standing in unsaid:
            if not _says_done(past.get(self.name(task)), standing.identity):
                self.write(task, standing, seconds=0.0)


def _says_done(entry: Entry | None, wanted: str) -> bool:
    return entry is not None and entry.status == "done" and entry.identity == wanted


def _digest(source: Path) -> tuple[str | None, str | None]:
    """Digest of a file, or why there is none."""
    try:
        sha256 = digest(source)
        remember(source, sha256)  # where 'stylize replay' will look for it
        return sha256, None
    except PictureError as error:
        return None, str(error)


def most_pixels(task: Task) -> int:
    """The pixel limit for reading a task's result, which may be larger than any photo."""
    if task.size is None:
        return pixel_limit()
    return max(pixel_limit(), math.prod(result_size(task.look.settings, task.size)))


def is_made(target: Path, wanted: str, *, max_pixels: int | None = None) -> bool:
    """Whether a file opens and carries the recipe of the picture wanted.

    Args:
        target: the file.
        wanted: the identity of the picture.
        max_pixels: that it may have; by default the limit in force.
    """
    try:
        if not os.path.isfile(target):  # a pipe would be waited for
            return False
        recipe = load_recipe(target)
        if identity_of(recipe) != wanted:
            return False
        if "clip" in recipe:
            open_clip(str(target), target)
        else:
            read_picture(target, max_pixels=max_pixels)
    except StylizeError:
        return False
    return True
