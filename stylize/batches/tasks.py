"""The tasks of a batch, as frozen values that can be pickled. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylize.settings.dream import DreamSettings
from stylize.settings.transfer import TransferSettings


@dataclass(frozen=True)
class Look:
    """How pictures are made.

    Attributes:
        name: part of the results' file names; empty if the batch has one look only.
        settings: of a transfer or a dream.
        styles: the style images of a transfer.
        preset: the name of the preset, for the recipe.
    """

    name: str
    settings: TransferSettings | DreamSettings
    styles: tuple[Path, ...] = ()
    preset: str | None = None

    @property
    def technique(self) -> str:
        """``transfer`` or ``dream``."""
        return self.settings.TECHNIQUE


@dataclass(frozen=True)
class Task:
    """One picture to make.

    Attributes:
        source: the photo.
        target: the file to write.
        look: how the picture is made.
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
    """Hash what a picture is made of and how; equals :func:`identity_of` for its recipe.

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
    from stylize.runs.recipe import effective_settings  # noqa: PLC0415

    try:
        inputs = [(each["role"], each["sha256"]) for each in recipe["inputs"]]
        if recipe["interrupted"]:
            return None
        return identity(
            recipe["technique"], effective_settings(recipe), inputs, recipe["weights"]["sha256"]
        )
    except (KeyError, TypeError, ValueError):
        return None


def token_of(name: str) -> str:
    """Hash a target's name into a short word for file names.

    Args:
        name: the target, relative to the output folder.
    """
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]
