"""The API described for programs (OpenAPI 3.1), and for people on a small page. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any

from stylize.settings.presets import every_preset_name
from stylize.studio.requests import CLIP_KINDS, FORMATS, TRIES, keys_of
from stylize.studio.schema import KINDS, json_schema
from stylize.version import __version__

API = "/api/v1"

_ID = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of a picture's file."}
_NUMBER, _TEXT, _FLAG = {"type": "number"}, {"type": "string"}, {"type": "boolean"}
_JSON, _STREAM = "application/json", "text/event-stream"


def _object(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "null"}]}


# Method, path, summary, schema of the body, status and media type of the answer and its schema; an
# answer without a media type is empty.
_Operation = tuple[str, str, str, Any, int, str | None, Any]

_OPERATIONS: tuple[_Operation, ...] = (
    ("get", "/status", "Version, engine and limits.", None, 200, _JSON, _object()),
    ("get", "/settings", "All settings, in groups.", None, 200, _JSON, _object()),
    ("get", "/presets", "The presets of each kind.", None, 200, _JSON, _object()),
    ("get", "/samples", "Sample photos and style images.", None, 200, _JSON, _object()),
    ("post", "/images", "Upload a picture or a clip.", "image/*", 201, _JSON, _ref("Picture")),
    ("get", "/images/{id}", "Describe a picture.", None, 200, _JSON, _ref("Picture")),
    ("delete", "/images/{id}", "Delete a result.", None, 204, None, None),
    ("get", "/images/{id}/thumbnail", "Get a small JPEG.", None, 200, "image/jpeg", None),
    ("get", "/images/{id}/view", "Get the picture for the screen.", None, 200, "image/jpeg", None),
    ("get", "/images/{id}/file", "Get the file itself.", None, 200, "image/png", None),
    (
        "get",
        "/images/{id}/recall",
        "Get the request that made it.",
        None,
        200,
        _JSON,
        _ref("Recall"),
    ),
    ("post", "/subject", "Find the subject of a photo.", _ref("Subject"), 200, _JSON, _object()),
    (
        "post",
        "/command",
        "Write a job as a command.",
        _ref("Job request"),
        200,
        _JSON,
        _ref("Texts"),
    ),
    ("post", "/jobs", "Submit a job.", _ref("Job request"), 201, _JSON, _ref("Job")),
    ("get", "/jobs", "List the jobs.", None, 200, _JSON, _object(jobs=_list(_ref("Job")))),
    ("get", "/jobs/{id}", "Describe a job.", None, 200, _JSON, _ref("Job")),
    ("delete", "/jobs/{id}", "Take a job that is over off the list.", None, 204, None, None),
    ("get", "/jobs/{id}/events", "Stream the events of a job.", None, 200, _STREAM, None),
    ("get", "/jobs/{id}/preview", "Get the newest preview.", None, 200, "image/jpeg", None),
    ("get", "/jobs/{id}/result", "Get the result with its recipe.", None, 200, "image/png", None),
    (
        "get",
        "/jobs/{id}/cells/{index}",
        "Get a cell of a sheet or preview.",
        None,
        200,
        "image/png",
        None,
    ),
    ("post", "/jobs/{id}/stop", "Stop and keep the picture so far.", None, 200, _JSON, _ref("Job")),
    ("post", "/jobs/{id}/cancel", "Cancel and keep nothing.", None, 200, _JSON, _ref("Job")),
    ("post", "/jobs/{id}/retry", "Try a failed job again.", None, 200, _JSON, _ref("Job")),
    ("post", "/jobs/{id}/move", "Give it another place.", _ref("Move"), 200, _JSON, _ref("Job")),
    ("get", "/events", "Stream the events of all jobs.", None, 200, _STREAM, None),
    ("get", "/history", "List the results.", None, 200, _JSON, _object(items=_list(_object()))),
    ("get", "/openapi.json", "This document.", None, 200, _JSON, _object()),
)

_PARAMETERS: Mapping[str, tuple[tuple[str, Any, str], ...]] = {
    "/events": (("session", _TEXT, "Session whose live jobs are watched; may be repeated."),),
    "/images/{id}/recall": (("cell", _TEXT, "Cell of a contact sheet, such as B3."),),
    "/images/{id}/view": (
        ("side", {"type": "integer"}, "Long side at most, in px."),
        ("format", {"enum": ["jpeg", "png"]}, "png is exact."),
    ),
    "/history": (
        ("search", _TEXT, "Words in the names of files, styles and preset."),
        ("kind", _TEXT, "transfer, dream, explore …"),
        ("preset", _TEXT, "Name of a preset."),
        ("style", _TEXT, "Name of a style image."),
        ("since", _NUMBER, "Unix seconds."),
        ("until", _NUMBER, "Unix seconds."),
        ("offset", {"type": "integer"}, "Results to leave out."),
        ("limit", {"type": "integer"}, "Results to list."),
    ),
}


@cache
def openapi_document() -> dict[str, Any]:
    """Describe the API; the schemas of settings come from the settings classes."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in _OPERATIONS:
        method, path = operation[:2]
        paths.setdefault(API + path, {})[method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "stylize studio", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _operation(operation: _Operation) -> dict[str, Any]:
    method, path, summary, body, status, sent, answer = operation
    found: dict[str, Any] = {
        "summary": summary,
        "operationId": re.sub(r"[^a-z]+", "_", f"{method}{path}").strip("_"),
        "responses": {
            str(status): {"description": "Done."}
            | ({} if sent is None else {"content": {sent: {"schema": answer or {}}}}),
            "default": {"description": "An error.", "content": {_JSON: {"schema": _ref("Error")}}},
        },
    }
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT if name == "id" else _NUMBER}
        for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "schema": schema, "description": text}
        for name, schema, text in _PARAMETERS.get(path, ())
    ]
    if isinstance(body, str):
        form = _object(("file",), file={"type": "string", "format": "binary"})
        media = {
            body: {"schema": {}},
            "video/*": {"schema": {}},
            "multipart/form-data": {"schema": form},
        }
        found["requestBody"] = {"required": True, "content": media}
        parameters.append({"name": "X-File-Name", "in": "header", "schema": _TEXT})
    elif body is not None:
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    return found | ({"parameters": parameters} if parameters else {})


