"""Make the pictures of a batch one after the other, in this process.

While one is painted, the next is decoded and the previous one is encoded and written.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from stylize.batches.claims import Claim, Claims
from stylize.batches.clips import ClipPainting
from stylize.batches.painter import BatchPainter, read_source
from stylize.batches.records import Ledger, Standing
from stylize.batches.saving import Saving
from stylize.batches.tasks import Task, token_of
from stylize.errors import (
    InterruptedRunError,
    MemoryLimitError,
    MissingExtraError,
    OutputError,
    StylizeError,
    UsageError,
    WeightsError,
    is_out_of_memory,
)
from stylize.images.atomic import stale_partial
from stylize.images.read import Picture
from stylize.optimize.loop import Step
from stylize.planning.allocator import give_back_memory
from stylize.planning.limits import out_of_memory
from stylize.runs.result import Result
from stylize.video.clip import Clip
from stylize.video.sharing import Joined

Status = Literal["done", "skipped", "failed", "elsewhere"]

# A full or vanished disk is not the picture's fault: the batch ends and can be continued later.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE)

# Errors that every other picture would meet, too.
_AFFECTS_ALL_PICTURES = (MissingExtraError, UsageError, WeightsError)

# How often a run looks whether it can join another one.
_PATIENCE_S = 0.5

# Pictures that are claimed and decoded before their turn.
_AHEAD = 1


@dataclass(frozen=True, repr=False)
class Outcome:
    """The outcome of a task.

    Attributes:
        status: ``skipped`` if it was done before, ``elsewhere`` if another run works on it.
        error: one line, for a failure.
        remembered: whether an earlier run failed, and this one did not try again.
        notes: messages for the user about a finished picture, one line each.
    """

    task: Task
    status: Status
    seconds: float = 0.0
    error: str | None = None
    remembered: bool = False
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        remark = f": {self.error}" if self.error else ""
        return f"<Outcome {self.task.target} {self.status}{remark}>"


@dataclass(frozen=True)
class BatchContext:
    """What every runner of a batch needs.

    Attributes:
        ledger: knows what is done.
        claims: keep other runs away from the pictures of this one.
        on_picture: receives the outcome of each task, from any thread; a second one if another run
            turns out to have left it undone, or made in another way.
        stop: called after every step; True drops the current picture and ends the batch.
        saving: how pictures are written.
        fail_fast: end the batch at the first failure of this run.
    """

    ledger: Ledger
    claims: Claims
    on_picture: Callable[[Outcome], None]
    stop: Callable[[], bool]
    saving: Saving = field(default_factory=Saving)
    fail_fast: bool = False


@dataclass(eq=False)
class Job:
    """A task whose claim is held."""

    task: Task
    standing: Standing
    claim: Claim


class Runner:
    """What runners share: when the batch is over, and how the end of a task is recorded."""

    def __init__(self, context: BatchContext) -> None:
        self._context = context
        self._failed = False

    @property
    def _over(self) -> bool:
        return self._context.stop() or (self._context.fail_fast and self._failed)

    def _token(self, task: Task) -> str:
        return token_of(self._context.ledger.name(task))

    def _report(self, outcome: Outcome) -> None:
        # What failed in an earlier run would otherwise keep every later one from the rest.
        self._failed |= outcome.status == "failed" and not outcome.remembered
        self._context.on_picture(outcome)

    def _finish(
        self, job: Job, seconds: float, losses: Mapping[str, float], notes: tuple[str, ...]
    ) -> None:
        self._context.ledger.write(job.task, job.standing, seconds=seconds, losses=losses)
        job.claim.release()
        self._report(Outcome(job.task, "done", seconds, notes=notes))

    def _fail(self, job: Job, error: str, seconds: float = 0.0) -> None:
        self._context.ledger.write(job.task, job.standing, seconds=seconds, error=error)
        job.claim.release()
        self._report(Outcome(job.task, "failed", seconds, error))


@dataclass(eq=False)
class _Claimed(Job):
    """A task whose source is being decoded."""

    picture: Future[Picture | Clip]
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started


class LocalRunner(Runner):
    """Make the pictures of a batch in this process.

    Args:
        painter: makes the pictures.
        context: what the batch needs.
        on_image: called for each task before it is painted; returns the callback for its steps.
    """

    def __init__(
        self,
        painter: BatchPainter,
        context: BatchContext,
        on_image: Callable[[Task], Callable[[Step], None] | None] = lambda task: None,
    ) -> None:
        super().__init__(context)
        self._painter = painter
        self._on_image = on_image
        self._elsewhere: list[Task] = []
        self._left: list[Task] = []

    def run(self, tasks: Iterable[Task]) -> None:
        """Make all pictures that need work.

        Raises:
            OutputError: the disk is full or gone; finished pictures are safe.
            StylizeError: weights or an extra are missing, so that no picture can be made.
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
                    pending = files.submit(self._save, claimed, result)
                if self._over:
                    break
            if pending is not None:
                pending.result()
            self._join_others()
            self._look_again()

    def _ahead(self, tasks: Iterable[Task]) -> Generator[_Claimed]:
        """Claimed tasks; the one after is already being decoded."""
        queue: deque[_Claimed] = deque()
        try:
            for task in tasks:
                if self._over:
                    return
                claimed = self._claim(task)
                if claimed is not None:
                    queue.append(claimed)
                # A clip that waits is left to other runs.
                if len(queue) > (0 if task.look.clips else _AHEAD):
                    yield queue.popleft()
            while queue and not self._over:
                yield queue.popleft()
        finally:
            for claimed in queue:
                claimed.claim.release()

    def _claim(self, task: Task) -> _Claimed | None:
        admitted = admit(task, self._context, self._report_or_join)
        return None if admitted is None else self._decoding(task, *admitted)

    def _decoding(self, task: Task, standing: Standing, claim: Claim) -> _Claimed:
        return _Claimed(task, standing, claim, self._files.submit(read_source, task))

    def _report_or_join(self, outcome: Outcome) -> None:
        """Report an outcome, except for a clip that this run will join."""
        if outcome.status == "elsewhere" and outcome.task.look.clips is not None:
            self._elsewhere.append(outcome.task)
            return
        if outcome.status == "elsewhere":
            self._left.append(outcome.task)
        self._report(outcome)

    def _look_again(self) -> None:
        """Make the pictures that another run has left undone, or made in another way."""

        def report(outcome: Outcome) -> None:
            if outcome.status == "failed":
                self._report(outcome)

        if self._left and not self._over:
            self._context.ledger.refresh()
        for task in self._left:
            if not self._over:
                self._make(task, report)

    def _make(self, task: Task, report: Callable[[Outcome], None]) -> None:
        """Make a picture or clip now, if it needs work and no other run has it."""
        admitted = admit(task, self._context, report)
        if admitted is None:
            return
        if self._over:
            admitted[1].release()
            return
        claimed = self._decoding(task, *admitted)
        result = self._paint(claimed)
        give_back_memory()
        if result is not None:
            self._save(claimed, result)

    def _join_others(self) -> None:
        """Paint shots of the clips that other runs work on, as long as there are any."""
        waiting, notes = list(self._elsewhere), dict[Path, str]()
        paintings: dict[Path, ClipPainting] = {}
        while waiting and not self._over:
            answers = {task.target: self._join(task, paintings, notes) for task in waiting}
            left = [task for task in waiting if answers[task.target] in ("painted", "later")]
            for task in waiting:
                if task not in left:
                    self._leave(task, notes)
            waiting = left
            if waiting and "painted" not in answers.values():
                time.sleep(_PATIENCE_S)
        for task in waiting:
            self._leave(task, notes)

    def _leave(self, task: Task, notes: Mapping[Path, str]) -> None:
        """Report what has become of a clip of another run, or go on in the place of that run.

        Args:
            task: the clip.
            notes: why a clip could not be joined, by target.
        """
        note = notes.get(task.target)

        def report(outcome: Outcome) -> None:
            self._report(replace(outcome, notes=(note,) if note else ()))

        self._context.ledger.refresh()
        self._make(task, report)

    def _join(
        self, task: Task, paintings: dict[Path, ClipPainting], notes: dict[Path, str]
    ) -> Joined:
        """Paint a shot of a clip that another run works on.

        Args:
            task: the clip.
            paintings: clips that were opened for earlier shots, by target.
            notes: receives why a clip cannot be joined.
        """
        context = self._context
        sharing = context.claims.on_shots(self._token(task))
        if sharing is None or not context.claims.is_held(context.ledger.name(task)):
            return "nothing"
        try:
            if task.target not in paintings:
                clip = read_source(task)
                assert isinstance(clip, Clip)
                paintings[task.target] = self._painter.painting(task, clip, context.saving, sharing)
            return paintings[task.target].join(self._on_image(task), context.stop)
        except Exception as error:  # it is for the other run to fail
            reason = error.message if isinstance(error, StylizeError) else one_line(error)
            notes[task.target] = f"left to the other run: {reason}"
            return "nothing"
        finally:
            give_back_memory()

    def _paint(self, claimed: _Claimed) -> Result | ClipPainting | None:
        """The result; None if it failed, which is recorded, or was stopped."""
        claimed.started = time.perf_counter()
        try:
            picture = claimed.picture.result()
            on_step = self._on_image(claimed.task)
            result = self._painter.make(
                claimed.task,
                picture,
                self._context.saving,
                on_step,
                self._context.stop,
                self._context.claims.on_shots(self._token(claimed.task)),
            )
        except InterruptedRunError:
            result = None
        except Exception as error:
            # An extra that only this file's format needs is this picture's failure.
            is_clip = claimed.task.look.clips is not None
            is_read = not isinstance(claimed.picture.exception(), StylizeError)
            if affects_all_pictures(error) and (is_clip or is_read):
                raise
            if is_disk(error):  # a clip writes its frames while it is painted
                raise
            self._fail(claimed, one_line(error), claimed.seconds)
            return None
        if result is None or result.interrupted:
            claimed.claim.release()
            return None
        return result

    def _save(self, claimed: _Claimed, result: Result | ClipPainting) -> None:
        try:
            self._context.saving.save(result, claimed.task, self._token(claimed.task))
        except InterruptedRunError:  # while a clip was encoded; its frames are kept
            claimed.claim.release()
            return
        except Exception as error:
            if is_disk(error) or affects_all_pictures(error):
                raise
            self._fail(claimed, one_line(error), claimed.seconds)
            return
        self._finish(claimed, claimed.seconds, result.recipe["losses"], tuple(result.notes))


