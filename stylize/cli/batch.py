"""``stylize batch``."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from stylize.batches.job_file import read_job
from stylize.batches.plan import describe, estimate, make_plan, parse_shard, shard
from stylize.batches.tasks import Look, Task
from stylize.cli.inputs import read_stdin, require_files
from stylize.cli.masks import no_mask_options
from stylize.cli.messages import INTERRUPTED, say
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
from stylize.cli.progress import emit, stop_on_interrupt
from stylize.cli.run import load_torch
from stylize.cli.transfer import take_parts
from stylize.errors import MissingExtraError, OutputError, PictureError, SettingError, UsageError
from stylize.images.atomic import check_writable
from stylize.images.find import Collection, collect, read_list
from stylize.images.open import set_pixel_limit
from stylize.images.write import check_request
from stylize.networks.models import find_model
from stylize.planning.self_test_cache import latest
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.presets import DEFAULTS, Preset, check_layers, find_preset
from stylize.settings.transfer import TransferSettings

if TYPE_CHECKING:
    from stylize.batches.claims import Claims
    from stylize.batches.local import Outcome
    from stylize.batches.painter import BatchPainter
    from stylize.batches.records import Entry, Ledger
    from stylize.optimize.loop import Step

runner_options = [
    click.option(
        "--runner",
        type=click.Choice(["local", "ray"]),
        default="local",
        help="Who works: this process, or a Ray cluster (extra 'ray').  [local]",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster.  [RAY_ADDRESS, or one of this machine alone]",
    ),
    click.option(
        "--cpus-per-worker",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Cores of each Ray worker.  [shares of a node, at most 8; or of its GPUs]",
    ),
]

# What a worker's torch reads when it is loaded; see the program's entry.
_PASSED_ON = (
    "THP_MEM_ALLOC_ENABLE",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
    "LRU_CACHE_CAPACITY",
)


class Runner(Protocol):
    """Works through tasks."""

    def run(self, tasks: Sequence[Task]) -> None:
        """Do what is to do."""


class Messages(Protocol):
    """What wants to know how it goes."""

    def on_step(self, outcome: Outcome) -> None:
        """One more task that is dealt with."""

    def on_image(self, task: Task) -> Callable[[Step], None] | None:
        """A listener for the steps of one picture."""


def check_runner(options: dict[str, Any]) -> None:
    """Refuse what makes no sense, before anything is done.

    Raises:
        UsageError: an option of Ray's without Ray.
        MissingExtraError: Ray is not installed.
    """
    if options["runner"] == "ray":
        if find_spec("ray") is None:
            raise MissingExtraError("--runner ray", "ray")
        return
    for name in ("address", "cpus_per_worker"):
        if options[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for Ray alone", hint="--runner ray")


@contextmanager
def means(options: dict[str, Any], execution: Execution) -> Iterator[Any]:
    """The connection to Ray, if it is to be used; else None.

    Enter it before signals are taken over: Ray takes SIGTERM for itself.

    Raises:
        ClusterError: there is no such cluster.
        UsageError: it has no room for such workers.
    """
    if options["runner"] == "local":
        yield None
        return
    # Ray reads these when it is imported. It shall not report to its makers; and it would say
    # on stderr that a future version will leave the GPUs' variables alone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from stylize.batches.ray import berth_for, cluster, nodes

    with cluster(_address(options)) as ray:
        berth_for(nodes(ray), execution, options["cpus_per_worker"])
        yield ray


def _address(options: dict[str, Any]) -> str | None:
    return options["address"] or os.environ.get("RAY_ADDRESS")


def make_runner(
    ray: Any,
    painter: BatchPainter,
    execution: Execution,
    ledger: Ledger,
    claims: Claims,
    messages: Messages,
    stop: Callable[[], bool],
    options: dict[str, Any],
) -> Runner:
    """The runner that the options ask for.

    Args:
        ray: of :func:`means`.
        painter: for a local one.
        messages: is told what happens.
        stop: tells whether to stop.
    """
    from stylize.batches.local import LocalRunner, Saving

    saving = Saving(int(options["depth"]), options["quality"])
    fail_fast = options["fail_fast"]
    if ray is None:
        return LocalRunner(
            painter,
            ledger,
            claims,
            saving=saving,
            on_step=messages.on_step,
            on_image=messages.on_image,
            stop=stop,
            fail_fast=fail_fast,
        )
    from stylize.batches.ray import RayRunner

    # A cluster of our own inherits them.
    names = _PASSED_ON if _address(options) else ()
    return RayRunner(
        ray,
        options["output"],
        execution,
        ledger,
        claims,
        saving=saving,
        on_step=messages.on_step,
        stop=stop,
        fail_fast=fail_fast,
        cpus=options["cpus_per_worker"],
        environment={name: os.environ[name] for name in names if name in os.environ},
    )


@dataclass(frozen=True)
class Request:
    """What a batch is asked for.

    Attributes:
        inputs: files, folders, patterns.
        looks: what is done to each picture.
        execution: where.
    """

    inputs: Sequence[str]
    looks: Sequence[Look]
    execution: Execution


def perform(request: Request, options: dict[str, Any]) -> int:
    """Plan, run, report; the exit code."""
    check_runner(options)
    format = {"jpg": "jpeg"}.get(options["suffix"], options["suffix"])
    check_request(format, depth=int(options["depth"]), quality=options["quality"])
    set_pixel_limit(options["max_input_pixels"])
    require_files({style for look in request.looks for style in look.styles})
    output: Path = options["output"]
    collection = collect(
        request.inputs,
        recursive=options["recursive"],
        output=output,
        listed=listed(options["from_file"]),
    )
    tasks = make_plan(collection.found, request.looks, output, suffix=f".{options['suffix']}")
    if options["shard"]:
        tasks = shard(tasks, *parse_shard(options["shard"]))
    if options["dry_run"]:
        show_plan(tasks, collection, options)
        return 0
    if not tasks:
        say_skipped(collection, options)
        raise UsageError("no pictures among the inputs", hint="-r looks into folders below")
    if options["verbose"]:
        show_plan(tasks, collection, options)
    with means(options, request.execution) as ray:
        return work(tasks, collection, request, options, ray)


def listed(source: str | None) -> list[str]:
    """The paths of ``--from-file``."""
    if source is None:
        return []
    if source == "-":
        return read_list(read_stdin().decode(errors="surrogateescape"))
    try:
        return read_list(Path(source).read_bytes().decode(errors="surrogateescape"))
    except OSError as error:
        raise UsageError(f"--from-file: {source}: {(error.strerror or '').lower()}") from error


def show_plan(tasks: Sequence[Task], collection: Collection, options: dict[str, Any]) -> None:
    """Print what would be done and what it would cost."""
    known = latest()
    networks = {task.look.settings["network"] for task in tasks}
    cost = estimate(
        tasks,
        architecture={name: find_model(name).architecture for name in networks},
        precision=known.precision if known else "fp32",
        gflops=known.gflops if known else None,
    )
    if options["as_json"]:
        for task in tasks:
            emit("task", source=str(task.source), target=str(task.target), look=task.look.name)
        emit("plan", **asdict(cost), skipped=len(collection.skipped))
        return
    lines = describe(tasks, collection.skipped, cost)
    for line in lines:
        if options["dry_run"]:
            echo(line)
        else:
            say(line)


def say_skipped(collection: Collection, options: dict[str, Any]) -> None:
    """Say what was left out, and why."""
    if options["quiet"] or options["as_json"]:
        return
    for reason, number in Counter(reason for _, reason in collection.skipped).items():
        say(f"left out: {number} × {reason}")


def make_folder(output: Path) -> None:
    """The output folder, proved writable."""
    try:
        (output / ".stylize").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output} cannot be made: {(error.strerror or '').lower()}") from error
    check_writable(output / "picture.png")


def work(
    tasks: Sequence[Task],
    collection: Collection,
    request: Request,
    options: dict[str, Any],
    ray: Any,
) -> int:
    """Paint all that is to be painted; ``ray`` is of :func:`~stylize.cli.batch.means`."""
    load_torch()
    from stylize.batches.claims import Claims
    from stylize.batches.local import sweep
    from stylize.batches.painter import BatchPainter
    from stylize.batches.records import Ledger
    from stylize.planning.device import choose_device

    say_skipped(collection, options)
    if ray is None:
        choose_device(request.execution.device)
    painter = BatchPainter(request.execution)
    common = {look.name: painter.inputs(look) for look in request.looks}
    # Not before: a request that fails leaves nothing behind.
    make_folder(options["output"])
    ledger = Ledger(
        options["output"],
        common,
        retry=options["retry_failed"],
        overwrite=options["overwrite"],
    )
    with (
        stop_on_interrupt(
            quiet=options["quiet"], action="stopping; the picture in work is dropped"
        ) as stop,
        Report(tasks, options) as report,
        Claims(options["output"]) as claims,
    ):
        runner = make_runner(ray, painter, request.execution, ledger, claims, report, stop, options)
        runner.run(tasks)
        sweep(tasks, ledger, claims)
        ledger.settle()
        claims.tidy()
        stopped = stop()
    if options["gallery"]:
        show_gallery(tasks, options)
    return INTERRUPTED if stopped else int(report.counts["failed"] > 0)


class Report:
    """Two bars on a terminal, a line a picture elsewhere, JSON on request; totals at the end."""

    def __init__(self, tasks: Sequence[Task], options: dict[str, Any]) -> None:
        from tqdm import tqdm

        self.counts: Counter[str] = Counter()
        self._telling = threading.Lock()
        self._options = options
        self._total = len(tasks)
        hidden = options["quiet"] or options["as_json"]
        self._bars = not hidden and sys.stderr.isatty()
        disable = not self._bars
        self._outer = tqdm(total=len(tasks), unit="picture", disable=disable, leave=False)
        self._inner = tqdm(total=1, disable=disable, leave=False, bar_format="{desc}|{bar}|")

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *reason: object) -> None:
        self._inner.close()
        self._outer.close()
        self._finish()

    def on_image(self, task: Task) -> Callable[[Step], None] | None:
        """A listener for the steps of one picture."""
        if not self._bars:
            return None
        self._inner.set_description_str(task.source.name, refresh=False)

        def listen(event: Step) -> None:
            done = event.scale - 1 + event.step / event.steps
            self._inner.total = event.scales
            self._inner.n = done
            self._inner.refresh()

        return listen

    def on_step(self, outcome: Outcome) -> None:
        """One more task that is dealt with; from any thread."""
        with self._telling:
            self.counts[outcome.status] += 1
            self._outer.update()
            self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if self._options["as_json"]:
            emit(
                "picture",
                status=outcome.status,
                source=str(outcome.task.source),
                target=str(outcome.task.target),
                seconds=round(outcome.seconds, 3),
                error=outcome.error,
                notes=outcome.notes,
            )
            return
        if not self._options["quiet"]:
            for note in outcome.notes:
                # Notes on masks begin with the photo's name.
                rest = note.removeprefix(f"{outcome.task.source.name}: ")
                self._line(f"{outcome.task.source}: {rest}")
        if outcome.status == "failed":
            again = " (as before; --retry-failed tries again)" if outcome.remembered else ""
            self._line(f"failed {outcome.task.source}: {outcome.error}{again}")
        elif outcome.status == "done" and not self._bars and not self._options["quiet"]:
            self._line(f"done {outcome.task.target} ({outcome.seconds:.1f} s)")

    def _line(self, text: str) -> None:
        if self._bars:
            self._outer.clear()
            self._inner.clear()
        say(" ".join(text.split()))

    def _finish(self) -> None:
        """The totals."""
        left = self._total - sum(self.counts.values())
        if self._options["as_json"]:
            emit("summary", **dict(self.counts), left=left)
            return
        if self._options["quiet"]:
            return
        parts = [f"{self.counts[status]} {status}" for status in ("done", "skipped", "failed")]
        if self.counts["elsewhere"]:
            parts.append(f"{self.counts['elsewhere']} in another run's work")
        if left:
            parts.append(f"{left} left")
        say(", ".join(parts))


def show_status(output: Path, *, as_json: bool) -> int:
    """Print what the manifests of a folder say; 1 if anything failed."""
    from stylize.batches.records import read_all, state_folder

    if not state_folder(output).is_dir():
        raise UsageError(f"{output} is no batch's folder", hint="name what -o named")
    entries = read_all(output)
    states = {name: entry_state(output, entry) for name, entry in entries.items()}
    for name, entry in entries.items():
        if as_json:
            emit("picture", **asdict(entry) | {"status": states[name]})
        elif states[name] != "done":
            reason = f": {entry.error} ({entry.attempts} ×)" if entry.error else ""
            echo(f"{states[name]} {entry.source} -> {name}{reason}")
    counts = Counter(states.values())
    if as_json:
        emit("summary", **counts)
    else:
        seconds = sum(entry.seconds for entry in entries.values())
        parts = ", ".join(f"{counts[state]} {state}" for state in ("done", "failed", "missing"))
        echo(f"{parts}; {seconds:.0f} s of work")
    return int(counts["failed"] > 0)


def entry_state(output: Path, entry: Entry) -> str:
    """``done``, ``failed``, or ``missing`` where a finished picture has gone."""
    if entry.status == "done" and not os.path.exists(output / entry.target):
        return "missing"
    return entry.status


def echo(text: str) -> None:
    """A line on stdout, without control characters from file names."""
    click.echo("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def show_gallery(tasks: Sequence[Task], options: dict[str, Any]) -> None:
    """Write the page of all pictures that are there."""
    from stylize.batches.gallery import thumbnail, write_gallery

    output: Path = options["output"]
    pairs = []
    for task in tasks:
        # Failures have no picture, or a damaged one; the report has told of them.
        with suppress(PictureError):
            after, before = thumbnail(task.target), thumbnail(task.source)
            caption = " → ".join(filter(None, [task.source.name, task.look.name]))
            pairs.append((caption, before, after, task.target.relative_to(output).as_posix()))
    page = write_gallery(output, pairs, title=output.resolve().name)
    if not options["quiet"] and not options["as_json"]:
        say(f"saved {page}")


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
        raise UsageError("several presets do not blend", hint="--each makes every one of them")
    found = [find_preset("dream", wanted) for wanted in presets]
    looks = []
    for name, preset in zip(distinct([each.name for each in found]), found, strict=True):
        settings: DreamSettings = preset.apply(said)
        if settings.from_noise is not None:
            raise SettingError("--from-noise has no place in a batch")
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
