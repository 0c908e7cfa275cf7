"""Checkpoints: the state of a run in one safetensors file, described in its metadata.

torch is imported only to load a state, so that a description can be checked without it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize.errors import CheckpointError, OutputError, RecipeError
from stylize.images.atomic import lock, new_file, scratch_folder
from stylize.runs.recipe import check_recipe
from stylize.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from stylize.optimize.snapshot import ScaleOutcome, Snapshot
    from stylize.settings.schedule import Scale

SUFFIX = ".checkpoint"

# A terminated run that took longer leaves a checkpoint without being asked.
WORTH_S = 60.0

FORMAT = 2  # version 0.1.0 wrote format 1

_DESCRIPTION, _CHECKSUM = "stylize", "sha256"  # keys of the file's metadata

_OPTIMIZER = "optimizer "  # begins the names of the optimizer's tensors


@dataclass(frozen=True)
class Request:
    """The output options of the command that began the run.

    Attributes:
        target: the file to write, absolute; None for stdout.
        format: for stdout, as ``--format`` takes it.
        depth: bits per channel, as ``--depth`` takes it.
        quality: 1 to 100.
        overwrite: whether an existing file may be replaced.
        max_input_pixels: limit for each input picture.
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
    """Everything in a checkpoint except its tensors.

    Attributes:
        recipe: of the picture so far.
        request: how the result is written.
        scales: steps done and losses at each scale so far.
        seconds: since the run began.
        measured_px, tile_px: see :class:`stylize.optimize.snapshot.Snapshot`.
        numbers: the optimizer's state except its tensors.
        orders: for each tensor, its dimensions in the order in which memory holds them.
        version: of the program that wrote it.
        format: of the description.
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


def save(path: Path, snapshot: Snapshot, request: Request, *, overwrite: bool = True) -> Path:
    """Write a checkpoint, whole or not at all, and remove what killed runs left in its folder.

    Without ``overwrite`` it replaces nothing, but takes the next free name; returns its path.

    Args:
        path: an existing file is replaced.
        snapshot: its numbers are finite.
        request: how the result is written.

    Raises:
        OutputError: the system refuses; the file is as it was.
    """
    tensors = {"image": snapshot.image, "totals": snapshot.totals}
    tensors |= {_OPTIMIZER + name: each for name, each in snapshot.optimizer.tensors.items()}
    orders = {name: _memory_order(each) for name, each in tensors.items()}
    description = Description(
        recipe=snapshot.recipe,
        request=request,
        scales=[(each.steps_done, each.losses) for each in snapshot.outcomes],
        seconds=snapshot.seconds,
        measured_px=snapshot.measured_px,
        tile_px=snapshot.tile_px,
        numbers=snapshot.optimizer.numbers,
        orders=orders,
    )
    arrays = {name: _array(each, orders[name]) for name, each in tensors.items()}
    return write(path, dataclasses.asdict(description), arrays, overwrite=overwrite)


def write(
    path: Path,
    document: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    *,
    overwrite: bool = True,
) -> Path:
    """Write a description, as plain data for JSON, and contiguous arrays; see :func:`save`."""
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.numpy import save_file  # noqa: PLC0415

    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    checksum = _checksum(text, ((name, arrays[name]) for name in sorted(arrays)))
    with (
        ExitStack() as held,
        new_file(path, overwrite=overwrite) as new,
        # safetensors writes under a temporary name of its own.
        scratch_folder(new.partial.parent) as folder,
    ):
        state = folder / "state"
        try:
            save_file(dict(arrays), state, {_DESCRIPTION: text, _CHECKSUM: checksum})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        shutil.copymode(new.partial, state)
        if os.name == "posix":  # until it has its name, it is no leftover
            lock(held.enter_context(state.open("rb")).fileno())
        os.replace(state, new.partial)
    return new.final


def describe(path: Path) -> Description:
    """Read the description of a checkpoint, after checking the whole file.

    Raises:
        CheckpointError: missing, no checkpoint, damaged, or written by another version.
    """
    document = read(path)
    try:
        found = _description(document)
        check_recipe(found.recipe, str(path))
    except (AttributeError, KeyError, TypeError, ValueError, RecipeError) as error:
        raise _unusable(path) from error
    return found


def read(path: Path) -> dict[str, Any]:
    """Read the description as plain data, see :func:`describe`."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CheckpointError(f"{path} is not a regular file")
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            text = metadata.get(_DESCRIPTION, "")
            document = _parsed(path, text)
            arrays = ((name, file.get_tensor(name)) for name in sorted(file.keys()))
            is_intact = _checksum(text, arrays) == metadata.get(_CHECKSUM)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file") from error
    except (SafetensorError, TypeError, AttributeError) as error:
        raise _no_checkpoint(path) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{path} cannot be read: {reason.lower()}") from error
    if not is_intact:
        raise CheckpointError(f"{path} is damaged", hint="start the run again")
    return document


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_checkpoint(path) from error
    if not isinstance(document, dict):
        raise _no_checkpoint(path)
    if document.get("format") != FORMAT:
        version = document.get("version")
        raise CheckpointError(
            f"{path} was written by another version of stylize",
            hint=f"resume it with stylize {version}, or start the run again",
        )
    return document


