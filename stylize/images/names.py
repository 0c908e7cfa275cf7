"""File names: their natural order, and names that every file system can hold."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unicodedata import normalize

from stylize.errors import OutputError

# Of a name that has no limit of its own.
MAX_NAME_BYTES = 199

# Of file systems in use.
LONGEST_NAME_BYTES = 255

_FOREIGN = re.compile(r'[<>:"|?*\\/\x00-\x1f\x7f-\x9f]')

_LEADING_DOTS = re.compile(r"^\.+")

_TRAILING = re.compile(r"[. ]+$")

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.I)


def natural_key(text: str) -> tuple[Any, ...]:
    """A key that sorts as people count: ``a2`` before ``A10``; case decides last."""
    pieces = re.split("([0-9]+)", normalize("NFC", text).casefold())
    # Digits by their length first, since Python refuses to convert thousands of them to a number.
    figures = [(len(each.lstrip("0")), each.lstrip("0")) for each in pieces[1::2]]
    return pieces[0], tuple(zip(figures, pieces[2::2], strict=True)), text


def caseless(text: str) -> str:
    """A key that is equal for names that some file system confuses, by case or by accents."""
    return normalize("NFC", normalize("NFD", text).casefold())


def safe_name(name: str) -> str:
    """Replace characters that Windows refuses, and leading dots, by ``_``.

    The result can name neither the parent (``..``) nor another folder. An empty name gets a word.
    """
    name = _FOREIGN.sub("_", name)
    for edge in (_LEADING_DOTS, _TRAILING):
        name = edge.sub(lambda found: "_" * len(found[0]), name)
    return f"_{name}" if _DEVICE.fullmatch(name) else name or "picture"


def shortened(name: str, max_bytes: int = MAX_NAME_BYTES, *, tail: str = "") -> str:
    """Join a name and its tail within a limit of bytes.

    The end of a longer name is replaced by a piece of its hash; the tail is kept.
    """
    room = max_bytes - _length(tail)
    if _length(name) <= room:
        return name + tail
    piece = f"-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    room = max(0, room - len(piece))
    kept = name[:room]
    while _length(kept) > room:
        kept = kept[:-1]
    return kept + piece + tail


def neighbour(path: Path, *, head: str = "", tail: str) -> Path:
    """A file next to another one: its name between ``head`` and ``tail``, shortened if need be."""
    room = LONGEST_NAME_BYTES - _length(head)
    return path.with_name(head + shortened(path.name, room, tail=tail))


def _length(name: str) -> int:
    """The length in bytes; an undecodable byte counts three here, and one on the disk."""
    return len(name.encode("utf-8", "surrogatepass"))


def unknown_suffix(path: Path, kind: str, known: Iterable[str]) -> OutputError:
    """The error for a file name from whose end no format can be told.

    Args:
        path: the requested file.
        kind: ``"picture"`` or ``"animation"``.
        known: the suffixes that would do.
    """
    suffixes = " ".join(known)
    if os.path.isdir(path):
        return OutputError(f"{path} is a folder", hint=f"name a file in it: {suffixes}")
    suffix = path.suffix
    missing = "the extension is missing"
    what = f"no {kind} format has the extension '{suffix}'" if suffix else missing
    return OutputError(f"{path.name}: {what}", hint=f"use {suffixes}")
