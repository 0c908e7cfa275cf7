"""Arrange many photos on a plane by what the network sees in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from stylize.errors import PictureError, StylizeError
from stylize.extras import optional_module
from stylize.images.contact_sheet import BACKGROUND
from stylize.images.open import printable
from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.products.inspect.folder import Album, described
from stylize.products.inspect.model import Finding, Observer, painting_of
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import MapSettings

Points = NDArray[np.float64]

Places = NDArray[np.int64]

# Fewer have no neighbourhoods to keep.
LEAST_POINTS = 5

# Before t-SNE, as its authors do: takes out noise and most of the work.
COMPONENTS = 50

# Columns to rows of a grid.
ASPECT = 4 / 3

# Points that are given their places together; the work grows with the cube of their number.
MOST_TOGETHER = 2500


def embedded(features: Points, *, perplexity: float, seed: int) -> Points:
    """Points of a plane, near each other where the features point the same way.

    Args:
        features: ``(n, channels)``, at least one row.
        perplexity: about how many neighbours a point has; at most a third of all others.
        seed: of where t-SNE begins. One thread does the work, so that the same features give the
            same points.

    Returns:
        ``(n, 2)`` in [0, 1], each axis to its ends. Fewer than 5 points are those of their two
        principal components.

    Raises:
        MissingExtraError: scikit-learn is not there, and needed.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    reduced = principal(unit, COMPONENTS)
    if len(features) < LEAST_POINTS:
        return _to_ends(reduced[:, :2])
    manifold = _scikit("sklearn.manifold")
    tsne = manifold.TSNE(
        perplexity=max(1.0, min(perplexity, (len(features) - 1) / 3)),
        init=_beginning(reduced[:, :2], seed),
        learning_rate="auto",
        random_state=seed,
    )
    with _scikit("threadpoolctl").threadpool_limits(1):
        plane: Points = np.asarray(tsne.fit_transform(reduced), dtype=np.float64)
    return _to_ends(plane)


def _beginning(flat: Points, seed: int) -> Points:
    """The principal components, as small as t-SNE has to begin, and a little by chance."""
    chance = np.random.default_rng(seed).normal(size=flat.shape)
    return 1e-4 * (flat / max(1e-12, float(flat[:, 0].std())) + 0.1 * chance)


def require_scikit(points: int) -> None:
    """Make sure, before the features are computed, that so many points can be laid out.

    Raises:
        MissingExtraError: they cannot.
    """
    if points >= LEAST_POINTS:
        _scikit("sklearn")


def _scikit(module: str) -> Any:
    return optional_module(module, what="a map of photos", requirement="scikit-learn")


def principal(points: Points, count: int) -> Points:
    """Points along their principal components, which have a definite sign; at least two.

    Args:
        points: ``(n, d)``.
        count: of components at most.

    Returns:
        ``(n, min(count, n, d))``, with columns of zeros where that is below 2.
    """
    centred = points - points.mean(0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(right).argmax(1)
    signs = np.sign(right[np.arange(len(right)), largest])
    found = (left * sizes * signs)[:, :count]
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))


def _to_ends(plane: Points) -> Points:
    low, high = plane.min(0), plane.max(0)
    return np.asarray((plane - low) / np.where(high > low, high - low, 1))


def grid_for(count: int) -> tuple[int, int]:
    """Rows and columns of a grid with at least ``count`` places, of an aspect near 4:3."""
    columns = min(count, math.ceil(math.sqrt(count * ASPECT)))
    return math.ceil(count / columns), columns


