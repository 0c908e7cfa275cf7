"""From a batch's request to its report."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.batch.collect import Collection, collect, read_list
from stylize.batch.plan import describe, estimate, make_plan, parse_shard, shard
from stylize.batch.tasks import Look, Task
from stylize.commands.entry import INTERRUPTED, say
from stylize.commands.inputs import read_stdin, require_files
from stylize.commands.progress import emit, stop_on_interrupt
from stylize.commands.runners import check_runner, make_runner, means
from stylize.commands.running import load_torch
from stylize.engine.calibration import latest
from stylize.errors import OutputError, PictureError, UsageError
from stylize.images import check_writable, set_pixel_limit
from stylize.images.encoding import check_request
from stylize.networks.store import find_model
from stylize.settings import Execution

if TYPE_CHECKING:
    from stylize.batch.local import Outcome
    from stylize.batch.manifest import Entry
    from stylize.optimize.events import Iterate


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
    for reason, count in Counter(reason for _, reason in collection.skipped).items():
        say(f"left out: {count} × {reason}")


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
    """Paint all that is to be painted; ``ray`` is of :func:`~stylize.commands.runners.means`."""
    load_torch()
    from stylize.batch.claims import Claims
    from stylize.batch.ledger import Ledger
    from stylize.batch.local import sweep
    from stylize.batch.shop import Shop
    from stylize.engine.machine import choose_device

    say_skipped(collection, options)
    if ray is None:
        choose_device(request.execution.device)
    shop = Shop(request.execution)
    common = {look.name: shop.inputs(look) for look in request.looks}
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
        runner = make_runner(ray, shop, request.execution, ledger, claims, report, stop, options)
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

    def began(self, task: Task) -> Callable[[Iterate], None] | None:
        """A listener for the steps of one picture."""
        if not self._bars:
            return None
        self._inner.set_description_str(task.source.name, refresh=False)

        def listen(event: Iterate) -> None:
            done = event.scale - 1 + event.step / event.steps
            self._inner.total = event.scales
            self._inner.n = done
            self._inner.refresh()

        return listen

    def told(self, outcome: Outcome) -> None:
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
    from stylize.batch.manifest import read_all, state_folder

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
    from stylize.batch.gallery import thumbnail, write_gallery

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
