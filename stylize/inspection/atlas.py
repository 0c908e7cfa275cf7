"""Many photos on one plane, what looks alike side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylize.errors import PictureError, StylizeError
from stylize.images import SizeSpec, read_picture, resize
from stylize.images.opening import printable
from stylize.images.sheet import BACKGROUND
from stylize.inspection.album import Album, described
from stylize.inspection.arrangement import Points, embedded, grid_for, require_scikit, snapped
from stylize.inspection.finding import Finding, Observer, painting_of
from stylize.settings import Execution
from stylize.settings.inspection import MapSettings
from stylize.techniques.painting import Painting
from stylize.techniques.studio import Studio

# Of the whole page in pixels: 12 bytes each, and what viewers open without complaint.
MOST_PIXELS = 24_000_000
GAP_PX = 2


@dataclass(frozen=True)
class Atlas(Finding):
    """A map of photos.

    Attributes:
        grid: rows and columns.
        names: of the photos, by row and column.
        cell_px: from one thumbnail to the next.
    """

    grid: tuple[int, int] = (0, 0)
    names: dict[tuple[int, int], str] = field(default_factory=dict)
    cell_px: int = 0


@dataclass
class _Seen:
    """What is kept of the photos: names, digests, features, thumbnails of 8 bits."""

    names: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    features: list[Tensor] = field(default_factory=list)
    thumbnails: list[Tensor] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Layout:
    """Where the photos lie: on the plane, ``(n, 2)`` in [0, 1], and by row and column."""

    plane: Points
    grid: tuple[int, int]
    places: list[tuple[int, int]]


def make_map(
    album: Album,
    settings: MapSettings,
    execution: Execution | None = None,
    *,
    studio: Studio | None = None,
    told: Callable[[str], None] | None = None,
    warned: Callable[[str], None] | None = None,
) -> Atlas:
    """Lay out photos by what a layer's channels make of them, in the mean over each photo.

    Of each photo its features and its thumbnail are kept, nothing else. Fewer than 5 are laid
    out along their principal components.

    Args:
        album: the photos.
        settings: which layer, how large, which seed.
        execution: where it is done.
        studio: shares networks with others.
        told: is told the name of each photo that has been looked at.
        warned: is told, in a line, of each photo that is passed over.

    Raises:
        PictureError: none of the photos can be used.
        MissingExtraError: scikit-learn is not there.
        StylizeError: the network, the layer or the device is not there.
    """
    require_scikit(len(album.photos))
    observer = Observer(settings.network, [settings.layer], execution, studio=studio)
    side = thumbnail_side(settings.thumbnail, len(album.photos))
    seen = _look(album, settings, observer, side, told, warned)
    layout = _laid_out(seen, settings)
    painting = _painting(album, settings, observer, seen, layout)
    numbers, notes = _numbers(seen, layout), _notes(seen, settings, album, side)
    names = dict(zip(layout.places, seen.names, strict=True))
    return Atlas(painting, numbers, seen.digests, notes, layout.grid, names, side + GAP_PX)


def _laid_out(seen: _Seen, settings: MapSettings) -> _Layout:
    features = torch.stack(seen.features).double().numpy()
    plane = embedded(features, perplexity=settings.perplexity, seed=settings.seed)
    grid = grid_for(len(features))
    places = [(int(row), int(column)) for row, column in snapped(plane, *grid)]
    return _Layout(plane, grid, places)


def thumbnail_side(wanted_px: int, photos: int) -> int:
    """The side of a thumbnail, so that a page of so many has at most 24 million pixels."""
    rows, columns = grid_for(photos)
    return max(4, min(wanted_px, math.isqrt(MOST_PIXELS // (rows * columns)) - GAP_PX))


def _look(
    album: Album,
    settings: MapSettings,
    observer: Observer,
    side: int,
    told: Callable[[str], None] | None,
    warned: Callable[[str], None] | None,
) -> _Seen:
    seen, size = _Seen(), SizeSpec.parse(settings.size)
    for photo in album.photos:
        try:
            picture = read_picture(photo.path)
            pixels = resize(picture.pixels, size.fit(*picture.size)).clamp(0, 1)
            maps = observer.look(pixels, photo.name)[settings.layer]
        except StylizeError as error:
            seen.skipped[photo.name] = printable(str(error))
            if warned is not None:
                warned(f"skipped: {seen.skipped[photo.name]}")
        else:
            seen.names.append(photo.name)
            seen.digests[photo.name] = picture.sha256
            seen.features.append(maps.mean((1, 2)))
            seen.thumbnails.append(thumbnail(picture.pixels, side))
        if told is not None:
            told(photo.name)
    if not seen.names:
        (reason, *others) = seen.skipped.values()
        raise PictureError(f"no photo can be used: {reason}" + " …" * bool(others))
    return seen


def thumbnail(pixels: Tensor, side_px: int) -> Tensor:
    """The middle square of a photo, ``(3, side_px, side_px)`` uint8."""
    short = min(pixels.shape[-2:])
    top, left = ((length - short) // 2 for length in pixels.shape[-2:])
    square = pixels[..., top : top + short, left : left + short]
    return (resize(square, (side_px, side_px)).clamp(0, 1)[0] * 255).round().to(torch.uint8)


def _painting(
    album: Album, settings: MapSettings, observer: Observer, seen: _Seen, layout: _Layout
) -> Painting:
    """The page with its recipe."""
    page = _page(seen.thumbnails, layout)
    side = seen.thumbnails[0].shape[-1]
    resolved = observer.resolved() | {"thumbnail_px": side, "skipped": len(seen.skipped)}
    painting = painting_of(page, settings, [], weights=observer.weights, resolved=resolved)
    painting.recipe["inputs"] = [described(album, seen.digests)]
    return painting


def _page(thumbnails: list[Tensor], layout: _Layout) -> Tensor:
    side = thumbnails[0].shape[-1]
    pitch = side + GAP_PX
    height, width = (count * pitch + GAP_PX for count in layout.grid)
    page = torch.full((1, 3, height, width), BACKGROUND / 255)
    for each, (row, column) in zip(thumbnails, layout.places, strict=True):
        top, left = GAP_PX + row * pitch, GAP_PX + column * pitch
        page[0, :, top : top + side, left : left + side] = each / 255
    return page


def _numbers(seen: _Seen, layout: _Layout) -> dict[str, Any]:
    photos = zip(seen.names, layout.places, layout.plane, strict=True)
    return {
        "grid": list(layout.grid),
        "skipped": seen.skipped,
        "photos": [
            {"photo": name, "row": row, "column": column, "at": [round(float(v), 5) for v in at]}
            for name, (row, column), at in photos
        ],
    }


def _notes(seen: _Seen, settings: MapSettings, album: Album, side: int) -> list[str]:
    notes = []
    if seen.skipped:
        notes.append(f"{len(seen.skipped)} of {len(album.photos)} photos skipped")
    if side < settings.thumbnail:
        notes.append(f"thumbnails of {side} px, so that all fit on the page")
    return notes
