"""What can be set, as documents for pages and programs, from the settings dataclasses. No torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import Group, option_name, to_document
from stylize.settings.keywords import in_python
from stylize.settings.presets import DEFAULTS, Preset
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.studio.requests import usable_presets

KINDS: Mapping[str, type[Any]] = {
    "transfer": TransferSettings,
    "dream": DreamSettings,
    "execution": Execution,
    "video": VideoSettings,
}

_TYPES = {
    "str": "text",
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "tuple[float, ...]": "numbers",
    "tuple[str, ...]": "texts",
    "LayerWeights": "layers",
}

# What follows a help text: the default, as people say it.
_DEFAULT = re.compile(r"\s+\[([^\]]+)\]$")


@cache
def settings_document() -> dict[str, Any]:
    """List all settings in the groups of the help, the everyday ones of each group first."""
    return {name: {"groups": _groups(kind)} for name, kind in KINDS.items()}


def _groups(kind: type[Any]) -> list[dict[str, Any]]:
    found: dict[Group, list[dict[str, Any]]] = {group: [] for group in Group}
    fields = sorted(dataclasses.fields(kind), key=lambda each: not each.metadata["everyday"])
    for each in fields:
        found[each.metadata["group"]].append(_setting(each))
    return [
        {"name": str(group), "settings": members} for group, members in found.items() if members
    ]


def _setting(each: dataclasses.Field[Any]) -> dict[str, Any]:
    data = each.metadata
    kind = _TYPES[str(each.type).removesuffix(" | None")]
    text = _DEFAULT.search(data["help"])
    return {
        "name": each.name,
        "type": "choice" if kind == "text" and data["choices"] else kind,
        "nullable": "None" in str(each.type),
        "default": _plain(each, each.default),
        "default_text": text and in_python(text[1]),
        "help": in_python(_DEFAULT.sub("", data["help"])),
        "everyday": data["everyday"],
        "low": data["low"],
        "high": data["high"],
        "above": data["above"],
        "choices": data["choices"] and list(data["choices"]),
        "metavar": data["metavar"],
        "option": option_name(each),
        "needs": {name: list(values) for name, values in data["needs"].items()},
    }


def _plain(each: dataclasses.Field[Any], value: Any) -> Any:
    if isinstance(value, tuple):
        return dict(value) if each.type == "LayerWeights" else list(value)
    return value


def presets_document(thumbnails: frozenset[str] = frozenset()) -> dict[str, Any]:
    """List the built-in presets whose networks are installed, by kind.

    Args:
        thumbnails: ``KIND/NAME`` of the presets of which the page has a picture.
    """
    return {
        kind: [_preset(kind, each, thumbnails) for each in usable_presets(kind)]
        for kind in DEFAULTS
    }


def _preset(kind: str, preset: Preset, thumbnails: frozenset[str]) -> dict[str, Any]:
    settings = preset.apply()
    values = {each.name: None for each in dataclasses.fields(settings)} | to_document(settings)
    place = f"{kind}/{preset.name}"
    return {
        "name": preset.name,
        "description": preset.description,
        "is_default": preset.name == DEFAULTS[kind],
        "settings": dict(preset.settings),
        "values": values,
        "thumbnail": f"/static/presets/{place}.webp" if place in thumbnails else None,
    }


def json_schema(kind: type[Any]) -> dict[str, Any]:
    """Write the settings of a class as a JSON Schema; each may be left out."""
    properties = {each.name: _property(each) for each in dataclasses.fields(kind)}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _property(each: dataclasses.Field[Any]) -> dict[str, Any]:
    data = each.metadata
    bounds = {
        "minimum": data["low"],
        "maximum": data["high"],
        "exclusiveMinimum": data["above"],
    }
    number = {key: value for key, value in bounds.items() if value is not None}
    text: dict[str, Any] = {"type": "string"}
    if data["choices"]:
        text["enum"] = list(data["choices"])
    shape: dict[str, Any] = {
        "str": text,
        "bool": {"type": "boolean"},
        "int": {"type": "integer", **number},
        "float": {"type": "number", **number},
        "tuple[float, ...]": {"type": "array", "items": {"type": "number", **number}},
        "tuple[str, ...]": {"type": "array", "items": text},
        "LayerWeights": {"type": "object", "additionalProperties": {"type": "number", **number}},
    }[str(each.type).removesuffix(" | None")]
    if each.name == "size":
        shape = {"type": ["string", "integer"]}
    if "None" in str(each.type):
        shape = {"oneOf": [shape, {"type": "null"}]}
    return {"description": in_python(data["help"]), **shape, "default": _plain(each, each.default)}
