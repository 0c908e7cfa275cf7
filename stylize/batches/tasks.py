"""The tasks of a batch, as frozen values that can be pickled. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize.settings.dream import DreamSettings
from stylize.settings.fields import to_document
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings

if TYPE_CHECKING:
    from stylize.video.clip import Cut


@dataclass(frozen=True)
class Clips:
    """How clips are made, besides the look of a frame.

    Attributes:
        video: how frames follow from each other.
        cut: the part of each clip that is wanted.
        format: ``mp4 webm gif webp apng``.
        codec: of mp4 and WebM; None for the usual one.
    """

    video: VideoSettings
    cut: Cut
    format: str
    codec: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """What the recipe of a clip says about it."""
        cut = {name: str(value) for name, value in vars(self.cut).items() if value}
        return {**cut, **to_document(self.video)}


@dataclass(frozen=True)
class Look:
    """How pictures are made.

    Attributes:
        name: part of the results' file names; empty if the batch has one look only.
        settings: of a transfer or a dream.
        styles: the style images of a transfer.
        preset: the name of the preset, for the recipe.
        clips: how clips are made; None for pictures.
    """

    name: str
    settings: TransferSettings | DreamSettings
    styles: tuple[Path, ...] = ()
    preset: str | None = None
    clips: Clips | None = None

    @property
    def technique(self) -> str:
        """``transfer`` or ``dream``."""
        return self.settings.TECHNIQUE


@dataclass(frozen=True)
class Task:
    """One picture or clip to make.

    Attributes:
        source: the photo or the clip.
        target: the file to write.
        look: how the picture is made.
        size: ``(height, width)`` of the source; None if it cannot be read.
        frames: the number of frames of a clip; 1 for a picture.
    """

    source: Path
    target: Path
    look: Look
    size: tuple[int, int] | None = None
    frames: int = 1


def identity(
    technique: str,
    settings: Mapping[str, Any],
    inputs: Sequence[tuple[str, str]],
    weights_sha256: str,
    clip: Mapping[str, Any] | None = None,
) -> str:
    """Hash what a picture is made of and how; equals :func:`identity_of` for its recipe.

    Args:
        technique: ``transfer`` …
        settings: in full.
        inputs: role and SHA-256 of each, in the order of the recipe.
        weights_sha256: of the network.
        clip: what the recipe of a clip says about it, see :attr:`Clips.document`.
    """
    document = [technique, dict(settings), [list(each) for each in inputs], weights_sha256]
    if clip is not None:
        document.append(dict(clip))
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
        clip = dict(recipe["clip"]) if "clip" in recipe else None
        if clip is not None:
            clip.pop("frames", None)
        weights = recipe["weights"]["sha256"]
        settings = effective_settings(recipe)
        return identity(recipe["technique"], settings, inputs, weights, clip)
    except (KeyError, TypeError, ValueError):
        return None


def token_of(name: str) -> str:
    """Hash a target's name into a short word for file names.

    Args:
        name: the target, relative to the output folder.
    """
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]
