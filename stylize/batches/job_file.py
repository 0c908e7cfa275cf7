"""Batches as TOML files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from glob import escape, has_magic
from pathlib import Path
from typing import Any

from stylize.errors import SettingError, UnknownNameError, UsageError, quoted
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.presets import is_path, read_toml, require_table
from stylize.settings.transfer import TransferSettings

MAX_BYTES = 1024 * 1024

SUFFIXES = ("png", "jpg", "webp", "avif", "tiff")


@dataclass(frozen=True)
class JobFile:
    """The contents of a job file; paths are relative to the current folder.

    Attributes:
        technique: ``transfer`` or ``dream``.
        inputs, output: where pictures come from and go to.
        styles: the style images of a transfer.
        presets: the presets of a dream, or the one preset of a transfer.
        each: use each style or preset by itself.
        recursive: also search subfolders.
        include_results: also take pictures made by this program.
        suffix, depth, quality: of the results.
        settings: as in a preset.
        execution: device, precision and threads.
    """

    technique: str
    inputs: tuple[str, ...]
    output: str
    styles: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    each: bool = False
    recursive: bool = False
    include_results: bool = False
    suffix: str = "png"
    depth: int = 8
    quality: int = 95
    settings: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)


_KINDS: dict[str, type] = {
    "technique": str,
    "output": str,
    "suffix": str,
    "each": bool,
    "recursive": bool,
    "include_results": bool,
    "depth": int,
    "quality": int,
    "settings": dict,
    "execution": dict,
}

_PATHS = ("inputs", "styles")


def read_job(path: Path) -> JobFile:
    """Read and check a file.

    Raises:
        UsageError: it cannot be read, is not TOML, lacks a key, or has an unknown key.
    """
    document = read_toml(path, "a job", MAX_BYTES)
    known = [each.name for each in fields(JobFile)]
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key not in known:
            require_table("settings", key, fields(TransferSettings) + fields(DreamSettings), path)
            require_table("execution", key, fields(Execution), path)
            raise UnknownNameError(f"key in {path.name}", key, known)
        values[key] = _checked(path, key, value)
    for key in ("technique", "inputs", "output"):
        if not values.get(key):
            raise UsageError(f"{path.name} has no '{key}'")
    _check_choices(path, values)
    folder = path.parent
    for key in _PATHS:
        values[key] = tuple(_within(folder, each) for each in values.get(key, ()))
    values["output"] = str(folder / values["output"])
    values["presets"] = tuple(
        str(folder / each) if is_path(each) else each for each in values.get("presets", ())
    )
    return JobFile(**values)


def _within(folder: Path, text: str) -> str:
    """Convert a path in the file to one from here; brackets in a folder's name are no pattern."""
    is_pattern = has_magic(text) and not os.path.lexists(folder / text)
    return os.path.join(escape(str(folder)), text) if is_pattern else str(folder / text)


def _checked(path: Path, key: str, value: Any) -> Any:
    """Check the type of a value; a string counts as a list of one."""
    if key in (*_PATHS, "presets"):
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
            raise SettingError(f"{path.name}: {key} is not a list of strings")
        for text in texts:
            if not text:  # as a path it would be the folder of the file
                raise SettingError(f"{path.name}: {key} holds an empty text")
            _require_no_nul(path, key, text)
        return tuple(texts)
    kind = _KINDS[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SettingError(f"{path.name}: {key} = {quoted(value)} has the wrong type")
    if isinstance(value, str):
        _require_no_nul(path, key, value)
    return value


def _require_no_nul(path: Path, key: str, text: str) -> None:
    """Refuse NUL characters, which no file name contains, with a message of our own."""
    if "\0" in text:
        raise SettingError(f"{path.name}: {key} holds a NUL character")


def _check_choices(path: Path, values: Mapping[str, Any]) -> None:
    choices = {"technique": ("transfer", "dream"), "suffix": SUFFIXES}
    for key, known in choices.items():
        if key in values and values[key] not in known:
            raise UnknownNameError(f"{key} in {path.name}", values[key], known)
    if values.get("depth", 8) not in (8, 16):
        raise SettingError(f"{path.name}: depth = {values['depth']}", hint="8 or 16")
    if values["technique"] == "transfer" and not values.get("styles"):
        raise UsageError(f"{path.name} has no 'styles'")
    if values["technique"] == "dream" and values.get("styles"):
        raise UsageError(f"{path.name}: a dream has no styles")
    if values["technique"] == "transfer" and len(values.get("presets", ())) > 1:
        raise UsageError(f"{path.name}: a transfer has one preset")
    known_execution = [each.name for each in fields(Execution)]
    for key in values.get("execution", {}):
        if key not in known_execution:
            raise UnknownNameError(f"key of [execution] in {path.name}", key, known_execution)
