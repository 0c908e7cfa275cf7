"""Nothing but the very bytes that were written is taken for a checkpoint."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from stylize.errors import CheckpointError, OutputError, StylizeError
from stylize.runs.checkpoint import is_checkpoint, read, remove_remains, write

DOCUMENT = {"format": 1, "words": "größer ☃", "figures": [1, 0.1, None]}
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
def test_any_other_byte(content: bytes, scratch: Path, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    refused(scratch, bytes(changed))


@given(st.data())
def test_any_other_length(content: bytes, scratch: Path, data: st.DataObject) -> None:
    refused(scratch, content[: data.draw(st.integers(0, len(content) - 1))])
    refused(scratch, content + data.draw(st.binary(min_size=1, max_size=9)))


@given(st.binary(max_size=200))
def test_any_other_content(scratch: Path, rubbish: bytes) -> None:
    assert "is no checkpoint of stylize" in refused(scratch, rubbish)


def test_what_is_wrong_is_told_apart(content: bytes, scratch: Path) -> None:
    assert "damaged or incomplete (it cannot be used" in refused(scratch, content[:-1])
    edited = content.replace("größer".encode("ascii", "backslashreplace")[:1], b"k", 1)
    assert edited != content
    refused(scratch, edited)
    save_file(ARRAYS, scratch, {"stylize": json.dumps(DOCUMENT)})
    assert not is_checkpoint(scratch)
    assert "is no checkpoint of stylize" in refused(scratch, scratch.read_bytes())


@pytest.mark.parametrize("text", ["", "[]", "7", "nothing", "[" * 20_000])
def test_forged_documents(text: str, scratch: Path) -> None:
    """With the digest that belongs to them."""
    zeros = "0" * 64
    header = json.dumps({"__metadata__": {"sha256": zeros, "stylize": text}}, separators=(",", ":"))
    whole = len(header).to_bytes(8, "little") + header.encode()
    forged = whole.replace(zeros.encode(), hashlib.sha256(whole).hexdigest().encode(), 1)
    assert "is no checkpoint of stylize" in refused(scratch, forged)


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
        write(path, {"format": 2}, ARRAYS)
    assert read(path) == DOCUMENT
    assert os.listdir(tmp_path) == [path.name]


def test_no_numbers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "run.checkpoint", {"loss": float("nan")}, {})
    assert os.listdir(tmp_path) == []


def test_what_was_killed_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not what belongs to other files."""
    path, other = tmp_path / "run.checkpoint", tmp_path / ".stylize-0123.part"
    other.write_bytes(b"")

    def killed(source: Any, target: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        patch.setattr(os, "getpid", lambda: 12345)
        with pytest.raises(KeyboardInterrupt):
            write(path, DOCUMENT, ARRAYS)
        patch.setattr(os, "getpid", lambda: 54321)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "another", DOCUMENT, ARRAYS)
    assert len(os.listdir(tmp_path)) == 3
    write(path, DOCUMENT, ARRAYS)
    assert len(os.listdir(tmp_path)) == 3
    remove_remains(tmp_path / "another")
    assert set(os.listdir(tmp_path)) == {other.name, path.name}


def test_errors_are_lines() -> None:
    assert issubclass(CheckpointError, StylizeError)
    assert CheckpointError("x").exit_code == 1
