"""Clips: the frames of a video, painted so that the paint moves with what it covers.

>>> from stylize import video
>>> video.transfer("clip.mp4", "painting.jpg", "painted.mp4", coherence=0.9)
>>> for frame in video.dream("clip.mp4"):
...     frame.save("frame.png", overwrite=True)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylize.video.functions import dream, transfer

__all__ = ["dream", "transfer"]


def __getattr__(name: str) -> Any:
    """The functions on first use: ``import stylize.video`` does not pay for importing torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("stylize.video.functions"), name)
