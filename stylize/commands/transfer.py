"""``stylize transfer``."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.commands.entry import INTERRUPTED, say
from stylize.commands.options import (
    check_streams,
    complete_preset,
    given,
    input_options,
    message_options,
    output_options,
    settings_options,
)
from stylize.commands.progress import (
    PREVIEW_NAMES,
    all_of,
    emit,
    json_steps,
    previews,
    progress_bar,
    stop_on_interrupt,
)
from stylize.errors import OutputError, PictureError, SettingError, UnknownNameError
from stylize.images import check_writable, resolve_output, set_pixel_limit
from stylize.images.atomic import write_atomically
from stylize.images.encoding import check_request, format_of
from stylize.presets import DEFAULTS, Preset, changes, find_preset, to_toml
from stylize.settings import Execution, TransferSettings

if TYPE_CHECKING:
    from stylize.images import Picture
    from stylize.techniques.painting import Painting
    from stylize.techniques.transfer import Transfer

STARTS = ("content", "noise", "style")


@dataclass(frozen=True)
class Request:
    """What the command line asks for, checked as far as that goes without opening a picture."""

    content: str
    styles: tuple[str, ...]
    start: str | None
    preset: Preset
    settings: TransferSettings
    execution: Execution

    @property
    def sources(self) -> tuple[str, ...]:
        """All inputs as they were given."""
        return (self.content, *self.styles, *([self.start] if self.start else []))

    @property
    def files(self) -> list[Path]:
        """The inputs that are files."""
        return [Path(source) for source in self.sources if source != "-"]


@click.command(epilog="The settings' defaults are those of the preset 'balanced'.")
@click.argument("content", metavar="CONTENT")
@click.argument("styles", metavar="STYLE...", nargs=-1, required=True)
@output_options
@click.option(
    "--preset",
    default=DEFAULTS["transfer"],
    metavar="NAME|FILE",
    shell_complete=complete_preset("transfer"),
    help="Settings to begin from; see 'stylize presets list'.  [balanced]",
)
@click.option(
    "--save-preset",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the settings of this run as a preset.",
)
@settings_options(TransferSettings)
@settings_options(Execution)
@input_options
@message_options
def transfer(content: str, styles: tuple[str, ...], **options: Any) -> int:
    """Paint CONTENT, a photograph, in the style of one or several STYLE pictures.

    \b
    Examples:
      stylize transfer photo.jpg painting.jpg
      stylize transfer photo.jpg a.jpg b.jpg --style-weight 2 --style-weight 1 -o mixed.png
      stylize transfer - painting.jpg -o - --format jpeg < photo.jpg > result.jpg

    A size is the long side in pixels (--size 1024), a box (640x480), an area (12MP) or
    'original'; the default is 512. Nothing is enlarged. Without -o the result lies beside the
    photograph under a name that is printed.
    """
    request = read_request(content, styles, options)
    check_streams(options["output"], request.sources, as_json=options["as_json"])
    target = choose_target(request, options)
    if options["save_preset"]:
        check_new_preset(options["save_preset"], overwrite=options["overwrite"])
    started = time.perf_counter()
    job = prepare(request, options)
    # Not before: a request that fails leaves nothing behind.
    if options["save_preset"]:
        save_preset(options["save_preset"], request.settings)
    if options["save_steps"]:
        make_folder(options["save_steps"], request.files)
    painting = run(job, options)
    deliver(painting, target, options)
    report(painting, target, time.perf_counter() - started, options)
    return INTERRUPTED if painting.interrupted else 0


def read_request(content: str, styles: tuple[str, ...], options: dict[str, Any]) -> Request:
    """The settings from preset and flags, and which picture plays which part."""
    said = given(TransferSettings, options)
    start = None
    if said.get("init") not in (None, *STARTS):
        start, said["init"] = said["init"], "file"
        if start != "-" and not os.path.exists(start):
            raise UnknownNameError("start", start, (*STARTS, "or a picture file"))
    execution = Execution(**given(Execution, options))
    preset = find_preset("transfer", options["preset"])
    settings: TransferSettings = preset.apply(said)
    if settings.init == "file" and start is None:
        raise SettingError("the preset starts from a picture", hint="name it with --init FILE")
    settings.check_styles(len(styles))
    from stylize.networks.store import find_model

    settings.check_layers(find_model(settings.network).architecture)
    return Request(content, styles, start, preset, settings, execution)


def choose_target(request: Request, options: dict[str, Any]) -> Path | None:
    """The file to write, proved writable; None for stdout. Nothing has been read yet."""
    depth, output = int(options["depth"]), options["output"]
    for path in request.files:
        if not os.path.exists(path):
            raise PictureError(f"{path}: there is no such file")
    if output == "-":
        check_request(options["format"] or "png", depth=depth, quality=options["quality"])
        return None
    if options["format"]:
        raise SettingError("--format is for -o -", hint="a file's suffix says its format")
    content = Path(request.content) if request.content != "-" else None
    words = "-".join(Path(style).stem if style != "-" else "stdin" for style in request.styles)
    target = resolve_output(
        output,
        content=content,
        suffix_words=words,
        overwrite=options["overwrite"],
        inputs=request.files,
    )
    check_request(format_of(target), depth=depth, quality=options["quality"])
    check_writable(target)
    return target


def make_folder(folder: Path, inputs: list[Path]) -> None:
    """A folder for previews that exists, can be written to, and holds no input by such a name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    check_writable(folder / "preview.png")
    for path in inputs:
        if path.match(PREVIEW_NAMES) and os.path.samefile(path.parent, folder):
            raise OutputError(f"{path} is an input of this run", hint="keep previews elsewhere")


