"""The checkpoint file: a document and arrays. No torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from stylize.errors import CheckpointError, RecipeError
from stylize.images.atomic import replacing
from stylize.runs.recipe import check_recipe
from stylize.version import __version__

if TYPE_CHECKING:
    import numpy as np

SUFFIX = ".checkpoint"

_LENGTH_BYTES = 8

_OPENING = b'{"__metadata__":{"sha256":"'

_DIGEST_BYTES = 64

_ZEROS = b"0" * _DIGEST_BYTES

# A header holds the recipe and a line for each array: some kilobytes.
_MAX_HEADER_BYTES = 1 << 24

_KINDS = {"float32": "F32", "float64": "F64", "uint8": "U8"}


def write(path: Path, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint, which is there whole or not at all.

    What a killed process has left of an earlier one is removed.

    Args:
        path: of the file; an existing one is replaced.
        document: plain data for JSON, without NaN.
        arrays: contiguous, of float32, float64 or uint8; written without a copy.

    Raises:
        OutputError: the system refuses; the file is as it was.
    """
    header = _header(document, arrays)
    views = [array.reshape(-1).view("uint8").data for array in arrays.values()]
    found = hashlib.sha256(header)
    for view in views:
        found.update(view)
    digest = found.hexdigest().encode()
    remove_remains(path)
    with replacing(path, token=_token(path)) as partial, partial.open("wb") as file:
        file.write(header.replace(_ZEROS, digest, 1))
        for view in views:
            file.write(view)


def _header(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The length and the header proper, with zeros in the digest's place."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    table: dict[str, Any] = {"__metadata__": {"sha256": _ZEROS.decode(), "stylize": text}}
    start = 0
    for name, array in arrays.items():
        end = start + array.nbytes
        kind, shape = _KINDS[str(array.dtype)], list(array.shape)
        table[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
        start = end
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _LENGTH_BYTES)
    return len(header).to_bytes(_LENGTH_BYTES, "little") + header


def read(path: Path) -> dict[str, Any]:
    """The document of a checkpoint, once every byte of the file is known to be as it was written.

    Raises:
        CheckpointError: missing, unreadable, no checkpoint, or not the file that was written.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CheckpointError(f"{path} is not a regular file")
        with path.open("rb") as file:
            return _read(path, file)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{path} cannot be read: {reason.lower()}") from error


def _read(path: Path, file: BinaryIO) -> dict[str, Any]:
    length = file.read(_LENGTH_BYTES)
    size = min(int.from_bytes(length, "little"), _MAX_HEADER_BYTES)
    header = file.read(size)
    if not header.startswith(_OPENING):
        raise CheckpointError(f"{path} is no checkpoint of stylize")
    begin, end = len(_OPENING), len(_OPENING) + _DIGEST_BYTES
    found = hashlib.sha256(length + header[:begin] + _ZEROS + header[end:])
    while block := file.read(1 << 20):
        found.update(block)
    if found.hexdigest().encode() != header[begin:end]:
        raise CheckpointError(
            f"{path} is damaged or incomplete", hint="it cannot be used: begin the run again"
        )
    return _document(path, header)


def _document(path: Path, header: bytes) -> dict[str, Any]:
    try:
        document = json.loads(json.loads(header)["__metadata__"]["stylize"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is no checkpoint of stylize") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path} is no checkpoint of stylize")
    return document


def is_checkpoint(path: Path) -> bool:
    """Whether a file looks like a checkpoint, damaged or not, by its beginning."""
    try:
        with path.open("rb") as file:
            return file.read(_LENGTH_BYTES + len(_OPENING)).endswith(_OPENING)
    except OSError:
        return False


def remove_remains(path: Path) -> None:
    """Remove what killed processes have left of this file under temporary names.

    Should one of them live after all, it fails to write this once and says so.
    """
    final = Path(os.path.realpath(path))
    for remains in final.parent.glob(f".stylize-{_mark(path)}-*.part"):
        if remains.name != f".stylize-{_token(path)}.part":
            with suppress(OSError):
                remains.unlink()


def _mark(path: Path) -> str:
    """Tells the temporary files of one checkpoint from all others in its folder."""
    name = os.path.basename(os.path.realpath(path))
    return f"checkpoint-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def _token(path: Path) -> str:
    return f"{_mark(path)}-{os.getpid()}"


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
        measured_px, tile_px: see :class:`stylize.optimize.snapshot.Snapshot`.
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
    document = read(path)
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
