"""A run that is stopped and gone on with is, to the bit, the run that was not stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.errors import CheckpointError
from stylize.gradients import adaptive
from stylize.optimize.loop import Step
from stylize.optimize.snapshot import SnapshotHooks, TakeSnapshot
from stylize.planning.memory import MemoryPlan
from stylize.products.dream.dream import Dream
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.resume import check_resumable, run_rest
from stylize.runs.checkpoint import Request, describe, save
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, cat, strokes

Job = Transfer | Dream
FP32 = Execution(device="cpu", precision="fp32")
REQUEST = Request(None, None, "8", 95, False, 10**6, 5.0)
CONTENT, STYLE = as_picture(cat(48), "cat.png"), as_picture(strokes(40, 56), "strokes.png")
HALF = torch.zeros(1, 3, 48, 48)
HALF[..., :24] = 1
LARGER = as_picture(cat(72), "larger.png")
MASK = as_picture(HALF, "mask.png")
# The networks are loaded once.
STUDIO = Session()
# Layers that are quick.
FEW: dict[str, Any] = {
    "style_layers": (("relu1_1", 1.0), ("relu2_1", 1.0)),
    "content_layers": (("relu2_2", 1.0),),
}


def transfer(**changes: Any) -> Job:
    values = FEW | {"size": "72", "min_size": 40, "steps": 9, "final_steps": 5} | changes
    return Transfer(LARGER, [STYLE], TransferSettings(**values), FP32, session=STUDIO)


def dream(mask: bool = False, guide: bool = False, photo: bool = True, **changes: Any) -> Job:
    values = {"layers": "conv3_1", "steps": 3, "octaves": 2, "min_octave": 24} | changes
    return Dream(
        CONTENT if photo else None,
        DreamSettings(**values),
        FP32,
        mask=MASK if mask else None,
        guide=STYLE if guide else None,
        session=STUDIO,
    )


JOBS: dict[str, Callable[[], Job]] = {
    "lbfgs": lambda: transfer(optimizer="lbfgs"),
    "lbfgs with a tolerance": lambda: transfer(optimizer="lbfgs", steps=30, tolerance=0.7),
    "adam": lambda: transfer(optimizer="adam", init="noise", seed=3),
    "adam without averages": lambda: transfer(optimizer="adam", averaging=0.0, smoothness=1.0),
    "jitter": lambda: dream(jitter=16, seed=5),
    "mask": lambda: dream(mask=True, fidelity=0.3, smoothing="cascade"),
    "tileable": lambda: dream(tileable=True, smoothing="laplacian"),
    "guide": lambda: dream(guide=True, guide_mode="match", keep_colors=True),
    "brief": lambda: transfer(optimizer="lbfgs", size="56", min_size=40, steps=3, final_steps=2),
    "noise": lambda: dream(photo=False, from_noise="40x48", carry="rescale"),
}


@pytest.fixture(scope="module")
def whole() -> Callable[[str], tuple[Result, int]]:
    """The undisturbed runs with their numbers of steps, each made once."""
    known: dict[str, tuple[Result, int]] = {}

    def paint(name: str) -> tuple[Result, int]:
        if name not in known:
            events: list[Step] = []
            known[name] = JOBS[name]().run(events.append), len(events)
        return known[name]

    return paint


def stopped(job: Job, step: int, path: Path) -> Result:
    """What there is after so many steps; the state is in the file."""
    done: list[Step] = []

    def keep(take: TakeSnapshot, last: bool) -> None:
        assert last == (len(done) >= step)
        if last:
            save(path, take(), REQUEST)

    return job.run(done.append, lambda: len(done) >= step, SnapshotHooks(keep))


def gone_on(job: Job, path: Path, **options: Any) -> Result:
    check_resumable(job, path, describe(path))
    return run_rest(job, path, describe(path), **options)


def assert_same(found: Result, expected: Result) -> None:
    assert torch.equal(found.pixels, expected.pixels)
    assert found.recipe == expected.recipe
    assert not found.interrupted


# The others differ from these in fewer places.
USUAL = {"lbfgs with a tolerance", "jitter", "guide"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in USUAL else pytest.mark.slow)
        for name in sorted(JOBS.keys() - {"brief"})
    ],
)
def test_the_same_pixels(name: str, whole: Any, tmp_path: Path) -> None:
    """Stopped after the first step, at the end of a scale, right after it, at the very end."""
    expected, steps = whole(name)
    path = tmp_path / "run.checkpoint"
    first = expected.recipe["resolved"]["scales"][0][2]
    assert first < steps, "there is more than one scale"
    for step in sorted({1, first, first + 1, steps}):
        partial = stopped(JOBS[name](), step, path)
        assert partial.interrupted
        assert describe(path).recipe == partial.recipe
        assert_same(gone_on(JOBS[name](), path), expected)


def test_a_tolerance_ends_scales_early(whole: Any) -> None:
    """Or else the case above would show nothing about totals."""
    steps = [n for _, _, n in whole("lbfgs with a tolerance")[0].recipe["resolved"]["scales"]]
    assert steps[0] < 30


def test_stopped_again_and_again(whole: Any, tmp_path: Path) -> None:
    """After every single step; the seconds continue, too."""
    expected, steps = whole("jitter")
    path, seconds = tmp_path / "run.checkpoint", [0.0]
    stopped(JOBS["jitter"](), 1, path)
    for _ in range(steps):
        events: list[Step] = []

        def keep(take: TakeSnapshot, last: bool) -> None:
            if last:
                save(path, take(), REQUEST)

        options = {"on_step": events.append, "stop": lambda: bool(events)}  # noqa: B023
        found = gone_on(JOBS["jitter"](), path, snapshots=SnapshotHooks(keep), **options)
        seconds += [event.seconds for event in events]
    assert_same(found, expected)
    assert seconds == sorted(seconds)
    assert len(seconds) == steps


@pytest.mark.parametrize("name", ["adam", "guide"])
def test_stopped_between_two_scales(name: str, whole: Any, tmp_path: Path) -> None:
    """Where a stop is asked for while the next scale is prepared."""
    expected, _ = whole(name)
    path, offers = tmp_path / "run.checkpoint", []
    first = expected.recipe["resolved"]["scales"][0][2]
    asked = iter([False] * (first + 1) + [True])

    def keep(take: TakeSnapshot, last: bool) -> None:
        offers.append(last)
        if last:
            save(path, take(), REQUEST)

    partial = JOBS[name]().run(stop=lambda: next(asked), snapshots=SnapshotHooks(keep))
    assert offers == [False] * first + [True]
    assert describe(path).recipe["resolved"] == partial.recipe["resolved"]
    assert_same(gone_on(JOBS[name](), path), expected)


def test_a_stop_before_the_first_new_step_has_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    before = stopped(JOBS["adam"](), 3, path)
    found = gone_on(JOBS["adam"](), path, stop=lambda: True)
    assert found.interrupted
    assert found.recipe["resolved"]["scales"][0][2] == 4
    assert before.recipe["resolved"]["scales"][0][2] == 3


@pytest.mark.parametrize("name", ["brief", "guide"])
def test_out_of_memory_on_the_way(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third evaluation on in tiles; the targets remain those of the whole picture."""
    monkeypatch.setattr(adaptive, "TILES_PX", (16,))
    calls: list[int] = []

    class Scarce(adaptive.TiledEngine):
        def __call__(self, image: torch.Tensor) -> Any:
            calls.append(1)
            if len(calls) == 3:
                raise MemoryError
            return super().__call__(image)

    monkeypatch.setattr(adaptive, "TiledEngine", Scarce)
    expected = JOBS[name]().run()
    calls.clear()
    path = tmp_path / "run.checkpoint"
    stopped(JOBS[name](), 3, path)
    assert (describe(path).measured_px, describe(path).tile_px) == (None, 16)
    job = JOBS[name]()
    job.memory_plan = MemoryPlan(16, job.memory_plan.history)
    assert_same(gone_on(job, path), expected)


def test_other_terms_are_told(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    stopped(JOBS["jitter"](), 2, path)
    job = JOBS["jitter"]()
    check_resumable(job, path, describe(path))
    assert job.notes == JOBS["jitter"]().notes
    job.memory_plan = MemoryPlan(256)
    check_resumable(job, path, describe(path))
    (note,) = job.notes[len(JOBS["jitter"]().notes) :]
    assert note.startswith("continues with tile_px 256 instead of None: the last bits")


def test_the_state_of_another_run(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    stopped(JOBS["jitter"](), 2, path)
    with pytest.raises(CheckpointError, match="other sizes than this version would use"):
        gone_on(dream(octaves=1), path)
    with pytest.raises(CheckpointError, match="other sizes than this version would use"):
        gone_on(dream(steps=1), path)
    stopped(JOBS["adam"](), 2, path)
    with pytest.raises(CheckpointError, match="state is that of another run"):
        gone_on(JOBS["lbfgs"](), path)
