"""The work folder of a clip: its frames, those that are painted, and the record of the run.

Whatever a later frame is made from is read back from here. So a run that was stopped, however
abruptly, continues as if it had never been.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from PIL import Image

from stylize.errors import OutputError, StylizeError
from stylize.images.atomic import refusals_named, remove_leftovers, write_atomically
from stylize.images.convert import to_picture
from stylize.images.read import Picture, read_picture
from stylize.images.samples import Samples
from stylize.images.write import write_picture
from stylize.runs.recipe import load_recipe, to_text
from stylize.runs.result import Result
from stylize.video.record import PASSES, PHOTOS, RECORD, Record, folder_for, read_record
from stylize.video.turns import Turn

# Of a PNG, per pixel: a photo, and a painting with its rough texture.
PHOTO_BYTES_PER_PX, PAINTED_BYTES_PER_PX = 2.0, 2.6


@dataclass
class Work:
    """A work folder.

    Attributes:
        folder: may not exist yet.
        name, sha256: of the clip, which its frames bear in their recipes.
    """

    folder: Path
    name: str
    sha256: str
    _broken: set[Path] = field(default_factory=set)

    @classmethod
    def next_to(cls, target: Path, name: str, sha256: str) -> Work:
        """The work folder of an output.

        Raises:
            OutputError: there is something else in its place.
        """
        return cls(folder_for(target), name, sha256)

    def record(self, *, overwrite: bool = False) -> Record | None:
        """What an earlier run noted; None if there is nothing that can be continued.

        Args:
            overwrite: whether frames that cannot be continued may be lost.

        Raises:
            OutputError: the folder holds other things.
        """
        if self.folder.is_dir() and any(self.folder.iterdir()) and holds_only_painted(self.folder):
            raise OutputError(
                f"{self.folder} holds the frames of an earlier clip",
                hint="start anew with --overwrite, or move them elsewhere",
            )
        found = read_record(self.folder)
        is_strange = found is None and (self.folder / RECORD).is_file()
        if is_strange and not overwrite and self.results():
            raise OutputError(
                f"{self.folder} holds frames of another version of stylize, or is damaged",
                hint="start again with --overwrite, or move it elsewhere",
            )
        return found

    def begin(self) -> None:
        """Make an empty folder.

        Raises:
            OutputError: the system refuses.
        """
        self.remove()
        with refusals_named(self.folder):
            for each in (self.folder, self.folder / PHOTOS):
                each.mkdir(parents=True)

    def note(self, record: Record) -> None:
        """Write the record."""
        text = json.dumps(record.document(), indent=1)
        write_atomically(self.folder / RECORD, text.encode(), follow_links=False)

    def forget_record(self) -> None:
        """Remove the record: no other run starts to work here."""
        with refusals_named(self.folder):
            (self.folder / RECORD).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder with everything in it, the record first."""
        if self.folder.exists():
            self.forget_record()
            with refusals_named(self.folder):
                shutil.rmtree(self.folder, onerror=_unless_gone)

    def photo_path(self, index: int, series: str = PHOTOS) -> Path:
        """Where a frame of the clip, or of the clip of a mask, is kept."""
        return self.folder / series / f"{index + 1:06d}.png"

    def keep(self, index: int, image: Image.Image, series: str = PHOTOS) -> None:
        """Keep a frame of the clip, or of the clip of a mask."""
        path = self.photo_path(index, series)
        with refusals_named(path):
            path.parent.mkdir(exist_ok=True)
            image.save(path, compress_level=1)

    def holds_photos(self, count: int, masks: int) -> bool:
        """Whether all frames of the clip, and of the clips of masks, are there and undamaged."""
        series = [PHOTOS, *(f"mask-{number + 1}" for number in range(masks))]
        return all(_is_whole(self.photo_path(i, each)) for each in series for i in range(count))

    def photo(self, index: int) -> Picture:
        """A frame of the clip, with the name of the clip."""
        return self.renamed(self.photo_path(index), self.name, self.sha256)

    @staticmethod
    def renamed(path: Path, name: str, sha256: str) -> Picture:
        """Read a frame under the name of its clip."""
        picture = read_picture(path)
        return Picture(picture.pixels, picture.alpha, name, sha256, ())

    def result_path(self, turn: Turn) -> Path:
        """Where the result of a turn is kept."""
        return self.folder / PASSES[turn.number - 1] / f"{turn.index + 1:06d}.png"

    def newest_path(self, index: int) -> Path:
        """The newest result of a frame."""
        second, first = (self.result_path(Turn(index, number)) for number in (2, 1))
        return second if second.is_file() else first

    def newest(self, index: int) -> Picture:
        """The newest result of a frame, as it is on the disk."""
        return self.renamed(self.newest_path(index), self.name, self.sha256)

    def save(self, turn: Turn, result: Result, place: Mapping[str, Any]) -> Result:
        """Write the result of a turn, completely or not at all.

        Args:
            turn: of a frame.
            result: of the turn.
            place: what the recipe says about the clip.
        """
        path = self.result_path(turn)
        recipe = {**result.recipe, "clip": {**place, "frame": turn.index + 1}}
        try:
            with refusals_named(path):
                path.parent.mkdir(exist_ok=True)
            write_picture(
                path, result.pixels, alpha=result.alpha, recipe=to_text(recipe), follow_links=False
            )
        except OutputError as error:
            error.hint = error.hint or "then the same command continues"
            raise
        return Result(result.pixels, result.alpha, recipe, False, result.notes)

    def is_done(self, turn: Turn) -> bool:
        """Whether the result of a turn is there and undamaged."""
        return _is_whole(self.result_path(turn))

    def count_done(self, turns: Iterable[Turn]) -> int:
        """How many of the first turns have results that are undamaged."""
        return sum(1 for _ in takewhile(self.is_done, turns))

    def results(self) -> set[Path]:
        """The results that are there."""
        return {path for name in PASSES for path in (self.folder / name).glob("*.png")}

    def forget(self, turns: Iterable[Turn]) -> None:
        """Remove the results of turns."""
        for turn in turns:
            with refusals_named(self.folder):
                self.result_path(turn).unlink(missing_ok=True)

    def forget_all_but(self, turns: Sequence[Turn]) -> None:
        """Remove the results of other turns, and what killed runs left."""
        self.remove_leftovers()
        for path in self.results() - {self.result_path(turn) for turn in turns}:
            path.unlink()

    def remove_leftovers(self) -> None:
        """Remove the temporary files that killed runs left."""
        for name in PASSES:
            remove_leftovers(self.folder / name)

    @staticmethod
    def as_read(result: Result) -> Picture | None:
        """A result as it will be read back once it is written; None for a transparent one."""
        if result.alpha is not None:
            return None
        samples = Samples(result.pixels, None, depth=8, over_white=False)
        return to_picture(samples.rows(slice(None)))

    def gather(self, names: Sequence[str], folder: Path) -> None:
        """Move the newest result of every frame to a folder, which may not exist yet.

        Args:
            names: of the files.
            folder: next to the work folder's own folders.
        """
        with refusals_named(folder):
            folder.mkdir(exist_ok=True)
            for index, name in enumerate(names):
                for number in (1, 2):
                    path = self.result_path(Turn(index, number))
                    if path.is_file():
                        path.replace(folder / name)


def _unless_gone(function: object, path: object, reason: tuple[Any, ...]) -> None:
    """Go on where a file was removed by the run that wrote it."""
    if not isinstance(reason[1], FileNotFoundError):
        raise reason[1]


def holds_only_painted(folder: Path) -> bool:
    """Whether everything in a folder is a frame of a clip that this program has painted."""
    return all(each.suffix == ".png" and _is_painted(each) for each in folder.iterdir())


def _is_painted(path: Path) -> bool:
    try:
        return "clip" in load_recipe(path)
    except StylizeError:
        return False


def _is_whole(path: Path) -> bool:
    """Whether a result is there and undamaged."""
    if not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            image.verify()
    except Exception:  # damaged files make Pillow raise nearly every class there is
        return False
    return True


def require_space(folder: Path, needed: float) -> None:
    """Check that the disk has room.

    Raises:
        OutputError: it has not.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if needed > free:
        raise OutputError(
            f"the frames need about {amount(needed)} in {folder}, {amount(free)} are free",
            hint="free some space, or choose a smaller --size or another folder with -o",
        )


def amount(count: float) -> str:
    """Bytes for people: ``1.2 GB``, ``340 MB``, ``40 kB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{max(1, round(count / 1e3))} kB"
