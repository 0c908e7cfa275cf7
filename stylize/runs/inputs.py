"""The inputs of a recipe, found again on this machine by their content.

A recipe names its inputs by file name and SHA-256; where they lay is kept out of the picture.
That stands in an index in the user's cache instead, ``sources.jsonl``: a line of JSON for every
picture that was opened, the newest last. The index is a convenience. It is written without locks,
may lose an entry to a parallel run, and whatever it says is compared with the file's content.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from unicodedata import normalize

from stylize.directories import cache_directory
from stylize.errors import PictureError, RecipeError
from stylize.images.atomic import write_atomically
from stylize.images.open import printable

MAX_FILES = 2000

MAX_FILE_BYTES = 500_000_000

MAX_INDEX_BYTES = 1_000_000

MAX_INDEX_ENTRIES = 5000

_SUFFIX = re.compile(r"\.(apng|avif|bmp|gif|hei[cf]|hif|jfif|jpe|jpe?g|png|tiff?|webp)", re.I)

_HASH = re.compile(r"[0-9a-f]{64}")

_ROLE = re.compile(r".{1,80}")

_NAME = re.compile(r"(?!\.{1,2}\Z)[^/\\\0]{1,255}")

_MAX_LINE_BYTES = 1 << 16  # no system opens a path as long as this

_MAX_KNOWN = 10  # places tried for one hash

_MAX_SHOWN = 80

_MAX_NAME_BYTES = 80  # of stylize.runs.recipe, which would bring numpy with it

_STDIN = "stdin"


@dataclass(frozen=True)
class Wanted:
    """An input as a recipe describes it.

    Attributes:
        role: ``content``, ``style`` …
        name: the file's name when it was read; untrusted, and never made a path of.
        sha256: hexadecimal digest of the file's bytes.
    """

    role: str
    name: str
    sha256: str

    def __str__(self) -> str:
        role, name = (printable(text)[:_MAX_SHOWN] for text in (self.role, self.name))
        return f"{role} '{name}' ({printable(self.sha256)[:8]}…)"


def wanted_of(recipe: Mapping[str, Any]) -> list[Wanted]:
    """The inputs that a recipe asks for, in its order.

    Raises:
        RecipeError: an input without a role, with a name that no file can have, or with a digest
            that is none.
    """
    inputs = recipe.get("inputs")
    if not isinstance(inputs, list):
        raise RecipeError("damaged recipe: no inputs")
    return [_wanted(entry, number) for number, entry in enumerate(inputs, 1)]


def _wanted(entry: Any, number: int) -> Wanted:
    match entry:
        case {"role": str(role), "name": str(name), "sha256": str(sha256)} if (
            _ROLE.fullmatch(role) and _NAME.fullmatch(name) and _HASH.fullmatch(sha256)
        ):
            return Wanted(role, name, sha256)
    raise RecipeError(f"damaged recipe: input {number} has no proper role, name or sha256")


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal: what ``Picture.sha256`` is for the same file.

    Raises:
        PictureError: missing, unreadable, or no regular file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise PictureError(f"{path} is not a regular file")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PictureError(f"{path} cannot be read: {reason.lower()}") from error


def remember(path: Path, sha256: str) -> None:
    """Note in the index where a picture lies. Never raises: without an index, nothing is noted."""
    with suppress(Exception):  # no trouble with a convenience is worth the user's picture
        _append(os.path.abspath(path), sha256)


def recall(sha256: str) -> list[Path]:
    """Where pictures of that digest were opened, the newest first; only files that exist.

    Their content may have changed since. Never raises: without an index, there is nothing.
    """
    return [Path(path) for path in _known(_tail(), sha256) if os.path.isfile(path)]


def _index() -> Path:
    return cache_directory() / "sources.jsonl"


def _tail() -> bytes:
    """The index, or the end of one that has grown beyond all measure."""
    index = _index()
    if not os.path.isfile(index):
        return b""
    try:
        with index.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 2 * MAX_INDEX_BYTES))
            return file.read(2 * MAX_INDEX_BYTES)
    except OSError:
        return b""


def _known(index: bytes, sha256: str) -> list[str]:
    """The places of one digest, the newest first, each once."""
    if not _HASH.fullmatch(sha256):
        return []
    lines = (line for line in index.split(b"\n") if sha256.encode() in line)
    paths = [path for found, path in _entries(lines) if found == sha256]
    return list(dict.fromkeys(reversed(paths)))


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Digests and absolute paths. Lines that are torn, foreign or hostile are passed over."""
    for line in lines:
        if not 0 < len(line) < _MAX_LINE_BYTES:
            continue
        entry = None
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
        match entry:
            case {"sha256": str(sha256), "path": str(path)}:
                if _HASH.fullmatch(sha256) and os.path.isabs(path):
                    yield sha256, path


def _line(sha256: str, path: str) -> bytes:
    return json.dumps({"sha256": sha256, "path": path}, separators=(",", ":")).encode() + b"\n"


def _append(path: str, sha256: str) -> None:
    index, present = _index(), _tail()
    unusable = os.path.lexists(index) and not os.path.isfile(index)
    if unusable or not _HASH.fullmatch(sha256) or _known(present, sha256)[:1] == [path]:
        return
    line = _line(sha256, path)
    if present and not present.endswith(b"\n"):  # do not continue what another run has torn
        line = b"\n" + line
    index.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    # What somebody looks at is nobody else's business.
    descriptor = os.open(index, flags, 0o600)
    try:
        os.write(descriptor, line)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size > MAX_INDEX_BYTES:
        _compact(index)


