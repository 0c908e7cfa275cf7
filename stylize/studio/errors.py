"""Errors as the HTTP API reports them."""

from __future__ import annotations

import errno
import re
from dataclasses import fields
from functools import cache
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
from stylize.settings.execution import Execution
from stylize.settings.keywords import in_python
from stylize.settings.presets import PRODUCTS
from stylize.settings.video import VideoSettings

_FULL = (errno.ENOSPC, errno.EDQUOT)

# Where the messages about a setting name it.
_SUBJECT = re.compile(r"(?:no such |unknown (?:value of )?)?(\w+)")

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
    document = {"code": code, "message": " ".join(message.split())[:2000], "hint": hint}
    if isinstance(error, UsageError) and (found := _SUBJECT.match(message)):
        document |= {"field": found[1]} if found[1] in _setting_names() else {}
    return document


@cache
def _setting_names() -> frozenset[str]:
    kinds = (*PRODUCTS.values(), Execution, VideoSettings)
    return frozenset(each.name for kind in kinds for each in fields(kind))


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
