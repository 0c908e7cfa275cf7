"""One picture after the other: what fails, what is skipped, what is left for another time."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.batches.claims import Claims
from stylize.batches.local import BatchContext, LocalRunner, Outcome, one_line, sweep
from stylize.batches.painter import BatchPainter
from stylize.batches.records import Ledger, read_all
from stylize.batches.saving import Saving
from stylize.batches.tasks import Look, Task, token_of
from stylize.errors import (
    MemoryLimitError,
    NumericalError,
    OutputError,
    PictureError,
    StylizeError,
    WeightsError,
)
from stylize.images import atomic
from stylize.images.atomic import stale_partial
from stylize.images.read import Picture, read_picture
from stylize.optimize.loop import Step
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from tests.batches.test_records import recipe_of
from tests.conftest import photo, save

LOOK = Look("", DreamSettings(steps=1))
Listener = Callable[[Step], None] | None


class Sketches(BatchPainter):
    """Paints the picture itself, at once.

    Attributes:
        painted: names of the sources, in order.
        failures: raised for a picture of that name.
    """

    def __init__(self) -> None:
        super().__init__(Execution())
        self.painted: list[str] = []
        self.failures: dict[str, BaseException] = {}

    def paint(
        self,
        task: Task,
        picture: Picture,
        on_step: Listener = None,
        stop: Callable[[], bool] | None = None,
    ) -> Result:
        self.painted.append(task.source.name)
        if task.source.name in self.failures:
            raise self.failures[task.source.name]
        recipe = recipe_of(task) | {"losses": {"dream": 0.5}}
        stopped = stop is not None and stop()
        return Result(picture.pixels, None, recipe | {"interrupted": stopped}, stopped)


class Bench:
    """A folder of four pictures, and runs on it."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "out"
        self.output.mkdir()
        self.tasks = [self._task(save(photo(24, 20 + n), folder / f"{n}.png")) for n in range(4)]
        self.painter = Sketches()
        self.reported: list[Outcome] = []
        self.stop: Callable[[], bool] = lambda: False

    def _task(self, source: Path) -> Task:
        return Task(source, self.output / "deep" / source.name, LOOK, (24, 24))

    def run(
        self,
        tasks: Sequence[Task] | None = None,
        *,
        claims: Claims | None = None,
        fail_fast: bool = False,
        **options: bool,
    ) -> dict[str, str]:
        """What became of each picture, by the source's name."""
        self.reported.clear()
        self.painter.painted.clear()
        ledger = Ledger(self.output, {"": []}, **options)
        with Claims(self.output) as own:
            runner = LocalRunner(
                self.painter,
                BatchContext(
                    ledger,
                    claims or own,
                    self.reported.append,
                    self.stop,
                    Saving(overwrite=options.get("overwrite", False)),
                    fail_fast=fail_fast,
                ),
            )
            runner.run(self.tasks if tasks is None else tasks)
            sweep(self.tasks, ledger, claims or own)
            ledger.settle()
        ended = [each.task.source for each in self.reported if each.status != "elsewhere"]
        assert len(set(ended)) == len(ended)
        return {each.task.source.name: each.status for each in self.reported}

    @property
    def states(self) -> dict[str, str]:
        """What the manifest says."""
        return {Path(name).name: entry.status for name, entry in read_all(self.output).items()}

    @property
    def pictures(self) -> set[str]:
        """The files in the folder of the results, temporary ones included."""
        return {path.name for path in (self.output / "deep").glob("*")}


NAMES = [f"{n}.png" for n in range(4)]


def all_are(status: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, status)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_all_are_done_in_order_and_once(bench: Bench) -> None:
    assert bench.run() == all_are("done")
    assert bench.painter.painted == NAMES
    assert [each.task.source.name for each in bench.reported] == NAMES
    assert bench.states == all_are("done")
    assert read_all(bench.output)["deep/1.png"].losses == {"dream": 0.5}
    assert bench.run() == all_are("skipped")
    assert bench.painter.painted == []
    for task in bench.tasks:
        assert torch.equal(read_picture(task.target).pixels, read_picture(task.source).pixels)


def test_there_is_nothing_to_do(bench: Bench) -> None:
    assert bench.run([]) == {}


