"""A worker that makes pictures in a process of its own, perhaps on another machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from stylize.batches.claims import Claims
from stylize.batches.clips import ClipPainting
from stylize.batches.local import affects_all_pictures, is_disk, one_line
from stylize.batches.painter import BatchPainter, read_source
from stylize.batches.records import state_folder
from stylize.batches.saving import Saving
from stylize.batches.tasks import Task
from stylize.errors import InterruptedRunError, MissingExtraError, PictureError
from stylize.images.open import set_pixel_limit
from stylize.images.read import Picture
from stylize.planning.allocator import give_back_memory
from stylize.runs.result import Result
from stylize.settings.execution import Execution
from stylize.version import __version__
from stylize.video.clip import Clip
from stylize.video.sharing import Joined, Sharing


@dataclass(frozen=True)
class Assignment:
    """A task for a worker.

    Attributes:
        task: with absolute paths.
        token: for the temporary file, see :func:`stylize.images.atomic.new_file`.
        saving: how to write the picture.
        output: the batch's folder, absolute; None keeps clips from being shared.
    """

    task: Task
    token: str
    saving: Saving
    output: Path | None = None


@dataclass(frozen=True)
class Answer:
    """How an assignment ended.

    Attributes:
        outcome: ``dropped`` after a stop; ``disk`` if the disk is full or gone; ``unable`` if the
            worker can make no picture at all, for example without weights.
        seconds: how long it took.
        error: one line, unless the picture is done.
        losses: at the end, by name.
        notes: what a user may want to know, one line each.
    """

    outcome: Literal["done", "failed", "dropped", "disk", "unable"]
    seconds: float = 0.0
    error: str | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def assignment(task: Task, token: str, saving: Saving, output: Path | None = None) -> Assignment:
    """An assignment whose paths hold in another working directory."""
    styles = tuple(map(_absolute, task.look.styles))
    look = replace(task.look, styles=styles)
    source, target = _absolute(task.source), _absolute(task.target)
    task = replace(task, source=source, target=target, look=look)
    return Assignment(task, token, saving, None if output is None else _absolute(output))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _read(task: Task) -> Picture | Clip:
    try:
        return read_source(task)
    except MissingExtraError as error:
        if task.look.clips is not None:
            raise
        # An extra that only this file's format needs is this picture's failure.
        raise PictureError(error.message, hint=error.hint) from error


class Worker:
    """Makes one picture after the other; networks and style statistics are kept in memory.

    Args:
        execution: device, precision and threads.
        max_pixels: refuse larger photos.
    """

    def __init__(self, execution: Execution, max_pixels: int) -> None:
        set_pixel_limit(max_pixels)
        self._execution = execution
        self._painter = BatchPainter(execution)
        self._claims: Claims | None = None
        self._joined: tuple[Assignment, ClipPainting] | None = None
        self._stopping = False

    def greet(self, output: Path) -> dict[str, Any]:
        """Say where this worker runs, its version, and whether it sees the batch's folder.

        Args:
            output: the folder, absolute.
        """
        # A dictionary, which a program of any other version can read.
        return {
            "host": socket.gethostname(),
            "version": __version__,
            "sees": state_folder(output).is_dir(),
        }

    def stop(self) -> None:
        """Drop the current picture after its step, and all later ones; call it from any thread."""
        self._stopping = True

    def make(self, assignment: Assignment) -> Answer:
        """Read, paint and write one picture."""
        started = time.perf_counter()
        try:
            result = self._make(assignment)
        except InterruptedRunError:
            return Answer("dropped", time.perf_counter() - started)
        except Exception as error:
            seconds, line = time.perf_counter() - started, one_line(error)
            if is_disk(error):
                return Answer("disk", seconds, line)
            unable = affects_all_pictures(error)
            return Answer("unable" if unable else "failed", seconds, line)
        losses = result.recipe["losses"]
        return Answer("done", time.perf_counter() - started, None, losses, tuple(result.notes))

    def _make(self, assignment: Assignment) -> Result | ClipPainting:
        self._set_up_thread()
        if self._stopping:
            raise InterruptedRunError("stopped")
        task, saving = assignment.task, assignment.saving
        picture = _read(task)
        sharing = self._sharing(assignment)
        result = self._painter.make(
            task, picture, saving, stop=lambda: self._stopping, sharing=sharing
        )
        give_back_memory()
        if result.interrupted:
            raise InterruptedRunError("stopped")
        saving.save(result, task, assignment.token)
        return result

    def join(self, assignment: Assignment) -> Joined | Literal["unable"]:
        """Paint a shot of a clip that another worker makes.

        Returns:
            ``unable`` if this worker cannot do that; it is for the other one to fail.
        """
        try:
            self._set_up_thread()
            if self._joined is None or self._joined[0] != assignment:
                task, saving = assignment.task, assignment.saving
                clip, sharing = _read(task), self._sharing(assignment)
                if not isinstance(clip, Clip):
                    return "unable"
                self._joined = assignment, self._painter.painting(task, clip, saving, sharing)
            return self._joined[1].join(None, lambda: self._stopping)
        except Exception:
            return "unable"
        finally:
            give_back_memory()

    def _sharing(self, assignment: Assignment) -> Sharing | None:
        if assignment.output is None or assignment.task.look.clips is None:
            return None
        if self._claims is None:
            self._claims = Claims(assignment.output)
        return self._claims.on_shots(assignment.token)

    def _set_up_thread(self) -> None:
        # Every time: both settings belong to the thread, and Ray chooses the thread.
        torch.set_flush_denormal(True)
        if self._execution.threads is not None:
            torch.set_num_threads(self._execution.threads)
