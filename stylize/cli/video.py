"""``stylize video``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.clip_options import note_idle_grain, require_libraries, video_options
from stylize.cli.clip_output import choose_target, is_pattern, note_idle_output
from stylize.cli.clip_run import Reporting, announce, paint_clip, paint_preview, say_plan
from stylize.cli.completion import FILE
from stylize.cli.dream import DreamLook, picture_options
from stylize.cli.dream import read_look as read_dream
from stylize.cli.help import CommandGroup
from stylize.cli.inputs import open_picture, require_files
from stylize.cli.masks import region_options
from stylize.cli.options import (
    given,
    input_options,
    message_options,
    note,
    note_idle,
    preset_option,
    settings_options,
)
from stylize.cli.output import placeholders
from stylize.cli.process import load_torch
from stylize.cli.requests import Messages, take
from stylize.cli.transfer import TransferLook
from stylize.cli.transfer import read_look as read_transfer
from stylize.errors import UsageError
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.video.clip import Clip, Cut
    from stylize.video.request import MaskFrames, Painter, Request, Target


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
@settings_options(TransferSettings, hide=("grain",))
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
    note_idle_grain(options["grain"])
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
    names = ("output", "overwrite", "codec", "quality", "keep_frames", "compare")
    wanted = {name: options.pop(name) for name in names}
    preview, dry_run = options.pop("preview"), options.pop("dry_run")
    reporting = Reporting(messages, options.pop("show"))
    said = given(VideoSettings, options)
    settings = VideoSettings(**said)
    if options.pop("save_mask", None) is not None:
        raise UsageError("--save-mask is for pictures", hint="each frame has its own mask")
    look = read(options)
    note_idle(settings, said)
    check_sources([clip, *look.sources])
    values = {**look.names, **placeholders(look.settings)}
    is_written = not (preview or dry_run)
    target = choose_target(clip, look.sources, look.words, wanted, values, is_written=is_written)
    if target.compare is not None and target.format == "folder":
        raise UsageError("--compare needs a clip file as the output", hint="-o NAME.mp4")
    note_idle_output(target)
    return VideoRequest(clip, look, settings, cut, target, preview, dry_run, reporting)


def check_sources(sources: Sequence[str]) -> None:
    """Check that all inputs exist.

    Raises:
        UsageError: one of them is stdin.
        PictureError: one does not exist.
    """
    if "-" in sources:
        raise UsageError("a clip and its pictures are files, not stdin", hint="save them first")
    require_files([Path(each) for each in sources if not is_pattern(each)])


def perform(request: VideoRequest) -> int:
    """Paint the clip; the exit code."""
    from stylize.runs.inputs import remember
    from stylize.video.clip import is_clip, open_clip

    os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 says what goes wrong, not more
    clip = open_clip(request.clip, request.target.path)
    if not is_clip(request.clip):
        product = click.get_current_context().info_name
        note(f"{request.clip} is a single picture; 'stylize {product}' makes a picture of it")
    load_torch()
    job = prepare(clip, request)
    announce(job)
    if request.preview:
        return paint_preview(job, request.look.sources, request.reporting)
    if request.dry_run:
        return say_plan(job, request.reporting)
    if os.path.isfile(request.clip):
        remember(Path(request.clip), clip.sha256())
    return paint_clip(job, request.reporting)


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

    digests = {source: each.sha256 for source, each in still.items()}
    digests |= {source: f"clip {number}" for number, source in enumerate(moving, 1)}
    context = click.get_current_context()
    return Request(
        clip=clip,
        cut=request.cut,
        settings=look.settings,
        video=request.video,
        make=make,
        inputs=[(role, digests[source]) for role, source in roles_of(look)],
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


def roles_of(look: Look) -> list[tuple[str, str]]:
    """The part that each source plays, in order; a source may play several."""
    if isinstance(look, DreamLook):
        parts = [("guide", look.guide), ("mask", look.mask)]
    else:
        parts = [*(("style", each) for each in look.styles), ("start", look.start)]
        parts.append(("mask", look.masks.mask))
        for number, region in enumerate(look.masks.regions, 1):
            where = f"region {number}" + (f" {region.colour}" if region.colour else "")
            parts += [(where, region.mask), (f"region {number} style", region.style)]
    return [(role, source) for role, source in parts if source]


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
