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
from collections.abc import Callable, Sequence
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
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.masks import NETWORK
from stylize.settings.schedule import Scale
from stylize.settings.transfer import TransferSettings
from stylize.studio.errors import ApiError, described
from stylize.studio.work import (
    End,
    Event,
    FindSubject,
    Order,
    Paint,
    PaintCells,
    Source,
    WarmUp,
    Work,
)

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
        self._depth = 0
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
        self._depth += 1
        try:
            # A dream has switched gradients off around the steps of its own.
            with torch.enable_grad():
                match order:
                    case Paint():
                        self._guarded(order.job, lambda: self._paint(order))
                    case PaintCells():
                        self._guarded(order.job, lambda: self._paint_cells(order))
                    case FindSubject():
                        self._answer(order)
                    case WarmUp():
                        self._decode_ahead(order)
                    case End():
                        self._forget(order.job)
        finally:
            self._depth -= 1

    def _guarded(self, job: str, call: Callable[[], None]) -> None:
        try:
            call()
        except InterruptedRunError:
            self._send(Event("cancelled", job))
        except Exception as error:
            self._send(Event("failed", job, described(_in_words(error))))

    def _forget(self, job: str) -> None:
        self._ended.pop(job, None)

    # Pictures

    def _read(self, source: Source) -> Picture:
        """Read a picture, or take it from memory."""
        found = self._pictures.get(source.sha256)
        if found is None:
            found = read_picture(source.path, name=source.name)
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
        watcher = Watcher(order.job, job.scales, job.cost().seconds, self._send)

        def on_step(step: Step) -> None:
            watcher(step)
            if not self._is_ended(order.job):
                watcher.paused_s += self._serve_urgent(order)

        result = job.run(on_step, lambda: self._is_ended(order.job))
        if result.interrupted and self._is_cancelled(order.job):
            raise InterruptedRunError("cancelled")
        self._forget(order.job)
        values = self._save(result, order.work, time.perf_counter() - started - watcher.paused_s)
        self._send(Event("done", order.job, values))

    def _serve_urgent(self, current: Paint | PaintCells) -> float:
        """Carry out urgent orders in the middle of a job; return the seconds they took."""
        started = time.perf_counter()
        while order := self._next_urgent(current):
            self._carry_out(order)
        return time.perf_counter() - started

    def _next_urgent(self, current: Paint | PaintCells) -> Order | None:
        with self._arrived:
            for order in self._orders:
                is_job = isinstance(order, Paint) and order.urgent and self._depth < MOST_NESTED
                if is_job or isinstance(order, FindSubject):
                    self._orders.remove(order)
                    return order
        return None

    def _is_ended(self, job: str) -> bool:
        return job in self._ended

    def _is_cancelled(self, job: str) -> bool:
        end = self._ended.get(job)
        return end is not None and not end.keep

    def _save(self, result: Result, work: Work, seconds: float) -> dict[str, Any]:
        saved = result.save(work.target, numbered=True, follow_links=False)
        assert saved is not None, "a file, not a stream"
        if work.folder is not None:
            with suppress(Exception):  # the picture is there, and says itself what it is
                self._write_down(result, work, saved, work.folder, seconds)
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
        self, result: Result, work: Work, saved: Path, folder: Path, seconds: float
    ) -> None:
        """Add the picture to the manifest of the folder, as a batch does."""
        manifest = self._manifests.setdefault(folder, Manifest(folder))
        photo = next((source for role, source in work.inputs if role == "content"), None)
        manifest.append(
            Entry(
                target=saved.relative_to(folder).as_posix(),
                source="" if photo is None else str(photo.path),
                identity=identity_of(result.recipe) or "",
                status="done",
                attempts=1,
                seconds=round(seconds, 3),
                error=None,
                losses=result.recipe["losses"],
                time=time.time(),
                input_sha256=None if photo is None else photo.sha256,
                revision=1,
            )
        )

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
        if self._is_cancelled(order.job):
            raise InterruptedRunError("cancelled")
        interrupted = self._is_ended(order.job)
        self._forget(order.job)
        self._send(Event("done", order.job, {"interrupted": interrupted, "notes": []}))

    def _channels(self, order: PaintCells) -> Sequence[tuple[int, Work]]:
        """List the cells of the channels that a photo excites most."""
        ((_, base),) = order.cells
        settings, photo = base.settings, dict(base.inputs)["content"]
        assert isinstance(settings, DreamSettings) and order.layer is not None
        found = channel_cells(self._read(photo), settings, order.layer, order.count, base.execution)
        labels = [each.label for each in found]
        self._send(Event("cells", order.job, {"layers": labels}))
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
        def on_step(step: Step) -> None:
            if not self._is_ended(order.job):
                self._serve_urgent(order)

        try:
            result = self._job(work).run(on_step, lambda: self._is_ended(order.job))
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

    Attributes:
        paused_s: time since the start in which other work was done.
    """

    def __init__(
        self,
        job: str,
        scales: Sequence[Scale],
        estimate_s: float | None,
        send: Callable[[Event], None],
    ) -> None:
        self.paused_s = 0.0
        self._job, self._send = job, send
        self._estimate_s = estimate_s
        self._progress = Progress(scales, estimate_s)
        self._started = time.perf_counter()
        self._said = self._shown = -1.0
        self._spent_s = 0.0

    def __call__(self, step: Step) -> None:
        now = time.perf_counter()
        self._progress.add(step)
        is_last = step.step == step.steps
        if now - self._said >= STEP_PAUSE_S or is_last:
            self._said = now
            self._send(Event("step", self._job, self._values(step, now)))
        allowed = PREVIEW_CREDIT_S + PREVIEW_SHARE * (now - self._started - self.paused_s)
        if now - self._shown >= PREVIEW_PAUSE_S and self._spent_s <= allowed:
            self._shown = now
            self._preview(step)
            self._spent_s += time.perf_counter() - now

    def _preview(self, step: Step) -> None:
        values = {"scale": step.scale, "step": step.step}
        pixels = step.picture()
        values |= {"width": pixels.shape[-1], "height": pixels.shape[-2]}
        self._send(Event("preview", self._job, values, encoded(pixels)))

    def _values(self, step: Step, now: float) -> dict[str, Any]:
        fraction = self._progress.done / self._progress.total
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
        }

    def _left(self, fraction: float, seconds: float) -> float | None:
        """Estimate the seconds that remain, more and more by what was measured."""
        if fraction <= 0:
            return self._estimate_s
        measured = seconds / fraction
        estimate = measured if self._estimate_s is None else self._estimate_s
        total = (1 - fraction) * estimate + fraction * measured
        return round(max(0.0, total * (1 - fraction)), 1)


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
