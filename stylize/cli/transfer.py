"""``stylize transfer``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.checkpoints import checkpoint_options, read_checkpointing
from stylize.cli.inputs import files_among, open_picture, require_files
from stylize.cli.masks import MasksRequest, read_parts, read_save_mask, region_options, saving_mask
from stylize.cli.options import (
    check_new_preset,
    check_streams,
    given,
    input_options,
    message_options,
    output_options,
    preset_options,
    settings_options,
)
from stylize.cli.output import choose_target
from stylize.cli.run import load_torch, perform
from stylize.errors import SettingError, UnknownNameError, UsageError
from stylize.settings.execution import Execution
from stylize.settings.presets import Preset, check_layers, find_preset
from stylize.settings.transfer import PARTS, TransferSettings

if TYPE_CHECKING:
    from stylize.products.transfer.transfer import Transfer

STARTS = ("content", "noise", "style")


@dataclass(frozen=True)
class Request:
    """What the command line asks for, checked as far as that goes without opening a picture."""

    content: str
    styles: tuple[str, ...]
    start: str | None
    parts: MasksRequest
    preset: Preset
    settings: TransferSettings
    execution: Execution

    @property
    def painters(self) -> tuple[str, ...]:
        """The styles of the whole picture, or else those of its parts."""
        return self.styles or self.parts.styles

    @property
    def sources(self) -> tuple[str, ...]:
        """All inputs as they were given."""
        start = [self.start] if self.start else []
        return (self.content, *self.styles, *start, *self.parts.sources)


@click.command(epilog="The settings' defaults are those of the preset 'balanced'.")
@click.argument("content", metavar="CONTENT")
@click.argument("styles", metavar="[STYLE]...", nargs=-1)
@output_options
@checkpoint_options
@preset_options("transfer")
@region_options
@settings_options(TransferSettings)
@settings_options(Execution)
@input_options
@message_options
def transfer(content: str, styles: tuple[str, ...], **options: Any) -> int:
    """Paint CONTENT, a photograph, in the style of one or several STYLE pictures.

    \b
    Examples:
      stylize transfer photo.jpg painting.jpg
      stylize transfer photo.jpg a.jpg b.jpg --style-weight 2 --style-weight 1 -o mixed.png
      stylize transfer photo.jpg fine=hatching.jpg coarse=cubes.jpg
      stylize transfer photo.jpg painting.jpg --mask sky.png=monet.jpg --mask face.png=keep
      stylize transfer photo.jpg painting.jpg --background keep
      stylize transfer - painting.jpg -o - --format jpeg < photo.jpg > result.jpg

    A size is the long side in pixels (--size 1024), a box (640x480), an area (12MP) or
    'original'; the default is 512. Nothing is enlarged. Without -o the result lies beside the
    photograph under a name that is printed. Where masks or regions have styles of their own, STYLE
    may be left out: then all else stays as it is.
    """
    request = read_request(content, styles, options)
    files = files_among(request.sources)
    check_streams(options["output"], request.sources, as_json=options["as_json"])
    require_files(files)
    words = "-".join(Path(style).stem if style != "-" else "stdin" for style in request.painters)
    target = choose_target(content, files, words, options)
    mask = read_save_mask(request.settings, files, target, options)
    checkpointing = read_checkpointing(target, files, options)
    if options["save_preset"]:
        check_new_preset(options["save_preset"], overwrite=options["overwrite"])
    return perform(
        saving_mask(lambda: prepare(request, options), mask),
        target,
        files,
        options,
        checkpointing=checkpointing,
    )


def read_request(content: str, styles: tuple[str, ...], options: dict[str, Any]) -> Request:
    """The settings from preset and flags, and which picture plays which part."""
    said = given(TransferSettings, options)
    styles = take_parts(styles, said)
    start = None
    if said.get("init") not in (None, *STARTS):
        start, said["init"] = said["init"], "file"
        if start != "-" and not os.path.exists(start):
            raise UnknownNameError("start", start, (*STARTS, "or a picture file"))
    execution = Execution(**given(Execution, options))
    preset = find_preset("transfer", options["preset"])
    settings: TransferSettings = preset.apply(said)
    if settings.init == "file" and start is None:
        raise SettingError("the preset starts from a picture", hint="name it with --init FILE")
    parts = read_parts(settings, options)
    if not styles and not parts.styles:
        raise UsageError("Missing argument 'STYLE...'", hint="a picture whose style it shall be")
    settings.check_styles(len(styles), regions=len(parts.styles))
    from stylize.networks.models import find_model

    check_layers(settings, find_model(settings.network).architecture)
    return Request(content, styles, start, parts, preset, settings, execution)


def take_parts(styles: Sequence[str], said: dict[str, Any]) -> tuple[str, ...]:
    """The styles without the parts written before them, which go into the settings.

    Raises:
        SettingError: parts are said in both ways.
    """
    pairs = [split_part(style) for style in styles]
    if any(part != "all" for part, _ in pairs):
        if "style_parts" in said:
            raise SettingError(
                "the styles' parts are said twice", hint="leave out --style-part, or fine= …"
            )
        said["style_parts"] = tuple(part for part, _ in pairs)
    return tuple(style for _, style in pairs)


def split_part(style: str) -> tuple[str, str]:
    """``fine=FILE`` as part and file; a file of that very name is a file."""
    part, equals, file = style.partition("=")
    if not equals or part not in PARTS or not file or os.path.exists(style):
        return "all", style
    return part, file


def prepare(request: Request, options: dict[str, Any]) -> Transfer:
    """Open the pictures and load the network."""
    content = open_picture(request.content, options)
    styles = [open_picture(style, options) for style in request.styles]
    start = open_picture(request.start, options) if request.start else None
    parts = request.parts.open(options)
    load_torch()
    from stylize.products.transfer.transfer import Transfer

    return Transfer(
        content,
        styles,
        request.settings,
        request.execution,
        start=start,
        parts=parts,
        preset=request.preset.recorded,
    )
