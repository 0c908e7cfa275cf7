"""How many inputs are tried."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

# By hand: so many of each kind, and others each time; --hypothesis-seed=N repeats them.
_ASKED = os.environ.get("STYLIZE_FUZZ")


def inputs(number: int) -> Callable[[Any], Any]:
    """Try so many inputs, the same each time; STYLIZE_FUZZ=10000 asks for another number."""
    return settings(
        max_examples=int(_ASKED or number),
        derandomize=_ASKED is None,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
