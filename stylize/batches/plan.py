"""Plan a batch before the first picture: names, shards, cost. No torch."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from stylize.batches.tasks import Look, Task
from stylize.errors import SettingError, UsageError, quoted
from stylize.images.atomic import refusals_named, remove_leftovers, write_atomically
from stylize.images.find import Found
from stylize.images.names import caseless, natural_key, safe_name, shortened
from stylize.images.open import printable
from stylize.planning.cost import Cost, picture_cost, picture_scales
from stylize.planning.memory import reading_bytes
from stylize.settings.schedule import Scale, result_size
from stylize.video.turns import (
    SECONDS_PER_PX,
    SECONDS_PER_TURN,
    continues,
    following_scales,
    turns_of,
)

_MAX_LOOK_BYTES, _MAX_WORD_BYTES = 60, 20

_MAX_PLAN_BYTES = 256 * 1024**2

_NUMBER = re.compile(r"-([0-9]{1,9})\Z")

_SHARD = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True)
class _Draft:
    """A picture to make, before it has a target."""

    found: Found
    look: Look
    suffix: str

    def target(self, *, worded: bool = False, number: int = 1) -> PurePath:
        """The path of the result, relative to the output folder.

        Args:
            worded: include the extension of the source.
            number: appended from 2 on.
        """
        relative = self.found.relative
        words = []
        if worded and relative.suffix:
            words.append(shortened(safe_name(relative.suffix[1:].lower()), _MAX_WORD_BYTES))
        if self.look.name:
            words.append(shortened(safe_name(self.look.name), _MAX_LOOK_BYTES))
        if number > 1:
            words.append(str(number))
        tail = "".join(f"-{word}" for word in words) + self.suffix
        folders = (shortened(safe_name(part)) for part in relative.parent.parts)
        return PurePath(*folders, shortened(safe_name(relative.stem), tail=tail))

    def may_have(self, target: PurePath) -> bool:
        """Whether a target is one that this result gets, depending on the other pictures."""
        number = _NUMBER.search(target.stem)
        numbered = self.target(worded=True, number=int(number[1]) if number else 1)
        return target in (self.target(), self.target(worded=True), numbered)

    @property
    def order(self) -> tuple[object, ...]:
        """The key that decides who gets a name, whatever the order in which pictures were found."""
        source = natural_key(str(self.found.path))
        return source, natural_key(str(self.found.relative)), natural_key(self.look.name)


def make_plan(
    found: Sequence[Found],
    looks: Sequence[Look],
    output: Path,
    *,
    suffix: str = ".png",
    frames: Mapping[Path, int] | None = None,
    made: Mapping[str, str] | None = None,
) -> list[Task]:
    """The tasks of a batch: every look of every picture, in the given order.

    A target is named after its source and its look. If several would have the same name on some
    file system, each gets the extension of its source (``a-jpg.png``) and, if necessary, a number.
    A result that was made before keeps its name, whatever was added or removed since.
    Nothing is read; only links are resolved, to compare targets with sources.

    Args:
        found: the pictures.
        looks: with names that tell them apart.
        output: the folder of the results; the tree of the sources is mirrored in it.
        suffix: of the targets.
        frames: the number of frames of each clip; none for pictures.
        made: the sources of finished results by their targets, relative to the output folder.

    Raises:
        UsageError: a target would replace a source or a style.
    """
    drafts = [_Draft(each, look, suffix) for each in found for look in looks]
    targets = _as_before(drafts, _without_collisions(drafts), made or {})
    tasks = [
        Task(
            draft.found.path,
            output / target,
            draft.look,
            draft.found.size,
            (frames or {}).get(draft.found.path, 1),
        )
        for draft, target in zip(drafts, targets, strict=True)
    ]
    _require_sources_kept(tasks)
    return tasks


def _without_collisions(drafts: Sequence[_Draft]) -> list[PurePath]:
    targets = [draft.target() for draft in drafts]
    keys = [caseless(str(target)) for target in targets]
    counts = Counter(keys)
    folders = {caseless(str(folder)) for target in targets for folder in target.parents}
    taken = {key for key, count in counts.items() if count == 1} | folders
    colliding = [i for i, key in enumerate(keys) if counts[key] > 1 or key in folders]
    numbers: Counter[str] = Counter()
    for index in sorted(colliding, key=lambda index: drafts[index].order):
        targets[index] = _free(drafts[index], taken, numbers)
        taken.add(caseless(str(targets[index])))
    return targets


def _as_before(
    drafts: Sequence[_Draft], targets: Sequence[PurePath], made: Mapping[str, str]
) -> list[PurePath]:
    """The targets, but for results that were made under another name that is still free."""
    known: dict[str, list[PurePath]] = {}
    for name, source in made.items():
        known.setdefault(os.path.abspath(source), []).append(PurePath(name))
    if not known:
        return list(targets)
    taken = {caseless(str(place)) for target in targets for place in (target, *target.parents)}
    result = list(targets)
    for index, draft in enumerate(drafts):
        names = known.get(os.path.abspath(draft.found.path), [])
        if targets[index] in names:
            continue
        for before in filter(draft.may_have, names):
            if caseless(str(before)) not in taken:
                taken.add(caseless(str(before)))
                result[index] = before
                break
    return result


def _free(draft: _Draft, taken: set[str], numbers: Counter[str]) -> PurePath:
    """The first free name; ``numbers`` remembers the last number of each name."""
    name = caseless(str(draft.target(worded=True)))
    while True:
        numbers[name] += 1
        target = draft.target(worded=True, number=numbers[name])
        if caseless(str(target)) not in taken:
            return target


def _require_sources_kept(tasks: Sequence[Task]) -> None:
    resolved = cache(os.path.realpath)

    def place(path: Path) -> str:
        return caseless(os.path.join(resolved(path.parent), path.name))

    sources = {path for task in tasks for path in (task.source, *task.look.styles)}
    kept = {spelling for path in sources for spelling in (place(path), caseless(resolved(path)))}
    for task in tasks:
        if place(task.target) in kept:
            raise UsageError(
                f"{printable(str(task.target))} is an input of this batch",
                hint="write to another folder",
            )


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``I/N``, the I-th of N shards.

    Raises:
        SettingError: not of this form, or no such shard.
    """
    match = _SHARD.fullmatch(text.strip())
    if match is None:
        raise SettingError(f"{quoted(text)} is not a shard", hint="I/N: 2/8 is the second of eight")
    index, count = int(match[1]), int(match[2])
    _check_shard(index, count)
    return index, count


