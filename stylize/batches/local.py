"""The pictures of a batch one after the other, in this process.

While one is being painted, the next is decoded and the last is encoded and written.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylize.batches.claims import Claim, Claims
from stylize.batches.painter import BatchPainter
from stylize.batches.records import Ledger, Standing
from stylize.batches.tasks import Task, token_of
from stylize.errors import (
    InterruptedRunError,
    MissingExtraError,
    OutputError,
    StylizeError,
    UsageError,
    WeightsError,
)
from stylize.images.atomic import refusals_named, stale_partial
from stylize.images.read import Picture, read_picture
from stylize.optimize.loop import Step
from stylize.planning.allocator import give_back_memory
from stylize.runs.result import Result

Status = Literal["done", "skipped", "failed", "elsewhere"]

# A full or vanished disk is no fault of the picture: the batch ends, and goes on another time.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE)

# The same of these: every other picture would meet them too.
OF_ALL_PICTURES = (MissingExtraError, UsageError, WeightsError)

# Pictures that are claimed and decoded before their turn.
_AHEAD = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        status: ``skipped`` if it was done before, ``elsewhere`` if another run is at it.
        error: one line, of a failure.
        remembered: whether the failure is one of an earlier run.
        notes: what a user may want to know of a picture that is done, a line each.
    """

    task: Task
    status: Status
    seconds: float = 0.0
    error: str | None = None
    remembered: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Saving:
    """How the pictures are written."""

    depth: int = 8
    quality: int = 95


@dataclass
class _Claimed:
    """A task on its way: what is held for it and known of it."""

    task: Task
    standing: Standing
    held: Claim
    picture: Future[Picture]
    started: float = field(default_factory=time.perf_counter)


class LocalRunner:
    """Works through tasks.

    Args:
        painter: makes the pictures.
        ledger: knows what is done.
        claims: keep other runs off a picture in work.
        saving: how pictures are written.
        on_step: is told what became of each task.
        on_image: is told of each task that is about to be painted, and gives its listener.
        stop: asked after every step; True drops the picture in work and ends the batch.
        fail_fast: end the batch at the first failure.
    """

    def __init__(
        self,
        painter: BatchPainter,
        ledger: Ledger,
        claims: Claims,
        *,
        saving: Saving,
        on_step: Callable[[Outcome], None],
        on_image: Callable[[Task], Callable[[Step], None] | None],
        stop: Callable[[], bool],
        fail_fast: bool = False,
    ) -> None:
        self._painter = painter
        self._ledger = ledger
        self._claims = claims
        self._saving = saving
        self._on_step = on_step
        self._on_image = on_image
        self._stop = stop
        self._fail_fast = fail_fast
        self._failed = False

    def run(self, tasks: Iterable[Task]) -> None:
        """Do what is to do.

        Raises:
            OutputError: the disk is full or gone; what is done is safe.
            StylizeError: no picture can be made, for want of weights or of an extra.
        """
        with ThreadPoolExecutor(2, "stylize-files") as files, closing(self._ahead(tasks)) as ahead:
            self._files = files
            pending: Future[None] | None = None
            for claimed in ahead:
                result = self._paint(claimed)
                give_back_memory()
                if pending is not None:
                    pending.result()
                    pending = None
                if result is not None:
                    pending = files.submit(self._keep, claimed, result)
                if self._over:
                    break
            if pending is not None:
                pending.result()

    @property
    def _over(self) -> bool:
        return self._stop() or (self._fail_fast and self._failed)

    def _ahead(self, tasks: Iterable[Task]) -> Generator[_Claimed]:
        """The tasks that are to be done, claimed, the next already being decoded."""
        queue: deque[_Claimed] = deque()
        try:
            for task in tasks:
                if self._over:
                    return
                claimed = self._claim(task)
                if claimed is not None:
                    queue.append(claimed)
                if len(queue) > _AHEAD:
                    yield queue.popleft()
            while queue and not self._over:
                yield queue.popleft()
        finally:
            for claimed in queue:
                claimed.held.release()

    def _claim(self, task: Task) -> _Claimed | None:
        """Take a task, unless another run has it or it needs no work; says which."""
        admitted = admit(task, self._claims, self._ledger, self._tell)
        if admitted is None:
            return None
        standing, taken = admitted
        picture = self._files.submit(read_picture, task.source)
        return _Claimed(task, standing, taken, picture)

    def _tell(self, outcome: Outcome) -> None:
        self._failed = self._failed or outcome.status == "failed"
        self._on_step(outcome)

    def _token(self, task: Task) -> str:
        return token_of(self._ledger.name(task))

    def _paint(self, claimed: _Claimed) -> Result | None:
        """The painting; None where it failed, which is written down, or was stopped."""
        claimed.started = time.perf_counter()
        try:
            picture = claimed.picture.result()
            on_step = self._on_image(claimed.task)
            result = self._painter.paint(claimed.task, picture, on_step, self._stop)
        except InterruptedRunError:
            result = None
        except OF_ALL_PICTURES as error:
            # A picture of a format that needs an extra is that picture's own trouble.
            if not isinstance(claimed.picture.exception(), StylizeError):
                raise
            self._fail(claimed, error)
            return None
        except Exception as error:
            self._fail(claimed, error)
            return None
        if result is None or result.interrupted:
            claimed.held.release()
            return None
        return result

    def _keep(self, claimed: _Claimed, result: Result) -> None:
        """Write the picture, then that it is done."""
        task = claimed.task
        try:
            with refusals_named(task.target):
                task.target.parent.mkdir(parents=True, exist_ok=True)
            result.save(
                task.target,
                depth=self._saving.depth,
                quality=self._saving.quality,
                token=self._token(task),
            )
        except Exception as error:
            if is_disk(error) or isinstance(error, OF_ALL_PICTURES):
                raise
            self._fail(claimed, error)
            return
        seconds = time.perf_counter() - claimed.started
        losses: dict[str, Any] = result.recipe["losses"]
        self._ledger.write(task, claimed.standing, seconds=seconds, losses=losses)
        claimed.held.release()
        self._on_step(Outcome(task, "done", seconds, notes=result.notes))

    def _fail(self, claimed: _Claimed, error: Exception) -> None:
        """Write down a failure, and go on."""
        seconds = time.perf_counter() - claimed.started
        line = one_line(error)
        self._failed = True
        self._ledger.write(claimed.task, claimed.standing, seconds=seconds, error=line)
        claimed.held.release()
        self._on_step(Outcome(claimed.task, "failed", seconds, line))


