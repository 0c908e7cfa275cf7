"""Patterns of paths, for inputs that no shell has resolved. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path, PurePath


class Pattern:
    """A pattern such as ``photos/**/*.jpg``; ``**`` stands for any number of folders.

    A folder that it matches stands for the files in it, as if a shell had resolved the pattern.

    Args:
        text: with at least one of ``*?[``.
        recursive: whether such a folder also stands for what is below it.

    Attributes:
        base: the folder before the first part that is a pattern; what follows is matched with
            paths relative to it.
    """

    def __init__(self, text: str, *, recursive: bool) -> None:
        self.text = text
        parts = Path(text).parts
        fixed = next(index for index, part in enumerate(parts) if has_magic(part))
        self.base = Path(*parts[:fixed])
        self._parts = parts[fixed:]
        self._recursive = recursive

    def admits_folder(self, relative: PurePath) -> bool:
        """Whether files that are meant may lie below a folder."""
        return bool(self._reached(relative.parts)) or self._is_below_match(relative)

    def admits_file(self, relative: PurePath) -> bool:
        """Whether a file is meant: by itself, or with a folder that it lies in."""
        nearest = self._is_match(relative) or self._is_match(relative.parent)
        return nearest or self._is_below_match(relative)

    def _is_match(self, relative: PurePath) -> bool:
        return bool(relative.parts) and len(self._parts) in self._reached(relative.parts)

    def _is_below_match(self, relative: PurePath) -> bool:
        return self._recursive and any(map(self._is_match, relative.parents))

    def _reached(self, parts: Sequence[str]) -> set[int]:
        """How many parts of the pattern these parts can be the match of: all the ways there are."""
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
