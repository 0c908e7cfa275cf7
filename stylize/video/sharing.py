"""Share a clip among runs: each run claims a shot before it paints it.

The run that owns the clip reads it, paints its shots in order and writes the new clip. Once the
clip has been read, other runs may join: :func:`join` paints a shot that nobody has claimed. Every
run makes the same frames, so it does not matter who paints which.

A joining run may not write into the folder of another clip, or after the clip was published.
Therefore the owner removes the record before it removes frames, and a joining run reads the record
after it has claimed a shot and found it unfinished.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from stylize.errors import InterruptedRunError
from stylize.optimize.loop import Step
from stylize.planning.memory import MemoryPlan
from stylize.video.painter import Stop
from stylize.video.record import Record, read_record, require_same
from stylize.video.request import Painter, Request
from stylize.video.turns import Turn, turns_of
from stylize.video.work import Work

# How an attempt to join ends: ``painted`` a shot; ``later``, the clip is not open to other runs;
# ``nothing`` is left to paint; ``stopped``.
Joined = Literal["painted", "later", "nothing", "stopped"]

# Called with a step, the number of turns that were painted before, and of all turns.
OnProgress = Callable[[Step, int, int], None]

# How often a joining run looks whether the clip is still open, and a wait for other runs looks.
_LOOK_S, _PATIENCE_S = 0.5, 0.1


class Claim(Protocol):
    """The right to do something, until it is released."""

    def release(self) -> None:
        """Let other runs have it. A second call does nothing."""


class Claims(Protocol):
    """Claims that the system releases when their process ends."""

    def take(self, name: str) -> Claim | None:
        """Claim a name; None while another run, or this one, holds it."""

    def is_held(self, name: str) -> bool:
        """Whether somebody holds a name."""


@dataclass(frozen=True)
class Sharing:
    """Claims on the shots of one clip.

    Attributes:
        claims: of all runs that may work on the clip.
        name: of the clip.
    """

    claims: Claims
    name: str

    def take(self, shot: range) -> Claim | None:
        """Claim a shot; None while another run has it."""
        return self.claims.take(self._name(shot.start))

    def open(self) -> Claim | None:
        """Open the clip to other runs until the claim is released; None if it is open."""
        return self.claims.take(self._name("open"))

    @property
    def is_open(self) -> bool:
        """Whether the clip has an owner who lets others join."""
        return self.claims.is_held(self._name("open"))

    def await_others(self, record: Record | None, stop: Stop | None) -> None:
        """Wait until no run paints shots of an earlier record, which nobody can read any more.

        Raises:
            InterruptedRunError: stopped before.
        """
        for start in record.shots[:-1] if record is not None else ():
            while self.claims.is_held(self._name(start)):
                if stop is not None and stop():
                    raise InterruptedRunError("stopped while another run ended")
                time.sleep(_PATIENCE_S)

    def _name(self, part: int | str) -> str:
        return f"{self.name}\0{part}"


def join(
    request: Request,
    sharing: Sharing,
    on_progress: OnProgress | None = None,
    stop: Stop | None = None,
) -> Joined:
    """Paint a shot of a clip that another run owns, the longest that nobody has claimed.

    Args:
        request: the same as that of the owner.
        sharing: claims that the owner uses, too.
        on_progress: called after every step.
        stop: asked after every step.

    Raises:
        OutputError: the owner paints with other settings, or on another machine.
        StylizeError: the shot cannot be painted; finished frames are kept.
    """
    work = Work.next_to(request.target.path, request.clip.name, request.sha256)
    record = _readable(work)
    if record is not None and len(record.ranges) == 1:
        return "nothing"
    if record is None or not record.times or not sharing.is_open:
        return "later"
    require_same(record, {**record.essence, **request.essence}, work.folder)
    there = work.results()
    for shot in sorted(record.ranges, key=lambda each: (len(each), each.start), reverse=True):
        turns = turns_of(shot, request.video)
        if there.issuperset(map(work.result_path, turns)):
            continue
        with _claimed(sharing, shot) as is_ours:
            if is_ours and (done := work.count_done(turns)) < len(turns):
                if _readable(work) != record:
                    return "later"
                guest = _Guest(request, sharing, work, record, on_progress, stop or (lambda: False))
                return guest.paint(shot, turns[done:])
    return "nothing"


@dataclass
class _Guest:
    """A run that paints a shot of a clip that another run owns."""

    request: Request
    sharing: Sharing
    work: Work
    record: Record
    on_progress: OnProgress | None
    stop: Stop
    looked_s: float = 0.0
    is_closed: bool = False

    def paint(self, shot: range, turns: Sequence[Turn]) -> Joined:
        """Paint turns of a shot, one after the other."""
        painter = self._painter()
        self.work.forget(turns)
        total = sum(len(turns_of(each, self.request.video)) for each in self.record.ranges)
        for turn in turns:
            if self._ends():
                break
            done = len(self.work.results())

            def report(step: Step, done: int = done) -> None:
                if self.on_progress is not None:
                    self.on_progress(step, done, total)

            try:
                result = painter.paint(
                    turn, shot, self.work.photo, self.work.newest, report, self._ends
                )
            except InterruptedRunError:
                break
            if result.interrupted:
                break
            self.work.save(turn, result, self.request.place(self.request.count))
        else:
            return "painted"
        return "stopped" if self.stop() else "later"

    def _painter(self) -> Painter:
        record, painter = self.record, self.request.painter(self.work)
        require_same(record, {**record.essence, "machine": painter.machine}, self.work.folder)
        painter.memory_plan = MemoryPlan(**record.memory)
        return painter

    def _ends(self) -> bool:
        """Whether this run was stopped, or the owner has gone."""
        now = time.monotonic()
        if not self.is_closed and now - self.looked_s > _LOOK_S:
            self.looked_s, self.is_closed = now, not self.sharing.is_open
        return self.is_closed or self.stop()


@contextmanager
def _claimed(sharing: Sharing, shot: range) -> Iterator[bool]:
    claim = sharing.take(shot)
    try:
        yield claim is not None
    finally:
        if claim is not None:
            claim.release()


def _readable(work: Work) -> Record | None:
    """The record of a folder that may vanish at any time."""
    try:
        record = read_record(work.folder)
    except OSError:
        return None
    return None if record is None or record.complete else record
