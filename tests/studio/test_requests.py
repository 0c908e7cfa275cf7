"""Pictures, settings and jobs, without painting."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from stylize.studio import library
from stylize.studio.app import build
from stylize.studio.jobs import KEPT_JOBS
from tests.studio.conftest import PORT, TOKEN, Client, Idle, png

UNKNOWN = "0" * 64


def decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_pictures_come_back(idle: Idle) -> None:
    content = png(400)
    known = idle.upload(content, "holiday%20photo.png").json()
    assert (known["name"], known["width"], known["height"]) == ("holiday photo.png", 400, 400)
    assert known["has_recipe"] is False
    path = f"/api/v1/images/{known['id']}"
    assert idle.client.get(path).json() == known
    assert idle.client.get(f"{path}/file").content == content
    small = decoded(idle.client.get(f"{path}/thumbnail").content)
    assert (small.format, small.size) == ("JPEG", (320, 320))
    exact = decoded(idle.client.get(f"{path}/view?format=png").content)
    assert np.array_equal(np.asarray(exact), np.asarray(decoded(content)))
    assert decoded(idle.client.get(f"{path}/view?side=100").content).size == (100, 100)
    assert idle.client.get(f"{path}/view?side=0").status_code == 422
    assert idle.client.get(f"{path}/view?format=svg").status_code == 422


def test_the_same_file_is_kept_once(idle: Idle) -> None:
    first, second = (idle.upload(png(), name).json() for name in ("a.png", "b.png"))
    assert first == second
    assert len(list((idle.studio.folder / "inputs").iterdir())) == 1


def test_uploads_outlive_a_look_at_the_folder(idle: Idle, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "TIFF")
    raw = idle.upload(buffer.getvalue(), "scan.dng").json()["id"]
    monkeypatch.setattr(library, "_MOST_FILES", 1)
    known = [raw, idle.id(1), idle.id(2)]
    assert idle.client.get("/api/v1/history").status_code == 200
    assert [idle.client.get(f"/api/v1/images/{each}").status_code for each in known] == [200] * 3
    (file,) = idle.studio.folder.glob("inputs/*.dng")
    file.unlink()
    idle.client.get("/api/v1/history")
    assert idle.client.get(f"/api/v1/images/{raw}").status_code == 404
    rows = idle.studio.database.read("SELECT id FROM pictures")
    assert (raw,) not in rows, "what is gone is forgotten"


def test_a_form_uploads_too(idle: Idle) -> None:
    direct = idle.upload(png(), "a.png").json()
    form = {"file": ("../b.png", png(seed=2), "image/png"), "note": (None, "mine")}
    found = idle.client.post("/api/v1/images", files=form)
    assert (found.status_code, found.json()["name"]) == (201, "b.png")
    same = idle.client.post("/api/v1/images", files={"anything": ("a.png", png())})
    assert same.json() == direct
    empty = idle.client.post("/api/v1/images", files={"note": (None, "mine")})
    assert (empty.status_code, empty.json()["error"]["code"]) == (422, "invalid")
    broken = {"Content-Type": "multipart/form-data"}
    assert idle.client.post("/api/v1/images", content=b"x", headers=broken).status_code == 422


def test_a_sideways_photo_is_upright(idle: Idle) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(buffer, "JPEG", exif=exif)
    known = idle.upload(buffer.getvalue(), "phone.jpg").json()
    assert (known["width"], known["height"]) == (40, 60)
    for format in ("png", "jpeg"):
        shown = idle.client.get(f"/api/v1/images/{known['id']}/view?format={format}").content
        assert decoded(shown).size == (40, 60)


def test_samples_are_pictures(idle: Idle) -> None:
    found = idle.client.get("/api/v1/samples").json()
    assert {each["name"] for each in found["photos"]} >= {"coffee.jpg", "chelsea.jpg"}
    assert len(found["styles"]) >= 8
    thumbnail = idle.client.get(f"/api/v1/images/{found['styles'][0]['id']}/thumbnail")
    assert decoded(thumbnail.content).size[0] <= 320


@pytest.mark.parametrize(
    ("name", "kind"),
    [("transfer", TransferSettings), ("dream", DreamSettings), ("execution", Execution)],
)
def test_the_form_has_all_settings(idle: Idle, name: str, kind: Any) -> None:
    groups = idle.client.get("/api/v1/settings").json()[name]["groups"]
    found = {each["name"]: each for group in groups for each in group["settings"]}
    assert set(found) == {each.name for each in dataclasses.fields(kind)}
    for each in dataclasses.fields(kind):
        shown = found[each.name]
        assert shown["help"]
        assert "--" not in shown["help"].replace("--help", "")
        assert shown["low"] == each.metadata["low"]
        assert (shown["choices"] or None) == (
            list(each.metadata["choices"]) if each.metadata["choices"] else None
        )
        assert shown["nullable"] == ("None" in str(each.type))


def test_presets_say_what_they_set(idle: Idle) -> None:
    presets = idle.client.get("/api/v1/presets").json()
    assert [each["name"] for each in presets["transfer"] if each["is_default"]] == ["balanced"]
    for preset in (*presets["transfer"], *presets["dream"]):
        assert idle.client.get(preset["thumbnail"]).status_code == 200, preset["name"]
        assert preset["description"]
        for name, value in preset["settings"].items():
            assert preset["values"][name] == value


def test_the_document_describes_requests(idle: Idle) -> None:
    document = idle.client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    schema = {
        **document["components"]["schemas"]["Job request"],
        "components": document["components"],
    }
    photo = "a" * 64
    good = {"kind": "transfer", "photo": photo, "styles": [photo], "settings": {"strength": 70}}
    jsonschema.validate(good, schema)
    for wrong in ({"strength": "much"}, {"strength": 101}, {"color": "pink"}, {"paint": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**good, "settings": wrong}, schema)
    routes = {
        (method.lower(), route.path)
        for route in idle.client.app._app.routes
        if route.path.startswith("/api/v1")
        for method in route.methods - {"HEAD"}
    }
    described = {
        (method, path.replace("{index}", "{index:int}"))
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert described == {(m, p.replace("{index}", "{index:int}")) for m, p in routes}


def test_a_wrong_request_is_refused_with_the_remedy(idle: Idle) -> None:
    photo, style = idle.id(1), idle.id(2)
    base: dict[str, Any] = {"kind": "transfer", "photo": photo, "styles": [style]}
    for change, word in {
        '{"styles": []}': "style",
        '{"photo": null}': "photo",
        '{"settings": {"strength": 101}}': "strength",
        '{"settings": {"strenght": 10}}': "strength",
        '{"settings": {"style_layers": {"relu9_9": 1}}}': "relu9_9",
        '{"settings": {"style_weights": [1, 2]}}': "style_weights",
        '{"settings": {"subject": "keep"}, "mask": STYLE}': "mask",
        '{"preset": "blod"}': "bold",
        '{"guide": STYLE}': "guide",
        '{"execution": {"device": "toaster"}}': "toaster",
        f'{{"photo": "{UNKNOWN}"}}': "picture",
        '{"kind": "poem"}': "poem",
        '{"live": "yes"}': "live",
        '{"regions": [{"mask": STYLE}]}': "style",
    }.items():
        answer = idle.client.post(
            "/api/v1/jobs", json=base | json.loads(change.replace("STYLE", f'"{style}"'))
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "invalid"), change
        assert word in f"{error['message']} {error['hint']}", change
        assert "--" not in f"{error['message']} {error['hint']}", change
    assert idle.client.get("/api/v1/jobs").json() == {"jobs": []}


def test_rapid_changes_leave_no_stale_work(idle: Idle) -> None:
    photo, style = idle.id(1), idle.id(2)
    request = {"kind": "transfer", "photo": photo, "styles": [style], "live": True}
    other = idle.client.post("/api/v1/jobs", json=request | {"session": "other"}).json()["id"]
    for strength in range(30):
        answer = idle.client.post(
            "/api/v1/jobs",
            json=request | {"session": "one", "settings": {"strength": strength}},
        )
        assert answer.status_code == 201
    jobs = idle.client.get("/api/v1/jobs").json()["jobs"]
    waiting = [each for each in jobs if each["state"] == "queued"]
    assert [each["id"] for each in waiting] == [other, answer.json()["id"]]
    for _ in range(KEPT_JOBS + 10):
        idle.client.post("/api/v1/jobs", json=request | {"session": "one"})
    assert len(idle.client.get("/api/v1/jobs").json()["jobs"]) <= KEPT_JOBS + 2
    assert len(idle.studio.database.read("SELECT * FROM jobs")) <= KEPT_JOBS + 2


def test_the_queue_has_an_order_and_survives(idle: Idle) -> None:
    photo = idle.id(1)
    request = {"kind": "dream", "photo": photo, "settings": {"size": 64}}
    ids = [idle.client.post("/api/v1/jobs", json=request).json()["id"] for _ in range(4)]
    moved = idle.client.post(f"/api/v1/jobs/{ids[3]}/move", json={"position": 0}).json()
    assert moved["position"] == 0
    assert idle.client.post(f"/api/v1/jobs/{ids[1]}/cancel").json()["state"] == "cancelled"
    assert idle.client.post(f"/api/v1/jobs/{ids[1]}/cancel").status_code == 409
    assert idle.client.get(f"/api/v1/jobs/{ids[0]}/result").status_code == 409
    assert idle.client.get(f"/api/v1/jobs/{ids[0]}/preview").status_code == 404

    app, studio = build(idle.studio.folder, token=TOKEN, host="127.0.0.1", port=PORT)
    jobs = Client(app).get("/api/v1/jobs").json()["jobs"]
    studio.database.close()
    assert [each["id"] for each in jobs if each["state"] == "queued"] == [ids[3], ids[0], ids[2]]
    assert [each["position"] for each in jobs] == [0, 1, 2, None]


def test_sheets_have_a_cell_for_each_choice(idle: Idle) -> None:
    photo, *styles = idle.id(1), idle.id(2), idle.id(3)
    base = {"kind": "sheet", "photo": photo}

    def labels(**request: Any) -> list[str]:
        answer = idle.client.post("/api/v1/jobs", json=base | request)
        assert answer.status_code == 201, answer.text
        return [cell["label"] for cell in answer.json()["cells"]]

    transfer = {"of": "transfer", "styles": styles}
    presets = [each["name"] for each in idle.client.get("/api/v1/presets").json()["transfer"]]
    assert labels(**transfer, **{"try": "presets"}) == presets
    assert labels(**transfer, **{"try": "strengths", "values": [10, 90]}) == [
        "strength 10",
        "strength 90",
    ]
    assert labels(**transfer, **{"try": "styles"}) == ["2", "3"]
    assert "dogs" in labels(of="dream", **{"try": "presets"})
    for wrong in (
        {"try": "styles", "of": "dream"},
        {"try": "channels", "of": "dream", "layer": "x"},
    ):
        assert idle.client.post("/api/v1/jobs", json=base | wrong).status_code == 422
    answer = idle.client.post(
        "/api/v1/jobs", json=base | transfer | {"try": "strengths", "values": [10, 900]}
    )
    assert "strength" in answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x"])
def test_a_page_may_close_in_the_middle_of_an_upload(idle: Idle, kind: str) -> None:
    named = {"host": f"127.0.0.1:{PORT}", "authorization": f"Bearer {TOKEN}", "content-type": kind}
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/images", "query_string": b""}
    begun = {"type": "http.request", "body": b"--x", "more_body": True}
    messages = iter([begun, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    # Whatever it raises ends up as a traceback in the terminal.
    asyncio.run(idle.client.app(scope | {"headers": headers}, receive, send))
    assert sent[0]["status"] == 400
    assert list(idle.studio.library.incoming.iterdir()) == []


def test_a_preset_waits_for_its_network(
    idle: Idle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLIZE_DATA_DIR", str(tmp_path / "data"))
    name = "classic-inception"

    def offered() -> list[str]:
        dreams = idle.client.get("/api/v1/presets").json()["dream"]
        return [each["name"] for each in dreams]

    def answer(path: str, **more: Any) -> Any:
        request = {"kind": "dream", "photo": idle.id(1)} | more
        return idle.client.post(f"/api/v1/{path}", json=request).json()

    assert name not in offered()
    error = answer("jobs", preset=name)["error"]
    assert "googlenet" in error["message"]
    assert error["hint"].startswith("stylize models add googlenet")
    assert "models add FILE --name googlenet" in error["hint"]

    record = tmp_path / "data" / "models" / "googlenet.json"
    record.parent.mkdir(parents=True)
    # What 'stylize models add' records; only the engine reads the weights.
    described = {"architecture": "googlenet", "sha256": "0" * 64, "source": "a file"}
    record.write_text(json.dumps(described))
    assert name in offered()
    assert f"--preset {name}" in answer("command", preset=name)["command"]
    sheet = {"kind": "sheet", "of": "dream", "preset": name, "try": "channels"}
    assert [cell["label"] for cell in answer("jobs", **sheet)["cells"]] == ["inception_4c"]
    sheet = {"kind": "sheet", "of": "dream", "settings": {"layers": "conv3_1"}, "try": "presets"}
    cells = {cell["label"]: cell["request"] for cell in answer("jobs", **sheet)["cells"]}
    assert list(cells) == offered()
    assert "layers" not in cells[name]["settings"]


def test_a_recipe_finds_the_samples(idle: Idle) -> None:
    docs = Path(__file__).parents[2] / "docs"

    def recalled(file: Path, query: str = "") -> Any:
        id = idle.upload(file.read_bytes(), "mine.webp").json()["id"]
        return idle.client.get(f"/api/v1/images/{id}/recall{query}")

    found = recalled(docs / "cookbook" / "patchwork.webp").json()
    assert found["missing"] == []
    assert len(found["request"]["regions"]) == 4
    for style in ("keep", None):
        assert (style in [each["style"] for each in found["request"]["regions"]]) <= bool(style)
    command = found["command"].split()
    assert command.count("--mask") + command.count("--region") == 4
    answer = idle.client.post("/api/v1/command", json=found["request"])
    assert answer.json()["command"] == found["command"]
    sheet = docs / "cookbook" / "from-wood.webp"
    assert recalled(sheet).status_code == 422
    assert recalled(sheet, "?cell=B1").json()["request"]["kind"] == "transfer"
    assert recalled(sheet, "?cell=Z9").status_code == 422


def test_only_results_are_deleted(idle: Idle) -> None:
    client, docs = idle.client, Path(__file__).parents[2] / "docs"
    result = idle.studio.folder / "patchwork.webp"
    result.write_bytes((docs / "cookbook" / "patchwork.webp").read_bytes())
    (item,) = client.get("/api/v1/history").json()["items"]
    photo, sample = idle.id(1), client.get("/api/v1/samples").json()["photos"][0]["id"]
    for kept in (photo, sample):
        assert client.request("DELETE", f"/api/v1/images/{kept}").status_code == 409
        assert client.get(f"/api/v1/images/{kept}").status_code == 200
    job = client.post("/api/v1/jobs", json={"kind": "dream", "photo": item["id"]}).json()["id"]
    where = f"/api/v1/images/{item['id']}"
    assert client.request("DELETE", where).json()["error"]["hint"] == "cancel the job first"
    assert client.request("DELETE", f"/api/v1/jobs/{job}").status_code == 409
    client.post(f"/api/v1/jobs/{job}/cancel")
    assert client.request("DELETE", where).status_code == 204
    assert not result.exists()
    assert client.get("/api/v1/history").json()["total"] == 0
    assert client.post(f"/api/v1/jobs/{job}/retry").status_code == 409
    assert client.request("DELETE", f"/api/v1/jobs/{job}").status_code == 204
    assert client.get(f"/api/v1/jobs/{job}").status_code == 404


def test_foreign_files_do_no_harm(idle: Idle, tmp_path: Path) -> None:
    folder = idle.studio.folder
    (folder / "notes.txt").write_text("mine")
    (folder / "broken.png").write_bytes(png()[:100])
    (folder / "plain.png").write_bytes(png())
    assert idle.client.get("/api/v1/history").json()["total"] == 0
    assert idle.client.get("/api/v1/history?since=soon").status_code == 422
    (folder / ".stylize" / "studio" / "studio.sqlite").read_bytes()
    assert sorted(each.name for each in folder.iterdir()) == [
        ".stylize",
        "broken.png",
        "notes.txt",
        "plain.png",
    ]
