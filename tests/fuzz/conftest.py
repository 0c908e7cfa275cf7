"""The sandbox, and the network read once."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from stylize.cli.progress import Stop
from stylize.images.open import pixel_limit, set_pixel_limit
from tests.conftest import photo, save
from tests.fuzz.rule import Sandbox

_COMMANDS = (
    "batch",
    "dream",
    "explore",
    "inspect",
    "replay",
    "resume",
    "run",
    "transfer",
    "tunnel",
)

# How often a run may ask whether it is to stop.
_limit = {"steps": 8}


@contextmanager
def unlimited() -> Iterator[None]:
    """Let runs end by themselves."""
    before, _limit["steps"] = _limit["steps"], 1000
    yield
    _limit["steps"] = before


# Words that make a run short.
QUICK = ("--size", 32, "--precision", "fp32", "--threads", 1, "--max-input-pixels", 1_000_000)
BRIEF = (*QUICK, "--steps", 1, "--octaves", 1, "--layer", "conv1_1")


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Where the command runs; everything that a run sets for its whole process is undone."""
    for name in _COMMANDS:
        import_module(f"stylize.cli.{name}")
    root = tmp_path / "sandbox"
    root.mkdir()
    found = Sandbox(root, tmp_path / "kept")
    for variable, name in {
        "HOME": "home",
        "TMPDIR": "tmp",
        "STYLIZE_CACHE_DIR": "cache",
        "STYLIZE_DATA_DIR": "data",
        "XDG_CACHE_HOME": "home",
        "XDG_DATA_HOME": "home",
    }.items():
        monkeypatch.setenv(variable, str(found.root / name))
    monkeypatch.setattr(tempfile, "tempdir", None)
    ours, pillows, threads = pixel_limit(), Image.MAX_IMAGE_PIXELS, torch.get_num_threads()
    with monkeypatch.context() as patch:
        patch.chdir(found.work)
        _stop_early(patch)
        # So that no input pays for the first import of a library, in memory neither.
        save(photo(24, 32), found.root / "warm.png")
        for words in (("transfer", "warm.png", "warm.png"), ("dream", "warm.png")):
            found.warm([*words, *QUICK, "--steps", 1])
        (found.root / "warm.png").unlink()
        yield found
    set_pixel_limit(ours)
    Image.MAX_IMAGE_PIXELS = pillows
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


@pytest.fixture
def network(sandbox: Sandbox, vgg16: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual network is read once, after everything is imported."""
    from stylize.networks.models import load_weights

    for name, module in list(sys.modules.items()):
        if name.startswith("stylize.") and hasattr(module, "load_weights"):
            monkeypatch.setattr(
                module,
                "load_weights",
                lambda name: vgg16 if name == vgg16.name else load_weights(name),
            )


def _stop_early(patch: pytest.MonkeyPatch) -> None:
    """Make every run stop after a few steps, as Ctrl-C would: a file may ask for a million."""

    class Counted(Stop):
        def __init__(self) -> None:
            super().__init__()
            self._asked = count(1)

        def __call__(self) -> bool:
            return next(self._asked) > _limit["steps"]

    @contextmanager
    def stop_early(**options: Any) -> Iterator[Stop]:
        yield Counted()

    for name in _COMMANDS:
        module = sys.modules[f"stylize.cli.{name}"]
        if hasattr(module, "stop_on_interrupt"):
            patch.setattr(module, "stop_on_interrupt", stop_early)
