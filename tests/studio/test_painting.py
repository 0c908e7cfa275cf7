"""A server as users start it, with its engine."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.cli.conftest import program
from tests.studio.conftest import FP32, QUICK, Server, png, shell


def levels(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)))


def mask(left: int, right: int) -> bytes:
    """A mask of 64 px that is white between two columns."""
    image = Image.new("L", (64, 64), 0)
    image.paste(255, (left, 0, right, 64))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def transfer(server: Server) -> dict[str, Any]:
    """A request for a short transfer of uploaded pictures."""
    photo, style = server.upload(png(64, 1), "photo.png"), server.upload(png(64, 2), "style.png")
    return {
        "kind": "transfer",
        "photo": photo,
        "styles": [style],
        "settings": QUICK,
        "execution": FP32,
    }


@pytest.mark.slow
def test_a_transfer_from_upload_to_recall(server: Server) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#token=[\w-]{32,}", server.line)
    request = transfer(server)
    job = server.submit(**request)
    events = list(server.events(job))
    names = [name for name, _ in events]
    assert {"job", "step", "preview"} <= set(names)
    previews = [data for name, data in events if name == "preview"]
    assert levels(base64.b64decode(previews[0]["data"])).shape == (40, 40, 3)
    done = events[-1][1]
    assert (done["state"], done["width"], done["height"]) == ("done", 64, 64)

    made = server.http.get(f"/api/v1/jobs/{job}/result").content
    assert levels(made).shape == (64, 64, 3)
    (item,) = server.http.get("/api/v1/history?search=photo%20style").json()["items"]
    assert item["id"] == done["result"]
    assert (item["photo"], item["styles"]) == ("photo.png", ["style.png"])
    assert server.http.get("/api/v1/history?search=other").json()["items"] == []
    # Dropped on the page, a result is recognised, and so are its inputs.
    dropped = server.upload(made, "found somewhere.png")
    recalled = server.http.get(f"/api/v1/images/{dropped}/recall").json()
    assert recalled["missing"] == []
    for key in ("photo", "styles"):
        assert recalled["request"][key] == request[key]
    assert recalled["request"]["settings"] == QUICK | {"size": "64"}


@pytest.mark.slow
def test_what_is_copied_makes_the_same_pixels(server: Server, tmp_path: Path) -> None:
    request = transfer(server)
    left, middle = (
        server.upload(mask(0, 20), "left=mask's.png"),
        server.upload(mask(20, 42), "b.png"),
    )
    region = {"mask": middle, "style": request["photo"]}
    request |= {"preset": "bold", "keep": left, "regions": [region]}
    request["settings"] = QUICK | {
        "color": "match",
        "style_layers": {"relu2_1": 1, "relu3_1": 0.25},
    }
    job = server.submit(**request)
    assert server.finish(job)["state"] == "done"
    made = levels(server.http.get(f"/api/v1/jobs/{job}/result").content)
    copied = server.http.post("/api/v1/command", json=request).json()

    ran = shell(copied["command"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    (again,) = tmp_path.glob("*.png")
    assert np.array_equal(levels(again.read_bytes()), made)
    again.unlink()
    call = program()
    words = [sys.executable, "-c", copied["python"]]
    subprocess.run(words, cwd=tmp_path, env=call["env"], check=True)
    (again,) = tmp_path.glob("*.png")
    assert np.array_equal(levels(again.read_bytes()), made)


def test_stop_and_keep(server: Server) -> None:
    photo = server.upload(png(64, 3), "third.png")
    settings = QUICK | {"steps": 100_000, "tolerance": 0}
    job = server.submit(
        kind="transfer", photo=photo, styles=[photo], settings=settings, execution=FP32, live=True
    )
    for name, _ in server.events(job):
        if name == "preview":
            answer = server.http.post(f"/api/v1/jobs/{job}/stop")
            assert answer.json()["state"] in ("stopping", "done")
            break
    done = server.finish(job)
    assert (done["state"], done["interrupted"]) == ("done", True)
    recalled = server.http.get(f"/api/v1/images/{done['result']}/recall").json()
    assert "replay" in recalled["command"]


def test_a_live_job_goes_first_and_replaces_its_forerunner(server: Server) -> None:
    photo = server.upload(png(64, 4), "fourth.png")
    long = {"size": 64, "octaves": 1, "steps": 100_000, "layers": "conv2_2"}
    slow = server.submit(kind="dream", photo=photo, settings=long, execution=FP32)
    assert any(name == "step" for name, _ in server.events(slow))
    first = server.submit(kind="dream", photo=photo, settings=long, live=True, session="a")
    brief = long | {"steps": 2}
    second = server.submit(kind="dream", photo=photo, settings=brief, live=True, session="a")
    assert server.finish(second)["state"] == "done"
    states = {each["id"]: each["state"] for each in server.http.get("/api/v1/jobs").json()["jobs"]}
    assert (states[slow], states[first]) == ("running", "cancelled")
    assert server.http.post(f"/api/v1/jobs/{slow}/cancel").json()["state"] == "cancelled"


def test_stop_and_keep_does_not_wait_for_the_run_of_another_page(server: Server) -> None:
    photo = server.upload(png(64, 4), "fourth.png")
    endless = {"size": 64, "octaves": 1, "steps": 100_000, "layers": "conv2_2"}
    request = {"kind": "dream", "photo": photo, "settings": endless, "execution": FP32}
    outer = server.submit(**request, live=True, session="a")
    assert any(name == "step" for name, _ in server.events(outer))
    inner = server.submit(**request, live=True, session="b")
    assert any(name == "step" for name, _ in server.events(inner))
    server.http.post(f"/api/v1/jobs/{outer}/stop")
    assert server.finish(outer)["interrupted"] is True
    running = server.http.get(f"/api/v1/jobs/{inner}").json()
    assert running["state"] == "running"
    steps = [data["step"] for _, data in zip(range(4), _steps(server, inner), strict=False)]
    assert min(steps) < max(steps), "the other run goes on"
    server.http.post(f"/api/v1/jobs/{inner}/stop")
    assert server.finish(inner)["interrupted"] is True


def _steps(server: Server, job: str) -> Iterator[dict[str, Any]]:
    return (data for name, data in server.events(job) if name == "step")


@pytest.mark.slow
def test_masks_and_regions_keep_the_photo(server: Server) -> None:
    photo = server.upload(png(64, 5), "fifth.png")
    half = server.upload(mask(0, 32), "left.png")
    request: dict[str, Any] = {
        "kind": "transfer",
        "photo": photo,
        "styles": [server.upload(png(64, 2), "style.png")],
        "settings": QUICK | {"feather": 0},
        "execution": FP32,
    }
    kept = server.finish(server.submit(**request, keep=half))
    painted = server.finish(server.submit(**request, mask=half))
    source = levels(png(64, 5)).astype(int)
    for job, left_changes in ((kept, False), (painted, True)):
        result = levels(server.http.get(f"/api/v1/jobs/{job['id']}/result").content)
        change = np.abs(result.astype(int) - source).max(2)
        assert (change[:, :30].max() > 8) is np.bool_(left_changes)
        assert (change[:, 34:].max() > 8) is np.bool_(not left_changes)
    recalled = server.http.get(f"/api/v1/images/{kept['result']}/recall").json()["request"]
    assert recalled["regions"] == [{"mask": half, "style": "keep"}]


@pytest.mark.slow
def test_a_sheet_fills_its_cells(server: Server) -> None:
    photo = server.upload(png(64, 6), "sixth.png")
    brief = {"size": 48, "octaves": 1, "steps": 1}
    job = server.submit(
        kind="sheet",
        of="dream",
        photo=photo,
        settings=brief,
        execution=FP32,
        layer="conv2_2",
        count=3,
        **{"try": "channels"},
    )
    done = server.finish(job)
    assert done["state"] == "done"
    assert [cell["state"] for cell in done["cells"]] == ["done"] * 3
    labels = [cell["label"] for cell in done["cells"]]
    assert all(re.fullmatch(r"conv2_2:\d+", label) for label in labels)
    for index in range(3):
        content = server.http.get(f"/api/v1/jobs/{job}/cells/{index}").content
        assert levels(content).shape == (48, 48, 3)
    large = done["cells"][1]["request"]
    assert large["settings"]["layers"] == labels[1]


@pytest.mark.slow
def test_a_death_of_the_engine_is_survived(server: Server) -> None:
    photo = server.upload(png(64, 7), "seventh.png")
    long = {"size": 64, "octaves": 1, "steps": 100_000, "layers": "conv2_2"}
    lost = server.submit(kind="dream", photo=photo, settings=long, execution=FP32)
    assert any(name == "step" for name, _ in server.events(lost))
    after = server.submit(kind="dream", photo=photo, settings=long | {"steps": 1}, execution=FP32)
    kill_engine(server)
    failed = server.finish(lost)
    assert (failed["state"], failed["error"]["code"]) == ("failed", "engine")
    assert server.finish(after)["state"] == "done"


@pytest.mark.slow
def test_a_live_job_that_kills_the_engine_does_no_harm_to_the_queue(server: Server) -> None:
    photo = server.upload(png(64, 7), "seventh.png")
    long = {"size": 64, "octaves": 1, "steps": 100_000, "layers": "conv2_2"}
    request = {"kind": "dream", "photo": photo, "settings": long, "execution": FP32}
    outer = server.submit(**request)
    assert any(name == "step" for name, _ in server.events(outer))
    live = server.submit(**request, live=True, session="a")
    assert any(name == "step" for name, _ in server.events(live))
    kill_engine(server)
    assert server.finish(live)["state"] == "failed"
    assert any(name == "step" for name, _ in server.events(outer)), "it begins again"
    kill_engine(server)
    assert server.finish(outer)["state"] == "failed"


def kill_engine(server: Server) -> None:
    (engine,) = (
        each
        for each in psutil.Process(server.process.pid).children()
        if "spawn_main" in " ".join(each.cmdline())
    )
    engine.kill()


def test_what_does_not_fit_is_said_in_words(server: Server) -> None:
    photo = server.upload(png(64, 1), "photo.png")
    large = {"size": 4096, "enlarge": True}
    job = server.submit(
        kind="transfer",
        photo=photo,
        styles=[photo],
        settings=large,
        execution=FP32 | {"max_memory": "1500MB"},
    )
    error = server.finish(job)["error"]
    assert re.fullmatch(r"Memory is too small for 4096 px; \d+ px fits", error["message"])


@pytest.mark.slow
def test_the_client_of_the_documentation(server: Server, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "studio.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    for name in ("photo.png", "style.png"):
        (tmp_path / name).write_bytes(png(48, len(name)))
    words = [sys.executable, "-c", code, server.line, "photo.png", "style.png"]
    done = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert {"running", "a preview"} <= set(done.stdout.splitlines())
    assert done.stdout.splitlines()[-1] == "done"
    assert levels((tmp_path / "result.png").read_bytes()).shape == (48, 48, 3)
    assert sum(map(bool, code.splitlines())) <= 20


@pytest.mark.slow
def test_thirty_changes_end_with_the_last(server: Server) -> None:
    request = transfer(server) | {"live": True, "session": "rapid"}
    jobs = [
        server.submit(**request | {"settings": QUICK | {"strength": 40 + each}})
        for each in range(30)
    ]
    assert server.finish(jobs[-1])["state"] == "done"
    listed = {each["id"]: each for each in server.http.get("/api/v1/jobs").json()["jobs"]}
    states = {listed[job]["state"] for job in jobs if job in listed}
    assert states == {"cancelled", "done"}
    assert [listed[job]["state"] for job in jobs[-6:-1]] == ["cancelled"] * 5


@pytest.mark.slow
def test_jobs_leave_no_memory_behind(server: Server) -> None:
    photo = server.upload(png(64, 1), "photo.png")
    brief = {"size": 64, "octaves": 1, "steps": 1, "layers": "conv2_2"}
    sizes = []
    for _ in range(3):
        jobs = [
            server.submit(kind="dream", photo=photo, settings=brief, execution=FP32)
            for _ in range(10)
        ]
        assert server.finish(jobs[-1])["state"] == "done"
        family = psutil.Process(server.process.pid)
        members = [family, *family.children(recursive=True)]
        sizes.append(sum(each.memory_info().rss for each in members) / 1e6)
    assert sizes[2] < sizes[1] + 30


@pytest.mark.slow
def test_a_killed_server_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    with Server(folder) as first:
        job, waiting, token = _killed_in_the_middle(first)
    with Server(folder) as second:
        assert second.token == token
        assert second.finish(job)["state"] == "done"
        assert second.finish(waiting)["state"] == "done"
        _refuse_a_third(second, tmp_path)
        assert second.stop(signal.SIGINT) == 130


def _killed_in_the_middle(server: Server) -> tuple[str, str, str]:
    """Kill a server while it paints; the job, the next one in the queue, and the token."""
    photo = server.upload(png(64, 1), "photo.png")
    long = {"size": 64, "octaves": 1, "steps": 400, "layers": "conv2_2"}
    job = server.submit(kind="dream", photo=photo, settings=long, execution=FP32)
    waiting = server.submit(kind="dream", photo=photo, settings=long | {"steps": 1}, execution=FP32)
    assert any(name == "step" for name, _ in server.events(job))
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    assert psutil.wait_procs(children, 10)[1] == []
    return job, waiting, server.token


def _refuse_a_third(server: Server, place: Path) -> None:
    refused = shell("stylize studio --no-browser --port 0 mine", place)
    assert refused.returncode == 2
    assert "another 'stylize studio' uses" in refused.stderr
    assert refused.stderr.count("\n") == 1
    port = server.http.base_url.port
    refused = shell(f"stylize studio --no-browser --port {port} other", place)
    assert refused.returncode == 1
    assert "--port N" in refused.stderr


@pytest.mark.slow
def test_a_large_upload_is_refused_in_the_middle(server: Server) -> None:
    answer = server.http.post("/api/v1/images", content=(b"\0" * 2**20 for _ in range(200)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_other_machines_need_a_token(tmp_path: Path) -> None:
    refused = shell("stylize studio --no-browser --host 0.0.0.0", tmp_path)
    assert refused.returncode == 2
    assert "--token" in refused.stderr
    assert os.listdir(tmp_path) == []


def test_it_listens_here_alone(server: Server) -> None:
    # Nor does it load what only the engine needs.
    mapped = psutil.Process(server.process.pid).memory_maps()
    assert not any("torch" in each.path for each in mapped)
    (listening,) = (
        each
        for each in psutil.Process(server.process.pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    )
    assert listening.laddr.ip == "127.0.0.1"
    assert isinstance(httpx.get(str(server.http.base_url)), httpx.Response)
