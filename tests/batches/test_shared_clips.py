"""Several runs paint one clip, each of them whole shots: the frames are those of one run."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stylize.batches.claims import Claims
from stylize.batches.local import BatchContext, LocalRunner, Outcome
from stylize.batches.painter import BatchPainter
from stylize.batches.records import Ledger
from stylize.batches.tasks import Clips, Look, Task, token_of
from stylize.errors import OutputError
from stylize.images.read import Picture
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.video import VideoSettings
from stylize.video.clip import Cut, open_clip
from stylize.video.painter import DreamClipPainter
from stylize.video.record import read_record
from stylize.video.request import MaskFrames, Painter, Request, Target
from stylize.video.run import ClipRun
from stylize.video.sharing import join
from tests.cli.conftest import program
from tests.video.clips import shots, write_clip

LENGTHS = (2, 3, 4)
SIZE = (64, 48)
MUSING = DreamSettings(size="64", octaves=1, steps=2, layers="conv2_1")
PATIENCE_S = 90


def make_clip(path: Path) -> Path:
    """A clip of three shots."""
    frames = shots(*LENGTHS, size=SIZE)
    return write_clip(path, len(frames), frames=frames, size=SIZE)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4")


@pytest.fixture
def claims(tmp_path: Path) -> Iterator[Claims]:
    with Claims(tmp_path / "batch") as mine:
        yield mine


def request(
    clip: Path,
    target: Path,
    settings: DreamSettings = MUSING,
    threads: int = 1,
    video: VideoSettings | None = None,
    *,
    overwrite: bool = False,
) -> Request:
    video = video or VideoSettings()

    def make(reference: Picture, frames: MaskFrames) -> Painter:
        execution = Execution(precision="fp32", threads=threads)
        return DreamClipPainter(reference, settings, video, execution)

    wanted = Target(target, "gif", overwrite=overwrite)
    return Request(open_clip(str(clip), target), Cut(), settings, video, make, (), (), wanted)


def await_reading(run: ClipRun) -> None:
    end = time.monotonic() + PATIENCE_S
    while not run.reading.complete and time.monotonic() < end:
        time.sleep(0.01)


def alone(wanted: Request) -> bytes:
    """The clip that one run makes."""
    path = wanted.target.path.with_name("alone.gif")
    with ClipRun(replace(wanted, target=replace(wanted.target, path=path))) as run:
        assert run.paint()
        return run.finish().read_bytes()


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("video", [VideoSettings(), VideoSettings(passes=2, every=2)])
def test_the_frames_of_two_runs_are_those_of_one(
    tmp_path: Path, clip: Path, claims: Claims, video: VideoSettings
) -> None:
    wanted = request(clip, tmp_path / "out.gif", video=video)
    answers: list[str] = []
    progress: set[tuple[int, int]] = set()

    def visit(*_: object) -> None:
        with Claims(tmp_path / "batch") as others:
            sharing = others.on_shots("clip")
            assert sharing is not None
            while "nothing" not in answers:
                answers.append(join(wanted, sharing, lambda step, *counts: progress.add(counts)))

    by_owner: set[int] = set()
    with ClipRun(wanted, sharing=claims.on_shots("clip")) as run:
        await_reading(run)
        for turn, _ in run.results():
            visit()
            by_owner.add(turn.index)
        assert run.is_painted
        assert run.frames_done == sum(LENGTHS)
        assert run.finish().read_bytes() == alone(wanted)
    # The longest shot first; the one of the first run is left to it.
    assert answers == ["painted", "painted", "nothing"]
    assert by_owner == {0, 1}
    total = len(run.turns)
    assert {count for _, count in progress} == {total}
    assert 1 <= min(progress)[0] < max(progress)[0] < total
    assert sorted(each.name for each in tmp_path.glob("*.gif*")) == ["alone.gif", "out.gif"]
    assert claims.tidy()


@pytest.mark.usefixtures("network")
def test_who_may_not_join_changes_nothing(tmp_path: Path, clip: Path, claims: Claims) -> None:
    target = tmp_path / "out.gif"
    wanted, sharing = request(clip, target), claims.on_shots("clip")
    assert sharing is not None
    assert join(wanted, sharing) == "later", "nobody paints"
    with ClipRun(wanted, sharing=sharing) as run:
        await_reading(run)
        results = run.results()
        assert join(wanted, sharing) == "later", "it is not open yet"
        next(results)
        before = sorted(run.work.results())
        for other, reason in [
            (request(clip, target, replace(MUSING, steps=3)), "its steps is 2, not 3"),
            (request(clip, target, threads=2), "its threads is 1, not 2"),
            (request(clip, target, video=VideoSettings(coherence=0.3)), "coherence"),
        ]:
            with pytest.raises(OutputError, match=reason):
                join(other, sharing)
        assert sorted(run.work.results()) == before
        held = [sharing.take(range(start, start + 1)) for start in (2, 5)]
        assert None not in held
        assert join(wanted, sharing) == "nothing", "others have the rest"
    assert join(wanted, sharing) == "later", "the owner has gone"


@pytest.mark.usefixtures("network")
def test_a_run_leaves_when_the_owner_does_and_what_it_painted_stays(
    tmp_path: Path, clip: Path, claims: Claims
) -> None:
    wanted, sharing = request(clip, tmp_path / "out.gif"), claims.on_shots("clip")
    assert sharing is not None
    run = ClipRun(wanted, sharing=sharing)
    await_reading(run)
    results = run.results()
    next(results)

    def on_step(*_: object) -> None:
        if len(run.work.results()) == 3:  # two frames of the last shot are there
            run.close()
            time.sleep(0.6)

    assert join(wanted, sharing, on_step) == "later"
    painted = {each.stem for each in run.work.results()}
    assert painted == {"000001", "000006", "000007"}
    times = {each.name: each.stat().st_mtime_ns for each in run.work.results()}
    with ClipRun(wanted, sharing=sharing) as again:
        assert again.frames_done == 3
        assert again.paint()
        same = {each.name: each.stat().st_mtime_ns for each in again.work.results()}
        assert {name: same[name] for name in times} == times
        assert again.finish().read_bytes() == alone(wanted)


@pytest.mark.usefixtures("network")
def test_what_a_killed_run_left_of_a_shot_is_completed(
    tmp_path: Path, clip: Path, claims: Claims
) -> None:
    wanted, sharing = request(clip, tmp_path / "out.gif"), claims.on_shots("clip")
    assert sharing is not None
    with ClipRun(wanted, sharing=sharing) as run:
        await_reading(run)
        results = run.results()
        next(results)
        assert join(wanted, sharing) == "painted"
    # As if the disk had lost a part of what the other run has written.
    first, second, _, last = (run.work.folder / "pass-1" / f"00000{n}.png" for n in (6, 7, 8, 9))
    second.write_bytes(second.read_bytes()[:99])
    last.unlink()
    kept = first.stat().st_mtime_ns
    with ClipRun(wanted, sharing=sharing) as run:
        assert run.frames_done == 2
        assert run.paint()
        assert first.stat().st_mtime_ns == kept
        assert run.finish().read_bytes() == alone(wanted)


@pytest.mark.usefixtures("network")
def test_a_clip_that_is_begun_anew_waits_for_runs_that_paint_the_old_one(
    tmp_path: Path, clip: Path, claims: Claims
) -> None:
    target = tmp_path / "out.gif"
    wanted, sharing = request(clip, target), claims.on_shots("clip")
    other = request(clip, target, replace(MUSING, strength=80), overwrite=True)
    assert sharing is not None
    with ClipRun(wanted, sharing=sharing) as run:
        await_reading(run)
        next(run.results())
    late = sharing.take(range(5, 9))
    assert late is not None
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            assert read_record(run.work.folder) is None
            assert (run.work.folder / "pass-1" / "000001.png").is_file()
            late.release()
        return False

    with ClipRun(other, stop, sharing) as run:
        assert asked >= 3
        assert run.paint()
        assert run.finish().read_bytes() == alone(other) != alone(wanted)


def test_nothing_is_shared_where_a_killed_run_keeps_its_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Claims(tmp_path) as claims:
        assert claims.on_shots("clip") is None


WORDS = ("--octaves", 1, "--layer", "conv2_1", "--size", 64, "--precision", "fp32", "--threads", 1)
LONG = ("--steps", 30, *WORDS, "--suffix", "gif")
REPORTED: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@contextmanager
def running(*words: object) -> Iterator[subprocess.Popen[str]]:
    """The command as a process, which is killed at the end unless it has ended."""
    with subprocess.Popen(**program(*words), **REPORTED) as process:
        try:
            yield process
        finally:
            process.kill()


def until(ready: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


class Shared:
    """A clip that is painted as a batch.

    Attributes:
        words: of the command.
        frames: the folder of its frames.
    """

    def __init__(self, clip: Path, output: Path) -> None:
        self.output = output
        self.words = ("batch", "video", "dream", clip, "-o", output, *LONG)
        self.work = output / "clip.gif.frames"

    @property
    def painted(self) -> dict[str, int]:
        """When each frame was painted."""
        found = {}
        with suppress(FileNotFoundError):  # the clip is published
            for each in sorted((self.work / "pass-1").glob("*.png")):
                found[each.stem] = each.stat().st_mtime_ns
        return found

    @contextmanager
    def by_two(self) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
        """Two runs of the command; the first one pauses until the other has painted a frame."""
        with running(*self.words) as owner:
            until(lambda: "000002" in self.painted)
            owner.send_signal(signal.SIGSTOP)
            with running(*self.words) as other:
                until(lambda: "000006" in self.painted)
                assert "000005" not in self.painted
                yield owner, other


@pytest.fixture
def shared(tmp_path: Path, clip: Path) -> Shared:
    return Shared(clip, tmp_path / "out")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The clip that one run makes."""
    folder = tmp_path_factory.mktemp("alone")
    clip, target = make_clip(folder / "clip.mp4"), folder / "clip.gif"
    with running("video", "dream", clip, "-o", target, *LONG[:-2]) as process:
        process.communicate(timeout=PATIENCE_S)
    return target.read_bytes()


