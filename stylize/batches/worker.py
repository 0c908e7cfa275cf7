"""A shop in a process of its own, perhaps on another machine: plain data in, plain data out.

Knows nothing of who calls it. Paths travel as bytes, since not every name of a file is text.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from stylize.batches.local import OF_ALL_PICTURES, Saving, is_disk, one_line
from stylize.batches.painter import BatchPainter
from stylize.batches.records import state_folder
from stylize.batches.tasks import Look, Task
from stylize.errors import InterruptedRunError, MissingExtraError, PictureError
from stylize.images.atomic import refusals_named
from stylize.images.open import set_pixel_limit
from stylize.images.read import Picture, read_picture
from stylize.planning.allocator import give_back_memory
from stylize.settings.execution import Execution
from stylize.version import __version__


def order(task: Task, token: str, saving: Saving) -> dict[str, Any]:
    """A task as a message; its paths are made absolute.

    Args:
        task: what to make.
        token: for the temporary file, see :func:`stylize.images.atomic.replacing`.
        saving: how to write it.
    """
    look = task.look
    return {
        "source": _packed(task.source),
        "target": _packed(task.target),
        "look": asdict(look)
        | {"settings": dict(look.settings), "styles": [_packed(style) for style in look.styles]},
        "size": None if task.size is None else list(task.size),
        "token": token,
        "saving": asdict(saving),
    }


def ordered(message: Mapping[str, Any]) -> Task:
    """The task in a message."""
    look = message["look"]
    styles = tuple(_unpacked(style) for style in look["styles"])
    height_width = message["size"]
    return Task(
        _unpacked(message["source"]),
        _unpacked(message["target"]),
        Look(**look | {"styles": styles}),
        None if height_width is None else (height_width[0], height_width[1]),
    )


def _packed(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))


def _unpacked(path: bytes) -> Path:
    return Path(os.fsdecode(path))


def _read(task: Task) -> Picture:
    """The source of a task.

    Raises:
        PictureError: whatever is wrong with it, which is this picture's own trouble.
    """
    try:
        return read_picture(task.source)
    except MissingExtraError as error:
        raise PictureError(error.message, hint=error.hint) from error


def _blamed(problem: Exception) -> str:
    """What is at fault for a failure: the disk, the worker, or the picture."""
    if is_disk(problem):
        return "disk"
    return "unable" if isinstance(problem, OF_ALL_PICTURES) else "failed"


class Worker:
    """Makes one picture after the other; networks and statistics of styles are kept.

    Args:
        execution: as keywords of :class:`~stylize.settings.Execution`.
        max_pixels: that a source may have.
    """

    def __init__(self, execution: dict[str, Any], max_pixels: int) -> None:
        set_pixel_limit(max_pixels)
        self._execution = Execution(**execution)
        self._painter = BatchPainter(self._execution)
        self._stopping = False

    def greet(self, output: bytes) -> dict[str, Any]:
        """Who this is, and whether it sees the batch's folder.

        Args:
            output: the folder, absolute.
        """
        return {
            "host": socket.gethostname(),
            "version": __version__,
            "sees": state_folder(_unpacked(output)).is_dir(),
        }

    def stop(self) -> None:
        """Drop the picture in work after its step, and those to come; called from any thread."""
        self._stopping = True

    def make(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Read, paint and write one picture.

        Args:
            message: of :func:`order`.

        Returns:
            ``outcome``, ``seconds``, ``losses`` by term, ``notes``, a line each, ``error`` in one
            line or None. Outcomes are ``done``, ``failed``, ``dropped``; and at no fault of the
            picture ``disk``, which is full or gone, and ``unable``, as for want of weights.
        """
        started = time.perf_counter()
        made: dict[str, Any] = {"losses": {}, "notes": []}
        outcome, error = "done", None
        try:
            made = self._make(ordered(message), message["token"], Saving(**message["saving"]))
        except InterruptedRunError:
            outcome = "dropped"
        except Exception as problem:
            outcome, error = _blamed(problem), one_line(problem)
        seconds = time.perf_counter() - started
        return {"outcome": outcome, "seconds": seconds, "error": error, **made}

    def _make(self, task: Task, token: str, saving: Saving) -> dict[str, Any]:
        """The losses at the end, and the notes.

        Raises:
            InterruptedRunError: stopped; nothing is written.
        """
        self._set_up()
        if self._stopping:
            raise InterruptedRunError("stopped")
        picture = _read(task)
        result = self._painter.paint(task, picture, stop=lambda: self._stopping)
        give_back_memory()
        if result.interrupted:
            raise InterruptedRunError("stopped")
        with refusals_named(task.target):
            task.target.parent.mkdir(parents=True, exist_ok=True)
        result.save(task.target, depth=saving.depth, quality=saving.quality, token=token)
        return {"losses": result.recipe["losses"], "notes": list(result.notes)}

    def _set_up(self) -> None:
        # Each time: both belong to the thread, and which one calls is not for us to say.
        torch.set_flush_denormal(True)
        if self._execution.threads is not None:
            torch.set_num_threads(self._execution.threads)
