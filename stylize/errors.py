"""The errors that reach a user.

::

    StylizeError                 exit code 1: a file cannot be used, or the run failed
    ├── PictureError             a picture cannot be read
    │   └── EmptyMaskError       a mask leaves nothing to paint
    ├── OutputError              a result cannot be written
    ├── WeightsError             network weights are missing, damaged or of another network
    ├── RecipeError              a file carries no recipe, or one that cannot be followed
    ├── CheckpointError          a file is not a checkpoint, is damaged, or does not fit
    ├── NumericalError           the optimization became infinite or NaN
    ├── MissingExtraError        an optional library is not installed
    ├── ClusterError             other machines cannot be reached, or cannot do the work
    ├── UsageError               exit code 2: the request makes no sense
    │   ├── SettingError         a setting's value is out of its range
    │   │   ├── ExpressionError  an expression cannot be read; says at which column
    │   │   └── MemoryLimitError a picture needs more memory than may be used
    │   └── UnknownNameError     no such layer, preset, model …; names the nearest ones
    └── InterruptedRunError      exit code 130: stopped by the user; 143: terminated

The message says what is wrong and with which file; ``hint`` says the remedy.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

# Of a value in a message; longer ones are cut in their middle.
_QUOTED_LENGTH = 80


def quoted(value: object) -> str:
    """A value for a message: as Python writes it, cut if it is long."""
    text = repr(value)
    half = (_QUOTED_LENGTH - 1) // 2
    return text if len(text) <= _QUOTED_LENGTH else f"{text[:half]}…{text[-half:]}"


class StylizeError(Exception):
    """Base of every error that the user can fix."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Some constructors do not take the message; a worker process must still send the error.
        return _restored, (type(self), self.args, vars(self))


def _restored(kind: type[StylizeError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class PictureError(StylizeError):
    """A picture cannot be read."""


def no_such_file(name: object) -> PictureError:
    """The error for an input that does not exist; says what to do about the address of a page.

    Args:
        name: a path, or the text that was typed.
    """
    text = str(name)
    if text.startswith(("http:/", "https:/")):
        # A path has lost one of the two slashes.
        address = re.sub("^(https?):/+", r"\1://", text)
        hint = "download it first: stylize opens only files"
        return PictureError(f"{address}: there is no such file", hint=hint)
    return PictureError(f"{text}: there is no such file")


class EmptyMaskError(PictureError):
    """A mask leaves nothing to paint."""


class OutputError(StylizeError):
    """A result cannot be written."""


class WeightsError(StylizeError):
    """Network weights are missing, damaged or of another architecture."""


class RecipeError(StylizeError):
    """A file carries no recipe, or one that cannot be followed."""


class CheckpointError(StylizeError):
    """A file is not a checkpoint, is damaged, or cannot be resumed."""


class NumericalError(StylizeError):
    """The optimization produced values that are not finite."""


class MissingExtraError(StylizeError):
    """A library that this request needs is not installed.

    Args:
        what: the request, as the user would call it.
        requirement: what ``pip install`` takes.
    """

    def __init__(self, what: str, requirement: str) -> None:
        quoted = f'"{requirement}"' if set(requirement) & set("<>=") else requirement
        super().__init__(
            f"{what} needs a library that is not installed", hint=f"pip install {quoted}"
        )


class ClusterError(StylizeError):
    """Other machines cannot be reached, or cannot do their part of the work."""


class UsageError(StylizeError):
    """The request itself makes no sense, whatever the files hold."""

    exit_code = 2


class SettingError(UsageError):
    """A setting's value is of the wrong kind or out of its range."""


class ExpressionError(SettingError):
    """An expression cannot be read, or speaks of what does not exist.

    Args:
        message: what is wrong.
        expression: the whole text.
        position: 0-based column of what is wrong; the length of the text where its end is.
        hint: the remedy.
    """

    def __init__(
        self, message: str, expression: str, position: int, *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.expression = expression
        self.position = position


class MemoryLimitError(SettingError):
    """A picture of this size needs more memory than may be used; a smaller one may not."""


class UnknownNameError(UsageError):
    """A name that is not among the known ones.

    Args:
        kind: what is named, in the singular: ``"layer"``, ``"preset"`` …
        name: the name that was given.
        known: the names that exist.
        meant: those that the user means, if the spelling does not tell.
        remedy: the hint where no known name is similar, by default the list of them.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        *,
        meant: Iterable[str] = (),
        remedy: str | None = None,
    ) -> None:
        names = list(known)
        near = list(dict.fromkeys(meant)) or difflib.get_close_matches(
            name[:_QUOTED_LENGTH], names, n=3, cutoff=0.5
        )
        remedy = remedy or f"known: {', '.join(names)}"
        hint = f"did you mean {' or '.join(near)}?" if near else remedy
        super().__init__(f"unknown {kind} {quoted(name)}", hint=hint)


class InterruptedRunError(StylizeError):
    """The user stopped the run before there was a result to keep."""

    exit_code = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch's error is known by name, because torch may not be loaded."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    # Those of torch, of the loader of libraries, of threads and of C++.
    phrases = (
        "allocate memory",
        "not enough memory",
        "out of memory",
        "failed to map segment",
        "can't start new thread",
        "bad_alloc",
    )
    kinds = (RuntimeError, ImportError, OSError)
    return isinstance(error, kinds) and any(phrase in text for phrase in phrases)
