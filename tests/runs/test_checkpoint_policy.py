"""When a checkpoint is written, what comes back, and what is said if it cannot be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.errors import CheckpointError
from stylize.optimize.snapshot import ScaleOutcome, Snapshot, State
from stylize.runs import checkpoint as container
from stylize.runs import checkpoint_policy as snapshots
from stylize.runs.checkpoint import Request, describe
from stylize.runs.checkpoint_policy import CheckpointPolicy
from stylize.settings.schedule import Scale

REQUEST = Request("/tmp/out.png", None, "16", 80, True, 10**6, 2.0)
SCALES = [Scale(4, 6, 3), Scale(8, 12, 5)]
RECIPE: dict[str, Any] = {
    "tool": "stylize",
    "schema": 1,
    "technique": "transfer",
    "settings": {},
    "inputs": [],
    "resolved": {"scales": [[6, 4, 3], [12, 8, 2]]},
}


def snapshot(loss: float = 0.1, **changes: Any) -> Snapshot:
    outcomes = (
        ScaleOutcome(SCALES[0], 3, {"style": 0.3}, stopped=False),
        ScaleOutcome(SCALES[1], 2, {"style": loss}, stopped=True),
    )
    image = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    state = State(
        {"last": image.to(memory_format=torch.channels_last), "generator": torch.arange(9).byte()},
        {"damping": 1 / 3, "pairs": 2},
    )
    values = {"totals": torch.tensor([0.1, 0.2]), "image": image, "optimizer": state}
    return Snapshot(outcomes, **values, seconds=12.5, recipe=RECIPE, **changes)


class Watch:
    """A clock that stands still unless it is set, and a list of warnings."""

    def __init__(self, path: Path) -> None:
        self.seconds, self.said = 0.0, []
        self.keeper = CheckpointPolicy(path, REQUEST, self.said.append, clock=lambda: self.seconds)

    def offered(self, seconds: float, found: Snapshot | None = None, last: bool = False) -> bool:
        """Whether a snapshot was taken at that time."""
        taken: list[Snapshot] = []

        def take() -> Snapshot:
            taken.append(found or snapshot())
            return taken[0]

        self.seconds = seconds
        self.keeper.offer(take, last)
        return bool(taken)


def test_every_so_often(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "run.checkpoint")
    times = [1, 119, 120, 121, 239, 240, 359, 1000, 1001]
    assert [watch.offered(time) for time in times] == [
        False, False, True, False, False, True, False, True, False
    ]  # fmt: skip


def test_a_stop_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    watch = Watch(path)
    assert not watch.keeper.present
    assert watch.offered(1, last=True)
    assert watch.keeper.present
    watch.keeper.discard()
    assert not watch.keeper.present
    assert list(tmp_path.iterdir()) == []
    watch.keeper.discard()


def test_a_failure_is_told_once_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    watch = Watch(folder / "run.checkpoint")
    assert watch.offered(120)
    assert watch.offered(240)
    (line,) = watch.said
    assert line.startswith("no checkpoint: cannot write ")
    assert line.endswith("no such file or directory; the run goes on without")
    assert not watch.keeper.present
    folder.mkdir()
    assert watch.offered(360)
    assert watch.keeper.present
    assert describe(watch.keeper.path).seconds == 12.5


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_what_makes_no_sense_does_not_replace_what_does(tmp_path: Path, loss: float) -> None:
    watch = Watch(tmp_path / "run.checkpoint")
    watch.offered(120)
    before = watch.keeper.path.read_bytes()
    assert watch.offered(240, snapshot(loss))
    assert watch.keeper.path.read_bytes() == before
    assert watch.said == []


def test_all_of_it_comes_back(tmp_path: Path) -> None:
    path, kept = tmp_path / "run.checkpoint", snapshot(measured_px=None, tile_px=256)
    snapshots.save(path, kept, REQUEST)
    description = describe(path)
    assert description.request == REQUEST
    found = snapshots.load(path, description, SCALES)
    assert found.outcomes[0] == kept.outcomes[0]
    assert found.outcomes[1] == dataclasses.replace(kept.outcomes[1], stopped=False)
    assert (found.seconds, found.measured_px, found.tile_px) == (12.5, None, 256)
    assert found.recipe == RECIPE
    assert found.optimizer.numbers == kept.optimizer.numbers
    pairs = [(found.image, kept.image), (found.totals, kept.totals)]
    pairs += [(each, kept.optimizer.tensors[n]) for n, each in found.optimizer.tensors.items()]
    assert len(pairs) == 4
    for one, other in pairs:
        assert torch.equal(one, other)
        assert one.stride() == other.stride()


@given(st.permutations(range(4)), st.tuples(*[st.integers(1, 4)] * 4))
def test_tensors_lie_in_memory_as_they_did(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], shape: tuple[int, ...]
) -> None:
    path = tmp_path_factory.mktemp("order") / "run.checkpoint"
    tensor = torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)
    tensor = tensor.permute(order)
    state = State({"one": tensor}, {})
    snapshots.save(path, dataclasses.replace(snapshot(), optimizer=state), REQUEST)
    found = snapshots.load(path, describe(path), SCALES).optimizer.tensors["one"]
    assert torch.equal(found, tensor)
    wide = [each for each in range(4) if tensor.shape[each] > 1]
    assert [found.stride(each) for each in wide] == [tensor.stride(each) for each in wide]


def rewritten(path: Path, changes: dict[str, Any]) -> Path:
    """A checkpoint that somebody has changed, with the right digest."""
    snapshots.save(path, snapshot(), REQUEST)
    document = container.read(path)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(document.get(key), dict)
        document[key] = document[key] | value if nested else value
    arrays = {"image": torch.zeros(1, 3, 8, 12).numpy(), "totals": torch.zeros(2).numpy()}
    container.write(path, document, arrays)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": 7},
        {"recipe": {"tool": "other"}},
        {"recipe": {"settings": None}},
        {"request": None},
        {"request": {"depth": "12"}},
        {"request": {"quality": True}},
        {"request": {"target": 7}},
        {"request": {"minutes": -1}},
        {"request": {"max_input_pixels": 0}},
        {"request": {"format": "exe"}},
        {"request": {"more": 1}},
        {"scales": []},
        {"scales": 7},
        {"scales": [[3]]},
        {"scales": [[0, {}]]},
        {"scales": [[3, {"style": "much"}]]},
        {"scales": [[3, []]]},
        {"seconds": "long"},
        {"tile_px": 1.5},
        {"numbers": {"damping": None}},
        {"numbers": 3},
        {"orders": {"image": [0, 0]}},
        {"orders": {"image": ["x", 0]}},
        {"more": 1},
    ],
    ids=json.dumps,
)
def test_forged_descriptions(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint that can be followed"):
        describe(rewritten(tmp_path / "run.checkpoint", changes))


def test_another_format(tmp_path: Path) -> None:
    changes = {"format": 2, "version": "9.1"}
    with pytest.raises(CheckpointError, match=r"format 2, this version reads 1 .*stylize 9\.1"):
        describe(rewritten(tmp_path / "run.checkpoint", changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": RECIPE | {"resolved": {"scales": [[6, 4, 3]]}}}, "other sizes"),
        ({"recipe": RECIPE | {"resolved": {}}}, "other sizes"),
        ({"scales": [[3, {}], [4, {}]]}, "other sizes"),
        ({"orders": {"last": [0, 1, 2, 3]}}, "no checkpoint that can be followed"),
        ({"orders": {"image": [0, 1]}}, "no checkpoint that can be followed"),
        ({"orders": {"totals": []}}, "no checkpoint that can be followed"),
    ],
    ids=str,
)
def test_forged_snapshots(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = tmp_path / "run.checkpoint"
    if "orders" in changes:
        changes = {"orders": {"image": [0, 1, 2, 3], "totals": [0]} | changes["orders"]}
    rewritten(path, {})
    document = container.read(path) | changes
    arrays = {"image": torch.zeros(1, 3, 8, 12).numpy(), "totals": torch.zeros(2).numpy()}
    container.write(path, document, arrays)
    with pytest.raises(CheckpointError, match=said):
        snapshots.load(path, describe(path), SCALES)


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    snapshots.save(path, snapshot(), REQUEST)
    description = describe(path)
    path.unlink()
    with pytest.raises(CheckpointError):
        snapshots.load(path, description, SCALES)
