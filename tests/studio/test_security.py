"""Who is answered, and what never happens whatever is asked."""

from __future__ import annotations

import asyncio
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stylize.studio import app as app_module
from stylize.studio.security import Guard, token_for
from tests.studio.conftest import BEARER, PORT, TOKEN, Idle, png

UNKNOWN = "0" * 64

API = [
    ("GET", "/api/v1/status"),
    ("GET", "/api/v1/settings"),
    ("GET", "/api/v1/presets"),
    ("GET", "/api/v1/samples"),
    ("GET", "/api/v1/history"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/x/events"),
    ("GET", "/api/v1/jobs/x/result"),
    ("POST", "/api/v1/jobs/x/cancel"),
    ("POST", "/api/v1/jobs/x/retry"),
    ("DELETE", "/api/v1/jobs/x"),
    ("DELETE", f"/api/v1/images/{UNKNOWN}"),
    ("POST", "/api/v1/images"),
    ("GET", f"/api/v1/images/{UNKNOWN}/file"),
    ("POST", "/api/v1/subject"),
    ("POST", "/api/v1/command"),
    ("GET", "/api/v2/else"),
    ("GET", "/anything"),
]


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer "])
def test_everything_needs_the_token(idle: Idle, header: str | None) -> None:
    del idle.client.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header}
    for method, path in API:
        answer = idle.client.request(method, path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.json()["error"]["code"] == "unauthorized"
    assert idle.client.get(f"/api/v1/status?token={TOKEN}").status_code == 401


def test_the_page_needs_none(idle: Idle) -> None:
    del idle.client.headers["Authorization"]
    for path in ("/", "/api/docs"):
        for answer in (idle.client.get(path), idle.client.request("HEAD", path)):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/html")


def verdict(idle: Idle, **headers: str) -> tuple[int, str | None]:
    """Status and error of a request with these headers."""
    answer = idle.client.get("/api/v1/status", headers=headers)
    error = answer.json().get("error")
    return answer.status_code, error and error["code"]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:1",
        f"127.0.0.1.evil.example:{PORT}",
        f"192.168.1.7:{PORT}",
        "",
    ],
)
def test_other_names_are_refused(idle: Idle, host: str) -> None:
    assert verdict(idle, Host=host) == (403, "forbidden_host")
    assert idle.client.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}"])
def test_our_names_are_not(idle: Idle, host: str) -> None:
    assert verdict(idle, Host=host) == (200, None)
    assert verdict(idle, Host=host, Origin=f"http://{host}") == (200, None)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        f"https://127.0.0.1:{PORT}",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        f"http://evil@127.0.0.1:{PORT}",
        "",
    ],
)
def test_other_pages_are_refused(idle: Idle, origin: str) -> None:
    assert verdict(idle, Origin=origin) == (403, "forbidden_origin")


def test_addresses_reach_a_server_that_is_open_to_all(idle: Idle) -> None:
    inner = idle.client.app._app
    idle.client.app = Guard(inner, token=TOKEN, host="0.0.0.0", port=PORT)
    assert verdict(idle, Host=f"192.168.1.7:{PORT}") == (200, None)
    assert verdict(idle, Host=f"evil.example:{PORT}") == (403, "forbidden_host")


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({**BEARER, "Host": "evil.example"}, 403), ({**BEARER, "Origin": "null"}, 403)],
)
def test_no_body_is_read_before_the_checks(
    idle: Idle, headers: dict[str, str], status: int
) -> None:
    given = {"Host": f"127.0.0.1:{PORT}"} | headers
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/images",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
    }
    asyncio.run(idle.client.app(scope, receive, send))
    assert sent[0]["status"] == status


