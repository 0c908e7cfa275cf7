"""The engine: a process that paints, with networks and style statistics kept in memory.

It takes orders from a pipe and answers with events. While it paints, it looks for orders between
two steps: those that are urgent are carried out there and then, and the job continues afterwards.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import re
import signal
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylize.batches.records import Entry, Manifest
from stylize.batches.tasks import identity_of
from stylize.errors import InterruptedRunError, PictureError, SettingError, StylizeError
from stylize.images.read import Picture, read_picture
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.images.write import write_picture
from stylize.optimize.loop import Step
from stylize.planning.allocator import give_back_memory, keep_buffers
from stylize.planning.progress import Work as Progress
from stylize.products.dream.dream import Dream
from stylize.products.transfer.style_groups import Masks
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.explore import channel_cells
from stylize.runs.inputs import digest
from stylize.runs.masks import subject_network
from stylize.runs.recipe import load_recipe
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.masks import NETWORK
from stylize.settings.transfer import TransferSettings
from stylize.studio.clips import ClipProgress, clip_request, publish
from stylize.studio.errors import ApiError, described
from stylize.studio.work import (
    End,
    Event,
    FindSubject,
    Order,
    Paint,
    PaintCells,
    PaintClip,
    PreviewClip,
    Source,
    WarmUp,
    Work,
)
from stylize.video.clip import container_of
from stylize.video.preview import Preview, first_frame, whole_seconds
from stylize.video.request import Request
from stylize.video.run import ClipRun
from stylize.video.turns import Turn

# A job that others may interrupt between two steps.
Job = Paint | PaintClip | PreviewClip | PaintCells

# Decoded pictures that are kept, in bytes.
KEPT_BYTES = 400e6

# Previews: long side, quality, least time between two, and their share of the whole time.
PREVIEW_PX, PREVIEW_QUALITY = 1024, 85
PREVIEW_PAUSE_S, PREVIEW_SHARE, PREVIEW_CREDIT_S = 0.05, 0.03, 0.1

STEP_PAUSE_S = 0.1

# Jobs that wait for each other in the middle of a step: two pages and a click fit.
MOST_NESTED = 4


def main(connection: Connection) -> None:
    """Carry out orders until the server has gone."""
    if hasattr(signal, "pthread_sigmask"):
        # A Ctrl-C in the terminal reaches this process, too; the server decides what it means.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    torch.set_flush_denormal(True)
    keep_buffers()
    Engine(connection).run()


class Engine:
    """Carries out orders.

    Args:
        connection: to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._orders: deque[Order] = deque()
        self._arrived = threading.Condition()
        self._ended: dict[str, End] = {}
        self._session = Session()
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._running: list[str] = []
        self._manifests: dict[Path, Manifest] = {}

    def run(self) -> None:
        """Read orders in a thread, carry them out in this one."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._send(Event("ready", values=self._warm_up()))
        while True:
            self._carry_out(self._next())
            give_back_memory()

    def _next(self) -> Order:
        """Wait for an order."""
        with self._arrived:
            while not self._orders:
                self._arrived.wait()
            return self._orders.popleft()

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                order = self._connection.recv()
                with self._arrived:
                    if isinstance(order, End):
                        self._ended[order.job] = order
                    self._orders.append(order)
                    self._arrived.notify()
        # The server has gone; what is half done is in temporary files only.
        os._exit(0)

    def _send(self, event: Event) -> None:
        with suppress(OSError):
            self._connection.send(event)

    def _warm_up(self) -> dict[str, Any]:
        """Load the default network and what a first run loads; describe the device."""
        try:
            weights = self._session.weights(TransferSettings().network)
            device = self._session.device(Execution(), weights)
            with torch.enable_grad():
                self._paint_something()
        except StylizeError:  # which the first job will meet and report
            return {}
        return {"device": device.name, "precision": device.precision, "threads": device.threads}

    def _paint_something(self) -> None:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(1, 3, 96, 128, generator=generator)
        photo = Picture(pixels, None, "", "", ())
        settings = TransferSettings(size="128", steps=2, style_crop="none")
        Transfer(photo, [photo], settings, Execution(), session=self._session).run()

    def _carry_out(self, order: Order) -> None:
        # A dream has switched gradients off around the steps of its own.
        with torch.enable_grad():
            match order:
                case Paint():
                    self._guarded(order, lambda: self._paint(order))
                case PaintClip():
                    self._guarded(order, lambda: self._paint_clip(order))
                case PreviewClip():
                    self._guarded(order, lambda: self._preview_clip(order))
                case PaintCells():
                    self._guarded(order, lambda: self._paint_cells(order))
                case FindSubject():
                    self._answer(order)
                case WarmUp():
                    self._decode_ahead(order)
                case End():
                    self._forget(order.job)

    def _guarded(self, order: Job, call: Callable[[], None]) -> None:
        self._running.append(order.job)
        try:
            call()
        except InterruptedRunError:
            if self._is_ended(order.job):
                self._send(Event("cancelled", order.job))
            else:  # it made way for a job around it, and begins again after that
                with self._arrived:
                    self._orders.appendleft(order)
        except Exception as error:
            self._send(Event("failed", order.job, described(_in_words(error))))
        finally:
            self._running.pop()

    def _forget(self, job: str) -> None:
        self._ended.pop(job, None)

    # Pictures

    def _read(self, source: Source) -> Picture:
        """Read a picture, or the first frame of a clip, or take it from memory."""
        found = self._pictures.get(source.sha256)
        if found is None:
            is_video = container_of(source.path) is not None
            read = first_frame if is_video else read_picture
            found = read(source.path, name=source.name)
            if found.sha256 != source.sha256:
                raise PictureError(f"{source.name} has changed since it was chosen")
            self._pictures[source.sha256] = found
        self._pictures.move_to_end(source.sha256)
        while (
            len(self._pictures) > 1 and sum(p.nbytes for p in self._pictures.values()) > KEPT_BYTES
        ):
            self._pictures.popitem(last=False)
        return dataclasses.replace(found, name=source.name)

    def _decode_ahead(self, order: WarmUp) -> None:
        for source in order.pictures:
            if self._orders:  # which read what they need
                return
            with suppress(Exception):
                self._read(source)

    # Jobs

    def _job(self, work: Work) -> Transfer | Dream:
        parts: dict[str, list[Picture]] = {}
        for role, source in work.inputs:
            parts.setdefault(role, []).append(self._read(source))

        def one(role: str) -> Picture | None:
            return next(iter(parts.get(role, [])), None)

        photo, settings = one("content"), work.settings
        if isinstance(settings, DreamSettings):
            return Dream(
                photo,
                settings,
                work.execution,
                guide=one("guide"),
                mask=one("mask"),
                preset=work.preset,
                session=self._session,
            )
        assert photo is not None, "the server has checked the request"
        return Transfer(
            photo,
            parts.get("style", []),
            settings,
            work.execution,
            start=one("start"),
            parts=Masks.of_inputs(parts),
            preset=work.preset,
            session=self._session,
        )

    def _paint(self, order: Paint) -> None:
        if self._is_cancelled(order.job):
            raise InterruptedRunError("cancelled")
        started = time.perf_counter()
        job = self._job(order.work)
        notes = list(job.notes)
        self._send(
            Event(
                "started",
                order.job,
                {"width": job.size[1], "height": job.size[0], "notes": notes},
            )
        )
        estimate_s = job.cost().seconds
        work = Progress(job.scales, estimate_s)

        def share(step: Step) -> float:
            work.add(step)
            return work.done / work.total

        watcher = Watcher(order.job, share, estimate_s, self._send)
        result = job.run(self._watched(watcher), self._has_to_stop)
        made_way = result.interrupted and not self._is_kept(order.job)
        if made_way or self._is_cancelled(order.job):
            raise InterruptedRunError("cancelled, or made way")
        seconds = time.perf_counter() - started - watcher.paused_s
        values = self._save(result, order, seconds)
        self._forget(order.job)
        self._send(Event("done", order.job, values))

    def _watched(self, watcher: Watcher) -> Callable[[Step], None]:
        """What a run calls after each step: reports it, and does what cannot wait."""

        def on_step(step: Step) -> None:
            watcher(step)
            paused = time.perf_counter()
            self._serve_urgent()
            watcher.paused_s += time.perf_counter() - paused

        return on_step

    def _serve_urgent(self) -> None:
        """Carry out urgent orders in the middle of a job."""
        while not self._has_to_stop() and (order := self._next_urgent()):
            self._carry_out(order)

    def _next_urgent(self) -> Order | None:
        with self._arrived:
            for order in self._orders:
                is_job = isinstance(order, Paint | PreviewClip) and order.urgent
                fits = is_job and len(self._running) < MOST_NESTED
                if fits or isinstance(order, FindSubject):
                    self._orders.remove(order)
                    return order
        return None

    def _has_to_stop(self) -> bool:
        """Whether the innermost job has to: it was ended, or one around it is to be kept now."""
        *outer, job = self._running
        return self._is_ended(job) or any(map(self._is_kept, outer))

    def _is_ended(self, job: str) -> bool:
        return job in self._ended

    def _is_kept(self, job: str) -> bool:
        end = self._ended.get(job)
        return end is not None and end.keep

    def _is_cancelled(self, job: str) -> bool:
        end = self._ended.get(job)
        return end is not None and not end.keep

    def _save(self, result: Result, order: Paint, seconds: float) -> dict[str, Any]:
        work = order.work
        saved = result.save(work.target, numbered=True, follow_links=False)
        assert saved is not None, "a file, not a stream"
        if self._is_cancelled(order.job):  # while it was being saved
            saved.unlink(missing_ok=True)
            raise InterruptedRunError("cancelled")
        if work.folder is not None:
            with suppress(Exception):  # the picture is there, and says itself what it is
                self._write_down(result.recipe, work, saved, work.folder, seconds)
        height, width = result.pixels.shape[-2:]
        return {
            "path": str(saved),
            "sha256": digest(saved),
            "width": width,
            "height": height,
            "interrupted": result.interrupted,
            "notes": list(result.notes),
            "seconds": round(seconds, 3),
        }

    def _write_down(
        self, recipe: Mapping[str, Any], work: Work, saved: Path, folder: Path, seconds: float
    ) -> None:
        """Add a picture or a clip to the manifest of the folder, as a batch does."""
        manifest = self._manifests.setdefault(folder, Manifest(folder))
        photo = next((source for role, source in work.inputs if role == "content"), None)
        manifest.append(
            Entry(
                target=saved.relative_to(folder).as_posix(),
                source="" if photo is None else str(photo.path),
                identity=identity_of(recipe) or "",
                status="done",
                attempts=1,
                seconds=round(seconds, 3),
                error=None,
                losses=recipe["losses"],
                time=time.time(),
                input_sha256=None if photo is None else photo.sha256,
                revision=1,
            )
        )

    # Clips

    def _paint_clip(self, order: PaintClip) -> None:
        """Paint what is missing of a clip, and put it together."""
        started = time.perf_counter()
        request = clip_request(order.work, self._read, self._session)
        height, width = request.size
        notes = request.check()
        self._send(Event("started", order.job, {"width": width, "height": height, "notes": notes}))
        if not order.work.target.exists():  # complete, but for its place
            self._paint_frames(order, request)
        if self._is_cancelled(order.job):
            raise InterruptedRunError("cancelled")
        values = self._publish(order.work, notes, time.perf_counter() - started)
        self._send(Event("done", order.job, {**values, "width": width, "height": height}))

    def _paint_frames(self, order: PaintClip, request: Request) -> None:
        with ClipRun(request, self._has_to_stop) as run:
            progress = ClipProgress(run)
            watcher = Watcher(
                order.job,
                progress.share,
                progress.estimate_s,
                self._send,
                progress.place,
                progress.begun,
            )

            def on_turn(turn: Turn, result: Result) -> None:
                watcher.show(result.pixels, {"frame": turn.index + 1})

            if not run.paint(on_turn, self._watched(watcher), self._has_to_stop):
                raise InterruptedRunError("cancelled, or made way")
            run.finish(lambda: self._is_cancelled(order.job))

    def _publish(self, work: Work, notes: Sequence[str], seconds: float) -> dict[str, Any]:
        assert work.folder is not None
        saved = publish(work.target, work.folder)
        with suppress(Exception):  # the clip is there, and says itself what it is
            self._write_down(load_recipe(saved), work, saved, work.folder, seconds)
        return {
            "path": str(saved),
            "sha256": digest(saved),
            "interrupted": False,
            "notes": list(notes),
            "seconds": round(seconds, 3),
        }

    def _preview_clip(self, order: PreviewClip) -> None:
        """Paint three frames of a clip, and say what the whole clip will cost."""
        if self._is_cancelled(order.job):
            raise InterruptedRunError("cancelled")
        request = clip_request(order.work, self._read, self._session)
        notes, preview = request.check(), Preview(request)
        painter, places = preview.painter, preview.places
        seconds = whole_seconds(request, painter)
        plan = {
            "frames": len(request.outline.times) - 1,
            "seconds": None if seconds is None else round(seconds, 1),
            "bytes": round(request.bytes_needed()),
        }
        values = {"width": painter.size[1], "height": painter.size[0]}
        notes += painter.notes
        self._send(Event("started", order.job, {**values, "notes": notes, "plan": plan}))
        labels = [f"frame {place + 1}" for place in places]
        self._send(Event("cells", order.job, {"labels": labels}))
        for index in range(len(places)):
            if not self._preview_frame(order, preview, index):
                break
        self._finish_cells(order.job)

    def _preview_frame(self, order: PreviewClip, preview: Preview, index: int) -> bool:
        """Paint one of the frames; whether it was finished."""
        places, painter = preview.places, preview.painter
        place = places[index]
        each_s = painter.cost(Turn(place), range(place, place + 1)).seconds
        work = Progress(painter.scales, each_s)

        def share(step: Step) -> float:
            work.add(step)
            return (index + work.done / work.total) / len(places)

        estimate_s = None if each_s is None else (len(places) - index) * each_s
        watcher = Watcher(
            order.job,
            share,
            estimate_s,
            self._send,
            lambda: {"index": index},
            index / len(places),
        )
        result = preview.paint(place, self._watched(watcher), self._has_to_stop)
        if result is None:
            return False
        target = order.work.target.with_name(f"{index}.png")
        result.save(target, overwrite=True, follow_links=False)
        values = {"index": index, "error": None}
        self._send(Event("cell", order.job, values, encoded(result.pixels)))
        return True

    # Sheets

    def _paint_cells(self, order: PaintCells) -> None:
        cells = order.cells if order.layer is None else self._channels(order)
        self._send(Event("started", order.job, {"notes": []}))
        ahead = sum(1 for _ in cells)
        for done, (number, work) in enumerate(cells):
            if self._is_ended(order.job):
                break
            self._paint_cell(order, number, work)
            self._send(Event("step", order.job, {"fraction": (done + 1) / ahead}))
        self._finish_cells(order.job)

    def _finish_cells(self, job: str) -> None:
        """Say that a job is done of which nothing but the cells is kept."""
        if self._has_to_stop() and not self._is_kept(job):
            raise InterruptedRunError("cancelled, or made way")
        interrupted = self._is_ended(job)
        self._forget(job)
        self._send(Event("done", job, {"interrupted": interrupted, "notes": []}))

    def _channels(self, order: PaintCells) -> Sequence[tuple[int, Work]]:
        """List the cells of the channels that a photo excites most."""
        ((_, base),) = order.cells
        settings, photo = base.settings, dict(base.inputs)["content"]
        assert isinstance(settings, DreamSettings) and order.layer is not None
        found = channel_cells(self._read(photo), settings, order.layer, order.count, base.execution)
        labels = [each.label for each in found]
        self._send(Event("cells", order.job, {"labels": labels}))
        return [
            (
                number,
                dataclasses.replace(
                    base,
                    settings=each.settings,
                    target=base.target.with_name(f"{number}.png"),
                ),
            )
            for number, each in enumerate(found)
        ]

    def _paint_cell(self, order: PaintCells, number: int, work: Work) -> None:
        try:
            result = self._job(work).run(lambda _: self._serve_urgent(), self._has_to_stop)
            if result.interrupted:
                return
            result.save(work.target, overwrite=True, follow_links=False)
            small = encoded(result.pixels)
        except InterruptedRunError:
            return
        except Exception as error:
            values = {"index": number, "error": described(_in_words(error))}
            self._send(Event("cell", order.job, values))
            return
        self._send(Event("cell", order.job, {"index": number, "error": None}, small))

    # Answers

    def _answer(self, order: FindSubject) -> None:
        try:
            values = self._find_subject(order)
        except Exception as error:
            values = {"error": described(_in_words(error))}
        self._send(Event("answer", order.call, values))

    def _find_subject(self, order: FindSubject) -> dict[str, Any]:
        from stylize.masks.subject import find_subject  # noqa: PLC0415 (brings OpenCV and SciPy)

        photo = self._read(order.photo)
        network = subject_network(NETWORK, Execution(), self._session)
        found = find_subject(photo.pixels, network, name=photo.name)
        mask = 1 - found.mask if order.invert else found.mask
        write_picture(order.target, mask.expand(-1, 3, -1, -1), overwrite=True, follow_links=False)
        return {"confidence": round(found.confidence, 3), "notes": list(found.notes)}


class Watcher:
    """Reports the steps of a job, and previews without taking much of its time.

    Args:
        job: its id.
        share: of the job that is done, called at every step.
        estimate_s: seconds that the rest of the job will take.
        send: takes the reports.
        place: more values for each of them.
        begun: the share that was done at the start.

    Attributes:
        paused_s: time since the start in which other work was done.
    """

    def __init__(
        self,
        job: str,
        share: Callable[[Step], float],
        estimate_s: float | None,
        send: Callable[[Event], None],
        place: Callable[[], Mapping[str, Any]] = dict,
        begun: float = 0.0,
    ) -> None:
        self.paused_s = 0.0
        self._job, self._send = job, send
        self._share, self._estimate_s = share, estimate_s
        self._place, self._begun = place, begun
        self._started = time.perf_counter()
        self._said = self._shown = -1.0
        self._spent_s = 0.0

    def __call__(self, step: Step) -> None:
        now = time.perf_counter()
        share = self._share(step)
        is_last = step.step == step.steps
        if now - self._said >= STEP_PAUSE_S or is_last:
            self._said = now
            self._send(Event("step", self._job, self._values(step, share, now)))
        allowed = PREVIEW_CREDIT_S + PREVIEW_SHARE * (now - self._started - self.paused_s)
        if now - self._shown >= PREVIEW_PAUSE_S and self._spent_s <= allowed:
            self._shown = now
            self.show(step.picture(), {"scale": step.scale, "step": step.step})
            self._spent_s += time.perf_counter() - now

    def show(self, pixels: Tensor, values: Mapping[str, Any]) -> None:
        """Send a preview."""
        size = {"width": pixels.shape[-1], "height": pixels.shape[-2]}
        values = {**self._place(), **values, **size}
        self._send(Event("preview", self._job, values, encoded(pixels)))

    def _values(self, step: Step, fraction: float, now: float) -> dict[str, Any]:
        seconds = now - self._started - self.paused_s
        return {
            "scale": step.scale,
            "scales": step.scales,
            "step": step.step,
            "steps": step.steps,
            "width": step.size[1],
            "height": step.size[0],
            "fraction": round(fraction, 4),
            "seconds": round(seconds, 2),
            "seconds_left": self._left(fraction, seconds),
            "loss": step.total if math.isfinite(step.total) else None,
            **self._place(),
        }

    def _left(self, fraction: float, seconds: float) -> float | None:
        """Estimate the seconds that remain, more and more by what was measured."""
        done = (fraction - self._begun) / (1 - self._begun)
        if done <= 0:
            return self._estimate_s
        measured = seconds / done
        estimate = measured if self._estimate_s is None else self._estimate_s
        total = (1 - done) * estimate + done * measured
        return round(max(0.0, total * (1 - done)), 1)


def encoded(pixels: Tensor) -> bytes:
    """Encode a picture as a JPEG for the page.

    Args:
        pixels: ``(1, 3, H, W)`` in [0, 1].
    """
    pixels = pixels.detach().cpu()
    height, width = SizeSpec(long_side_px=PREVIEW_PX).fit(pixels.shape[2], pixels.shape[3])
    if (height, width) != (pixels.shape[2], pixels.shape[3]):
        pixels = resize(pixels, (height, width))
    levels = (pixels[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    buffer = io.BytesIO()
    image = Image.fromarray(levels.contiguous().numpy())
    image.save(buffer, "JPEG", quality=PREVIEW_QUALITY)
    return buffer.getvalue()


_FITS = re.compile(r"--size ([0-9]+) fits")
_NEEDS = re.compile(r"([0-9]+)×([0-9]+) px need")


def _in_words(error: Exception) -> Exception:
    """Say what fits into the memory, for people who see a form."""
    if isinstance(error, SettingError):
        need, fit = _NEEDS.match(error.message), _FITS.match(error.hint or "")
        if need and fit:
            side = max(int(need[1]), int(need[2]))
            text = f"Memory is too small for {side} px; {fit[1]} px fits"
            return ApiError(422, "memory", text, f"Set the size to {fit[1]}")
    return error
