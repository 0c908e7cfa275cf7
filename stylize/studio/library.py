"""The pictures that a server knows: uploads, samples, and the results in its folder. No torch.

Each is known by the SHA-256 of its file. A database in the folder's state remembers which file that
is and what it says of itself; a file counts only as long as it is as it was when it was read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sqlite3
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stylize.batches.gallery import clip_thumbnail
from stylize.batches.gallery import thumbnail as picture_thumbnail
from stylize.batches.records import make_folder, state_folder
from stylize.errors import MissingExtraError, StylizeError
from stylize.images.atomic import move_without_replacing, numbered_names, refusals_named
from stylize.images.metadata import read_recipe
from stylize.images.names import safe_name, shortened
from stylize.images.open import HEAD_BYTES, opened, pixel_limit, printable, recognise
from stylize.images.orientation import is_sideways
from stylize.studio.errors import ApiError
from stylize.studio.work import Source
from stylize.video.clip import container_of, is_clip, open_clip

INPUTS = "inputs"

MAX_UPLOAD_BYTES = 128 * 1024**2

THUMBNAIL_PX, VIEW_PX, MOST_VIEW_PX = 320, 1600, 4096

# Suffix and media type of what is read, by the names of :func:`stylize.images.open.recognise`.
_KINDS = {
    "PNG": (".png", "image/png"),
    "JPEG": (".jpg", "image/jpeg"),
    "WEBP": (".webp", "image/webp"),
    "TIFF": (".tiff", "image/tiff"),
    "GIF": (".gif", "image/gif"),
    "BMP": (".bmp", "image/bmp"),
    "AVIF": (".avif", "image/avif"),
    "HEIF": (".heic", "image/heic"),
}

# The same for videos, by FFmpeg's names of their containers.
_VIDEOS = {
    "mov": (".mp4", "video/mp4"),
    "matroska": (".webm", "video/webm"),
    "avi": (".avi", "video/x-msvideo"),
}

_VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")

# Camera raw has many suffixes, and no type that a browser shows.
_RAW = (".raw", "application/octet-stream")

_SUFFIXES = (
    *(suffix for suffix, _ in _KINDS.values()),
    *(".jpeg", ".tif", ".heif", ".apng"),
    *_VIDEO_SUFFIXES,
)

# Files of the folder that are looked at for the history.
_MOST_FILES = 20_000

_STEM_BYTES = 60

# In memory, some 15 kB each.
_MOST_THUMBNAILS = 300

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    id TEXT, path TEXT PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, type TEXT,
    mtime_ns INTEGER, bytes INTEGER, recipe TEXT, notes TEXT, clip TEXT);
CREATE INDEX IF NOT EXISTS ids ON pictures (id);
CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, place REAL, document TEXT);
"""


@dataclass(frozen=True)
class Known:
    """A picture or a clip.

    Attributes:
        id: SHA-256 of the file.
        path: of the file, absolute.
        name: what people call it.
        width, height: in pixels, upright.
        type: media type.
        mtime: when the file was written, Unix seconds.
        recipe: inside it, unchecked; None if there is none.
        notes: on how it was read.
        clip: ``frames`` and ``seconds``, if it moves; an animation is also a picture.
    """

    id: str
    path: Path
    name: str
    width: int
    height: int
    type: str
    mtime: float
    recipe: Mapping[str, Any] | None
    notes: tuple[str, ...] = ()
    clip: Mapping[str, Any] | None = None

    @property
    def is_video(self) -> bool:
        """Whether it is a clip only, of which no picture reader knows."""
        return self.type.startswith("video/")

    @property
    def document(self) -> dict[str, Any]:
        """The description for the API."""
        return {
            "id": self.id,
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "type": self.type,
            "has_recipe": self.recipe is not None,
            "notes": list(self.notes),
            "clip": None if self.clip is None else dict(self.clip),
            "cells": self.cells,
        }

    @property
    def cells(self) -> list[dict[str, str]] | None:
        """Name and label of each picture of a contact sheet; None for anything else."""
        found = self.recipe.get("cells") if isinstance(self.recipe, Mapping) else None
        if not isinstance(found, Mapping):
            return None
        return [
            {"name": str(name), "label": str(each.get("label", name))}
            for name, each in found.items()
            if isinstance(each, Mapping)
        ]

    @property
    def source(self) -> Source:
        """The description for the engine."""
        return Source(self.id, self.path, self.name)


