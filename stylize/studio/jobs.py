"""Jobs: what was asked for, how far it is, in which order. The database keeps them. No torch."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from stylize.errors import PictureError
from stylize.images.atomic import remove_leftovers
from stylize.images.names import safe_name, shortened
from stylize.studio.engine_process import EngineProcess
from stylize.studio.errors import ApiError, described
from stylize.studio.hub import Hub
from stylize.studio.library import Database, Known, Library, require_libraries, studio_folder
from stylize.studio.requests import CLIP_KINDS, JobRequest, read_request, read_sheet, sized
from stylize.studio.work import (
    End,
    Event,
    Order,
    Paint,
    PaintCells,
    PaintClip,
    PreviewClip,
    WarmUp,
    Work,
)

State = Literal["queued", "running", "stopping", "done", "failed", "cancelled"]

OVER = ("done", "failed", "cancelled")

# Of jobs that are over, besides their pictures.
KEPT_JOBS = 50

MOST_UNFINISHED = 500

_MAX_NAME_BYTES = 120

# A live job ends when nobody has listened for its session for so long.
ALONE_S, _LOOK_S = 60.0, 5.0

_OF_CLIPS = ("frame", "frames")


@dataclass
class Job:
    """A job. The database keeps everything but the last two attributes.

    Attributes:
        id: a random word.
        request: as it was submitted.
        place: sorts the queue.
        result: id of the picture.
        cells: of a sheet, or the frames of a preview.
        size: of the cells of a sheet.
        plan: what a clip will cost.
        progress: the last step.
        preview: the last preview, as an event and as a JPEG.
    """

    id: str
    kind: str
    request: Mapping[str, Any]
    place: float
    state: State = "queued"
    live: bool = False
    session: str | None = None
    created: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    width: int | None = None
    height: int | None = None
    result: str | None = None
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    error: Mapping[str, Any] | None = None
    cells: list[dict[str, Any]] | None = None
    size: str | None = None
    plan: Mapping[str, Any] | None = None
    progress: dict[str, Any] | None = None
    preview: tuple[dict[str, Any], bytes] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER

    @property
    def is_preview(self) -> bool:
        """Whether it makes only a few frames of a clip."""
        return self.kind in CLIP_KINDS and self.request.get("preview") is True

    @property
    def is_clip(self) -> bool:
        """Whether it makes a whole clip."""
        return self.kind in CLIP_KINDS and not self.is_preview

    @property
    def frames_done(self) -> int:
        """Number of the frames of a clip that are painted, as far as is known."""
        return int((self.progress or {}).get("frames_done", 0))

    @property
    def kept(self) -> dict[str, Any]:
        """The attributes that the database keeps."""
        return {k: v for k, v in vars(self).items() if k not in ("progress", "preview")}

    def document(self, position: int | None) -> dict[str, Any]:
        """Describe the job for the API."""
        left_out = ("place", "preview", "size")
        shown = {key: value for key, value in vars(self).items() if key not in left_out}
        names = ("fraction", "seconds_left", "scale", "scales", "step", "steps", *_OF_CLIPS)
        progress = self.progress and {name: self.progress.get(name) for name in names}
        return shown | {"position": position, "progress": progress}


class Jobs:
    """The queue and what became of earlier jobs.

    All methods belong to the thread of the event loop.

    Args:
        folder: absolute.
        database: of this folder.
        library: of this folder.
        hub: gets all changes.
    """

    def __init__(self, folder: Path, database: Database, library: Library, hub: Hub) -> None:
        self._folder, self._database = folder, database
        self._library, self._hub = library, hub
        self._jobs: dict[str, Job] = {}
        self.engine = EngineProcess(self._heard, self._engine_died)
        self.engine_state: dict[str, Any] = {"state": "starting"}
        self._answers: dict[str, Any] = {}
        # Of each job that the engine has, the frames that were done before.
        self._sent: dict[str, int] = {}
        # What was last published of each job, and when its session was last seen.
        self._positions: dict[str, int] = {}
        self._heard_of: dict[str, float] = {}
        self._load()

    def _load(self) -> None:
        for _, _, text in self._database.read("SELECT * FROM jobs ORDER BY place"):
            with suppress(ValueError, TypeError):
                job = Job(**json.loads(text))
                self._jobs[job.id] = job
                if not job.is_over:
                    self._begin_again(job)

    def _begin_again(self, job: Job) -> None:
        """Decide about a job that the last server has not finished."""
        if job.live:  # its page submits it again, if there still is one
            self._forget(job)
        elif job.state == "stopping":
            job.state, job.finished = "failed", time.time()
            job.error = {
                "code": "failed",
                "message": "the server ended before the picture was kept",
                "hint": "try again",
            }
        else:
            job.state, job.started = "queued", None

    def start(self) -> None:
        """Start the engine; what was unfinished follows when it is ready."""
        self._library.empty_incoming()
        remove_leftovers(self._folder)
        for folder in self._clip_folders():
            job = self._jobs.get(folder.name)
            if job is None or job.state in ("done", "cancelled"):
                _remove(folder)
        self.engine.start()

    def close(self) -> None:
        """End the engine. Unfinished jobs start again with the next server."""
        self.engine.close()

    async def watch(self) -> None:
        """Cancel live jobs whose pages have gone, until the task is cancelled."""
        while True:
            self.cancel_deserted(time.monotonic())
            await asyncio.sleep(_LOOK_S)

    def cancel_deserted(self, now: float) -> None:
        """Cancel live jobs that nobody has listened for since a minute.

        Args:
            now: in seconds, of any clock.
        """
        live = [job for job in self.unfinished() if job.live]
        self._heard_of = {job.id: self._heard_of.get(job.id, now) for job in live}
        for job in live:
            if self._hub.hears(job.id, job.session):
                self._heard_of[job.id] = now
            elif now - self._heard_of[job.id] >= ALONE_S and job.state != "stopping":
                self._end(job, keep=False)

    # Looking

    def unfinished(self) -> list[Job]:
        """List the jobs that wait or run, in the order in which they are done."""
        waiting = [job for job in self._jobs.values() if not job.is_over]
        return sorted(waiting, key=lambda job: (not job.live, job.state == "queued", job.place))

    def all(self) -> list[dict[str, Any]]:
        """Describe unfinished jobs in their order, then the others, the newest first."""
        over = [job for job in self._jobs.values() if job.is_over]
        over.sort(key=lambda job: job.finished or 0, reverse=True)
        return [self.document(job) for job in (*self.unfinished(), *over)]

    def document(self, job: Job) -> dict[str, Any]:
        """Describe a job for the API."""
        if job.is_over:
            return job.document(None)
        return job.document(self.unfinished().index(job))

    def get(self, id: str) -> Job:
        """Find a job by its id.

        Raises:
            ApiError: there is none.
        """
        if id not in self._jobs:
            raise ApiError(404, "not_found", "there is no such job")
        return self._jobs[id]

    def cell_file(self, job: Job, index: int) -> Path:
        """Return the file of a cell of a sheet."""
        return studio_folder(self._folder) / "sheets" / job.id / f"{index}.png"

    def clip_folder(self, job: Job) -> Path:
        """Return the folder in which the frames of a clip are until it is complete."""
        return studio_folder(self._folder) / "clips" / job.id

    def _clip_folders(self) -> list[Path]:
        with suppress(OSError):
            return list((studio_folder(self._folder) / "clips").iterdir())
        return []

    def is_needed(self, picture: str) -> bool:
        """Whether a job that waits or runs has a picture among its inputs."""
        return any(picture in json.dumps(job.request) for job in self.unfinished())

    # Changing

    def submit(self, document: Mapping[str, Any]) -> Job:
        """Add a job.

        Raises:
            UsageError: it makes no sense.
            ApiError: too much is waiting, or a picture is not known.
        """
        if len(self.unfinished()) >= MOST_UNFINISHED:
            raise ApiError(409, "conflict", "too many jobs are waiting", "cancel some of them")
        live, session = document.get("live") is True, document.get("session")
        job = Job(
            id=secrets.token_hex(8),
            kind=str(document.get("kind")),
            request=dict(document),
            place=self._next_place(),
            live=live,
            session=session if isinstance(session, str) else None,
        )
        if job.kind == "sheet":
            self._take_sheet(job)
        else:
            self._check_kinds(read_request(document))
        if live and job.kind != "sheet":
            for each in self.unfinished():
                if each.live and each.session == job.session:
                    self._end(each, keep=False)
        else:
            job.live = False
        self._jobs[job.id] = job
        self._changed(job)
        self._advance()
        return job

    def _take_sheet(self, job: Job) -> None:
        named = job.request.get("styles")
        styles = (
            [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
        )
        names = {
            each: Path(known.name).stem for each in styles if (known := self._library.find(each))
        }
        sheet = read_sheet(job.request, names)
        job.size = sheet.size
        job.cells = [_cell(label, request) for label, request in sheet.cells]
        for cell in job.cells:
            self._check_pictures(read_request(sized(cell["request"], sheet.size)))

    def _check_kinds(self, request: JobRequest) -> None:
        """Check that the pictures are known, and that none of them is a video.

        Raises:
            ApiError: they are not.
            MissingExtraError: the libraries for clips are not installed.
        """
        if request.clips is not None:
            require_libraries()
        found = self._check_pictures(request)
        for role, id in request.inputs():
            known, is_clip = found[id], role == "content" and request.clips is not None
            if is_clip and known.clip is None:
                raise ApiError(422, "invalid", f"{known.name} is a picture, not a clip")
            if known.is_video and not is_clip:
                raise ApiError(
                    422,
                    "invalid",
                    f"{known.name} is a video, not a picture",
                    f"kind video-{request.preset.technique} paints a clip",
                )

    def _check_pictures(self, request: JobRequest) -> dict[str, Known]:
        found = {}
        for role, id in request.inputs():
            known = self._library.find(id)
            if known is None:
                raise ApiError(422, "invalid", f"{role}: there is no picture {id[:8]}…")
            found[id] = known
        return found

    def stop(self, job: Job) -> None:
        """End a job after its step and keep the picture so far.

        Raises:
            ApiError: it is over, or a clip, which is only kept whole.
        """
        _require_unfinished(job)
        if job.is_clip:
            raise ApiError(409, "conflict", "a clip is kept only as a whole", "wait, or cancel it")
        self._end(job, keep=job.state != "queued")

    def cancel(self, job: Job) -> None:
        """End a job and keep nothing.

        Raises:
            ApiError: it is over.
        """
        _require_unfinished(job)
        self._end(job, keep=False)

    def retry(self, job: Job) -> None:
        """Add a failed job to the end of the queue once more; a clip goes on at the next frame.

        Raises:
            ApiError: it has not failed.
        """
        if job.state != "failed":
            raise ApiError(409, "conflict", "the job has not failed")
        job.state, job.error, job.finished, job.started = "queued", None, None, None
        job.live, job.progress = False, None
        job.place = self._next_place()
        self._changed(job)
        self._advance()

    def forget(self, job: Job) -> None:
        """Take a job that is over off the list; its picture stays.

        Raises:
            ApiError: it is not over.
        """
        if not job.is_over or job.id in self._sent:
            raise ApiError(409, "conflict", "the job is not over", "cancel it first")
        self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        self._hub.publish("gone", {"id": job.id})
        with suppress(OSError):
            self._database.write("DELETE FROM jobs WHERE id = ?", [job.id])
        shutil.rmtree(self.cell_file(job, 0).parent, ignore_errors=True)
        _remove(self.clip_folder(job))

    def _next_place(self) -> float:
        return 1 + max((each.place for each in self._jobs.values()), default=0.0)

    def _end(self, job: Job, *, keep: bool) -> None:
        if job.id in self._sent:
            self.engine.send(End(job.id, keep))
        if keep:
            job.state = "stopping"
            self._changed(job)
        else:
            # For the page it is over now; the engine ends it after its step.
            self._over(job, "cancelled")
            if job.id not in self._sent:
                _remove(self.clip_folder(job))

    def move(self, job: Job, position: int) -> None:
        """Give a waiting job another place.

        Raises:
            ApiError: it is not waiting.
        """
        if job.state != "queued":
            raise ApiError(409, "conflict", "the job is not waiting")
        waiting = [
            each for each in self.unfinished() if not each.live and each.id not in self._sent
        ]
        ahead = len(self.unfinished()) - len(waiting)
        if job not in waiting:
            raise ApiError(409, "conflict", "the job is not waiting")
        waiting.remove(job)
        waiting.insert(max(0, position - ahead), job)
        places = sorted(each.place for each in waiting)
        for each, place in zip(waiting, places, strict=True):
            each.place = place
            self._save(each)
        self._publish_moved()

    def warm(self, known: Known) -> None:
        """Have a picture decoded that was just chosen, if the engine has nothing to do."""
        if not self._sent:
            self.engine.send(WarmUp((known.source,)))

    # The engine

    def _advance(self) -> None:
        """Send what comes next: live jobs at once, others when nothing else is being done."""
        if self.engine_state["state"] != "ready":
            return
        for job in self.unfinished():
            if job.id not in self._sent and (job.live or not self._sent):
                self._send(job)

    def _send(self, job: Job) -> None:
        try:
            order = self._order(job)
        except Exception as error:  # a network that was removed, a folder that cannot be made …
            self._fail(job, error)
            return
        if self.engine.send(order):
            self._sent[job.id] = job.frames_done
            job.state, job.started = "running", time.time()
            self._changed(job)

    def _order(self, job: Job) -> Order:
        if job.kind == "sheet":
            return self._sheet_order(job)
        request = read_request(job.request)
        if job.is_preview:
            target = self.cell_file(job, 0)
            target.parent.mkdir(parents=True, exist_ok=True)
            return PreviewClip(job.id, self._work(request, target), urgent=job.live)
        if job.is_clip:
            target = self.clip_folder(job) / self._name(request)
            target.parent.mkdir(parents=True, exist_ok=True)
            return PaintClip(job.id, self._work(request, target, self._folder))
        target = self._folder / self._name(request)
        return Paint(job.id, self._work(request, target, self._folder), urgent=job.live)

    def _sheet_order(self, job: Job) -> PaintCells:
        assert job.cells is not None
        target = self.cell_file(job, 0)
        target.parent.mkdir(parents=True, exist_ok=True)
        works = tuple(
            (
                index,
                self._work(
                    read_request(sized(cell["request"], job.size)), self.cell_file(job, index)
                ),
            )
            for index, cell in enumerate(job.cells)
            if cell["state"] == "queued"
        )
        if job.request.get("try") == "channels" and len(job.cells) == 1:
            sheet = read_sheet(job.request)
            return PaintCells(job.id, works, sheet.layer, sheet.count)
        return PaintCells(job.id, works)

    def _work(self, request: JobRequest, target: Path, folder: Path | None = None) -> Work:
        known = self._check_pictures(request)
        inputs = tuple((role, known[id].source) for role, id in request.inputs())
        preset = request.preset.recorded
        return Work(
            request.settings, request.execution, preset, inputs, target, folder, request.clips
        )

    def _name(self, request: JobRequest) -> str:
        """Name a result after photo or clip, styles and preset."""
        known = self._check_pictures(request)
        photo = "noise" if request.photo is None else Path(known[request.photo].name).stem
        styles = request.styles or tuple(each.style for each in request.regions if each.style)
        words = [photo, *(Path(known[style].name).stem for style in styles)]
        if request.preset.recorded or not styles:
            words.append(request.preset.name)
        tail = ".png" if request.clips is None else f".{request.clips.format}"
        return shortened(safe_name("-".join(words)), _MAX_NAME_BYTES, tail=tail)

    def _heard(self, event: Event) -> None:
        if event.name == "ready":
            self.engine_state = {"state": "ready", **event.values}
            self._hub.publish("engine", self.engine_state)
            self._advance()
        elif event.name == "answer":
            waiting = self._answers.pop(event.subject, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(event.values)
        elif event.subject in self._jobs:
            job = self._jobs[event.subject]
            try:
                self._of_job(job, event)
            except Exception as error:  # what is wrong with one job must not stop the others
                self._fail(job, error)
        self._advance()

    def _of_job(self, job: Job, event: Event) -> None:
        values = dict(event.values)
        if event.name in ("done", "failed", "cancelled"):
            self._left_engine(job, event)
        if job.is_over:
            return
        if event.name == "started":
            job.width, job.height = values.get("width"), values.get("height")
            job.notes, job.plan = values["notes"], values.get("plan")
            self._changed(job)
        elif event.name == "step":
            job.progress = values
            self._hub.publish("step", {"id": job.id, **values})
        elif event.name == "preview" and event.picture is not None:
            shown = {"id": job.id, **values, "type": "image/jpeg", "data": _text(event.picture)}
            job.preview = shown, event.picture
            self._hub.publish("preview", shown)
        elif event.name == "cells":
            self._found_cells(job, values["labels"])
        elif event.name == "cell":
            self._made_cell(job, values, event.picture)
        elif event.name == "done":
            self._done(job, values)
        else:
            self._over(job, "failed" if event.name == "failed" else "cancelled", values or None)

    def _left_engine(self, job: Job, event: Event) -> None:
        """Remove what a job leaves behind that the engine no longer has."""
        self._sent.pop(job.id, None)
        if event.name != "failed" or job.state == "cancelled":
            _remove(self.clip_folder(job))
        if job.state == "cancelled" and "path" in event.values:
            # The engine had saved it before it heard of that.
            with suppress(OSError):
                Path(event.values["path"]).unlink()

    def _done(self, job: Job, values: Mapping[str, Any]) -> None:
        job.interrupted = values["interrupted"]
        job.notes = list(dict.fromkeys([*job.notes, *values["notes"]]))
        if job.cells is None:
            try:
                job.result = self._library.found(Path(values["path"]), values["sha256"]).id
            except (OSError, PictureError) as error:
                self._fail(job, error)
                return
            job.width, job.height = values["width"], values["height"]
        self._over(job, "done")
        if job.result is not None:
            self._hub.publish("history", {"id": job.result})

    def _found_cells(self, job: Job, labels: list[str]) -> None:
        """Take in what the engine has found: frames of a clip, or channels of a layer."""
        if job.is_preview:
            job.cells = [_cell(label, job.request) for label in labels]
        else:
            assert job.cells is not None
            base = job.cells[0]["request"]
            job.cells = [
                _cell(text, {**base, "settings": {**base["settings"], "layers": text}})
                for text in labels
            ]
        self._changed(job)

    def _made_cell(self, job: Job, values: Mapping[str, Any], picture: bytes | None) -> None:
        assert job.cells is not None
        index, error = values["index"], values["error"]
        cell = job.cells[index]
        cell["state"], cell["error"] = ("failed" if error else "done"), error
        shown: dict[str, Any] = {"id": job.id, "index": index, "cell": cell}
        if picture is not None:
            shown |= {"type": "image/jpeg", "data": _text(picture)}
        self._save(job)
        self._hub.publish("cell", shown)

    def _fail(self, job: Job, error: Exception) -> None:
        self._over(job, "failed", described(error))

    def _over(self, job: Job, state: State, error: Mapping[str, Any] | None = None) -> None:
        job.state, job.error, job.finished = state, error, time.time()
        job.progress = None if state == "cancelled" else job.progress
        job.preview = None
        self._changed(job)
        self._prune()

    def _engine_died(self, again: bool) -> None:
        before, self._sent = self._sent, {}
        lost = [self._jobs[id] for id in before if id in self._jobs]
        # The one that came last was being painted; those that it had interrupted are innocent.
        interrupted = lost[:-1]
        state = "restarting" if again else "failed"
        self.engine_state = {"state": state}
        self._hub.publish("engine", self.engine_state)
        message = "the engine ended unexpectedly, perhaps for lack of memory"
        for job in lost:
            if job.is_over:
                _remove(self.clip_folder(job))
            elif (job in interrupted and job.state != "stopping") or (
                job.is_clip and job.frames_done > before[job.id]
            ):
                # A clip goes on at the next frame; one that gets no further has failed.
                job.state, job.started = "queued", None
                if not job.is_clip:
                    job.progress = None
                self._changed(job)
            else:
                error = {"code": "engine", "message": message, "hint": "try a smaller size"}
                self._over(job, "failed", error)
        answer = {"error": {"code": "engine", "message": message, "hint": None}}
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_result(answer)
        self._answers.clear()

    def expect(self, call: str, waiting: Any) -> None:
        """Have the answer to a call set as the result of a future."""
        self._answers[call] = waiting

    # The database

    def _changed(self, job: Job) -> None:
        self._save(job)
        position = self._publish_moved(but=job)
        self._hub.publish("job", job.document(position))

    def _publish_moved(self, but: Job | None = None) -> int | None:
        """Publish the jobs that have moved, except one; return the position of that one."""
        waiting = self.unfinished()
        before, self._positions = self._positions, {job.id: i for i, job in enumerate(waiting)}
        for position, job in enumerate(waiting):
            if job is not but and before.get(job.id) != position:
                self._hub.publish("job", job.document(position))
        return None if but is None else self._positions.get(but.id)

    def _save(self, job: Job) -> None:
        text = json.dumps(job.kept)
        # A full disk is reported where a picture is saved; the queue is in memory, too.
        with suppress(OSError):
            self._database.write(
                "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)", [job.id, job.place, text]
            )

    def _prune(self) -> None:
        over = sorted(
            (job for job in self._jobs.values() if job.is_over and job.id not in self._sent),
            key=lambda job: (job.state != "cancelled", job.finished or 0),
        )
        for job in over[: max(0, len(over) - KEPT_JOBS)]:
            self._forget(job)


def _cell(label: str, request: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": label, "state": "queued", "error": None, "request": dict(request)}


def _remove(folder: Path) -> None:
    """Remove a folder in a thread: the frames of a clip can be thousands of files."""
    if folder.exists():
        remove = partial(shutil.rmtree, folder, ignore_errors=True)
        threading.Thread(target=remove).start()


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _require_unfinished(job: Job) -> None:
    if job.is_over:
        raise ApiError(409, "conflict", "the job is over")
