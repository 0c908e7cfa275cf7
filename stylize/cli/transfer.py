"""``stylize transfer``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.checkpoints import checkpoint_options
from stylize.cli.completion import FILE
from stylize.cli.help import Command
from stylize.cli.inputs import open_optional, open_picture
from stylize.cli.masks import MasksRequest, region_options, take_masks
from stylize.cli.options import (
    changed_words,
    choose_preset,
    each_variant,
    given,
    input_options,
    message_options,
    note_idle,
    output_options,
    preset_options,
    settings_options,
    variants_option,
)
from stylize.cli.process import load_torch
from stylize.cli.requests import Messages, OutputRequest, take
from stylize.cli.run import RunRequest, check_run, paint_all
from stylize.errors import SettingError, UnknownNameError, UsageError
from stylize.networks.models import find_model
from stylize.settings.execution import Execution
from stylize.settings.presets import check_layers
from stylize.settings.transfer import PARTS, TransferSettings

if TYPE_CHECKING:
    from stylize.products.transfer.transfer import Transfer

STARTS = ("content", "noise", "style")


@dataclass(frozen=True)
class TransferLook:
    """How a transfer looks, as the command line asks for it.

    Attributes:
        styles: style images of the whole picture.
        start: the picture to start from.
        masks: parts of the photo with styles of their own.
        preset: name of the preset, for the recipe; None for the default.
        words: for the name of the result.
        names: of the style and the preset, for the placeholders in ``-o``.
    """

    styles: tuple[str, ...]
    start: str | None
    masks: MasksRequest
    preset: str | None
    settings: TransferSettings
    execution: Execution
    words: str
    names: Mapping[str, str]

    @property
    def sources(self) -> list[str]:
        """All pictures besides the photo."""
        return [*self.styles, *([self.start] if self.start else []), *self.masks.sources]


@dataclass(frozen=True)
class TransferRequest:
    """A transfer as the command line asks for it, checked without opening a picture.

    Attributes:
        content: the photo, a file or ``-``.
        look: how it is painted.
    """

    content: str
    look: TransferLook
    run: RunRequest


@click.command(cls=Command)
@click.argument("content", metavar="PHOTO", type=FILE)
@click.argument("styles", metavar="[STYLE]...", type=FILE, nargs=-1)
@output_options("{photo}, {style}, {preset} and any setting, such as {size}")
@checkpoint_options
@preset_options("transfer")
@region_options
@settings_options(TransferSettings)
@variants_option
@settings_options(Execution)
@input_options
@message_options
def transfer(content: str, styles: tuple[str, ...], **options: Any) -> int:
    """Paint PHOTO in the style of one or several STYLE images.

    \b
    Examples:
      stylize transfer photo.jpg painting.jpg
      stylize transfer photo.jpg painting.jpg --strength 70 --size 1024
      stylize transfer photo.jpg a.jpg b.jpg --mask face.png=keep -o mixed.png

    Several styles are blended. If you give every --mask or --region its own style, you can omit
    STYLE: the rest of the photo then stays unchanged. The file name - reads from stdin.
    """
    requests = [
        read_request(content, styles, each) for each in each_variant(options, (content, *styles))
    ]
    load_torch(requests[0].run.files)
    return paint_all((prepare(request), request.run) for request in requests)


def read_request(content: str, styles: tuple[str, ...], options: dict[str, Any]) -> TransferRequest:
    """Build the request, and check all that can be checked before pictures are opened."""
    messages, output = take(Messages, options), take(OutputRequest, options)
    look = read_look(styles, options)
    sources = [content, *look.sources]
    run = check_run(
        content, sources, look.words, look.settings, output, messages, options, names=look.names
    )
    return TransferRequest(content, look, run)


def read_look(styles: tuple[str, ...], options: dict[str, Any]) -> TransferLook:
    """Read how a transfer looks; takes its options from ``options``."""
    said = given(TransferSettings, options)
    execution = Execution(**given(Execution, options))
    styles = take_parts(styles, said)
    start = take_start(said)
    preset = choose_preset("transfer", options.pop("preset"))
    settings: TransferSettings = preset.apply(said)
    if settings.init == "file" and start is None:
        raise SettingError("the preset starts from a picture", hint="name it with --init FILE")
    masks = take_masks(settings, options)
    if not styles and not masks.styles:
        raise UsageError("Missing argument 'STYLE...'", hint="name at least one style image")
    settings.check_styles(len(styles), regions=len(masks.styles))
    check_layers(settings, find_model(settings.network).architecture)
    heeded = note_idle(settings, said, several_styles=len(styles) > 1, masks=bool(masks.sources))
    named = "-".join(
        Path(style).stem if style != "-" else "stdin" for style in styles or masks.styles
    )
    words = "-".join(
        [
            named,
            *([preset.name] if preset.recorded else []),
            *changed_words(TransferSettings, heeded),
        ]
    )
    names = {"style": named, "preset": preset.name}
    return TransferLook(styles, start, masks, preset.recorded, settings, execution, words, names)


def take_start(said: dict[str, Any]) -> str | None:
    """The picture of ``--init FILE``; the settings then say ``file``."""
    start: str | None = said.get("init")
    if start in (None, *STARTS):
        return None
    if start != "-" and not os.path.exists(str(start)):
        raise UnknownNameError("start", str(start), (*STARTS, "or a picture file"))
    said["init"] = "file"
    return start


def take_parts(styles: Sequence[str], said: dict[str, Any]) -> tuple[str, ...]:
    """The styles without the parts written before them, which go into the settings.

    Raises:
        SettingError: parts are said in both ways.
    """
    pairs = [split_part(style) for style in styles]
    if any(part != "all" for part, _ in pairs):
        if "style_parts" in said:
            raise SettingError(
                "--style-part cannot be combined with fine=FILE", hint="leave one of them out"
            )
        said["style_parts"] = tuple(part for part, _ in pairs)
    return tuple(style for _, style in pairs)


def split_part(style: str) -> tuple[str, str]:
    """``fine=FILE`` as part and file; a file of that very name is a file."""
    part, equals, file = style.partition("=")
    if not equals or part not in PARTS or not file or os.path.exists(style):
        return "all", style
    return part, file


def prepare(request: TransferRequest) -> Transfer:
    """Open the pictures and load the network."""
    from stylize.products.transfer.transfer import Transfer

    messages, look = request.run.messages, request.look
    content = open_picture(request.content, messages)
    styles = [open_picture(style, messages) for style in look.styles]
    return Transfer(
        content,
        styles,
        look.settings,
        look.execution,
        start=open_optional(look.start, messages),
        parts=look.masks.open(messages),
        preset=look.preset,
    )
