"""Find picture files: patterns, folders, lists, their order. No torch."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path, PurePath
from typing import Any

from stylize.errors import PictureError, StylizeError, UsageError, no_such_file
from stylize.images.metadata import KEYWORD, read_recipe
from stylize.images.names import caseless, natural_key
from stylize.images.open import opened, pixel_limit, printable
from stylize.images.orientation import is_sideways

_JPEG = (".jfif", ".jpe", ".jpeg", ".jpg")

_OTHERS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".png", ".tif", ".tiff", ".webp")

SUFFIXES = frozenset(_JPEG + _OTHERS)

BELOW = "subfolder; use -r"

HIDDEN = "hidden"

RECORDS = ".stylize"  # the folder of a batch's own records

IRREGULAR = "not a regular file"

MADE_HERE = "made by stylize"

NO_PICTURE = "not a picture"

OUTPUT = "in the output folder"

TAKEN = "duplicate"


@dataclass(frozen=True)
class Found:
    """A picture that was found.

    Attributes:
        path: to read it.
        relative: its path relative to the input; results get the same path in the output folder.
        size: ``(height, width)`` when upright; None if it cannot be read.
        problem: why it cannot be read, in one line.
    """

    path: Path
    relative: PurePath
    size: tuple[int, int] | None
    problem: str | None


@dataclass(frozen=True)
class Collection:
    """The result of a search.

    Attributes:
        found: the pictures, in natural order of ``relative``.
        skipped: the files and folders that were left out, with the reason.
    """

    found: list[Found]
    skipped: list[tuple[Path, str]]


@dataclass(frozen=True)
class _Place:
    """A file or a folder: its path, its path relative to the input, whether it was named."""

    path: Path
    relative: PurePath
    named: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of file to look for.

    Attributes:
        suffixes: of such files in folders, in lower case.
        measure: gives ``(height, width)`` of a file, or one line that says what is wrong.
        other: why other files are left out.
        admits: says whether a file in a folder that has one of the suffixes is meant.
    """

    suffixes: frozenset[str]
    measure: Callable[[Path], tuple[tuple[int, int] | None, str | None]]
    other: str = NO_PICTURE
    admits: Callable[[Path], bool] = lambda path: True

    def includes(self, path: Path) -> bool:
        """Whether a file in a folder is of this kind."""
        return path.suffix.lower() in self.suffixes and self.admits(path)


_Skip = Callable[[_Place, str], None]


def collect(
    inputs: Sequence[str],
    *,
    recursive: bool,
    output: Path,
    listed: Iterable[str] = (),
    include_results: bool = False,
    kind: Kind | None = None,
) -> Collection:
    """Find the pictures of a batch.

    A named file is always taken. From folders and patterns, only files are taken that have the
    extension of a picture, are not hidden, and were not made by this program. A file that is found
    twice is taken once: by its name rather than from a folder, by its own path rather than through
    a link.

    Args:
        inputs: files, folders and, where there is no such path, patterns; see
            :class:`~stylize.images.find.Pattern`. ``relative`` is the name of a file, and
            the path relative to a folder or to the fixed part of a pattern. If there are several
            folders, their names come first, so that their trees do not mix.
        recursive: also search the subfolders; a linked folder is searched once.
        output: left out with everything in it, unless an input is there.
        listed: more files and folders, as :func:`read_list` gives them.
        include_results: also take pictures that this program has made.
        kind: what to look for; pictures by default.

    Raises:
        PictureError: no such file, or no regular one; or a folder that was named cannot be read.
        UsageError: a pattern that matches nothing.
    """
    files, folders, patterns = _sorted_out(inputs, list(listed))
    roots = _roots(folders)
    meant = [Pattern(each, recursive=recursive) for each in patterns]
    starts = [each.path for each in roots] + [each.base for each in meant]
    search = _Search(output, starts, include_results, kind or Kind(SUFFIXES, measure))
    search.take([_Place(path, PurePath(path.name), named=True) for path in files])
    search.look_in(roots, recursive)
    for pattern in meant:
        search.look_for(pattern)
    return Collection(sorted(search.found.values(), key=_natural_place), search.skipped)


def read_list(text: str) -> list[str]:
    """The paths in a list of files: one per line, or each ended by a NUL character.

    Blank lines and lines that begin with ``#`` are ignored; write such a file name as ``./#1.png``.
    Between NUL characters, every text is a path.
    """
    if "\0" in text:
        return [each for each in text.split("\0") if each]
    # Not splitlines: names may contain what Unicode counts as the end of a line.
    lines = (each.removesuffix("\r") for each in text.removeprefix("\ufeff").split("\n"))
    return [each for each in lines if each.strip() and not each.startswith("#")]


