"""The results in a folder: listed, filtered, searched. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stylize.errors import SettingError, StylizeError, UnknownNameError
from stylize.runs.recipe import check_recipe
from stylize.settings.presets import DEFAULTS
from stylize.studio.library import Known, Library

FILTERS = ("search", "kind", "preset", "style", "since", "until")


def history(library: Library, wanted: Mapping[str, str], offset: int, limit: int) -> dict[str, Any]:
    """List a part of the results, the newest first.

    Args:
        library: of the folder.
        wanted: filters by name, see :data:`FILTERS`.
        offset, limit: which part.

    Raises:
        UsageError: there is no such filter, or its value makes no sense.
    """
    for key in wanted:
        if key not in FILTERS:
            raise UnknownNameError("filter", key, FILTERS)
    since, until = (_time(wanted, key) for key in ("since", "until"))
    items = [item for known in library.results() if (item := _item(known)) is not None]
    found = [
        item
        for item in items
        if _matches(item, wanted)
        and (since is None or item["created"] >= since)
        and (until is None or item["created"] < until)
    ]
    return {
        "total": len(found),
        "items": found[offset : offset + limit],
        "presets": sorted({item["preset"] for item in items if item["preset"]}),
        "styles": sorted({style for item in items for style in item["styles"]}),
    }


def _item(known: Known) -> dict[str, Any] | None:
    """Describe a result for the list; None for a recipe that makes no sense."""
    recipe = known.recipe
    assert recipe is not None
    try:
        check_recipe(recipe, known.name)
        inputs = [(str(each["role"]), str(each["name"])) for each in recipe["inputs"]]
    except (StylizeError, KeyError, TypeError):
        return None
    technique = recipe["technique"]
    preset = recipe.get("preset") or DEFAULTS.get(technique)
    return {
        "id": known.id,
        "name": known.name,
        "kind": f"video-{technique}" if "clip" in recipe and known.clip else technique,
        "preset": preset if isinstance(preset, str) else None,
        "photo": next((name for role, name in inputs if role == "content"), None),
        "styles": list(dict.fromkeys(name for role, name in inputs if role.endswith("style"))),
        "width": known.width,
        "height": known.height,
        "type": known.type,
        "clip": known.document["clip"],
        "cells": known.cells,
        "created": known.mtime,
        "interrupted": bool(recipe.get("interrupted")),
    }


def _matches(item: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    if any(wanted.get(key) not in (None, "", item[key]) for key in ("kind", "preset")):
        return False
    if wanted.get("style") and wanted["style"] not in item["styles"]:
        return False
    words = [item["name"], item["photo"] or "", item["preset"] or "", *item["styles"]]
    text = " ".join(words).casefold()
    return all(word in text for word in wanted.get("search", "").casefold().split())


def _time(wanted: Mapping[str, str], key: str) -> float | None:
    text = wanted.get(key)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"{key}: '{text[:40]}' is not a time in seconds") from None
