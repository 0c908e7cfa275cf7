"""Hostile checkpoints: their descriptions with the right checksum, their headers, their bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.amount import inputs
from tests.fuzz.made import checkpoints
from tests.fuzz.mutations import ROOT, Draw, File, damaged, documents, to_json
from tests.fuzz.pictures import photo_file, style_file
from tests.fuzz.rule import Sandbox
from tests.fuzz.safetensors_files import described, joined, parted, sealed

pytestmark = pytest.mark.slow

_COMMANDS: list[tuple[Any, ...]] = [
    ("resume", "input.checkpoint"),
    ("resume", "input.checkpoint", "--json"),
    ("resume", "input.checkpoint", "-o", "other.png"),
    ("resume", "input.checkpoint", "-o", "other.png", "--overwrite", "--max-memory", "300MB"),
    ("transfer", "photo.png", "style.png", "--checkpoint", "input.checkpoint", "-o", "other.png"),
]


@st.composite
def _hostile(draw: Draw) -> File:
    """A checkpoint of one of three kinds; the root stands for the sandbox."""
    data = draw(st.sampled_from(checkpoints()))
    kind = draw(st.sampled_from(("description", "description", "header", "bytes")))
    if kind == "description":
        document = draw(documents([described(data)]))
        return File(sealed(data, to_json(document)))
    header, body = parted(data)
    if kind == "header":
        header = draw(documents([header]))
        return File(joined(header, body))
    return draw(damaged([data]))


def _files(data: bytes) -> dict[str, bytes | str]:
    return {"input.checkpoint": data, "photo.png": photo_file(), "style.png": style_file()}


def _placed(sandbox: Sandbox, data: bytes) -> bytes:
    """With the sandbox's own path, sealed again if it was."""
    if ROOT.encode() not in data:
        return data
    try:
        text = parted(data)[0]["__metadata__"]["stylize"]
        resealed = sealed(data, text.replace(ROOT, str(sandbox.root)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data
    return resealed if sealed(data, text) == data else data


def test_intact_checkpoints_are_resumed(sandbox: Sandbox, network: None) -> None:
    for data in checkpoints():
        placed = _placed(sandbox, data)
        assert json.loads(parted(placed)[0]["__metadata__"]["stylize"])
        words = ["resume", "input.checkpoint"]
        sandbox.check(words, _files(placed), makes=_is_new, codes=(0, 130))


@inputs(150)
@given(data=st.deferred(_hostile), words=st.sampled_from(_COMMANDS))
def test_hostile_checkpoints(
    sandbox: Sandbox, network: None, data: bytes, words: tuple[Any, ...]
) -> None:
    files = _files(_placed(sandbox, data))
    sandbox.check(words, files, makes=_is_new, codes=(0, 1, 2, 130))


def _is_new(name: str) -> bool:
    """A run makes a picture next to its checkpoint, and updates or removes the checkpoint."""
    return name.startswith("work/") and name not in ("work/photo.png", "work/style.png")
