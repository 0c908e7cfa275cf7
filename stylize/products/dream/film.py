"""The frames of a film on disk: write them one by one, find them again, join them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from torch import Tensor

from stylize.errors import OutputError, PictureError, RecipeError
from stylize.images.atomic import refusals_named, write_atomically
from stylize.images.film import write_animation
from stylize.images.read import read_picture
from stylize.images.write import write_picture
from stylize.products.dream.tunnel import Tunnel, fade_frames, faded, is_same_film
from stylize.runs.recipe import load_recipe, to_text

_FRAME = re.compile(r"frame-(\d{5}|[1-9]\d{5})\.png")

_PNG = b"\x89PNG\r\n\x1a\n"

# Marks the recipe of a frame that a loop has faded; no film can continue from it.
_FADED = "faded"


def frame_path(folder: Path, number: int) -> Path:
    """The path of a frame, counted from 1."""
    return folder / f"frame-{number:05d}.png"


class Reel:
    """A folder of frames.

    Args:
        folder: may not exist yet.
        laid_out: whether these are the frames of a finished loop instead of raw frames.
    """

    def __init__(self, folder: Path, *, laid_out: bool = False) -> None:
        self.folder = folder
        self._laid_out = laid_out

    def numbers(self) -> list[int]:
        """The numbers of all frames in the folder."""
        if not self.folder.is_dir():
            return []
        found = (_FRAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def clear(self, after: int = 0) -> None:
        """Remove the frames after a number, and the folder if it is then empty.

        Raises:
            OutputError: the system refuses.
        """
        for number in self.numbers():
            path = frame_path(self.folder, number)
            if number > after:
                with refusals_named(path):
                    if not path.is_file() and not path.is_symlink():
                        raise OSError("not a regular file")
                    path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def require(self, tunnel: Tunnel) -> None:
        """Check that the frames belong to a film.

        Raises:
            OutputError: one of them belongs to another film, or all are damaged.
        """
        if not self.is_of(tunnel):
            raise OutputError(
                f"{self.folder} holds frames of another film",
                hint="replace them with --overwrite",
            )

    def is_of(self, tunnel: Tunnel) -> bool:
        """Whether no frame belongs to another film and, if there are frames, one is intact."""
        film = tunnel.recipe(0, {})
        verdicts = [self._is_of(number, film) for number in self.numbers()]
        return False not in verdicts and (True in verdicts or not verdicts)

    def _is_of(self, number: int, film: dict[str, Any]) -> bool | None:
        """Whether a frame belongs to the film; None if it is too damaged to tell."""
        path = frame_path(self.folder, number)
        if not path.is_file():
            return False
        try:
            recipe = load_recipe(path)
            if self._laid_out:
                recipe["resolved"].pop(_FADED, None)
            return is_same_film(recipe, film)
        except PictureError:
            return None if _begins_as_png(path) else False
        except RecipeError:
            return False

    def last_of(self, tunnel: Tunnel) -> int:
        """The number of the last frame of the unbroken sequence, 0 if there is none.

        Raises:
            OutputError: the frames belong to another film.
        """
        self.require(tunnel)
        return next(number for number in count(1) if not self._is_whole(number)) - 1

    def _is_whole(self, number: int) -> bool:
        """Whether the film can continue from a frame; a damaged frame is dreamt again."""
        try:
            self.read(number)
        except PictureError:
            return False
        return True

    def read(self, number: int) -> Tensor:
        """A frame, ``(1, 3, H, W)``."""
        return read_picture(frame_path(self.folder, number)).pixels

    def shoot(
        self,
        tunnel: Tunnel,
        on_step: Callable[[int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> bool:
        """Dream all missing frames.

        Args:
            tunnel: the film.
            on_step: called with the number of every finished frame.
            stop: asked after every step.

        Returns:
            Whether the film is complete.

        Raises:
            OutputError: the system refuses, or a frame has appeared during the run.
        """
        number = min(self.last_of(tunnel), tunnel.raw_frames)
        damaged = {each for each in self.numbers() if each > number}
        last = self.read(number) if number else None
        if on_step is not None and number:
            on_step(number)
        for frame in tunnel.frames(last, number, stop):
            number += 1
            path = frame_path(self.folder, number)
            with _free(path):
                frame.save(path, overwrite=number in damaged, follow_links=False)
            if on_step is not None:
                on_step(number)
        return number == tunnel.raw_frames


@contextmanager
def _free(path: Path) -> Iterator[None]:
    """Say what can be done if another program has taken the name of a frame."""
    try:
        yield
    except OutputError as error:
        if not os.path.lexists(path):
            raise
        message = f"{path} appeared during the run"
        raise OutputError(message, hint="move it elsewhere, then continue") from error


def _begins_as_png(path: Path) -> bool:
    """Whether a file may be the rest of a PNG: its beginning, empty, or zeros of a power cut."""
    with path.open("rb") as file:
        return _PNG.startswith(file.read(len(_PNG)).rstrip(b"\0"))


def cut(tunnel: Tunnel, reel: Reel, folder: Path) -> Iterator[Path]:
    """The frames of the finished film in order; faded frames of a loop are written again.

    Args:
        tunnel: the film.
        reel: its raw frames, all of them.
        folder: for the faded frames.
    """
    fade, length = fade_frames(tunnel.settings), tunnel.settings.frames
    for number in range(1, length + 1):
        if number > fade:
            yield frame_path(reel.folder, number)
            continue
        share = number / (fade + 1)
        mixed = faded(reel.read(number), reel.read(length + number), share)
        path = frame_path(folder, number)
        recipe = tunnel.recipe(number, {})
        recipe["resolved"][_FADED] = True
        with _free(path):
            write_picture(path, mixed, recipe=to_text(recipe), overwrite=False, numbered=False)
        yield path


def develop(tunnel: Tunnel, reel: Reel, target: Path, *, quality: int, overwrite: bool) -> Path:
    """Make an animation from the raw frames and return the file that was written.

    Args:
        tunnel: the film.
        reel: its raw frames, all of them.
        target: a gif, apng, webp or mp4.
        quality: 1 to 100, for webp and mp4.
        overwrite: see :func:`stylize.images.atomic.new_file`.
    """
    folder = reel.folder / "faded"
    faded_reel = Reel(folder, laid_out=True)
    faded_reel.clear()  # what a killed run left
    folder.mkdir(exist_ok=True)
    try:
        return write_animation(
            target,
            list(cut(tunnel, reel, folder)),
            fps=tunnel.settings.fps,
            recipe=to_text(tunnel.recipe(tunnel.settings.frames, {})),
            quality=quality,
            overwrite=overwrite,
        )
    finally:
        faded_reel.clear()


def lay_out(tunnel: Tunnel, reel: Reel, folder: Path, *, overwrite: bool) -> None:
    """Move the frames of a finished loop to their own folder, replacing those of this film.

    With ``overwrite``, those of any film.

    Raises:
        OutputError: the system refuses, or a file has the name of a frame; the raw frames stay.
    """
    older = Reel(folder, laid_out=True)
    if not overwrite:
        older.require(tunnel)
    older.clear()
    folder.mkdir(exist_ok=True)
    for number, path in enumerate(cut(tunnel, reel, folder), 1):
        if path.parent != folder:
            target = frame_path(folder, number)
            with _free(target):
                write_atomically(target, path.read_bytes(), overwrite=False, numbered=False)