def one_line(error: Exception) -> str:
    """An error message in one line."""
    if isinstance(error, StylizeError):
        text = str(error)
    elif is_out_of_memory(error):
        text = out_of_memory()
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]


def admit(
    task: Task, context: BatchContext, report: Callable[[Outcome], None]
) -> tuple[Standing, Claim] | None:
    """Claim a task that needs work; report any other and return None.

    Args:
        task: from the plan.
        context: its ledger and its claims decide.
        report: receives a task that another run works on, that is done, or that failed before.
    """
    ledger = context.ledger
    name = ledger.name(task)
    taken = context.claims.take(name)
    if taken is None:
        report(Outcome(task, "elsewhere"))
        return None
    standing = ledger.standing(task)
    if ledger.is_inside(task):
        # The system may refuse, as it then will when the picture is saved.
        with suppress(OSError):
            stale_partial(task.target, token_of(name)).unlink(missing_ok=True)
    if standing.state == "todo":
        return standing, taken
    taken.release()
    if standing.state == "done":
        report(Outcome(task, "skipped"))
    else:
        problem = f"another picture is at {task.target} (--overwrite replaces it)"
        error = standing.error or problem
        report(Outcome(task, "failed", error=error, remembered=standing.state == "failed"))
    return None


def affects_all_pictures(error: BaseException) -> bool:
    """Whether every other picture would meet this error, too."""
    # One photo may be too large for the memory, and the next one not.
    is_too_large = isinstance(error, MemoryLimitError)
    return isinstance(error, _AFFECTS_ALL_PICTURES) and not is_too_large


def is_disk(error: BaseException) -> bool:
    """Whether the disk caused an error, not the picture."""
    cause = error.__cause__ if isinstance(error, OutputError) else error
    return isinstance(cause, OSError) and cause.errno in _DISK_ERRORS


def sweep(tasks: Iterable[Task], ledger: Ledger, claims: Claims) -> None:
    """Remove temporary files of killed runs, except where another run is working."""
    for task in filter(ledger.is_inside, tasks):
        partial: Path = stale_partial(task.target, token_of(ledger.name(task)))
        if partial.exists():
            taken = claims.take(ledger.name(task))
            if taken is not None:
                with taken:
                    partial.unlink(missing_ok=True)
