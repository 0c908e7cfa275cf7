"""Requests of the command line as frozen values: parsed once, then passed on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from stylize.runs.inputs import Wanted

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


@dataclass(frozen=True)
class ReplayRequest:
    """A replay as the command line asks for it, with the recipe read and the inputs found.

    Attributes:
        file: the picture, film or sheet whose recipe is followed.
        cell: of a sheet.
        recipe: of the picture to make.
        wanted: the recipe's inputs.
        paths: where each was found.
        overrides: of the recipe's execution.
        changes: words for the file name; none for the same picture again.
        altered: whether more is changed than the size.
        of_clip: what is changed of a clip as a whole.
    """

    file: Path
    cell: str | None
    recipe: Mapping[str, Any]
    settings: Any
    wanted: Sequence[Wanted]
    paths: Sequence[Path]
    substitute: bool
    overrides: Mapping[str, Any]
    changes: Sequence[str]
    altered: bool
    of_clip: Mapping[str, Any]
    output: OutputRequest
    messages: Messages
    started: float = field(default_factory=time.perf_counter)


def take(kind: type[Kind], options: dict[str, Any]) -> Kind:
    """Build a request from the options that bear the names of its fields, and remove them."""
    names = [each.name for each in dataclasses.fields(kind) if each.name in options]  # type: ignore[arg-type]
    return kind(**{name: options.pop(name) for name in names})