def measure(path: Path) -> tuple[tuple[int, int] | None, str | None]:
    """``(height, width)`` of a picture from its header, or one line that says what is wrong."""
    try:
        with opened(path, title=printable(str(path)), max_pixels=pixel_limit()) as image:
            height, width = image.height, image.width
            return ((width, height) if is_sideways(image) else (height, width)), None
    except StylizeError as error:
        return None, printable(str(error))


def _is_made_here(path: Path) -> bool:
    try:
        recipe = read_recipe(path)
    except StylizeError:
        return False
    # Cameras, too, write JSON to the place of a recipe.
    return recipe is not None and json.loads(recipe).get("tool") == KEYWORD


def _natural_place(found: Found) -> tuple[Any, ...]:
    return tuple(map(natural_key, found.relative.parts)), natural_key(str(found.path))


def _sorted_out(
    inputs: Sequence[str], listed: Sequence[str]
) -> tuple[list[Path], list[Path], list[str]]:
    """Files, folders and patterns."""
    files, folders, patterns = [], [], []
    for index, text in enumerate([*inputs, *listed]):
        if os.path.isdir(text):
            folders.append(Path(text))
        elif os.path.isfile(text):
            files.append(Path(text))
        elif os.path.exists(text):
            raise PictureError(f"{printable(text)} is {IRREGULAR}")
        elif index < len(inputs) and has_magic(text):
            patterns.append(text)
        else:
            raise no_such_file(printable(text) or repr(text))
    return files, folders, patterns


def _roots(folders: Sequence[Path]) -> list[_Place]:
    """The folders, each once, with their names if there are several."""
    distinct = {os.path.realpath(path): path for path in reversed(folders)}
    # Sorted by path, so that the order of the inputs does not change the tree.
    paths = [path for _, path in sorted(distinct.items())]
    if len(paths) < 2:
        return [_Place(path, PurePath(), named=True) for path in paths]
    taken: set[str] = set()
    return [_Place(path, PurePath(_label(path, taken)), named=True) for path in paths]


def _label(folder: Path, taken: set[str]) -> str:
    """The name of a folder, with a number if others have the same name."""
    label = name = os.path.basename(os.path.abspath(folder)) or "root"
    number = 1
    while caseless(label) in taken:
        number += 1
        label = f"{name}-{number}"
    taken.add(caseless(label))
    return label


class _Search:
    """What has been found so far.

    Args:
        output: the folder of the results.
        starts: where the search will begin.
        include_results: whether pictures that this program has made are taken.
        kind: what is looked for.

    Attributes:
        found: the pictures, by their real paths.
        skipped: what was left out, with the reason.
    """

    def __init__(
        self, output: Path, starts: Iterable[Path], include_results: bool, kind: Kind
    ) -> None:
        self._kind = kind
        self._include_results = include_results
        self.found: dict[str, Found] = {}
        self.skipped: list[tuple[Path, str]] = []
        folder = PurePath(os.path.realpath(output))
        inside = any(PurePath(os.path.realpath(each)).is_relative_to(folder) for each in starts)
        self._output = None if inside else folder

    def look_in(self, roots: Iterable[_Place], recursive: bool) -> None:
        """Take the pictures of folders."""

        def against(folder: _Place) -> str | None:
            return self._against_folder(folder) or (None if recursive else BELOW)

        self.take(_walk(roots, against, self._skip))

    def look_for(self, pattern: Pattern) -> None:
        """Take the pictures that match a pattern.

        Raises:
            UsageError: it matches no file.
        """

        def against(folder: _Place) -> str | None:
            is_meant = pattern.admits_folder(folder.relative)
            return self._against_folder(folder) if is_meant else NO_PICTURE

        files = _walk([_Place(pattern.base, PurePath())], against, lambda folder, reason: None)
        meant = [each for each in files if pattern.admits_file(each.relative)]
        if not meant:
            raise UsageError(
                f"nothing matches '{printable(pattern.text)}'",
                hint="* matches a part of a name, ** any folders",
            )
        self.take(meant)

    def take(self, files: Iterable[_Place]) -> None:
        """Take the wanted files; links come last, in case they lead to files already taken."""
        for place in sorted(files, key=lambda each: os.path.islink(each.path)):
            real = os.path.realpath(place.path)
            reason = TAKEN if real in self.found else self._against_file(place, real)
            if reason:
                self._skip(place, reason)
            else:
                size, problem = self._kind.measure(place.path)
                self.found[real] = Found(place.path, place.relative, size, problem)

    def _against_file(self, place: _Place, real: str) -> str | None:
        if place.named:
            return None
        if place.path.name.startswith("."):
            return HIDDEN
        if not self._kind.includes(place.path):
            return self._kind.other
        if self._is_output(real):
            return OUTPUT
        # A missing file is a broken link, and counts as a picture that cannot be read.
        if os.path.exists(real) and not os.path.isfile(real):
            return IRREGULAR
        is_left_out = not self._include_results and _is_made_here(place.path)
        return MADE_HERE if is_left_out else None

    def _against_folder(self, folder: _Place) -> str | None:
        if self._is_output(os.path.realpath(folder.path)):
            return OUTPUT
        return HIDDEN if folder.path.name.startswith(".") else None

    def _is_output(self, real: str) -> bool:
        return self._output is not None and PurePath(real).is_relative_to(self._output)

    def _skip(self, place: _Place, reason: str) -> None:
        if place.path.name != RECORDS:
            self.skipped.append((place.path, reason))


