"""``stylize batch video`` through the command, on small clips."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

from stylize.runs.recipe import load_recipe
from tests.cli.conftest import complaint, done
from tests.conftest import save, strokes
from tests.video.clips import read_frames, read_times, scene, write_clip

EXACT = ("--size", 48, "--precision", "fp32", "--threads", 1)
QUICK = ("--min-size", 48, "--steps", 1, *EXACT)
BRIEF = ("--octaves", 1, "--steps", 1, "--layer", "conv2_1", *EXACT)


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return save(strokes(), tmp_path / "strokes.png")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips of 2 frames and 1, one of them in a subfolder, and what is no clip."""
    folder = tmp_path / "clips"
    (folder / "day").mkdir(parents=True)
    write_clip(folder / "one.mp4", 2, sound="aac")
    write_clip(folder / "day" / "two.mov", 1)
    Image.fromarray(scene(0)).save(folder / "still.webp")
    Image.fromarray(scene(0)).save(folder / "photo.jpg")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(
        each.relative_to(folder).as_posix()
        for each in folder.rglob("*")
        if each.is_file() and ".stylize" not in each.parts
    )


def test_a_folder_of_clips_becomes_a_folder_of_clips(run, network, tmp_path, clips, style):
    out = tmp_path / "out"
    words = ("batch", "video", "transfer", clips, "-r", "--style", style, "-o", out, *QUICK)
    planned = done(run(*words, "--dry-run")).stdout
    assert "2 clips" in planned
    assert "3 frames" in planned
    assert "left out 2 (not a clip)" in planned
    assert not out.exists()
    result = done(run(*words, "--gallery"))
    assert "2 finished, 0 failed" in result.stderr
    assert names(out) == ["day/two.mp4", "index.html", "one.mp4"]
    assert read_times(out / "one.mp4") == read_times(clips / "one.mp4")
    assert len(read_times(out / "one.mp4", "audio")) > 0
    assert [each.shape for each in read_frames(out / "day" / "two.mp4")] == [(32, 48, 3)]
    recipe = load_recipe(out / "one.mp4")
    assert [each["name"] for each in recipe["inputs"]] == ["one.mp4", "strokes.png"]
    assert recipe["clip"]["frames"] == 2
    page = (out / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,/") == 4
    again = done(run(*words))
    assert "2 finished before" in again.stderr
    assert "2 finished, 0 failed" in run("batch", "status", out).stdout
    other = run(*words, "--coherence", 0.5)
    assert other.exit_code == 1
    assert other.stderr.count("another picture is at") == 2


def test_a_stopped_clip_goes_on_at_the_next_frame(run, network, tmp_path, monkeypatch):
    from stylize.video.run import ClipRun

    clip, out = write_clip(tmp_path / "clip.mp4", 3), tmp_path / "out"
    words = ("batch", "video", "dream", clip, "-o", out, "--suffix", "gif", *BRIEF)
    results = ClipRun.results
    begun = []

    def painted(self, on_step=None, stop=None):
        begun.append(self.done)
        yield from results(self, on_step, lambda: len(begun) == 1 and self.painted == 1)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)  # while the clip is encoded

    monkeypatch.setattr(ClipRun, "results", painted)
    assert "1 not finished" in run(*words).stderr
    status = run("batch", "status", out)
    assert "clip.gif: 1 of 3 frames\n0 finished, 0 failed, 1 begun" in status.stdout
    frames = out / "clip.gif.frames" / "pass-1"
    assert names(frames) == ["000001.png"]
    assert "1 not finished" in done(run(*words), 130).stderr
    assert names(frames) == ["000001.png", "000002.png", "000003.png"]
    assert not (out / "clip.gif").exists()
    done(run(*words))
    assert begun == [0, 1, 3]
    assert names(out) == ["clip.gif"]
    done(run("video", "dream", clip, "-o", tmp_path / "whole.gif", *BRIEF))
    assert (out / "clip.gif").read_bytes() == (tmp_path / "whole.gif").read_bytes()


def test_a_damaged_clip_fails_alone_and_shards_share_the_rest(run, network, tmp_path):
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for name in ("a", "b"):
        frames = [Image.fromarray(scene(index)) for index in range(3)]
        frames[0].save(folder / f"{name}.gif", save_all=True, append_images=frames[1:])
    whole = write_clip(tmp_path / "whole.mp4", 3).read_bytes()
    (folder / "c.mp4").write_bytes(whole[: len(whole) // 2])
    brief = (*BRIEF, "--end", 0.15)
    words = ("batch", "video", "dream", folder / "*", "-o", out, "--suffix", "webp", *brief)
    first = run(*words, "--shard", "1/2", "--json")
    events = [json.loads(line) for line in first.stdout.splitlines()]
    assert first.exit_code == 1
    ends = {Path(each["source"]).name: each["status"] for each in events if "source" in each}
    assert ends == {"a.gif": "finished", "c.mp4": "failed"}
    assert "1 finished, 1 failed, 1 not begun" in run("batch", "status", out).stdout
    done(run(*words, "--shard", "2/2"))
    assert names(out) == ["a.webp", "b.webp"]
    with Image.open(out / "b.webp") as image:
        assert image.n_frames == 2  # the frames at 0 and 0.1 s
    assert "as before" in run(*words).stderr
    shutil.copy(folder / "a.gif", folder / "c.mp4")
    assert run(*words, "--retry-failed").exit_code == 0


def test_wrong_requests_are_refused(run, network, tmp_path, clips, style):
    words = ("batch", "video", "transfer", "--style", style, "-o", tmp_path / "out")
    (clips / "one.mp4").rename(tmp_path / "one.mp4")
    refused = run(*words, clips, "-q")
    assert "no clips among the inputs" in complaint(refused, 2)
    assert "-r also searches the subfolders" in refused.stderr
    assert "vp9" in complaint(run(*words, clips, "--suffix", "webm", "--codec", "h264"), 1)
    assert "--end" in complaint(run(*words, clips, "--start", 2, "--end", 1), 2)
    assert not (tmp_path / "out").exists()
