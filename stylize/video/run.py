"""Paint a clip: keep its frames, paint those that are missing, put the new clip together."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from threading import Condition
from typing import Any

from PIL import Image

from stylize.errors import InterruptedRunError, OutputError, PictureError
from stylize.images import mp4
from stylize.images.atomic import refusals_named
from stylize.images.film import write_clip
from stylize.images.names import neighbour
from stylize.images.open import opened, pixel_limit
from stylize.images.read import Picture
from stylize.images.sound import Sound
from stylize.optimize.loop import Step
from stylize.planning.memory import MemoryPlan
from stylize.runs.recipe import load_recipe, to_text
from stylize.runs.result import Result
from stylize.settings.video import VideoSettings
from stylize.video.reading import Reading, Source
from stylize.video.record import DONE, Record, require_same
from stylize.video.request import FOLDER, Painter, Request
from stylize.video.sharing import Claim, Sharing
from stylize.video.turns import SECONDS_PER_PX, SECONDS_PER_TURN, Turn, is_settled, turns_of
from stylize.video.work import Work, holds_only_painted, require_space

Stop = Callable[[], bool]

# How often a wait looks whether it was stopped, and how often other runs' results are counted.
_PATIENCE_S, _LOOK_S = 0.1, 1.0

_UNWRITTEN = "stopped before the clip was written"


@dataclass(frozen=True)
class _Writing:
    """A result that is being written.

    Attributes:
        turn, shot: whose it is.
        as_read: what will be read back; None where only the file says.
        saving: done when it is on the disk.
    """

    turn: Turn
    shot: range
    as_read: Picture | None
    saving: Future[Result]


@dataclass(frozen=True)
class _Turns:
    """The order of the work, as far as the clip is known.

    Attributes:
        shots, count: numbers of shots and frames that it was made for.
        of: each shot and its turns, by the first frame of the shot.
        order: all turns, with their shots.
        first: the place of the first turn of each shot, by its first frame.
        last: the first frame of the shot of each frame, and the number of the turns of this shot
            before the frame's last one.
    """

    shots: int
    count: int
    of: dict[int, tuple[range, list[Turn]]]
    order: list[tuple[Turn, range]]
    first: dict[int, int]
    last: dict[int, tuple[int, int]]

    @classmethod
    def plan(cls, shots: Sequence[range], count: int, video: VideoSettings) -> _Turns:
        """Order the work on shots."""
        of = {shot.start: (shot, turns_of(shot, video)) for shot in shots}
        order = [(turn, shot) for shot, turns in of.values() for turn in turns]
        lengths = accumulate((len(turns) for _, turns in of.values()), initial=0)
        last = {
            turn.index: (start, number)
            for start, (_, turns) in of.items()
            for number, turn in enumerate(turns)
        }
        return cls(len(shots), count, of, order, dict(zip(of, lengths, strict=False)), last)


class ClipRun:
    """A clip that is being painted. Use it with ``with``, or close it.

    The clip is read, and results are written and encoded in the background, while frames are
    painted. The motion is followed in between: next to the painting, it slows it down by more than
    it takes. Wherever that meets a stop, a later run continues from the work
    folder.

    Args:
        request: what is asked for.
        stop: asked until the first frame is there.
        sharing: lets other runs paint some of the shots.

    Attributes:
        record: what was noted at the start.
        on_others: called from time to time while only other runs paint.
        summary: the recipe of the clip, once it is finished.
        compared: the clip that shows the photos, too, once it is written.

    Raises:
        InterruptedRunError: stopped before there was anything to paint.
        StylizeError: the clip cannot be painted.
    """

    def __init__(
        self, request: Request, stop: Stop | None = None, sharing: Sharing | None = None
    ) -> None:
        self.request = request
        self.summary: dict[str, Any] = {}
        self.compared: Path | None = None
        self.work = Work.next_to(request.target.path, request.clip.name, request.sha256)
        self.on_others: Callable[[], None] | None = None
        self._sharing = sharing
        self._earlier: Record | None = None
        self._opened: Claim | None = None
        self._held: dict[int, Claim] = {}
        self._looked_s = 0.0
        self._news = Condition()
        self._threads = ThreadPoolExecutor(3, "clip")
        self._reader: Future[None] | None = None
        self._writing: _Writing | None = None
        self._encoder: Future[Path] | None = None
        self._closed = self._publishing = self._is_new = self._was_read = False
        # By the first frame of each shot: its turns that are painted, and those on the disk.
        self._painted, self._done = Counter[int](), Counter[int]()
        self._shot: int | None = None
        self._turns = _Turns.plan([], 0, request.video)
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
        self._close_to_others()
        reader = self._reader
        self._stop_reading()
        self._threads.shutdown()
        for claim in self._held.values():
            claim.release()
        damaged = reader is not None and isinstance(reader.exception(), PictureError)
        if damaged and self._is_new and not self.done:
            self.work.remove()

    def _continue(self, stop: Stop | None) -> bool:
        """Take up an earlier run of the same request on the same machine, if there is one."""
        folder, overwrite = self.work.folder, self.request.target.overwrite
        if overwrite and folder.is_dir() and holds_only_painted(folder):
            return False  # frames that an earlier run was told to keep
        self._earlier = record = self.work.record(overwrite=overwrite)
        if record is None:
            return False
        try:
            require_same(record, {**record.essence, **self.request.essence}, folder)
            self._was_read = bool(record.times)
            if record.times and self.work.holds_photos(record.count, len(self.request.masks)):
                self.reading = Reading.recorded(self._news, record)
            else:
                record = self._keep_others_away(record, stop)
                self._read(stop)
            painter = self.request.painter(self.work)
            require_same(record, {**record.essence, "machine": painter.machine}, folder)
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
        if self._sharing is not None:
            self.work.forget_record()
            self._sharing.await_others(self._earlier, stop)
        self.work.begin()
        self._is_new = True
        try:
            self._read(stop)
            self.painter = painter = request.painter(self.work)
        except BaseException:  # nothing is worth keeping yet
            self._stop_reading()
            self.work.remove()
            raise
        plan = painter.memory_plan
        self.record = Record(
            {**request.essence, "machine": painter.machine},
            request.count,
            {"tile_px": plan.tile_px, "history": plan.history},
            painter.size,
            target=str(request.target.path.absolute()),
            command=request.command,
        )
        self.work.note(self.record)

    def _keep_others_away(self, record: Record, stop: Stop | None) -> Record:
        """Forget how an earlier run has read the clip, before it is read again."""
        if self._sharing is None or not record.times:
            return record
        unread = replace(record, times=(), shots=(), names=())
        self.work.note(unread)
        self._sharing.await_others(record, stop)
        return unread

    def _take_up(self, stop: Stop | None) -> None:
        """Count the turns that are done; what comes after a damaged frame of a shot is removed."""
        if self.record.complete:
            for shot, turns in self._known_turns().of.values():
                self._count(shot, len(turns))
            return
        if self._was_read:
            if not self._wait(lambda: self.reading.complete, stop):
                raise InterruptedRunError("stopped before the next frame")
            self.work.remove_leftovers()
            for shot, turns in self._known_turns().of.values():
                if self._claim(shot, turns):
                    self._recount(shot, turns)
                    self._release(shot.start)
        else:  # one run has painted, from the first frame on
            while (found := self._next(stop)) is not None and self.work.is_done(found[0]):
                self._count(found[1], self._painted[found[1].start] + 1)
            of = self._known_turns().of.items()
            done = [turn for start, (_, turns) in of for turn in turns[: self._done[start]]]
            self.work.forget_all_but(done)
        if stop is not None and stop():
            raise InterruptedRunError("stopped before the next frame")

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

    @property
    def count(self) -> int:
        """The number of frames; a guess until the clip has been read."""
        return self.reading.count

    @property
    def painted(self) -> int:
        """The number of turns that are painted; the result of the last may yet be written."""
        return self._painted.total()

    @property
    def done(self) -> int:
        """The number of turns whose results are on the disk."""
        return self._done.total()

    @property
    def frames_done(self) -> int:
        """The number of frames that have a result."""
        of = self._known_turns().of.items()
        return len({turn.index for start, (_, turns) in of for turn in turns[: self._done[start]]})

    def painted_of(self, amounts: Sequence[float]) -> float:
        """The sum of the amounts of the turns that are painted, given those of all turns."""
        first = self._known_turns().first
        return sum(
            sum(amounts[place : place + self._painted[start]]) for start, place in first.items()
        )

    @property
    def place(self) -> int:
        """The place of the turn that is being painted; of the last one when all are painted."""
        known = self._known_turns()
        now = [] if self._shot is None else [self._shot]
        for start in (*now, *known.of):
            if self._painted[start] < len(known.of[start][1]):
                return known.first[start] + self._painted[start]
        return len(known.order) - 1

    @property
    def turns(self) -> list[tuple[Turn, range]]:
        """All the work, with the shot of each turn; what lies ahead is a guess until it is read."""
        return self._known_turns().order

    def _known_turns(self) -> _Turns:
        with self._news:
            shots, known = self.reading.shots, self._turns
            if (known.shots, known.count) != (len(shots), self.count):
                self._turns = _Turns.plan(shots, self.count, self.request.video)
            return self._turns

    def _is_known(self, shot: range) -> bool:
        """Whether it is known where a shot ends."""
        return self.reading.complete or shot.stop <= self.reading.starts[-1]

    def _is_settled(self, start: int, number: int) -> bool:
        """Whether it is known which turn of a shot has a number, or that none has."""
        with self._news:
            shot, turns = self._known_turns().of[start]
            if self._is_known(shot) or number >= len(turns):
                return self._is_known(shot)
            return is_settled(turns[number], shot, self.request.video, self.reading.decided)

    def is_final(self, index: int) -> bool:
        """Whether a frame has its last result, on the disk."""
        with self._news:
            start, number = self._known_turns().last.get(index, (0, self.count))
            return number < self._done[start] and self._is_settled(start, number)

    def _next(self, stop: Stop | None) -> tuple[Turn, range] | None:
        """Choose the next turn that this run paints, once it is known.

        Returns:
            The turn with its shot; None if there is none for now, or stopped.
        """
        while self._choose_shot():
            start = self._shot
            assert start is not None
            if not self._wait(lambda: self._is_settled(start, self._painted[start]), stop):  # noqa: B023
                return None
            shot, turns = self._known_turns().of[start]
            if self._painted[start] < len(turns):
                return turns[self._painted[start]], shot
            self._shot = None
        return None

    def _choose_shot(self) -> bool:
        """Stay with a shot, or claim the next one; False if there is none for now."""
        if self._shot is None:
            for shot, turns in self._known_turns().of.values():
                if self._is_over(shot, turns) or not self._claim(shot, turns):
                    continue
                if self._sharing is not None and self._is_known(shot):
                    self._recount(shot, turns)
                if not self._is_over(shot, turns):
                    self._shot = shot.start
                    break
                self._release(shot.start)
        return self._shot is not None

    def _is_over(self, shot: range, turns: Sequence[Turn]) -> bool:
        """Whether all turns of a shot are painted."""
        return self._is_known(shot) and self._painted[shot.start] >= len(turns)

    def _claim(self, shot: range, turns: Sequence[Turn]) -> bool:
        """Keep other runs away from a shot; False if one of them has it."""
        if self._sharing is None or shot.start in self._held:
            return True
        claim = self._sharing.take(shot)
        if claim is None:
            self._look(shot, turns)
            return False
        self._held[shot.start] = claim
        return True

    def _release(self, start: int) -> None:
        if start in self._held:
            self._held.pop(start).release()

    def _recount(self, shot: range, turns: Sequence[Turn]) -> None:
        """Count the turns of a claimed shot that are done, and remove what comes after them."""
        done = self.work.count_done(turns)
        self.work.forget(turns[done:])
        self._count(shot, done)

    def _look(self, shot: range, turns: Sequence[Turn]) -> None:
        """Count the results of other runs, which appear when they are complete."""
        before = done = self._painted[shot.start]
        while done < len(turns) and self.work.result_path(turns[done]).is_file():
            done += 1
        if done > before:
            self._count(shot, done)

    def _count(self, shot: range, done: int) -> None:
        """Note how many turns of a shot are done."""
        with self._news:
            self._painted[shot.start] = self._done[shot.start] = done
            self._news.notify_all()

    def _look_after_others(self) -> None:
        """Open the clip to other runs once it has been read, and count what they have painted."""
        if self._sharing is None or not self.record.times or len(self.record.ranges) < 2:
            return
        if self._opened is None:
            self._opened = self._sharing.open()
        if time.monotonic() - self._looked_s > _LOOK_S:
            self._looked_s = time.monotonic()
            for shot, turns in self._known_turns().of.values():
                if shot.start not in self._held:
                    self._look(shot, turns)

    def _close_to_others(self) -> None:
        """Have other runs leave after their step."""
        if self._opened is not None:
            self._opened.release()

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
        """Paint what is missing; give every result of this run once it is on the disk."""
        self._look_after_others()
        while stop is None or not stop():
            found = self._next(stop)
            if found is None:
                yield from self._written()
                if self._await_others(stop):
                    continue
                break
            turn, shot = found
            try:
                result = self.painter.paint(
                    turn, shot, self.work.photo, self._newest, on_step, stop
                )
            except InterruptedRunError:
                break
            if result.interrupted:
                break
            self._painted[shot.start] += 1
            yield from self._written()
            self._write_frame(turn, shot, result)
        yield from self._written()

    def _await_others(self, stop: Stop | None) -> bool:
        """Wait a moment for other runs; False if nothing is left to paint, or stopped."""
        if self._sharing is None or self.is_painted:
            return False
        later = time.monotonic() + _LOOK_S
        goes_on = self._wait(lambda: time.monotonic() > later, stop)
        self._look_after_others()
        if self.on_others is not None:
            self.on_others()
        return goes_on

    def _write_frame(self, turn: Turn, shot: range, result: Result) -> None:
        """Write a result in the background."""
        place = self.request.place(self.request.count)
        saving = self._threads.submit(self.work.save, turn, result, place)
        self._writing = _Writing(turn, shot, self.work.as_read(result), saving)

    def _written(self) -> Iterator[tuple[Turn, Result]]:
        """Wait until the result that is being written is on the disk, and give it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            result = writing.saving.result()
            start = writing.shot.start
            with self._news:
                self._done[start] += 1
                self._news.notify_all()
            self._note_reading()
            self._look_after_others()
            shot, turns = self._known_turns().of[start]
            if self._is_known(shot) and self._done[start] >= len(turns):
                self._release(start)
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

    def result(self, index: int) -> Result:
        """The newest result of a frame."""
        path = self.work.newest_path(index)
        picture = self.work.newest(index)
        return Result(picture.pixels, picture.alpha, load_recipe(path), False)

    def recipe(self) -> dict[str, Any]:
        """The recipe of the whole clip."""
        done = (shot.start for shot, _ in self._known_turns().of.values() if self._done[shot.start])
        path = self.work.newest_path(next(done, 0))
        if self.record.complete and not path.is_file():  # an earlier run was about to publish it
            path = self.work.folder / DONE / self.record.names[0]
        recipe = load_recipe(path)
        recipe["clip"] = self.request.place(self.count)
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
        self._close_to_others()
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
        done = neighbour(folder, tail="-kept")
        self.work.gather(self.record.names, done)
        self.work.remove()
        with refusals_named(folder):
            done.rename(folder)

    def _publish_folder(self) -> None:
        target, done = self.request.target.path, self.work.folder / DONE
        self.work.gather(self.record.names, done)
        with refusals_named(target):
            if target.is_dir() and self.request.target.overwrite:
                if not holds_only_painted(target):  # since the run began
                    raise OutputError(
                        f"{target} holds other files",
                        hint="move them elsewhere; then the same command continues",
                    )
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


def _image(path: Path, mode: str) -> Image.Image:
    with opened(path, title=str(path), max_pixels=pixel_limit()) as image:
        if mode == "RGB" and image.has_transparency_data:  # as in a JPEG of a still
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        return image.convert(mode)
