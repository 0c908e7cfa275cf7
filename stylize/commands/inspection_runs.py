"""What those inspections share that take their time: a bar, Ctrl-C, a picture to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from stylize.commands.entry import INTERRUPTED
from stylize.commands.inputs import open_picture
from stylize.commands.progress import stop_on_interrupt
from stylize.errors import SettingError

if TYPE_CHECKING:
    from stylize.images import Picture
    from stylize.inspection.finding import Finding
    from stylize.settings.inspect_gradients import OcclusionSettings, SaliencySettings

like_option = click.option(
    "--like",
    metavar="PICTURE",
    help="Ask for the likeness to this picture, at the one layer that TARGET names.",
)


@contextmanager
def step_bar(total: int, unit: str, options: dict[str, Any]) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if it is a terminal; what it gives is told how much was done."""
    from tqdm import tqdm

    hidden = options["quiet"] or options["as_json"]
    with tqdm(total=total, disable=True if hidden else None, leave=False, unit=unit) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance


@contextmanager
def place_bar(options: dict[str, Any]) -> Iterator[Callable[[int, int], None]]:
    """The same where it is known only later how much there is to do."""
    from tqdm import tqdm

    hidden = options["quiet"] or options["as_json"]
    with tqdm(disable=True if hidden else None, leave=False, unit="place") as bar:

        def told(done: int, total: int) -> None:
            bar.total = total
            bar.update(done)

        yield told


@contextmanager
def stoppable(
    total: int, unit: str, options: dict[str, Any]
) -> Iterator[tuple[Callable[[int], None], Callable[[], bool]]]:
    """A bar, and a Ctrl-C that asks to stop."""
    with (
        stop_on_interrupt(quiet=options["quiet"]) as stop,
        step_bar(total, unit, options) as advance,
    ):
        yield advance, stop


def opened(source: str | None, options: dict[str, Any]) -> Picture | None:
    """The picture of an option that may be left out."""
    return None if source is None else open_picture(source, options)


def check_question(
    target: str | None, like: str | None, settings: SaliencySettings | OcclusionSettings
) -> None:
    """Make sure that one thing is asked, and a likeness at one layer as a whole.

    Raises:
        SettingError: it is not so.
    """
    if settings.category is not None:
        for name, value in {"TARGET": target, "--like": like}.items():
            if value is not None:
                raise SettingError(f"--class and {name}", hint="leave one of them out")
    if like is None:
        return
    first, *others = settings.targets
    if others or first.channels is not None or first.weight != 1:
        raise SettingError("--like compares whole layers", hint="name one as TARGET: conv5_3")
    if settings.at is not None:
        raise SettingError("--like and --at", hint="leave one of them out")


def exit_code(finding: Finding) -> int:
    """130 where the run was stopped."""
    return INTERRUPTED if finding.painting.interrupted else 0
