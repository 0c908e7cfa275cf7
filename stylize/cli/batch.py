"""``stylize batch``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from stylize.batches.job_file import read_job
from stylize.batches.plan import make_plan, parse_shard, shard
from stylize.batches.tasks import Look, Task
from stylize.cli.batch_report import Report, save_gallery, say_skipped, show_plan, show_status
from stylize.cli.inputs import read_stdin, require_files
from stylize.cli.masks import no_mask_options
from stylize.cli.messages import INTERRUPTED
from stylize.cli.options import (
    Decorated,
    complete_preset,
    given,
    group_of,
    input_options,
    message_options,
    saving_options,
    settings_options,
)
from stylize.cli.progress import stop_on_interrupt
from stylize.cli.requests import Messages, take
from stylize.cli.run import load_torch
from stylize.cli.transfer import take_parts
from stylize.errors import MissingExtraError, OutputError, SettingError, UsageError
from stylize.images.atomic import check_writable
from stylize.images.find import Collection, collect, read_list
from stylize.images.write import check_request
from stylize.networks.models import find_model
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.presets import DEFAULTS, Preset, check_layers, find_preset
from stylize.settings.transfer import TransferSettings

if TYPE_CHECKING:
    from stylize.batches.claims import Claims
    from stylize.batches.painter import BatchPainter
    from stylize.batches.records import Ledger

# What a worker's torch reads when it is loaded; see the program's entry.
_PASSED_ON = (
    "THP_MEM_ALLOC_ENABLE",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
    "LRU_CACHE_CAPACITY",
)


class Runner(Protocol):
    """Works through tasks."""

    def run(self, tasks: Sequence[Task]) -> None:
        """Do what is to be done."""


@dataclass(frozen=True)
class BatchFiles:
    """Which pictures go in, and how the results are written.

    Attributes:
        output: the folder for the results.
        recursive: include folders below.
        from_file: a list of further inputs, or ``-``.
        suffix: of the results.
        depth: bits per channel.
        quality: of JPEG, WebP and AVIF.
    """

    output: Path
    recursive: bool = False
    from_file: str | None = None
    suffix: str = "png"
    depth: int = 8
    quality: int = 95


@dataclass(frozen=True)
class BatchRun:
    """How a batch is worked through, by the options of the same names."""

    dry_run: bool
    overwrite: bool
    retry_failed: bool
    fail_fast: bool
    shard: str | None
    gallery: bool
    runner: str
    address: str | None
    cpus_per_worker: int | None

    @property
    def cluster_address(self) -> str | None:
        """Of the Ray cluster; None for one on this machine."""
        return self.address or os.environ.get("RAY_ADDRESS")


@dataclass(frozen=True)
class BatchRequest:
    """A batch as the command line or a job file asks for it.

    Attributes:
        inputs: files, folders, patterns.
        looks: what is done to each picture.
        execution: where.
    """

    inputs: Sequence[str]
    looks: Sequence[Look]
    execution: Execution
    files: BatchFiles
    run: BatchRun
    messages: Messages


def perform(request: BatchRequest) -> int:
    """Plan, run, report; the exit code."""
    check_runner(request.run)
    files, messages = request.files, request.messages
    format = {"jpg": "jpeg"}.get(files.suffix, files.suffix)
    check_request(format, depth=files.depth, quality=files.quality)
    require_files({style for look in request.looks for style in look.styles})
    collection = collect(
        request.inputs,
        recursive=files.recursive,
        output=files.output,
        listed=read_from_file(files.from_file),
    )
    tasks = make_plan(collection.found, request.looks, files.output, suffix=f".{files.suffix}")
    if request.run.shard:
        tasks = shard(tasks, *parse_shard(request.run.shard))
    if request.run.dry_run:
        show_plan(tasks, collection, messages, dry_run=True)
        return 0
    if not tasks:
        say_skipped(collection, messages)
        raise UsageError("no pictures among the inputs", hint="-r looks into folders below")
    if messages.verbose:
        show_plan(tasks, collection, messages, dry_run=False)
    with connected(request) as ray:
        return work(tasks, collection, request, ray)


def work(tasks: Sequence[Task], collection: Collection, request: BatchRequest, ray: Any) -> int:
    """Paint all that is to be painted; ``ray`` is of :func:`connected`."""
    load_torch()
    from stylize.batches.claims import Claims
    from stylize.batches.local import sweep
    from stylize.batches.painter import BatchPainter
    from stylize.batches.records import Ledger
    from stylize.planning.device import choose_device

    run, output, messages = request.run, request.files.output, request.messages
    say_skipped(collection, messages)
    if ray is None:
        choose_device(request.execution.device)
    painter = BatchPainter(request.execution)
    common = {look.name: painter.inputs(look) for look in request.looks}
    # Not earlier: a request that fails leaves nothing behind.
    make_folder(output)
    ledger = Ledger(output, common, retry=run.retry_failed, overwrite=run.overwrite)
    action = "stopping; the picture being painted is dropped"
    with (
        stop_on_interrupt(quiet=messages.quiet, action=action) as stop,
        Report(tasks, messages) as report,
        Claims(output) as claims,
    ):
        make_runner(request, ray, painter, ledger, claims, report, stop).run(tasks)
        sweep(tasks, ledger, claims)
        ledger.settle()
        claims.tidy()
        stopped = stop()
    if run.gallery:
        save_gallery(tasks, output, messages)
    return INTERRUPTED if stopped else int(report.counts["failed"] > 0)


def read_from_file(source: str | None) -> list[str]:
    """The paths of ``--from-file``."""
    if source is None:
        return []
    if source == "-":
        return read_list(read_stdin().decode(errors="surrogateescape"))
    try:
        return read_list(Path(source).read_bytes().decode(errors="surrogateescape"))
    except OSError as error:
        raise UsageError(f"--from-file: {source}: {(error.strerror or '').lower()}") from error


def make_folder(output: Path) -> None:
    """Create the output folder and check that it is writable."""
    try:
        (output / ".stylize").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output} cannot be made: {(error.strerror or '').lower()}") from error
    check_writable(output / "picture.png")


def check_runner(run: BatchRun) -> None:
    """Refuse options that do not go together, before anything is done.

    Raises:
        UsageError: an option of Ray's without Ray.
        MissingExtraError: Ray is not installed.
    """
    if run.runner == "ray":
        if find_spec("ray") is None:
            raise MissingExtraError("--runner ray", "ray>=2.9")
        return
    for name in ("address", "cpus_per_worker"):
        if getattr(run, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for Ray only", hint="add --runner ray")


@contextmanager
def connected(request: BatchRequest) -> Iterator[Any]:
    """The connection to Ray, or None for the local runner.

    Enter it before signals are taken over: Ray takes SIGTERM for itself.

    Raises:
        ClusterError: there is no such cluster.
        UsageError: it has no room for such workers.
    """
    if request.run.runner == "local":
        yield None
        return
    # Ray reads these when it is imported: no usage reports, and no warning on stderr about what
    # a future version does with the GPUs' variables.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from stylize.batches.ray import berth_for, cluster, nodes

    with cluster(request.run.cluster_address) as ray:
        berth_for(nodes(ray), request.execution, request.run.cpus_per_worker)
        yield ray


def make_runner(
    request: BatchRequest,
    ray: Any,
    painter: BatchPainter,
    ledger: Ledger,
    claims: Claims,
    report: Report,
    stop: Callable[[], bool],
) -> Runner:
    """The runner that the request asks for.

    Args:
        ray: of :func:`connected`.
        painter: for the local runner.
        report: gets the outcomes.
        stop: whether to stop.
    """
    from stylize.batches.local import LocalRunner, Saving

    saving = Saving(request.files.depth, request.files.quality)
    if ray is None:
        return LocalRunner(
            painter,
            ledger,
            claims,
            saving=saving,
            on_step=report.on_step,
            on_image=report.on_image,
            stop=stop,
            fail_fast=request.run.fail_fast,
        )
    from stylize.batches.ray import RayRunner

    # A cluster of our own inherits them.
    names = _PASSED_ON if request.run.cluster_address else ()
    return RayRunner(
        ray,
        request.files.output,
        request.execution,
        ledger,
        claims,
        saving=saving,
        on_step=report.on_step,
        stop=stop,
        fail_fast=request.run.fail_fast,
        cpus=request.run.cpus_per_worker,
        environment={name: os.environ[name] for name in names if name in os.environ},
    )


@click.group()
def batch() -> None:
    """Process whole folders: planned first, resumable, finished pictures skipped."""


runner_options = [
    click.option(
        "--runner",
        type=click.Choice(["local", "ray"]),
        default="local",
        help="Run in this process, or on a Ray cluster (pip install ray).  [local]",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT",
        help="Address of the Ray cluster.  [RAY_ADDRESS, else one on this machine]",
    ),
    click.option(
        "--cpus-per-worker",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Cores of each Ray worker.  [an equal share of a node, at most 8]",
    ),
]

run_options = [
    click.option("--dry-run", is_flag=True, help="Print what would be done."),
    click.option("--overwrite", is_flag=True, help="Paint finished pictures again."),
    click.option("--retry-failed", is_flag=True, help="Retry pictures that failed before."),
    click.option("--fail-fast", is_flag=True, help="Stop at the first failure."),
    click.option(
        "--shard", metavar="I/N", help="Process the I-th of N shares, for N machines on one folder."
    ),
    click.option(
        "--gallery", is_flag=True, help="Write index.html, a page of all pictures before and after."
    ),
    *runner_options,
]


def batch_options(styles: bool) -> Callable[[Decorated], Decorated]:
    """The options that both kinds of batches share."""
    each = (
        "Use each style by itself instead of blending them."
        if styles
        else "Use each preset by itself."
    )
    return group_of(
        [
            click.option(
                "-o",
                "--output",
                required=True,
                type=click.Path(file_okay=False, path_type=Path),
                metavar="DIR",
                help="Folder for the results; subfolders are mirrored.",
            ),
            click.option("-r", "--recursive", is_flag=True, help="Include subfolders."),
            click.option(
                "--from-file", metavar="LIST|-", help="File with further inputs, one path per line."
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


@batch.command("transfer")
@click.argument("inputs", metavar="INPUT...", nargs=-1)
@click.option(
    "--style",
    "styles",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Style image; several are blended. Repeatable.",
)
@batch_options(styles=True)
@click.option(
    "--preset",
    default=DEFAULTS["transfer"],
    metavar="NAME|FILE",
    shell_complete=complete_preset("transfer"),
    help=f"Settings to start from; see 'stylize presets list'.  [{DEFAULTS['transfer']}]",
)
@settings_options(TransferSettings)
@settings_options(Execution)
@input_options
@message_options
def batch_transfer(inputs: tuple[str, ...], styles: tuple[Path, ...], **options: Any) -> int:
    """Paint all INPUT photos in the style of one or several images.

    \b
    Examples:
      stylize batch transfer photos/ --style monet.jpg -o painted/
      stylize batch transfer photos/ -r --style a.jpg --style b.jpg --each -o painted/

    Inputs are files, folders, or patterns such as 'photos/*.jpg'. To continue a batch that was
    stopped, give the same command again.
    """
    messages, files = take(Messages, options), take(BatchFiles, options)
    run = take(BatchRun, options)
    said = given(TransferSettings, options)
    paths = [Path(style) for style in take_parts(list(map(str, styles)), said)]
    execution = Execution(**given(Execution, options))
    preset = find_preset("transfer", options["preset"])
    looks = transfer_looks(preset, said, paths, each=options["each"])
    return perform(BatchRequest(inputs, looks, execution, files, run, messages))


@batch.command("dream")
@click.argument("inputs", metavar="INPUT...", nargs=-1)
@click.option(
    "--preset",
    "presets",
    multiple=True,
    metavar="NAME|FILE",
    shell_complete=complete_preset("dream"),
    help=f"Preset; several with --each. Repeatable.  [{DEFAULTS['dream']}]",
)
@batch_options(styles=False)
@settings_options(DreamSettings)
@settings_options(Execution)
@input_options
@message_options
def batch_dream(inputs: tuple[str, ...], presets: tuple[str, ...], **options: Any) -> int:
    """Dream on all INPUT photos.

    \b
    Examples:
      stylize batch dream photos/ -o dreams/
      stylize batch dream photos/ --preset eyes --preset birds --each --gallery -o dreams/
    """
    messages, files = take(Messages, options), take(BatchFiles, options)
    run = take(BatchRun, options)
    said = given(DreamSettings, options)
    execution = Execution(**given(Execution, options))
    looks = dream_looks(presets or (DEFAULTS["dream"],), said, each=options["each"])
    return perform(BatchRequest(inputs, looks, execution, files, run, messages))


def transfer_looks(
    preset: Preset, said: dict[str, Any], styles: Sequence[Path], *, each: bool
) -> list[Look]:
    """One look of all styles blended, or one for each."""
    settings: TransferSettings = preset.apply(said)
    if settings.init == "file" or (said.get("init") not in (None, "content", "noise", "style")):
        raise SettingError("a batch starts from content, noise or style", hint="see --init")
    groups = [(style,) for style in styles] if each else [tuple(styles)]
    for group in groups:
        settings.check_styles(len(group))
    check_layers(settings, find_model(settings.network).architecture)
    names = distinct([style.stem for style in styles]) if each else [""]
    document = to_document(settings)
    return [
        Look(name, "transfer", document, group, preset.recorded)
        for name, group in zip(names, groups, strict=True)
    ]


def dream_looks(presets: Sequence[str], said: dict[str, Any], *, each: bool) -> list[Look]:
    """One look for each preset."""
    if len(presets) > 1 and not each:
        raise UsageError("several presets do not blend", hint="use each by itself with --each")
    found = [find_preset("dream", wanted) for wanted in presets]
    looks = []
    for name, preset in zip(distinct([each.name for each in found]), found, strict=True):
        settings: DreamSettings = preset.apply(said)
        if settings.from_noise is not None:
            raise SettingError("--from-noise does not work in a batch")
        check_layers(settings, find_model(settings.network).architecture)
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


@batch.command("run")
@click.argument("job", type=click.Path(path_type=Path))
@group_of(run_options)
@input_options
@message_options
def batch_run(job: Path, **options: Any) -> int:
    """Run the batch described in the TOML file JOB.

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
    files = BatchFiles(
        Path(found.output),
        found.recursive,
        suffix=found.suffix,
        depth=found.depth,
        quality=found.quality,
    )
    execution = Execution(**found.execution)
    messages, run = take(Messages, options), take(BatchRun, options)
    return perform(BatchRequest(found.inputs, looks, execution, files, run, messages))


@batch.command("status")
@click.argument("output", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per picture.")
def batch_status(output: Path, as_json: bool) -> int:
    """Show what the batches into DIR have done, over all runs and shards; exit 1 if any failed."""
    return show_status(output, as_json=as_json)