def _schemas() -> dict[str, Any]:
    names = ("Transfer request", "Dream request", *_CLIP_REQUESTS.values(), "Sheet request")
    requests = [_ref(name) for name in names]
    return {
        "Transfer settings": json_schema(KINDS["transfer"]),
        "Dream settings": json_schema(KINDS["dream"]),
        "Execution": json_schema(KINDS["execution"]),
        "Video settings": json_schema(KINDS["video"]),
        "Transfer request": _request("transfer"),
        "Dream request": _request("dream"),
        **{name: _clip_request(kind) for kind, name in _CLIP_REQUESTS.items()},
        "Sheet request": _sheet_request(),
        "Job request": {"oneOf": requests},
        "Job": _job(),
        "Picture": _object(
            ("id", "name", "width", "height"),
            id=_ID,
            name=_TEXT,
            width=_NUMBER,
            height=_NUMBER,
            type=_TEXT,
            has_recipe=_FLAG,
            notes=_list(_TEXT),
            clip=_or_null(_object(frames=_NUMBER, seconds=_NUMBER)),
            cells=_or_null(_list(_object(name=_TEXT, label=_TEXT))),
        ),
        "Recall": _object(
            request=_object(),
            missing=_list(_object(role=_TEXT, name=_TEXT, sha256=_ID)),
            recipe=_object(),
            interrupted=_FLAG,
            command=_or_null(_TEXT),
            python=_or_null(_TEXT),
        ),
        "Texts": _object(command=_TEXT, python=_TEXT),
        "Subject": _object(("photo",), photo=_ID, invert=_FLAG),
        "Move": _object(("position",), position={"type": "integer", "minimum": 0}),
        "Error": _object(("error",), error=_error()),
    }


def _error() -> dict[str, Any]:
    return _object(
        ("code", "message"), code=_TEXT, message=_TEXT, hint=_or_null(_TEXT), field=_TEXT
    )


