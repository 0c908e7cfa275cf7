"""Find the inputs of a recipe on this machine by their content.

A recipe names its inputs by file name and SHA-256; it does not contain paths. An index in the
user's cache, an SQLite database, records where each picture was opened. The index is a convenience:
its absence is no error, and a file it names is used only after its content was compared.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from stylize.directories import cache_directory
from stylize.errors import (
    PictureError,
    RecipeError,
    StylizeError,
    UsageError,
    no_such_file,
)
from stylize.images.open import printable

MAX_FILES = 2000

MAX_FILE_BYTES = 500_000_000

MAX_INDEX_ENTRIES = 5000

_SUFFIX = re.compile(
    r"\.(apng|avi|avif|bmp|gif|hei[cf]|hif|jfif|jpe|jpe?g|m4v|mkv|mov|mp4|png|tiff?|webm|webp)",
    re.I,
)

_HASH = re.compile(r"[0-9a-f]{64}")

_ROLE = re.compile(r".{1,80}")

_NAME = re.compile(r"(?!\.{1,2}\Z)[^/\\\0]{1,255}")

_LOCK_TIMEOUT_S = 1.0  # another process writes for milliseconds

_MAX_KNOWN = 10  # places tried for one hash

_MAX_SHOWN = 80

_MAX_NAME_BYTES = 80  # as in stylize.runs.recipe, which would import numpy

_STDIN = "stdin"


@dataclass(frozen=True)
class Wanted:
    """An input as a recipe describes it.

    Attributes:
        role: ``content``, ``style`` …
        name: the file's name when it was read; untrusted, and never used as a path.
        sha256: hexadecimal digest of the file's bytes.
    """

    role: str
    name: str
    sha256: str

    def __str__(self) -> str:
        role, name = (printable(text)[:_MAX_SHOWN] for text in (self.role, self.name))
        return f"{role} '{name}' ({printable(self.sha256)[:8]}…)"


def wanted_of(recipe: Mapping[str, Any]) -> list[Wanted]:
    """List the inputs that a recipe asks for, in its order.

    Raises:
        RecipeError: an input without a role, with an impossible file name or an invalid digest.
    """
    inputs = recipe.get("inputs")
    if not isinstance(inputs, list):
        raise RecipeError("damaged recipe: no inputs")
    return [_wanted(entry, number) for number, entry in enumerate(inputs, 1)]


def kept_inputs(
    recipe: Mapping[str, Any], settings: Any, replaced: Collection[str]
) -> list[Wanted]:
    """List the inputs that a recipe still asks for under a change.

    Args:
        recipe: untrusted.
        settings: the changed ones.
        replaced: roles of inputs that other pictures replace: ``content`` or ``style``.

    Raises:
        UsageError: the recipe has no input of that role.
        RecipeError: see :func:`wanted_of`.
    """
    wanted = wanted_of(recipe)
    for role in replaced:
        if all(each.role != role for each in wanted):
            noun = "photo" if role == "content" else "style image"
            raise UsageError(f"--{role}: the recipe has no {noun} to replace")
    unused = {*replaced, *(["start"] if getattr(settings, "init", "file") != "file" else [])}
    return [each for each in wanted if each.role not in unused]


def _wanted(entry: Any, number: int) -> Wanted:
    match entry:
        case {"role": str(role), "name": str(name), "sha256": str(sha256)} if (
            _ROLE.fullmatch(role) and _NAME.fullmatch(name) and _HASH.fullmatch(sha256)
        ):
            return Wanted(role, name, sha256)
    raise RecipeError(f"damaged recipe: input {number} has no proper role, name or sha256")


def digest(path: Path) -> str:
    """Compute the SHA-256 of a file, hexadecimal, as in ``Picture.sha256``.

    Raises:
        PictureError: missing, unreadable, or not a regular file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise PictureError(f"{path} is not a regular file")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PictureError(f"{path} cannot be read: {reason.lower()}") from error


def digest_of(paths: Iterable[Path]) -> str:
    """Hash several files: the hash of their hashes; of one, its own.

    Raises:
        PictureError: see :func:`digest`.
    """
    found = [digest(path) for path in paths]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def frames_digest(source: Path) -> str:
    """Hash the frames in a folder, or those that match a pattern, as the recipe of a clip has it.

    Raises:
        StylizeError: there are none, or one cannot be read.
    """
    from stylize.images.find import collect  # noqa: PLC0415

    nowhere = Path(os.devnull)
    found = collect([str(source)], recursive=False, output=nowhere, include_results=True).found
    if not found:
        raise PictureError(f"{source} holds no frames")
    return digest_of(each.path for each in found)


