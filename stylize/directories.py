"""Where files of the user live. The only module that reads the environment for it."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """The per-user cache: ``$STYLIZE_CACHE_DIR``, or the platform's own place. May not exist."""
    override = os.environ.get("STYLIZE_CACHE_DIR")
    return Path(override) if override else platformdirs.user_cache_path("stylize", appauthor=False)


def data_directory() -> Path:
    """What the user has added and no cleaner of caches may delete. May not exist.

    ``$STYLIZE_DATA_DIR``, else ``$STYLIZE_CACHE_DIR``, else the platform's own place.
    """
    override = os.environ.get("STYLIZE_DATA_DIR") or os.environ.get("STYLIZE_CACHE_DIR")
    return Path(override) if override else platformdirs.user_data_path("stylize", appauthor=False)
