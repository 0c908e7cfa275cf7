"""The HTTP API: routes, and what each answers. docs/studio.md describes it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import anyio.to_thread
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stylize.errors import StylizeError
from stylize.images.open import pixel_limit
from stylize.networks.models import model_names
from stylize.studio.errors import ApiError, described, status_of
from stylize.studio.history import history
from stylize.studio.hub import Hub, dumped
from stylize.studio.jobs import Jobs
from stylize.studio.library import (
    MAX_UPLOAD_BYTES,
    MOST_VIEW_PX,
    VIEW_PX,
    Database,
    Known,
    Library,
    clips_are_possible,
    studio_folder,
    view,
)
from stylize.studio.openapi import docs_page, openapi_document
from stylize.studio.recall import recall, texts_of
from stylize.studio.requests import ID, read_request
from stylize.studio.schema import presets_document, settings_document
from stylize.studio.security import Guard
from stylize.studio.work import FindSubject
from stylize.version import __version__

MAX_JSON_BYTES = 1_000_000

# Of an upload that is too large, so that its sender still reads the answer.
_MOST_DRAINED_BYTES = 1 << 30

_PING_S = 15

_MAX_LABEL = 1000

STATIC = Path(__file__).parent / "static"


class Studio:
    """The state of a server, and its routes.

    Args:
        folder: of the results, absolute; created.

    Raises:
        OutputError: the system refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = Hub()
        self.database = Database(studio_folder(folder) / "studio.sqlite")
        self.library = Library(folder, self.database)
        self.jobs = Jobs(folder, self.database, self.library, self.hub)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Start the engine with the server, and end it with it."""
        self.jobs.start()
        watching = asyncio.create_task(self.jobs.watch())
        try:
            yield
        finally:
            watching.cancel()
            self.hub.close()
            self.jobs.close()
            self.database.close()

    # About the server

    async def status(self, request: Request) -> Response:
        """Describe the server."""
        return JSONResponse(
            {
                "version": __version__,
                "folder": self.folder.name,
                "engine": self.jobs.engine_state,
                "limits": {"upload_bytes": MAX_UPLOAD_BYTES, "pixels": pixel_limit()},
                "networks": list(model_names()),
                "subject": find_spec("cv2") is not None,
                "video": clips_are_possible(),
            }
        )

    async def settings(self, request: Request) -> Response:
        """List all settings."""
        return JSONResponse(settings_document())

    async def presets(self, request: Request) -> Response:
        """List the built-in presets."""
        pictures = (STATIC / "presets").glob("*/*.webp")
        found = frozenset(f"{each.parent.name}/{each.stem}" for each in pictures)
        return JSONResponse(presets_document(found))

    async def openapi(self, request: Request) -> Response:
        """Describe this API for programs."""
        return JSONResponse(openapi_document())

    # Pictures and clips

    async def upload(self, request: Request) -> Response:
        """Keep an uploaded picture or clip."""
        file = self.library.incoming / secrets.token_hex(8)
        try:
            sha256, label = await _receive(request, file)
            known = await _in_thread(self.library.add, file, label, sha256=sha256)
        finally:
            file.unlink(missing_ok=True)
        self.jobs.warm(known)  # the engine decodes it at the same time
        await _in_thread(self.library.check, known)
        return JSONResponse(known.document, 201)

    async def _known(self, request: Request) -> Known:
        id = request.path_params["id"]
        known: Known | None = None
        if ID.fullmatch(id):
            known = await _in_thread(self.library.find, id)
        if known is None:
            raise ApiError(404, "not_found", "there is no such picture")
        return known

    async def picture(self, request: Request) -> Response:
        """Describe a picture."""
        return JSONResponse((await self._known(request)).document)

    async def thumbnail(self, request: Request) -> Response:
        """Send a small JPEG of a picture."""
        known = await self._known(request)
        return Response(await _in_thread(self.library.thumbnail, known), media_type="image/jpeg")

    async def view(self, request: Request) -> Response:
        """Send a picture for the screen."""
        known = await self._known(request)
        format = request.query_params.get("format", "jpeg")
        if format not in ("jpeg", "png"):
            raise ApiError(422, "invalid", "format is jpeg or png")
        side = _number(request, "side", VIEW_PX, 16, MOST_VIEW_PX)
        return Response(await _in_thread(view, known, side, format), media_type=f"image/{format}")

    async def file(self, request: Request) -> Response:
        """Send the file of a picture."""
        return _file(await self._known(request))

    async def remove(self, request: Request) -> Response:
        """Delete a result."""
        known = await self._known(request)
        if self.jobs.is_needed(known.id):
            raise ApiError(409, "conflict", "a job in the queue needs it", "cancel the job first")
        await _in_thread(self.library.remove, known.id)
        self.hub.publish("history", {"id": known.id, "removed": True})
        return Response(status_code=204)

    async def recall(self, request: Request) -> Response:
        """Say how a picture was made."""
        known = await self._known(request)
        return JSONResponse(
            await _in_thread(recall, known, self.library.search, request.query_params.get("cell"))
        )

    async def samples(self, request: Request) -> Response:
        """List the sample pictures."""
        photos, styles = [
            [each.document for each in await _in_thread(self.library.samples, kind)]
            for kind in ("photos", "styles")
        ]
        return JSONResponse({"photos": photos, "styles": styles})

    async def history(self, request: Request) -> Response:
        """List the results."""
        wanted = dict(request.query_params)
        offset = _number(request, "offset", 0, 0, 10**9)
        limit = _number(request, "limit", 60, 1, 500)
        for key in ("offset", "limit"):
            wanted.pop(key, None)
        return JSONResponse(await _in_thread(history, self.library, wanted, offset, limit))

    async def subject(self, request: Request) -> Response:
        """Find the subject of a photo."""
        document = await _json(request, ("photo", "invert"))
        id, invert = document.get("photo"), document.get("invert", False)
        known = self.library.find(id) if isinstance(id, str) and ID.fullmatch(id) else None
        if known is None or not isinstance(invert, bool):
            raise ApiError(422, "invalid", "photo is not the id of a picture")
        target = self.library.incoming / f"{secrets.token_hex(8)}.png"
        try:
            values = await self._ask(
                FindSubject(secrets.token_hex(8), known.source, target, invert)
            )
            words = "background" if invert else "subject"
            name = f"{words}-of-{Path(known.name).stem}.png"
            mask = await _in_thread(self.library.add, target, name)
        finally:
            target.unlink(missing_ok=True)
        return JSONResponse({"image": mask.document, **values})

    async def _ask(self, order: FindSubject) -> Mapping[str, Any]:
        waiting: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self.jobs.expect(order.call, waiting)
        if not self.jobs.engine.send(order):
            raise ApiError(503, "engine", "the engine is not running")
        values = await waiting
        if (error := values.get("error")) is not None:
            raise ApiError(503 if error["code"] == "engine" else 422, **error)
        return values

    # Jobs

    async def list_jobs(self, request: Request) -> Response:
        """List the queue, then earlier jobs."""
        return JSONResponse({"jobs": self.jobs.all()})

    async def submit(self, request: Request) -> Response:
        """Add a job to the queue."""
        document = await _json(request)
        return JSONResponse(self.jobs.document(self.jobs.submit(document)), 201)

    async def command(self, request: Request) -> Response:
        """Write a job as a command and as a script."""
        wanted = read_request(await _json(request))
        return JSONResponse(await _in_thread(texts_of, wanted, self.library.find))

    async def job(self, request: Request) -> Response:
        """Describe a job."""
        return JSONResponse(self.jobs.document(self.jobs.get(request.path_params["id"])))

    async def stop(self, request: Request) -> Response:
        """End a job, keep the picture."""
        job = self.jobs.get(request.path_params["id"])
        self.jobs.stop(job)
        return JSONResponse(self.jobs.document(job))

    async def cancel(self, request: Request) -> Response:
        """End a job, keep nothing."""
        job = self.jobs.get(request.path_params["id"])
        self.jobs.cancel(job)
        return JSONResponse(self.jobs.document(job))

    async def retry(self, request: Request) -> Response:
        """Try a failed job again."""
        job = self.jobs.get(request.path_params["id"])
        self.jobs.retry(job)
        return JSONResponse(self.jobs.document(job))

    async def forget(self, request: Request) -> Response:
        """Take a job that is over off the list."""
        self.jobs.forget(self.jobs.get(request.path_params["id"]))
        return Response(status_code=204)

    async def move(self, request: Request) -> Response:
        """Change the order of the queue."""
        document = await _json(request, ("position",))
        position = document.get("position")
        if type(position) is not int or position < 0:
            raise ApiError(422, "invalid", "position is not a number from 0")
        job = self.jobs.get(request.path_params["id"])
        self.jobs.move(job, position)
        return JSONResponse(self.jobs.document(job))

    async def preview(self, request: Request) -> Response:
        """Send the newest preview."""
        job = self.jobs.get(request.path_params["id"])
        if job.preview is None:
            raise ApiError(404, "not_found", "there is no preview")
        return Response(job.preview[1], media_type=job.preview[0]["type"])

    async def result(self, request: Request) -> Response:
        """Send the picture that a job made."""
        job = self.jobs.get(request.path_params["id"])
        known = None if job.result is None else self.library.find(job.result)
        if known is None:
            raise ApiError(409, "conflict", "the job has no picture")
        return _file(known)

    async def cell(self, request: Request) -> Response:
        """Send the picture in a cell of a sheet."""
        job = self.jobs.get(request.path_params["id"])
        index = request.path_params["index"]
        file = self.jobs.cell_file(job, index)
        if job.cells is None or not 0 <= index < len(job.cells) or not file.is_file():
            raise ApiError(404, "not_found", "there is no such picture")
        return FileResponse(file, media_type="image/png")

    # Events

    async def events(self, request: Request) -> Response:
        """Stream the events of all jobs."""
        sessions = frozenset(request.query_params.getlist("session"))
        return EventSourceResponse(self._all_events(sessions), ping=_PING_S)

    async def _all_events(self, sessions: frozenset[str]) -> AsyncIterator[dict[str, str]]:
        with self.hub.listening(sessions=sessions) as listener:
            hello = {
                "jobs": self.jobs.all(),
                "engine": self.jobs.engine_state,
                "version": __version__,
            }
            yield {"event": "hello", "data": dumped(hello)}
            for job in self.jobs.unfinished():
                for event in _last_events(job):
                    yield event
            async for event in listener.events():
                yield event

    async def job_events(self, request: Request) -> Response:
        """Stream the events of one job."""
        job = self.jobs.get(request.path_params["id"])
        return EventSourceResponse(self._events_of(job), ping=_PING_S)

    async def _events_of(self, job: Any) -> AsyncIterator[dict[str, str]]:
        with self.hub.listening(job.id) as listener:
            yield {"event": "job", "data": dumped(self.jobs.document(job))}
            for event in _last_events(job):
                yield event
            if job.is_over:
                return
            async for event in listener.events():
                yield event
                if event["event"] == "job" and job.is_over:
                    return


def _last_events(job: Any) -> list[dict[str, str]]:
    events = []
    if job.progress is not None:
        events.append({"event": "step", "data": dumped({"id": job.id, **job.progress})})
    if job.preview is not None:
        events.append({"event": "preview", "data": dumped(job.preview[0])})
    return events


def build(folder: Path, *, token: str, host: str, port: int) -> tuple[Guard, Studio]:
    """Build the application for a folder.

    Args:
        folder: absolute.
        token: what requests carry.
        host, port: where the server listens.

    Raises:
        OutputError: the system refuses to write there.
    """
    studio = Studio(folder)
    api = "/api/v1"
    routes = [
        Route("/", _page),
        Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
        Route("/api/docs", _docs),
        Route(f"{api}/openapi.json", studio.openapi),
        Route(f"{api}/status", studio.status),
        Route(f"{api}/settings", studio.settings),
        Route(f"{api}/presets", studio.presets),
        Route(f"{api}/samples", studio.samples),
        Route(f"{api}/history", studio.history),
        Route(f"{api}/images", studio.upload, methods=["POST"]),
        Route(f"{api}/images/{{id}}", studio.picture, methods=["GET"]),
        Route(f"{api}/images/{{id}}", studio.remove, methods=["DELETE"]),
        Route(f"{api}/images/{{id}}/thumbnail", studio.thumbnail),
        Route(f"{api}/images/{{id}}/view", studio.view),
        Route(f"{api}/images/{{id}}/file", studio.file),
        Route(f"{api}/images/{{id}}/recall", studio.recall),
        Route(f"{api}/subject", studio.subject, methods=["POST"]),
        Route(f"{api}/command", studio.command, methods=["POST"]),
        Route(f"{api}/jobs", studio.list_jobs, methods=["GET"]),
        Route(f"{api}/jobs", studio.submit, methods=["POST"]),
        Route(f"{api}/jobs/{{id}}", studio.job, methods=["GET"]),
        Route(f"{api}/jobs/{{id}}", studio.forget, methods=["DELETE"]),
        Route(f"{api}/jobs/{{id}}/stop", studio.stop, methods=["POST"]),
        Route(f"{api}/jobs/{{id}}/cancel", studio.cancel, methods=["POST"]),
        Route(f"{api}/jobs/{{id}}/retry", studio.retry, methods=["POST"]),
        Route(f"{api}/jobs/{{id}}/move", studio.move, methods=["POST"]),
        Route(f"{api}/jobs/{{id}}/events", studio.job_events),
        Route(f"{api}/jobs/{{id}}/preview", studio.preview),
        Route(f"{api}/jobs/{{id}}/result", studio.result),
        Route(f"{api}/jobs/{{id}}/cells/{{index:int}}", studio.cell),
        Route(f"{api}/events", studio.events),
    ]
    handlers: Any = {
        HTTPException: _http_error,
        ClientDisconnect: _gone,
        ApiError: _error,
        StylizeError: _error,
        OSError: _error,
        Exception: _error,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=studio.lifespan)
    return Guard(app, token=token, host=host, port=port), studio


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", media_type="text/html")


async def _docs(request: Request) -> Response:
    return HTMLResponse(docs_page())


async def _error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": described(error)}, status_of(error))


async def _gone(request: Request, error: Exception) -> Response:
    """Answer nobody: the page was closed in the middle of an upload, which is no fault."""
    return Response(status_code=400)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid")
    document = {"code": code, "message": str(error.detail).lower(), "hint": None}
    return JSONResponse({"error": document}, error.status_code, headers=error.headers)


async def _limited(request: Request) -> AsyncGenerator[bytes]:
    """Yield a body as it arrives.

    Raises:
        ApiError: it is too large.
    """
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_UPLOAD_BYTES:
            yield chunk
        elif size > _MOST_DRAINED_BYTES:
            break
    if size > MAX_UPLOAD_BYTES:
        raise ApiError(
            413,
            "too_large",
            f"the file is larger than {MAX_UPLOAD_BYTES // 1024**2} MB",
            "make it smaller; the command line takes files of any size",
        )


async def _receive(request: Request, file: Path) -> tuple[str, str]:
    """Write an uploaded file to another one; return its SHA-256 and what its sender calls it.

    Raises:
        ApiError: it is too large, or a form without a file.
    """
    label = unquote(request.headers.get("x-file-name", ""))[:_MAX_LABEL]
    if _media_type(request) == "multipart/form-data":
        return await _receive_form(request, file, label)
    digest = hashlib.sha256()
    with file.open("xb") as stream:
        async for chunk in _limited(request):
            digest.update(chunk)
            stream.write(chunk)
    return digest.hexdigest(), label


async def _receive_form(request: Request, file: Path, label: str) -> tuple[str, str]:
    """Do the same for the only file of a form, as ``curl -F file=@photo.jpg`` sends it."""
    try:
        form = await MultiPartParser(request.headers, _limited(request), max_files=1).parse()
    except MultiPartException as error:
        raise ApiError(422, "invalid", f"the form cannot be read: {error.message}") from None
    uploads = [each for each in form.values() if isinstance(each, UploadFile)]
    if not uploads:
        raise ApiError(422, "invalid", "the form has no file")
    with uploads[0].file as source, file.open("xb") as stream:
        shutil.copyfileobj(source, stream)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), uploads[0].filename or label


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _json(request: Request, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Read the JSON object in a body.

    Raises:
        ApiError: it is something else, too large, or has other keys.
    """
    if _media_type(request) != "application/json":
        raise ApiError(415, "unsupported_type", "the body is not application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise ApiError(413, "too_large", "the body is too large")
    try:
        document = json.loads(bytes(body))
        # Half a character, or a number without a value, could not be sent back.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ApiError(422, "invalid", "the body is not JSON") from None
    if not isinstance(document, dict):
        raise ApiError(422, "invalid", "the body is not a JSON object")
    for key in document:
        if keys is not None and key not in keys:
            raise ApiError(422, "invalid", f"unknown key '{key[:40]}'")
    return document


def _number(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 12 or not low <= int(text) <= high:
        raise ApiError(422, "invalid", f"{name} is not a number from {low} to {high}")
    return int(text)


def _file(known: Known) -> Response:
    """Send a picture's own file, for saving."""
    disposition = f"attachment; filename*=UTF-8''{quote(known.name, safe='')}"
    return FileResponse(
        known.path, media_type=known.type, headers={"content-disposition": disposition}
    )


async def _in_thread(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return await anyio.to_thread.run_sync(lambda: function(*arguments, **named))
