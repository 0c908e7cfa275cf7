"""Pictures that come in, from files or from stdin."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, BinaryIO

import click

from stylize.cli.messages import say
from stylize.cli.requests import Messages
from stylize.errors import SettingError, no_such_file
from stylize.planning.limits import has_memory_limit

if TYPE_CHECKING:
    from stylize.images.read import Decoded, Picture

# In the context of the command: what was decoded ahead, by path.
_DECODED = "stylize.decoded"


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
            raise no_such_file(path)


@contextmanager
def decoding(paths: Sequence[Path]) -> Iterator[None]:
    """Decode pictures in a thread while the block runs, for :func:`open_picture` to take.

    That is where their errors are raised, so they keep their order.
    """
    waiting = [path for path in dict.fromkeys(paths) if _is_decoded_alone(path)]
    if not waiting or has_memory_limit():
        yield
        return
    from stylize.images.read import decode_file

    found: dict[Path, Decoded | Exception] = {}

    def decode() -> None:
        for path in waiting:
            try:
                found[path] = decode_file(path)
            except Exception as error:
                found[path] = error

    # If the user interrupts the block, the program ends without waiting for it.
    thread = Thread(target=decode, daemon=True)
    # The filters of warnings belong to the whole process, and both sides change them.
    with warnings.catch_warnings():
        thread.start()
        yield
        thread.join()
    click.get_current_context().meta[_DECODED] = found


def _is_decoded_alone(path: Path) -> bool:
    """Whether a file can be read twice, and decoding it imports nothing in a thread."""
    from stylize.images.open import HEAD_BYTES, recognise

    try:
        if not os.path.isfile(path):
            return False
        with path.open("rb") as file:
            return recognise(file.read(HEAD_BYTES)) in ("PNG", "JPEG", "WEBP", "GIF", "BMP")
    except OSError:
        return False


def open_picture(source: str, messages: Messages) -> Picture:
    """Read a picture from a file or stdin, and say what is unusual about it."""
    from stylize.images.open import read_stream
    from stylize.images.read import decode_file, read_picture
    from stylize.runs.inputs import remember

    if source == "-":
        picture = read_picture(read_stream(stdin(), "stdin"), name="stdin")
    else:
        context = click.get_current_context(silent=True)
        decoded = context.meta.get(_DECODED, {}) if context else {}
        found: Decoded | Exception = decoded.pop(Path(source), None) or decode_file(Path(source))
        if isinstance(found, Exception):
            raise found
        picture = found.picture()
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
        raise SettingError(
            "- reads a picture from stdin, which is a terminal",
            hint="redirect a file to it: < photo.jpg",
        )
    return sys.stdin.buffer
