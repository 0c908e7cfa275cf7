"""The photos of a folder as one input, and the files next to a result. No torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylize.errors import PictureError
from stylize.images.atomic import write_atomically
from stylize.images.find import collect
from stylize.images.names import neighbour
from stylize.images.open import printable
from stylize.runs.recipe import MAX_NAME_BYTES


@dataclass(frozen=True)
class Photo:
    """A file with the name of a picture.

    Attributes:
        path: the file.
        name: its path relative to the folder, with slashes.
    """

    path: Path
    name: str

    def state(self) -> list[int]:
        """Size in bytes and time of the last change in ns, to recognize an unchanged file."""
        found = os.stat(self.path)
        return [found.st_size, found.st_mtime_ns]


@dataclass(frozen=True)
class Album:
    """The photos of a folder in natural order, without pictures made by this program.

    Attributes:
        folder: the folder.
        photos: at least one.
    """

    folder: Path
    photos: list[Photo]


def open_album(folder: Path, *, recursive: bool) -> Album:
    """Find the photos of a folder.

    Args:
        folder: the folder.
        recursive: also search its subfolders.

    Raises:
        PictureError: no such folder, or no file in it has the name of a picture.
    """
    if not os.path.isdir(folder):
        raise PictureError(
            f"{printable(str(folder))} is not a folder", hint="name a folder of photos"
        )
    found = collect([str(folder)], recursive=recursive, output=Path(os.devnull)).found
    photos = [Photo(each.path, each.relative.as_posix()) for each in found]
    if not photos:
        remedy = None if recursive else "-r also looks in the folders below"
        raise PictureError(f"{printable(str(folder))} holds no photos", hint=remedy)
    return Album(folder, photos)


def inventory(digests: Mapping[str, str]) -> bytes:
    """The list of all photos, in the format of ``sha256sum --check``.

    Args:
        digests: SHA-256 of each photo's bytes, hexadecimal, by its name.
    """
    return b"".join(_line(name, digests[name]) for name in sorted(digests))


def _line(name: str, digest: str) -> bytes:
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return os.fsencode(f"{mark}{digest}  {escaped}\n")


def described(album: Album, digests: Mapping[str, str]) -> dict[str, Any]:
    """All photos as one input of a recipe: the digest is that of their :func:`inventory`."""
    name = printable(os.path.basename(os.path.abspath(album.folder))) or "folder"
    return {
        "role": "photos",
        "name": name.encode()[:MAX_NAME_BYTES].decode(errors="ignore"),
        "sha256": hashlib.sha256(inventory(digests)).hexdigest(),
        "count": len(digests),
    }


def inventory_path(target: Path) -> Path:
    """The file of the inventory for a picture: ``page.png.sha256`` for ``page.png``."""
    return neighbour(target, tail=".sha256")


def state_path(target: Path) -> Path:
    """The file of an unfinished search for a picture: ``.page.png.search`` for ``page.png``."""
    return neighbour(target, head=".", tail=".search")


def page_path(target: Path) -> Path:
    """The page of a map for its picture: ``map.html`` for ``map.png``."""
    return neighbour(target.with_suffix(""), tail=".html")


def write_inventory(target: Path, digests: Mapping[str, str], *, overwrite: bool = False) -> Path:
    """Write the inventory next to a picture; return its path.

    Without ``overwrite`` it takes the next free name if a file has its own.

    Raises:
        OutputError: the system refuses.
    """
    return write_atomically(
        inventory_path(target), inventory(digests), overwrite=overwrite, follow_links=False
    )
