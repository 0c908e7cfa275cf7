"""The places in many photos that excite channels most, and the file in which a search rests."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stylize.images.atomic import write_atomically
from stylize.inspection.album import Photo

_MAX_STATE_BYTES = 100_000_000


class Spot(NamedTuple):
    """A position of a layer in a photo, and a channel's response there."""

    response: float
    photo: str
    row: int
    column: int


def peaks(maps: Tensor, count: int, radius: int) -> list[list[tuple[float, int, int]]]:
    """The highest positions of each map, none within ``radius`` rows and columns of a higher one.

    Args:
        maps: ``(C, h, w)``, finite.
        count: of positions for each map at most.
        radius: 0 or more, in positions.

    Returns:
        For each map its values, rows and columns, the highest first.
    """
    left = maps.clone()
    rows, columns = (torch.arange(length) for length in maps.shape[1:])
    found: list[list[tuple[float, int, int]]] = [[] for _ in maps]
    for _ in range(count):
        values, places = left.flatten(1).max(1)
        y, x = places // maps.shape[2], places % maps.shape[2]
        for peak, *where in zip(found, values.tolist(), y.tolist(), x.tolist(), strict=True):
            if where[0] > -math.inf:
                peak.append((where[0], where[1], where[2]))
        high = (rows[None] - y[:, None]).abs() <= radius
        wide = (columns[None] - x[:, None]).abs() <= radius
        left.masked_fill_(high[:, :, None] & wide[:, None, :], -math.inf)
    return found


@dataclass
class Search:
    """What a search over photos has found so far.

    Attributes:
        best: for each channel the spots, the strongest first; of equals, the first found.
        seen: of each photo that is done, its digest, then its size and time, by name.
    """

    best: dict[str, list[Spot]]
    seen: dict[str, tuple[str, list[int]]] = field(default_factory=dict)

    def add(self, channel: str, spots: Sequence[Spot], top: int) -> None:
        """Take spots of one more photo, and keep the ``top`` strongest."""
        both = [*self.best[channel], *spots]
        self.best[channel] = sorted(both, key=lambda spot: -spot.response)[:top]

    def digests(self) -> dict[str, str]:
        """SHA-256 of the photos that are done, by name."""
        return {name: digest for name, (digest, _) in self.seen.items()}


def key_of(request: Any) -> str:
    """What a state must agree with, of plain data that decides what is found."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def save_state(path: Path, search: Search, key: str) -> None:
    """Write what a search has found.

    Raises:
        OutputError: the system refuses.
    """
    document = {"key": key, "best": search.best, "seen": search.seen}
    write_atomically(path, json.dumps(document).encode())


def load_state(path: Path, key: str, channels: Sequence[str], photos: Sequence[Photo]) -> Search:
    """What an earlier run of the same search has found; nothing if there was none.

    Begins anew also where a photo has changed, or gone, since it was looked at: what it had to
    show may have pushed out something else.
    """
    fresh = Search({channel: [] for channel in channels})
    document = _read(path)
    if document.get("key") != key:
        return fresh
    with suppress(KeyError, TypeError, ValueError, OSError):
        best = {name: [_spot(each) for each in document["best"][name]] for name in channels}
        seen = {name: (str(digest), state) for name, (digest, state) in document["seen"].items()}
        present = {photo.name: photo for photo in photos}
        if all(present[name].state() == state for name, (_, state) in seen.items()):
            return Search(best, seen)
    return fresh


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_STATE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _spot(values: Any) -> Spot:
    response, photo, row, column = values
    return Spot(float(response), str(photo), int(row), int(column))
