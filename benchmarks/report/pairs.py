"""Which photographs with which styles: every file of two folders that the table names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAMES = (
    ("tubingen", "starry_night"),
    ("lion", "wave_crop"),
    ("tubingen", "picasso_selfport1907"),
    ("golden_gate", "the_scream"),
    ("cloud", "vg_la_cafe"),
    ("golden_gate", "vg_la_cafe"),
    ("lion", "the_scream"),
    ("cloud", "wave_crop"),
)


@dataclass(frozen=True)
class Pair:
    """A photograph and a style."""

    content: Path
    style: Path

    @property
    def name(self) -> str:
        """For tables and files."""
        return f"{self.content.stem}_{self.style.stem}"


def pairs_in(folder: Path, most: int) -> list[Pair]:
    """The pairs of a folder with ``content/`` and ``style/``, or all of one with other pictures."""
    named = [(folder / "content" / f"{c}.jpg", folder / "style" / f"{s}.jpg") for c, s in NAMES]
    found = [Pair(content, style) for content, style in named if content.exists()]
    if not found:
        contents, styles = (sorted((folder / each).iterdir()) for each in ("content", "style"))
        found = [
            Pair(content, styles[index % len(styles)]) for index, content in enumerate(contents)
        ]
    return found[:most]
