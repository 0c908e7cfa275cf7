"""``stylize video``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.completion import FILE
from stylize.cli.dream import DreamLook, picture_options
from stylize.cli.dream import read_look as read_dream
from stylize.cli.help import CommandGroup, Decorated, option
from stylize.cli.inputs import open_picture, require_files
from stylize.cli.masks import region_options
from stylize.cli.messages import echo, emit, say
from stylize.cli.options import (
    given,
    group_of,
    input_options,
    is_typed,
    message_options,
    note,
    note_idle,
    notes_on_options,
    open_option,
    preset_option,
    settings_options,
)
from stylize.cli.output import emit_done, filled, hold, open_viewer, placeholders
from stylize.cli.process import load_torch
from stylize.cli.progress import Meter, Stop, stop_on_interrupt
from stylize.cli.requests import Messages, take
from stylize.cli.run import DOING, emit_start
from stylize.cli.transfer import TransferLook
from stylize.cli.transfer import read_look as read_transfer
from stylize.errors import (
    CheckpointError,
    InterruptedRunError,
    MissingExtraError,
    OutputError,
    SettingError,
    UsageError,
)
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import Group
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings

if TYPE_CHECKING:
    from stylize.cli.replay import ReplayRequest
    from stylize.images.read import Picture
    from stylize.optimize.loop import Step
    from stylize.runs.result import Result
    from stylize.video.clip import Clip, Cut
    from stylize.video.record import Record
    from stylize.video.request import MaskFrames, Painter, Request, Target
    from stylize.video.run import ClipRun
    from stylize.video.turns import Turn

_QUALITY = 90

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
        default=_QUALITY,
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
            help="Paint only the first, the middle and the last frame, and a sheet of them.",
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


@click.group(cls=CommandGroup)
def video() -> None:
    """Paint a clip, or let a network dream on it, without flicker.

    \b
    Examples:
      stylize video transfer clip.mp4 painting.jpg -o painted.mp4
      stylize video dream clip.mp4 --preset eyes -o dream.webm

    A clip is an mp4, mov, mkv, webm or avi file, an animated GIF, WebP or APNG, or a folder of
    frames. Clips need PyAV and OpenCV: pip install av opencv-python-headless.
    """


@video.command("transfer")
@click.argument("clip", metavar="CLIP", type=FILE)
@click.argument("styles", metavar="[STYLE]...", type=FILE, nargs=-1)
@video_options
@preset_option("transfer")
@region_options
@settings_options(TransferSettings)
@settings_options(Execution)
@input_options
@message_options
def video_transfer(clip: str, styles: tuple[str, ...], **options: Any) -> int:
    """Paint CLIP in the style of one or several STYLE images.

    \b
    Examples:
      stylize video transfer clip.mp4 painting.jpg -o painted.mp4
      stylize video transfer clip.mp4 painting.jpg --preview
      stylize video transfer frames/ painting.jpg --start 2 --end 4 -o painted/

    To continue a clip that was stopped, run the same command again. The options of 'stylize
    transfer' that change the look apply. A mask may be a clip, too.
    """
    request = read_request(clip, options, lambda rest: read_transfer(styles, rest))
    return perform(request)


@video.command("dream")
@click.argument("clip", metavar="CLIP", type=FILE)
@video_options
@preset_option("dream")
@picture_options
@settings_options(DreamSettings, hide=("from_noise",))
@settings_options(Execution)
@input_options
@message_options
def video_dream(clip: str, **options: Any) -> int:
    """Amplify whatever the network sees in CLIP (DeepDream).

    \b
    Examples:
      stylize video dream clip.mp4 --preset eyes -o dream.mp4
      stylize video dream clip.mp4 --strength 40 --coherence 0.9 -o dream.webm

    To continue a clip that was stopped, run the same command again. The options of 'stylize
    dream' that change the look apply. A mask may be a clip, too.
    """
    request = read_request(clip, options, lambda rest: read_dream(clip, rest))
    return perform(request)


Look = TransferLook | DreamLook


@dataclass(frozen=True)
class Reporting:
    """What is said and shown, and what is written besides the clip.

    Attributes:
        messages: what is said.
        compare: ``side`` or ``split``; None for no clip that compares.
        show: open the clip in the desktop's viewer.
        started: when the command began, by :func:`time.perf_counter`.
    """

    messages: Messages
    compare: str | None = None
    show: bool = False
    started: float = field(default_factory=time.perf_counter)

    @property
    def speaks(self) -> bool:
        """Whether people are told how it goes."""
        return not self.messages.quiet and not self.messages.as_json

    @property
    def seconds(self) -> float:
        """The time that the command has taken."""
        return round(time.perf_counter() - self.started, 3)


@dataclass(frozen=True)
class VideoRequest:
    """A clip as the command line asks for it.

    Attributes:
        clip: a file, a folder or a pattern.
        look: how a frame looks.
        video: how frames follow from each other.
        preview: paint only three frames.
        dry_run: only say what it will cost.
    """

    clip: str
    look: Look
    video: VideoSettings
    cut: Cut
    target: Target
    preview: bool
    dry_run: bool
    reporting: Reporting


def read_request(
    clip: str, options: dict[str, Any], read: Callable[[dict[str, Any]], Look]
) -> VideoRequest:
    """Build the request, and check all that can be checked before the clip is opened."""
    from stylize.video.clip import Cut

    require_libraries()
    messages = take(Messages, options)
    cut = Cut(*(options.pop(name) for name in ("start", "end", "fps")))
    cut.check()
    names = ("output", "overwrite", "codec", "quality", "keep_frames")
    wanted = {name: options.pop(name) for name in names}
    preview, dry_run = options.pop("preview"), options.pop("dry_run")
    reporting = Reporting(messages, options.pop("compare"), options.pop("show"))
    said = given(VideoSettings, options)
    settings = VideoSettings(**said)
    if options.pop("save_mask", None) is not None:
        raise UsageError("--save-mask is for pictures", hint="each frame has its own mask")
    look = read(options)
    note_idle(settings, said)
    check_sources([clip, *look.sources])
    values = {**look.names, **placeholders(look.settings)}
    target = choose_target(clip, look.sources, look.words, wanted, values)
    if reporting.compare is not None and target.format == "folder":
        raise UsageError("--compare needs a clip file as the output", hint="-o NAME.mp4")
    note_idle_output(target)
    return VideoRequest(clip, look, settings, cut, target, preview, dry_run, reporting)


def require_libraries() -> None:
    """Check that PyAV and OpenCV are installed, before anything else is done.

    Raises:
        MissingExtraError: they are not.
    """
    libraries = {"av": "av", "cv2": "opencv-python-headless"}
    missing = [package for module, package in libraries.items() if find_spec(module) is None]
    if missing:
        raise MissingExtraError("stylize video", " ".join(missing))


def check_sources(sources: Sequence[str]) -> None:
    """Check that all inputs exist.

    Raises:
        UsageError: one of them is stdin.
        PictureError: one does not exist.
    """
    if "-" in sources:
        raise UsageError("a clip and its pictures are files, not stdin", hint="save them first")
    require_files([Path(each) for each in sources if not is_pattern(each)])


def is_pattern(source: str) -> bool:
    """Whether a source is a pattern for the names of frames."""
    return any(letter in source for letter in "*?[") and not os.path.exists(source)


def note_idle_output(target: Target) -> None:
    """Say which options have no effect on what is written."""
    if is_typed("quality") and target.format in ("gif", "apng", "folder"):
        note("--quality has no effect without a .mp4, .webm or .webp clip")
    if is_typed("codec") and target.format not in ("mp4", "webm"):
        note("--codec has no effect without a .mp4 or .webm clip")
    if target.keep_frames and target.format == "folder":
        note("--keep-frames has no effect without a clip file as the output")


def choose_target(
    clip: str,
    sources: Sequence[str],
    words: str,
    wanted: Mapping[str, Any],
    values: Mapping[str, Any],
) -> Target:
    """The file or folder to write, checked to be writable.

    Args:
        clip: its name and folder are used where no output is named.
        sources: other inputs, which are never written to.
        words: added to the clip's name.
        wanted: the output options by name.
        values: of the placeholders in ``-o``.
    """
    from stylize.images.destinations import make_folder
    from stylize.video.request import FOLDER, Target, format_for

    if wanted["output"] == "-":
        raise SettingError("a clip cannot go to stdout", hint="name a file, or a folder for frames")
    content = Path(clip).parent if is_pattern(clip) else Path(clip)
    output = filled(wanted["output"], str(content), values)
    rest = {name: wanted[name] for name in ("codec", "quality", "overwrite", "keep_frames")}
    inputs = [Path(each) for each in (clip, *sources) if os.path.exists(each)]
    overwrite: bool = wanted["overwrite"]
    if output is None and (os.path.isdir(clip) or is_pattern(clip)):
        output = f"{Path(clip).parent if is_pattern(clip) else Path(clip)}-{words}/"
    if output is not None and (not Path(output).suffix or output.endswith(("/", os.sep))):
        target = Target(Path(output), FOLDER, **rest)
        make_folder(target.path.absolute().parent, None)
    else:
        path = choose_file(output, content, words, inputs, overwrite=overwrite)
        make_folder(path.parent, None)
        target = Target(path, format_for(path), **rest)
    target.require_free(inputs)
    return target


def choose_file(
    output: str | None, content: Path, words: str, inputs: Sequence[Path], *, overwrite: bool
) -> Path:
    """The file to write: as requested, or with a name made from that of the clip."""
    from stylize.images.destinations import resolve_output
    from stylize.video.request import format_for

    suffix = content.suffix.lower()
    if suffix not in (".webm", ".gif", ".webp", ".apng"):
        suffix = ".mp4"
    if output is not None:
        format_for(Path(output))
        suffix = Path(output).suffix
    # A name of our own is not reserved: the same command continues the clip.
    return resolve_output(
        output,
        content=content,
        suffix_words=words,
        overwrite=overwrite,
        inputs=inputs,
        suffix=suffix,
    )


def perform(request: VideoRequest) -> int:
    """Paint the clip; the exit code."""
    from stylize.runs.inputs import remember
    from stylize.video.clip import FrameFiles, open_clip

    os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 says what goes wrong, not more
    clip = open_clip(request.clip, request.target.path)
    if isinstance(clip, FrameFiles) and request.cut.fps is not None:
        clip.at_rate(request.cut.fps)
        request = dataclasses.replace(request, cut=dataclasses.replace(request.cut, fps=None))
    load_torch()
    job = prepare(clip, request)
    announce(job)
    if request.preview:
        return paint_preview(job, request.reporting)
    if request.dry_run:
        return say_plan(job, request.reporting)
    if os.path.isfile(request.clip):
        remember(Path(request.clip), clip.sha256())
    return paint_clip(job, request.reporting)


def announce(job: Request) -> None:
    """Say what is unusual about the clip and what becomes of it."""
    for each in job.check():
        note(each)


def paint_clip(job: Request, reporting: Reporting) -> int:
    """Paint a clip, or what is missing of it; the exit code."""
    from stylize.video.record import folder_for
    from stylize.video.run import ClipRun

    hold(
        folder_for(job.target.path),
        f"another run is making {job.target.path}",
        hint="wait for its end, or name another output with -o",
    )
    action = "stopping; the same command continues"
    with stop_on_interrupt(quiet=reporting.messages.quiet, action=action) as stop:
        try:
            run = ClipRun(job, stop)
        except InterruptedRunError as error:
            if reporting.speaks:
                say(f"stylize: {error}")
            return stop.exit_code
        with run:
            return paint(run, reporting, stop)


def prepare(clip: Clip, request: VideoRequest) -> Request:
    """Open the pictures; the painter comes later."""
    from stylize.video.clip import is_clip, open_clip
    from stylize.video.request import Request

    look, messages = request.look, request.reporting.messages
    moving = {
        source: open_clip(source, request.target.path)
        for source in mask_sources(look)
        if is_clip(source)
    }
    still = {
        source: open_picture(source, messages)
        for source in dict.fromkeys(look.sources)
        if source not in moving
    }

    def make(reference: Picture, frames: MaskFrames) -> Painter:
        def at(index: int) -> dict[str, Picture]:
            return still | {each: frames(place, index) for place, each in enumerate(moving)}

        return painter_of(reference, request, at, moving=bool(moving))

    context = click.get_current_context()
    return Request(
        clip=clip,
        cut=request.cut,
        settings=look.settings,
        video=request.video,
        make=make,
        inputs=[(source_role(look, source), each.sha256) for source, each in still.items()],
        masks=list(moving.values()),
        target=request.target,
        command=(os.getcwd(), *context.find_root().obj),
    )


def mask_sources(look: Look) -> list[str]:
    """The sources that may be clips."""
    if isinstance(look, DreamLook):
        return [look.mask] if look.mask else []
    regions = look.masks.regions
    return list(dict.fromkeys(filter(None, [look.masks.mask, *(each.mask for each in regions)])))


def source_role(look: Look, source: str) -> str:
    """What part a picture plays, for the record."""
    if isinstance(look, DreamLook):
        return "guide" if source == look.guide else "mask"
    if source in look.styles:
        return "style"
    return "start" if source == look.start else "region"


def painter_of(
    reference: Picture,
    request: VideoRequest,
    at: Callable[[int], Mapping[str, Picture]],
    *,
    moving: bool,
) -> Painter:
    """The painter of a clip.

    Args:
        reference: its first frame.
        request: the rest.
        at: all pictures by their sources, as they are at a frame.
        moving: whether they change.
    """
    from stylize.video.painter import ClipPainter, DreamClipPainter

    look, first = request.look, at(0)
    if isinstance(look, DreamLook):
        named = look.mask
        still = first[named] if named else None
        return DreamClipPainter(
            reference,
            look.settings,
            request.video,
            look.execution,
            guide=first[look.guide] if look.guide else None,
            mask=(lambda index: at(index)[named]) if named and moving else still,
            preset=look.preset,
        )
    masks = look.masks
    return ClipPainter(
        reference,
        [first[style] for style in look.styles],
        look.settings,
        request.video,
        look.execution,
        start=first[look.start] if look.start else None,
        masks=(lambda index: masks.of(at(index))) if moving else masks.of(first),
        preset=look.preset,
    )


def describe(count: int, size: tuple[int, int], seconds: float | None, needed: float) -> str:
    """The plan in one line: ``240 frames of 512×288, about 22 min, 300 MB on disk …``."""
    from stylize.video.work import amount

    parts = [f"{count} frame{'s' if count > 1 else ''} of {size[1]}×{size[0]}"]
    if seconds is not None:
        parts.append(f"about {duration(seconds)}")
    parts.append(f"{amount(needed)} on disk until the clip is complete")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """``40 s``, ``22 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def say_plan(job: Request, reporting: Reporting) -> int:
    """Say what the clip will cost, as if it were one shot."""
    from stylize.video.preview import frames_at, still_painter, whole_seconds

    count, needed = job.count, job.bytes_needed()
    painter = still_painter(job, frames_at(job, [0])[0])
    seconds = whole_seconds(job, painter)
    if reporting.messages.as_json:
        emit_start(job.target.path, plan_of(painter, count), estimate_of(seconds, needed))
    else:
        echo(describe(count, painter.size, seconds, needed))
    return 0


