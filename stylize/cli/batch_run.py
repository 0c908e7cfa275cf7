"""Run a batch: its options, its looks, the pictures that need work."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.batch_report import (
    Report,
    advice,
    describe_inputs,
    save_gallery,
    say_left_out,
    show_plan,
)
from stylize.cli.completion import FILE
from stylize.cli.help import Decorated, option
from stylize.cli.inputs import read_stdin, require_files
from stylize.cli.masks import no_mask_options
from stylize.cli.messages import echo, say
from stylize.cli.options import (
    choose_preset,
    given,
    group_of,
    note,
    preset_option,
)
from stylize.cli.process import VARIABLES, load_torch
from stylize.cli.progress import stop_on_interrupt
from stylize.cli.requests import Messages, take
from stylize.cli.transfer import take_parts
from stylize.errors import (
    MissingExtraError,
    OutputError,
    PictureError,
    SettingError,
    UsageError,
)
from stylize.networks.models import find_model
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import Group, idle_settings
from stylize.settings.presets import DEFAULTS, Preset, check_layers, decode_text
from stylize.settings.transfer import TransferSettings

if TYPE_CHECKING:
    from stylize.batches.clips import Measuring
    from stylize.batches.local import BatchContext
    from stylize.batches.records import Ledger
    from stylize.batches.tasks import Clips, Look, Task

style_option = option(
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

presets_option = preset_option(
    "dream",
    names=["presets"],
    default=None,
    multiple=True,
    help=f"Preset; several with --each. Repeatable.  [{DEFAULTS['dream']}]",
)

runner_options = [
    option(
        "--runner",
        group=Group.BATCH,
        type=click.Choice(["local", "ray"]),
        default="local",
        help="Work in this process or on a Ray cluster (pip install ray).  [local]",
    ),
    option(
        "--address",
        group=Group.BATCH,
        metavar="HOST:PORT",
        help="Address of the Ray cluster.  [RAY_ADDRESS, or a new one on this machine]",
    ),
    option(
        "--cpus-per-worker",
        group=Group.BATCH,
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Cores of each Ray worker.  [at most 8; with GPUs, a share of the node]",
    ),
]


def _named_folder(context: click.Context, parameter: click.Parameter, value: str) -> Path:
    """Refuse the empty text that an unset variable leaves; as a path it is the current folder."""
    if not value:
        raise UsageError(f"{parameter.opts[-1]} is empty", hint="name a folder; . is this one")
    return Path(value)


def folder_options(styles: bool) -> list[Callable[[Decorated], Decorated]]:
    """The options for inputs, the output folder and several looks; ``styles`` for transfers."""
    each = (
        "Use each style image by itself instead of blending them."
        if styles
        else "Make a result with each preset."
    )
    return [
        option(
            "-o",
            "--output",
            required=True,
            group=Group.OUTPUT,
            everyday=True,
            type=click.Path(file_okay=False),
            callback=_named_folder,
            metavar="DIR",
            help="Folder for the results, with the subfolders of the inputs.",
        ),
        option(
            "-r",
            "--recursive",
            is_flag=True,
            group=Group.INPUT,
            everyday=True,
            help="Also search the subfolders.",
        ),
        option(
            "--include-results",
            is_flag=True,
            group=Group.INPUT,
            help="Also take what stylize has made, which folders leave out.",
        ),
        option(
            "--from-file",
            type=FILE,
            metavar="LIST|-",
            group=Group.INPUT,
            help="Read more inputs from a file of paths, one per line.",
        ),
        option("--each", is_flag=True, group=Group.BATCH, everyday=True, help=each),
    ]


run_options = [
    option(
        "-n",
        "--dry-run",
        is_flag=True,
        group=Group.BATCH,
        everyday=True,
        help="Show what is left to do and its cost.",
    ),
    option(
        "--overwrite",
        is_flag=True,
        group=Group.OUTPUT,
        everyday=True,
        help="Make finished results again.",
    ),
    option(
        "--retry-failed",
        is_flag=True,
        group=Group.BATCH,
        everyday=True,
        help="Try again what failed.",
    ),
    option("--fail-fast", is_flag=True, group=Group.BATCH, help="Stop at the first new failure."),
    option(
        "--shard",
        metavar="I/N",
        group=Group.BATCH,
        help="Make only the I-th of N equal parts, for a batch on N machines.",
    ),
    option(
        "--gallery",
        is_flag=True,
        group=Group.BATCH,
        everyday=True,
        help="Also write index.html with all results and failures; replaces an earlier one.",
    ),
    *runner_options,
]


def batch_options(
    styles: bool, formats: Sequence[str], *encoding: Callable[[Decorated], Decorated]
) -> Callable[[Decorated], Decorated]:
    """The options that all batches share.

    Args:
        styles: whether they paint; otherwise they dream.
        formats: of the results, the default first.
        encoding: options of these formats.
    """
    suffix = option(
        "--suffix",
        group=Group.OUTPUT,
        everyday=True,
        type=click.Choice(formats),
        default=formats[0],
        help=f"Format of the results.  [{formats[0]}]",
    )
    return group_of([*folder_options(styles), suffix, *encoding, *run_options, no_mask_options])


MAX_LIST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class RunnerRequest:
    """Who makes the pictures.

    Attributes:
        kind: ``local`` or ``ray``.
        address: of a Ray cluster; None starts one on this machine.
        cpus: cores of each Ray worker.
    """

    kind: str
    address: str | None
    cpus: int | None

    @classmethod
    def take(cls, options: dict[str, Any]) -> RunnerRequest:
        """Remove the runner options from ``options``.

        Raises:
            UsageError: an option of Ray without Ray.
            MissingExtraError: Ray is not installed.
        """
        kind, address = options.pop("runner"), options.pop("address")
        cpus = options.pop("cpus_per_worker")
        if kind == "ray":
            if find_spec("ray") is None:
                raise MissingExtraError("--runner ray", "ray>=2.52")
            return cls(kind, address or os.environ.get("RAY_ADDRESS"), cpus)
        for name, value in (("--address", address), ("--cpus-per-worker", cpus)):
            if value is not None:
                raise UsageError(f"{name} works only with Ray", hint="--runner ray")
        return cls(kind, None, None)


@dataclass(frozen=True)
class BatchRequest:
    """What a batch was asked for.

    Attributes:
        inputs: files, folders and patterns.
        listed: files and folders of ``--from-file``.
        recursive: search the folders below, too.
        include_results: take pictures made by this program, too.
        looks: how the pictures are made.
        execution: device, precision and threads.
        output: folder of the results.
        suffix: of the results, without a dot.
        depth: bits per channel.
        quality: 1 to 100.
        runner: who makes the pictures.
        messages: how much is said.
    """

    inputs: Sequence[str]
    listed: Sequence[str]
    recursive: bool
    include_results: bool
    looks: Sequence[Look]
    execution: Execution
    output: Path
    suffix: str
    depth: int
    quality: int
    runner: RunnerRequest
    messages: Messages
    shard: str | None
    dry_run: bool
    overwrite: bool
    retry_failed: bool
    fail_fast: bool
    gallery: bool


def take_run(options: dict[str, Any]) -> dict[str, Any]:
    """Remove from ``options`` what all kinds of batches share: fields of a request."""
    names = ("shard", "dry_run", "overwrite", "retry_failed", "fail_fast", "gallery")
    return {
        "runner": RunnerRequest.take(options),
        "messages": take(Messages, options),
        **{name: options.pop(name) for name in names},
    }


def take_files(options: dict[str, Any]) -> dict[str, Any]:
    """Remove from ``options`` where inputs come from and how results are written."""
    return {
        "listed": listed(options.pop("from_file")),
        "depth": int(options.pop("depth", 8)),
        **{
            name: options.pop(name)
            for name in ("output", "recursive", "include_results", "suffix", "quality")
        },
    }


def listed(source: str | None) -> list[str]:
    """The paths of ``--from-file``."""
    from stylize.images.find import read_list
    from stylize.images.open import HEAD_BYTES, recognise
    from stylize.images.pipes import open_input

    if source is None:
        return []
    try:
        if source == "-":
            content = read_stdin(MAX_LIST_BYTES + 1)
        else:
            with open_input(source) as file:
                content = file.read(MAX_LIST_BYTES + 1)
        if len(content) > MAX_LIST_BYTES:
            raise UsageError(f"--from-file: {source} is too large for a list of files")
        if recognise(content[:HEAD_BYTES]) is not None:
            raise UsageError(
                f"--from-file: {source} is a picture, not a list of files",
                hint="leave --from-file out",
            )
        return read_list(decode_text(content, "surrogateescape"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"--from-file: {source}: {reason}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--from-file: {source} is not text", hint="save it as UTF-8") from error


def perform(request: BatchRequest) -> int:
    """Plan, run, report; return the exit code."""
    from stylize.batches.plan import make_plan, parse_shard, shard
    from stylize.images.find import collect
    from stylize.images.write import check_request

    if not request.inputs and not request.listed:
        raise UsageError("there are no inputs", hint="name files, folders or patterns")
    clips = request.looks[0].clips
    if clips is None:
        format = {"jpg": "jpeg"}.get(request.suffix, request.suffix)
        check_request(format, depth=request.depth, quality=request.quality)
    measuring = measuring_of(clips)
    require_files({style for look in request.looks for style in look.styles})
    require_regular(style for look in request.looks for style in look.styles)
    collection = collect(
        request.inputs,
        recursive=request.recursive,
        output=request.output,
        listed=request.listed,
        include_results=request.include_results,
        kind=measuring.kind if measuring else None,
    )
    plan = make_plan(
        collection.found,
        request.looks,
        request.output,
        suffix=f".{request.suffix}",
        frames=measuring.frames if measuring else None,
        made=made_before(request.output),
    )
    if not plan:
        say_left_out(collection, request.messages)
        noun = "clips" if clips else "pictures"
        raise UsageError(f"no {noun} among the inputs", hint=advice(collection))
    tasks = shard(plan, *parse_shard(request.shard)) if request.shard else plan
    if request.dry_run or request.messages.verbose:
        line = echo if request.dry_run else say
        if not request.messages.as_json:
            for text in describe_inputs(tasks):
                line(text)
        show_plan(*outstanding(tasks, request), collection, request.messages, line=line)
    else:
        say_left_out(collection, request.messages)
    if request.dry_run:
        return 0
    # Before signals are taken over: Ray takes SIGTERM for itself.
    with connected(request) as ray:
        return run_tasks(tasks, plan, request, ray)


def made_before(output: Path) -> dict[str, str]:
    """The sources of finished results by their targets; imports no torch for a new folder."""
    if not (output / ".stylize").is_dir():
        return {}
    from stylize.batches.records import sources_made

    return sources_made(output)


def measuring_of(clips: Clips | None) -> Measuring | None:
    """What finds clips; None for pictures, which need no torch to be found."""
    if clips is None:
        return None
    from stylize.batches.clips import Measuring

    return Measuring(clips.cut)


def outstanding(tasks: Sequence[Task], request: BatchRequest) -> tuple[list[Task], Counter[str]]:
    """The tasks that a run would work on, and the number of the others by their state."""
    fresh = not (request.output / ".stylize").is_dir() and not any(
        os.path.lexists(task.target) for task in tasks
    )
    if request.overwrite or fresh:
        return list(tasks), Counter()
    from stylize.batches.records import Ledger
    from stylize.runs.inputs import digest

    common = {
        look.name: [("style", digest(style)) for style in look.styles] for look in request.looks
    }
    ledger = Ledger(request.output, common, retry=request.retry_failed)
    states = [ledger.standing(task).state for task in tasks]
    left = [task for task, state in zip(tasks, states, strict=True) if state == "todo"]
    return left, Counter(state for state in states if state != "todo")


@contextmanager
def connected(request: BatchRequest) -> Iterator[Any]:
    """The connection to Ray; None for a local run.

    Raises:
        ClusterError: there is no such cluster.
        UsageError: the cluster has no room for such workers.
    """
    if request.runner.kind == "local":
        yield None
        return
    # Ray reads these when it is imported: no usage statistics, and no warning about the GPUs'
    # variables on stderr.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from stylize.batches.ray import cluster, nodes, worker_size

    with cluster(request.runner.address) as ray:
        worker_size(nodes(ray), request.execution, request.runner.cpus)
        yield ray


def require_regular(paths: Iterable[Path]) -> None:
    """Refuse pipes, sockets and devices, which may be waited for.

    Raises:
        PictureError: the first of them.
    """
    for path in paths:
        if os.path.isdir(path):
            raise PictureError(f"{path} is a folder, not a style image", hint="name a file in it")
        if not os.path.isfile(path):
            raise PictureError(f"{path} is not a regular file")


def make_folder(output: Path) -> None:
    """Create the output folder and check that it is writable."""
    from stylize.batches.records import make_folder as make_state_folder
    from stylize.batches.records import state_folder
    from stylize.images.atomic import check_writable

    try:
        make_state_folder(state_folder(output))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot create {output}: {reason}") from error
    check_writable(output / "picture.png")


def run_tasks(tasks: Sequence[Task], plan: Sequence[Task], request: BatchRequest, ray: Any) -> int:
    """Make the pictures that need work; return the exit code.

    Args:
        tasks: what this run works on.
        plan: the tasks of all shards.
        request: the rest.
        ray: the connection to Ray; None for a local run.
    """
    load_torch()
    from stylize.batches.claims import Claims
    from stylize.batches.local import BatchContext, LocalRunner, sweep
    from stylize.batches.painter import BatchPainter
    from stylize.batches.saving import Saving
    from stylize.planning.device import choose_device

    if ray is None:
        choose_device(request.execution.device)
    painter = BatchPainter(request.execution)
    common = {look.name: painter.inputs(look) for look in request.looks}
    if request.messages.bars and not request.messages.verbose:
        for text in describe_inputs(tasks):
            say(text)
    # Only now, so that a request that fails leaves no folder behind.
    ledger = open_ledger(plan, request, common)
    is_clips = request.looks[0].clips is not None
    drops = "the same command continues" if is_clips else "the current picture is dropped"
    with (
        stop_on_interrupt(quiet=request.messages.quiet, action=f"stopping; {drops}") as stop,
        Report(tasks, request.output, request.messages) as report,
        Claims(request.output) as claims,
    ):
        saving = Saving(request.depth, request.quality, request.overwrite)
        context = BatchContext(ledger, claims, report.on_picture, stop, saving, request.fail_fast)
        if ray is None:
            LocalRunner(painter, context, report.on_image).run(tasks)
        else:
            run_on_ray(ray, tasks, request, context)
        sweep(tasks, ledger, claims)
        ledger.settle()
        claims.tidy()
        stopped = stop()
    if request.gallery:
        save_gallery(plan, request.output, report.errors, command_line(), request.messages)
    return stop.exit_code if stopped else int(report.counts["failed"] > 0)


def open_ledger(
    plan: Sequence[Task], request: BatchRequest, common: Mapping[str, list[tuple[str, str]]]
) -> Ledger:
    """Create the output folder, save the plan there, and read what is done."""
    from stylize.batches.gallery import check_gallery
    from stylize.batches.plan import save_plan
    from stylize.batches.records import Ledger

    make_folder(request.output)
    if request.gallery:
        check_gallery(request.output)
    save_plan(request.output, plan, [*request.inputs, *request.listed])
    return Ledger(request.output, common, retry=request.retry_failed, overwrite=request.overwrite)


def command_line() -> str:
    """The command as it was typed."""
    words = click.get_current_context().find_root().obj or []
    return shlex.join(["stylize", *words])


def run_on_ray(
    ray: Any, tasks: Sequence[Task], request: BatchRequest, context: BatchContext
) -> None:
    """Make the pictures with workers on a cluster."""
    from stylize.batches.ray import RayRunner

    # A cluster on this machine inherits them.
    names = VARIABLES if request.runner.address else ()
    environment = {name: os.environ[name] for name in names if name in os.environ}
    runner = RayRunner(
        ray,
        request.output,
        request.execution,
        context,
        cpus=request.runner.cpus,
        environment=environment,
    )
    runner.run(tasks)


def check_order(inputs: Sequence[str]) -> None:
    """Refuse a file between a style image and the next option if photos come before both.

    It is probably another style image: many programs take several after one option.

    Raises:
        UsageError: there is one.
    """
    typed = click.get_current_context().find_root().obj or []
    words = [part for word in typed for part in _option_and_value(word)]
    for name, style, after in zip(words, words[1:], words[2:], strict=False):
        if name == "--style" and after in inputs[1:] and os.path.isfile(after):
            raise UsageError(
                f"{after} follows --style {style}: is it a photo or a style image?",
                hint=f"name photos before --style, and a style image as --style {after}",
            )


def _option_and_value(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith("--style=") else [word]


def note_looks(looks: Sequence[Look], said: Mapping[str, Any]) -> None:
    """Say which options have no effect on anything in the batch."""
    several = any(len(look.styles) > 1 for look in looks)
    idle = [
        idle_settings(
            look.settings, said, {"several styles": several, "guide": False, "masks": False}
        )
        for look in looks
    ]
    for name, line in idle[0].items() if idle else ():
        if all(name in lines for lines in idle):
            note(line)


def asked_transfers(
    inputs: Sequence[str], styles: Sequence[Path], options: dict[str, Any]
) -> list[Look]:
    """The looks that a command line asks for; takes its settings from ``options``."""
    said = given(TransferSettings, options)
    paths = [Path(style) for style in take_parts(list(map(str, styles)), said)]
    check_order(inputs)
    preset = choose_preset("transfer", options["preset"])
    looks = transfer_looks(preset, said, paths, each=options["each"])
    note_looks(looks, said)
    return looks


def asked_dreams(presets: Sequence[str], options: dict[str, Any]) -> list[Look]:
    """The looks that a command line asks for; takes its settings from ``options``."""
    said = given(DreamSettings, options)
    looks = dream_looks(presets, said, each=options["each"])
    note_looks(looks, said)
    return looks


def transfer_looks(
    preset: Preset, said: dict[str, Any], styles: Sequence[Path], *, each: bool
) -> list[Look]:
    """One look of all styles blended, or one for each."""
    from stylize.batches.tasks import Look

    settings: TransferSettings = preset.apply(said)
    if settings.init == "file" or (said.get("init") not in (None, "content", "noise", "style")):
        raise SettingError("a batch starts from content, noise or style", hint="see --init")
    if each:
        styles = list(dict.fromkeys(styles))
    groups = [(style,) for style in styles] if each else [tuple(styles)]
    for group in groups:
        settings.check_styles(len(group))
    check_layers(settings, find_model(settings.network).architecture)
    names = distinct([style.stem for style in styles]) if each else [""]
    return [
        Look(name, settings, group, preset.recorded)
        for name, group in zip(names, groups, strict=True)
    ]


def dream_looks(presets: Sequence[str], said: dict[str, Any], *, each: bool) -> list[Look]:
    """One look for each preset, or the one of the default preset."""
    from stylize.batches.tasks import Look

    presets = list(dict.fromkeys(presets)) or [DEFAULTS["dream"]]
    if len(presets) > 1 and not each:
        raise UsageError("presets cannot be blended", hint="add --each to use each one by itself")
    found = [choose_preset("dream", wanted) for wanted in presets]
    looks = []
    for name, preset in zip(distinct([each.name for each in found]), found, strict=True):
        settings: DreamSettings = preset.apply(said)
        if settings.from_noise is not None:
            raise SettingError("--from-noise cannot be used in a batch")
        check_layers(settings, find_model(settings.network).architecture)
        label = name if len(found) > 1 else ""
        looks.append(Look(label, settings, (), preset.recorded))
    return looks


def distinct(names: Sequence[str]) -> list[str]:
    """Make names distinct by adding numbers."""
    taken: set[str] = set()
    result = []
    for name in names:
        numbered = (f"{name}-{number}" for number in count(2))
        free = next(each for each in chain([name], numbered) if each.casefold() not in taken)
        taken.add(free.casefold())
        result.append(free)
    return result
