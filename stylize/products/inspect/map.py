"""Many photos on one plane, similar ones side by side, as a picture and as a page."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from stylize.errors import PictureError, StylizeError
from stylize.extras import optional_module
from stylize.images.atomic import new_file
from stylize.images.contact_sheet import BACKGROUND
from stylize.images.open import printable
from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.products.inspect.folder import Album, described, page_path
from stylize.products.inspect.model import Model
from stylize.products.inspect.result import Finding, OnStep
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import MapSettings

Points = NDArray[np.float64]

Places = NDArray[np.int64]

# Fewer points have no neighbourhoods.
LEAST_POINTS = 5

# Principal components given to t-SNE. Its authors do the same to reduce noise and work.
COMPONENTS = 50

# Width to height of a grid.
ASPECT = 4 / 3

# Points that are assigned together. The work grows with the cube of their number.
MOST_TOGETHER = 2500


def embedded(features: Points, *, perplexity: float, seed: int) -> Points:
    """Embed features in a plane, so that similar directions are near each other.

    Args:
        features: ``(n, channels)``, at least one row.
        perplexity: approximate number of neighbours; at most a third of the other points.
        seed: of the start of t-SNE. It runs in one thread, so that the result is reproducible.

    Returns:
        ``(n, 2)``, each axis scaled to [0, 1]. Fewer than 5 points are placed along their two
        principal components.

    Raises:
        MissingExtraError: scikit-learn is needed and not installed.
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
    # t-SNE must begin with small values; a little noise separates equal points.
    chance = np.random.default_rng(seed).normal(size=flat.shape)
    return 1e-4 * (flat / max(1e-12, float(flat[:, 0].std())) + 0.1 * chance)


def require_scikit(points: int) -> None:
    """Check that so many points can be embedded.

    Raises:
        MissingExtraError: scikit-learn is needed and not installed.
    """
    if points >= LEAST_POINTS:
        _scikit("sklearn")


def _scikit(module: str) -> Any:
    return optional_module(module, what="a map of photos", requirement="scikit-learn")


def principal(points: Points, count: int) -> Points:
    """Points along their principal components, of definite sign; at least two columns.

    Args:
        points: ``(n, d)``.
        count: maximum number of components.

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
    """Assign each point its own cell of a grid, near its position.

    Args:
        plane: ``(n, 2)`` in [0, 1], to the right and down; n at most ``rows · columns``.

    Returns:
        ``(n, 2)`` rows and columns.

    Note:
        The sum of the squared distances is minimal for up to 2500 points. More points are first
        divided between the halves of the grid, which limits memory and is nearly minimal.
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


# Pixels of the whole picture: 12 bytes each in memory, and a size that viewers open.
MOST_PIXELS = 24_000_000

GAP_PX = 2


@dataclass(frozen=True, kw_only=True, repr=False)
class PhotoMap(Finding):
    """A map of photos.

    Attributes:
        album: the photos, also those that were skipped.
        grid: rows and columns.
        names: of the photos, by row and column.
        cell_px: distance from one thumbnail to the next.
    """

    album: Album
    grid: tuple[int, int]
    names: dict[tuple[int, int], str]
    cell_px: int

    def companions(self, target: Path) -> list[Path]:
        """List the files that :meth:`save_companions` writes."""
        return [*super().companions(target), page_path(target)]

    def save_companions(self, target: Path, *, overwrite: bool) -> list[Path]:
        """Write the list of photos and the page next to the picture; return their paths.

        Raises:
            OutputError: the system refuses.
        """
        saved = super().save_companions(target, overwrite=overwrite)
        return [*saved, write_page(self, target, overwrite=overwrite)]


@dataclass
class _Seen:
    names: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    features: list[Tensor] = field(default_factory=list)
    thumbnails: list[Tensor] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Layout:
    plane: Points
    grid: tuple[int, int]
    places: list[tuple[int, int]]


def show_map(
    album: Album,
    settings: MapSettings,
    execution: Execution | None = None,
    *,
    session: Session | None = None,
    on_step: OnStep | None = None,
    on_skip: Callable[[str], None] | None = None,
) -> PhotoMap:
    """Arrange photos by the mean activations of a layer's channels.

    Only the features and the thumbnail of each photo stay in memory. Fewer than 5 photos are
    arranged along their principal components.

    Args:
        album: the photos.
        settings: of the layer and of the layout.
        execution: device, precision and threads.
        session: keeps networks in memory and shares them between calls.
        on_step: called after each photo.
        on_skip: called with a message for each photo that is skipped.

    Raises:
        PictureError: no photo can be used.
        MissingExtraError: scikit-learn is not installed.
        StylizeError: the network, the layer or the device is not available.
    """
    require_scikit(len(album.photos))
    model = Model(settings.network, execution, session)
    settings = settings.for_network(model.weights.architecture)
    side = thumbnail_side(settings.thumbnail, len(album.photos))
    seen = _look(album, settings, model, side, on_step, on_skip)
    layout = _laid_out(seen, settings)
    result = _result(album, settings, model, seen, layout)
    numbers, notes = _numbers(seen, layout), _notes(seen, settings, album, side)
    names = dict(zip(layout.places, seen.names, strict=True))
    return PhotoMap(
        result=result,
        numbers=numbers,
        digests=seen.digests,
        notes=notes,
        album=album,
        grid=layout.grid,
        names=names,
        cell_px=side + GAP_PX,
    )


