"""Listeners of a run: the bar, JSON lines, previews, the Ctrl-C that stops it."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.messages import say
from stylize.cli.requests import Messages

if TYPE_CHECKING:
    from stylize.optimize.loop import Step
    from stylize.settings.schedule import Scale

Listener = Callable[["Step"], None]

PREVIEW_EVERY = 10

PREVIEW_NAMES = "scale-*-step-*.png"


@contextmanager
def stop_on_interrupt(
    *, quiet: bool, action: str = "stopping after this step and saving the picture so far"
) -> Iterator[Callable[[], bool]]:
    """Make the first Ctrl-C (or SIGTERM) a request to stop, the second an immediate end.

    Args:
        quiet: say nothing.
        action: what the message says.

    Yields:
        A function that returns whether the run should stop.
    """
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        if not quiet:
            say(f"\n{action} (again to quit at once)")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def bar(total: float | None, unit: str, messages: Messages, **look: Any) -> Any:
    """A tqdm bar on stderr, shown if that is a terminal and the messages ask for it."""
    from tqdm import tqdm

    hidden = None if messages.bars else True
    return tqdm(total=total, unit=unit, leave=False, **{"disable": hidden, **look})


@contextmanager
def step_bar(scales: Sequence[Scale], messages: Messages) -> Iterator[Listener]:
    """A bar over all steps of a run.

    Its unit is the share of the pixels to be evaluated, since a step at a fine scale takes many
    times as long as one at a coarse scale: so the time left is right.
    """
    pixels = [scale.height * scale.width for scale in scales]
    total = sum(count * scale.steps for count, scale in zip(pixels, scales, strict=True))
    look = "{desc} {percentage:3.0f}%|{bar}| {elapsed} < {remaining}{postfix}"
    with bar(total, "px", messages, bar_format=look) as shown:

        def listen(event: Step) -> None:
            height, width = event.size
            shown.set_description_str(
                f"{event.scale}/{event.scales} {width}×{height} {event.step}/{event.steps}",
                refresh=False,
            )
            shown.set_postfix(_grouped(event.losses), refresh=False)
            done = sum(
                count * scale.steps
                for count, scale in zip(pixels[: event.scale - 1], scales, strict=False)
            )
            pixels_a_step = pixels[event.scale - 1]
            done += pixels_a_step * event.step
            if shown.n == 0:  # what an earlier run has done took none of this one's time
                shown.initial = shown.n = shown.last_print_n = done - pixels_a_step
            shown.update(done - shown.n)

        yield listen


def _grouped(losses: dict[str, float]) -> dict[str, str]:
    """Losses added up by the first word of their names: style, content, smoothness."""
    sums: dict[str, float] = {}
    for name, value in losses.items():
        group = name.split()[0]
        sums[group] = sums.get(group, 0.0) + value
    return {name: f"{value:.3f}" for name, value in sums.items()}


def previews(folder: Path, every: int = PREVIEW_EVERY) -> Listener:
    """Saves the picture on its way, every so many steps and at the end of each scale."""
    from stylize.images.write import write_picture

    def listen(event: Step) -> None:
        if event.step % every == 0 or event.step == event.steps:
            height, width = event.size
            name = f"scale-{event.scale}-{width}x{height}-step-{event.step:04d}.png"
            write_picture(folder / name, event.picture())

    return listen


def json_steps() -> Listener:
    """A JSON line on stdout for each step."""

    def listen(event: Step) -> None:
        height, width = event.size
        emit(
            "step",
            scale=event.scale,
            scales=event.scales,
            size=[width, height],
            step=event.step,
            steps=event.steps,
            total=_brief(event.total),
            losses={name: _brief(value) for name, value in event.losses.items()},
            seconds=round(event.seconds, 3),
        )

    return listen


def _brief(value: float) -> float | None:
    """Six digits; null for what JSON cannot say."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def emit(event: str, **values: Any) -> None:
    """One JSON line on stdout."""
    click.echo(json.dumps({"event": event, **values}))
    sys.stdout.flush()


def all_of(listeners: Sequence[Listener]) -> Listener:
    """Several listeners as one."""

    def listen(event: Step) -> None:
        for each in listeners:
            each(event)

    return listen
