"""Reading, painting and encoding go on at the same time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylize import video
from stylize.errors import InterruptedRunError, OutputError, PictureError
from stylize.images.read import Picture, read_picture
from stylize.images.sound import Sound
from stylize.runs.recipe import load_recipe
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.video import VideoSettings
from stylize.video.clip import Clip, Cut, Frame, Outline, open_clip
from stylize.video.painter import DreamClipPainter
from stylize.video.preview import frames_at
from stylize.video.record import RECORD
from stylize.video.request import MaskFrames, Painter, Request, Target
from stylize.video.run import ClipRun
from stylize.video.turns import Turn
from stylize.video.work import Work
from tests.conftest import save, strokes
from tests.video.clips import SIZE, read_frames, scene, write_clip

MUSING = DreamSettings(size="96", octaves=1, steps=1, layers="conv2_2")
COUNT = 8
PATIENCE_S = 30
WHOLE = Cut()


class HeldBack(Clip):
    """A clip whose last frames come only when they are let go."""

    def __init__(self) -> None:
        self.path, self.name = Path("clip.mp4"), "clip.mp4"
        self.outline = Outline(SIZE[::-1], [Fraction(index, 25) for index in range(COUNT + 1)])
        self.let_go = threading.Event()

    def frames(self, start: Fraction | None = None) -> Iterator[Frame]:
        for index in range(COUNT):
            if index == COUNT - 1:
                assert self.let_go.wait(PATIENCE_S)
            yield Frame(scene(index), Fraction(index, 25))

    def sha256(self) -> str:
        return "0" * 64


def request(clip: Clip, target: Target, cut: Cut = WHOLE, masks: Sequence[Clip] = ()) -> Request:
    video = VideoSettings()

    def make(reference: Picture, frames: MaskFrames) -> Painter:
        return DreamClipPainter(reference, MUSING, video, Execution(precision="fp32"))

    return Request(clip, cut, MUSING, video, make, (), masks, target)


@pytest.mark.usefixtures("network")
def test_frames_are_painted_while_others_are_read_and_encoded(tmp_path: Path) -> None:
    clip = HeldBack()
    wanted = Target(tmp_path / "out.apng", "apng")
    sizes: list[int] = []

    def on_turn(turn: Turn, result: Result) -> None:
        assert not wanted.path.exists()
        clip.let_go.set()
        if turn.index == COUNT - 2:  # the encoder may not have begun before all was read
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline and not any(sizes):
                time.sleep(0.01)
                sizes.extend(each.stat().st_size for each in tmp_path.glob(".stylize-*.part"))

    with ClipRun(request(clip, wanted)) as run:
        assert run.count == COUNT
        assert run.paint(on_turn)
        assert run.finish() == wanted.path
    assert any(sizes)
    with Image.open(wanted.path) as film:
        assert film.n_frames == COUNT
    assert [each.name for each in tmp_path.iterdir()] == ["out.apng"]


class Broken(HeldBack):
    """A clip whose last frame is damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = threading.Event()

    def frames(self, start: Fraction | None = None) -> Iterator[Frame]:
        self.let_go.set()
        yield from [*super().frames()][:-1]
        self.failing.set()
        raise PictureError("clip.mp4 is damaged")


@pytest.mark.usefixtures("network")
def test_a_clip_that_turns_out_to_be_damaged_leaves_nothing(tmp_path: Path) -> None:
    clip = Broken()
    wanted = request(clip, Target(tmp_path / "out.gif", "gif"))
    with pytest.raises(PictureError, match="damaged"), ClipRun(wanted) as run:
        assert clip.failing.wait(PATIENCE_S)
        run.paint()
    assert [*tmp_path.iterdir()] == []


def forget_settings(path: Path) -> None:
    """Make a record one of a version that did not have some of the settings yet."""
    document = json.loads(path.read_text("utf-8"))
    del document["essence"]["settings"]["octave_scale"]
    del document["essence"]["video"]["every"]
    path.write_text(json.dumps(document), "utf-8")


@pytest.mark.usefixtures("network")
def test_a_run_that_is_stopped_while_it_reads_continues(tmp_path: Path) -> None:
    clip = HeldBack()
    with ClipRun(request(clip, Target(tmp_path / "out.gif", "gif"))) as run:
        assert not run.paint(stop=lambda: run.painted == 2)
        clip.let_go.set()
    assert [each.name for each in tmp_path.iterdir()] == ["out.gif.frames"]
    assert run.frames_done == 2
    assert not run.record.times
    forget_settings(tmp_path / "out.gif.frames" / RECORD)
    files = []
    for name, done in (("out.gif", 2), ("whole.gif", 0)):
        with ClipRun(request(clip, Target(tmp_path / name, "gif"))) as run:
            assert run.done == done
            assert run.paint()
            files.append(run.finish())
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.usefixtures("network")
def test_a_run_that_is_stopped_while_it_encodes_continues(tmp_path: Path) -> None:
    clip, target = HeldBack(), Target(tmp_path / "out.gif", "gif", compare="split")
    clip.let_go.set()
    for before_clip in (True, False):
        with ClipRun(request(clip, target)) as run:
            assert run.paint()
            with pytest.raises(InterruptedRunError):
                run.finish(lambda: before_clip or run.compared is not None)  # noqa: B023
        assert [each.name for each in tmp_path.iterdir()] == ["out.gif.frames"]
    with ClipRun(request(clip, target)) as run:
        assert run.done == COUNT
        assert run.paint()
        assert run.finish() == target.path
    assert {each.name for each in tmp_path.iterdir()} == {"out.gif", "out-compare.gif"}


