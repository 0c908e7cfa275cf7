"""Pictures that come in, from files or from stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stylize.cli.messages import say
from stylize.cli.requests import Messages
from stylize.errors import PictureError, SettingError

if TYPE_CHECKING:
    from stylize.images.read import Picture


def files_among(sources: Iterable[str | None]) -> list[Path]:
    """The sources that are files: neither absent nor stdin."""
    return [Path(source) for source in sources if source and source != "-"]


def open_optional(source: str | None, messages: Messages) -> Picture | None:
    """Open a picture that may be left out."""
    return None if source is None else open_picture(source, messages)


def require_files(paths: Iterable[Path]) -> None:
    """Make sure that all inputs exist, before anything else is done.

    Raises:
        PictureError: the first that does not.
    """
    for path in paths:
        if not os.path.exists(path):
            raise PictureError(f"{path}: there is no such file")


def open_picture(source: str, messages: Messages) -> Picture:
    """Read a picture from a file or stdin, and say what is unusual about it."""
    from stylize.images.open import read_stream
    from stylize.images.read import read_picture
    from stylize.runs.inputs import remember

    if source == "-":
        picture = read_picture(read_stream(stdin(), "stdin"), name="stdin")
    else:
        picture = read_picture(Path(source))
        remember(Path(source), picture.sha256)
    if not messages.quiet:
        for note in picture.notes:
            say(f"{picture.name}: {note}")
    return picture


def read_stdin(max_bytes: int) -> bytes:
    """The beginning of stdin."""
    return stdin().read(max_bytes)


def stdin() -> BinaryIO:
    """The stream of bytes that the program gets.

    Raises:
        SettingError: there is none but a keyboard.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingError("- reads a picture from stdin", hint="… - < photo.jpg")
    return sys.stdin.buffer
