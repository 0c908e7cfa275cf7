"""What a checkpoint says in words and figures: everything but its tensors. No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylize import __version__
from stylize.checkpoints import container
from stylize.errors import CheckpointError, RecipeError
from stylize.recipes import check_recipe

FORMAT = 1


@dataclass(frozen=True)
class Request:
    """What the command that began the run was asked for, beside the picture itself.

    Attributes:
        target: the file to write, absolute; None for stdout.
        format: of stdout, as ``--format`` takes it.
        depth: bits a channel, as ``--depth`` takes it.
        quality: 1 to 100.
        overwrite: whether an existing file may be replaced.
        max_input_pixels: of the pictures that are read.
        minutes: between two checkpoints.
    """

    target: str | None
    format: str | None
    depth: str
    quality: int
    overwrite: bool
    max_input_pixels: int
    minutes: float


@dataclass(frozen=True)
class Description:
    """The document of a checkpoint.

    Attributes:
        recipe: of the picture so far.
        request: what the command was asked for.
        scales: steps done and losses of each scale so far.
        seconds: since the run began.
        measured_px, tile_px: see :class:`stylize.optimize.state.Snapshot`.
        numbers: what the optimiser remembers, beside tensors.
        orders: for each array, the tensor's dimensions in the order in which memory holds them.
        version: of the program that wrote it.
        format: of the document.
    """

    recipe: Mapping[str, Any]
    request: Request
    scales: Sequence[tuple[int, dict[str, float]]]
    seconds: float
    measured_px: int | None
    tile_px: int | None
    numbers: Mapping[str, float]
    orders: Mapping[str, Sequence[int]]
    version: str = __version__
    format: int = FORMAT


def describe(path: Path) -> Description:
    """What stands in a checkpoint, after the whole file has been checked.

    Raises:
        CheckpointError: it is no checkpoint, damaged, or of another format.
    """
    document = container.read(path)
    if document.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a checkpoint of format {document.get('format')}, this version reads"
            f" {FORMAT}",
            hint=f"go on with stylize {document.get('version')}, which wrote it",
        )
    try:
        found = _description(document)
        check_recipe(found.recipe, str(path))
    except (AttributeError, KeyError, TypeError, ValueError, RecipeError) as error:
        raise CheckpointError(f"{path} holds no checkpoint that can be followed") from error
    return found


def _description(document: Mapping[str, Any]) -> Description:
    """From plain data; whatever has another form raises."""
    found = Description(**{**document, "request": Request(**document["request"])})
    checks = [
        isinstance(found.recipe, dict),
        _is_figure(found.seconds),
        all(tile is None or type(tile) is int for tile in (found.measured_px, found.tile_px)),
        all(map(_is_figure, found.numbers.values())),
        all(
            type(steps) is int and steps > 0 and all(map(_is_figure, losses.values()))
            for steps, losses in found.scales
        ),
        len(found.scales) > 0,
        all(sorted(order) == list(range(len(order))) for order in found.orders.values()),
        *_checked(found.request),
    ]
    if not all(checks):
        raise ValueError("a value of the wrong kind")
    return dataclasses.replace(found, scales=[(steps, losses) for steps, losses in found.scales])


def _checked(request: Request) -> list[bool]:
    return [
        isinstance(request.target, str | None),
        request.format in (None, "png", "jpeg", "webp", "avif", "tiff"),
        request.depth in ("8", "16"),
        type(request.quality) is int and 1 <= request.quality <= 100,
        isinstance(request.overwrite, bool),
        type(request.max_input_pixels) is int and request.max_input_pixels > 0,
        _is_figure(request.minutes) and request.minutes > 0,
    ]


def _is_figure(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
