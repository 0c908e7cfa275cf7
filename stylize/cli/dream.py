"""``stylize dream``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.checkpoints import checkpoint_options
from stylize.cli.completion import FILE
from stylize.cli.help import Command, option
from stylize.cli.inputs import open_optional
from stylize.cli.masks import check_one_mask, save_mask_option
from stylize.cli.options import (
    choose_preset,
    given,
    group_of,
    guide_option,
    input_options,
    message_options,
    output_options,
    preset_options,
    settings_options,
)
from stylize.cli.requests import Messages, OutputRequest, take
from stylize.cli.run import RunRequest, check_run, load_torch, paint
from stylize.errors import UsageError
from stylize.networks.models import find_model
from stylize.settings.dream import BaseDreamSettings, DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import Group
from stylize.settings.masks import kept_part

if TYPE_CHECKING:
    from stylize.products.dream.dream import Dream

picture_options = group_of(
    [
        guide_option,
        option(
            "--mask",
            type=FILE,
            metavar="FILE",
            group=Group.MASKS,
            everyday=True,
            help="Dream only where FILE is white; the photo stays where it is black.",
        ),
        save_mask_option,
    ]
)


@dataclass(frozen=True)
class DreamRequest:
    """A dream as the command line asks for it, checked without opening a picture.

    Attributes:
        photo: a file or ``-``; None for noise.
        guide: a picture whose features are amplified.
        mask: where the dream shows.
        preset: name of the preset, for the recipe; None for the default.
    """

    photo: str | None
    guide: str | None
    mask: str | None
    preset: str | None
    settings: DreamSettings
    execution: Execution
    run: RunRequest


@click.command(cls=Command)
@click.argument("photo", metavar="[PHOTO]", type=FILE, required=False)
@output_options
@checkpoint_options
@preset_options("dream")
@picture_options
@settings_options(DreamSettings)
@settings_options(Execution)
@input_options
@message_options
def dream(photo: str | None, **options: Any) -> int:
    """Amplify whatever the network sees in PHOTO (DeepDream).

    \b
    Examples:
      stylize dream photo.jpg --preset eyes --strength 120
      stylize dream photo.jpg --layer 'conv4_3 + 0.5*conv3_3:30-40' -o dream.png
      stylize dream --from-noise 1024x768 --preset swirls

    'stylize presets list' shows the presets, 'stylize layers' what each layer amplifies.
    """
    request = read_request(photo, options)
    load_torch()
    return paint(prepare(request), request.run)


def read_request(photo: str | None, options: dict[str, Any]) -> DreamRequest:
    """Build the request, and check all that can be checked before pictures are opened."""
    messages, output = take(Messages, options), take(OutputRequest, options)
    said = given(DreamSettings, options)
    execution = Execution(**given(Execution, options))
    preset = choose_preset("dream", options.pop("preset"))
    guide, mask = options.pop("guide"), options.pop("mask")
    settings: DreamSettings = preset.apply(said)
    check_beginning(photo, settings, sized="size" in said)
    if settings.from_noise is not None and kept_part(settings) is not None:
        raise UsageError("--subject and --background need a photo", hint="noise has no subject")
    check_one_mask(settings, mask)
    settings.check_layers(find_model(settings.network).architecture)
    sources = [each for each in (photo, guide, mask) if each]
    words = preset.name if photo else f"noise-{preset.name}"
    run = check_run(photo, sources, words, settings, output, messages, options, preview_every=1)
    return DreamRequest(photo, guide, mask, preset.recorded, settings, execution, run)


def check_beginning(photo: str | None, settings: BaseDreamSettings, *, sized: bool) -> None:
    """Check that there is exactly one start, and one size.

    Raises:
        UsageError: neither a picture nor noise, or both; or noise with a second size.
    """
    if photo is None and settings.from_noise is None:
        raise UsageError("nothing to dream on", hint="name a picture, or --from-noise 640x480")
    if photo is not None and settings.from_noise is not None:
        raise UsageError("--from-noise needs no photo", hint="leave one of them out")
    if settings.from_noise is not None and sized:
        raise UsageError(
            "--size cannot be combined with --from-noise", hint="the noise has its own size"
        )


def prepare(request: DreamRequest) -> Dream:
    """Open the pictures and load the network."""
    from stylize.products.dream.dream import Dream

    messages = request.run.messages
    photo, guide, mask = (
        open_optional(source, messages) for source in (request.photo, request.guide, request.mask)
    )
    return Dream(
        photo,
        request.settings,
        request.execution,
        guide=guide,
        mask=mask,
        preset=request.preset,
    )
