"""What a batch is made of, as plain data that can travel to another process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Look:
    """What is done to a picture.

    Attributes:
        name: tells it from the batch's other looks in file names; empty if there are none.
        technique: ``transfer`` or ``dream``.
        settings: in full, as plain data.
        styles: of a transfer.
        preset: the name behind the settings, for the recipe.
    """

    name: str
    technique: str
    settings: Mapping[str, Any]
    styles: tuple[Path, ...] = ()
    preset: str | None = None


@dataclass(frozen=True)
class Task:
    """One picture to be made.

    Attributes:
        source: the picture it is made of.
        target: where it goes.
        look: what is done.
        size: ``(height, width)`` of the source; None if it cannot be read.
    """

    source: Path
    target: Path
    look: Look
    size: tuple[int, int] | None = None


def identity(
    technique: str,
    settings: Mapping[str, Any],
    inputs: Sequence[tuple[str, str]],
    weights_sha256: str,
) -> str:
    """What a picture is made of and how, in one hash; the same as :func:`identity_of` its recipe.

    Args:
        technique: ``transfer`` …
        settings: in full.
        inputs: role and SHA-256 of each, in the order of the recipe.
        weights_sha256: of the network.
    """
    document = [technique, dict(settings), [list(each) for each in inputs], weights_sha256]
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def identity_of(recipe: Mapping[str, Any]) -> str | None:
    """The identity of the picture that carries this recipe; None if the recipe makes no sense.

    A picture whose run was interrupted has none: it is not what was asked for.
    """
    try:
        inputs = [(each["role"], each["sha256"]) for each in recipe["inputs"]]
        if recipe["interrupted"]:
            return None
        return identity(
            recipe["technique"], recipe["settings"], inputs, recipe["weights"]["sha256"]
        )
    except (KeyError, TypeError, ValueError):
        return None


def token_of(name: str) -> str:
    """A target's name as a short word for file names.

    Args:
        name: the target, relative to the output folder.
    """
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]
