"""The server's side of the engine: starts it, hears it, starts it again when it dies. No torch."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from stylize.studio.work import Event, Order

# After so many deaths without a finished start there is no point in another one.
MOST_FAILED_STARTS = 3

_END_S = 3.0


def _run(connection: Connection) -> None:
    """Run the engine; torch is imported here, not in the server."""
    from stylize.studio.engine import main  # noqa: PLC0415

    main(connection)


class EngineProcess:
    """An engine in a process of its own.

    All methods belong to the thread of the event loop.

    Args:
        on_event: called in the event loop for each event.
        on_death: called in the event loop when the process has ended unasked, with whether
            another one is being started.
    """

    def __init__(self, on_event: Callable[[Event], None], on_death: Callable[[bool], None]) -> None:
        self._on_event, self._on_death = on_event, on_death
        self._context = multiprocessing.get_context("spawn")
        self._connection: Connection | None = None
        self._process: BaseProcess | None = None
        self._failed_starts = 0
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process; None without one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, which reports when it is ready."""
        self._loop = asyncio.get_running_loop()
        ours, its = self._context.Pipe()
        self._process = self._context.Process(
            target=_run, args=(its,), daemon=True, name="stylize-engine"
        )
        self._process.start()
        its.close()
        self._connection = ours
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()

    def send(self, order: Order) -> bool:
        """Give an order; False if there is no engine to take it."""
        if self._connection is None:
            return False
        try:
            self._connection.send(order)
        except (OSError, ValueError):
            return False
        return True

    def _listen(self, connection: Connection) -> None:
        assert self._loop is not None
        with suppress(EOFError, OSError):
            while True:
                self._call(self._heard, connection.recv())
        self._call(self._died, connection)

    def _call(self, function: Callable[[Any], None], argument: Any) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(function, argument)

    def _heard(self, event: Event) -> None:
        if event.name == "ready":
            self._failed_starts = 0
        if not self._closing:
            self._on_event(event)

    def _died(self, connection: Connection) -> None:
        connection.close()
        if self._closing or connection is not self._connection:
            return
        self._connection = None
        if self._process is not None:
            self._process.join(_END_S)
        self._failed_starts += 1
        again = self._failed_starts <= MOST_FAILED_STARTS
        if again:
            self.start()
        self._on_death(again)

    def close(self) -> None:
        """End the process at once; files that it was writing are left as they were."""
        self._closing = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            # It ends itself when the pipe closes; a step can keep it from hearing that.
            self._process.terminate()
            self._process.join(_END_S)
            if self._process.is_alive() and os.name == "posix":
                self._process.kill()
                self._process.join()
