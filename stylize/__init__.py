"""Neural style transfer and DeepDream: offline, fast on a CPU, replayable.

>>> from stylize import dream, transfer
>>> transfer("photo.jpg", "style.jpg", size=640).save("painting.png")
>>> dream("photo.jpg", preset="eyes").save("dream.png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stylize.version import __version__

if TYPE_CHECKING:
    from stylize import errors, video
    from stylize.api import (
        batch,
        dream,
        explore,
        inspect,
        replay,
        resume,
        transfer,
        tunnel,
    )
    from stylize.batches.local import Outcome
    from stylize.errors import StylizeError
    from stylize.optimize.loop import Step
    from stylize.products.inspect.result import Finding
    from stylize.runs.result import Result
    from stylize.settings.dream import DreamSettings
    from stylize.settings.execution import Execution
    from stylize.settings.transfer import TransferSettings

__all__ = [
    "DreamSettings",
    "Execution",
    "Finding",
    "Outcome",
    "Result",
    "Step",
    "StylizeError",
    "TransferSettings",
    "__version__",
    "batch",
    "dream",
    "errors",
    "explore",
    "inspect",
    "replay",
    "resume",
    "transfer",
    "tunnel",
    "video",
]

_HOMES = {
    "DreamSettings": "stylize.settings.dream",
    "Execution": "stylize.settings.execution",
    "Finding": "stylize.products.inspect.result",
    "Outcome": "stylize.batches.local",
    "Result": "stylize.runs.result",
    "Step": "stylize.optimize.loop",
    "StylizeError": "stylize.errors",
    "TransferSettings": "stylize.settings.transfer",
    "batch": "stylize.api",
    "dream": "stylize.api",
    "explore": "stylize.api",
    "inspect": "stylize.api",
    "replay": "stylize.api",
    "resume": "stylize.api",
    "transfer": "stylize.api",
    "tunnel": "stylize.api",
}


def __getattr__(name: str) -> Any:
    """Public names on first use: ``import stylize`` does not pay for importing torch."""
    if name in ("errors", "video"):
        return import_module(f"stylize.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
