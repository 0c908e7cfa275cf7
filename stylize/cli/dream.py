"""``stylize dream``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.checkpoints import checkpoint_options, read_checkpointing
from stylize.cli.inputs import files_among, open_picture, require_files
from stylize.cli.masks import check_one_mask, read_save_mask, save_mask_option, saving_mask
from stylize.cli.options import (
    check_new_preset,
    check_streams,
    given,
    group_of,
    input_options,
    message_options,
    output_options,
    preset_options,
    settings_options,
)
from stylize.cli.output import choose_target
from stylize.cli.run import load_torch, perform
from stylize.errors import UsageError
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.masks import kept_part
from stylize.settings.presets import Preset, find_preset

if TYPE_CHECKING:
    from stylize.products.dream.dream import Dream

picture_options = group_of(
    [
        click.option("--guide", metavar="PICTURE", help="Dream with the motifs of this picture."),
        click.option(
            "--mask",
            metavar="FILE",
            help="Where the picture is white the dream shows, where it is black the photo stays.",
        ),
        save_mask_option,
    ]
)


@dataclass(frozen=True)
class Request:
    """What the command line asks for, checked as far as that goes without opening a picture."""

    photo: str | None
    guide: str | None
    mask: str | None
    preset: Preset
    settings: DreamSettings
    execution: Execution

    @property
    def sources(self) -> tuple[str, ...]:
        """All inputs as they were given."""
        return tuple(each for each in (self.photo, self.guide, self.mask) if each)

    @property
    def words(self) -> str:
        """What a result without a name is called beside the photo's name."""
        return self.preset.name if self.photo else f"noise-{self.preset.name}"


@click.command(epilog="The settings' defaults are those of the preset 'dogs'.")
@click.argument("photo", metavar="[IMAGE]", required=False)
@output_options
@checkpoint_options
@preset_options("dream")
@picture_options
@settings_options(DreamSettings)
@settings_options(Execution)
@input_options
@message_options
def dream(photo: str | None, **options: Any) -> int:
    """Let a network dream on IMAGE: what it sees there, it shall see more of.

    \b
    Examples:
      stylize dream photo.jpg
      stylize dream photo.jpg --preset eyes --strength 120 -o eyes.png
      stylize dream photo.jpg --layer 'conv4_3 + 0.5*conv3_3:30-40 - 0.2*conv5_1:7'
      stylize dream --from-noise 1024x768 --preset swirls --tileable

    'stylize presets list' shows the looks, 'stylize layers' what the layers dream of.
    """
    request = read_request(photo, options)
    files = files_among(request.sources)
    check_streams(options["output"], request.sources, as_json=options["as_json"])
    require_files(files)
    target = choose_target(photo, files, request.words, options)
    mask = read_save_mask(request.settings, files, target, options)
    checkpointing = read_checkpointing(target, files, options)
    if options["save_preset"]:
        check_new_preset(options["save_preset"], overwrite=options["overwrite"])
    return perform(
        saving_mask(lambda: prepare(request, options), mask),
        target,
        files,
        options,
        preview_every=1,
        checkpointing=checkpointing,
    )


def read_request(photo: str | None, options: dict[str, Any]) -> Request:
    """The settings from preset and flags, and which picture plays which part."""
    said = given(DreamSettings, options)
    execution = Execution(**given(Execution, options))
    preset = find_preset("dream", options["preset"])
    settings: DreamSettings = preset.apply(said)
    check_beginning(photo, settings, sized="size" in said)
    check_one_mask(settings, options["mask"])
    from stylize.networks.models import find_model

    settings.check_layers(find_model(settings.network).architecture)
    return Request(photo, options["guide"], options["mask"], preset, settings, execution)


def check_beginning(photo: str | None, settings: DreamSettings, *, sized: bool) -> None:
    """Make sure that there is exactly one beginning, and one size.

    Raises:
        UsageError: neither a picture nor noise, or both; or noise with a size beside its own.
    """
    if photo is None and settings.from_noise is None:
        raise UsageError("nothing to dream on", hint="name a picture, or --from-noise 640x480")
    if photo is not None and settings.from_noise is not None:
        raise UsageError("a picture and --from-noise", hint="leave one of them out")
    if settings.from_noise is not None and sized:
        raise UsageError("--size beside --from-noise", hint="the noise has its own size")
    if settings.from_noise is not None and kept_part(settings) is not None:
        raise UsageError(
            "--subject or --background beside --from-noise", hint="noise has no subject"
        )


def prepare(request: Request, options: dict[str, Any]) -> Dream:
    """Open the pictures and load the network."""
    photo, guide, mask = (
        open_picture(source, options) if source else None
        for source in (request.photo, request.guide, request.mask)
    )
    load_torch()
    from stylize.products.dream.dream import Dream

    return Dream(
        photo,
        request.settings,
        request.execution,
        guide=guide,
        mask=mask,
        preset=request.preset.recorded,
    )
