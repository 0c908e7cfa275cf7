"""What the commands of ``stylize inspect`` share: options, and how a finding is delivered."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stylize.commands.entry import say
from stylize.commands.inputs import files_among, require_files
from stylize.commands.options import (
    Decorated,
    check_streams,
    group_of,
    input_options,
    option_for,
    result_options,
)
from stylize.commands.results import choose_target, deliver
from stylize.commands.running import load_torch
from stylize.errors import OutputError
from stylize.images import set_pixel_limit
from stylize.inspection.album import write_inventory
from stylize.networks.store import find_model
from stylize.settings import Execution

if TYPE_CHECKING:
    from stylize.inspection.album import Album
    from stylize.inspection.finding import Finding

Found = TypeVar("Found", bound="Finding")

# Whole pictures are looked at: there are no tiles that a limit could ask for.
IDLE = ("max_memory",)

number_options = group_of(
    [
        click.option("--json", "as_json", is_flag=True, help="The numbers as JSON on stdout."),
        click.option("-q", "--quiet", is_flag=True, help="Only errors."),
        click.option(
            "-v", "--verbose", count=True, help="Say what is decided; -vv shows tracebacks."
        ),
    ]
)


def fields_options(kind: type[Any], *without: str) -> Callable[[Decorated], Decorated]:
    """An option for each field of a settings class but some."""

    def decorate(function: Any) -> Any:
        for each in reversed(dataclasses.fields(kind)):
            if each.name not in without:
                function.__dict__.setdefault("__click_params__", []).append(option_for(each))
        return function

    return decorate


def taken(kind: type[Any], options: dict[str, Any], **others: Any) -> Any:
    """Settings of what the user said, which leaves ``options``; and of what else is known."""
    said = {each.name: options.pop(each.name, None) for each in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in said.items() if value is not None} | others)


def execution_for(settings: Any, options: dict[str, Any]) -> Execution:
    """Where it is done, by what the user said, which leaves ``options``.

    Raises:
        StylizeError: what the user said of it, or a layer that the settings' network has not.
    """
    execution: Execution = taken(Execution, options)
    settings.check_layers(find_model(settings.network).architecture)
    return execution


recursive_option = click.option("-r", "--recursive", is_flag=True, help="Also below FOLDER.")
machine_options = fields_options(Execution, *IDLE)
inspect_options = group_of([result_options, machine_options, input_options, number_options])


def perform(
    look: Callable[[], Found],
    target: Path | None,
    options: dict[str, Any],
    beside: Callable[[Found, Path], object] | None = None,
) -> Found:
    """Look, write the picture, say where it is.

    Args:
        look: gives the finding; torch is there when it is called.
        target: the file to write, None for stdout.
        options: those of :data:`inspect_options`.
        beside: writes what else belongs to the picture in that file.
    """
    started = time.perf_counter()
    if "max_input_pixels" in options:
        set_pixel_limit(options["max_input_pixels"])
    load_torch()
    finding = look()
    deliver(finding.painting, target, options)
    if finding.digests and target is not None:
        write_inventory(target, finding.digests)
    if beside is not None and target is not None:
        beside(finding, target)
    tell(finding, target, time.perf_counter() - started, options)
    return finding


def tell(finding: Finding, target: Path | None, seconds: float, options: dict[str, Any]) -> None:
    """The numbers as JSON, or where the picture is."""
    resolved = finding.painting.recipe["resolved"]
    if options["verbose"] and "device" in resolved:
        say(f"device {resolved['device']}, {resolved['precision']}, {resolved['threads']} threads")
    if not options["quiet"]:
        for note in finding.notes:
            say(note)
    if options["as_json"]:
        document = {"output": None if target is None else str(target), "seconds": round(seconds, 3)}
        recipe = finding.painting.recipe
        click.echo(json.dumps(document | finding.numbers | {"recipe": recipe}, indent=2))
    elif target is not None and not options["quiet"]:
        height, width = finding.painting.pixels.shape[2:]
        state = "stopped early, saved" if finding.painting.interrupted else "saved"
        say(f"{state} {target} ({width}×{height}, {seconds:.1f} s)")


def choose_picture(
    photo: str | None, words: str, options: dict[str, Any], *others: str | None
) -> Path | None:
    """As :func:`choose_target`, once it is sure that the inputs are there.

    Args:
        photo: a file or ``-`` that lends its name, if one does.
        words: what a name not given says beside that.
        options: those of :data:`inspect_options`.
        others: further inputs.
    """
    sources = [each for each in (photo, *others) if each]
    files = files_among(sources)
    check_streams(options["output"], sources, as_json=options["as_json"])
    require_files(files)
    return choose_target(photo, files, words, options)


def choose_page(
    album: Album, words: str, options: dict[str, Any], *beside: Callable[[Path], Path]
) -> Path | None:
    """As :func:`choose_target`, for a page about a folder.

    Args:
        album: its photos, which are never written to; a name not given stands beside the folder.
        words: what such a name says beside the folder's.
        options: those of :data:`inspect_options`.
        beside: give the files that are written beside the page.

    Raises:
        OutputError: one of these exists and shall not be replaced, or what that raises.
    """
    photos = [photo.path for photo in album.photos]
    # What has no name of its own, such as the current folder, has one from the root on.
    folder = os.path.normpath(album.folder)
    named = folder if Path(folder).name.strip(".") else os.path.abspath(folder)
    target = choose_target(named, photos, words, options)
    companions = [] if target is None else [path_for(target) for path_for in beside]
    for path in companions:
        if os.path.lexists(path) and not options["overwrite"]:
            raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    return target


@contextmanager
def photo_bar(photos: int, options: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    """A bar over the photos on stderr, if it is a terminal."""
    from tqdm import tqdm

    hidden = options["quiet"] or options["as_json"]
    with tqdm(total=photos, disable=True if hidden else None, leave=False, unit="photo") as bar:

        def told(name: str) -> None:
            bar.update()

        yield told
