"""Who may talk to the server: checks that come before everything else, and headers on every answer.

A page of another site can make a browser send requests here, under its own Origin, or under a name
that it lets point here (DNS rebinding). So Host and Origin have to be ours, and everything but the
page itself needs the token, in a header that no form of another site can send.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from stylize.directories import data_directory
from stylize.images.atomic import refusals_named

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'; "
    "media-src 'self' blob:"
)

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}

# What needs no token: the page, and what it says about itself.
_OPEN = ("/", "/favicon.ico", "/api/docs")
_OPEN_FOLDER = "/static/"

_ANYWHERE = ("0.0.0.0", "::")

_TOKEN_BYTES = 24


class Guard:
    """Refuses requests that are not from our own page or from a program with the token.

    Args:
        app: answers the others.
        token: that they carry.
        host: the address that the server listens on.
        port: its port.
    """

    def __init__(self, app: App, *, token: str, host: str, port: int) -> None:
        self._app, self._token = app, token
        self._host, self._port = host, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it without reading its body."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no other protocol is spoken here
        problem = self._problem(scope)
        if problem is not None:
            status, code, message = problem
            help = _HELP[code].format(port=self._port) if _is_browser(scope) else None
            await _refuse(send, status, code, message, help)
            return
        is_api = str(scope["path"]).startswith("/api/")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_headers(is_api)]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _problem(self, scope: Scope) -> tuple[int, str, str] | None:
        host, origin = _header(scope, b"host"), _header(scope, b"origin")
        if host is None or not self._is_ours(host):
            return 403, "forbidden_host", "the server does not answer under this name"
        if origin is not None and not (
            origin.startswith("http://") and self._is_ours(origin.removeprefix("http://"))
        ):
            return 403, "forbidden_origin", "the server does not answer to other pages"
        path = str(scope["path"])
        if path in _OPEN or path.startswith(_OPEN_FOLDER):
            return None
        given = (_header(scope, b"authorization") or "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return 401, "unauthorized", "this needs the token that 'stylize studio' printed"
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a name with a port is one that the server was started under."""
        name, port = _split(host.lower())
        if port != self._port:
            return False
        if name in ("127.0.0.1", "localhost", "::1", self._host.lower()):
            return True
        # Rebinding needs a name: an address that reaches us is one of ours.
        return self._host in _ANYWHERE and _is_address(name)


def _split(host: str) -> tuple[str, int | None]:
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":") if rest.startswith(":") else ""
    else:
        name, _, port = host.partition(":")
    if not port:
        return name, 80
    return name, int(port) if port.isdecimal() and len(port) < 6 else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _header(scope: Scope, name: bytes) -> str | None:
    """Read a header; one that is there twice counts as foreign."""
    values = [value for key, value in scope["headers"] if key == name]
    return None if not values else bytes(b"\0".join(values)).decode("latin-1")


def _is_browser(scope: Scope) -> bool:
    """Whether somebody opened an address that is none of the API's."""
    wants = _header(scope, b"accept") or ""
    return "text/html" in wants and not str(scope["path"]).startswith("/api/")


# For those who open a page that is refused.
_HELP = {
    "forbidden_host": (
        "The studio does not answer under this name. Open it by the address of its machine, "
        "such as http://192.168.1.7:{port}/."
    ),
    "forbidden_origin": "Open the address that 'stylize studio' printed in the terminal.",
    "unauthorized": (
        "There is no page here. Open the address that 'stylize studio' printed in the terminal."
    ),
}


def _headers(is_api: bool) -> list[tuple[bytes, bytes]]:
    # A page that was updated must not run with scripts of before.
    more = {"cache-control": "no-store" if is_api else "no-cache"}
    return [(name.encode(), value.encode()) for name, value in (HEADERS | more).items()]


async def _refuse(send: Send, status: int, code: str, message: str, help: str | None) -> None:
    if help is not None:
        kind, text = b"text/plain; charset=utf-8", help
    else:
        kind = b"application/json"
        text = json.dumps({"error": {"code": code, "message": message, "hint": None}})
    body = text.encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *_headers(is_api=True),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def token_for(folder: Path) -> str:
    """Return the token of a folder, the same for each start; only the user can read its file.

    Raises:
        OutputError: the user's data directory cannot be written.
    """
    name = sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
    file = data_directory() / "studio" / f"{name}.token"
    with refusals_named(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        flags = getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | flags, 0o600)
        with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as opened:
            if os.name == "posix":
                os.fchmod(descriptor, 0o600)
            token = opened.read(200).strip()
            if not is_token(token):
                token = secrets.token_urlsafe(_TOKEN_BYTES)
                opened.seek(0)
                opened.truncate()
                opened.write(token)
    return token


def is_token(text: str) -> bool:
    """Whether a text can be a token: 16 to 200 letters, digits, ``-`` and ``_``."""
    return (
        16 <= len(text) <= 200
        and text.isascii()
        and text.replace("-", "").replace("_", "").isalnum()
    )
