"""The options of clips."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import click

from stylize.cli.completion import FILE
from stylize.cli.help import Decorated, option
from stylize.cli.options import group_of, note, open_option, settings_options
from stylize.errors import MissingExtraError
from stylize.settings.fields import Group
from stylize.settings.video import VideoSettings

QUALITY = 90

CODECS = ("h264", "h265", "av1", "vp9")

_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?|\.\d+)")

_RATE = re.compile(r"(\d+(?:\.\d*)?)(?:/(\d+))?")


class TimeType(click.ParamType[Fraction]):
    """Seconds, or ``1:02.5``."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        """Read the text."""
        match = _TIME.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"'{value}' is no time: write seconds, or 1:02.5", param, ctx)
        hours, minutes, seconds = match.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes or 0) + Fraction(seconds)


class RateType(click.ParamType[Fraction]):
    """Frames per second: ``25``, ``29.97`` or ``30000/1001``."""

    name = "N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        """Read the text."""
        match = _RATE.fullmatch(str(value).strip())
        divisor = int(match[2] or 1) if match else 0
        rate = Fraction(match[1]) / divisor if match and divisor else Fraction(0)
        if not Fraction(1, 10) <= rate <= 240:
            self.fail(f"'{value}' is no frame rate: 0.1 to 240", param, ctx)
        return rate


# What is written about the part of a clip, as its options read it.
CUT_TYPES: dict[str, click.ParamType[Fraction]] = {
    "start": TimeType(),
    "end": TimeType(),
    "fps": RateType(),
}


def note_idle_grain(grain: float | None) -> None:
    """Say that clips get no grain, if the user asked for some."""
    if grain:
        note("--grain has no effect on clips, where it would flicker")


encoding_options = [
    option(
        "--codec",
        type=click.Choice(CODECS),
        group=Group.OUTPUT,
        help="Codec for mp4 (h264, h265, av1) or WebM (vp9, av1).  [h264 or vp9]",
    ),
    option(
        "--quality",
        type=click.IntRange(1, 100),
        default=QUALITY,
        metavar="N",
        group=Group.OUTPUT,
        help="Quality for mp4, WebM and WebP, 1 to 100.  [90]",
    ),
]


def cut_options(usual_fps: str) -> list[Callable[[Decorated], Decorated]]:
    """The options for a part of a clip."""
    return [
        option(
            "--start",
            type=TimeType(),
            metavar="TIME",
            group=Group.VIDEO,
            everyday=True,
            help="Begin here: seconds, or 1:02.5.",
        ),
        option(
            "--end",
            type=TimeType(),
            metavar="TIME",
            group=Group.VIDEO,
            everyday=True,
            help="End here, counted from the beginning of the clip.",
        ),
        option(
            "--fps",
            type=RateType(),
            metavar="N",
            group=Group.VIDEO,
            everyday=True,
            help=f"Frames per second; the clip stays as long as it is.  [{usual_fps}]",
        ),
    ]


# The options that both kinds of clips share.
video_options = group_of(
    [
        option(
            "-o",
            "--output",
            type=FILE,
            metavar="FILE|DIR",
            group=Group.OUTPUT,
            everyday=True,
            help="A clip (.mp4 .webm .gif .webp .apng), or a folder for PNG frames: a name "
            "without extension.  [next to the clip]",
        ),
        option(
            "--overwrite",
            is_flag=True,
            group=Group.OUTPUT,
            everyday=True,
            help="Replace an existing clip, or the unfinished frames of another one.",
        ),
        *encoding_options,
        option(
            "--keep-frames",
            is_flag=True,
            group=Group.OUTPUT,
            help="Keep the painted frames next to the clip.",
        ),
        option(
            "--compare",
            type=click.Choice(["side", "split"]),
            group=Group.OUTPUT,
            help="Also write a clip that shows the original next to the result, or its left "
            "half over the result.",
        ),
        option(
            "--preview",
            is_flag=True,
            group=Group.OUTPUT,
            everyday=True,
            help="Make only the first, the middle and the last frame, and a sheet of them.",
        ),
        open_option,
        option(
            "-n",
            "--dry-run",
            is_flag=True,
            group=Group.EXECUTION,
            everyday=True,
            help="Say how many frames there are and how long they will take, and exit.",
        ),
        *cut_options("as in the clip; 25 for a folder"),
        settings_options(VideoSettings),
    ]
)


def require_libraries() -> None:
    """Check that PyAV and OpenCV are installed, before anything else is done.

    Raises:
        MissingExtraError: they are not.
    """
    libraries = {"av": "av", "cv2": "opencv-python-headless"}
    missing = [package for module, package in libraries.items() if find_spec(module) is None]
    if missing:
        raise MissingExtraError("stylize video", " ".join(missing))
