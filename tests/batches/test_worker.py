"""What a worker does by itself, without any cluster."""

from __future__ import annotations

import errno
import os
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import stylize
from stylize.batches.saving import Saving
from stylize.batches.tasks import Look, Task
from stylize.batches.worker import Assignment, Worker, assignment
from stylize.errors import MissingExtraError, WeightsError
from stylize.images.open import DEFAULT_MAX_PIXELS, pixel_limit, set_pixel_limit
from stylize.runs.recipe import load_recipe
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import photo, save

DREAM = DreamSettings(size="32", steps=1, octaves=1, layers="conv2_1")
LOOK = Look("", DREAM)
EXECUTION = Execution(precision="fp32", threads=1, device="cpu")
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
# What is not text in a file's name, as Python spells it.
ODD_NAMES = st.lists(NAMES | st.just("\udcff\udc80"), min_size=1).map("".join)


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """What a worker sets for its whole process is undone."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    set_pixel_limit(DEFAULT_MAX_PIXELS)


@pytest.fixture
def worker() -> Worker:
    return Worker(EXECUTION, DEFAULT_MAX_PIXELS)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(save(photo(), tmp_path / "a.png"), tmp_path / "out" / "deep" / "a.png", LOOK)


def message_of(task: Task) -> Assignment:
    return assignment(task, "token", Saving())


@pytest.mark.skipif(sys.platform == "win32", reason="names of POSIX")
@given(name=ODD_NAMES, size=st.none() | st.tuples(st.integers(1), st.integers(1)))
def test_a_task_arrives_as_it_was(name: str, size: tuple[int, int] | None) -> None:
    folder = Path(os.path.abspath("x"))
    look = Look("b", TransferSettings(steps=3), (folder / name, folder / "s"), "bold")
    task = Task(folder / f"in {name}", folder / name / "a.png", look, size)
    sent = assignment(task, "t", Saving(16, 80))
    arrived = pickle.loads(pickle.dumps(sent))
    assert arrived == sent
    # A folder that is called ".." is another one when the path is made absolute.
    expected = [Path(os.path.abspath(path)) for path in (task.source, task.target, *look.styles)]
    assert [arrived.task.source, arrived.task.target, *arrived.task.look.styles] == expected
    assert replace(arrived.task.look, styles=look.styles) == look
    assert (arrived.task.size, arrived.token, arrived.saving) == (size, "t", Saving(16, 80))


def test_relative_paths_are_the_senders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arrived = message_of(Task(Path("a.png"), Path("out/a.png"), LOOK)).task
    assert (arrived.source, arrived.target) == (tmp_path / "a.png", tmp_path / "out" / "a.png")


def test_a_picture_is_made(worker: Worker, task: Task, network: None) -> None:
    answer = worker.make(message_of(task))
    assert (answer.outcome, answer.error) == ("done", None)
    recipe = load_recipe(task.target)
    assert (answer.losses, answer.notes) == (recipe["losses"], ())
    assert (recipe["resolved"]["threads"], recipe["resolved"]["precision"]) == (1, "fp32")
    assert os.listdir(task.target.parent) == ["a.png"]


def test_notes_are_told(worker: Worker, task: Task, network: None) -> None:
    large = Look("", replace(DREAM, size="96"))
    answer = worker.make(message_of(replace(task, look=large)))
    assert answer.notes == ("kept at 64×64 px: add --enlarge to reach 96",)


def test_a_bad_picture_is_told(worker: Worker, task: Task) -> None:
    task.source.write_bytes(b"no picture")
    answer = worker.make(message_of(task))
    assert answer.outcome == "failed"
    assert str(task.source) in answer.error
    assert not task.target.parent.exists()


def test_a_full_disk_is_no_fault_of_the_picture(
    worker: Worker, task: Task, network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Result, "save", full)
    assert worker.make(message_of(task)).outcome == "disk"


def test_want_of_weights_is_no_fault_of_the_picture(
    worker: Worker, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*words: object) -> None:
        raise WeightsError("vgg16 is gone")

    monkeypatch.setattr(Session, "weights", gone)
    answer = worker.make(message_of(task))
    assert (answer.outcome, answer.error) == ("unable", "vgg16 is gone")


def test_want_of_an_extra_is_that_of_its_format(
    worker: Worker, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needed(path: Path) -> None:
        raise MissingExtraError("reading HEIC pictures", "pillow-heif")

    monkeypatch.setattr("stylize.batches.painter.read_picture", needed)
    answer = worker.make(message_of(task))
    assert answer.outcome == "failed"
    assert "pip install pillow-heif" in answer.error


def test_after_stop_nothing_is_made(worker: Worker, task: Task) -> None:
    worker.stop()
    assert worker.make(message_of(task)).outcome == "dropped"
    assert not task.target.exists()


def test_the_limit_arrives(task: Task) -> None:
    answer = Worker(EXECUTION, 100).make(message_of(task))
    assert pixel_limit() == 100
    assert "is too large" in answer.error


def test_it_says_who_it_is(worker: Worker, tmp_path: Path) -> None:
    greeting = worker.greet(tmp_path)
    assert (greeting["version"], greeting["sees"]) == (stylize.__version__, False)
    (tmp_path / ".stylize").mkdir()
    assert worker.greet(tmp_path)["sees"] is True
