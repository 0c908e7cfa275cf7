"""The patches of many photos that excite a channel most."""

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
from stylize.networks.architecture import Layer, find_layer
from stylize.products.inspect.folder import Album, Photo, described
from stylize.products.inspect.model import Model
from stylize.products.inspect.result import Finding, OnStep, Stop, brief
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.inspect import PatchesSettings

# Grey level outside a picture. The padding of the network is about this colour.
OUTSIDE = 0.5


@dataclass(frozen=True)
class Box:
    """A square of pixels, possibly partly outside the picture."""

    top: int
    left: int
    side: int

    def within(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the part inside a picture of ``(height, width)`` px."""
        height, width = size
        right, bottom = min(self.left + self.side, width), min(self.top + self.side, height)
        return max(self.left, 0), max(self.top, 0), right, bottom


def receptive_box(layer: Layer, row: int, column: int) -> Box:
    """The receptive field of a position of a layer.

    A VGG's has its centre at ``stride · i + (stride − 1) / 2``, because pooling joins pairs of
    positions and convolutions are symmetric.
    """
    top, left = (layer.stride * place + layer.first_px for place in (row, column))
    return Box(top, left, layer.receptive_field_px)


def crop(pixels: Tensor, box: Box) -> Tensor:
    """The box's pixels; those outside the picture are middle grey.

    Args:
        pixels: ``(1, 3, H, W)``; the box overlaps them.

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
    """The highest positions of each map, more than ``radius`` rows or columns apart.

    Args:
        maps: ``(C, h, w)``, finite.
        count: maximum number of positions per map.
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
    """The state of a search over photos.

    Attributes:
        best: the spots of each channel, the strongest first; equal ones in the order found.
        seen: digest, and size and time, of each photo that was searched, by name.
    """

    best: dict[str, list[Spot]]
    seen: dict[str, tuple[str, list[int]]] = field(default_factory=dict)

    def add(self, channel: str, spots: Sequence[Spot], top: int) -> None:
        """Add spots of one more photo, and keep the ``top`` strongest."""
        both = [*self.best[channel], *spots]
        self.best[channel] = sorted(both, key=lambda spot: -spot.response)[:top]

    def digests(self) -> dict[str, str]:
        """SHA-256 of the photos that were searched, by name."""
        return {name: digest for name, (digest, _) in self.seen.items()}


def key_of(request: Any) -> str:
    """Digest of the plain data that the results of a search depend on."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def save_state(path: Path, search: Search, key: str) -> None:
    """Write the state of a search.

    Raises:
        OutputError: the system refuses.
    """
    document = {"key": key, "best": search.best, "seen": search.seen}
    write_atomically(path, json.dumps(document).encode(), follow_links=False)


def load_state(path: Path, key: str, channels: Sequence[str], photos: Sequence[Photo]) -> Search:
    """Read the state of an earlier run of the same search; an empty state if there is none.

    The state is also empty if a photo was changed or removed since it was searched, because its
    patches may have displaced others.
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
        if path.is_symlink() or not path.is_file():  # a pipe would be waited for
            return {}
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_STATE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _spot(values: Any) -> Spot:
    response, photo, row, column = values
    return Spot(float(response), str(photo), int(row), int(column))


# Seconds between two writes of the state. A run that is killed loses this much.
SAVE_EVERY_S = 5.0

# Patches are shown with visible pixels if they are enlarged at least this much.
COARSE = 4


@dataclass(frozen=True)
class Neurons:
    """Channels of one layer, each once.

    Attributes:
        name: of the layer in the expression, ``relu4_3`` or ``conv4_3``.
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
        """Positions within half a receptive field, in which only the strongest spot counts."""
        return self.layer.receptive_field_px // (2 * self.layer.stride)


class PatchSearch:
    """A search for the patches of an album that excite channels most.

    It keeps one photo at a time, and the page, in memory.

    Args:
        album: the photos.
        settings: of the channels and of the page.
        execution: device, precision and threads.
        session: keeps networks in memory and shares them between calls.

    Raises:
        ExpressionError: the network has no such layer or channel.
        SettingError: there are more channels than a page has rows.
        StylizeError: the network or the device is not available.
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
        self.model = Model(settings.network, execution, session)
        architecture = self.model.weights.architecture
        self.settings = settings.for_network(architecture)
        named = self.settings.channels_by_layer(architecture)
        self.layers = tuple(named)
        self.neurons = [
            Neurons(layer, find_layer(architecture, layer), channels)
            for layer, channels in named.items()
        ]
        self.labels = [label for each in self.neurons for label in each.labels]
        self._skipped: dict[str, str] = {}

    def run(
        self,
        state: Path | None = None,
        on_step: OnStep | None = None,
        on_skip: Callable[[str], None] | None = None,
        stop: Stop | None = None,
    ) -> Finding:
        """Search all photos, then make the page.

        Args:
            state: file for the state, from which a stopped search continues; it stays, for the
                caller to remove once the page is saved. None to keep no state.
            on_step: called after each photo.
            on_skip: called with a message for each photo that is skipped.
            stop: called before every photo; True writes the state and ends the run.

        Raises:
            InterruptedRunError: the run was stopped.
            PictureError: no photo can be used.
            OutputError: the state cannot be written.
        """
        return self._page(self._searched(state, on_step, on_skip, stop))

    def _searched(
        self,
        state: Path | None,
        on_step: OnStep | None,
        on_skip: Callable[[str], None] | None,
        stop: Stop | None,
    ) -> Search:
        key = key_of(self._request())
        photos = self.album.photos
        search = load_state(state, key, self.labels, photos) if state else self._fresh()
        saved = time.monotonic()
        for number, photo in enumerate(photos):
            if stop is not None and stop():
                self._keep(state, search, key)
                raise _stopped(number, len(photos), kept=state is not None)
            if photo.name not in search.seen:
                self._look(photo, search, on_skip)
            if on_step is not None:
                on_step(number + 1, len(photos))
            if time.monotonic() - saved > SAVE_EVERY_S:
                self._keep(state, search, key)
                saved = time.monotonic()
        self._keep(state, search, key)
        return search

    def _fresh(self) -> Search:
        return Search({label: [] for label in self.labels})

    def _request(self) -> dict[str, Any]:
        settings = to_document(self.settings)
        precision = self.model.device.precision
        return {"settings": settings, "of": self.model.weights.sha256, "precision": precision}

    def _keep(self, state: Path | None, search: Search, key: str) -> None:
        if state is not None:
            save_state(state, search, key)

    def _look(self, photo: Photo, search: Search, on_skip: Callable[[str], None] | None) -> None:
        try:
            mark = photo.state()
            picture = read_picture(photo.path)
            self._add(photo, picture, search)
        except (StylizeError, OSError) as error:
            self._skipped[photo.name] = printable(str(error))
            if on_skip is not None:
                on_skip(f"skipped: {printable(str(error))}")
            return
        search.seen[photo.name] = picture.sha256, mark

    def _add(self, photo: Photo, picture: Picture, search: Search) -> None:
        found = self.model.activations(self._seen(picture), self.layers, photo.name)
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
        result = self.model.result(sheet, self.settings, [], skipped=len(self._skipped))
        result.recipe["inputs"] = [described(self.album, search.digests())]
        return Finding(result, self._numbers(search, shown), search.digests(), self._notes())

    def _shown(self, search: Search) -> dict[tuple[str, Spot], tuple[Tensor, list[int]]]:
        # For each spot, its cell and its box in pixels of the original photo.
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
            return [
                (f"{label} · silent", torch.full((1, 3, side, side), OUTSIDE, dtype=torch.float32))
            ]
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
                        "response": brief(spot.response),
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
    """A patch at the size of a cell, with visible pixels if it is small.

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


def show_patches(
    album: Album,
    settings: PatchesSettings,
    execution: Execution | None = None,
    *,
    session: Session | None = None,
    state: Path | None = None,
    on_step: OnStep | None = None,
    on_skip: Callable[[str], None] | None = None,
    stop: Stop | None = None,
) -> Finding:
    """Find the patches of an album that excite channels most.

    See :class:`PatchSearch` and :meth:`PatchSearch.run` for the arguments and errors.
    """
    search = PatchSearch(album, settings, execution, session=session)
    return search.run(state, on_step, on_skip, stop)