def shard(tasks: Sequence[Task], index: int, count: int) -> list[Task]:
    """Every ``count``-th task of each look, so that all shards cost about the same.

    Args:
        tasks: the whole plan, in its order.
        index: which shard, from 1.
        count: of shards; together they hold every task once.

    Raises:
        SettingError: no such shard.
    """
    _check_shard(index, count)
    looks = {name: place for place, name in enumerate(dict.fromkeys(t.look.name for t in tasks))}
    # Look by look: in the order of the plan, two looks and two shards would give all pictures of
    # the costly look to the same shard.
    dealt = sorted(range(len(tasks)), key=lambda place: looks[tasks[place].look.name])
    return [tasks[place] for place in sorted(dealt[index - 1 :: count])]


def _check_shard(index: int, count: int) -> None:
    if not 1 <= index <= count:
        raise SettingError(
            f"there is no shard {index} of {count}", hint="shards are counted from 1, as in 1/8"
        )


@dataclass(frozen=True)
class Estimate:
    """What a batch will cost.

    Attributes:
        pictures: the number of pictures to make.
        unreadable: the number of those whose source cannot be read.
        megapixels: of all others.
        tflop: of all others.
        seconds: of all others, without start-up; None if the machine is not measured.
        peak_bytes: resident memory at the largest.
    """

    pictures: int
    unreadable: int
    megapixels: float
    tflop: float
    seconds: float | None
    peak_bytes: float


def estimate(
    tasks: Sequence[Task],
    *,
    architecture: str | Mapping[str, str],
    precision: str,
    gflops: float | None,
) -> Estimate:
    """Estimate the cost of tasks, one after the other.

    Args:
        tasks: those without a size cost nothing.
        architecture: of the network; of several networks, by name.
        precision: ``bf16`` or ``fp32``.
        gflops: reached in convolutions by this machine at this precision, if known.
    """
    looks = {task.look.name: task.look for task in tasks}
    counts: Counter[tuple[str, tuple[int, int], int]] = Counter()
    for task in tasks:
        if task.size:
            size = result_size(task.look.settings, task.size)
            counts[task.look.name, size, task.frames] += 1

    def cost(name: str, size: tuple[int, int], frames: int) -> Cost:
        found = looks[name].settings
        network = architecture if isinstance(architecture, str) else architecture[found.network]
        return _cost(looks[name], size, frames, network, precision, gflops)

    costs = [(count, cost(*kind)) for kind, count in counts.items()]
    return Estimate(
        pictures=len(tasks),
        unreadable=len(tasks) - counts.total(),
        megapixels=sum(n * frames * math.prod(size) for (_, size, frames), n in counts.items())
        / 1e6,
        tflop=sum(count * each.tflop for count, each in costs),
        seconds=None if gflops is None else sum(n * (each.seconds or 0) for n, each in costs),
        peak_bytes=max((each.peak_bytes for _, each in costs), default=0.0)
        + max((reading_bytes(task.size) for task in tasks if task.size), default=0.0),
    )


