"""Hostile presets and job files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.settings.presets import PRODUCTS, find_preset, preset_names
from tests.fuzz.amount import inputs
from tests.fuzz.conftest import QUICK
from tests.fuzz.mutations import documents, texts, to_toml
from tests.fuzz.pictures import photo_file, style_file
from tests.fuzz.rule import Sandbox

pytestmark = pytest.mark.slow

PICTURES = {"photo.png": photo_file, "style.png": style_file}

_COMMANDS: list[tuple[Any, ...]] = [
    ("presets", "show", "input.toml"),
    ("presets", "show", "input.toml", "--full"),
    ("transfer", "photo.png", "style.png", "--preset", "input.toml", *QUICK, "-o", "made.png"),
    ("dream", "photo.png", "--preset", "input.toml", *QUICK, "-o", "made.png"),
    ("tunnel", "photo.png", "--preset", "input.toml", *QUICK, "--frames", 2, "-o", "made.gif"),
    ("batch", "dream", "photo.png", "--preset", "input.toml", *QUICK, "-o", "out", "--dry-run"),
]


def _presets() -> list[dict[str, Any]]:
    found = []
    for technique in PRODUCTS:
        for name in preset_names(technique):
            preset = find_preset(technique, name)
            found.append(
                {
                    "name": name,
                    "technique": technique,
                    "description": preset.description,
                    "settings": dict(preset.settings),
                }
            )
    return found


def _jobs() -> list[dict[str, Any]]:
    execution = {"threads": 1, "precision": "fp32", "device": "cpu"}
    common = {"inputs": ["photo.png"], "output": "out", "suffix": "png", "execution": execution}
    dream = {"size": "32", "octaves": 1, "steps": 1, "layers": "conv1_1"}
    transfer = {"size": "32", "steps": 1, "style_layers": {"relu1_1": 1}}
    return [
        {"technique": "dream", **common, "presets": ["dogs", "eyes"], "each": True},
        {"technique": "dream", **common, "depth": 8, "recursive": False, "settings": dream},
        {
            "technique": "transfer",
            **common,
            "styles": ["style.png"],
            "quality": 90,
            "settings": transfer,
        },
    ]


def test_intact_presets_and_jobs(sandbox: Sandbox, network: None) -> None:
    files = {name: read() for name, read in PICTURES.items()}
    for preset in _presets():
        sandbox.check(["presets", "show", "a.toml"], {"a.toml": to_toml(preset)}, codes=(0,))
    for job in _jobs():
        words = ["batch", "run", "a.toml"]
        sandbox.check([*words, "--dry-run"], {"a.toml": to_toml(job), **files}, codes=(0,))
    sandbox.check(words, {"a.toml": to_toml(job), **files}, makes=_in_out, codes=(0,))


@inputs(120)
@given(
    text=st.deferred(lambda: texts(documents(_presets()).map(to_toml))),
    words=st.sampled_from(_COMMANDS),
)
def test_hostile_presets(
    sandbox: Sandbox, network: None, text: bytes, words: tuple[Any, ...]
) -> None:
    files = {name: read() for name, read in PICTURES.items()}
    files["input.toml"] = sandbox.placed(text)
    sandbox.check(words, files, makes=_is_made, codes=(0, 1, 2, 130))


@inputs(120)
@given(
    text=st.deferred(lambda: texts(documents(_jobs()).map(to_toml))),
    dry=st.sampled_from((True, True, True, False)),
)
def test_hostile_jobs(sandbox: Sandbox, network: None, text: bytes, dry: bool) -> None:
    files = {name: read() for name, read in PICTURES.items()}
    files["job.toml"] = sandbox.placed(text)
    words = ["batch", "run", "job.toml", *(["--dry-run"] if dry else [])]
    sandbox.check(words, files, remains=_in_any_folder, codes=(0, 1, 2, 130))


def _is_made(name: str) -> bool:
    return name.startswith(("work/made.", "work/.made."))


def _in_out(name: str) -> bool:
    return name == "work/out" or name.startswith("work/out/")


def _in_any_folder(name: str) -> bool:
    """A job says itself where its pictures go; what is there already stays as it is."""
    return name not in {"outside/precious.txt", *(f"work/{each}" for each in PICTURES)}