def _walk(
    roots: Iterable[_Place], against: Callable[[_Place], str | None], skip: _Skip
) -> Iterator[_Place]:
    """The files in and below folders, each folder once, however many links lead to it.

    Args:
        roots: entered without a question.
        against: the reason why a folder is not entered, if there is one.
        skip: called with every folder that is left out.
    """
    folders, links, seen = deque(roots), deque[_Place](), set()
    while folders or links:
        folder = (folders or links).popleft()
        real = os.path.realpath(folder.path)
        if real in seen:
            skip(folder, TAKEN)
            continue
        seen.add(real)
        for place in _listing(folder, skip):
            if not os.path.isdir(place.path):
                yield place
            elif reason := against(place):
                skip(place, reason)
            else:
                (links if os.path.islink(place.path) else folders).append(place)


def _listing(folder: _Place, skip: _Skip) -> list[_Place]:
    try:
        names = os.listdir(folder.path)
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {(getattr(error, 'strerror', None) or str(error)).lower()}"
        if folder.named:
            raise PictureError(f"{printable(str(folder.path))} {reason}") from error
        skip(folder, reason)
        return []
    names.sort(key=natural_key)
    return [_Place(folder.path / name, folder.relative / name) for name in names]


class Pattern:
    """A pattern such as ``photos/**/*.jpg``; ``**`` matches any number of folders.

    A matching folder means the files in it, as if a shell had resolved the pattern.

    Args:
        text: contains at least one of ``*?[``.
        recursive: whether a matching folder also includes its subfolders.

    Attributes:
        base: the folder before the first part with a wildcard; the rest is matched with paths
            relative to it.
    """

    def __init__(self, text: str, *, recursive: bool) -> None:
        self.text = text
        parts = Path(text).parts
        fixed = next(index for index, part in enumerate(parts) if has_magic(part))
        self.base = Path(*parts[:fixed])
        self._parts = parts[fixed:]
        self._recursive = recursive

    def admits_folder(self, relative: PurePath) -> bool:
        """Whether matching files may be below a folder."""
        return bool(self._reached(relative.parts)) or self._is_below_match(relative)

    def admits_file(self, relative: PurePath) -> bool:
        """Whether a file matches, by itself or through its folder."""
        nearest = self._is_match(relative) or self._is_match(relative.parent)
        return nearest or self._is_below_match(relative)

    def _is_match(self, relative: PurePath) -> bool:
        return bool(relative.parts) and len(self._parts) in self._reached(relative.parts)

    def _is_below_match(self, relative: PurePath) -> bool:
        return self._recursive and any(map(self._is_match, relative.parents))

    def _reached(self, parts: Sequence[str]) -> set[int]:
        """All numbers of leading parts of the pattern that these parts can match."""
        reached = self._with_empty({0})
        for part in parts:
            reached = self._with_empty({after for at in reached for after in self._step(at, part)})
        return reached

    def _step(self, at: int, part: str) -> Iterator[int]:
        if at == len(self._parts):
            return
        if self._parts[at] == "**":
            yield at
        elif fnmatch(part, self._parts[at]):
            yield at + 1

    def _with_empty(self, reached: set[int]) -> set[int]:
        for at, part in enumerate(self._parts):
            if at in reached and part == "**":
                reached.add(at + 1)
        return reached
