"""A server in this process without an engine, and one as users start it."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest
from PIL import Image

from stylize.studio.app import Studio, build
from tests.cli.conftest import program

TOKEN = "a-token-for-the-tests"
PORT = 8765
ADDRESS = f"http://127.0.0.1:{PORT}"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def png(side: int = 48, seed: int = 1, **more: Any) -> bytes:
    """A colourful picture, not the same for another seed."""
    levels = np.random.default_rng(seed).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    image = Image.fromarray(levels).resize((side, side), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **more)
    return buffer.getvalue()


class Client:
    """Asks an application in this process.

    Attributes:
        headers: of every request.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.headers = dict(BEARER)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, **more))

    async def _request(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
            return await client.request(
                method, path, headers=self.headers | (headers or {}), **more
            )

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


@dataclass
class Idle:
    """A server whose engine is not started: what is submitted waits."""

    client: Client
    studio: Studio

    def upload(self, content: bytes, name: str = "photo.png") -> httpx.Response:
        return self.client.post("/api/v1/images", content=content, headers={"X-File-Name": name})

    def id(self, seed: int) -> str:
        return str(self.upload(png(seed=seed), f"{seed}.png").json()["id"])


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Idle]:
    folder = tmp_path / "studio"
    folder.mkdir()
    app, studio = build(folder, token=TOKEN, host="127.0.0.1", port=PORT)
    # The engine belongs to the lifespan, which is not started.
    yield Idle(Client(app), studio)
    studio.database.close()


# Kills a process when the pipe to it closes, which the system does for whoever was killed.
_GUARD = 'read -r line; kill -KILL "$1"'


class Running:
    """``stylize studio`` in a process, which ends when the tests end, even if they are killed.

    Attributes:
        line: what it printed, the address of its page.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        call = program("studio", "--no-browser", *words, folder)
        self.process = subprocess.Popen(
            **call,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        guard = ["sh", "-c", _GUARD, "sh", str(self.process.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().strip()
        if "#token=" not in self.line:
            self.process.kill()
            said = self.process.communicate()[1]
            self.stop()
            raise AssertionError(f"{self.line} {said}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal; the exit code. A server that does not end is killed."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(number)
            return self.process.wait(30)
        finally:
            for each in (self._guard, self.process):
                each.kill()
                each.wait()
                for stream in (each.stdin, each.stdout, each.stderr):
                    if stream is not None:
                        stream.close()


class Server(Running):
    """A server, and a client of its API."""

    def __init__(self, folder: Path, *words: str) -> None:
        super().__init__(folder, "--port", "0", *words)
        address, _, self.token = self.line.partition("/#token=")
        self.http = httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {self.token}"}, timeout=60
        )

    def upload(self, content: bytes, name: str = "photo.png") -> str:
        headers = {"X-File-Name": name}
        answer = self.http.post("/api/v1/images", content=content, headers=headers)
        return str(answer.raise_for_status().json()["id"])

    def submit(self, **request: Any) -> str:
        answer = self.http.post("/api/v1/jobs", json=request)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def events(self, job: str) -> Iterator[tuple[str, Any]]:
        """Name and data of each event of a job, until the last one."""
        with self.http.stream("GET", f"/api/v1/jobs/{job}/events") as stream:
            name = ""
            for line in stream.iter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    yield name, json.loads(value)

    def finish(self, job: str) -> dict[str, Any]:
        """Wait for the end of a job."""
        found: dict[str, Any] = {}
        for name, data in self.events(job):
            if name == "job":
                found = data
        return found

    def stop(self, number: int = signal.SIGINT) -> int:
        """Do the same; the client is closed."""
        self.http.close()
        return super().stop(number)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("served") / "studio") as found:
        yield found


QUICK = {"size": 64, "min_size": 32, "steps": 3, "final_steps": 2}
FP32 = {"precision": "fp32"}


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a copied command as a shell would; ``stylize`` is this program."""
    call = program()
    words = " ".join([sys.executable, "-m", "stylize"])
    text = command.replace("stylize ", f"{words} ", 1)
    return subprocess.run(
        text,
        shell=True,
        check=False,
        cwd=folder,
        env=call["env"],
        capture_output=True,
        text=True,
    )
