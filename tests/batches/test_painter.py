"""Pictures of several looks from one process, and the inputs they have in common."""

from __future__ import annotations

import dataclasses
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.batches import painter as painter_module
from stylize.batches.painter import BatchPainter
from stylize.batches.records import Ledger
from stylize.batches.tasks import Look, Task, identity_of
from stylize.errors import InterruptedRunError, PictureError
from stylize.images.read import Picture, read_picture
from stylize.optimize.loop import Step
from stylize.products.dream.dream import Dream
from stylize.products.transfer.transfer import Transfer
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import photo, save, strokes

FP32 = Execution(device="cpu", precision="fp32", threads=1)
DREAM = DreamSettings(size="32", steps=1, octaves=1, layers="conv2_1")
PAINT = TransferSettings(size="32", min_size=32, steps=1, style_layers=(("relu2_1", 1.0),))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def painter() -> BatchPainter:
    return BatchPainter(FP32)


@pytest.fixture
def styles(tmp_path: Path) -> tuple[Path, Path]:
    return (
        save(strokes(), tmp_path / "style.png"),
        save(strokes(period=5), tmp_path / "other.png"),
    )


def task_of(folder: Path, look: Look) -> Task:
    source = save(photo(40, 48), folder / "a.png")
    return Task(source, folder / "out" / "a.png", look, (40, 48))


def dream_task(folder: Path, **changes: Any) -> Task:
    return task_of(folder, Look("", dataclasses.replace(DREAM, **changes), (), "dogs"))


def paint_task(folder: Path, *styles: Path) -> Task:
    return task_of(folder, Look("", PAINT, styles, "bold"))


def test_a_dream(painter: BatchPainter, tmp_path: Path) -> None:
    task = dream_task(tmp_path)
    picture = read_picture(task.source)
    job = painter.prepare(task, picture)
    assert isinstance(job, Dream)
    assert job.settings == DREAM
    result = painter.paint(task, picture)
    assert torch.equal(result.pixels, Dream(picture, DREAM, FP32).run().pixels)
    assert result.recipe["preset"] == "dogs"


def test_a_transfer_of_several_styles(
    painter: BatchPainter, tmp_path: Path, styles: tuple[Path, Path]
) -> None:
    task = paint_task(tmp_path, *styles)
    picture = read_picture(task.source)
    job = painter.prepare(task, picture)
    assert isinstance(job, Transfer)
    assert job.settings == PAINT
    alone = Transfer(picture, [read_picture(style) for style in styles], PAINT, FP32).run()
    result = painter.paint(task, picture)
    assert torch.equal(result.pixels, alone.pixels)
    assert [each["role"] for each in result.recipe["inputs"]] == ["content", "style", "style"]


def test_the_ledger_knows_what_the_painter_makes(
    painter: BatchPainter, tmp_path: Path, styles: tuple[Path, Path]
) -> None:
    """What is wanted, said before the run, is what the recipe says after it."""
    for task in (dream_task(tmp_path), paint_task(tmp_path, *styles)):
        ledger = Ledger(task.target.parent, {"": painter.inputs(task.look)})
        result = painter.paint(task, read_picture(task.source))
        assert ledger.standing(task).identity == identity_of(result.recipe)
        task.target.parent.mkdir(exist_ok=True)
        result.save(task.target)
        assert ledger.standing(task).state == "done"
        task.target.unlink()
        assert identity_of(result.recipe | {"interrupted": True}) is None


def test_styles_are_read_once(
    tmp_path: Path,
    styles: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Path] = []

    def note(path: Path) -> Picture:
        read.append(path)
        return read_picture(path)

    monkeypatch.setattr(painter_module, "read_picture", note)
    painter = BatchPainter(FP32)
    task = paint_task(tmp_path, *styles)
    assert painter.inputs(task.look) == [("style", read_picture(path).sha256) for path in styles]
    for _ in range(2):
        painter.prepare(task, read_picture(task.source))
    assert read == [*styles]


def test_a_batch_of_many_styles_does_not_hold_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[weakref.ref[Picture]] = []

    def note(path: Path) -> Picture:
        picture = read_picture(path)
        read.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(painter_module, "read_picture", note)
    painter = BatchPainter(FP32)
    task = paint_task(tmp_path, save(strokes(16, 16), tmp_path / "0.png"))
    for number in range(50):
        style = shutil.copy(tmp_path / "0.png", tmp_path / f"{number}.jpg.png")
        painter.inputs(dataclasses.replace(task.look, styles=(Path(style),)))
    assert len(read) == 50
    assert sum(each() is not None for each in read) <= 40


def test_a_dream_has_no_inputs_in_common(painter: BatchPainter, tmp_path: Path) -> None:
    assert painter.inputs(dream_task(tmp_path).look) == []


def test_a_style_that_is_none(painter: BatchPainter, tmp_path: Path) -> None:
    style = tmp_path / "style.png"
    style.write_text("no picture")
    with pytest.raises(PictureError, match=r"style\.png"):
        painter.inputs(paint_task(tmp_path, style).look)


def test_steps_are_told_and_stopped(painter: BatchPainter, tmp_path: Path) -> None:
    task = dream_task(tmp_path, steps=3)
    picture = read_picture(task.source)
    reported: list[Step] = []
    painter.paint(task, picture, reported.append)
    assert [each.step for each in reported] == [1, 2, 3]
    with pytest.raises(InterruptedRunError):
        painter.paint(task, picture, None, lambda: True)
    result = painter.paint(task, picture, reported.append, lambda: len(reported) > 3)
    assert result.interrupted