def clips_are_possible() -> bool:
    """Whether the libraries for clips are installed."""
    return all(find_spec(module) is not None for module in ("av", "cv2"))


def require_libraries() -> None:
    """Check that the libraries for clips are installed.

    Raises:
        MissingExtraError: they are not.
    """
    if not clips_are_possible():
        raise MissingExtraError("painting clips", "av opencv-python-headless")


@cache
def samples_directory() -> Path:
    """Find the folder of the samples: in the package, or next to it in a checkout."""
    package = Path(str(resources.files("stylize")))
    packaged = package / "_samples"
    return packaged if packaged.is_dir() else package.resolve().parent / "samples"


class Database:
    """The SQLite file of a folder, for one process.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        with refusals_named(path):
            make_folder(path.parent)
        self._lock = threading.Lock()
        with refusals_named(path), _disk_errors():
            try:
                self._open(path)
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                    raise
                # An index and a queue can be begun anew.
                self._connection.close()
                _move_aside(path)
                self._open(path)

    def _open(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        if self._connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            error = sqlite3.DatabaseError(f"{path.name} is damaged")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        columns = self._connection.execute("PRAGMA table_info(pictures)").fetchall()
        if "clip" not in [column[1] for column in columns]:  # of a version without clips
            self._connection.execute("ALTER TABLE pictures ADD COLUMN clip TEXT")

    def read(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._lock:
            return self._connection.execute(query, tuple(values)).fetchall()

    def write(self, query: str, values: Iterable[Any] = ()) -> None:
        """Change rows.

        Raises:
            OSError: the disk is full, or the system refuses.
        """
        with self._lock, _disk_errors(), self._connection:
            self._connection.execute(query, tuple(values))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _move_aside(path: Path) -> None:
    """Rename a damaged database, and remove what SQLite keeps next to it."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.replace(path.with_name(path.name + ".damaged"))


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        number = errno.ENOSPC if "full" in str(error) else errno.EIO
        raise OSError(number, os.strerror(number)) from error


