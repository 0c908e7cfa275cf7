"""Errors as the HTTP API reports them."""

from __future__ import annotations

import errno
from typing import Any

from stylize.errors import (
    MissingExtraError,
    OutputError,
    PictureError,
    StylizeError,
    UsageError,
    is_out_of_memory,
)
from stylize.planning.limits import out_of_memory
from stylize.settings.keywords import in_python

_FULL = (errno.ENOSPC, errno.EDQUOT)

_STATUS = {"disk_full": 507, "internal": 500, "output": 500}


class ApiError(Exception):
    """A request that cannot be answered.

    Args:
        status: of HTTP.
        code: for programs; docs/studio.md lists them.
        message: for people.
        hint: the remedy.
    """

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document = {"code": code, "message": message, "hint": hint}


def described(error: BaseException) -> dict[str, Any]:
    """Describe an error for a program and for people, who see a form and no options."""
    if isinstance(error, ApiError):
        return error.document
    code, message, hint = _code(error), str(error), None
    if code == "disk_full":
        message, hint = "the disk is full", "free some space, then try again"
    elif isinstance(error, StylizeError):
        message, hint = in_python(error.message), error.hint and in_python(error.hint)
    elif is_out_of_memory(error):
        code, message = "memory", in_python(out_of_memory())
    elif isinstance(error, OSError):
        message = error.strerror or message
    else:
        message = f"internal error: {type(error).__name__}: {message[:300]}"
    return {"code": code, "message": " ".join(message.split())[:2000], "hint": hint}


def status_of(error: BaseException) -> int:
    """The HTTP status of an error."""
    if isinstance(error, ApiError):
        return error.status
    return _STATUS.get(_code(error), 422)


def _code(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, OutputError) else error
    if isinstance(cause, OSError) and cause.errno in _FULL:
        return "disk_full"
    kinds = {
        MissingExtraError: "missing_extra",
        PictureError: "picture",
        UsageError: "invalid",
        OutputError: "output",
        StylizeError: "failed",
    }
    return next((code for kind, code in kinds.items() if isinstance(error, kind)), "internal")
