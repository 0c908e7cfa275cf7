"""``stylize batch``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.batch_report import (
    show_status,
)
from stylize.cli.batch_run import (
    BatchRequest,
    check_order,
    dream_looks,
    folder_options,
    note_looks,
    perform,
    run_options,
    take_files,
    take_run,
    transfer_looks,
)
from stylize.cli.batch_video import video
from stylize.cli.completion import FILE
from stylize.cli.help import CommandGroup, Decorated, option
from stylize.cli.masks import no_mask_options
from stylize.cli.options import (
    choose_preset,
    given,
    group_of,
    input_options,
    message_options,
    preset_option,
    saving_options,
    settings_options,
)
from stylize.cli.output import note_quality
from stylize.cli.transfer import take_parts
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import Group
from stylize.settings.presets import DEFAULTS
from stylize.settings.transfer import TransferSettings

if TYPE_CHECKING:
    pass


@click.group(cls=CommandGroup)
def batch() -> None:
    """Process whole folders of photos or clips. Run the same command again to continue.

    \b
    Examples:
      stylize batch transfer photos/ --style monet.jpg -o painted/
      stylize batch video transfer clips/ --style monet.jpg -o painted-clips/
      stylize batch status painted/
    """


def batch_options(styles: bool) -> Callable[[Decorated], Decorated]:
    """The options that both kinds of batches share."""
    return group_of(
        [
            *folder_options(styles),
            option(
                "--suffix",
                group=Group.OUTPUT,
                everyday=True,
                type=click.Choice(["png", "jpg", "webp", "avif", "tiff"]),
                default="png",
                help="Format of the results.  [png]",
            ),
            *saving_options,
            *run_options,
            no_mask_options,
        ]
    )


@batch.command("transfer")
@click.argument("inputs", metavar="INPUT...", type=FILE, nargs=-1)
@option(
    "--style",
    "styles",
    multiple=True,
    required=True,
    metavar="FILE",
    group=Group.INPUT,
    everyday=True,
    type=click.Path(path_type=Path),
    help="Style image; several are blended. Repeatable.",
)
@batch_options(styles=True)
@preset_option("transfer")
@settings_options(TransferSettings)
@settings_options(Execution)
@input_options
@message_options
def batch_transfer(inputs: tuple[str, ...], styles: tuple[Path, ...], **options: Any) -> int:
    """Paint all INPUT photos in the style of one or several images.

    \b
    Examples:
      stylize batch transfer photos/ --style monet.jpg -o painted/
      stylize batch transfer photos/ --style a.jpg --style b.jpg --each -o out/
      stylize batch transfer 'photos/*.jpg' --style a.jpg -o painted/ --dry-run

    Inputs are files, folders, or patterns in quotes. Run the same command again to continue a batch
    that was stopped. All options of 'stylize transfer' that change the look apply, except masks.
    """
    said = given(TransferSettings, options)
    paths = [Path(style) for style in take_parts(list(map(str, styles)), said)]
    check_order(inputs)
    execution = Execution(**given(Execution, options))
    preset = choose_preset("transfer", options["preset"])
    looks = transfer_looks(preset, said, paths, each=options["each"])
    note_looks(looks, said)
    note_quality([options["suffix"]])
    files, run = take_files(options), take_run(options)
    return perform(BatchRequest(inputs=inputs, looks=looks, execution=execution, **files, **run))


@batch.command("dream")
@click.argument("inputs", metavar="INPUT...", type=FILE, nargs=-1)
@preset_option(
    "dream",
    names=["presets"],
    default=None,
    multiple=True,
    help=f"Preset; several with --each. Repeatable.  [{DEFAULTS['dream']}]",
)
@batch_options(styles=False)
@settings_options(DreamSettings, hide=("from_noise", "guide_mode", "guide_size"))
@settings_options(Execution)
@input_options
@message_options
def batch_dream(inputs: tuple[str, ...], presets: tuple[str, ...], **options: Any) -> int:
    """Dream on all INPUT photos.

    \b
    Examples:
      stylize batch dream photos/ -o dreams/
      stylize batch dream photos/ -r --preset eyes --strength 120 -o dreams/
      stylize batch dream photos/ --preset eyes --preset birds --each -o dreams/

    Inputs are files, folders, or patterns in quotes. Run the same command again to continue a batch
    that was stopped. All options of 'stylize dream' that change the look apply, except --mask.
    """
    said = given(DreamSettings, options)
    execution = Execution(**given(Execution, options))
    looks = dream_looks(presets or (DEFAULTS["dream"],), said, each=options["each"])
    note_looks(looks, said)
    note_quality([options["suffix"]])
    files, run = take_files(options), take_run(options)
    return perform(BatchRequest(inputs=inputs, looks=looks, execution=execution, **files, **run))


@batch.command("run")
@click.argument("job", type=click.Path(path_type=Path))
@group_of(run_options)
@input_options
@message_options
def batch_run(job: Path, **options: Any) -> int:
    """Run the batch that the TOML file JOB describes.

    \b
    Examples:
      stylize batch run job.toml
      stylize batch run job.toml --dry-run
      stylize batch run job.toml --retry-failed --gallery

    \b
    technique = "dream"              # or "transfer"
    inputs = ["photos"]              # relative to the file
    output = "dreams"
    presets = ["eyes", "birds"]      # or, in a transfer: styles = ["monet.jpg"]
    each = true
    recursive = true
    include_results = false
    suffix = "jpg"
    [settings]                       # any of 'stylize presets show --full'
    size = 640
    [execution]                      # device, precision, threads
    """
    from stylize.batches.job_file import read_job

    found = read_job(job)
    said = dict(found.settings)
    if found.technique == "dream":
        looks = dream_looks(found.presets or (DEFAULTS["dream"],), said, each=found.each)
    else:
        preset = choose_preset("transfer", (found.presets or (DEFAULTS["transfer"],))[0])
        looks = transfer_looks(
            preset, said, [Path(style) for style in found.styles], each=found.each
        )
    execution = Execution(**found.execution)
    return perform(
        BatchRequest(
            inputs=found.inputs,
            listed=(),
            recursive=found.recursive,
            include_results=found.include_results,
            looks=looks,
            execution=execution,
            output=Path(found.output),
            suffix=found.suffix,
            depth=found.depth,
            quality=found.quality,
            **take_run(options),
        )
    )


@batch.command("status")
@click.argument("output", type=click.Path(path_type=Path), metavar="DIR")
@option("--json", "as_json", is_flag=True, everyday=True, help="Print one JSON object per picture.")
def batch_status(output: Path, as_json: bool) -> int:
    """Show the state of all pictures of the batches that write to DIR.

    \b
    Examples:
      stylize batch status painted/
      stylize batch status painted/ --json

    The exit code is 1 unless all pictures are finished.
    """
    return show_status(output, as_json=as_json)


batch.add_command(video)
