"""What is noted about a clip in its work folder. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from stylize.errors import OutputError
from stylize.images.names import neighbour
from stylize.settings.fields import earlier_values
from stylize.settings.presets import PRODUCTS
from stylize.settings.video import VideoSettings

# What is in a work folder.
RECORD, PHOTOS, PASSES = "record.json", "photos", ("pass-1", "pass-2")
DONE = "done"  # the frames of a folder that is about to be published


@dataclass(frozen=True)
class Record:
    """What a run noted when it began.

    Attributes:
        essence: everything that decides the frames; another one is another clip.
        expected: the number of frames, as far as the clip says.
        memory: how a frame is held in memory, which decides about rounding.
        size: ``(height, width)`` of the result.
        times: when each frame is shown, in s from 0 on, and the end of the last one; empty until
            the clip has been read.
        shots: first frame of each shot, and the number of all frames; likewise.
        names: of the files of the painted frames; likewise.
        complete: whether all frames are painted.
        target: the absolute path of the output.
        command: the folder and the words of the command that began it.
    """

    essence: Mapping[str, Any]
    expected: int
    memory: Mapping[str, Any]
    size: tuple[int, int]
    times: Sequence[Fraction] = ()
    shots: Sequence[int] = ()
    names: Sequence[str] = ()
    complete: bool = False
    target: str = ""
    command: Sequence[str] = ()

    @property
    def count(self) -> int:
        """The number of frames."""
        return len(self.times) - 1 if self.times else self.expected

    @property
    def ranges(self) -> list[range]:
        """The numbers of the frames of each shot; empty until the clip has been read."""
        return [range(*each) for each in pairwise(self.shots)]

    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**vars(self), "times": [str(each) for each in self.times]}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Record:
        """The inverse of :meth:`document`; new settings get their earlier values."""
        times = [Fraction(each) for each in document["times"]]
        height, width = document["size"]
        essence = dict(document["essence"])
        kinds: dict[str, type[Any]] = {
            "settings": PRODUCTS[essence["technique"]],
            "video": VideoSettings,
        }
        for name, kind in kinds.items():
            essence[name] = earlier_values(kind) | essence[name]
        return cls(**{**document, "essence": essence, "times": times, "size": (height, width)})


def folder_for(target: Path) -> Path:
    """The work folder of an output.

    Raises:
        OutputError: there is something else in its place.
    """
    folder = neighbour(target, tail=".frames")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder} is in the way of the frames", hint="move it elsewhere")
    return folder


def read_record(folder: Path) -> Record | None:
    """The record in a work folder; None if there is nothing to continue.

    Raises:
        OutputError: the folder holds other things.
    """
    names = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    ours = {PHOTOS, RECORD, DONE, *PASSES}
    if any(each not in ours and not each.startswith((".stylize-", "mask-")) for each in names):
        raise OutputError(
            f"{folder} holds other files", hint="move it elsewhere, or choose another -o"
        )
    try:
        return Record.read(json.loads((folder / RECORD).read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None


def is_work_folder(folder: Path) -> bool:
    """Whether a folder is that of a clip that was begun."""
    named = folder.name.endswith(".frames") or (folder / RECORD).is_file()
    return named and (folder / PHOTOS).is_dir()


def count_frames(folder: Path, record: Record) -> tuple[int, int]:
    """How many frames of a work folder have a result, and how many a second one."""
    if record.complete:
        return record.count, 0
    first, second = (len([*(folder / each).glob("*.png")]) for each in PASSES)
    return first, second


def require_same(record: Record, essence: Mapping[str, Any], folder: Path) -> None:
    """Check that a run may continue an earlier one.

    Raises:
        OutputError: another clip, setting, version or machine; says which.
    """
    if dict(record.essence) == dict(essence):
        return
    change = next(_changes(record.essence, essence), "another clip")
    raise OutputError(
        f"{folder} holds an unfinished clip: {change}",
        hint="repeat the first command to finish it, or start again with --overwrite",
    )


def _changes(before: Any, after: Any, name: str = "") -> Iterator[str]:
    """Say what differs, the deepest names first."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            if before.get(key) != after.get(key):
                yield from _changes(before.get(key), after.get(key), str(key))
        return
    name = name.replace("_", " ")
    plain = all(isinstance(each, str | int | float | None) for each in (before, after))
    if plain and len(f"{before}{after}") < 80:
        yield f"its {name} is {_shown(before)}, not {_shown(after)}"
    else:
        yield f"its {name} differ" + ("" if name.endswith("s") else "s")


def _shown(value: Any) -> str:
    return "the default" if value is None else str(value)