def test_a_form_of_another_site_does_nothing(idle: Idle) -> None:
    # What a page can send without asking first: forms and plain text.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        body = '{"kind": "dream", "settings": {"from_noise": "64x64"}}'
        answer = idle.client.post("/api/v1/jobs", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 415, kind
    assert idle.client.get("/api/v1/jobs").json() == {"jobs": []}
    assert (
        "access-control-allow-origin" not in idle.client.request("OPTIONS", "/api/v1/jobs").headers
    )


def test_every_answer_says_what_a_page_may_do(idle: Idle) -> None:
    id = idle.id(1)
    file = idle.client.get(f"/api/v1/images/{id}/file")
    answers = {
        200: [
            idle.client.get("/"),
            idle.client.get("/api/docs"),
            idle.client.get("/api/v1/status"),
            file,
        ],
        404: [idle.client.get("/static/no-such-file.js"), idle.client.get("/nowhere")],
        405: [idle.client.request("DELETE", "/api/v1/jobs")],
        422: [idle.client.post("/api/v1/jobs", json={"kind": "poem"})],
        403: [idle.client.get("/", headers={"Host": "evil.example"})],
        401: [idle.client.get("/api/v1/status", headers={"Authorization": ""})],
    }
    for status, some in answers.items():
        for answer in some:
            assert answer.status_code == status
            policy = answer.headers["content-security-policy"].split("; ")
            assert policy == [
                "default-src 'self'",
                "img-src 'self' blob: data:",
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "media-src 'self' blob:",  # a finished clip
            ]
            assert answer.headers["x-content-type-options"] == "nosniff"
            if status > 400:
                assert "message" in answer.json()["error"]
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.headers["content-type"] == "image/png"


def test_uploads_are_limited_while_they_arrive(idle: Idle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MAX_UPLOAD_BYTES", 2_000_000)
    answer = idle.client.post("/api/v1/images", content=b"\0" * 5_000_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert list(idle.studio.library.incoming.iterdir()) == []
    form = {"file": ("a.png", b"\0" * 5_000_000)}
    assert idle.client.post("/api/v1/images", files=form).status_code == 413
    assert list(idle.studio.library.incoming.iterdir()) == []
    answer = idle.client.post("/api/v1/jobs", json={"kind": "x" * 2_000_000})
    assert answer.status_code == 413


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + check


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture at all",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"<html><script>alert(1)</script></html>",
        b"GIF89a<script>alert(1)</script>",
        png()[:200],
        bomb(100_000, 100_000),
    ],
)
def test_what_is_no_picture_is_not_kept(idle: Idle, content: bytes) -> None:
    answer = idle.upload(content, "photo.png")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "picture")
    assert "photo.png" in answer.json()["error"]["message"]
    assert str(idle.studio.folder) not in answer.text
    assert list(idle.studio.folder.glob("inputs/*")) == []
    assert list(idle.studio.library.incoming.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../../evil.png",
        "/etc/passwd",
        "..\\..\\evil.png",
        "C:\\evil.png",
        "%2e%2e%2fevil.png",
        ".hidden",
        "a\0b.png",
        "x" * 500 + ".png",
        "CON.png",
        "<script>.png",
        "",
    ],
)
def test_names_are_labels_not_paths(idle: Idle, name: str) -> None:
    answer = idle.upload(png(), quote(name))
    assert answer.status_code == 201
    folder = idle.studio.folder
    (kept,) = (folder / "inputs").iterdir()
    assert kept.suffix == ".png"
    assert not kept.name.startswith(".")
    assert [each.name for each in folder.parent.iterdir()] == ["studio"]
    assert not {"/", "\\"} & set(answer.json()["name"])


@pytest.mark.parametrize(
    "id",
    [
        "..%2f..%2f..%2fetc%2fpasswd",
        "....//etc/passwd",
        "inputs%2fa.png",
        "%00",
        UNKNOWN,
        "A" * 64,
        "server.lock",
        "studio.sqlite",
    ],
)
def test_only_ids_are_served(idle: Idle, id: str) -> None:
    idle.upload(png(), "a.png")
    for tail in ("", "/file", "/thumbnail", "/view", "/recall"):
        assert idle.client.get(f"/api/v1/images/{id}{tail}").status_code == 404
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert idle.client.get(path).status_code == 404


def test_a_link_out_of_the_folder_is_not_followed(idle: Idle, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(seed=7))
    id = idle.id(8)
    (kept,) = (idle.studio.folder / "inputs").iterdir()
    kept.unlink()
    kept.symlink_to(secret)
    (idle.studio.folder / "link.png").symlink_to(secret)
    assert idle.client.get(f"/api/v1/images/{id}").status_code == 404
    assert idle.client.get("/api/v1/history").json()["total"] == 0


def test_no_request_names_a_file(idle: Idle, tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text("[settings]\nsteps = 1\n")
    photo = idle.id(1)
    base = {"kind": "transfer", "photo": photo, "styles": [photo]}
    for change in (
        {"preset": str(preset)},
        {"preset": "../dream/dogs"},
        {"photo": str(preset)},
        {"styles": ["/etc/passwd"]},
        {"mask": "../mask.png"},
        {"settings": {"init": str(preset)}},
        {"settings": {"network": "../../weights"}},
        {"target": str(tmp_path)},
    ):
        answer = idle.client.post("/api/v1/jobs", json=base | change)
        assert answer.status_code == 422, change
        assert answer.json()["error"]["code"] == "invalid"


def test_the_token_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLIZE_DATA_DIR", str(tmp_path / "data"))
    before = os.umask(0)
    try:
        token = token_for(tmp_path / "a")
    finally:
        os.umask(before)
    assert token_for(tmp_path / "a") == token
    assert token_for(tmp_path / "b") != token
    assert len(token) >= 32
    files = list((tmp_path / "data").rglob("*.token"))
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
