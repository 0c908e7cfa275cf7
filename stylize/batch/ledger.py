"""What of a batch is done: read off the pictures themselves, and off the manifest for failures."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stylize.batch.manifest import Entry, Manifest, read_all
from stylize.batch.tasks import Look, Task, identity, identity_of
from stylize.errors import PictureError, StylizeError
from stylize.images import read_picture
from stylize.images.opening import pixel_limit
from stylize.networks.store import find_model
from stylize.recipes import KINDS, load_recipe
from stylize.settings import from_document, result_size
from stylize.sources import digest, remember

State = Literal["todo", "done", "failed", "foreign"]


@dataclass(frozen=True)
class Standing:
    """Where a task stands.

    Attributes:
        state: ``foreign`` if another picture lies in its place.
        identity: of the picture wanted; empty if the source cannot be read.
        sha256: of the source.
        attempts: that failed, of this very picture.
        error: of the last of them.
    """

    state: State
    identity: str
    sha256: str | None = None
    attempts: int = 0
    error: str | None = None


class Ledger:
    """Knows of each task whether it is done, and writes down what became of it.

    Args:
        output: the batch's folder.
        common: role and SHA-256 of the inputs that all pictures of a look share, by look's name.
        retry: whether failures are tried again.
        overwrite: whether everything is done again.
    """

    def __init__(
        self,
        output: Path,
        common: Mapping[str, list[tuple[str, str]]],
        *,
        retry: bool = False,
        overwrite: bool = False,
    ) -> None:
        self._output = output
        self._common = common
        self._retry = retry
        self._overwrite = overwrite
        self._past = read_all(output)
        self._manifest = Manifest(output)
        self._unsaid: list[tuple[Task, Standing]] = []

    def name(self, task: Task) -> str:
        """What a task is called in the manifest: its target, relative to the output folder."""
        return task.target.relative_to(self._output).as_posix()

    def standing(self, task: Task) -> Standing:
        """Where a task stands now; call it while holding its claim."""
        sha256, problem = _digest(task.source)
        wanted = "" if sha256 is None else self._identity(task.look, sha256)
        past = self._past.get(self.name(task))
        same = past is not None and past.identity == wanted and past.status == "failed"
        attempts = past.attempts if past is not None and same else 0
        if self._overwrite:
            return Standing("todo", wanted, sha256, attempts)
        if os.path.exists(task.target):
            made = is_made(task.target, wanted, max_pixels=most_pixels(task))
            state: State = "done" if made else "foreign"
            found = Standing(state, wanted, sha256)
            if state == "done" and not _says_done(past, wanted):
                self._unsaid.append((task, found))
            return found
        if past is not None and same and not self._retry:
            return Standing("failed", wanted, sha256, attempts, past.error)
        return Standing("todo", wanted, sha256, attempts, problem)

    def _identity(self, look: Look, sha256: str) -> str:
        inputs = [("content", sha256), *self._common[look.name]]
        weights = find_model(look.settings["network"]).sha256
        return identity(look.technique, look.settings, inputs, weights)

    def write(
        self,
        task: Task,
        standing: Standing,
        *,
        seconds: float,
        error: str | None = None,
        losses: Mapping[str, float] | None = None,
    ) -> None:
        """Write down what became of a task; without an error it is done.

        Raises:
            OutputError: the system refuses.
        """
        entry = Entry(
            target=self.name(task),
            source=str(task.source),
            identity=standing.identity,
            status="failed" if error else "done",
            attempts=standing.attempts + 1,
            seconds=round(seconds, 3),
            error=error,
            losses=dict(losses or {}),
            time=time.time(),
            input_sha256=standing.sha256,
        )
        self._manifest.append(entry)
        self._past[entry.target] = entry

    def settle(self) -> None:
        """Write down what was found done though no line says so; call it when all are dealt with.

        Such pictures are of runs that were killed, or met a full disk, before they wrote the line.

        Raises:
            OutputError: the system refuses.
        """
        unsaid, self._unsaid = self._unsaid, []
        # Another run at work here may have said so meanwhile.
        past = read_all(self._output) if unsaid else {}
        for task, standing in unsaid:
            if not _says_done(past.get(self.name(task)), standing.identity):
                self.write(task, standing, seconds=0.0)


def _says_done(entry: Entry | None, wanted: str) -> bool:
    return entry is not None and entry.status == "done" and entry.identity == wanted


def _digest(source: Path) -> tuple[str | None, str | None]:
    """Digest of a file, or why there is none."""
    try:
        sha256 = digest(source)
        remember(source, sha256)  # where 'stylize replay' will look for it
        return sha256, None
    except PictureError as error:
        return None, str(error)


def most_pixels(task: Task) -> int:
    """So many as the picture of a task has, or as any may have: what is enlarged may have more."""
    if task.size is None:
        return pixel_limit()
    settings = from_document(KINDS[task.look.technique], task.look.settings)
    return max(pixel_limit(), math.prod(result_size(settings, task.size)))


def is_made(target: Path, wanted: str, *, max_pixels: int | None = None) -> bool:
    """Whether a file opens and carries the recipe of the picture wanted.

    Args:
        target: the file.
        wanted: the identity of the picture.
        max_pixels: that it may have; by default the limit in force.
    """
    try:
        if identity_of(load_recipe(target)) != wanted:
            return False
        read_picture(target, max_pixels=max_pixels)
    except StylizeError:
        return False
    return True
