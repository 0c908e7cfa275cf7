"""Checkpoints: when one is written, what comes back, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from stylize.errors import CheckpointError, OutputError, StylizeError
from stylize.optimize.snapshot import ScaleOutcome, Snapshot, State
from stylize.runs.checkpoint import (
    FORMAT,
    CheckpointPolicy,
    Request,
    describe,
    is_checkpoint,
    load,
    read,
    save,
    write,
)
from stylize.settings.schedule import Scale
from tests.cli.conftest import program

DOCUMENT = {"format": FORMAT, "words": "größer ☃", "figures": [1, 0.1, None]}
ARRAYS = {
    "image": np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2),
    "noise": np.arange(7, dtype=np.uint8),
    "sums": np.array([0.1], dtype=np.float64),
}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("content") / "run.checkpoint"
    write(path, DOCUMENT, ARRAYS)
    return path.read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "run.checkpoint"


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        read(path)
    assert str(path) in raised.value.message
    return str(raised.value)


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    write(path, DOCUMENT, ARRAYS)
    assert read(path) == DOCUMENT
    assert is_checkpoint(path)
    assert os.listdir(tmp_path) == [path.name]


def test_it_is_a_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    write(path, DOCUMENT, ARRAYS)
    found = load_file(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    with safe_open(path, framework="numpy") as opened:
        assert json.loads(opened.metadata()["stylize"]) == DOCUMENT


@given(st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(
    content: bytes, scratch: Path, data: st.DataObject
) -> None:
    """JSON has several spellings of one header."""
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    scratch.write_bytes(bytes(changed))
    try:
        found = read(scratch)
    except CheckpointError as error:
        assert str(scratch) in error.message
        return
    assert found == DOCUMENT
    for name, array in load_file(scratch).items():
        np.testing.assert_array_equal(array, ARRAYS[name])


@given(st.data())
def test_any_other_length(content: bytes, scratch: Path, data: st.DataObject) -> None:
    refused(scratch, content[: data.draw(st.integers(0, len(content) - 1))])
    refused(scratch, content + data.draw(st.binary(min_size=1, max_size=9)))


@given(st.binary(max_size=200))
def test_any_other_content(scratch: Path, rubbish: bytes) -> None:
    assert "is not a checkpoint of stylize" in refused(scratch, rubbish)


def test_a_changed_value_is_damage(content: bytes, scratch: Path) -> None:
    assert "is damaged (start the run again)" in refused(scratch, content[:-1] + b"\1")
    assert "is damaged" in refused(scratch, content.replace(b"figures", b"Figures"))


def test_a_file_of_tensors_is_no_checkpoint(scratch: Path) -> None:
    save_file(ARRAYS, scratch, {"other": "program"})
    assert not is_checkpoint(scratch)
    assert "is not a checkpoint of stylize" in refused(scratch, scratch.read_bytes())


def test_another_version(scratch: Path) -> None:
    """Version 0.1.0 kept its document under the same key."""
    text = json.dumps({"format": 1, "version": "0.1.0"})
    save_file(ARRAYS, scratch, {"stylize": text, "sha256": "0" * 64})
    assert is_checkpoint(scratch)
    assert refused(scratch, scratch.read_bytes()).endswith(
        "was written by another version of stylize"
        " (resume it with stylize 0.1.0, or start the run again)"
    )


@pytest.mark.parametrize("text", ["", "[]", "7", "nothing", "[" * 20_000])
def test_forged_documents(text: str, scratch: Path) -> None:
    save_file(ARRAYS, scratch, {"stylize": text, "sha256": "0" * 64})
    assert "is not a checkpoint of stylize" in refused(scratch, scratch.read_bytes())


def test_tensors_of_a_kind_that_numpy_does_not_have(scratch: Path) -> None:
    header = json.dumps(
        {
            "__metadata__": {"stylize": json.dumps(DOCUMENT)},
            "image": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]},
        }
    ).encode()
    refused(scratch, len(header).to_bytes(8, "little") + header + b"\0")


def test_descriptions_need_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    save(path, snapshot(), REQUEST)
    probe = (
        "import sys; from pathlib import Path; from stylize.runs.checkpoint import describe\n"
        "print(describe(Path(sys.argv[1])).seconds, 'torch' in sys.modules)"
    )
    call = program() | {"args": [sys.executable, "-c", probe, str(path)]}
    assert subprocess.check_output(**call, text=True) == "12.5 False\n"


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file"):
        read(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="is not a regular file"):
        read(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(Path("nul\0"))
    assert not is_checkpoint(tmp_path / "gone")
    assert not is_checkpoint(tmp_path)


def test_a_refusal_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.checkpoint"
    write(path, DOCUMENT, ARRAYS)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left on device"):
        write(path, {"format": FORMAT}, ARRAYS)
    assert read(path) == DOCUMENT
    assert os.listdir(tmp_path) == [path.name]


def test_no_numbers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "run.checkpoint", {"loss": float("nan")}, {})
    assert os.listdir(tmp_path) == []


KILLED = """
import os, sys
import safetensors.numpy
from pathlib import Path
from stylize.runs.checkpoint import write

def killed(arrays, path, metadata):
    Path(path).with_name(".tmpABC").touch()
    os._exit(9)