def plan_of(painter: Painter, count: int, done: int = 0) -> dict[str, Any]:
    """Describe a plan for programs."""
    last, device = painter.scales[-1], painter.device
    return {
        "size": [last.width, last.height],
        "scales": [[each.width, each.height, each.steps] for each in painter.scales],
        "device": device.name,
        "precision": device.precision,
        "threads": device.threads,
        "tile_px": painter.memory_plan.tile_px,
        "frames": count,
        "frames_done": done,
    }


def estimate_of(seconds: float | None, needed: float) -> dict[str, Any]:
    """Describe the cost of a clip for programs."""
    return {
        "seconds": None if seconds is None else round(seconds, 1),
        "disk_bytes": round(needed),
    }


def paint(run: ClipRun, reporting: Reporting, stop: Stop) -> int:
    """Paint what is missing, put the clip together, report; the exit code."""
    for each in run.painter.notes:
        note(each)
    if reporting.messages.verbose:
        device = run.painter.device
        threads = "1 thread" if device.threads == 1 else f"{device.threads} threads"
        say(f"device {device.name}, {device.precision}, {threads}")
    costs, needed = run.costs(), run.request.bytes_needed()
    left = None if costs is None else sum(costs[run.done :])
    if reporting.messages.as_json:
        plan = plan_of(run.painter, run.count, run.frames_done)
        emit_start(run.request.target.path, plan, estimate_of(left, needed))
    elif reporting.speaks and run.done:
        rest = f", about {duration(left)} left" if left else ""
        say(f"continuing after {run.frames_done} of {run.count} frames{rest}")
    elif reporting.speaks:
        say(describe(run.count, run.painter.size, left, needed))
    if not paint_frames(run, reporting, stop):
        report_stopped(run, reporting)
        return stop.exit_code
    if reporting.messages.verbose:
        shots = len(run.reading.shots)
        say(f"{shots} shot{'s' if shots > 1 else ''}")
    with Meter(reporting.messages, None) as meter:
        meter.advance(0, "writing the clip")
        saved = run.finish(reporting.compare)
    report(run, saved, reporting)
    return 0


