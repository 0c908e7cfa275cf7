"""Paint a clip: keep its frames, paint those that are missing, put the new clip together."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from threading import Condition
from typing import Any

import torch
from PIL import Image

from stylize.errors import InterruptedRunError, OutputError, PictureError
from stylize.images import mp4
from stylize.images.atomic import refusals_named
from stylize.images.film import write_clip
from stylize.images.open import opened, pixel_limit
from stylize.images.read import Picture
from stylize.images.sound import Sound
from stylize.optimize.loop import Step
from stylize.planning.device import processor
from stylize.planning.memory import MemoryPlan
from stylize.runs.recipe import load_recipe, to_text
from stylize.runs.result import Result
from stylize.settings.fields import to_document
from stylize.settings.video import VideoSettings
from stylize.version import __version__
from stylize.video.flow import opencv
from stylize.video.reading import Reading, Source
from stylize.video.record import DONE, Record, require_same
from stylize.video.request import FOLDER, Painter, Request
from stylize.video.turns import SECONDS_PER_PX, SECONDS_PER_TURN, Turn, is_settled, turns_of
from stylize.video.work import Work, holds_only_painted, require_space

Stop = Callable[[], bool]

# How often a wait looks whether it was stopped.
_PATIENCE_S = 0.1

_UNWRITTEN = "stopped before the clip was written"


@dataclass(frozen=True)
class _Writing:
    """A result that is being written.

    Attributes:
        turn: whose it is.
        as_read: what will be read back; None where only the file says.
        saving: done when it is on the disk.
    """

    turn: Turn
    as_read: Picture | None
    saving: Future[Result]


@dataclass(frozen=True)
class _Turns:
    """The order of the work, as far as the clip is known.

    Attributes:
        shots, count: numbers of shots and frames that it was made for.
        order: all turns, with their shots.
        last: the place of the last turn of each frame.
    """

    shots: int
    count: int
    order: list[tuple[Turn, range]]
    last: dict[int, int]


class ClipRun:
    """A clip that is being painted. Use it with ``with``, or close it.

    The clip is read, and results are written and encoded in the background, while frames are
    painted. The motion is followed in between: next to the painting, it slows it down by more than
    it takes. Wherever that meets a stop, a later run continues from the work
    folder.

    Args:
        request: what is asked for.
        stop: asked until the first frame is there.

    Attributes:
        record: what was noted at the start.
        painted: number of turns that are painted; the result of the last may yet be written.
        done: number of turns whose results are on the disk.
        summary: the recipe of the clip, once it is finished.
        compared: the clip that shows the photos, too, once it is written.

    Raises:
        InterruptedRunError: stopped before there was anything to paint.
        StylizeError: the clip cannot be painted.
    """

    def __init__(self, request: Request, stop: Stop | None = None) -> None:
        self.request = request
        self.summary: dict[str, Any] = {}
        self.compared: Path | None = None
        clip, target = request.clip, request.target
        self.work = Work.next_to(target.path, clip.name, clip.sha256())
        self._masks = [(each, each.sha256()) for each in request.masks]
        self._news = Condition()
        self._threads = ThreadPoolExecutor(3, "clip")
        self._reader: Future[None] | None = None
        self._writing: _Writing | None = None
        self._encoder: Future[Path] | None = None
        self._closed = self._publishing = self._is_new = False
        self.painted = self.done = 0
        self._turns = _Turns(0, 0, [], {})
        try:
            if self._continue(stop):
                self._take_up(stop)
            else:
                self._begin(stop)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ClipRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what happens in the background; what is being written is completed."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        reader = self._reader
        self._stop_reading()
        self._threads.shutdown()
        damaged = reader is not None and isinstance(reader.exception(), PictureError)
        if damaged and self._is_new and not self.done:
            self.work.remove()

    def _continue(self, stop: Stop | None) -> bool:
        """Take up an earlier run of the same request on the same machine, if there is one."""
        folder, overwrite = self.work.folder, self.request.target.overwrite
        if overwrite and folder.is_dir() and holds_only_painted(folder):
            return False  # frames that an earlier run was told to keep
        record = self.work.record()
        if record is None:
            return False
        try:
            require_same(record, {**record.essence, **self._essence()}, folder)
            if record.times and self.work.holds_photos(record.count, len(self._masks)):
                self.reading = Reading.recorded(self._news, record)
            else:
                self._read(stop)
            painter = self.request.make(self.work.photo(0), self._mask)
            require_same(record, {**record.essence, "machine": _machine(painter)}, folder)
        except OutputError:
            if not overwrite:
                raise
            self._stop_reading()
            return False
        painter.memory_plan = MemoryPlan(**record.memory)
        self.painter, self.record = painter, record
        return True

    def _begin(self, stop: Stop | None) -> None:
        """Start to read the clip, and note what decides the run."""
        request = self.request
        require_space(request.target.path.absolute().parent, request.bytes_needed())
        self.work.begin()
        self._is_new = True
        try:
            self._read(stop)
            self.painter = painter = request.make(self.work.photo(0), self._mask)
        except BaseException:  # nothing is worth keeping yet
            self._stop_reading()
            self.work.remove()
            raise
        plan = painter.memory_plan
        self.record = Record(
            {**self._essence(), "machine": _machine(painter)},
            request.count,
            {"tile_px": plan.tile_px, "history": plan.history},
            painter.size,
            target=str(request.target.path.absolute()),
            command=request.command,
        )
        self.work.note(self.record)

    def _take_up(self, stop: Stop | None) -> None:
        """Count the turns that are done; what comes after a damaged frame is removed."""
        if self.record.complete:
            self.painted = self.done = len(self.turns)
            return
        while self._next_is_known(stop) and self.work.is_done(self.turns[self.painted][0]):
            self.painted += 1
        if stop is not None and stop():
            raise InterruptedRunError("stopped before the next frame")
        self.done = self.painted
        self.work.forget_all_but([turn for turn, _ in self.turns[: self.done]])

    def _essence(self) -> dict[str, Any]:
        """What decides the frames, the machine apart."""
        request = self.request
        return {
            "version": __version__,
            "technique": request.settings.TECHNIQUE,
            "clip": self.work.sha256,
            "cut": {name: _text(value) for name, value in vars(request.cut).items()},
            "settings": to_document(request.settings),
            "video": to_document(request.video),
            "inputs": [list(each) for each in request.inputs],
            "masks": [sha256 for _, sha256 in self._masks],
        }

    def _read(self, stop: Stop | None) -> None:
        """Read the clip in the background; return when the first frame is there."""
        request = self.request
        self.reading = reading = Reading(self._news, request.count)
        source = Source(request.clip, request.cut, request.masks, request.kept_size, request.count)
        self._reader = self._threads.submit(reading.read, source, self.work)
        if not self._wait(lambda: reading.decided > 0, stop):
            raise InterruptedRunError("stopped before the first frame")

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self.reading.cancelled = True
            wait([self._reader])
            self._reader = None

    def _wait(self, ready: Callable[[], bool], stop: Stop | None = None) -> bool:
        """Wait for something; False if stopped or closed before.

        Raises:
            StylizeError: the clip cannot be read, or the new one cannot be written.
        """
        with self._news:
            while True:
                for each in (self._reader, self._encoder):
                    if each is not None and each.done():
                        each.result()
                if ready():
                    return True
                if self._closed or (stop is not None and stop()):
                    return False
                self._news.wait(_PATIENCE_S)

    def _mask(self, number: int, index: int) -> Picture:
        mask, sha256 = self._masks[number]
        path = self.work.photo_path(index, f"mask-{number + 1}")
        return self.work.renamed(path, mask.name, sha256)

    @property
    def count(self) -> int:
        """The number of frames; a guess until the clip has been read."""
        return self.reading.count

    @property
    def frames_done(self) -> int:
        """The number of frames that have a result."""
        return len({turn.index for turn, _ in self.turns[: self.done]})

    @property
    def turns(self) -> list[tuple[Turn, range]]:
        """All the work, with the shot of each turn; what lies ahead is a guess until it is read."""
        return self._known_turns().order

    def _known_turns(self) -> _Turns:
        with self._news:
            shots, known = self.reading.shots, self._turns
            if (known.shots, known.count) != (len(shots), self.count):
                order = [(turn, each) for each in shots for turn in turns_of(each, self._video)]
                last = {turn.index: place for place, (turn, _) in enumerate(order)}
                self._turns = _Turns(len(shots), self.count, order, last)
            return self._turns

    @property
    def _video(self) -> VideoSettings:
        return self.request.video

    def _is_settled(self, place: int) -> bool:
        """Whether the turn at a place in the order is what it will be when all is read."""
        with self._news:
            if self.reading.complete or place >= len(self.turns):
                return self.reading.complete
            turn, shot = self.turns[place]
            if shot.stop <= self.reading.starts[-1]:
                return True
            return is_settled(turn, shot, self._video, self.reading.decided)

    def _next_is_known(self, stop: Stop | None) -> bool:
        """Wait until it is known how to go on; False if there is nothing left, or stopped."""
        if not self._wait(lambda: self._is_settled(self.painted), stop):
            return False
        return self.painted < len(self.turns)

    def is_final(self, index: int) -> bool:
        """Whether a frame has its last result, on the disk."""
        with self._news:
            place = self._known_turns().last.get(index)
            return place is not None and place < self.done and self._is_settled(place)

    def costs(self) -> list[float] | None:
        """Seconds that each turn will take; None where nobody knows."""
        return seconds_of(self.painter, self.turns)

    def paint(
        self,
        on_turn: Callable[[Turn, Result], None] | None = None,
        on_step: Callable[[Step], None] | None = None,
        stop: Stop | None = None,
    ) -> bool:
        """Paint what is missing, and encode the clip meanwhile.

        Args:
            on_turn: called with every result that was written.
            on_step: called after every step of a frame.
            stop: asked after every step.

        Returns:
            Whether all frames are there.

        Raises:
            StylizeError: the clip cannot be painted or written; finished frames are kept.
        """
        if self.request.target.format != FOLDER:
            self._encode()
        with self._failures_named():
            for turn, result in self.results(on_step, stop):
                if on_turn is not None:
                    on_turn(turn, result)
        return self.is_painted

    @property
    def is_painted(self) -> bool:
        """Whether all frames are there."""
        return self.reading.complete and self.done == len(self.turns)

    def results(
        self, on_step: Callable[[Step], None] | None = None, stop: Stop | None = None
    ) -> Iterator[tuple[Turn, Result]]:
        """Paint what is missing; give every result once it is on the disk."""
        while (stop is None or not stop()) and self._next_is_known(stop):
            turn, shot = self.turns[self.painted]
            try:
                result = self.painter.paint(
                    turn, shot, self.work.photo, self._newest, on_step, stop
                )
            except InterruptedRunError:
                break
            if result.interrupted:
                break
            self.painted += 1
            yield from self._written()
            self._write_frame(turn, result)
        yield from self._written()

    def _write_frame(self, turn: Turn, result: Result) -> None:
        """Write a result in the background."""
        saving = self._threads.submit(self.work.save, turn, result, self._place(self.request.count))
        self._writing = _Writing(turn, self.work.as_read(result), saving)

    def _written(self) -> Iterator[tuple[Turn, Result]]:
        """Wait until the result that is being written is on the disk, and give it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            result = writing.saving.result()
            with self._news:
                self.done += 1
                self._news.notify_all()
            self._note_reading()
            yield writing.turn, result

    def _newest(self, index: int) -> Picture:
        """The newest result of a frame, as it is on the disk or about to be."""
        writing = self._writing
        if writing is not None and writing.turn.index == index:
            if writing.as_read is not None:
                return writing.as_read
            writing.saving.result()
        return self.work.newest(index)

    def _note_reading(self) -> None:
        """Note what is known once all of the clip has been read."""
        reading = self.reading
        if reading.complete and not self.record.times:
            shots = [*reading.starts, reading.count]
            self.record = replace(
                self.record, times=reading.times, shots=shots, names=reading.names
            )
            self.work.note(self.record)

    def _place(self, frames: int) -> dict[str, Any]:
        """What recipes say about the clip."""
        cut = {name: _text(value) for name, value in vars(self.request.cut).items() if value}
        return {"frames": frames, **cut, **to_document(self.request.video)}

    def result(self, index: int) -> Result:
        """The newest result of a frame."""
        path = self.work.newest_path(index)
        picture = self.work.newest(index)
        return Result(picture.pixels, picture.alpha, load_recipe(path), False)

    def recipe(self) -> dict[str, Any]:
        """The recipe of the whole clip."""
        path = self.work.newest_path(0)
        if self.record.complete and not path.is_file():  # an earlier run was about to publish it
            path = self.work.folder / DONE / self.record.names[0]
        recipe = load_recipe(path)
        recipe["clip"] = self._place(self.count)
        return recipe

    def finish(self, stop: Stop | None = None) -> Path:
        """Write the clip, completely or not at all, and remove the work folder.

        Args:
            stop: asked while a file is encoded.

        Returns:
            What was written.

        Raises:
            InterruptedRunError: stopped; the painted frames are kept.
            OutputError: the system refuses; the painted frames are kept.
        """
        target = self.request.target
        self._note_reading()
        self.summary = self.summary or self.recipe()
        if target.format == FOLDER:
            with self._failures_named():
                self.record = replace(self.record, complete=True)
                self.work.note(self.record)
                self._publish_folder()
            return target.path
        with self._failures_named():
            self._write_compared(stop)
            try:
                saved = self._encoded(stop)
            except BaseException:
                if self.compared is not None:  # the same command would refuse to replace it
                    self.compared.unlink(missing_ok=True)
                raise
        if target.keep_frames:
            self._lay_out()
        else:
            self.work.remove()
        return saved

    def _encoded(self, stop: Stop | None) -> Path:
        """Wait until the clip is encoded and has its name.

        Raises:
            InterruptedRunError: stopped before.
        """
        encoder = self._encode()
        if stop is not None and stop():
            raise InterruptedRunError(_UNWRITTEN)
        with self._news:
            self._publishing = True
            self._news.notify_all()
        if not self._wait(encoder.done, stop):
            with self._news:
                self._closed = True
                self._news.notify_all()
        return encoder.result()

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Say where the painted frames are when the clip cannot be written."""
        try:
            yield
        except OutputError as error:
            message = f"{error.message}; the painted frames are kept in {self.work.folder}"
            raise OutputError(message, hint=error.hint or "the same command continues") from error

    def _encode(self) -> Future[Path]:
        """Start to encode the clip; its file appears when :meth:`finish` wants it."""

        def encode() -> Path:
            self._require(lambda: self.reading.complete and self.is_final(0))
            self.summary = self.summary or self.recipe()
            path, size = self.request.target.path, self.painter.size
            return self._write(path, self._pictures(), size, transparent=self._transparent)

        if self._encoder is None:
            self._encoder = self._threads.submit(encode)
            self._encoder.add_done_callback(self._tell)
        return self._encoder

    def _tell(self, _: object) -> None:
        with self._news:
            self._news.notify_all()

    @property
    def _transparent(self) -> bool:
        """Whether the frames of the new clip may be transparent."""
        return self.request.clip.outline.transparent and self.request.target.holds_alpha

    def _write(
        self,
        path: Path,
        pictures: Iterator[Image.Image],
        size: tuple[int, int],
        *,
        transparent: bool,
    ) -> Path:
        times, target = self.reading.times, self.request.target
        return write_clip(
            path,
            pictures,
            [each - times[0] for each in times],
            size[::-1],
            format=target.format,
            codec=target.codec,
            sound=self._sound() if target.format in mp4.CONTAINERS else None,
            transparent=transparent,
            recipe=to_text(self.summary),
            quality=target.quality,
            overwrite=target.overwrite,
        )

    def _sound(self) -> Sound | None:
        times = self.reading.times
        end = None if self.request.cut.end is None else times[-1]
        return self.request.clip.sound(times[0], end)

    def _pictures(self) -> Iterator[Image.Image]:
        """The frames of the new clip, each as soon as it is there; the end when it is wanted."""
        mode = "RGBA" if self._transparent else "RGB"
        for index in range(self.count):
            self._require(lambda index=index: self.is_final(index))  # type: ignore[misc]
            yield _image(self.work.newest_path(index), mode)
        self._require(lambda: self._publishing)

    def _require(self, ready: Callable[[], bool]) -> None:
        """Wait for something.

        Raises:
            InterruptedRunError: the run was closed before.
        """
        if self._closed or not self._wait(ready):
            raise InterruptedRunError(_UNWRITTEN)

    def _write_compared(self, stop: Stop | None) -> None:
        """Write the clip that shows the photos, too, if it is wanted."""
        target = self.request.target
        if target.compare_path is not None:
            size = target.compare_size(self.painter.size)
            pictures = self._side_by_side(stop)
            self.compared = self._write(target.compare_path, pictures, size, transparent=False)

    def _side_by_side(self, stop: Stop | None) -> Iterator[Image.Image]:
        for index in range(self.count):
            if stop is not None and stop():
                raise InterruptedRunError(_UNWRITTEN)
            result = _image(self.work.newest_path(index), "RGB")
            photo = _image(self.work.photo_path(index), "RGB").resize(result.size)
            if self.request.target.compare == "split":
                box = (0, 0, result.width // 2, result.height)
                result.paste(photo.crop(box), box)
                yield result
                continue
            both = Image.new("RGB", (2 * result.width, result.height))
            both.paste(photo, (0, 0))
            both.paste(result, (result.width, 0))
            yield both

    def _lay_out(self) -> None:
        """Leave only the painted frames in the work folder."""
        folder = self.work.folder
        done = folder.with_name(folder.name + "-kept")
        self.work.gather(self.record.names, done)
        self.work.remove()
        with refusals_named(folder):
            done.rename(folder)

    def _publish_folder(self) -> None:
        target, done = self.request.target.path, self.work.folder / DONE
        self.work.gather(self.record.names, done)
        with refusals_named(target):
            if target.is_dir() and self.request.target.overwrite:
                shutil.rmtree(target)
            elif target.is_dir():
                target.rmdir()  # it is empty
            target.parent.mkdir(parents=True, exist_ok=True)
            done.rename(target)
        self.work.remove()


def seconds_of(painter: Painter, turns: Sequence[tuple[Turn, range]]) -> list[float] | None:
    """How long each turn will take, given with its shot; None where nobody knows."""
    known: dict[tuple[bool, bool, int], float | None] = {}
    pixels = painter.size[0] * painter.size[1]
    found = []
    for turn, shot in turns:
        key = (turn.carried, turn.index == shot.start, turn.number)
        if key not in known:
            known[key] = painter.cost(turn, shot).seconds
        seconds = known[key]
        if seconds is None:
            return None
        found.append(seconds + SECONDS_PER_TURN + SECONDS_PER_PX * pixels)
    return found


def _machine(painter: Painter) -> dict[str, Any]:
    """What decides about rounding, besides the settings."""
    device = painter.device
    return {
        "device": device.name,
        "precision": device.precision,
        "threads": device.threads,
        "torch": str(torch.__version__),
        "OpenCV": str(opencv().__version__),
        "processor": hashlib.sha256(processor().encode()).hexdigest()[:12],
        "weights": painter.weights.sha256,
    }


def _image(path: Path, mode: str) -> Image.Image:
    with opened(path, title=str(path), max_pixels=pixel_limit()) as image:
        return image.convert(mode)


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)
