"""``stylize video`` through the command, on small clips."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from stylize.images.atomic import reserved
from stylize.runs.recipe import load_recipe
from tests.cli.conftest import complaint, done, listing, program
from tests.conftest import save, strokes
from tests.video.clips import length_of, read_frames, read_times, scene, write_clip

QUICK = ("--size", 48, "--min-size", 48, "--steps", 2, "--precision", "fp32", "--threads", 1)


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return save(strokes(), tmp_path / "strokes.png")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", 4, sound="aac")


def everything(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_a_clip_becomes_a_clip_with_its_sound(run, network, tmp_path, clip, style):
    target = tmp_path / "out.mp4"
    result = done(run("video", "transfer", clip, style, "-o", target, *QUICK))
    assert "4 frames of 48×32" in result.stderr
    assert everything(tmp_path) == {"clip.mp4", "strokes.png", "out.mp4"}
    frames = read_frames(target)
    assert [frame.shape for frame in frames] == [(32, 48, 3)] * 4
    assert read_times(target) == read_times(clip)
    for kind in ("video", "audio"):
        assert length_of(target, kind) == pytest.approx(length_of(clip, kind), abs=0.025)
    recipe = load_recipe(target)
    assert recipe["technique"] == "transfer"
    assert recipe["clip"] == {"frames": 4, "coherence": 0.8, "every": 1, "passes": 1}
    assert [each["name"] for each in recipe["inputs"]] == ["clip.mp4", "strokes.png"]
    shown = done(run("info", target)).stdout
    assert "4 frames" in shown


def test_a_single_picture_is_noted(run, network, tmp_path, style):
    photo = save(strokes(), tmp_path / "photo.png")
    result = done(run("video", "transfer", photo, style, "--dry-run", *QUICK))
    assert (
        "photo.png is a single picture; 'stylize transfer' makes a picture of it" in result.stderr
    )


def test_a_stopped_clip_continues_only_as_it_began(run, network, tmp_path, style, monkeypatch):
    clip = write_clip(tmp_path / "clip.mp4", 3)
    target = tmp_path / "out.gif"
    words = ("video", "transfer", clip, style, "-o", target, *QUICK)
    stop_at_first_frame(monkeypatch)
    stopped = run(*words)
    assert stopped.exit_code == 130
    monkeypatch.undo()
    refused = complaint(run(*words, "--strength", 70), 1)
    assert "strength" in refused
    assert "--overwrite" in refused
    other = write_clip(tmp_path / "other.mp4", 2)
    assert "clip" in complaint(run("video", "transfer", other, style, "-o", target, *QUICK), 1)
    frames = target.with_name("out.gif.frames")
    record = (frames / "record.json").read_text()
    (frames / "record.json").write_text('{"new": 1,' + record.removeprefix("{"))
    assert "another version" in complaint(run(*words), 1)
    (frames / "record.json").write_text(record)
    shown = done(run("info", frames)).stdout
    assert "1 of 3 frames are painted" in shown
    assert f"stylize resume {frames}" in shown
    state = json.loads(done(run("info", frames, "--json")).stdout)["unfinished"]
    assert (state["frames_done"], state["frames"]) == (1, 3)
    renamed = frames.rename(tmp_path / "old")
    assert f"mv {renamed} {frames}" in complaint(run("resume", renamed), 1)
    photos = renamed.rename(frames) / "photos"
    (photos / "000001.png").write_bytes(b"")  # as after a power cut
    (photos / "000003.png").unlink()
    for words_without_use in (("--device", "cpu"), ("--checkpoint-every", 5), ("--input", style)):
        refused = complaint(run("resume", frames, *words_without_use), 2)
        assert f"{words_without_use[0]} cannot change a clip" in refused
    save(strokes(), target)
    assert "--overwrite" in complaint(run("resume", frames, "-q"), 1)
    continued = done(run("resume", frames, "--overwrite", "-v")).stderr
    assert "continuing after 1 of 3" in continued
    assert "device cpu" in continued
    whole = tmp_path / "whole.gif"
    done(run("video", "transfer", clip, style, "-o", whole, *QUICK))
    assert target.read_bytes() == whole.read_bytes()


def test_the_parts_that_pictures_play_belong_to_an_unfinished_clip(
    run, network, tmp_path, style, monkeypatch
):
    clip = write_clip(tmp_path / "clip.mp4", 2)
    pale = save(strokes(period=5), tmp_path / "pale.png")
    half = np.zeros((64, 96, 3), np.uint8)
    half[:, :48] = 255
    moving = write_clip(tmp_path / "mask.mp4", 2, frames=[half, half])
    colours = tmp_path / "colours.png"
    Image.fromarray(np.where(half, half, [0, 0, 255]).astype(np.uint8)).save(colours)

    def words(*styles, mask=f"{moving}=keep", region=f"#0000ff={pale}"):
        masks = ("--mask", mask, "--regions", colours, "--region", region)
        return ("video", "transfer", clip, *styles, "-o", tmp_path / "out.gif", *masks, *QUICK)

    stop_at_first_frame(monkeypatch)
    assert run(*words(style, style, pale)).exit_code == 130
    for other in [
        words(style, pale, pale),
        words(style, pale, style),
        words(style, style, pale, mask=moving),
        words(style, style, pale, mask=f"{moving}={pale}"),
        words(style, style, pale, region=f"#ffffff={pale}"),
        words(style, style, pale, region="#0000ff=keep"),
    ]:
        assert "its inputs differ" in complaint(run(*other, "-q"), 1)
    monkeypatch.undo()
    assert "after 1 of 2 frames" in done(run(*words(style, style, pale))).stderr


def test_a_clip_is_made_again_with_a_change(run, network, tmp_path, style):
    clip = write_clip(tmp_path / "clip.mp4", 4)
    target = tmp_path / "out.apng"
    done(run("video", "transfer", clip, style, "-o", target, *QUICK))
    again = done(run("replay", target, "--set", "coherence=0.5", "--set", "end=0.1"))
    made = tmp_path / "out-coherence-0.5-end-0.1.apng"
    assert f"saved {made}" in again.stderr
    assert load_recipe(made)["clip"] == {
        "frames": 3, "end": "1/10", "coherence": 0.5, "every": 1, "passes": 1
    }  # fmt: skip
    whole = tmp_path / "whole.apng"
    more = ("--coherence", 0.5, "--end", 0.1)
    done(run("video", "transfer", clip, style, "-o", whole, *QUICK, *more))
    assert made.read_bytes() == whole.read_bytes()
    for wrong, code, text in [
        ("coherence=2", 2, "--coherence: 2 is too large"),
        ("every=0", 2, "--every: 0 is too small"),
        ("end=soon", 2, "no time"),
        ("fps=0", 2, "no frame rate"),
        ("start=3", 1, "no frames in this interval"),
        ("coherense=1", 2, "did you mean coherence"),
    ]:
        assert text in complaint(run("replay", target, "--set", wrong), code)


def stop_at_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    from stylize.video.run import ClipRun

    paint = ClipRun.paint

    def painted(self, on_turn=None, on_step=None, stop=None):
        return paint(self, on_turn, on_step, lambda: self.painted == 1)

    monkeypatch.setattr(ClipRun, "paint", painted)


def test_a_folder_of_frames_becomes_a_folder(run, network, tmp_path, style, monkeypatch):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in (9, 10, 11):
        Image.fromarray(scene(index)).save(folder / f"s{index}.jpg", quality=95)
    done(run("video", "transfer", folder, style, *QUICK))
    [made] = [each for each in tmp_path.iterdir() if each.is_dir() and each != folder]
    assert sorted(os.listdir(made)) == ["s10.png", "s11.png", "s9.png"]
    assert load_recipe(made / "s10.png")["clip"]["frame"] == 2
    assert "frame 1 of 3 frames" in done(run("info", made)).stdout
    assert "no painted frames" in complaint(run("info", folder), 1)
    again = complaint(run("video", "transfer", folder, style, *QUICK, "-o", made), 1)
    assert "already exists" in again
    link, target = tmp_path / "link", tmp_path / "new"
    target.mkdir()
    link.symlink_to(target)
    words = ("video", "transfer", folder / "s?.jpg", style, *QUICK, "-o")
    done(run(*words, f"{link}/"))
    assert os.listdir(target) == ["s9.png"]
    monkeypatch.chdir(target)
    assert "current folder" in complaint(run(*words, ".", "--overwrite"), 1)
    assert os.listdir(link) == ["s9.png"]


def delays(path: Path) -> list[int]:
    """How long each frame of an animation is shown, in ms."""
    with Image.open(path) as film:
        return [each.info["duration"] for each in ImageSequence.Iterator(film)]


def test_the_frame_rate_of_a_folder_is_kept(run, network, tmp_path, style, monkeypatch):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in (1, 2):
        Image.fromarray(scene(index)).save(folder / f"{index}.png")
    target = tmp_path / "out.gif"
    words = ("video", "transfer", folder, style, "-o", target, *QUICK)
    stop_at_first_frame(monkeypatch)
    assert run(*words, "--fps", 10).exit_code == 130
    monkeypatch.undo()
    refused = complaint(run(*words, "--fps", 5), 1)
    assert "its fps is 10, not 5" in refused
    done(run(*words, "--fps", 10))
    assert load_recipe(target)["clip"]["fps"] == "10"
    assert delays(target) == [100, 100]
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "frames")
    again = ("replay", target, "-o", tmp_path / "again.gif", "-q")
    assert "or the folder of frames" in complaint(run(*again), 1)
    done(run(*again, "--input", moved))
    assert (tmp_path / "again.gif").read_bytes() == target.read_bytes()
    done(run(*again, "--overwrite", "--content", moved / "[12].png", "--set", "fps=5"))
    assert delays(tmp_path / "again.gif") == [200, 200]


def test_a_folder_that_could_not_be_published_is_published_later(
    run, network, tmp_path, style, monkeypatch
):
    from stylize.video.run import ClipRun

    clip, target = write_clip(tmp_path / "clip.mp4", 2), tmp_path / "out"
    words = ("video", "transfer", clip, style, "-o", target, *QUICK)
    paint = ClipRun.paint

    def painted(self, *listeners, **more):
        (target / ".DS_Store").write_text("by the desktop")
        return paint(self, *listeners, **more)

    target.mkdir()
    monkeypatch.setattr(ClipRun, "paint", painted)
    assert f"kept in {target}.frames" in complaint(run(*words, "-q"), 1)
    monkeypatch.undo()
    (target / ".DS_Store").unlink()
    assert "continuing after 2 of 2 frames" in done(run(*words)).stderr
    assert sorted(os.listdir(target)) == ["000001.png", "000002.png"]
    monkeypatch.setattr(ClipRun, "paint", painted)
    assert "holds other files" in complaint(run(*words, "-q", "--overwrite"), 1)
    assert sorted(os.listdir(target)) == [".DS_Store", "000001.png", "000002.png"]
    monkeypatch.undo()
    (target / ".DS_Store").unlink()
    assert "continuing after 2 of 2 frames" in done(run(*words, "--overwrite")).stderr
    assert everything(tmp_path) == {"clip.mp4", "strokes.png", "out"}


def test_dreams_masks_and_events(run, network, tmp_path, clip):
    black = np.zeros((64, 96, 3), np.uint8)
    white = np.full((64, 96, 3), 255, np.uint8)
    mask = tmp_path / "mask"
    mask.mkdir()
    for index, values in enumerate((black, white, black, white)):
        Image.fromarray(values).save(mask / f"{index}.png")
    target = tmp_path / "out" / "dream"
    brief = ("--octaves", 1, "--steps", 2, "--layer", "conv2_2", "--precision", "fp32")
    words = ("video", "dream", clip, "-o", target, "--size", 96, "--mask", mask, *brief)
    result = done(run(*words, "--json", "--feather", 0))
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["event"] for each in events] == ["start", *["frame"] * 4, "done"]
    assert events[0]["plan"]["frames"] == 4
    assert [each["frame"] for each in events[1:-1]] == [1, 2, 3, 4]
    assert events[-1]["file"] == str(target)
    photos = read_frames(clip)
    moved = []
    for index in range(4):
        painted = np.asarray(Image.open(target / f"{index + 1:06d}.png").convert("RGB"))
        difference = np.abs(painted[8:].astype(float) - photos[index][8:])
        moved.append(difference.mean())
    assert max(moved[0], moved[2]) < 1.5 < min(moved[1], moved[3])


def test_transparency_is_kept_or_becomes_white(run, network, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:, 48:] = 0
    for index in range(2):
        Image.fromarray(np.dstack([scene(index), alpha])).save(frames / f"{index}.png")
    brief = ("--size", 96, "--octaves", 1, "--steps", 1, "--layer", "conv2_1", "--compare", "side")
    words = ("video", "dream", frames, *brief, "-o")
    assert "holds no" not in done(run(*words, tmp_path / "out.webp")).stderr
    with Image.open(tmp_path / "out.webp") as kept:
        assert kept.n_frames == 2
        assert np.array_equal(np.asarray(kept.convert("RGBA"))[..., 3], alpha)
    assert "white shows instead" in done(run(*words, tmp_path / "out.mp4")).stderr
    for name in ("out.mp4", "out-compare.mp4"):
        image = read_frames(tmp_path / name)[1]
        assert image[:, 52:92].min() > 240
        assert image[:, 4:44].mean() < 200


def test_preview_and_dry_run(run, network, tmp_path, clip, style):
    target = tmp_path / "out.mp4"
    words = ("video", "transfer", clip, style, "-o", target, *QUICK)
    target.write_text("an earlier clip")
    planned = done(run(*words, "--dry-run"))
    assert planned.stdout.startswith("4 frames of 48×32")
    done(run("video", "transfer", clip, style, "-o", tmp_path / "new" / "a.mp4", *QUICK, "-n"))
    assert everything(tmp_path) == {"clip.mp4", "strokes.png", "out.mp4"}
    done(run(*words, "--preview"))
    numbers = [f"out-preview-{number:06d}.png" for number in (1, 3, 4)]
    made = {"out-preview.png", *numbers}
    assert everything(tmp_path) == {"clip.mp4", "strokes.png", "out.mp4"} | made
    assert target.read_text() == "an earlier clip"
    again = ("video", "transfer", clip, tmp_path / numbers[1], "-o", target, *QUICK)
    refused = complaint(run(*again, "--preview", "--overwrite", "-q"), 1)
    assert f"{numbers[1]} is an input of this run" in refused


def test_grain_would_flicker(run, network, tmp_path, clip, style):
    words = ("video", "transfer", clip, style, "-o", tmp_path / "out.mp4", "--dry-run", *QUICK)
    assert "--grain" not in run(*words).stderr
    assert "--grain has no effect on clips" in done(run(*words, "--grain", 1)).stderr


def test_two_runs_never_mix(run, tmp_path, clip, style):
    target = tmp_path / "out.mp4"
    with reserved(Path(os.path.realpath(f"{target}.frames"))):
        words = ("video", "transfer", clip, style, "-o", target, "-q", *QUICK)
        assert "another run is making" in complaint(run(*words), 1)
    assert not target.exists()


def test_a_folder_with_other_files_stays(run, tmp_path, clip, style):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    words = ("video", "transfer", clip, style, *QUICK, "--overwrite")
    assert "other files" in complaint(run(*words, "-o", folder), 1)
    folder = folder.rename(tmp_path / "out.v2")
    assert "other files" in complaint(run(*words, "-o", folder), 1)
    folder.rename(tmp_path / "out.mp4.frames")
    assert "other files" in complaint(run(*words, "-q", "-o", tmp_path / "out.mp4"), 1)
    assert (tmp_path / "out.mp4.frames" / "letter.txt").exists()
    Image.fromarray(scene(0)).save(tmp_path / "out.mp4.frames" / "record.png")
    (tmp_path / "out.mp4.frames" / "letter.txt").unlink()
    assert "other files" in complaint(run(*words, "-q", "-o", tmp_path / "out.mp4"), 1)


def test_compare_shows_original_and_result(run, network, tmp_path, clip, style):
    stem = 240 * "o"  # names next to it must not become too long
    target = tmp_path / f"{stem}.webp"
    compared = tmp_path / f"{stem}-compare.webp"
    more = (*QUICK, "--compare", "side", "--keep-frames")
    words = ("video", "transfer", clip, style, "-o", target, *more)
    assert f"saved {compared}" in done(run(*words)).stderr
    with Image.open(compared) as both:
        assert (both.size, both.n_frames) == ((96, 32), 4)
    target.unlink()
    assert f"{compared} already exists" in complaint(run(*words), 1)
    wide = ("--size", "9000x6000", "--enlarge", "--overwrite")
    assert "use --compare split" in complaint(run(*words, *wide), 1)
    compared.unlink()
    refused = complaint(run(*words, "-q"), 1)
    assert "the frames of an earlier clip" in refused
    assert "--overwrite" in refused
    film = clip.rename(tmp_path / "b-compare.mp4")
    words = ("video", "transfer", film, style, "-o", tmp_path / "b.mp4", "--compare", "split")
    assert f"{film} is an input" in complaint(run(*words, "--overwrite"), 1)


FAULTS = {
    "sound.mp4": "only sound",
    "text.mp4": "not a clip this program reads",
    "cut.mp4": "damaged or incomplete",
    "cut.avi": "is incomplete",
    "empty.mp4": "empty",
    "gone.mp4": "no such file",
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_clips(run, tmp_path, style, name):
    import av

    whole = write_clip(tmp_path / "whole.mp4", 4).read_bytes()
    with av.open(str(tmp_path / "sound.mp4"), "w") as film:
        from tests.video.clips import add_tone

        add_tone(film, film.add_stream("aac", rate=48_000, layout="stereo"), Fraction(1, 5))
    (tmp_path / "text.mp4").write_text("hello, this is no clip")
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    whole = write_clip(tmp_path / "whole.avi", 4, codec="mjpeg", pix_fmt="yuvj420p").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[:-200])
    (tmp_path / "empty.mp4").write_bytes(b"")
    words = ("video", "transfer", tmp_path / name, style, "-o", tmp_path / "out.mp4")
    assert FAULTS[name] in complaint(run(*words), 1)
    assert not (tmp_path / "out.mp4.frames").exists()


def test_bad_requests(run, tmp_path, clip, style):
    words = ("video", "transfer", clip, style)
    for more, code, text in [
        (("-o", "out.xyz"), 1, ".webm"),
        (("-o", "-"), 2, "stdout"),
        (("--start", "2", "--end", "1"), 2, "--end is not after"),
        (("--start", "9"), 1, "no frames in this interval"),
        (("--start", "soon"), 2, "no time"),
        (("--fps", "0"), 2, "no frame rate"),
        (("-o", tmp_path / "a.mp4", "--codec", "vp9"), 1, "hold no vp9"),
        (("-o", "/dev/null/a.mp4"), 1, "/dev/null"),
        (("-o", clip, "--overwrite"), 1, "is an input"),
        (("--coherence", "2"), 2, "too large"),
    ]:
        assert text in complaint(run(*words, *more), code)
    assert "is a video" in complaint(run("transfer", clip, style), 1)
    assert "is a video" in complaint(run("video", "transfer", clip, clip), 1)


@pytest.mark.slow
def test_a_stopped_clip_continues_bit_for_bit(tmp_path, style):
    """Whenever and however it is stopped, the same command ends with the same frames."""
    clip = write_clip(tmp_path / "clip.mp4", 6)
    words = ("video", "transfer", clip, style, *QUICK, "--keep-frames", "--passes", 2)
    call = program(*words, "-o", tmp_path / "a.webp")
    subprocess.run(**call, check=True, capture_output=True)
    target, moments = tmp_path / "b.webp", random.Random(5)
    for stopped, how in enumerate((signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)):
        number, index = divmod(stopped * 2 + 1, 6)
        wanted = target.with_name("b.webp.frames") / f"pass-{number + 1}" / f"{index + 1:06d}.png"
        folder = target.with_name("b.webp.frames")
        before = set(folder.rglob("*.png"))
        process = subprocess.Popen(
            **program(*words, "-o", target), stderr=subprocess.PIPE, text=True
        )
        # Not before this process has painted something: until then signals are not its own.
        while process.poll() is None and not (
            wanted.exists() and set(folder.rglob("*.png")) - before
        ):
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.3))
        process.send_signal(how)
        _, errors = process.communicate()
        codes = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
        assert process.returncode in (codes[how], 0), errors
    subprocess.run(**program(*words, "-o", target, "--overwrite"), check=True, capture_output=True)
    ours, theirs = (listing(tmp_path / f"{name}.webp.frames") for name in "ba")
    assert list(ours) == [f"{index:06d}.png" for index in range(1, 7)]
    assert ours == theirs
    assert target.read_bytes() == (tmp_path / "a.webp").read_bytes()
