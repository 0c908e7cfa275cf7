"""What the server looks after by itself: pages that go, order, damage, and what is left behind."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from threading import Semaphore
from typing import Any

import pytest
from PIL import Image

from stylize.products.dream.dream import Dream
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.studio.app import Studio, build
from stylize.studio.engine import Engine
from stylize.studio.hub import Listener
from stylize.studio.jobs import ALONE_S, KEPT_JOBS
from stylize.studio.security import Guard
from stylize.studio.work import End, Event, Order, Paint, Work
from tests.studio.conftest import BEARER, PORT, TOKEN, Client, Idle, png


def heard(idle: Idle, act: Callable[[], object]) -> list[tuple[str, Any]]:
    """Name and data of the events while something is done."""

    async def drained(listener: Listener) -> list[tuple[str, Any]]:
        return [(each["event"], json.loads(each["data"])) async for each in listener.events()]

    with idle.studio.hub.listening() as listener:
        act()
        listener.close()
        return asyncio.run(drained(listener))


def submit(idle: Idle, **more: Any) -> str:
    request = {"kind": "dream", "photo": idle.id(1), "settings": {"size": 64}} | more
    answer = idle.client.post("/api/v1/jobs", json=request)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def state(idle: Idle, job: str) -> str:
    return str(idle.client.get(f"/api/v1/jobs/{job}").json()["state"])


def again(idle: Idle) -> tuple[Client, Studio]:
    """The next server of the folder, after this one was killed."""
    app, studio = build(idle.studio.folder, token=TOKEN, host="127.0.0.1", port=PORT)
    return Client(app), studio


def test_a_live_job_ends_a_minute_after_its_page(idle: Idle) -> None:
    live, other = (submit(idle, live=True, session=each) for each in ("a", "b"))
    queued = submit(idle)
    jobs = idle.studio.jobs
    with idle.studio.hub.listening(sessions=["a"]):
        jobs.cancel_deserted(0)
        jobs.cancel_deserted(ALONE_S - 1)
        assert state(idle, other) == "queued"
        jobs.cancel_deserted(ALONE_S)
        assert [state(idle, each) for each in (live, other)] == ["queued", "cancelled"]
    jobs.cancel_deserted(2 * ALONE_S - 1)
    assert state(idle, live) == "queued", "a reload takes a moment"
    with idle.studio.hub.listening(live):
        jobs.cancel_deserted(3 * ALONE_S)
    assert state(idle, live) == "queued", "a program follows the job itself"
    jobs.cancel_deserted(4 * ALONE_S)
    assert [state(idle, each) for each in (live, queued)] == ["cancelled", "queued"]


def test_the_next_server_drops_live_jobs_and_what_was_being_stopped(idle: Idle) -> None:
    live, queued, stopping = submit(idle, live=True, session="a"), submit(idle), submit(idle)
    # What is written there while the engine is at its last step.
    database = idle.studio.database
    ((text,),) = database.read("SELECT document FROM jobs WHERE id = ?", [stopping])
    text = json.dumps(json.loads(text) | {"state": "stopping"})
    database.write("UPDATE jobs SET document = ? WHERE id = ?", [text, stopping])
    client, studio = again(idle)
    found = {each["id"]: each for each in client.get("/api/v1/jobs").json()["jobs"]}
    studio.database.close()
    assert live not in found
    assert (found[queued]["state"], found[stopping]["state"]) == ("queued", "failed")
    assert found[stopping]["error"]["hint"] == "try again"


def test_every_job_that_moves_up_says_so(idle: Idle) -> None:
    first, second, third = (submit(idle) for _ in range(3))

    def positions(path: str, **more: Any) -> dict[str, int | None]:
        events = heard(idle, lambda: idle.client.post(f"/api/v1/jobs{path}", **more))
        return {data["id"]: data["position"] for name, data in events}

    assert positions(f"/{first}/cancel") == {first: None, second: 0, third: 1}
    live = {"kind": "dream", "photo": idle.id(1), "live": True, "session": "a"}
    moved = positions("", json=live)
    assert (moved.pop(second), moved.pop(third), list(moved.values())) == (1, 2, [0])
    assert positions(f"/{third}/move", json={"position": 1}) == {third: 1, second: 2}


def test_a_job_that_cannot_begin_does_not_hold_up_the_queue(
    idle: Idle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLIZE_DATA_DIR", str(tmp_path / "data"))
    record = tmp_path / "data" / "models" / "googlenet.json"
    record.parent.mkdir(parents=True)
    described = {"architecture": "googlenet", "sha256": "0" * 64, "source": "a file"}
    record.write_text(json.dumps(described))
    removed = submit(idle, preset="classic-inception")
    sheet = submit(idle, kind="sheet", of="dream", **{"try": "presets"})
    record.unlink()
    (idle.studio.folder / ".stylize" / "studio" / "sheets").write_bytes(b"no folder")
    idle.studio.jobs.engine_state = {"state": "ready"}
    assert state(idle, submit(idle)) == "queued", "there is no engine to take it"
    errors = [idle.client.get(f"/api/v1/jobs/{job}").json()["error"] for job in (removed, sheet)]
    assert [each["code"] for each in errors] == ["failed", "internal"]
    assert "googlenet" in errors[0]["message"]


class Wire:
    """The engine's end of a pipe, which breaks when a job is over.

    Attributes:
        last: name of the last event.
    """

    def __init__(self, order: Order) -> None:
        self._orders: Queue[Order] = Queue()
        self._orders.put(order)
        self._asked = Semaphore(0)

    def recv(self) -> Order:
        self._asked.release()
        return self._orders.get()

    def send(self, event: Event) -> None:
        self.last = event.name
        if event.name in ("done", "failed", "cancelled"):
            raise KeyboardInterrupt

    def end(self, job: str) -> None:
        """Cancel a job, and wait until the engine has heard of it."""
        while self._asked.acquire(blocking=False):
            pass
        self._orders.put(End(job, keep=False))
        assert self._asked.acquire(timeout=30)


@pytest.mark.parametrize("moment", [(Dream, "run"), (Result, "save")])
def test_a_cancelled_job_keeps_nothing_however_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: tuple[type, str]
) -> None:
    settings = DreamSettings(from_noise="32x32", octaves=1, steps=1, layers="conv1_1")
    work = Work(settings, Execution(), None, (), tmp_path / "dream.png", tmp_path)
    wire = Wire(Paint("late", work))
    real = getattr(*moment)

    def then_cancelled(*words: Any, **more: Any) -> Any:
        made = real(*words, **more)
        wire.end("late")
        return made

    monkeypatch.setattr(*moment, then_cancelled)
    with pytest.raises(KeyboardInterrupt):
        Engine(wire).run()  # type: ignore[arg-type]
    assert wire.last == "cancelled"
    assert list(tmp_path.iterdir()) == [], "neither a picture nor a manifest"


def test_a_job_that_is_cancelled_when_it_is_done_keeps_nothing(idle: Idle) -> None:
    job, made = submit(idle), idle.studio.folder / "dream.png"
    idle.client.post(f"/api/v1/jobs/{job}/cancel")
    made.write_bytes(png())
    values = {"path": str(made), "sha256": "0" * 64, "interrupted": False, "notes": []}
    idle.studio.jobs.engine._on_event(Event("done", job, values))
    assert (state(idle, job), made.exists()) == ("cancelled", False)


def test_a_job_that_is_forgotten_is_gone_for_all(idle: Idle) -> None:
    jobs = [submit(idle) for _ in range(KEPT_JOBS + 2)]
    cancel = [f"/api/v1/jobs/{job}/cancel" for job in jobs]
    events = heard(idle, lambda: [idle.client.post(each) for each in cancel])
    assert [data["id"] for name, data in events if name == "gone"] == jobs[:2]


@pytest.mark.parametrize("damage", ["middle", "head", "short"])
def test_a_damaged_database_does_not_stop_the_server(idle: Idle, damage: str) -> None:
    for _ in range(60):
        submit(idle)
    idle.studio.database.close()
    path = idle.studio.folder / ".stylize" / "studio" / "studio.sqlite"
    content = bytearray(path.read_bytes())
    if damage == "short":
        del content[len(content) // 2 :]
    else:
        start = 0 if damage == "head" else 4096
        content[start : start + 12_000] = b"\xff" * 12_000
    path.write_bytes(content)
    path.with_name("studio.sqlite-wal").write_bytes(b"\0" * 100)
    client, studio = again(idle)
    assert client.get("/api/v1/jobs").json() == {"jobs": []}
    studio.database.close()
    assert path.with_name("studio.sqlite.damaged").read_bytes() == content
    with sqlite3.connect(path) as whole:
        assert whole.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_upload_of_a_killed_server_is_removed(idle: Idle) -> None:
    rest = idle.studio.library.incoming / "0123456789abcdef"
    rest.write_bytes(b"half a photo")
    idle.studio.library.empty_incoming()
    assert not rest.exists()


def test_a_file_that_cannot_be_read_is_read_once(
    idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = idle.studio.folder / "broken.png"
    broken.write_bytes(png()[:100])
    opened: list[str] = []
    real = Path.open

    def counted(self: Path, *words: Any, **more: Any) -> Any:
        opened.append(self.name)
        return real(self, *words, **more)

    monkeypatch.setattr(Path, "open", counted)
    counts = []
    for _ in range(3):
        assert idle.client.get("/api/v1/history").json()["total"] == 0
        counts.append(opened.count("broken.png"))
    assert counts == [counts[0]] * 3
    assert counts[0] > 0
    monkeypatch.undo()
    docs = Path(__file__).parents[2] / "docs" / "cookbook" / "patchwork.webp"
    broken.write_bytes(docs.read_bytes())
    assert idle.client.get("/api/v1/history").json()["total"] == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"kind": "sheet", "of": "dream", "try": "presets", "photo": "ID", "session": "\\ud800"}',
        '{"kind": "sheet", "of": "dream", "try": "presets", "photo": "ID", "layer": "\\ud800"}',
        '{"kind": "sheet", "of": "dream", "try": "presets", "photo": "ID", "values": [NaN]}',
        '{"kind": "sheet", "of": "dream", "try": "presets", "photo": "ID", "values": [1e999]}',
        '{"kind": "sheet", "of": "dream", "try": "presets", "photo": "ID", "session": "two words"}',
        '{"kind": "dream", "photo": "ID", "preset": "\\ud800"}',
    ],
)
def test_no_request_breaks_the_list_of_jobs(idle: Idle, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    text = body.replace("ID", idle.id(1))
    assert idle.client.post("/api/v1/jobs", content=text, headers=headers).status_code == 422
    assert idle.client.get("/api/v1/jobs").json() == {"jobs": []}


def test_channels_need_a_photo_and_strengths_replace_a_content_weight(idle: Idle) -> None:
    sheet: dict[str, Any] = {"kind": "sheet", "of": "dream", "settings": {"from_noise": "64x64"}}
    answer = idle.client.post("/api/v1/jobs", json=sheet | {"try": "channels"})
    assert (answer.status_code, answer.json()["error"]["hint"]) == (422, "choose a photo")
    sheet |= {"of": "transfer", "photo": idle.id(1), "styles": [idle.id(2)]}
    sheet |= {"settings": {"content_weight": 5}, "try": "strengths", "values": [20, 80]}
    cells = idle.client.post("/api/v1/jobs", json=sheet).json()["cells"]
    assert [cell["request"]["settings"] for cell in cells] == [{"strength": 20}, {"strength": 80}]


def test_an_error_names_the_setting(idle: Idle) -> None:
    base: dict[str, Any] = {"kind": "transfer", "photo": idle.id(1), "styles": [idle.id(2)]}
    for change, field in (
        ({"settings": {"strength": 101}}, "strength"),
        ({"settings": {"size": "x"}}, "size"),
        ({"settings": {"color": "pink"}}, "color"),
        ({"execution": {"device": "toaster"}}, "device"),
        ({"preset": "blod"}, None),
        ({"settings": {"paint": 1}}, None),
    ):
        answer = idle.client.post("/api/v1/jobs", json=base | change)
        assert answer.json()["error"].get("field") == field, change


def test_a_contact_sheet_names_its_cells(idle: Idle) -> None:
    sheet = Path(__file__).parents[2] / "docs" / "cookbook" / "from-wood.webp"
    known = idle.upload(sheet.read_bytes(), "sheet.webp").json()
    assert [each["name"] for each in known["cells"]] == ["A1", "B1", "C1", "D1"]
    assert known["cells"][0]["label"] == "woodcut"
    (idle.studio.folder / "sheet.webp").write_bytes(sheet.read_bytes())
    (item,) = idle.client.get("/api/v1/history").json()["items"]
    assert item["cells"] == known["cells"]
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    assert idle.upload(buffer.getvalue()).json()["cells"] is None


def test_a_browser_at_a_wrong_address_gets_words(idle: Idle) -> None:
    page = {"Accept": "text/html,*/*"}
    idle.client.headers = {}
    answer = idle.client.get("/anything", headers=page)
    assert (answer.status_code, answer.headers["content-type"][:10]) == (401, "text/plain")
    assert "stylize studio" in answer.text
    idle.client.app = Guard(idle.client.app._app, token=TOKEN, host="0.0.0.0", port=PORT)
    answer = idle.client.get("/", headers=page | {"Host": f"mybox:{PORT}"})
    assert (answer.status_code, "address of its machine" in answer.text) == (403, True)
    api = idle.client.get("/api/v1/jobs", headers=page | BEARER | {"Host": f"mybox:{PORT}"})
    assert api.json()["error"]["code"] == "forbidden_host"