def paint_frames(run: ClipRun, reporting: Reporting, stop: Stop) -> bool:
    """Paint with a bar or JSON lines; whether all frames are there."""
    messages, doing = reporting.messages, DOING[run.request.settings.TECHNIQUE]
    work = WorkList(run)
    total = sum(work.amounts())
    estimate = None if run.costs() is None else total
    with Meter(messages, total, estimate_s=estimate) as meter:
        meter.skip(sum(work.amounts()[: run.painted]))

        def show(extra: float) -> None:
            amounts = work.amounts()
            index = run.turns[min(run.painted, len(run.turns) - 1)][0].index
            place = f"frame {index + 1} of {run.count}"
            meter.total = sum(amounts)
            done = sum(amounts[: run.painted]) + extra
            meter.advance(done, f"{doing}, {place}", place, unit=0)

        def on_step(step: Step) -> None:
            share = (step.scale - 1 + step.step / step.steps) / step.scales
            show(share * work.amounts()[run.painted])

        def on_turn(turn: Turn, result: Result) -> None:
            show(0.0)
            if messages.as_json:
                emit(
                    "frame",
                    frame=turn.index + 1,
                    frames=run.count,
                    seconds=reporting.seconds,
                    **{"pass": turn.number},
                )

        return run.paint(on_turn, on_step, stop)


