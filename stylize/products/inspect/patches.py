"""The patches of many photos that excite channels most."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from stylize.errors import InterruptedRunError, PictureError, StylizeError
from stylize.images.atomic import write_atomically
from stylize.images.contact_sheet import contact_sheet
from stylize.images.mosaic import figure
from stylize.images.open import printable
from stylize.images.read import Picture, read_picture
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.networks.architecture import Layer
from stylize.networks.layer_expressions import parse_targets
from stylize.products.inspect.folder import Album, Photo, described
from stylize.products.inspect.model import Finding, Observer, painting_of
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.inspect import PatchesSettings, channels_of

# Outside a picture: about the mean colour, which is the zero that the network sees there.
OUTSIDE = 0.5


@dataclass(frozen=True)
class Box:
    """A square of pixels, which may lie partly outside the picture."""

    top: int
    left: int
    side: int

    def within(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what lies in a picture of ``(height, width)`` px."""
        height, width = size
        right, bottom = min(self.left + self.side, width), min(self.top + self.side, height)
        return max(self.left, 0), max(self.top, 0), right, bottom


def receptive_box(layer: Layer, row: int, column: int) -> Box:
    """The pixels that a position of a layer depends on, and no others.

    The centre of position ``i`` lies at ``stride · i + (stride − 1) / 2``: a pooling looks at
    whole pairs of positions, a convolution evenly to both sides.
    """
    offset = (layer.stride - layer.receptive_field_px) // 2
    top, left = (layer.stride * place + offset for place in (row, column))
    return Box(top, left, layer.receptive_field_px)


def crop(pixels: Tensor, box: Box) -> Tensor:
    """The box's pixels; those outside the picture are middle grey.

    Args:
        pixels: ``(1, 3, H, W)``, of which some lie in the box.

    Returns:
        ``(1, 3, side, side)``.
    """
    left, top, right, bottom = box.within((pixels.shape[-2], pixels.shape[-1]))
    inside = pixels[..., top:bottom, left:right]
    margins = (
        left - box.left,
        box.left + box.side - right,
        top - box.top,
        box.top + box.side - bottom,
    )
    return pad(inside, margins, value=OUTSIDE)


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


# Between two writings of the state: what a run that is killed loses.
SAVE_EVERY_S = 5.0

# Patches of so few pixels are shown with each of them a square.
COARSE = 4


@dataclass(frozen=True)
class Neurons:
    """Channels of one layer, in the order of their numbers.

    Attributes:
        name: of the layer as it was asked for, ``relu4_3`` or ``conv4_3``.
        radius: positions within which a stronger response silences others.
    """

    name: str
    layer: Layer
    channels: tuple[int, ...]

    @property
    def labels(self) -> list[str]:
        """``relu4_3:7`` …"""
        return [f"{self.name}:{channel}" for channel in self.channels]

    @property
    def radius(self) -> int:
        """Positions within half a receptive field."""
        return self.layer.receptive_field_px // (2 * self.layer.stride)