def _laid_out(seen: _Seen, settings: MapSettings) -> _Layout:
    features = torch.stack(seen.features).double().numpy()
    plane = embedded(features, perplexity=settings.perplexity, seed=settings.seed)
    grid = grid_for(len(features))
    places = [(int(row), int(column)) for row, column in snapped(plane, *grid)]
    return _Layout(plane, grid, places)


def thumbnail_side(wanted_px: int, photos: int) -> int:
    """The side of a thumbnail that keeps the page within 24 million pixels."""
    rows, columns = grid_for(photos)
    return max(4, min(wanted_px, math.isqrt(MOST_PIXELS // (rows * columns)) - GAP_PX))


def _look(
    album: Album,
    settings: MapSettings,
    model: Model,
    side: int,
    on_step: OnStep | None,
    on_skip: Callable[[str], None] | None,
) -> _Seen:
    seen, size = _Seen(), SizeSpec.parse(settings.size)
    for number, photo in enumerate(album.photos, 1):
        try:
            picture = read_picture(photo.path)
            pixels = resize(picture.pixels, size.fit(*picture.size)).clamp(0, 1)
            maps = model.activations(pixels, (settings.layer,), photo.name)[settings.layer]
        except StylizeError as error:
            seen.skipped[photo.name] = printable(str(error))
            if on_skip is not None:
                on_skip(f"skipped: {seen.skipped[photo.name]}")
        else:
            seen.names.append(photo.name)
            seen.digests[photo.name] = picture.sha256
            seen.features.append(maps.mean((1, 2)))
            seen.thumbnails.append(thumbnail(picture.pixels, side))
        if on_step is not None:
            on_step(number, len(album.photos))
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
    album: Album, settings: MapSettings, model: Model, seen: _Seen, layout: _Layout
) -> Result:
    page = _page(seen.thumbnails, layout)
    side = seen.thumbnails[0].shape[-1]
    result = model.result(page, settings, [], thumbnail_px=side, skipped=len(seen.skipped))
    result.recipe["inputs"] = [described(album, seen.digests)]
    return result


def _page(thumbnails: list[Tensor], layout: _Layout) -> Tensor:
    side = thumbnails[0].shape[-1]
    pitch = side + GAP_PX
    height, width = (count * pitch + GAP_PX for count in layout.grid)
    page = torch.full((1, 3, height, width), BACKGROUND / 255, dtype=torch.float32)
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


_QUALITY = 85


def write_page(photo_map: PhotoMap, target: Path, *, overwrite: bool = False) -> Path:
    """Write a map as one HTML file that zooms, pans, and shows file names.

    Args:
        photo_map: the map.
        target: the picture of the map; the page goes next to it.
        overwrite: replace an existing page; otherwise the page takes the next free name.

    Raises:
        OutputError: the system refuses.
    """
    from jinja2 import Environment, PackageLoader  # noqa: PLC0415

    templates = Environment(loader=PackageLoader(__name__.rpartition(".")[0]), autoescape=True)
    script = templates.get_template("map.js").render()
    rows, columns = photo_map.grid
    page, album = page_path(target), photo_map.album
    photos = {
        f"{row},{column}": [_shown(name), _link(album.folder / name, page.parent)]
        for (row, column), name in photo_map.names.items()
    }
    data = {"rows": rows, "columns": columns, "cell": photo_map.cell_px, "photos": photos}
    stream = templates.get_template("map.html").stream(
        title=f"{len(photo_map.names)} photos of {_shown(os.path.basename(album.folder))}",
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        strips=_strips(photo_map),
        data=data,
    )
    with (
        new_file(page, overwrite=overwrite, follow_links=False) as new,
        new.partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(stream)
    return new.final


def _strips(photo_map: PhotoMap) -> Iterator[str]:
    # One picture per row, so that a browser need not decode the whole map at once.
    pixels = photo_map.result.pixels[0]
    for row in range(photo_map.grid[0]):
        strip = pixels[:, row * photo_map.cell_px : (row + 1) * photo_map.cell_px]
        strip = strip[:, :, : photo_map.grid[1] * photo_map.cell_px]
        levels = (strip * 255 + 0.5).clamp(0, 255).permute(1, 2, 0).numpy().astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(levels).save(buffer, "JPEG", quality=_QUALITY)
        yield base64.b64encode(buffer.getvalue()).decode()


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _link(path: Path, home: Path) -> str:
    # The "./" keeps a colon in a name from being read as a protocol.
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(home))
    return "./" + quote(os.fsencode(relative.replace(os.sep, "/")), safe="/")
