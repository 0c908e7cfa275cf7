"""File names: in which order people read them, and which of them every file system can hold."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from unicodedata import normalize

# File systems allow 255; the temporary file next to a picture has a longer name.
MAX_NAME_BYTES = 199

_FOREIGN = re.compile(r'[<>:"|?*\\/\x00-\x1f\x7f-\x9f]')

_LEADING_DOTS = re.compile(r"^\.+")

_TRAILING = re.compile(r"[. ]+$")

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.I)


def natural_key(text: str) -> tuple[Any, ...]:
    """Sorts as people count: ``a2`` before ``A10``, case decides last; no two texts are equal."""
    pieces = re.split("([0-9]+)", normalize("NFC", text).casefold())
    # Figures by their length first, since Python refuses to make numbers of thousands of them.
    figures = [(len(each.lstrip("0")), each.lstrip("0")) for each in pieces[1::2]]
    return pieces[0], tuple(zip(figures, pieces[2::2], strict=True)), text


def caseless(text: str) -> str:
    """Equal for names that some file system takes for one: by case, or by how accents are kept."""
    return normalize("NFC", normalize("NFD", text).casefold())


def safe_name(name: str) -> str:
    """A name, with ``_`` for what Windows cannot hold and for the dots that hide a file.

    Neither a step up (``..``) nor another folder can be made of it; an empty one gets a word.
    """
    name = _FOREIGN.sub("_", name)
    for edge in (_LEADING_DOTS, _TRAILING):
        name = edge.sub(lambda found: "_" * len(found[0]), name)
    return f"_{name}" if _DEVICE.fullmatch(name) else name or "picture"


def shortened(name: str, max_bytes: int = MAX_NAME_BYTES, *, tail: str = "") -> str:
    """A name with its tail, at most so many bytes together.

    The end of a longer name gives way to a piece of its hash; the tail is kept.
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


def _length(name: str) -> int:
    """In bytes; one that could not be decoded counts three here, and one on the disk."""
    return len(name.encode("utf-8", "surrogatepass"))
