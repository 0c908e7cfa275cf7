"""Import optional libraries, with an error that says what to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stylize.errors import MissingExtraError


def optional_module(module: str, *, what: str, extra: str) -> Any:
    """Import a library of an optional extra.

    Args:
        module: its import name.
        what: the request that needs it, as the user would call it.
        extra: the name in ``stylize[…]``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(what, extra) from error