@pytest.mark.slow
def test_a_second_run_of_the_same_command_shares_a_clip(shared: Shared, expected: bytes) -> None:
    with shared.by_two() as (owner, other):
        owner.send_signal(signal.SIGCONT)
        assert "1 finished, 0 failed" in owner.communicate(timeout=PATIENCE_S)[1]
        said = other.communicate(timeout=PATIENCE_S)[1]
    assert (owner.returncode, other.returncode) == (0, 0)
    assert "being processed by another run" in said or "finished before" in said
    assert (shared.output / "clip.gif").read_bytes() == expected
    assert {each.name for each in shared.output.iterdir()} == {"clip.gif", ".stylize"}


@pytest.mark.slow
def test_a_second_run_that_is_killed_leaves_its_shot_to_the_first(
    shared: Shared, expected: bytes
) -> None:
    with shared.by_two() as (owner, other):
        other.kill()
        other.wait()
        owner.send_signal(signal.SIGCONT)
        assert "1 finished, 0 failed" in owner.communicate(timeout=PATIENCE_S)[1]
    assert (shared.output / "clip.gif").read_bytes() == expected
    assert {each.name for each in shared.output.iterdir()} == {"clip.gif", ".stylize"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_when_the_first_run_ends_the_second_makes_the_clip(
    shared: Shared, expected: bytes, number: signal.Signals
) -> None:
    with shared.by_two() as (owner, other):
        before = shared.painted
        owner.send_signal(number)
        owner.send_signal(signal.SIGCONT)
        owner.communicate(timeout=PATIENCE_S)
        until(lambda: len(shared.painted) > len(before) + 1)
        after = shared.painted
        assert {name: after.get(name) for name in before} == before
        said = other.communicate(timeout=PATIENCE_S)[1]
    assert other.returncode == 0
    assert "1 finished, 0 failed" in said
    assert (shared.output / "clip.gif").read_bytes() == expected
    assert {each.name for each in shared.output.iterdir()} == {"clip.gif", ".stylize"}


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("stopped", [False, True])
def test_a_clip_whose_run_ends_goes_to_the_run_that_waits(
    tmp_path: Path, clip: Path, stopped: bool
) -> None:
    output = tmp_path / "out"
    look = Look("", MUSING, clips=Clips(VideoSettings(), Cut(), "gif"))
    task = Task(clip, output / "clip.gif", look, (SIZE[1], SIZE[0]), sum(LENGTHS))
    reported: list[Outcome] = []
    asked = 0
    with Claims(output) as others, Claims(output) as mine:
        held = others.take("clip.gif")
        assert held is not None

        def stop() -> bool:
            nonlocal asked
            asked += 1
            if asked == 3:  # it has looked at the clip, and waits
                held.release()
            return stopped and asked >= 3

        context = BatchContext(Ledger(output, {"": []}), mine, reported.append, stop)
        painter = BatchPainter(Execution(precision="fp32", threads=1))
        LocalRunner(painter, context).run([task])
        assert asked >= 3
        assert mine.tidy()
    assert [each.status for each in reported] == ([] if stopped else ["done"])
    if not stopped:
        wanted = request(clip, tmp_path / "out.gif")
        assert task.target.read_bytes() == alone(wanted)


@pytest.mark.slow
def test_a_shot_that_another_run_holds_is_waited_for(shared: Shared, expected: bytes) -> None:
    with Claims(shared.output) as claims:
        sharing = claims.on_shots(token_of("clip.gif"))
        assert sharing is not None
        held = sharing.take(range(2, 5))
        assert held is not None
        with running(*shared.words) as owner:
            until(lambda: len(shared.painted) == LENGTHS[0] + LENGTHS[2])
            time.sleep(1.5)
            assert owner.poll() is None
            assert not shared.painted.keys() & {"000003", "000004", "000005"}
            held.release()
            assert "1 finished, 0 failed" in owner.communicate(timeout=PATIENCE_S)[1]
    assert (shared.output / "clip.gif").read_bytes() == expected
