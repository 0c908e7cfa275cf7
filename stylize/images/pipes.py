"""Open files that may be named pipes, without waiting for ever for a program that writes to one."""

from __future__ import annotations

import io
import os
import select
import stat
import time
from pathlib import Path
from typing import Any

# A shell may start the writer of a pipe after its reader.
WAIT_S = 5.0

_POLL_S = 0.02


def open_input(path: Path | str) -> io.BufferedReader:
    """Open a file for reading; of a named pipe, wait a few seconds for a writer.

    Raises:
        OSError: the system refuses, or no program writes to the pipe.
        ValueError: there is a NUL in the name.
    """
    if os.name != "posix" or not stat.S_ISFIFO(os.stat(path).st_mode):
        return open(path, "rb")
    # Otherwise opening it waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        head = _first_byte(descriptor)
        os.set_blocking(descriptor, True)
        return io.BufferedReader(_Pipe(descriptor, head))
    except BaseException:
        os.close(descriptor)
        raise


def _first_byte(descriptor: int) -> bytes:
    """The first byte if it is there; empty if a writer is there but no data, or both are gone."""
    end = time.monotonic() + WAIT_S
    gone = select.poll()
    gone.register(descriptor, 0)
    while True:
        try:
            byte = os.read(descriptor, 1)
        except BlockingIOError:
            return b""
        if byte or gone.poll(0):
            return byte
        if time.monotonic() > end:
            raise OSError("no program writes to this pipe")
        time.sleep(_POLL_S)


class _Pipe(io.RawIOBase):
    """A pipe whose first byte has been read."""

    def __init__(self, descriptor: int, head: bytes) -> None:
        self._rest = io.FileIO(descriptor, "rb")
        self._head = head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._head:
            buffer[:1], self._head = self._head, b""
            return 1
        return self._rest.readinto(buffer)

    def close(self) -> None:
        self._rest.close()
        super().close()