def _no_checkpoint(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is not a checkpoint of stylize, or it is damaged")


def _unusable(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is a checkpoint without the state of a run")


def _checksum(text: str, arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    found = hashlib.sha256(text.encode())
    for name, array in arrays:
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.reshape(-1).view("uint8").data)
    return found.hexdigest()


def is_checkpoint(path: Path) -> bool:
    """Return whether a file is a checkpoint, of any version."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    if not os.path.isfile(path):
        return False
    try:
        with safe_open(path, framework="numpy") as file:
            return _DESCRIPTION in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _description(document: Mapping[str, Any]) -> Description:
    """Check untrusted data; whatever has another form raises."""
    found = Description(**{**document, "request": Request(**document["request"])})
    checks = [
        isinstance(found.recipe, dict),
        _is_number(found.seconds),
        all(tile is None or type(tile) is int for tile in (found.measured_px, found.tile_px)),
        all(map(_is_number, found.numbers.values())),
        all(
            type(steps) is int and steps > 0 and all(map(_is_number, losses.values()))
            for steps, losses in found.scales
        ),
        len(found.scales) > 0,
        all(sorted(order) == list(range(len(order))) for order in found.orders.values()),
        *_request_checks(found.request),
    ]
    if not all(checks):
        raise ValueError("a value of the wrong kind")
    return dataclasses.replace(found, scales=[(steps, losses) for steps, losses in found.scales])


def _request_checks(request: Request) -> list[bool]:
    return [
        isinstance(request.target, str | None),
        request.format in (None, "png", "jpeg", "webp", "avif", "tiff"),
        request.depth in ("8", "16"),
        type(request.quality) is int and 1 <= request.quality <= 100,
        isinstance(request.overwrite, bool),
        type(request.max_input_pixels) is int and request.max_input_pixels > 0,
        _is_number(request.minutes) and request.minutes > 0,
    ]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def load(path: Path, description: Description, scales: Sequence[Scale]) -> Snapshot:
    """Load the snapshot in a checkpoint.

    Args:
        path: of the file.
        description: of the same file, see :func:`describe`.
        scales: of the job to resume.

    Raises:
        CheckpointError: the file has changed since, or belongs to a job with other scales.
    """
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    from stylize.optimize.snapshot import Snapshot, State  # noqa: PLC0415

    outcomes = outcomes_of(path, description, scales)
    try:
        found = load_file(path)
        tensors = {name: _tensor(found[name], order) for name, order in description.orders.items()}
        image, totals = tensors.pop("image"), tensors.pop("totals")
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise _unusable(path) from error
    if totals.shape != (outcomes[-1].steps_done,) or image.dim() != 4:
        raise _unusable(path)
    optimizer = {name.removeprefix(_OPTIMIZER): each for name, each in tensors.items()}
    return Snapshot(
        outcomes=outcomes,
        totals=totals,
        image=image,
        optimizer=State(optimizer, description.numbers),
        seconds=description.seconds,
        measured_px=description.measured_px,
        tile_px=description.tile_px,
        recipe=description.recipe,
    )


def outcomes_of(
    path: Path, description: Description, scales: Sequence[Scale]
) -> tuple[ScaleOutcome, ...]:
    """Return what happened at each scale so far.

    Raises:
        CheckpointError: the checkpoint belongs to a job with other scales.
    """
    from stylize.optimize.snapshot import ScaleOutcome  # noqa: PLC0415

    recorded = description.recipe["resolved"].get("scales")
    done = [steps for steps, _ in description.scales]
    planned = [[s.width, s.height, n] for s, n in zip(scales, done, strict=False)]
    if recorded != planned or any(n > s.steps for s, n in zip(scales, done, strict=False)):
        raise CheckpointError(
            f"{path} belongs to a run with other sizes than this version would use",
            hint=f"resume it with stylize {description.version}, which wrote it",
        )
    return tuple(
        ScaleOutcome(scale, steps, losses, stopped=False)
        for scale, (steps, losses) in zip(scales, description.scales, strict=False)
    )


def _memory_order(tensor: Tensor) -> list[int]:
    """Return the dimensions in the order in which memory holds them.

    It is kept because a sum over channels-last memory differs in the last bits.
    """
    return sorted(range(tensor.dim()), key=tensor.stride().__getitem__, reverse=True)


def _array(tensor: Tensor, order: Sequence[int]) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().permute(*order).contiguous().numpy()
    return array


def _tensor(stored: Tensor, order: Sequence[int]) -> Tensor:
    # torch chooses some kernels by the alignment of memory, and a file's differs from its own.
    tensor = stored.clone()
    return tensor.permute([order.index(each) for each in range(len(order))])


class CheckpointPolicy:
    """Decides when a run writes its checkpoint.

    Args:
        path: of the file.
        request: how the result is written, and the time between two checkpoints.
        warn: called once, if a checkpoint cannot be written. The run continues.
        present: whether the file holds a state of this run already.
        clock: a monotonic clock, in seconds.
        only_terminated: write nothing but the state of a run that is terminated after
            :data:`WORTH_S`.

    Attributes:
        path: of the file; it changes if another program's file has taken the name.
        present: whether the file holds a state of this run.
        is_terminated: whether the system, not the user, has stopped the run.
    """

    def __init__(
        self,
        path: Path,
        request: Request,
        warn: Callable[[str], None],
        *,
        present: bool = False,
        clock: Callable[[], float] = time.monotonic,
        only_terminated: bool = False,
    ) -> None:
        self.path = path
        self.present = present
        self._request = request
        self._warn: Callable[[str], None] | None = warn
        self._clock = clock
        self._began = self._last = clock()
        self._kept = self._identity() if present else None
        self._only_terminated = only_terminated
        self.is_terminated: Callable[[], bool] = lambda: False

    def offer(self, take: Callable[[], Snapshot], last: bool) -> None:
        """Take a snapshot and write it, if it is time or the run stops here."""
        if self._only_terminated:
            is_worth_it = self._clock() - self._began >= WORTH_S
            if not (last and is_worth_it and self.is_terminated()):
                return
        elif not last and self._clock() - self._last < 60 * self._request.minutes:
            return
        snapshot = take()
        if _is_finite(snapshot):
            self._write(snapshot)
        self._last = self._clock()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            ours = self._kept is not None and self._kept == self._identity()
            self.path = save(self.path, snapshot, self._request, overwrite=ours)
            self._kept, self.present = self._identity(), True
        except OutputError as error:
            if self._warn is not None:
                self._warn(f"no checkpoint: {error}; the run continues without one")
            self._warn = None

    def discard(self) -> None:
        """Remove the file, because the run is finished."""
        if self._kept is not None and self._kept == self._identity():
            for path in (Path(os.path.realpath(self.path)), self.path):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        self._kept, self.present = None, False

    def _identity(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _is_finite(snapshot: Snapshot) -> bool:
    losses = snapshot.outcomes[-1].losses.values()
    return all(map(math.isfinite, (*losses, *snapshot.optimizer.numbers.values())))
