"""``stylize batch video``."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.batch_run import (
    BatchRequest,
    asked_dreams,
    asked_transfers,
    batch_options,
    perform,
    presets_option,
    style_option,
    take_files,
    take_run,
)
from stylize.cli.clip_options import (
    cut_options,
    encoding_options,
    note_idle_grain,
    require_libraries,
)
from stylize.cli.completion import FILE
from stylize.cli.help import Command, CommandGroup, Decorated
from stylize.cli.options import (
    given,
    input_options,
    is_typed,
    message_options,
    note,
    note_idle,
    preset_option,
    settings_options,
)
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from stylize.batches.tasks import Clips, Look


@click.group(cls=CommandGroup)
def video() -> None:
    """Process many clips. Run the same command again to continue.

    \b
    Examples:
      stylize batch video transfer clips/ --style monet.jpg -o painted/
      stylize batch video dream clips/ --preset eyes -o dreams/

    Clips need PyAV and OpenCV: pip install av opencv-python-headless.
    """


def clip_options(styles: bool) -> Callable[[Decorated], Decorated]:
    """The options that both kinds of batches share; ``styles`` for transfers."""
    formats = ("mp4", "webm", "gif", "webp", "apng")
    encoding = [*encoding_options, *cut_options("as in the clip"), settings_options(VideoSettings)]
    return batch_options(styles, formats, *encoding)


@video.command("transfer", cls=Command)
@click.argument("inputs", metavar="CLIP...", type=FILE, nargs=-1)
@style_option
@clip_options(styles=True)
@preset_option("transfer")
@settings_options(TransferSettings, hide=("grain",))
@settings_options(Execution)
@input_options
@message_options
def video_transfer(inputs: tuple[str, ...], styles: tuple[Path, ...], **options: Any) -> int:
    """Paint all CLIPs in the style of one or several images.

    \b
    Examples:
      stylize batch video transfer clips/ --style monet.jpg -o painted/
      stylize batch video transfer clips/ -r --style a.jpg -o out/ --dry-run
      stylize batch video transfer '*.mov' --style a.jpg --suffix webm -o out/

    Inputs are files, folders of clips, or patterns in quotes. Run the same command again to
    continue a batch that was stopped: it goes on at the next frame. All options of 'stylize video
    transfer' that change the look apply, except masks.
    """
    note_idle_grain(options["grain"])
    require_libraries()
    return perform(read_request(inputs, asked_transfers(inputs, styles, options), options))


@video.command("dream", cls=Command)
@click.argument("inputs", metavar="CLIP...", type=FILE, nargs=-1)
@presets_option
@clip_options(styles=False)
@settings_options(DreamSettings, hide=("from_noise", "guide_mode", "guide_size"))
@settings_options(Execution)
@input_options
@message_options
def video_dream(inputs: tuple[str, ...], presets: tuple[str, ...], **options: Any) -> int:
    """Dream on all CLIPs.

    \b
    Examples:
      stylize batch video dream clips/ -o dreams/
      stylize batch video dream clips/ --preset eyes --strength 40 -o dreams/

    Inputs are files, folders of clips, or patterns in quotes. Run the same command again to
    continue a batch that was stopped: it goes on at the next frame. All options of 'stylize video
    dream' that change the look apply, except masks and guides.
    """
    require_libraries()
    return perform(read_request(inputs, asked_dreams(presets, options), options))


def read_request(
    inputs: Sequence[str], looks: Sequence[Look], options: dict[str, Any]
) -> BatchRequest:
    """Build the request; ``looks`` are those of frames."""
    clips = read_clips(options)
    execution = Execution(**given(Execution, options))
    files, run = take_files(options), take_run(options)
    looks = [dataclasses.replace(look, clips=clips) for look in looks]
    return BatchRequest(inputs=inputs, looks=looks, execution=execution, **files, **run)


def read_clips(options: dict[str, Any]) -> Clips:
    """How clips are made, checked.

    Raises:
        SettingError: an interval that ends before it begins.
        OutputError: the format does not take the codec.
    """
    from stylize.batches.tasks import Clips
    from stylize.images import mp4
    from stylize.video.clip import Cut

    os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 says what goes wrong, not more
    cut = Cut(*(options.pop(name) for name in ("start", "end", "fps")))
    cut.check()
    said = given(VideoSettings, options)
    settings = VideoSettings(**said)
    note_idle(settings, said)
    codec, format = options.pop("codec"), options["suffix"]
    if format in mp4.CONTAINERS:
        mp4.check_codec(format, codec)
    elif codec is not None:
        note("--codec has no effect without --suffix mp4 or webm")
    if is_typed("quality") and format in ("gif", "apng"):
        note("--quality has no effect without --suffix mp4, webm or webp")
    return Clips(settings, cut, format, codec)
