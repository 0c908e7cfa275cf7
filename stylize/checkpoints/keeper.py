"""Writes a run's state to its file, every so often and when the run is stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stylize.checkpoints.container import remove_remains
from stylize.checkpoints.description import Request
from stylize.checkpoints.snapshots import save
from stylize.errors import OutputError
from stylize.optimize.state import Snapshot, Take


class Checkpointer:
    """Keeps one run in one file.

    Args:
        path: of the file.
        request: what the command was asked for; says how often.
        warn: is told, once, that a checkpoint could not be written. The run goes on.
        clock: seconds that only grow.

    Attributes:
        present: whether the file holds a state of this run.
    """

    def __init__(
        self,
        path: Path,
        request: Request,
        warn: Callable[[str], None],
        *,
        present: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.present = present
        self._request = request
        self._warn: Callable[[str], None] | None = warn
        self._clock = clock
        self._last = clock()

    def offer(self, take: Take, last: bool) -> None:
        """Take a snapshot and write it, if it is time or the run stops here."""
        if not last and self._clock() - self._last < 60 * self._request.minutes:
            return
        snapshot = take()
        if is_finite(snapshot):
            self._write(snapshot)
        self._last = self._clock()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            save(self.path, snapshot, self._request)
            self.present = True
        except OutputError as error:
            if self._warn is not None:
                self._warn(f"no checkpoint: {error}; the run goes on without")
            self._warn = None

    def discard(self) -> None:
        """Remove the file: the run is done."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        remove_remains(self.path)
        self.present = False


def is_finite(snapshot: Snapshot) -> bool:
    """Whether there is sense in going on from here."""
    losses = snapshot.outcomes[-1].losses.values()
    return all(map(math.isfinite, (*losses, *snapshot.optimizer.numbers.values())))