class WorkList:
    """How much work each turn of a clip is, in s where that is known."""

    def __init__(self, run: ClipRun) -> None:
        self._run = run
        self._turns: Sequence[object] = ()
        self._amounts: list[float] = []

    def amounts(self) -> list[float]:
        """The work of all turns, estimated anew when a cut was found."""
        turns = self._run.turns
        if turns is not self._turns:
            costs = self._run.costs() or [1.0] * len(turns)
            # Something for every turn, so that the last one counts, too.
            self._turns, self._amounts = turns, [each + 0.01 for each in costs]
        return self._amounts


def report_stopped(run: ClipRun, reporting: Reporting) -> None:
    """Say how to continue."""
    if reporting.messages.as_json:
        emit_clip(run, None, reporting)
    elif reporting.speaks:
        done = f"{run.frames_done} of {run.count} frames in {run.work.folder}"
        say(f"stopped after {done}; the same command continues")


def report(run: ClipRun, saved: Path, reporting: Reporting) -> None:
    """Say where the clip is."""
    height, width = run.painter.size
    if reporting.messages.as_json:
        emit_clip(run, saved, reporting)
    elif reporting.speaks:
        frames = f"{run.count} frame{'s' if run.count > 1 else ''} of {width}×{height}"
        say(f"saved {saved} ({frames}, {duration(reporting.seconds)})")
    if reporting.show:
        open_viewer(saved)


