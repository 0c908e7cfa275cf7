"""``stylize batch``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import click

from stylize.batch.tasks import Look
from stylize.commands.batching import Request, perform, show_status
from stylize.commands.job_files import read_job
from stylize.commands.masking import no_mask_options
from stylize.commands.options import (
    Decorated,
    complete_preset,
    given,
    group_of,
    input_options,
    message_options,
    saving_options,
    settings_options,
)
from stylize.commands.runners import runner_options
from stylize.commands.transfer import take_parts
from stylize.errors import SettingError, UsageError
from stylize.presets import DEFAULTS, Preset, find_preset
from stylize.settings import DreamSettings, Execution, TransferSettings, to_document


@click.group()
def batch() -> None:
    """Whole folders: planned first, nothing lost, finished pictures not done again."""


def batch_options(styles: bool) -> Callable[[Decorated], Decorated]:
    """The options that both kinds of batches share."""
    each = "Every style by itself, not blended." if styles else "Every preset by itself."
    return group_of(
        [
            click.option(
                "-o",
                "--output",
                required=True,
                type=click.Path(file_okay=False, path_type=Path),
                metavar="DIR",
                help="The folder for the results; the inputs' tree is mirrored there.",
            ),
            click.option("-r", "--recursive", is_flag=True, help="Folders with all below them."),
            click.option(
                "--from-file", metavar="LIST|-", help="More inputs: a file of paths, one a line."
            ),
            click.option("--each", is_flag=True, help=each),
            click.option(
                "--suffix",
                type=click.Choice(["png", "jpg", "webp", "avif", "tiff"]),
                default="png",
                help="Format of the results.  [png]",
            ),
            *saving_options,
            *run_options,
            no_mask_options,
        ]
    )


run_options = [
    click.option("--dry-run", is_flag=True, help="Only say what would be done."),
    click.option("--overwrite", is_flag=True, help="Do finished pictures again."),
    click.option("--retry-failed", is_flag=True, help="Try again what failed before."),
    click.option("--fail-fast", is_flag=True, help="End at the first failure."),
    click.option(
        "--shard", metavar="I/N", help="Only the I-th of N shares, for N machines on one folder."
    ),
    click.option("--gallery", is_flag=True, help="Write index.html with all before and after."),
    *runner_options,
]


@batch.command("transfer")
@click.argument("inputs", metavar="INPUT...", nargs=-1)
@click.option(
    "--style",
    "styles",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A style picture; several are blended. Repeatable.",
)
@batch_options(styles=True)
@click.option(
    "--preset",
    default=DEFAULTS["transfer"],
    metavar="NAME|FILE",
    shell_complete=complete_preset("transfer"),
    help=f"Settings to begin from; see 'stylize presets list'.  [{DEFAULTS['transfer']}]",
)
@settings_options(TransferSettings)
@settings_options(Execution)
@input_options
@message_options
def batch_transfer(inputs: tuple[str, ...], styles: tuple[Path, ...], **options: Any) -> int:
    """Paint all INPUT pictures in the style of one or several.

    \b
    Examples:
      stylize batch transfer photos/ --style monet.jpg -o painted/
      stylize batch transfer photos/ -r --style a.jpg --style b.jpg --each -o painted/

    Inputs are files, folders, or patterns such as 'photos/*.jpg'. The same command goes on where
    it was stopped.
    """
    said = given(TransferSettings, options)
    paths = [Path(style) for style in take_parts(list(map(str, styles)), said)]
    execution = Execution(**given(Execution, options))
    preset = find_preset("transfer", options["preset"])
    looks = transfer_looks(preset, said, paths, each=options["each"])
    return perform(Request(inputs, looks, execution), options)


@batch.command("dream")
@click.argument("inputs", metavar="INPUT...", nargs=-1)
@click.option(
    "--preset",
    "presets",
    multiple=True,
    metavar="NAME|FILE",
    shell_complete=complete_preset("dream"),
    help=f"A look; several with --each. Repeatable.  [{DEFAULTS['dream']}]",
)
@batch_options(styles=False)
@settings_options(DreamSettings)
@settings_options(Execution)
@input_options
@message_options
def batch_dream(inputs: tuple[str, ...], presets: tuple[str, ...], **options: Any) -> int:
    """Dream on all INPUT pictures.

    \b
    Examples:
      stylize batch dream photos/ -o dreams/
      stylize batch dream photos/ --preset eyes --preset birds --each --gallery -o dreams/
    """
    said = given(DreamSettings, options)
    execution = Execution(**given(Execution, options))
    looks = dream_looks(presets or (DEFAULTS["dream"],), said, each=options["each"])
    return perform(Request(inputs, looks, execution), options)


def transfer_looks(
    preset: Preset, said: dict[str, Any], styles: Sequence[Path], *, each: bool
) -> list[Look]:
    """One look of all styles blended, or one for each."""
    settings: TransferSettings = preset.apply(said)
    if settings.init == "file" or (said.get("init") not in (None, "content", "noise", "style")):
        raise SettingError("a batch begins from content, noise or style", hint="see --init")
    groups = [(style,) for style in styles] if each else [tuple(styles)]
    for group in groups:
        settings.check_styles(len(group))
    check_layers(settings)
    names = distinct([style.stem for style in styles]) if each else [""]
    document = to_document(settings)
    return [
        Look(name, "transfer", document, group, preset.recorded)
        for name, group in zip(names, groups, strict=True)
    ]


def dream_looks(presets: Sequence[str], said: dict[str, Any], *, each: bool) -> list[Look]:
    """One look for each preset."""
    if len(presets) > 1 and not each:
        raise UsageError("several presets do not blend", hint="--each makes every one of them")
    found = [find_preset("dream", wanted) for wanted in presets]
    looks = []
    for name, preset in zip(distinct([each.name for each in found]), found, strict=True):
        settings: DreamSettings = preset.apply(said)
        if settings.from_noise is not None:
            raise SettingError("--from-noise has no place in a batch")
        check_layers(settings)
        label = name if len(found) > 1 else ""
        looks.append(Look(label, "dream", to_document(settings), (), preset.recorded))
    return looks


def distinct(names: Sequence[str]) -> list[str]:
    """Names that differ, with numbers where they did not."""
    taken: set[str] = set()
    result = []
    for name in names:
        numbered = (f"{name}-{number}" for number in count(2))
        free = next(each for each in chain([name], numbered) if each.casefold() not in taken)
        taken.add(free.casefold())
        result.append(free)
    return result


def check_layers(settings: Any) -> None:
    """Check layers and channels against the network."""
    from stylize.networks.store import find_model

    settings.check_layers(find_model(settings.network).architecture)


@batch.command("run")
@click.argument("job", type=click.Path(path_type=Path))
@group_of(run_options)
@input_options
@message_options
def batch_run(job: Path, **options: Any) -> int:
    """Do what a TOML file JOB says.

    \b
    technique = "dream"              # or "transfer"
    inputs = ["photos"]              # relative to the file
    output = "dreams"
    presets = ["eyes", "birds"]      # or, in a transfer: styles = ["monet.jpg"]
    each = true
    recursive = true
    suffix = "jpg"
    [settings]                       # any of 'stylize presets show --full'
    size = 640
    [execution]                      # device, precision, threads
    """
    found = read_job(job)
    said = dict(found.settings)
    if found.technique == "dream":
        looks = dream_looks(found.presets or (DEFAULTS["dream"],), said, each=found.each)
    else:
        preset = find_preset("transfer", (found.presets or (DEFAULTS["transfer"],))[0])
        looks = transfer_looks(
            preset, said, [Path(style) for style in found.styles], each=found.each
        )
    execution = Execution(**found.execution)
    return perform(Request(found.inputs, looks, execution), options | found.options())


@batch.command("status")
@click.argument("output", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a picture.")
def batch_status(output: Path, as_json: bool) -> int:
    """Say how the batches into DIR stand: all runs, all shards. Exits with 1 if any failed."""
    return show_status(output, as_json=as_json)
