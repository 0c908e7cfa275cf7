"""``stylize dream``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.checkpoints import checkpoint_options
from stylize.cli.completion import FILE
from stylize.cli.help import Command, option
from stylize.cli.inputs import open_optional
from stylize.cli.masks import check_one_mask, save_mask_option
from stylize.cli.options import (
    changed_words,
    choose_preset,
    each_variant,
    given,
    group_of,
    guide_option,
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
from stylize.errors import UsageError
from stylize.networks.models import find_model
from stylize.settings.dream import BaseDreamSettings, DreamSettings, with_photo
from stylize.settings.execution import Execution
from stylize.settings.fields import Group
from stylize.settings.masks import kept_part

if TYPE_CHECKING:
    from stylize.products.dream.dream import Dream
    from stylize.products.dream.tunnel import Tunnel

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
class DreamLook:
    """How a dream looks, as the command line asks for it.

    Attributes:
        guide: a picture whose features are amplified.
        mask: where the dream shows.
        preset: name of the preset, for the recipe; None for the default.
        asks_octaves: whether the number of octaves was asked for.
        words: for the name of the result.
        names: of the preset, for the placeholders in ``-o``.
    """

    guide: str | None
    mask: str | None
    preset: str | None
    asks_octaves: bool
    settings: DreamSettings
    execution: Execution
    words: str
    names: Mapping[str, str]

    @property
    def sources(self) -> list[str]:
        """All pictures besides the photo."""
        return [each for each in (self.guide, self.mask) if each]


@dataclass(frozen=True)
class DreamRequest:
    """A dream as the command line asks for it, checked without opening a picture.

    Attributes:
        photo: a file or ``-``; None for noise.
        look: how the dream looks.
    """

    photo: str | None
    look: DreamLook
    run: RunRequest


@click.command(cls=Command)
@click.argument("photo", metavar="[PHOTO]", type=FILE, required=False)
@output_options("{photo}, {preset} and any setting, such as {strength}")
@checkpoint_options
@preset_options("dream")
@picture_options
@settings_options(DreamSettings)
@variants_option
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
    requests = [read_request(photo, each) for each in each_variant(options, (photo or "",))]
    load_torch(requests[0].run.files)
    return paint_all((prepare(request), request.run) for request in requests)


def read_request(photo: str | None, options: dict[str, Any]) -> DreamRequest:
    """Build the request, and check all that can be checked before pictures are opened."""
    messages, output = take(Messages, options), take(OutputRequest, options)
    look = read_look(photo, options)
    run = check_run(
        photo,
        [*([photo] if photo else []), *look.sources],
        look.words,
        look.settings,
        output,
        messages,
        options,
        preview_every=1,
        names=look.names,
    )
    return DreamRequest(photo, look, run)


def read_look(photo: str | None, options: dict[str, Any]) -> DreamLook:
    """Read how a dream looks; takes its options from ``options``."""
    said = given(DreamSettings, options)
    execution = Execution(**given(Execution, options))
    preset = choose_preset("dream", options.pop("preset"))
    guide, mask = options.pop("guide"), options.pop("mask")
    settings: DreamSettings = preset.apply(with_photo(photo, said))
    check_beginning(photo, settings, sized="size" in said)
    if settings.from_noise is not None and kept_part(settings) is not None:
        raise UsageError("--subject and --background need a photo", hint="noise has no subject")
    check_one_mask(settings, mask)
    settings.check_layers(find_model(settings.network).architecture)
    heeded = note_idle(settings, said, guide=bool(guide), masks=bool(mask), photo=photo is not None)
    changed = changed_words(DreamSettings, heeded)
    words = "-".join([*([] if photo else ["noise"]), preset.name, *changed])
    names = {"preset": preset.name}
    asked = "octaves" in said
    return DreamLook(guide, mask, preset.recorded, asked, settings, execution, words, names)


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

    messages, look = request.run.messages, request.look
    photo, guide, mask = (
        open_optional(source, messages) for source in (request.photo, look.guide, look.mask)
    )
    job = Dream(
        photo,
        look.settings,
        look.execution,
        guide=guide,
        mask=mask,
        preset=look.preset,
    )
    if look.asks_octaves or messages.verbose:
        add_octave_notes(job)
    return job


def add_octave_notes(job: Dream | Tunnel) -> None:
    """Add the notes on octaves, which are for those who ask for octaves or for details."""
    job.notes += [note for note in job.octave_notes if note not in job.notes]
