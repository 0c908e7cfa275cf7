"""Settings of ``stylize inspect segment``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stylize.settings.fields import check_fields, setting

NETWORK = "vgg16"


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Who looks for the subject, and how it is shown."""

    network: str = setting(NETWORK, "Network that looks at the photo; see 'stylize models list'.")
    view: str = setting(
        "mask",
        "mask: white on the subject; overlay: the photo, dark around it; cutout: the photo,"
        " transparent around it.",
        choices=("mask", "overlay", "cutout"),
    )
    invert: bool = setting(False, "The background instead of the subject.")

    TECHNIQUE: ClassVar[str] = "inspect segment"

    def __post_init__(self) -> None:
        check_fields(self)
