"""Hostile batch folders: manifests, claims, and what is in the place of results."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.amount import inputs
from tests.fuzz.conftest import BRIEF
from tests.fuzz.made import batch
from tests.fuzz.mutations import documents, texts, to_json
from tests.fuzz.pictures import photo_file, style_file
from tests.fuzz.rule import Sandbox

pytestmark = pytest.mark.slow

_AGAIN = ("batch", "dream", "photo.png", "style.png", *BRIEF, "-o", "out")

_COMMANDS: list[tuple[Any, ...]] = [
    ("batch", "status", "out"),
    ("batch", "status", "out"),
    ("batch", "status", "out", "--json"),
    ("batch", "status", "out", "--json"),
    _AGAIN,
    (*_AGAIN, "--retry-failed", "--json"),
    (*_AGAIN, "--overwrite"),
    (*_AGAIN, "--gallery"),
    (*_AGAIN, "--dry-run"),
]


def _link(path: str, target: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            place.rename(place.with_name("moved"))
        place.unlink(missing_ok=True)
        place.symlink_to(folder / target)

    return make


def _folder(path: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / path).unlink(missing_ok=True)
        (folder / path / "inner").mkdir(parents=True)

    return make


def _pipe(path: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        os.mkfifo(place)

    return make


def _foreign_locks(folder: Path) -> None:
    (folder / "../outside/yarn.lock").write_text("yarn\n")
    _link("out/.stylize/claims", "../outside")(folder)


_CLAIM = "out/.stylize/claims/" + "0" * 32 + ".lock"

_SETUPS: list[Callable[[Path], None]] = [
    *[lambda folder: None] * 6,
    _link("out/photo.png", "../outside/precious.txt"),
    _link("out/photo.png", "../outside/absent.png"),
    _link("out/.stylize/claims/probe.lock", "../outside/absent.lock"),
    _link(_CLAIM, "../outside/precious.txt"),
    _link("out/.stylize/manifest-x.jsonl", "/dev/zero"),
    _link("out/.stylize/manifest-y.jsonl", "out/.stylize/manifest-y.jsonl"),
    _link("out/index.html", "../outside/absent.html"),
    _folder("out/photo.png"),
    _pipe("out/photo.png"),
    _folder("out/.stylize/manifest-z.jsonl"),
    _folder(_CLAIM),
    _pipe("out/.stylize/manifest-p.jsonl"),
]


@st.composite
def _manifests(draw: Callable[..., Any]) -> str:
    """Some lines, most of them hostile."""
    entries = [
        json.loads(line)
        for name, data in batch().items()
        if name.endswith(".jsonl")
        for line in data.splitlines()
    ]
    lines = draw(st.lists(documents(entries).map(to_json), min_size=1, max_size=3))
    if draw(st.booleans()):
        lines.append(json.dumps(entries[0]))
    return draw(st.sampled_from(("\n", "\r\n", "\n\n", ""))).join(lines) + "\n"


def test_an_intact_batch_is_done(sandbox: Sandbox, network: None) -> None:
    files = {**batch(), "photo.png": photo_file(), "style.png": style_file()}
    for words in _COMMANDS:
        sandbox.check(words, files, remains=_in_out, codes=(0, 130))


@inputs(150)
@given(
    manifest=texts(_manifests()),
    setup=st.sampled_from(_SETUPS),
    words=st.sampled_from(_COMMANDS),
)
def test_hostile_batches(
    sandbox: Sandbox,
    network: None,
    manifest: bytes,
    setup: Callable[[Path], None],
    words: tuple[Any, ...],
) -> None:
    files = {key: data for key, data in batch().items() if not key.endswith(".jsonl")}
    files |= {"photo.png": photo_file(), "style.png": style_file()}
    files["out/.stylize/manifest-a.jsonl"] = sandbox.placed(manifest)
    sandbox.check(words, files, remains=_in_out, codes=(0, 1, 2, 130), setup=setup)


def _in_out(name: str) -> bool:
    return name == "work/out" or name.startswith("work/out/")