def one_line(error: Exception) -> str:
    """An error as a line of the report."""
    text = str(error) if isinstance(error, StylizeError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]


def admit(
    task: Task, claims: Claims, ledger: Ledger, on_step: Callable[[Outcome], None]
) -> tuple[Standing, Claim] | None:
    """Take a task that is to be done; of any other, tell why it is not.

    Args:
        task: from the plan.
        claims: keep other runs off it.
        ledger: knows where it stands.
        on_step: is told of a task that another run has, that is done, or that failed before.
    """
    name = ledger.name(task)
    taken = claims.take(name)
    if taken is None:
        on_step(Outcome(task, "elsewhere"))
        return None
    standing = ledger.standing(task)
    with suppress(OSError):  # the system may refuse, as it then will when the picture is saved
        stale_partial(task.target, token_of(name)).unlink(missing_ok=True)
    if standing.state == "todo":
        return standing, taken
    taken.release()
    if standing.state == "done":
        on_step(Outcome(task, "skipped"))
    else:
        error = standing.error or "another picture is in its place (--overwrite replaces it)"
        on_step(Outcome(task, "failed", error=error, remembered=standing.state == "failed"))
    return None


def is_disk(error: BaseException) -> bool:
    """Whether the disk is at fault, not the picture."""
    cause = error.__cause__ if isinstance(error, OutputError) else error
    return isinstance(cause, OSError) and cause.errno in _DISK_ERRORS


def sweep(tasks: Iterable[Task], ledger: Ledger, claims: Claims) -> None:
    """Remove what killed runs left behind, where no other run is at work."""
    for task in tasks:
        partial: Path = stale_partial(task.target, token_of(ledger.name(task)))
        if partial.exists():
            taken = claims.take(ledger.name(task))
            if taken is not None:
                with taken:
                    partial.unlink(missing_ok=True)
