"""Workers that misbehave, for tests; imported by the processes of a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylize.batches.worker import Worker


def source_of(message: Mapping[str, Any]) -> Path:
    return Path(os.fsdecode(message["source"]))


class Mortal(Worker):
    """Dies of pictures that are called so."""

    def make(self, message: Mapping[str, Any]) -> dict[str, Any]:
        if "poison" in source_of(message).name:
            os._exit(1)
        return super().make(message)


class Unlucky(Worker):
    """Cannot work, for the reason that the pictures are called by."""

    def make(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "outcome": source_of(message).stem,
            "seconds": 0.0,
            "losses": {},
            "error": "bad luck",
        }


class Stranger(Worker):
    """Is of another version."""

    def greet(self, output: bytes) -> dict[str, Any]:
        return super().greet(output) | {"version": "0.0", "host": "far"}


class Sociable(Worker):
    """Leaves its mark beside the pictures, and begins when there are two of its kind."""

    def make(self, message: Mapping[str, Any]) -> dict[str, Any]:
        folder = source_of(message).parent
        (folder / f"{os.getpid()}.mark").touch()
        end = time.monotonic() + 60
        while len(list(folder.glob("*.mark"))) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        return super().make(message)