def _compact(index: Path) -> None:
    """Keep the newest entry of each digest, and of those so many that there is room again."""
    newest: dict[str, str] = {}
    for sha256, path in reversed(list(_entries(_tail().split(b"\n")))):
        newest.setdefault(sha256, path)
    lines, size = [], 0
    for sha256, path in islice(newest.items(), MAX_INDEX_ENTRIES):
        lines.append(_line(sha256, path))
        size += len(lines[-1])
        if size > MAX_INDEX_BYTES // 2:
            break
    write_atomically(index, b"".join(reversed(lines)))
    os.chmod(index, 0o600)


def find_sources(
    wanted: Sequence[Wanted],
    *,
    given: Sequence[Path],
    folders: Sequence[Path],
    substitute: bool = False,
) -> list[Path]:
    """The files that have the content of the wanted inputs.

    Looked at in turn: the given files, the given folders, the other folders, the index. In
    folders (not below them), first the files of a recorded name, then all that are called like
    pictures; of these files at most 2000 in all, none above 500 MB, nothing but regular files,
    and none that cannot be read.

    Args:
        wanted: what is sought. Equal digests are one input, and get the same file.
        given: files and folders that the user named. A file must be one of the inputs; of a
            folder nothing is demanded.
        folders: where else to look; those that do not exist are passed over.
        substitute: let given files that are none of the inputs take the places of the inputs
            that are not found, in the order of both.

    Returns:
        A path for each of ``wanted``, in its order.

    Raises:
        PictureError: a given path does not exist, or cannot be read.
        RecipeError: an input is not found, or a given file is not needed.
    """
    search = _Search(wanted)
    strangers = search.take_files(given)
    search.search_folders([path for path in given if os.path.isdir(path)])
    search.search_folders(folders)
    search.search_index()
    if substitute:
        strangers = search.substitute(strangers)
    if strangers:
        raise _not_needed(strangers, search.places())
    if search.missing():
        raise _not_found(search)
    return [search.found[each.sha256] for each in wanted]


class _Search:
    """What has been found so far.

    Attributes:
        found: a file for each digest.
        differing: for a digest, a file that should have it by its name or place, and has not.
    """

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self.found: dict[str, Path] = {}
        self.differing: dict[str, Path] = {}
        self._wanted = wanted
        self._digests: dict[str, str | None] = {}
        self._files_left = MAX_FILES

    def missing(self) -> list[Wanted]:
        """The inputs without a file."""
        return [each for each in self._wanted if each.sha256 not in self.found]

    def places(self) -> list[Wanted]:
        """The same, but of those with one digest only the first."""
        first: dict[str, Wanted] = {}
        for each in self.missing():
            first.setdefault(each.sha256, each)
        return list(first.values())

    def take_files(self, given: Sequence[Path]) -> list[Path]:
        """Use the given files; returns those that are none of the inputs."""
        for path in given:
            if not os.path.exists(path):
                raise PictureError(f"{path}: there is no such file")
        strangers = []
        for path in (each for each in given if not os.path.isdir(each)):
            found = self._digests[os.path.realpath(path)] = digest(path)
            if not self._offer(path, found):
                strangers.append(path)
        return strangers

    def search_folders(self, folders: Sequence[Path]) -> None:
        """Look at the files there, by name and then by content alone."""
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
        """Look where the pictures were opened before."""
        for each in self.places():
            for path in recall(each.sha256)[:_MAX_KNOWN]:
                self._try(path, [each])

    def substitute(self, strangers: Sequence[Path]) -> list[Path]:
        """Let other files take the places of what is missing; returns those left over."""
        places = self.places()
        for each, path in zip(places, strangers, strict=False):
            self.found[each.sha256] = path
        return list(strangers[len(places) :])

    def _affordable(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Those worth reading, as long as something is missing and the number is not used up."""
        for path in paths:
            if not self._files_left or not self.missing():
                return
            if _is_plausible(path):
                self._files_left -= 1
                yield path

    def _try(self, path: Path, expected: Sequence[Wanted] = ()) -> None:
        """Look at a file, which by its name or place should be one of the expected inputs."""
        found = self._digest(path)
        if found is None or self._offer(path, found):
            return
        for each in expected:
            if each.name != _STDIN:
                self.differing.setdefault(each.sha256, path)

    def _offer(self, path: Path, sha256: str) -> bool:
        """Whether a file is one of the inputs; the first such file is kept."""
        if all(sha256 != each.sha256 for each in self._wanted):
            return False
        self.found.setdefault(sha256, path)
        return True

    def _digest(self, path: Path) -> str | None:
        """The digest of a file, if it can be had; no file is read twice."""
        key = os.path.realpath(path)
        if key not in self._digests:
            self._digests[key] = None
            with suppress(PictureError):
                self._digests[key] = digest(path)
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
    """What a recipe would call this file, in the one spelling of accents that names share here."""
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
        hint=f"to use {pronoun} in the place of {roles}, add --substitute",
    )


def _not_found(search: _Search) -> RecipeError:
    lines, differing = [], search.differing
    for each in search.missing():
        other = differing.get(each.sha256)
        lines.append(f"{each}" if other is None else f"{each}, whose content {other} does not have")
    advice = "name the file with --input PATH"
    if any(each.sha256 in differing for each in search.missing()):
        advice += "; --substitute accepts one that differs"
    return RecipeError(f"cannot find the recipe's {'; '.join(lines)}", hint=advice)