def _request(kind: str) -> dict[str, Any]:
    common = {
        "kind": {"const": kind},
        "preset": {"enum": every_preset_name(kind)},
        "photo": _ID,
        "mask": _ID,
        "settings": _ref(f"{kind.capitalize()} settings"),
        "execution": _ref("Execution"),
        "live": _FLAG,
        "session": _TEXT,
    }
    if kind == "dream":
        return _object(("kind",), **common, guide=_ID)
    style = {"oneOf": [_ID, {"const": "keep"}]}
    region = _object(("mask", "style"), mask=_ID, style=style, colour=_TEXT)
    more = {"styles": _list(_ID), "start": _ID, "keep": _ID, "regions": _list(region)}
    return _object(("kind", "photo"), **common, **more)


_CLIP_REQUESTS = {kind: f"Video {of} request" for kind, of in CLIP_KINDS.items()}


def _clip_request(kind: str) -> dict[str, Any]:
    still = _request(CLIP_KINDS[kind])
    properties = {key: each for key, each in still["properties"].items() if key in keys_of(kind)}
    cut = _object(start=_or_null(_NUMBER), end=_or_null(_NUMBER), fps=_or_null(_NUMBER))
    more = {
        "kind": {"const": kind},
        "clip": _ID,
        "video": _ref("Video settings"),
        "cut": cut,
        "format": {"enum": list(FORMATS)},
        "preview": _FLAG,
    }
    return _object(("kind", "clip"), **properties | more)


def _sheet_request() -> dict[str, Any]:
    tries = list(dict.fromkeys(each for kinds in TRIES.values() for each in kinds))
    more = {
        "kind": {"const": "sheet"},
        "of": {"enum": list(TRIES)},
        "try": {"enum": tries},
        "values": _list(_NUMBER),
        "layer": _TEXT,
        "count": {"type": "integer"},
    }
    return {**_object(("kind", "of", "try"), **more), "additionalProperties": True}


def _job() -> dict[str, Any]:
    states = ["queued", "running", "stopping", "done", "failed", "cancelled"]
    progress = _object(
        fraction=_NUMBER,
        seconds_left=_or_null(_NUMBER),
        scale=_or_null(_NUMBER),
        scales=_or_null(_NUMBER),
        step=_or_null(_NUMBER),
        steps=_or_null(_NUMBER),
        frame=_or_null(_NUMBER),
        frames=_or_null(_NUMBER),
        reading=_or_null(_NUMBER),
    )
    plan = _object(frames=_NUMBER, seconds=_or_null(_NUMBER), bytes=_NUMBER)
    return _object(
        ("id", "kind", "state"),
        id=_TEXT,
        kind={"enum": ["transfer", "dream", *CLIP_KINDS, "sheet"]},
        state={"enum": states},
        live=_FLAG,
        session=_or_null(_TEXT),
        position=_or_null(_NUMBER),
        created=_NUMBER,
        started=_or_null(_NUMBER),
        finished=_or_null(_NUMBER),
        width=_or_null(_NUMBER),
        height=_or_null(_NUMBER),
        progress=_or_null(progress),
        result=_or_null(_ID),
        interrupted=_FLAG,
        notes=_list(_TEXT),
        error=_or_null(_error()),
        request=_object(),
        cells=_or_null(_list(_object())),
        plan=_or_null(plan),
    )


@cache
def docs_page() -> str:
    """Write the operations and the settings as a page without any script."""
    document = openapi_document()
    rows = [
        f"<tr><td><code>{escape(method.upper())} {escape(path)}</code></td>"
        f"<td>{escape(operation['summary'])}</td></tr>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    sections = []
    for name in ("Transfer settings", "Dream settings", "Video settings", "Execution"):
        properties = document["components"]["schemas"][name]["properties"]
        lines = [
            f"<tr><td><code>{escape(key)}</code></td><td>{escape(each['description'])}</td></tr>"
            for key, each in properties.items()
        ]
        sections.append(f"<h2>{name}</h2><table>{''.join(lines)}</table>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>API of stylize studio</title>'
        '<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/base.css">'
        '<link rel="stylesheet" href="/static/docs.css">'
        "</head><body><h1>API of stylize studio</h1>"
        "<p>Send <code>Authorization: Bearer TOKEN</code>"
        f" with each request. <code>{API}/openapi.json</code> describes the bodies.</p>"
        f"<table>{''.join(rows)}</table>{''.join(sections)}</body></html>"
    )