def remember(path: Path, sha256: str) -> None:
    """Record in the index where a picture is. Never raises: the index is a convenience."""
    if _HASH.fullmatch(sha256):
        with suppress(Exception):
            _insert(sha256, os.fsencode(os.path.abspath(path)))


def recall(sha256: str) -> list[Path]:
    """List where pictures of that digest were opened, the newest first; only files that exist.

    Their content may have changed since. Never raises: without an index the list is empty.
    """
    index = _index()
    with suppress(Exception):
        if index.is_file():
            import sqlite3  # noqa: PLC0415

            query = "SELECT path FROM places WHERE sha256 = ? ORDER BY rowid DESC"
            with closing(sqlite3.connect(index, timeout=_LOCK_TIMEOUT_S)) as places:
                found = [Path(os.fsdecode(path)) for (path,) in places.execute(query, [sha256])]
            return [path for path in found if path.is_absolute() and path.is_file()]
    return []


def _index() -> Path:
    return cache_directory() / "sources.sqlite"


def _insert(sha256: str, path: bytes) -> None:
    import sqlite3  # noqa: PLC0415

    index = _index()
    index.parent.mkdir(parents=True, exist_ok=True)
    if index.is_symlink() or (index.exists() and not index.is_file()):
        return
    os.close(os.open(index, os.O_CREAT | os.O_RDWR, 0o600))  # the user's folders are private
    try:
        _write(index, sha256, path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, read-only or full
            raise
        index.write_bytes(b"")  # damaged, or not a database
        _write(index, sha256, path)


def _write(index: Path, sha256: str, path: bytes) -> None:
    import sqlite3  # noqa: PLC0415

    with closing(sqlite3.connect(index, timeout=_LOCK_TIMEOUT_S)) as places, places:
        places.execute("PRAGMA synchronous = OFF")
        places.execute(
            "CREATE TABLE IF NOT EXISTS places (sha256 TEXT, path BLOB, UNIQUE (sha256, path))"
        )
        # The row is deleted and inserted again, so that the newest row has the largest rowid.
        places.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", [sha256, path])
        places.execute(
            "DELETE FROM places WHERE rowid <= (SELECT max(rowid) FROM places) - ?",
            [MAX_INDEX_ENTRIES],
        )


def find_sources(
    wanted: Sequence[Wanted],
    *,
    given: Sequence[Path],
    folders: Sequence[Path],
    substitute: bool = False,
    frames: bool = False,
) -> list[Path]:
    """Find the files that have the content of the wanted inputs.

    The search visits the given files, the given folders, the other folders, and the index. In
    folders (not below them) it reads first the files with a recorded name, then all with the
    suffix of a picture: at most 2000 files in all, regular, readable, and up to 500 MB each.

    Args:
        wanted: the inputs. Those with equal digests get the same file.
        given: files and folders that the user named. Each file must be one of the inputs.
        folders: where else to look; those that do not exist are skipped.
        substitute: use given files that are none of the inputs for the inputs that are not found,
            in the order of both.
        frames: whether an input may be a folder of frames. Such a folder is one that is given, or
            one with the recorded name in the other folders.

    Returns:
        A path for each of ``wanted``, in its order.

    Raises:
        PictureError: a given path does not exist or cannot be read.
        RecipeError: an input is not found, or a given file is not needed.
    """
    search = _Search(wanted, frames)
    strangers = search.take_files(given)
    search.search_folders([path for path in given if os.path.isdir(path)])
    search.search_folders(folders)
    search.search_index()
    search.search_frames(given, folders)
    if substitute:
        strangers = search.substitute(strangers)
    if strangers:
        raise _not_needed(strangers, search.places())
    if search.missing():
        raise _not_found(search)
    return [search.found[each.sha256] for each in wanted]


class _Search:
    """The state of a search.

    Attributes:
        found: a file for each digest.
        differing: for a digest, a file with the right name or place but other content.
        takes_frames: whether an input may be a folder of frames.
    """

    def __init__(self, wanted: Sequence[Wanted], takes_frames: bool) -> None:
        self.takes_frames = takes_frames
        self.found: dict[str, Path] = {}
        self.differing: dict[str, Path] = {}
        self._wanted = wanted
        self._digests: dict[str, str | None] = {}
        self._files_left = MAX_FILES

    def missing(self) -> list[Wanted]:
        """List the inputs without a file."""
        return [each for each in self._wanted if each.sha256 not in self.found]

    def places(self) -> list[Wanted]:
        """List the inputs without a file, only the first of those with equal digests."""
        first: dict[str, Wanted] = {}
        for each in self.missing():
            first.setdefault(each.sha256, each)
        return list(first.values())

    def take_files(self, given: Sequence[Path]) -> list[Path]:
        """Use the given files; return those that are none of the inputs."""
        for path in given:
            if not os.path.exists(path):
                raise no_such_file(path)
        strangers = []
        for path in (each for each in given if not os.path.isdir(each)):
            found = self._digests[os.path.realpath(path)] = digest(path)
            if not self._offer(path, found):
                strangers.append(path)
        return strangers

    def search_folders(self, folders: Sequence[Path]) -> None:
        """Read the files there, first those with a recorded name."""
        paths = [folder / name for folder in folders for name in _listing(folder)]
        expected: dict[str, list[Wanted]] = {}
        for each in self.missing():
            expected.setdefault(normalize("NFC", each.name), []).append(each)
        for path in self._affordable(each for each in paths if _recorded_name(each) in expected):
            self._try(path, expected[_recorded_name(path)])
        alike = (path for path in paths if _SUFFIX.fullmatch(path.suffix))
        for path in self._affordable(alike):
            self._try(path)

    def search_index(self) -> None:
        """Read the files that the index names."""
        for each in self.places():
            for path in recall(each.sha256)[:_MAX_KNOWN]:
                self._try(path, [each])

    def search_frames(self, given: Sequence[Path], folders: Sequence[Path]) -> None:
        """Read the folders of frames that are given, or have a recorded name."""
        names = {normalize("NFC", each.name) for each in self.missing()}
        paths = [folder / name for folder in folders for name in _listing(folder)]
        for path in [*given, *(each for each in paths if _recorded_name(each) in names)]:
            if self.takes_frames and self.missing() and path.is_dir():
                self._try(path)

    def substitute(self, strangers: Sequence[Path]) -> list[Path]:
        """Use other files for what is missing; return those left over."""
        places = self.places()
        for each, path in zip(places, strangers, strict=False):
            self.found[each.sha256] = path
        return list(strangers[len(places) :])

    def _affordable(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Yield the files worth reading until nothing is missing or the limit is reached."""
        for path in paths:
            if not self._files_left or not self.missing():
                return
            if _is_plausible(path):
                self._files_left -= 1
                yield path

    def _try(self, path: Path, expected: Sequence[Wanted] = ()) -> None:
        """Read a file that by its name or place should be one of the expected inputs."""
        found = self._digest(path)
        if found is None or self._offer(path, found):
            return
        for each in expected:
            if each.name != _STDIN:
                self.differing.setdefault(each.sha256, path)

    def _offer(self, path: Path, sha256: str) -> bool:
        """Return whether a file is one of the inputs; keep the first such file."""
        if all(sha256 != each.sha256 for each in self._wanted):
            return False
        self.found.setdefault(sha256, path)
        return True

    def _digest(self, path: Path) -> str | None:
        """Return the digest of a file, or None if it is unreadable; no file is read twice."""
        key = os.path.realpath(path)
        if key not in self._digests:
            self._digests[key] = None
            with suppress(StylizeError):
                self._digests[key] = frames_digest(path) if path.is_dir() else digest(path)
        return self._digests[key]


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError):
        return []


def _is_plausible(path: Path) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and 0 < status.st_size <= MAX_FILE_BYTES


def _recorded_name(path: Path) -> str:
    """Return the name that a recipe would record, with accents in one normal form."""
    name = printable(re.split(r"[/\\]", path.name)[-1])
    return normalize("NFC", name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore"))


def _not_needed(strangers: Sequence[Path], places: Sequence[Wanted]) -> RecipeError:
    files = ", ".join(map(str, strangers))
    verb, pronoun = ("is", "it") if len(strangers) == 1 else ("are", "them")
    if not places:
        return RecipeError(
            f"{files} {verb} not needed: the recipe's inputs are all there",
            hint=f"leave {pronoun} out",
        )
    roles = ", ".join(str(each) for each in places[: len(strangers)])
    return RecipeError(
        f"{files} {verb} none of the recipe's inputs",
        hint=f"to use {pronoun} instead of {roles}, add --substitute",
    )


def _not_found(search: _Search) -> RecipeError:
    lines, differing = [], search.differing
    for each in search.missing():
        other = differing.get(each.sha256)
        lines.append(f"{each}" if other is None else f"{each}, but {other} has other content")
    what = "the file, or the folder of frames," if search.takes_frames else "the file"
    advice = f"name {what} with --input PATH"
    if any(each.sha256 in differing for each in search.missing()):
        advice += "; --substitute accepts one that differs"
    roles = {each.role for each in search.missing()}
    if others := [f"--{role}" for role in ("content", "style") if role in roles]:
        advice += f"; {' or '.join(others)} names another picture"
    return RecipeError(f"cannot find the recipe's {'; '.join(lines)}", hint=advice)