class PatchSearch:
    """A search for the patches of an album that excite channels most, prepared.

    Memory is that of one photo at a time, and of the page.

    Args:
        album: the photos.
        settings: channels, and how much of each.
        execution: where it is done.
        session: shares networks with others.

    Raises:
        ExpressionError: the network has no such layer or channel.
        SettingError: there are more channels than a page has rows.
        StylizeError: the network or the device is not there.
    """

    def __init__(
        self,
        album: Album,
        settings: PatchesSettings,
        execution: Execution | None = None,
        *,
        session: Session | None = None,
    ) -> None:
        self.album = album
        self.settings = settings
        targets = parse_targets(settings.channels)
        layers = tuple(dict.fromkeys(each.layer for each in targets))
        self.observer = Observer(settings.network, layers, execution, session=session)
        architecture = self.observer.weights.architecture
        settings.check_layers(architecture)
        self.neurons = [
            Neurons(each.layer, self.observer.layers[each.layer], channels_of(each, architecture))
            for each in targets
        ]
        self.labels = [label for each in self.neurons for label in each.labels]
        self._skipped: dict[str, str] = {}

    def run(
        self,
        state: Path | None = None,
        on_step: Callable[[str], None] | None = None,
        warned: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Finding:
        """Look at all photos, then make the page.

        Args:
            state: a file in which the search rests; a search that was killed goes on from there.
                Removed at the end. None to keep nothing.
            on_step: is told the name of each photo that is done, or was before.
            warned: is told, in a line, of each photo that is passed over.
            stop: asked before every photo; True leaves the search to its state.

        Raises:
            InterruptedRunError: it was stopped.
            PictureError: none of the photos can be used.
            OutputError: the state cannot be written.
        """
        finding = self._page(self._searched(state, on_step, warned, stop))
        if state is not None:
            with suppress(OSError):
                state.unlink()
        return finding

    def _searched(
        self,
        state: Path | None,
        on_step: Callable[[str], None] | None,
        warned: Callable[[str], None] | None,
        stop: Callable[[], bool] | None,
    ) -> Search:
        """All photos looked at, and that written down."""
        key = key_of(self._request())
        photos = self.album.photos
        search = load_state(state, key, self.labels, photos) if state else self._fresh()
        saved = time.monotonic()
        for number, photo in enumerate(photos):
            if stop is not None and stop():
                self._keep(state, search, key)
                raise _stopped(number, len(photos), kept=state is not None)
            if photo.name not in search.seen:
                self._look(photo, search, warned)
            if on_step is not None:
                on_step(photo.name)
            if time.monotonic() - saved > SAVE_EVERY_S:
                self._keep(state, search, key)
                saved = time.monotonic()
        self._keep(state, search, key)
        return search

    def _fresh(self) -> Search:
        return Search({label: [] for label in self.labels})

    def _request(self) -> dict[str, Any]:
        """All that decides what is found in a given photo."""
        settings = to_document(self.settings)
        precision = self.observer.device.precision
        return {"settings": settings, "of": self.observer.weights.sha256, "precision": precision}

    def _keep(self, state: Path | None, search: Search, key: str) -> None:
        if state is not None:
            save_state(state, search, key)

    def _look(self, photo: Photo, search: Search, warned: Callable[[str], None] | None) -> None:
        """Add what one photo has to show; passes over those that cannot be read."""
        try:
            mark = photo.state()
            picture = read_picture(photo.path)
            self._add(photo, picture, search)
        except (StylizeError, OSError) as error:
            self._skipped[photo.name] = printable(str(error))
            if warned is not None:
                warned(f"skipped: {printable(str(error))}")
            return
        search.seen[photo.name] = picture.sha256, mark

    def _add(self, photo: Photo, picture: Picture, search: Search) -> None:
        found = self.observer.look(self._seen(picture), photo.name)
        for each in self.neurons:
            maps = found[each.name][list(each.channels)]
            spots = peaks(maps, self.settings.per_photo, each.radius)
            for label, best in zip(each.labels, spots, strict=True):
                excited = [
                    Spot(value, photo.name, row, column)
                    for value, row, column in best
                    if value > 0 or each.name == each.layer.name
                ]
                search.add(label, excited, self.settings.top)

    def _seen(self, picture: Picture) -> Tensor:
        size = SizeSpec.parse(self.settings.size).fit(*picture.size)
        return resize(picture.pixels, size).clamp(0, 1)

    def _page(self, search: Search) -> Finding:
        if not search.seen:
            (reason, *others) = self._skipped.values()
            raise PictureError(f"no photo can be used: {reason}" + " …" * bool(others))
        shown = self._shown(search)
        cells = [self._row(label, search.best[label], shown) for label in self.labels]
        sheet = contact_sheet(cells, title=self._title(search))
        result = painting_of(
            sheet,
            self.settings,
            [],
            weights=self.observer.weights,
            resolved=self.observer.resolved() | {"skipped": len(self._skipped)},
        )
        result.recipe["inputs"] = [described(self.album, search.digests())]
        return Finding(result, self._numbers(search, shown), search.digests(), self._notes())

    def _shown(self, search: Search) -> dict[tuple[str, Spot], tuple[Tensor, list[int]]]:
        """Each spot's cell, and its box in the photo's own pixels; photo after photo."""
        layers = {label: each.layer for each in self.neurons for label in each.labels}
        wanted: dict[str, list[tuple[str, Spot]]] = {}
        for label, spots in search.best.items():
            for spot in spots:
                wanted.setdefault(spot.photo, []).append((label, spot))
        shown = {}
        for photo in self.album.photos:
            if photo.name not in wanted:
                continue
            picture = read_picture(photo.path)
            pixels = self._seen(picture)
            for label, spot in wanted[photo.name]:
                box = receptive_box(layers[label], spot.row, spot.column)
                cell = cell_of(crop(pixels, box), self.settings.cell)
                enlargement = picture.size[0] / pixels.shape[-2]
                corners = box.within((pixels.shape[-2], pixels.shape[-1]))
                shown[label, spot] = cell, [round(each * enlargement) for each in corners]
        return shown

    def _row(
        self, label: str, spots: list[Spot], shown: dict[tuple[str, Spot], tuple[Tensor, list[int]]]
    ) -> list[tuple[str, Tensor]]:
        if not spots:
            side = self.settings.cell
            return [(f"{label} · silent", torch.full((1, 3, side, side), OUTSIDE))]
        return [(f"{label} · {figure(spot.response)}", shown[label, spot][0]) for spot in spots]

    def _title(self, search: Search) -> str:
        count = len(search.seen)
        return f"{self.settings.channels}: {count} photo{'' if count == 1 else 's'}"

    def _numbers(
        self, search: Search, shown: dict[tuple[str, Spot], tuple[Tensor, list[int]]]
    ) -> dict[str, Any]:
        return {
            "photos": len(search.seen),
            "skipped": self._skipped,
            "channels": {
                label: [
                    {
                        "response": float(f"{spot.response:.6g}"),
                        "photo": spot.photo,
                        "box": shown[label, spot][1],
                    }
                    for spot in spots
                ]
                for label, spots in search.best.items()
            },
        }

    def _notes(self) -> list[str]:
        count = len(self._skipped)
        return [f"{count} of {len(self.album.photos)} photos skipped"] if count else []


def cell_of(patch: Tensor, side_px: int) -> Tensor:
    """A patch at the size of a cell; one of few pixels shows them as squares.

    Args:
        patch: ``(1, 3, n, n)`` in [0, 1].

    Returns:
        ``(1, 3, side_px, side_px)``.
    """
    size = (side_px, side_px)
    if patch.shape[-1] * COARSE <= side_px:
        return interpolate(patch, size, mode="nearest-exact")
    return resize(patch, size).clamp(0, 1)


def _stopped(done: int, total: int, *, kept: bool) -> InterruptedRunError:
    hint = "the same command continues from there" if kept else None
    return InterruptedRunError(f"stopped after {done} of {total} photos", hint=hint)