@pytest.mark.usefixtures("network")
def test_an_encoder_that_fails_stops_the_run(tmp_path: Path) -> None:
    clip, target = HeldBack(), Target(tmp_path / "out.mp4", "mp4")
    clip.let_go.set()
    asked = threading.Event()

    def sound(*_: object) -> Sound:
        asked.set()
        return Sound(tmp_path / "gone.wav", "wav", None, None, Fraction(0))

    def on_turn(*_: object) -> None:
        assert asked.wait(PATIENCE_S)
        time.sleep(0.1)

    clip.sound = sound
    with ClipRun(request(clip, target)) as run:
        with pytest.raises(OutputError, match=f"kept in {target.path}.frames"):
            run.paint(on_turn)
        assert 0 < run.done < COUNT


def test_a_result_is_taken_over_as_it_will_be_read(tmp_path: Path) -> None:
    pixels = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(1)) * 1.1 - 0.05
    result = Result(pixels, None, {"technique": "dream", "version": "0"}, False)
    work = Work(tmp_path, "clip.mp4", "")
    work.save(Turn(0), result, {"frames": 1})
    taken = work.as_read(result)
    assert taken is not None
    assert torch.equal(taken.pixels, read_picture(work.result_path(Turn(0))).pixels)
    levels = np.asarray(Image.open(work.result_path(Turn(0))).convert("RGB"))
    assert np.array_equal((taken.pixels[0].permute(1, 2, 0) * 255).round().numpy(), levels)


def test_in_python_an_input_is_never_replaced(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 2)
    style = save(strokes(), tmp_path / "style.gif")
    frames = tmp_path / "frames"
    frames.mkdir()
    Image.fromarray(scene(0)).save(frames / "1.png")
    kept = frames.rename(tmp_path / "out.gif.frames")  # as --keep-frames names them
    for source in (kept, kept / "*.png"):
        with pytest.raises(OutputError, match="input of this run"):
            video.transfer(source, style, tmp_path / "out.gif", overwrite=True, size=48, steps=1)
    kept.rename(frames)
    before = {path: path.read_bytes() for path in (clip, style, frames / "1.png")}
    for source, target in [
        (clip, clip),
        (clip, style),
        (frames, frames),
        (frames / "*.png", frames),
    ]:
        with pytest.raises(OutputError, match="input of this run"):
            video.transfer(source, style, target, overwrite=True, size=48, steps=1)
    with pytest.raises(OutputError, match="input of this run"):
        video.dream(clip, clip, overwrite=True)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("cut", "count", "wanted"),
    [
        (Cut(), 6, [0, 1, 2, 3, 4, 5]),
        (Cut(start=Fraction(1, 5)), 6, [2, 3, 4, 5]),
        (Cut(start=Fraction(1, 5)), 4, [0, 1, 2, 3]),
        (Cut(fps=Fraction(5)), 6, [0, 2, 4]),
        (Cut(fps=Fraction(5)), 3, [0, 1, 2]),
        (Cut(), 2, [0, 1, 1, 1, 1, 1]),
        (Cut(), 7, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_the_frames_of_a_folder_of_masks_are_counted(
    tmp_path: Path, cut: Cut, count: int, wanted: list[int]
) -> None:
    clip = open_clip(str(write_clip(tmp_path / "clip.mp4", 6, rate=10)), tmp_path)
    (tmp_path / "masks").mkdir()
    for index in range(count):
        level = np.full((64, 96), 20 * index, np.uint8)
        Image.fromarray(level).save(tmp_path / "masks" / f"{index}.png")
    masks = [open_clip(str(tmp_path / "masks"), tmp_path)]
    job = request(clip, Target(tmp_path / "out.mp4", "mp4"), cut, masks)
    frames = frames_at(job, range(len(wanted)))
    assert [round(float(frames[i][1].pixels.mean()) * 255 / 20) for i in frames] == wanted
    noted = f"masks: {count} frames, clip.mp4 has 6" in job.check()
    assert noted == (count in (2, 7))


@pytest.mark.usefixtures("network")
def test_in_python_a_mask_may_be_a_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 4)
    style = save(strokes(), tmp_path / "style.png")
    nothing, little, most = np.zeros((3, 64, 96, 3), np.uint8)
    little[:8] = most[:-8] = 255
    masks = tmp_path / "masks"
    masks.mkdir()
    for index, levels in enumerate((nothing, most, little, nothing)):
        Image.fromarray(levels).save(masks / f"{index}.png")
    brief = {"size": 96, "min_size": 96, "steps": 2, "feather": 0, "precision": "fp32"}
    photos = [frame.astype(float) for frame in read_frames(clip)]

    def changes(frames: Iterator[Result]) -> list[float]:
        painted = [frame.pixels[0].permute(1, 2, 0).numpy() * 255 for frame in frames]
        pairs = zip(painted, photos, strict=True)
        return [float(np.abs(one[12:52] - other[12:52]).mean()) for one, other in pairs]

    found = changes(video.transfer(clip, style, mask=masks, **brief))
    assert max(found[0], found[2], found[3]) < 1.5 < found[1]
    target = tmp_path / "out"
    more = {"keep": masks, "coherence": 0, "end": 0.08}
    assert video.transfer(clip, style, target, **more, **brief) == target
    names = [target / "000001.png", target / "000002.png"]
    levels = [np.asarray(Image.open(name).convert("RGB"), float) for name in names]
    first, second = (np.abs(a - b)[12:52].mean() for a, b in zip(levels, photos, strict=False))
    assert second < 1.5 < first
    recipe = load_recipe(names[0])
    roles = {each["role"]: each["name"] for each in recipe["inputs"]}
    assert roles == {"content": "clip.mp4", "style": "style.png", "region 1": "masks"}