class Library:
    """The pictures of a folder, and the samples.

    Args:
        folder: absolute.
        database: of this folder.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self._database = database
        self._scanning = threading.Lock()
        self._thumbnails: OrderedDict[str, bytes] = OrderedDict()
        # Modification time and size of the files that could not be read.
        self._unreadable: dict[str, tuple[int, int]] = {}

    @property
    def incoming(self) -> Path:
        """The folder for uploads that may not be pictures."""
        folder = studio_folder(self.folder) / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def empty_incoming(self) -> None:
        """Remove what a killed server was receiving."""
        for each in self.incoming.iterdir():
            with suppress(OSError):
                each.unlink()

    def add(self, file: Path, name: str, *, sha256: str | None = None) -> Known:
        """Keep an uploaded file whose header is that of a picture; :meth:`check` reads the rest.

        Args:
            file: an upload in :attr:`incoming`; moved, or removed.
            name: what the sender calls it; a label, from which a safe file name is made.
            sha256: of the file, if it is known.

        Raises:
            PictureError: it is no picture, or too large.
            OutputError: the system refuses.
        """
        label = _label(name)
        sha256 = sha256 or _digest(file)
        known = self.find(sha256)
        if known is not None:
            file.unlink()
            return known
        values = _examined(file, label)
        suffix = _suffix(file, label)
        stem = re.sub(r"[^\w.-]+", "-", Path(label).stem).strip("-.") or "picture"
        tail = f"-{sha256[:8]}{suffix}"
        target = self.folder / INPUTS / shortened(safe_name(stem), _STEM_BYTES, tail=tail)
        with refusals_named(target):
            make_folder(target.parent)
            for free in numbered_names(target):
                with suppress(FileExistsError):
                    move_without_replacing(file, free)
                    break
        return self._record(free, sha256, label, values)

    def check(self, known: Known) -> None:
        """Decode an upload, which is removed if it is damaged.

        Raises:
            PictureError: it is.
        """
        try:
            self.thumbnail(known)
        except StylizeError:
            if known.path.parent == self.folder / INPUTS:
                known.path.unlink(missing_ok=True)
            raise

    def found(self, path: Path, sha256: str) -> Known:
        """Take in a file that the engine has written.

        Raises:
            PictureError: it cannot be read.
        """
        return self._record(path, sha256, path.name, _examined(path, path.name))

    def find(self, sha256: str) -> Known | None:
        """Find a picture by its id; None if its file is gone."""
        rows = self._database.read("SELECT * FROM pictures WHERE id = ?", [sha256])
        for row in rows:
            if (known := self._known(row)) is not None:
                return known
        sample = _samples().get(sha256)
        if sample is not None:
            return sample
        return None

    def search(self, sha256: str) -> Known | None:
        """Find a picture by its id, also among files that are new in the folder."""
        known = self.find(sha256)
        if known is None:
            self.scan()
            known = self.find(sha256)
        return known

    def remove(self, sha256: str) -> None:
        """Delete the file of a result; of several with the same content, the newest.

        Raises:
            ApiError: there is no such result.
            OutputError: the system refuses.
        """
        found = next((known for known in self.results() if known.id == sha256), None)
        if found is None:
            raise ApiError(409, "conflict", "only results can be deleted")
        with refusals_named(found.path):
            found.path.unlink(missing_ok=True)
        self.scan()

    def thumbnail(self, known: Known) -> bytes:
        """Make a small JPEG of a picture, or take it from memory.

        Raises:
            PictureError: it cannot be read.
        """
        return self._thumbnails.get(known.id) or self._keep_thumbnail(
            known.id, known.path, known.name
        )

    def _keep_thumbnail(self, sha256: str, path: Path, name: str) -> bytes:
        made = self._thumbnails[sha256] = _small(path, THUMBNAIL_PX, name, "jpeg")
        if len(self._thumbnails) > _MOST_THUMBNAILS:
            self._thumbnails.popitem(last=False)
        return made

    def samples(self, kind: str) -> list[Known]:
        """List the samples of a kind: ``photos``, ``styles`` or ``masks``."""
        return [each for each in _samples().values() if each.path.parent.name == kind]

    def results(self) -> list[Known]:
        """List the pictures with recipes, the newest first."""
        self.scan()
        rows = self._database.read(
            "SELECT * FROM pictures WHERE recipe IS NOT NULL ORDER BY mtime_ns DESC"
        )
        found = [self._known(row) for row in rows if not str(row[1]).startswith(f"{INPUTS}/")]
        return [each for each in found if each is not None]

    def scan(self) -> None:
        """Look for files that are new or gone, whoever wrote or removed them."""
        with self._scanning:
            rows = self._database.read("SELECT path, mtime_ns, bytes FROM pictures")
            before = {str(path): (mtime, size) for path, mtime, size in rows}
            present = set()
            for path in _pictures_in(self.folder):
                relative = path.relative_to(self.folder).as_posix()
                with suppress(OSError):
                    status = path.stat()
                    present.add(relative)
                    now = (status.st_mtime_ns, status.st_size)
                    if now not in (before.get(relative), self._unreadable.get(relative)):
                        self._take_in(path, relative, now)
            # Uploads in camera raw, and what is beyond the limit, are not looked at but are there.
            for unseen in before.keys() - present:
                if not _is_own_file(self.folder / unseen):
                    self._database.write("DELETE FROM pictures WHERE path = ?", [unseen])

    def _take_in(self, path: Path, relative: str, now: tuple[int, int]) -> None:
        """Record a new file; one that cannot be read is tried again when it has changed."""
        try:
            self._record(path, _digest(path), path.name, _examined(path, path.name))
            self._unreadable.pop(relative, None)
        except (StylizeError, ValueError):
            self._unreadable[relative] = now

    def _record(self, path: Path, sha256: str, name: str, values: Mapping[str, Any]) -> Known:
        status = path.stat()
        relative = path.relative_to(self.folder).as_posix()
        row = (
            sha256,
            relative,
            name,
            values["width"],
            values["height"],
            values["type"],
            status.st_mtime_ns,
            status.st_size,
            values["recipe"],
            json.dumps(values["notes"]),
            json.dumps(values["clip"]),
        )
        self._database.write(f"INSERT OR REPLACE INTO pictures VALUES ({','.join('?' * 11)})", row)
        return _of_row(row, path)

    def _known(self, row: tuple[Any, ...]) -> Known | None:
        """Read a row; None if the file has changed or a link leads out of the folder."""
        path = self.folder / str(row[1])
        try:
            status = path.stat()
            inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder))
        except OSError:
            return None
        same = (status.st_mtime_ns, status.st_size) == (row[6], row[7])
        return _of_row(row, path) if same and inside and stat.S_ISREG(status.st_mode) else None


def studio_folder(folder: Path) -> Path:
    """Return the folder for the queue, the index and the cells of sheets."""
    return state_folder(folder) / "studio"


def _of_row(row: tuple[Any, ...], path: Path) -> Known:
    recipe = json.loads(row[8]) if row[8] else None
    notes = tuple(json.loads(row[9]))
    clip = json.loads(row[10]) if row[10] else None
    return Known(row[0], path, row[2], row[3], row[4], row[5], row[6] / 1e9, recipe, notes, clip)


@cache
def _samples() -> dict[str, Known]:
    found: dict[str, Known] = {}
    for kind in ("photos", "styles", "masks"):
        for path in sorted((samples_directory() / kind).glob("*.[jp][pn]g")):
            values = _examined(path, path.name)
            known = Known(
                _digest(path),
                path,
                path.name,
                values["width"],
                values["height"],
                values["type"],
                path.stat().st_mtime,
                None,
            )
            found[known.id] = known
    return found


def _pictures_in(folder: Path) -> Iterator[Path]:
    """Yield the picture files of a folder and its subfolders, except hidden ones."""
    count = 0
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(files):
            if name.startswith(".") or not name.lower().endswith(_SUFFIXES):
                continue
            path = Path(parent, name)
            if not _is_own_file(path):
                continue
            count += 1
            if count > _MOST_FILES:
                return
            yield path


def _is_own_file(path: Path) -> bool:
    """Whether it is a file and no link to one."""
    return os.path.isfile(path) and not os.path.islink(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _label(name: str) -> str:
    """Make text to show of what a sender calls a file."""
    last = re.split(r"[/\\]", name)[-1]
    return printable(last)[:200] or "picture"


def _kind(file: Path) -> tuple[str, str]:
    if container := container_of(file):
        return _VIDEOS[container]
    with file.open("rb") as stream:
        kind = recognise(stream.read(HEAD_BYTES))
    return _KINDS.get(kind or "", _RAW)


def _suffix(file: Path, label: str) -> str:
    suffix, _ = _kind(file)
    own = Path(label).suffix.lower()
    if suffix in _VIDEO_SUFFIXES:
        return own if own in _VIDEO_SUFFIXES else suffix
    is_raw = suffix in (_RAW[0], ".tiff")
    return own if is_raw and re.fullmatch(r"\.[a-z0-9]{2,4}", own) else suffix


def _examined(file: Path, label: str) -> dict[str, Any]:
    """Read size, type and recipe of a picture or a clip.

    Raises:
        PictureError: it is neither, damaged, or too large.
        MissingExtraError: its format needs a library that is not installed.
    """
    clip: dict[str, Any] | None = None
    notes: list[str] = []
    if container_of(file):
        require_libraries()
        (height, width), clip = _outline(file, label)
    else:
        with opened(file, title=label, max_pixels=pixel_limit()) as image:
            width, height = reversed(image.size) if is_sideways(image) else image.size
        if is_clip(str(file)):
            if clips_are_possible():
                _, clip = _outline(file, label)
            else:
                notes = [f"{label} moves: its first frame is used. {_TO_MOVE}"]
    recipe: str | None = None
    with suppress(StylizeError):
        recipe = read_recipe(file)
    return {
        "width": width,
        "height": height,
        "type": _kind(file)[1],
        "recipe": recipe,
        "notes": notes,
        "clip": clip,
    }


_TO_MOVE = "To paint clips: pip install av opencv-python-headless"


def _outline(file: Path, label: str) -> tuple[tuple[int, int], dict[str, Any]]:
    """Read size and length of a clip."""
    outline = open_clip(str(file), file, name=label).outline
    frames, seconds = len(outline.times) - 1, float(outline.times[-1])
    return outline.size, {"frames": frames, "seconds": round(seconds, 3)}


def _small(path: Path, side_px: int, name: str, format: str) -> bytes:
    made = clip_thumbnail if container_of(path) else picture_thumbnail
    return made(path, side_px, name=name, format=format)


def view(known: Known, side_px: int, format: str) -> bytes:
    """Encode a picture, or the first frame of a clip, anew: upright and in sRGB, over white.

    Args:
        known: the picture.
        side_px: the long side at most.
        format: ``png``, which is exact, or ``jpeg``.

    Raises:
        PictureError: it cannot be read.
    """
    return _small(known.path, side_px, known.name, format)
