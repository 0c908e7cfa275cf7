"""``stylize batch``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.batches.job_file import SUFFIXES, read_job
from stylize.cli.batch_report import show_status
from stylize.cli.batch_run import (
    BatchRequest,
    asked_dreams,
    asked_transfers,
    batch_options,
    dream_looks,
    note_looks,
    perform,
    presets_option,
    run_options,
    style_option,
    take_files,
    take_run,
    transfer_looks,
)
from stylize.cli.batch_video import video
from stylize.cli.completion import FILE
from stylize.cli.help import CommandGroup, option
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
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.presets import DEFAULTS
from stylize.settings.transfer import TransferSettings

if TYPE_CHECKING:
    from stylize.batches.tasks import Look


@click.group(cls=CommandGroup)
def batch() -> None:
    """Process whole folders of photos or clips. Run the same command again to continue.

    \b
    Examples:
      stylize batch transfer photos/ --style monet.jpg -o painted/
      stylize batch video transfer clips/ --style monet.jpg -o painted-clips/
      stylize batch status painted/
    """


@batch.command("transfer")
@click.argument("inputs", metavar="INPUT...", type=FILE, nargs=-1)
@style_option
@batch_options(True, SUFFIXES, *saving_options)
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
    return perform(read_request(inputs, asked_transfers(inputs, styles, options), options))


@batch.command("dream")
@click.argument("inputs", metavar="INPUT...", type=FILE, nargs=-1)
@presets_option
@batch_options(False, SUFFIXES, *saving_options)
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
    return perform(read_request(inputs, asked_dreams(presets, options), options))


def read_request(
    inputs: Sequence[str], looks: Sequence[Look], options: dict[str, Any]
) -> BatchRequest:
    """Build the request of a batch of pictures."""
    execution = Execution(**given(Execution, options))
    note_quality([options["suffix"]])
    files, run = take_files(options), take_run(options)
    return BatchRequest(inputs=inputs, looks=looks, execution=execution, **files, **run)


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
    found = read_job(job)
    said = dict(found.settings)
    if found.technique == "dream":
        looks = dream_looks(found.presets, said, each=found.each)
    else:
        preset = choose_preset("transfer", (found.presets or (DEFAULTS["transfer"],))[0])
        looks = transfer_looks(preset, said, list(map(Path, found.styles)), each=found.each)
    note_looks(looks, said)
    return perform(
        BatchRequest(
            inputs=found.inputs,
            listed=(),
            recursive=found.recursive,
            include_results=found.include_results,
            looks=looks,
            execution=Execution(**found.execution),
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
