"""Import optional libraries, with an error that says what to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stylize.errors import MissingExtraError


def optional_module(module: str, *, what: str, requirement: str) -> Any:
    """Import a library that only some requests need.

    Args:
        module: its import name.
        what: the request that needs it, as the user would call it.
        requirement: what ``pip install`` takes.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(what, requirement) from error
