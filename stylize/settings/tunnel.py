"""Settings of a tunnel: those of a dream, and the camera's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stylize.settings.dream import DreamSettings
from stylize.settings.fields import setting


@dataclass(frozen=True, kw_only=True)
class TunnelSettings(DreamSettings):
    """All that decides how a film looks that dreams its way into a picture."""

    frames: int = setting(100, "Frames of the film.", low=1, high=100_000)
    pace: float = setting(
        0.2, "Share of a whole dream, in strength and steps, between two frames.", above=0, high=1
    )
    zoom: float = setting(
        1.04, "Enlargement from frame to frame; below 1 moves away.", low=0.5, high=2
    )
    rotate: float = setting(
        0.0, "Degrees turned from frame to frame, counter-clockwise.", low=-180, high=180
    )
    pan_x: float = setting(
        0.0, "Way to the right from frame to frame, in percent of the width.", low=-50, high=50
    )
    pan_y: float = setting(
        0.0, "Way down from frame to frame, in percent of the height.", low=-50, high=50
    )
    fps: float = setting(15.0, "Frames a second.", low=1, high=120)
    loop: bool = setting(False, "Fade the end into the beginning, for a film without a seam.")

    # Masks are of stills: nothing stays where it was from frame to frame.
    subject: ClassVar[None] = None  # type: ignore[misc]
    background: ClassVar[None] = None  # type: ignore[misc]
    feather: ClassVar[int] = 0  # type: ignore[misc]

    TECHNIQUE: ClassVar[str] = "tunnel"
