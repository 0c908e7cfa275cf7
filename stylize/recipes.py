"""The recipe of a picture: all that is needed to make it again, as one JSON document.

It travels inside the picture (see :mod:`stylize.images.metadata`). It holds the settings in
full, what was resolved from them, names and SHA-256 of the inputs and of the weights; no paths,
no host, no user, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize import __version__
from stylize.errors import RecipeError
from stylize.images import read_recipe

if TYPE_CHECKING:
    from stylize.images import Picture

SCHEMA = 1
# So that many inputs fit into the 16 kB that every format carries.
MAX_NAME_BYTES = 80
_REQUIRED = {"schema": int, "technique": str, "settings": dict, "inputs": list, "resolved": dict}


def compose(
    technique: str,
    settings: Mapping[str, Any],
    inputs: Iterable[tuple[str, Picture]],
    *,
    weights: Mapping[str, str],
    resolved: Mapping[str, Any],
    losses: Mapping[str, float],
    interrupted: bool,
    preset: str | None = None,
) -> dict[str, Any]:
    """The document of a finished picture.

    Args:
        technique: ``transfer`` …
        settings: all of them, as plain data.
        inputs: pictures with the part each played.
        weights: name and SHA-256.
        resolved: what the run decided itself: device, precision, threads, sizes, steps.
        losses: weighted values at the end, by term.
        interrupted: whether the run was stopped.
        preset: the name of the preset that the settings began from.
    """
    return {
        "schema": SCHEMA,
        "tool": "stylize",
        "version": __version__,
        "technique": technique,
        **({"preset": preset} if preset else {}),
        "settings": dict(settings),
        "inputs": [_described(role, picture) for role, picture in inputs],
        "weights": dict(weights),
        "resolved": dict(resolved),
        "losses": {name: float(f"{value:.4g}") for name, value in losses.items()},
        "interrupted": interrupted,
    }


def _described(role: str, picture: Picture) -> dict[str, Any]:
    height, width = picture.size
    return {
        "role": role,
        "name": picture.name.encode()[:MAX_NAME_BYTES].decode(errors="ignore"),
        "sha256": picture.sha256,
        "size": [width, height],
    }


def to_text(document: Mapping[str, Any]) -> str:
    """The document as compact JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def load_recipe(source: Path | bytes, name: str | None = None) -> dict[str, Any]:
    """The recipe inside a picture.

    Args:
        source: a file, or its bytes. What it says is untrusted: use it as data only.
        name: what to call the source in messages.

    Raises:
        RecipeError: the picture carries none, or one this version cannot read.
        PictureError: the file is no picture.
    """
    name = name or (source.name if isinstance(source, Path) else "the picture")
    text = read_recipe(source)
    if text is None:
        raise RecipeError(
            f"{name} carries no recipe", hint="only pictures made by stylize do, if not re-saved"
        )
    document: dict[str, Any] = json.loads(text)
    if document.get("tool") != "stylize":
        raise RecipeError(f"{name} carries a recipe of another program")
    if document.get("schema") != SCHEMA:
        raise RecipeError(
            f"{name} carries a recipe of schema {document.get('schema')}, this version reads"
            f" {SCHEMA}",
            hint="use the version of stylize that made it",
        )
    for key, kind in _REQUIRED.items():
        if not isinstance(document.get(key), kind):
            raise RecipeError(f"{name} carries a damaged recipe: no {key}")
    return document
