"""Report a batch: its plan, its progress, its status, its gallery."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stylize.cli.messages import echo, say, shown
from stylize.cli.progress import bar, bars_shown, emit
from stylize.cli.requests import Messages
from stylize.errors import PictureError, UsageError
from stylize.networks.models import find_model

if TYPE_CHECKING:
    from stylize.batches.local import Outcome
    from stylize.batches.records import Entry
    from stylize.batches.tasks import Task
    from stylize.images.find import Collection
    from stylize.optimize.loop import Step


def show_plan(
    tasks: Sequence[Task],
    collection: Collection,
    messages: Messages,
    *,
    line: Callable[[str], None],
) -> None:
    """Show the tasks and their cost.

    Args:
        tasks: what would be made.
        collection: which files were skipped.
        messages: JSON or text.
        line: prints a line of text.
    """
    from stylize.batches.plan import describe, estimate
    from stylize.planning.self_test_cache import latest

    known = latest()
    networks = {task.look.settings.network for task in tasks}
    cost = estimate(
        tasks,
        architecture={name: find_model(name).architecture for name in networks},
        precision=known.precision if known else "fp32",
        gflops=known.gflops if known else None,
    )
    if messages.as_json:
        for task in tasks:
            emit("task", source=str(task.source), target=str(task.target), look=task.look.name)
        emit("plan", **asdict(cost), skipped=len(collection.skipped))
        return
    for text in describe(tasks, collection.skipped, cost):
        line(text)


def say_skipped(collection: Collection, messages: Messages) -> None:
    """Say how many files were skipped, and why."""
    if messages.quiet or messages.as_json:
        return
    for reason, number in Counter(reason for _, reason in collection.skipped).items():
        say(f"skipped {number} ({reason})")


class Report:
    """Two bars on a terminal, or a line for each picture, or JSON; totals at the end."""

    def __init__(self, tasks: Sequence[Task], messages: Messages) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._messages = messages
        self._total = len(tasks)
        self._bars = bars_shown(messages)
        self._outer = bar(len(tasks), "picture", messages)
        self._inner = bar(1, "scale", messages, bar_format="{desc}|{bar}|")

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *reason: object) -> None:
        self._inner.close()
        self._outer.close()
        self._finish()

    def on_image(self, task: Task) -> Callable[[Step], None] | None:
        """A callback for the steps of one picture; None if nothing is shown."""
        if not self._bars:
            return None
        self._inner.set_description_str(shown(task.source.name), refresh=False)

        def listen(event: Step) -> None:
            done = event.scale - 1 + event.step / event.steps
            self._inner.total = event.scales
            self._inner.n = done
            self._inner.refresh()

        return listen

    def on_picture(self, outcome: Outcome) -> None:
        """Count and show what became of a task; called from any thread."""
        with self._lock:
            self.counts[outcome.status] += 1
            self._outer.update()
            self._show(outcome)

    def _show(self, outcome: Outcome) -> None:
        if self._messages.as_json:
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
        if not self._messages.quiet:
            for note in outcome.notes:
                # Notes on masks begin with the photo's name.
                rest = note.removeprefix(f"{outcome.task.source.name}: ")
                self._line(f"{outcome.task.source}: {rest}")
        if outcome.status == "failed":
            again = " (as before; --retry-failed tries again)" if outcome.remembered else ""
            self._line(f"failed {outcome.task.source}: {outcome.error}{again}")
        elif outcome.status == "done" and not self._bars and not self._messages.quiet:
            self._line(f"done {outcome.task.target} ({outcome.seconds:.1f} s)")

    def _line(self, text: str) -> None:
        if self._bars:
            self._outer.clear()
            self._inner.clear()
        say(" ".join(text.split()))

    def _finish(self) -> None:
        left = self._total - sum(self.counts.values())
        if self._messages.as_json:
            emit("summary", **dict(self.counts), left=left)
            return
        if self._messages.quiet:
            return
        parts = [f"{self.counts[status]} {status}" for status in ("done", "skipped", "failed")]
        if self.counts["elsewhere"]:
            parts.append(f"{self.counts['elsewhere']} being processed by another run")
        if left:
            parts.append(f"{left} left")
        say(", ".join(parts))


def show_status(output: Path, *, as_json: bool) -> int:
    """Print the state of every picture of a folder; return 1 if any failed."""
    from stylize.batches.records import read_all, state_folder

    if not state_folder(output).is_dir():
        raise UsageError(f"{output} is not a batch folder", hint="use the folder of -o")
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
    """``done``, ``failed``, or ``missing`` if a finished picture was deleted."""
    if entry.status == "done" and not os.path.exists(output / entry.target):
        return "missing"
    return entry.status


def save_gallery(tasks: Sequence[Task], output: Path, messages: Messages) -> None:
    """Write the page of all finished pictures."""
    from stylize.batches.gallery import Pair, thumbnail, write_gallery

    pairs = []
    for task in tasks:
        # The report has named the failures, which have no picture or a damaged one.
        with suppress(PictureError):
            after, before = thumbnail(task.target), thumbnail(task.source)
            caption = " → ".join(filter(None, [task.source.name, task.look.name]))
            link = task.target.relative_to(output).as_posix()
            pairs.append(Pair(caption, before, after, link))
    page = write_gallery(output, pairs, title=output.resolve().name)
    if messages.bars:
        say(f"saved {page}")
