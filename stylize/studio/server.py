"""Start the server: one for a folder, on a port that is free."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stylize.batches.records import make_folder
from stylize.errors import OutputError, UsageError
from stylize.extras import optional_module
from stylize.images.atomic import refusals_named
from stylize.studio.library import studio_folder
from stylize.studio.security import token_for

# Open event streams end with the server; a page that sends something has so long to finish.
_GRACE_S = 2

REQUIREMENT = "starlette uvicorn sse-starlette python-multipart"


def require_libraries() -> None:
    """Check that the libraries of the server are installed.

    Raises:
        MissingExtraError: one is not.
    """
    for module in ("starlette", "uvicorn", "sse_starlette", "python_multipart"):
        optional_module(module, what="'stylize studio'", requirement=REQUIREMENT)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Create a folder and hold it as the only server there.

    Raises:
        UsageError: another server uses it.
        OutputError: the system refuses.
    """
    place = studio_folder(folder)
    with refusals_named(folder):
        make_folder(place.parent)
        make_folder(place)
        lock = FileLock(place / "server.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UsageError(
                f"another 'stylize studio' uses {folder}",
                hint="open its page, or name another folder",
            ) from None
    try:
        yield
    finally:
        lock.release()


def bound(host: str, port: int) -> socket.socket:
    """Open a socket that listens; port 0 takes any that is free.

    Raises:
        OutputError: the port is used, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family)
    if os.name == "posix":  # elsewhere it would let two programs share the port
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(128)
    except (OSError, OverflowError) as error:
        found.close()
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise OutputError(
            f"cannot listen on {host}:{port}: {reason}", hint="choose another with --port N"
        ) from error
    return found


def serve(
    folder: Path, *, host: str, port: int, token: str | None, on_start: Callable[[str], None]
) -> None:
    """Serve a folder until a signal ends it.

    Args:
        folder: of the results; created.
        host, port: where to listen.
        token: for all requests; None for the one of the folder.
        on_start: called with the address of the page when the server answers.

    Raises:
        MissingExtraError: the libraries are not installed.
        UsageError: another server uses the folder.
        OutputError: the port is used, or the folder cannot be written.
        KeyboardInterrupt: Ctrl-C ended it.
    """
    require_libraries()
    import uvicorn  # noqa: PLC0415

    from stylize.studio.app import build  # noqa: PLC0415

    folder = folder.absolute()
    with alone_in(folder), bound(host, port) as listening:
        port = listening.getsockname()[1]
        token = token or token_for(folder)
        app, _ = build(folder, token=token, host=host, port=port)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            ws="none",
            lifespan="on",
        )
        server = uvicorn.Server(config)
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
        shown = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
        # The socket listens already: what the browser asks for meanwhile is answered then.
        on_start(f"http://{shown}:{port}/#token={token}")
        server.run([listening])
