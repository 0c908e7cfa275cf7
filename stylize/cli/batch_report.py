"""Report a batch: its plan, its progress, its status, its gallery."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stylize.cli.messages import echo, emit, say
from stylize.cli.progress import Meter, bars_shown
from stylize.cli.requests import Messages
from stylize.cli.run import emit_start, estimate_of
from stylize.errors import StylizeError, UsageError
from stylize.networks.models import find_model
from stylize.planning.progress import Work

if TYPE_CHECKING:
    from stylize.batches.local import Outcome
    from stylize.batches.plan import Estimate
    from stylize.batches.records import Entry
    from stylize.batches.tasks import Task
    from stylize.images.find import Collection
    from stylize.optimize.loop import Step


# What becomes of pictures, by the states that runs and manifests know.
WORDS = {
    "done": "finished",
    "skipped": "finished before",
    "failed": "failed",
    "elsewhere": "being processed by another run",
}
IN_JSON = {"done": "finished", "skipped": "finished"}


def show_plan(
    tasks: Sequence[Task],
    others: Counter[str],
    collection: Collection,
    messages: Messages,
    *,
    line: Callable[[str], None],
) -> None:
    """Show the tasks and their cost.

    Args:
        tasks: what would be made.
        others: the number of tasks that need no work, by their state.
        collection: which files were left out.
        messages: JSON or text.
        line: prints a line of text.
    """
    from stylize.batches.plan import describe

    cost = cost_of(tasks)
    if messages.as_json:
        for task in tasks:
            emit("task", source=str(task.source), target=str(task.target), look=task.look.name)
        counts = {"finished": others["done"], "failed": others["failed"] + others["foreign"]}
        numbers = asdict(cost) | {"peak_bytes": round(cost.peak_bytes)}
        emit("plan", **numbers, **counts, left_out=len(collection.skipped))
        return
    for text in describe(tasks, cost):
        line(text)
    remarks = {
        "done": "finished before",
        "failed": "failed before; --retry-failed tries again",
        "foreign": "not possible: another picture has the name; --overwrite replaces it",
    }
    for state, remark in remarks.items():
        if others[state]:
            line(f"{others[state]} {remark}")
    for text in left_out(collection):
        line(text)


def describe_inputs(tasks: Sequence[Task]) -> list[str]:
    """Count what was taken as photos and as style images, so that a mistake is seen.

    Returns:
        One line for transfers; none for dreams, whose inputs are all photos.
    """
    photos = len({task.source for task in tasks})
    looks = list(dict.fromkeys(task.look for task in tasks))
    styles = list(dict.fromkeys(style for look in looks for style in look.styles))
    if not styles:
        return []
    how = ", each by itself" if len(looks) > 1 else ", blended" if len(styles) > 1 else ""
    names = ", ".join(style.name for style in styles)
    noun = "clip" if looks[0].clips else "photo"
    return [f"{_counted(photos, noun)}, {_counted(len(styles), 'style image')} ({names}){how}"]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cost_of(tasks: Sequence[Task]) -> Estimate:
    """Estimate the cost of tasks on this machine."""
    from stylize.batches.plan import estimate
    from stylize.planning.self_test_cache import latest

    known = latest()
    networks = {task.look.settings.network for task in tasks}
    return estimate(
        tasks,
        architecture={name: find_model(name).architecture for name in networks},
        precision=known.precision if known else "fp32",
        gflops=known.gflops if known else None,
    )


def work_of(tasks: Sequence[Task]) -> dict[Path, float]:
    """The operations that each picture takes, by its target; one at least."""
    known: dict[tuple[str, tuple[int, int] | None, int], float] = {}
    for task in tasks:
        kind = task.look.name, task.size, task.frames
        if kind not in known:
            known[kind] = 1.0 + 1e12 * cost_of([task]).tflop
    return {task.target: known[task.look.name, task.size, task.frames] for task in tasks}


def left_out(collection: Collection) -> list[str]:
    """Count the files that were left out, one line for each reason."""
    from stylize.images.find import MADE_HERE

    hints = {MADE_HERE: f"{MADE_HERE}; --include-results takes them"}
    counts = Counter(reason for _, reason in collection.skipped)
    return [f"left out {number} ({hints.get(reason, reason)})" for reason, number in counts.items()]


def say_left_out(collection: Collection, messages: Messages) -> None:
    """Say how many files were left out, and why."""
    if not messages.quiet and not messages.as_json:
        for text in left_out(collection):
            say(text)


def advice(collection: Collection) -> str | None:
    """Say how to include the files that were left out."""
    from stylize.images.find import BELOW, HIDDEN, MADE_HERE, OUTPUT

    reasons = {reason for _, reason in collection.skipped}
    remedies = {
        MADE_HERE: "--include-results takes pictures made by stylize",
        BELOW: "-r also searches the subfolders",
        HIDDEN: "name hidden files to take them",
        OUTPUT: "-o must name another folder",
    }
    fitting = [remedy for reason, remedy in remedies.items() if reason in reasons]
    return fitting[0] if fitting else None


class Report:
    """A bar on a terminal, or a line for each picture, or JSON; totals at the end."""

    def __init__(self, tasks: Sequence[Task], output: Path, messages: Messages) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: dict[Path, str] = {}
        self._elsewhere: set[Path] = set()
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._messages = messages
        self._total = len(tasks)
        self._noun = "clip" if any(task.look.clips for task in tasks) else "picture"
        self._bars = bars_shown(messages)
        cost = cost_of(tasks)
        self._work = work_of(tasks)
        self._done = 0.0
        self._meter = Meter(messages, sum(self._work.values()), estimate_s=cost.seconds)
        if messages.as_json:
            plan = {"pictures": cost.pictures, "megapixels": round(cost.megapixels, 3)}
            emit_start(output, plan, estimate_of(cost))
        self._meter.advance(0.0, *self._labels(), unit=0)

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *reason: object) -> None:
        self._meter.close()
        self._finish()

    def on_image(self, task: Task) -> Callable[[Step], None] | None:
        """A callback for the steps of one picture; None if nothing is shown."""
        with self._lock:
            self._withdraw(task)
        if not self._messages.bars:
            return None
        from stylize.planning.cost import picture_scales
        from stylize.settings.schedule import result_size

        if task.size is None:
            return None
        labels = self._labels(task)
        if task.look.clips is not None:

            def follow(event: Step) -> None:
                share = (event.scale - 1 + event.step / event.steps) / event.scales
                with self._lock:
                    self._meter.advance(self._done + share * self._work[task.target], *labels)

            return follow
        settings = task.look.settings
        architecture = find_model(settings.network).architecture
        scales = picture_scales(settings, result_size(settings, task.size), architecture)
        work = Work(scales, None)

        def listen(event: Step) -> None:
            work.add(event)
            share = work.done / work.total
            with self._lock:
                self._meter.advance(self._done + share * self._work[task.target], *labels)

        return listen

    def on_picture(self, outcome: Outcome) -> None:
        """Count and show what became of a task; called from any thread."""
        with self._lock:
            self._withdraw(outcome.task)
            self.counts[outcome.status] += 1
            if outcome.status == "elsewhere":
                self._elsewhere.add(outcome.task.target)
            if outcome.error is not None:
                self.errors[outcome.task.target] = outcome.error
            work = self._work[outcome.task.target]
            self._done += work
            if outcome.status in ("skipped", "elsewhere") or outcome.remembered:
                self._meter.skip(work)
            self._show(outcome)
            self._meter.advance(self._done, *self._labels())

    def _withdraw(self, task: Task) -> None:
        """Forget that another run makes a picture: it has left it undone, or made another one."""
        if task.target in self._elsewhere:
            self._elsewhere.remove(task.target)
            self.counts["elsewhere"] -= 1
            self._done -= self._work[task.target]

    def _labels(self, task: Task | None = None) -> list[str]:
        number = sum(self.counts.values())
        if task is None:
            return [f"{number} of {self._total} {self._noun}s"]
        place = f"{self._noun} {number + 1} of {self._total}"
        return [f"{place}, {task.source.name}", place]

    def _show(self, outcome: Outcome) -> None:
        if self._messages.as_json:
            emit(
                "picture",
                status=IN_JSON.get(outcome.status, outcome.status),
                earlier=outcome.remembered or outcome.status == "skipped",
                source=str(outcome.task.source),
                target=str(outcome.task.target),
                seconds=round(outcome.seconds, 3),
                error=outcome.error,
                notes=outcome.notes,
            )
            return
        if not self._messages.quiet:
            for note in outcome.notes:
                self._note(note, outcome.task)
        if outcome.status == "failed":
            again = " (as before; --retry-failed tries again)" if outcome.remembered else ""
            self._line(f"failed {outcome.task.source}: {outcome.error}{again}")
        elif outcome.status == "done" and not self._bars and not self._messages.quiet:
            self._line(f"finished {outcome.task.target} ({outcome.seconds:.1f} s)")

    def _note(self, note: str, task: Task) -> None:
        """Show a note with the name of the photo; one on a style image once, without it."""
        if any(f"style image {style.name}" in note for style in task.look.styles):
            if note not in self._said:
                self._said.add(note)
                self._line(note)
            return
        # Notes on masks begin with the photo's name.
        self._line(f"{task.source}: {note.removeprefix(f'{task.source.name}: ')}")

    def _line(self, text: str) -> None:
        self._meter.clear()
        say(" ".join(text.split()))

    def _finish(self) -> None:
        left = self._total - sum(self.counts.values())
        if self._messages.as_json:
            numbers = {name: self.counts[name] for name in ("failed", "elsewhere")}
            finished, earlier = self.counts["done"], self.counts["skipped"]
            emit("summary", finished=finished + earlier, earlier=earlier, **numbers, left=left)
            return
        if self._messages.quiet:
            return
        always = ("done", "failed")
        parts = [
            f"{self.counts[status]} {word}"
            for status, word in WORDS.items()
            if self.counts[status] or status in always
        ]
        if left:
            parts.append(f"{left} not {'finished' if self._noun == 'clip' else 'begun'}")
        say(", ".join(parts))


STATES = ("finished", "failed", "deleted", "not begun")


def show_status(output: Path, *, as_json: bool) -> int:
    """Print the state of every picture of a folder; return 1 unless all are finished."""
    from stylize.batches.plan import read_plans
    from stylize.batches.records import read_all, state_folder
    from stylize.video.record import is_work_folder

    if not state_folder(output).is_dir():
        if not output.exists():
            raise UsageError(f"{output}: there is no such folder", hint="use the folder of -o")
        hint = f"see 'stylize info {output}'" if is_work_folder(output) else "use the folder of -o"
        raise UsageError(f"{output} is not a batch folder", hint=hint)
    entries = read_all(output)
    states = {name: entry_state(output, entry) for name, entry in entries.items()}
    planned = {name: source for name, source in read_plans(output).items() if name not in entries}
    for name in planned:
        # A run that was killed may have written the picture, but not its entry.
        states[name] = "finished" if os.path.isfile(output / name) else "not begun"
    begun = {
        name: frames
        for name, state in states.items()
        if state == "not begun" and (frames := frames_of(output / name)) is not None
    }
    for name, state in states.items():
        entry = entries.get(name)
        source = entry.source if entry else planned[name]
        if as_json:
            known = asdict(entry) if entry else {}
            done = dict(zip(("frames_done", "frames"), begun.get(name, ()), strict=False))
            emit("picture", **known | about(name, source, state) | done)
        elif name in begun:
            echo("begun {} -> {}: {} of {} frames".format(source, name, *begun[name]))
        elif state != "finished":
            error = entry.error if entry and state == "failed" else None
            reason = f": {error} ({entry.attempts} ×)" if entry and error else ""
            echo(f"{state} {source} -> {name}{reason}")
    seconds = sum(entry.seconds for entry in entries.values())
    show_counts(Counter(states.values()), len(begun), seconds, as_json=as_json)
    return int(any(state != "finished" for state in states.values()))


def show_counts(counts: Counter[str], begun: int, seconds: float, *, as_json: bool) -> None:
    """Print how many pictures are in each state; ``begun`` of those that are not finished."""
    if as_json:
        emit("summary", **{state.replace(" ", "_"): counts[state] for state in STATES})
        return
    counts = counts + Counter(begun=begun)
    counts["not begun"] -= begun
    named = (*STATES[:-1], "begun", STATES[-1])
    rare = ("deleted", "begun")
    parts = [f"{counts[state]} {state}" for state in named if counts[state] or state not in rare]
    echo(f"{', '.join(parts)}; {seconds:.0f} s of work")


def frames_of(target: Path) -> tuple[int, int] | None:
    """How many frames of an unfinished clip are painted, and of how many; None for no clip."""
    if target.suffix.lower() not in (".mp4", ".webm", ".gif", ".webp", ".apng"):
        return None
    from stylize.video.record import count_frames, folder_for, read_record

    with suppress(StylizeError):
        folder = folder_for(target)
        record = read_record(folder)
        if record is not None:
            return count_frames(folder, record)[0], record.count
    return None


def about(target: str, source: str, state: str) -> dict[str, str]:
    """List what is known about every picture."""
    return {"target": target, "source": source, "status": state}


def entry_state(output: Path, entry: Entry) -> str:
    """``finished``, ``failed``, or ``deleted`` if a finished picture is gone."""
    from stylize.batches.records import is_made

    path = output / entry.target
    if entry.status == "done":
        return "finished" if os.path.isfile(path) else "deleted"
    # Folders of several machines that were put together may hold it all the same.
    return "finished" if is_made(path, entry.identity) else "failed"


def save_gallery(
    tasks: Sequence[Task],
    output: Path,
    errors: Mapping[Path, str],
    command: str,
    messages: Messages,
) -> None:
    """Write the page of all pictures of a batch, those that failed included.

    Args:
        tasks: of all shards.
        output: the folder of the page.
        errors: of this run, by target. What is there instead, of another run, is not shown.
        command: that was typed.
        messages: whether the page is named.
    """
    from stylize.batches.gallery import Card, write_gallery
    from stylize.batches.records import read_all

    entries = read_all(output)
    cards = []
    for task in tasks:
        name = task.target.relative_to(output).as_posix()
        entry = entries.get(name)
        is_clip = task.look.clips is not None
        problem = errors.get(task.target)
        after = None if problem else thumbnail_of(task.target, is_clip=is_clip)
        if after is None and problem is None:
            problem = (entry.error if entry else None) or "not finished"
        caption = " → ".join(filter(None, [task.source.name, task.look.name]))
        before = thumbnail_of(task.source, is_clip=is_clip)
        original = os.path.relpath(task.source, output)
        cards.append(Card(caption, before, after, original, name, problem))
    page = write_gallery(output, cards, title=output.resolve().name, command=command)
    if messages.bars:
        say(f"saved {page}")


def thumbnail_of(path: Path, *, is_clip: bool = False) -> bytes | None:
    """A thumbnail; None for a file that is missing, damaged or not a picture or clip."""
    from stylize.batches.gallery import clip_thumbnail, thumbnail

    with suppress(StylizeError):
        if os.path.isfile(path):
            return clip_thumbnail(path) if is_clip else thumbnail(path)
    return None