def emit_clip(run: ClipRun, saved: Path | None, reporting: Reporting) -> None:
    """Print the event that a clip is complete, or was stopped."""
    height, width = run.painter.size
    emit_done(
        saved,
        size=[width, height],
        frames=run.frames_done,
        interrupted=saved is None,
        notes=[*notes_on_options()],
        seconds=reporting.seconds,
        recipe=run.summary or (run.recipe() if run.frames_done else {}),
    )


def paint_preview(job: Request, reporting: Reporting) -> int:
    """Paint the first, the middle and the last frame, and a sheet of them."""
    from stylize.video.preview import paint_preview as paint_three

    path = job.target.path
    stem = path.with_name(f"{path.stem}-preview")
    with (
        stop_on_interrupt(quiet=reporting.messages.quiet, action="stopping") as stop,
        Meter(reporting.messages, 3) as meter,
    ):
        saved = paint_three(job, stem, lambda done: meter.advance(done, f"frame {done} of 3"), stop)
        if saved is None:
            return stop.exit_code
    if reporting.messages.as_json:
        height, width = job.size
        emit_done(
            saved[-1],
            size=[width, height],
            frames=len(saved) - 1,
            interrupted=False,
            notes=[*notes_on_options()],
            seconds=reporting.seconds,
            recipe={},
        )
    elif reporting.speaks:
        for each in saved:
            say(f"saved {each}")
    if reporting.show:
        open_viewer(saved[-1])
    return 0


