"""Events for the pages that listen: each gets all of them, and only the newest of a kind."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

# Of these events a listener that is slow needs only the newest one of each job.
_NEWEST = ("step", "preview", "job", "engine")

# A listener that has fallen further behind is cut off; it connects again and gets a snapshot.
_MOST_WAITING = 1000


class Listener:
    """The events that one connection still has to send.

    Args:
        job: hear only of this job.
        sessions: of the pages that share this connection.
    """

    def __init__(self, job: str | None = None, sessions: Collection[str] = ()) -> None:
        self.job, self.sessions = job, sessions
        self.is_open = True
        self._waiting: OrderedDict[Any, tuple[str, str]] = OrderedDict()
        self._numbers = count()
        self._arrived = asyncio.Event()

    def put(self, name: str, data: Mapping[str, Any], text: str | None = None) -> None:
        """Add an event."""
        subject = data.get("id")
        if self.job is not None and subject != self.job:
            return
        key: Any = (name, subject) if name in _NEWEST else next(self._numbers)
        self._waiting.pop(key, None)
        self._waiting[key] = name, text or dumped(data)
        if len(self._waiting) > _MOST_WAITING:
            self.close()
        self._arrived.set()

    def close(self) -> None:
        """End the stream after what is waiting."""
        self.is_open = False
        self._arrived.set()

    async def events(self) -> AsyncIterator[dict[str, str]]:
        """Yield name and data of each event, as sse-starlette takes them."""
        while True:
            while self._waiting:
                _, (name, text) = self._waiting.popitem(last=False)
                yield {"event": name, "data": text}
            if not self.is_open:
                return
            self._arrived.clear()
            await self._arrived.wait()


class Hub:
    """The listeners of a server."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    def publish(self, name: str, data: Mapping[str, Any]) -> None:
        """Send an event to all listeners."""
        if self._listeners:
            text = dumped(data)
            for each in list(self._listeners):
                each.put(name, data, text)

    def hears(self, job: str, session: str | None) -> bool:
        """Whether somebody listens to a job: to it alone, or for its session.

        A job without a session is heard by all who listen to everything.
        """
        return any(
            each.job == job or (each.job is None and (session is None or session in each.sessions))
            for each in self._listeners
        )

    @contextmanager
    def listening(
        self, job: str | None = None, sessions: Collection[str] = ()
    ) -> Iterator[Listener]:
        """Add a listener for as long as the block lasts."""
        listener = Listener(job, sessions)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End all streams."""
        for each in list(self._listeners):
            each.close()


def dumped(data: Mapping[str, Any]) -> str:
    """Write JSON in one line."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False, default=float)
