"""Settings of clips: how the paint of one frame follows from that of the others."""

from __future__ import annotations

from dataclasses import dataclass

from stylize.settings.fields import Group, check_fields, setting


@dataclass(frozen=True, kw_only=True)
class VideoSettings:
    """Settings that decide how the frames of a clip follow from each other."""

    coherence: float = setting(
        0.8,
        "How firmly paint sticks to what moves: 0 paints every frame by itself, 1 only adds paint "
        "where something new appears.",
        Group.VIDEO,
        everyday=True,
        low=0,
        high=1,
    )
    every: int = setting(
        1,
        "Paint only every Nth frame; the frames between get their paint from both neighbours, "
        "moved along with the picture.",
        Group.VIDEO,
        everyday=True,
        low=1,
        high=64,
    )
    passes: int = setting(
        1,
        "Times that each shot is painted; the second pass runs backwards and also takes paint "
        "from later frames.",
        Group.VIDEO,
        low=1,
        high=2,
        needs={"coherence": ()},
    )

    def __post_init__(self) -> None:
        check_fields(self)