def _cost(
    look: Look,
    size: tuple[int, int],
    frames: int,
    architecture: str,
    precision: str,
    gflops: float | None,
) -> Cost:
    """The cost of a picture, or of a clip as if it were one shot."""

    def one(scales: Sequence[Scale] | None = None) -> Cost:
        return picture_cost(
            look.settings,
            size,
            architecture=architecture,
            precision=precision,
            gflops=gflops,
            styles=max(1, len(look.styles)),
            scales=scales,
        )

    still = one()
    if look.clips is None:
        return still
    shot, video = range(frames), look.clips.video
    turns = turns_of(shot, video)
    scales = picture_scales(look.settings, size, architecture)
    following = one(following_scales(look.settings, video, scales))
    painted = [turn for turn in turns if not turn.carried]
    later = sum(continues(turn, shot, video) for turn in painted)
    first = len(painted) - later
    seconds = None
    if still.seconds is not None and following.seconds is not None:
        seconds = first * still.seconds + later * following.seconds
        seconds += len(turns) * (SECONDS_PER_TURN + SECONDS_PER_PX * size[0] * size[1])
    return Cost(first * still.tflop + later * following.tflop, still.peak_bytes, seconds)


def describe(tasks: Sequence[Task], estimate: Estimate) -> list[str]:
    """The lines of ``--dry-run``: one for each task, then the totals."""
    lines = [
        f"{printable(str(task.source))} -> {printable(str(task.target))}"
        + ("" if task.size else " (cannot be read)")
        for task in tasks
    ]
    return [*lines, _totals(tasks, estimate)]


def _totals(tasks: Sequence[Task], estimate: Estimate) -> str:
    if not estimate.pictures:
        return "nothing left to do"
    clips = any(task.look.clips for task in tasks)
    noun = "clip" if clips else "picture"
    parts = [f"{estimate.pictures} {noun}{'' if estimate.pictures == 1 else 's'}"]
    if clips:
        parts.append(f"{sum(task.frames for task in tasks if task.size)} frames")
    if estimate.unreadable:
        parts.append(f"{estimate.unreadable} of them cannot be read")
    parts.append(f"{estimate.megapixels:.1f} MP")
    parts.append(f"{estimate.tflop:.1f} TFLOP")
    parts.append(f"about {estimate.peak_bytes / 1e9:.1f} GB of memory")
    if estimate.seconds is not None:
        parts.append(f"about {_duration(estimate.seconds)}")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    """Format a duration: ``95 s``, ``12 min``, ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def save_plan(output: Path, tasks: Sequence[Task], inputs: Sequence[str]) -> None:
    """Record the whole plan, so that the status knows of pictures that no run has begun.

    Args:
        output: the batch's folder.
        tasks: of all shards.
        inputs: as given by the user; a later plan for the same inputs and looks replaces this one.

    Raises:
        OutputError: the system refuses.
    """
    looks = sorted({(task.look.technique, task.look.name) for task in tasks})
    key = json.dumps([sorted(map(os.path.abspath, inputs)), looks])
    name = f"plan-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    plan = {task.target.relative_to(output).as_posix(): str(task.source) for task in tasks}
    # records imports torch, which a plan alone does not need.
    from stylize.batches.records import make_folder, state_folder  # noqa: PLC0415

    path = state_folder(output) / name
    with refusals_named(path):
        make_folder(path.parent)
    remove_leftovers(path.parent)  # a plan that a killed run was writing
    write_atomically(path, json.dumps(plan).encode(), follow_links=False)


def read_plans(output: Path) -> dict[str, str]:
    """The sources of all planned pictures by their targets, relative to the batch's folder.

    Files that are damaged or hostile are skipped.
    """
    plans: dict[str, str] = {}
    for path in sorted((output / ".stylize").glob("plan-*.json")):
        with suppress(OSError, ValueError, RecursionError):
            if not path.is_file() or path.stat().st_size > _MAX_PLAN_BYTES:
                continue
            found = json.loads(path.read_bytes())
            items = found.items() if isinstance(found, dict) else ()
            plans |= {key: value for key, value in items if _is_sound(key, value)}
    return plans


def _is_sound(target: str, source: Any) -> bool:
    path = PurePath(target)
    inside = bool(path.parts) and not path.anchor and ".." not in path.parts
    return inside and "\0" not in target and isinstance(source, str)