def check_new_preset(path: Path, *, overwrite: bool) -> None:
    """Make sure that a preset can be written there, and be told from a name by ``--preset``."""
    if path.suffix != ".toml":
        raise SettingError(f"--save-preset: {path} does not end in .toml")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    check_writable(path)


def save_preset(path: Path, settings: TransferSettings) -> None:
    """Write the settings of this run as a file that ``--preset`` takes."""
    name = "".join(c if c.isalnum() and c.isascii() else " " for c in path.stem.lower()).split()
    preset = Preset("-".join(name) or "mine", "transfer", "Saved from a run", changes(settings))
    write_atomically(path, to_toml(preset).encode())


def prepare(request: Request, options: dict[str, Any]) -> Transfer:
    """Open the pictures and load the network."""
    set_pixel_limit(options["max_input_pixels"])
    content = open_picture(request.content, options)
    styles = [open_picture(style, options) for style in request.styles]
    start = open_picture(request.start, options) if request.start else None
    # Late, so that errors in the arguments do not wait for it.
    import torch

    from stylize.techniques.transfer import Transfer

    # Gradients can fade into denormal numbers, which are slow (PyTorch issue 67797).
    torch.set_flush_denormal(True)
    job = Transfer(
        content,
        styles,
        request.settings,
        request.execution,
        start=start,
        preset=request.preset.name if request.preset.name != DEFAULTS["transfer"] else None,
    )
    if options["verbose"]:
        for line in describe(job):
            say(line)
    return job


def open_picture(source: str, options: dict[str, Any]) -> Picture:
    """A picture from a file or stdin; says what was odd about it."""
    from stylize.images import read_picture

    if source == "-":
        picture = read_picture(read_stdin(), name="stdin")
    else:
        picture = read_picture(Path(source))
    if not options["quiet"]:
        for note in picture.notes:
            say(f"{picture.name}: {note}")
    return picture


def read_stdin() -> bytes:
    """All of stdin."""
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingError("- reads a picture from stdin", hint="stylize transfer - … < photo.jpg")
    return sys.stdin.buffer.read()


def describe(job: Transfer) -> Iterator[str]:
    """What was decided, a line each."""
    machine, cost = job.machine, job.cost()
    yield f"device {machine.device}, {machine.precision}, {machine.threads} threads"
    yield "scales " + ", ".join(f"{s.width}×{s.height}: {s.steps}" for s in job.scales)
    line = f"{cost.tflop:.1f} TFLOP, about {cost.peak_bytes / 1e9:.1f} GB of memory"
    yield line + (f", about {cost.seconds:.0f} s" if cost.seconds else "")


def run(job: Transfer, options: dict[str, Any]) -> Painting:
    """Paint, with the listeners that the options ask for."""
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_interrupt(quiet=options["quiet"]))
        hidden = options["quiet"] or options["as_json"]
        listeners = [stack.enter_context(progress_bar(job.scales, quiet=hidden))]
        if options["save_steps"]:
            listeners.append(previews(options["save_steps"]))
        if options["as_json"]:
            listeners.append(json_steps())
        return job.run(all_of(listeners), stop)


def deliver(painting: Painting, target: Path | None, options: dict[str, Any]) -> None:
    """Write the picture; where that fails after all, keep it elsewhere."""
    depth, quality = int(options["depth"]), options["quality"]
    if target is None:
        stream = sys.stdout.buffer
        painting.save(stream, format=options["format"] or "png", depth=depth, quality=quality)
        stream.flush()
        return
    try:
        painting.save(target, depth=depth, quality=quality)
    except OutputError as error:
        refuge = Path(tempfile.gettempdir()) / f"stylize-{os.getpid()}.png"
        try:
            painting.save(refuge)
        except OutputError:
            raise error from None
        message = f"{error.message}; the picture is kept as {refuge}"
        raise OutputError(message, hint=error.hint) from error


def report(
    painting: Painting, target: Path | None, seconds: float, options: dict[str, Any]
) -> None:
    """Say where the picture is."""
    if options["as_json"]:
        name = None if target is None else str(target)
        emit("done", output=name, seconds=round(seconds, 3), recipe=painting.recipe)
    elif target is not None and not options["quiet"]:
        state = "stopped early, saved" if painting.interrupted else "saved"
        height, width = painting.pixels.shape[2:]
        say(f"{state} {target} ({width}×{height}, {seconds:.1f} s)")