class TestFailures:
    @pytest.mark.parametrize(
        "error",
        [
            NumericalError("left the finite numbers"),
            MemoryError("no memory"),
            RuntimeError("a bug"),
            OSError(errno.EIO, "bad sector"),
            MemoryLimitError("this size needs 1.43 GB of memory"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_one_does_not_stop_the_rest(self, bench: Bench, error: Exception) -> None:
        bench.painter.failures = {"1.png": error}
        expected = all_are("done") | {"1.png": "failed"}
        assert bench.run() == expected
        assert bench.states == expected
        assert bench.pictures == {"0.png", "2.png", "3.png"}
        (failed,) = [each for each in bench.reported if each.status == "failed"]
        assert failed.error == one_line(error)
        assert not failed.remembered

    def test_is_remembered_until_it_is_tried_again(self, bench: Bench) -> None:
        bench.painter.failures = {"1.png": RuntimeError("a bug")}
        bench.run()
        assert bench.run() == all_are("skipped") | {"1.png": "failed"}
        assert bench.painter.painted == []
        (failed,) = [each for each in bench.reported if each.status == "failed"]
        assert (failed.remembered, failed.error) == (True, "RuntimeError: a bug")
        bench.run(retry=True)
        assert read_all(bench.output)["deep/1.png"].attempts == 2
        bench.painter.failures = {}
        assert bench.run(retry=True) == all_are("skipped") | {"1.png": "done"}

    def test_the_source_cannot_be_read(self, bench: Bench) -> None:
        bench.tasks[2].source.write_text("no picture")
        bench.tasks[3].source.unlink()
        assert bench.run() == all_are("done") | {"2.png": "failed", "3.png": "failed"}
        assert bench.painter.painted == ["0.png", "1.png"]
        assert bench.states["3.png"] == "failed"

    def test_its_place_is_taken_by_what_is_no_picture(self, bench: Bench) -> None:
        bench.tasks[1].target.mkdir(parents=True)
        assert bench.run() == all_are("done") | {"1.png": "failed"}

    def test_its_folder_is_a_file(self, bench: Bench) -> None:
        (bench.output / "deep").write_text("in the way")
        assert bench.run() == all_are("failed")
        assert "cannot write" in (bench.reported[0].error or "")
        assert (bench.output / "deep").read_text() == "in the way"

    def test_the_first_may_be_the_last(self, bench: Bench) -> None:
        bench.painter.failures = {"1.png": RuntimeError("a bug")}
        found = bench.run(fail_fast=True)
        assert found == {"0.png": "done", "1.png": "failed"}
        assert bench.painter.painted == ["0.png", "1.png"]
        with Claims(bench.output) as claims:
            assert claims.tidy()
        rest = {"0.png": "skipped", "1.png": "failed", "2.png": "done", "3.png": "done"}
        assert bench.run(fail_fast=True) == rest

    @pytest.mark.parametrize(
        "error",
        [WeightsError("the file is damaged"), OSError(errno.ENOSPC, "the disk is damaged")],
        ids=lambda error: type(error).__name__,
    )
    def test_all_pictures_would_meet_it(self, bench: Bench, error: Exception) -> None:
        bench.painter.failures = {"1.png": error}
        with pytest.raises(type(error), match="damaged"):
            bench.run()
        assert bench.states == {"0.png": "done"}
        bench.painter.failures = {}
        assert bench.run() == all_are("done") | {"0.png": "skipped"}


def test_another_picture_is_in_its_place(bench: Bench) -> None:
    bench.run()
    save(photo(30, 30), bench.tasks[0].source)
    before = bench.tasks[0].target.read_bytes()
    assert bench.run() == all_are("skipped") | {"0.png": "failed"}
    assert f"another picture is at {bench.tasks[0].target}" in (bench.reported[0].error or "")
    assert bench.tasks[0].target.read_bytes() == before
    assert bench.run(overwrite=True) == all_are("done")
    assert bench.tasks[0].target.read_bytes() != before


class TestFullDisk:
    @pytest.fixture(params=["write", "link", "fsync"])
    def full(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Any]:
        """The second picture meets a full disk; ``full()`` makes room again."""
        allowed = {"write": 1, "link": 1, "fsync": 3}[request.param]
        room = {"calls": allowed}
        module = os if request.param == "write" else atomic.os
        real = getattr(module, request.param)

        def act(*args: Any, **named: Any) -> Any:
            room["calls"] -= 1
            if room["calls"] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **named)

        monkeypatch.setattr(module, request.param, act)
        yield lambda: room.update(calls=10**6)

    def test_ends_the_batch_and_goes_on(self, bench: Bench, full: Callable[[], None]) -> None:
        with pytest.raises(OutputError, match="no space left"):
            bench.run()
        assert not any(entry.status == "failed" for entry in read_all(bench.output).values())
        for name in bench.pictures:
            read_picture(bench.output / "deep" / name)
        assert len(bench.pictures) < 4
        full()
        found = bench.run()
        assert Counter(found.values()).keys() <= {"done", "skipped"}
        assert len(found) == 4
        assert bench.pictures == set(NAMES)
        assert bench.states == all_are("done")


class TestStopping:
    def test_drops_the_picture_in_work(self, bench: Bench) -> None:
        bench.stop = lambda: len(bench.painter.painted) == 2
        assert bench.run() == {"0.png": "done"}
        assert bench.pictures == {"0.png"}
        bench.stop = lambda: False
        assert bench.run() == all_are("done") | {"0.png": "skipped"}

    def test_before_the_first(self, bench: Bench) -> None:
        bench.stop = lambda: True
        assert bench.run() == {}
        assert bench.painter.painted == []

    def test_claims_are_released(self, bench: Bench) -> None:
        bench.stop = lambda: len(bench.painter.painted) == 1
        with Claims(bench.output) as claims:
            bench.run(claims=claims)
            assert all(claims.take(f"deep/{name}") is not None for name in NAMES)


class TestSharing:
    def test_what_another_run_has(self, bench: Bench) -> None:
        with Claims(bench.output) as other:
            held = other.take("deep/2.png")
            assert held is not None
            assert bench.run() == all_are("done") | {"2.png": "elsewhere"}
            assert "2.png" not in bench.pictures
            held.release()
        assert bench.run() == all_are("skipped") | {"2.png": "done"}

    @pytest.mark.parametrize("outcome", ["done", "failed"])
    def test_what_another_run_left_or_made_in_another_way(self, bench: Bench, outcome: str) -> None:
        with Claims(bench.output) as other:
            held = other.take("deep/1.png")
            assert held is not None

            def stop() -> bool:
                if len(bench.painter.painted) == 3:
                    if outcome == "failed":
                        save(photo(9, 9), bench.tasks[1].target)
                    held.release()
                return False

            bench.stop = stop
            assert bench.run() == all_are("done") | {"1.png": outcome}
        order = ["0.png", "2.png", "3.png", "1.png"]
        assert bench.painter.painted == (order if outcome == "done" else order[:3])
        (first, last) = (each for each in bench.reported if each.task is bench.tasks[1])
        assert first.status == "elsewhere"
        assert last.error is None or f"another picture is at {last.task.target}" in last.error

    def test_what_another_run_has_made_anew_stays(self, bench: Bench, tmp_path: Path) -> None:
        bench.run()
        (tmp_path / "other").mkdir()
        other = Bench(tmp_path / "other")
        other.output, other.tasks = bench.output, bench.tasks[1:2]
        with Claims(bench.output) as claims:
            held = claims.take("deep/1.png")
            assert held is not None

            def stop() -> bool:
                if len(bench.painter.painted) == 3 and not other.reported:
                    held.release()
                    assert other.run(overwrite=True) == {"1.png": "done"}
                return False

            bench.stop = stop
            assert bench.run(overwrite=True) == all_are("done") | {"1.png": "elsewhere"}
        assert "1.png" not in bench.painter.painted

    def test_two_at_once(self, bench: Bench, tmp_path: Path) -> None:
        """Threads here stand for processes: claims exclude each other all the same."""
        other = Bench.__new__(Bench)
        other.__dict__ |= {"output": bench.output, "tasks": bench.tasks}
        other.__dict__ |= {"painter": Sketches(), "reported": [], "stop": lambda: False}
        thread = threading.Thread(target=other.run)
        thread.start()
        bench.run()
        thread.join()
        assert sorted(bench.painter.painted + other.painter.painted) == NAMES
        assert bench.pictures == set(NAMES)

    def test_the_leftovers_of_the_dead(self, bench: Bench) -> None:
        bench.run()
        done, todo = bench.tasks[0], bench.tasks[1]
        todo.target.unlink()
        for task in (done, todo):
            stale_partial(task.target, token_of(f"deep/{task.target.name}")).write_text("half")
        bench.run([todo])
        assert bench.pictures == set(NAMES)

    def test_the_living_keep_theirs(self, bench: Bench) -> None:
        partial = stale_partial(bench.tasks[1].target, token_of("deep/1.png"))
        with Claims(bench.output) as other:
            assert other.take("deep/1.png") is not None
            partial.parent.mkdir()
            partial.write_text("half")
            bench.run()
            assert partial.read_text() == "half"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PictureError("a.jpg is damaged"), "a.jpg is damaged"),
        (StylizeError("no", hint="yes"), "no (yes)"),
        (ValueError("a\n  b"), "ValueError: a b"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 488),
    ],
)
def test_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line
