"""Clips in the studio: uploaded, previewed, painted, and gone on with after a kill."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.studio.conftest import FP32, QUICK, Idle, Server, png, shell

FRAMES = 5


def clip(frames: int = FRAMES, side: int = 64) -> bytes:
    """An mp4 of 10 frames per second in which a square moves."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(_picture(number, side), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def gif(frames: int = FRAMES, side: int = 64) -> bytes:
    """The same as a GIF."""
    images = [Image.fromarray(_picture(number, side)) for number in range(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=100)
    return buffer.getvalue()


def _picture(number: int, side: int) -> Any:
    down, across = np.mgrid[:side, :side]
    levels = np.stack([down * 3 % 256, across * 2 % 256, (down + across) % 256], -1)
    levels[10:30, 4 + 4 * number : 24 + 4 * number] = 230, 60, 20
    return levels.astype(np.uint8)


def frames_of(content: bytes) -> list[Any]:
    with av.open(io.BytesIO(content)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_clip_is_described(idle: Idle) -> None:
    known = idle.upload(clip(), "my%20clip.mp4").json()
    assert (known["name"], known["type"]) == ("my clip.mp4", "video/mp4")
    assert (known["width"], known["height"]) == (64, 64)
    assert known["clip"] == {"frames": FRAMES, "seconds": FRAMES / 10}
    path = f"/api/v1/images/{known['id']}"
    for where in (f"{path}/thumbnail", f"{path}/view?side=32&format=png"):
        assert Image.open(io.BytesIO(idle.client.get(where).content)).size[0] in (32, 64)
    moving = idle.upload(gif(), "moving.gif").json()
    assert (moving["type"], moving["clip"]["frames"]) == ("image/gif", FRAMES)
    still = idle.upload(png(), "still.png").json()
    assert still["clip"] is None
    broken = idle.upload(clip()[:700], "half.mp4")
    assert (broken.status_code, broken.json()["error"]["code"]) == (422, "picture")
    assert broken.json()["error"]["message"].startswith("half.mp4 is damaged")
    assert not list((idle.studio.folder / "inputs").glob("half*"))


def test_what_a_clip_cannot_be_is_refused(idle: Idle) -> None:
    video, style = idle.upload(clip(), "clip.mp4").json()["id"], idle.id(2)
    request: dict[str, Any] = {"kind": "video-transfer", "clip": video, "styles": [style]}
    for change, word in (
        ({"kind": "transfer", "clip": None, "photo": video}, "key"),
        ({"clip": style}, "not a clip"),
        ({"clip": None}, "clip"),
        ({"styles": [video]}, "video, not a picture"),
        ({"video": {"coherence": 2}}, "coherence"),
        ({"cut": {"start": 2, "end": 1}}, "end"),
        ({"cut": {"fps": "fast"}}, "fps"),
        ({"format": "exe"}, "format"),
        ({"live": True}, "preview"),
    ):
        answer = idle.client.post("/api/v1/jobs", json=request | change)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "invalid"), change
        assert word in f"{error['message']} {error['hint']}", change
        assert "--" not in f"{error['message']} {error['hint']}", change
    as_photo = {"kind": "transfer", "photo": video, "styles": [style]}
    error = idle.client.post("/api/v1/jobs", json=as_photo).json()["error"]
    assert error["message"] == "clip.mp4 is a video, not a picture"
    job = idle.client.post("/api/v1/jobs", json=request).json()
    assert idle.client.post(f"/api/v1/jobs/{job['id']}/stop").status_code == 409
    assert idle.client.post(f"/api/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"


def test_without_the_libraries_one_line_says_what_to_install(
    idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylize.studio.library.find_spec", lambda name: None)
    error = idle.upload(clip(), "clip.mp4").json()["error"]
    assert error["code"] == "missing_extra"
    assert error["hint"] == "pip install av opencv-python-headless"
    known = idle.upload(gif(), "moving.gif").json()
    assert known["clip"] is None
    assert "first frame" in known["notes"][0]
    assert idle.client.get("/api/v1/status").json()["video"] is False


def request_of(server: Server, content: bytes, name: str) -> dict[str, Any]:
    return {
        "kind": "video-transfer",
        "clip": server.upload(content, name),
        "styles": [server.upload(png(64, 2), "style.png")],
        "settings": QUICK,
        "execution": FP32,
    }


@pytest.mark.slow
def test_a_clip_from_upload_to_recall(server: Server, tmp_path: Path) -> None:
    request = request_of(server, clip(), "clip.mp4")
    preview = server.finish(server.submit(**request, preview=True, live=True, session="a"))
    assert (preview["state"], preview["result"]) == ("done", None)
    assert [cell["label"] for cell in preview["cells"]] == ["frame 1", "frame 3", "frame 5"]
    assert preview["plan"]["frames"] == FRAMES
    first = server.http.get(f"/api/v1/jobs/{preview['id']}/cells/0").content
    assert Image.open(io.BytesIO(first)).size == (64, 64)

    job = server.submit(**request)
    events = list(server.events(job))
    seen = {data.get("frame") for name, data in events if name == "preview"}
    assert seen == set(range(1, FRAMES + 1))
    done = events[-1][1]
    assert (done["state"], done["width"], done["height"]) == ("done", 64, 64)
    made = server.http.get(f"/api/v1/jobs/{job}/result")
    assert made.headers["content-type"] == "video/mp4"
    (item,) = server.http.get("/api/v1/history?kind=video-transfer").json()["items"]
    assert (item["id"], item["clip"]["frames"]) == (done["result"], FRAMES)

    recalled = server.http.get(f"/api/v1/images/{done['result']}/recall").json()
    again = recalled["request"]
    assert (again["kind"], again["clip"]) == ("video-transfer", request["clip"])
    assert shell(recalled["command"] + " --precision fp32 -o again.mp4", tmp_path).returncode == 0
    for ours, theirs in zip(
        frames_of(made.content), frames_of((tmp_path / "again.mp4").read_bytes()), strict=True
    ):
        # The frames are equal; the encoder does not promise so.
        assert np.abs(ours.astype(int) - theirs).mean() < 4

    assert server.http.delete(f"/api/v1/images/{done['result']}").status_code == 204
    assert server.http.get(f"/api/v1/images/{done['result']}").status_code == 404


@pytest.mark.slow
def test_a_clip_goes_on_at_the_next_frame(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    with Server(folder) as first:
        request = request_of(first, gif(), "moving.gif") | {"format": "gif"}
        whole = first.submit(**request)
        assert first.finish(whole)["state"] == "done"
        wanted = first.http.get(f"/api/v1/jobs/{whole}/result").content
        job = first.submit(**request)
        for name, data in first.events(job):
            if name == "preview" and data["frame"] == 3:
                break
        children = psutil.Process(first.process.pid).children(recursive=True)
        first.stop(signal.SIGKILL)
        assert psutil.wait_procs(children, 10)[1] == []
    with Server(folder) as second:
        frames = [data["frame"] for name, data in second.events(job) if name == "preview"]
        assert min(frames) >= 3
        assert second.http.get(f"/api/v1/jobs/{job}/result").content == wanted
        cancelled = second.submit(**request)
        assert any(name == "preview" for name, _ in second.events(cancelled))
        second.http.post(f"/api/v1/jobs/{cancelled}/cancel")
        assert second.finish(cancelled)["state"] == "cancelled"
        assert second.finish(second.submit(**request))["state"] == "done"
        assert list((folder / ".stylize" / "studio" / "clips").iterdir()) == []
