"""Files that the program itself writes, from which the hostile ones are made."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner

from stylize.cli.main import cli
from stylize.runs.recipe import load_recipe
from tests.fuzz.conftest import BRIEF, QUICK, unlimited
from tests.fuzz.mutations import ROOT
from tests.fuzz.pictures import photo_file, style_file
from tests.fuzz.safetensors_files import described, sealed

FEW = (*QUICK, "--steps", 2, "--min-size", 32)


@contextmanager
def _workshop(*, whole: bool = True) -> Iterator[Path]:
    """A folder for the program to work in, with a limit for its steps unless all are made."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        Path("photo.png").write_bytes(photo_file())
        Path("style.png").write_bytes(style_file())
        try:
            with unlimited() if whole else nullcontext():
                yield Path(name)
        finally:
            os.chdir(before)


def _stylize(*words: object, code: int = 0) -> None:
    threads = torch.get_num_threads()
    result = CliRunner().invoke(cli, [str(word) for word in words], prog_name="stylize")
    torch.set_num_threads(threads)
    assert result.exit_code == code, result.output


@cache
def recipes() -> list[dict[str, Any]]:
    """Recipes of all products."""
    masks = ("--mask", "photo.png=style.png", "--init", "photo.png")
    presets = ("--presets", "draft,bold", "--size", 32, "--precision", "fp32")
    commands: list[tuple[Any, ...]] = [
        ("transfer", "photo.png", "style.png", *FEW),
        ("transfer", "photo.png", "style.png", "style.png", *FEW, "--optimizer", "adam", *masks),
        ("transfer", "photo.png", "style.png", *FEW, "--preset", "bold", "--dream", "eyes:0.5"),
        ("dream", "photo.png", *BRIEF),
        ("dream", "photo.png", *BRIEF, "--guide", "style.png", "--mask", "photo.png"),
        ("dream", "--from-noise", "32x24", *BRIEF[2:]),
        ("tunnel", "photo.png", *BRIEF[:-2], "--layer", "conv1_1", "--frames", 2),
        ("explore", "transfer", "photo.png", "style.png", *presets),
        ("inspect", "filters", "--layer", "conv1_1"),
    ]
    found = []
    with _workshop():
        for number, words in enumerate(commands):
            name = f"{number}.gif" if words[0] == "tunnel" else f"{number}.png"
            _stylize(*words, "-o", name)
            found.append(load_recipe(Path(name)))
    return found


@cache
def checkpoints() -> list[bytes]:
    """Checkpoints of runs that were stopped, for a result in the sandbox's own folder."""
    long = (*QUICK, "--steps", 20, "--min-size", 32, "--checkpoint", "run.checkpoint")
    commands: list[tuple[Any, ...]] = [
        ("transfer", "photo.png", "style.png", *long),
        ("transfer", "photo.png", "style.png", *long, "--optimizer", "adam", "--preset", "bold"),
        ("dream", "photo.png", *long[:-4], *long[-2:], "--octaves", 2, "--layer", "conv1_1"),
    ]
    found = []
    for words in commands:
        with _workshop(whole=False) as folder:
            _stylize(*words, "-o", "made.png", code=130)
            data = Path("run.checkpoint").read_bytes()
            text = json.dumps(described(data)).replace(str(folder), f"{ROOT}/work")
            found.append(sealed(data, text))
    return found


@cache
def batch() -> dict[str, bytes]:
    """The files of a finished batch."""
    with _workshop() as folder:
        _stylize("batch", "dream", "photo.png", "style.png", *BRIEF, "-o", "out", "--gallery")
        paths = [path for path in folder.rglob("out/**/*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