def snapped(plane: Points, rows: int, columns: int) -> Places:
    """A place for each point, no two the same, near where it is.

    Args:
        plane: ``(n, 2)`` in [0, 1], to the right and down; n at most ``rows · columns``.

    Returns:
        ``(n, 2)`` rows and columns.

    Note:
        The sum of the squared distances is least for up to 2500 points; more are dealt to the
        halves of the grid first, which is near to that and bounds memory.
    """
    if len(plane) > MOST_TOGETHER:
        return _halved(plane, rows, columns)
    down, right = np.divmod(np.arange(rows * columns), columns)
    centres = np.stack([(right + 0.5) / columns, (down + 0.5) / rows], 1)
    ways = ((plane[:, None] - centres[None]) * (columns, rows)) ** 2
    _, places = linear_sum_assignment(ways.sum(2))
    return np.stack([down[places], right[places]], 1)


def _halved(plane: Points, rows: int, columns: int) -> Places:
    axis, length = (0, columns) if columns >= rows else (1, rows)
    first = length // 2
    order = np.argsort(plane[:, axis], kind="stable")
    cut = round(len(plane) * first / length)
    places = np.empty((len(plane), 2), dtype=np.int64)
    for part, offset, extent in ((order[:cut], 0, first), (order[cut:], first, length - first)):
        shape = (rows, extent) if axis == 0 else (extent, columns)
        found = snapped(_to_ends(plane[part]), *shape)
        found[:, 1 - axis] += offset
        places[part] = found
    return places


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
    session: Session | None = None,
    on_step: Callable[[str], None] | None = None,
    warned: Callable[[str], None] | None = None,
) -> Atlas:
    """Lay out photos by what a layer's channels make of them, in the mean over each photo.

    Of each photo its features and its thumbnail are kept, nothing else. Fewer than 5 are laid
    out along their principal components.

    Args:
        album: the photos.
        settings: which layer, how large, which seed.
        execution: where it is done.
        session: shares networks with others.
        on_step: is told the name of each photo that has been looked at.
        warned: is told, in a line, of each photo that is passed over.

    Raises:
        PictureError: none of the photos can be used.
        MissingExtraError: scikit-learn is not there.
        StylizeError: the network, the layer or the device is not there.
    """
    require_scikit(len(album.photos))
    observer = Observer(settings.network, [settings.layer], execution, session=session)
    side = thumbnail_side(settings.thumbnail, len(album.photos))
    seen = _look(album, settings, observer, side, on_step, warned)
    memory_plan = _laid_out(seen, settings)
    result = _result(album, settings, observer, seen, memory_plan)
    numbers, notes = _numbers(seen, memory_plan), _notes(seen, settings, album, side)
    names = dict(zip(memory_plan.places, seen.names, strict=True))
    return Atlas(result, numbers, seen.digests, notes, memory_plan.grid, names, side + GAP_PX)


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
    on_step: Callable[[str], None] | None,
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
        if on_step is not None:
            on_step(photo.name)
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


def _result(
    album: Album, settings: MapSettings, observer: Observer, seen: _Seen, memory_plan: _Layout
) -> Result:
    """The page with its recipe."""
    page = _page(seen.thumbnails, memory_plan)
    side = seen.thumbnails[0].shape[-1]
    resolved = observer.resolved() | {"thumbnail_px": side, "skipped": len(seen.skipped)}
    result = painting_of(page, settings, [], weights=observer.weights, resolved=resolved)
    result.recipe["inputs"] = [described(album, seen.digests)]
    return result


def _page(thumbnails: list[Tensor], memory_plan: _Layout) -> Tensor:
    side = thumbnails[0].shape[-1]
    pitch = side + GAP_PX
    height, width = (count * pitch + GAP_PX for count in memory_plan.grid)
    page = torch.full((1, 3, height, width), BACKGROUND / 255)
    for each, (row, column) in zip(thumbnails, memory_plan.places, strict=True):
        top, left = GAP_PX + row * pitch, GAP_PX + column * pitch
        page[0, :, top : top + side, left : left + side] = each / 255
    return page


def _numbers(seen: _Seen, memory_plan: _Layout) -> dict[str, Any]:
    photos = zip(seen.names, memory_plan.places, memory_plan.plane, strict=True)
    return {
        "grid": list(memory_plan.grid),
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