safetensors.numpy.save_file = killed
write(Path(sys.argv[1]), {}, {})
"""


def test_what_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    """But not what has another name."""
    path, other = tmp_path / "run.checkpoint", tmp_path / ".stylize-0123.part"
    other.write_bytes(b"")
    call = program() | {"args": [sys.executable, "-c", KILLED, str(path)]}
    assert subprocess.run(**call, check=False).returncode == 9
    assert len(os.listdir(tmp_path)) == 3, "a file and a folder"
    write(path, DOCUMENT, ARRAYS)
    assert set(os.listdir(tmp_path)) == {other.name, path.name}


@pytest.mark.skipif(os.name == "nt", reason="permissions are of another kind there")
def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    write(tmp_path / "run.checkpoint", DOCUMENT, ARRAYS)
    assert (tmp_path / "run.checkpoint").stat().st_mode == plain.stat().st_mode


def test_errors_are_lines() -> None:
    assert issubclass(CheckpointError, StylizeError)
    assert CheckpointError("x").exit_code == 1


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
    """A clock that changes only when it is set, and a list of warnings."""

    def __init__(self, path: Path, **changes: Any) -> None:
        self.seconds, self.said = 0.0, []
        self.policy = CheckpointPolicy(
            path, REQUEST, self.said.append, clock=lambda: self.seconds, **changes
        )

    def offered(self, seconds: float, found: Snapshot | None = None, last: bool = False) -> bool:
        """Whether a snapshot was taken at that time."""
        taken: list[Snapshot] = []

        def take() -> Snapshot:
            taken.append(found or snapshot())
            return taken[0]

        self.seconds = seconds
        self.policy.offer(take, last)
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
    assert not watch.policy.present
    assert watch.offered(1, last=True)
    assert watch.policy.present
    watch.policy.discard()
    assert not watch.policy.present
    assert list(tmp_path.iterdir()) == []
    watch.policy.discard()


def test_a_failure_is_told_once_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    watch = Watch(folder / "run.checkpoint")
    assert watch.offered(120)
    assert watch.offered(240)
    (line,) = watch.said
    assert line.startswith("no checkpoint: cannot write ")
    assert line.endswith("no such file or directory; the run continues without one")
    assert not watch.policy.present
    folder.mkdir()
    assert watch.offered(360)
    assert watch.policy.present
    assert describe(watch.policy.path).seconds == 12.5


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_what_makes_no_sense_does_not_replace_what_does(tmp_path: Path, loss: float) -> None:
    watch = Watch(tmp_path / "run.checkpoint")
    watch.offered(120)
    before = watch.policy.path.read_bytes()
    assert watch.offered(240, snapshot(loss))
    assert watch.policy.path.read_bytes() == before
    assert watch.said == []


def test_all_of_it_comes_back(tmp_path: Path) -> None:
    path, kept = tmp_path / "run.checkpoint", snapshot(measured_px=None, tile_px=256)
    save(path, kept, REQUEST)
    description = describe(path)
    assert description.request == REQUEST
    found = load(path, description, SCALES)
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
    save(path, dataclasses.replace(snapshot(), optimizer=state), REQUEST)
    found = load(path, describe(path), SCALES).optimizer.tensors["one"]
    assert torch.equal(found, tensor)
    wide = [each for each in range(4) if tensor.shape[each] > 1]
    assert [found.stride(each) for each in wide] == [tensor.stride(each) for each in wide]


def rewritten(path: Path, changes: dict[str, Any]) -> Path:
    """A checkpoint that somebody has changed, with the right digest."""
    save(path, snapshot(), REQUEST)
    document = read(path)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(document.get(key), dict)
        document[key] = document[key] | value if nested else value
    arrays = {"image": torch.zeros(1, 3, 8, 12).numpy(), "totals": torch.zeros(2).numpy()}
    write(path, document, arrays)
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
    with pytest.raises(CheckpointError, match="is a checkpoint without the state of a run"):
        describe(rewritten(tmp_path / "run.checkpoint", changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": RECIPE | {"resolved": {"scales": [[6, 4, 3]]}}}, "other sizes"),
        ({"recipe": RECIPE | {"resolved": {}}}, "other sizes"),
        ({"scales": [[3, {}], [4, {}]]}, "other sizes"),
        ({"orders": {"last": [0, 1, 2, 3]}}, "without the state of a run"),
        ({"orders": {"image": [0, 1]}}, "without the state of a run"),
        ({"orders": {"totals": []}}, "without the state of a run"),
    ],
    ids=str,
)
def test_forged_snapshots(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = tmp_path / "run.checkpoint"
    if "orders" in changes:
        changes = {"orders": {"image": [0, 1, 2, 3], "totals": [0]} | changes["orders"]}
    rewritten(path, {})
    document = read(path) | changes
    arrays = {"image": torch.zeros(1, 3, 8, 12).numpy(), "totals": torch.zeros(2).numpy()}
    write(path, document, arrays)
    with pytest.raises(CheckpointError, match=said):
        load(path, describe(path), SCALES)


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    save(path, snapshot(), REQUEST)
    description = describe(path)
    path.unlink()
    with pytest.raises(CheckpointError):
        load(path, description, SCALES)


def test_a_file_that_appears_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    watch = Watch(path)
    watch.offered(120)
    path.unlink()
    path.write_bytes(b"theirs")
    watch.offered(240)
    assert watch.policy.path == tmp_path / "run-2.checkpoint"
    assert describe(watch.policy.path).seconds == 12.5
    watch.policy.discard()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("seconds", "terminated", "last", "kept"),
    [(61, True, True, True), (59, True, True, False), (61, False, True, False),
     (1000, True, False, False)],
)  # fmt: skip
def test_a_terminated_run_is_kept_if_it_is_worth_it(
    tmp_path: Path, seconds: float, terminated: bool, last: bool, kept: bool
) -> None:
    watch = Watch(tmp_path / "run.checkpoint", only_terminated=True)
    watch.policy.is_terminated = lambda: terminated
    assert watch.offered(seconds, last=last) is kept
    assert watch.policy.path.exists() is kept
