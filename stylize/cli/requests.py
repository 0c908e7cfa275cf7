"""Requests of the command line as frozen values: parsed once, then passed on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Messages:
    """What is said while a command runs.

    Attributes:
        quiet: only errors.
        verbose: 1 says what is decided, 2 adds tracebacks.
        as_json: events as JSON lines on stdout.
    """

    quiet: bool = False
    verbose: int = 0
    as_json: bool = False

    @property
    def bars(self) -> bool:
        """Whether progress is shown, if stderr is a terminal."""
        return not self.quiet and not self.as_json


@dataclass(frozen=True)
class OutputRequest:
    """How and where a picture is written.

    Attributes:
        output: a file, a folder, or ``-`` for stdout; None for a name made from the photo's.
        overwrite: replace an existing file.
        format: of stdout; None for the file's suffix.
        depth: bits per channel.
        quality: of JPEG, WebP and AVIF.
        save_steps: a folder for pictures of the steps.
        film: a file for a film of the steps.
        show: open the picture in the desktop's viewer.
    """

    output: str | None = None
    overwrite: bool = False
    format: str | None = None
    depth: int = 8
    quality: int = 95
    save_steps: Path | None = None
    film: Path | None = None
    show: bool = False


def take(kind: type[Kind], options: dict[str, Any]) -> Kind:
    """Build a request from the options that bear the names of its fields, and remove them."""
    names = [each.name for each in dataclasses.fields(kind) if each.name in options]  # type: ignore[arg-type]
    return kind(**{name: options.pop(name) for name in names})