def resume_clip(folder: Path, *, quiet: bool, as_json: bool) -> int:
    """Continue a clip that was stopped, given its work folder; the exit code.

    Raises:
        CheckpointError: there is none to continue.
    """
    from stylize.video.record import is_work_folder, read_record

    try:
        record = read_record(folder)
    except OutputError:  # it holds other files
        record = None
    if record is None and is_work_folder(folder):
        raise CheckpointError(
            f"{folder} was stopped before the first frame", hint="run the first command again"
        )
    if record is None:
        raise CheckpointError(
            f"{folder} is not the folder of an unfinished clip",
            hint="name a checkpoint, or a folder such as clip.mp4.frames",
        )
    place, words = command_of(folder, record)
    words += [*(["-q"] if quiet else []), *(["--json"] if as_json else [])]
    with contextlib.chdir(place):
        root = click.get_current_context().find_root().command
        code = root.main(words, "stylize", standalone_mode=False, obj=words)
    return int(code or 0)


def command_of(folder: Path, record: Record) -> tuple[str, list[str]]:
    """Where an unfinished clip was begun, and the words of its command.

    Raises:
        CheckpointError: they are not known, or lead to another folder.
    """
    from stylize.video.record import folder_for

    place, *words = record.command or ("",)
    if words[:1] not in (["video"], ["replay"]):
        raise CheckpointError(
            f"{folder} does not say which command made it", hint="repeat that command"
        )
    if not os.path.isdir(place):
        raise CheckpointError(
            f"{place}, where the clip was begun, is gone",
            hint=f"repeat the command: {shlex.join(['stylize', *words])}",
        )
    expected = folder_for(Path(record.target))
    if os.path.realpath(folder) != os.path.realpath(expected):
        raise CheckpointError(
            f"{folder} has another name than its clip gives it",
            hint=f"rename it first: {shlex.join(['mv', str(folder), str(expected)])}",
        )
    return place, words


def replay_clip(request: ReplayRequest) -> int:
    """Make a clip again from its recipe, or with a change; the exit code."""
    from stylize.reruns.clips import clip_request
    from stylize.runs.inputs import remember
    from stylize.video.clip import is_clip, open_clip
    from stylize.video.inputs import ClipInputs

    require_libraries()
    output, messages = request.output, request.messages
    for name in ("format", "save_steps", "film"):
        if getattr(output, name):
            raise SettingError(f"--{name.replace('_', '-')} is not for clips")
    quality = output.quality if is_typed("quality") else _QUALITY
    wanted = {"output": output.output, "overwrite": output.overwrite, "quality": quality}
    files = [str(path) for path in request.paths]
    target = choose_target(
        str(request.file),
        files,
        "-".join(request.changes) or "replay",
        {**wanted, "codec": None, "keep_frames": False},
        placeholders(request.settings),
    )
    load_torch()
    clip, inputs = None, ClipInputs()
    for each, path in zip(request.wanted, request.paths, strict=True):
        if each.role == "content":
            clip = open_clip(str(path), target.path)
        elif is_clip(str(path)):
            inputs.masks[each.role] = open_clip(str(path), target.path)
        else:
            inputs.pictures.append((each.role, open_picture(str(path), messages)))
            continue
        remember(path, each.sha256)
    job = clip_request(request.recipe, request.settings, request.overrides, clip, inputs, target)
    said = {name: value for name, value in request.of_clip.items() if name not in CUT_TYPES}
    note_idle(job.video, said, "--set ")
    context = click.get_current_context()
    job = dataclasses.replace(job, command=(os.getcwd(), *context.find_root().obj))
    announce(job)
    return paint_clip(job, Reporting(messages, show=output.show, started=request.started))
