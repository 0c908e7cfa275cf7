"""Workers that misbehave, for tests; imported by the processes of a cluster."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from stylize.batches.worker import Answer, Assignment, Worker


class Mortal(Worker):
    """Dies of pictures that are called so."""

    def make(self, assignment: Assignment) -> Answer:
        if "poison" in assignment.task.source.name:
            time.sleep(0.5)  # the answer about the picture before is on its way
            os._exit(1)
        return super().make(assignment)


class Unlucky(Worker):
    """Cannot work, for the reason that the pictures are called by."""

    def make(self, assignment: Assignment) -> Answer:
        return Answer(assignment.task.source.stem, error="bad luck")  # type: ignore[arg-type]


class Stranger(Worker):
    """Is of another version."""

    def greet(self, output: Path) -> dict[str, Any]:
        return super().greet(output) | {"version": "0.0", "host": "far"}


class Named(Worker):
    """Leaves a mark with its process next to the clips it makes and those it joins."""

    def make(self, assignment: Assignment) -> Answer:
        self._mark(assignment, "make")
        return super().make(assignment)

    def join(self, assignment: Assignment) -> Any:
        self._mark(assignment, "join")
        return super().join(assignment)

    def _mark(self, assignment: Assignment, name: str) -> None:
        assignment.task.source.with_suffix(f".{name}").write_text(str(os.getpid()))


class Sociable(Worker):
    """Leaves a mark next to the pictures, and begins when there are two such workers."""

    def make(self, assignment: Assignment) -> Answer:
        folder = assignment.task.source.parent
        (folder / f"{os.getpid()}.mark").touch()
        end = time.monotonic() + 60
        while len(list(folder.glob("*.mark"))) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        return super().make(assignment)
