"""Choose where a result goes, write it, and say so."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.messages import emit, say
from stylize.cli.options import is_typed, note
from stylize.cli.progress import PREVIEW_NAMES
from stylize.cli.requests import Messages, OutputRequest
from stylize.errors import OutputError, SettingError, UsageError

if TYPE_CHECKING:
    from stylize.runs.film import RunFilm
    from stylize.runs.result import Result

PAGE_SUFFIXES = (".html", ".htm")


def choose_target(
    content: str | None,
    files: Sequence[Path],
    words: str,
    request: OutputRequest,
    values: Mapping[str, Any] | None = None,
) -> Path | None:
    """The file to write, checked to be writable; None for stdout. Nothing has been read yet.

    Args:
        content: the photo; its name and folder are used where no output is named.
        files: all inputs, which are never written to.
        words: added to the photo's name.
        request: the output options.
        values: of the placeholders in ``-o``, besides ``{photo}``; None if it has none.
    """
    from stylize.images.atomic import check_writable
    from stylize.images.destinations import resolve_output
    from stylize.images.write import check_request, format_of

    if request.output == "-":
        if sys.__stdout__ is None:
            raise OutputError("stdout is closed", hint="name a file with -o")
        _note_not_shown(request)
        check_request(request.format or "png", depth=request.depth, quality=request.quality)
        note_quality([request.format or "png"])
        return None
    if request.format:
        raise SettingError(
            "--format works only with -o -", hint="a file's extension decides its format"
        )
    context = click.get_current_context(silent=True)
    wanted = filled(request.output, content, values)
    _refuse_film(wanted, context)
    target = resolve_output(
        wanted,
        content=Path(content) if content and content != "-" else None,
        suffix_words=words,
        overwrite=request.overwrite,
        inputs=files,
        reservations=context.with_resource(ExitStack()) if context else None,
    )
    check_request(format_of(target), depth=request.depth, quality=request.quality)
    check_writable(target)
    check_film(request, [*files, target])
    note_quality([format_of(target), *([request.film.suffix[1:]] if request.film else [])])
    return target


def filled(
    requested: str | None, content: str | None, values: Mapping[str, Any] | None
) -> str | None:
    """The file that ``-o`` asks for, with its placeholders filled in.

    Args:
        requested: what the user typed.
        content: the photo.
        values: see :func:`choose_target`.
    """
    from stylize.images.destinations import fill_template

    if requested is None or values is None:
        return requested
    photo = Path(content).stem if content and content != "-" else "stdin" if content else "noise"
    # A command without a photo, such as inspect filters, has no such placeholder.
    named = {"photo": photo} if content or "from_noise" in values else {}
    return fill_template(requested, {**named, **values})


# Extensions of films that no still picture has; --film takes the first three.
_FILMS = (".gif", ".mp4", ".apng", ".avi", ".m4v", ".mkv", ".mov", ".webm")


def _refuse_film(wanted: str | None, context: click.Context | None) -> None:
    """Say how to save a film if a still picture has the name of one.

    Raises:
        OutputError: it has, and the command can save a film, too.
    """
    stem, suffix = os.path.splitext(wanted or "")
    if suffix.lower() not in _FILMS or context is None or "film" not in context.params:
        return
    film = wanted if suffix.lower() in _FILMS[:3] else f"{stem}.mp4"
    if not os.path.isdir(wanted or ""):
        raise OutputError(
            f"{wanted} is the name of a film, and the result is one picture",
            hint=f"--film {film} saves a film of the picture as it grows; use -o {stem}.png for the"
            " picture itself",
        )


def placeholders(settings: Any) -> dict[str, Any]:
    """The settings that a name made with ``-o`` can have in it."""
    values = {each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)}
    return {name: value for name, value in values.items() if not isinstance(value, tuple)}


def note_quality(formats: Sequence[str]) -> None:
    """Say that ``--quality`` has no effect, if all formats keep every pixel."""
    if is_typed("quality") and not {*map(str.lower, formats)} & LOSSY:
        note(f"--quality has no effect on {formats[0].upper()}")


def _note_not_shown(request: OutputRequest) -> None:
    if request.show:
        note("--open has no effect with -o -")


# Formats of pictures and films, as they are named or as their extension.
LOSSY = {"jpeg", "jpg", "webp", "avif", "mp4"}


def check_film(request: OutputRequest, taken: Sequence[Path]) -> None:
    """Check before the run that the film of a run can be written, if one is asked for.

    Raises:
        OutputError: unknown suffix, another file of the run, or an existing file.
        MissingExtraError: mp4 without PyAV.
    """
    film = request.film
    if film is None:
        return
    from stylize.images.atomic import check_writable
    from stylize.images.destinations import resolve_output
    from stylize.images.film import STEPS_FPS, check_animation

    check_animation(film, fps=STEPS_FPS, quality=request.quality)
    if os.path.realpath(film) in map(os.path.realpath, taken):
        raise OutputError(f"{film} is another file of this run", hint="name another film")
    context = click.get_current_context(silent=True)
    resolve_output(
        film,
        content=None,
        suffix_words="",
        overwrite=request.overwrite,
        inputs=taken,
        suffix=film.suffix,
        reservations=context.with_resource(ExitStack()) if context else None,
    )
    check_writable(film)


def require_distinct(outputs: Mapping[str, Path | None]) -> None:
    """Check that no two outputs of a run go to one file, nor one into the file of another.

    Args:
        outputs: by what they are called in the message; only ``--save-steps`` is a folder.

    Raises:
        UsageError: two do.
    """
    named = {name: path for name, path in outputs.items() if path is not None}
    real = {name: Path(os.path.realpath(path)) for name, path in named.items()}
    for one, other in permutations(named, 2):
        is_in = one != "--save-steps" and real[one] in real[other].parents
        if is_in or real[one] == real[other]:
            raise UsageError(
                f"{one} and {other} both go to {named[one]}", hint="give each its own name"
            )


def choose_page(
    photo: str | None,
    files: Sequence[Path],
    words: str,
    request: OutputRequest,
    values: Mapping[str, Any] | None = None,
) -> Path | None:
    """The HTML file to write, checked to be writable; see :func:`choose_target`."""
    from stylize.images.atomic import check_writable
    from stylize.images.destinations import resolve_output

    if request.output == "-":
        if sys.__stdout__ is None:
            raise OutputError("stdout is closed", hint="name a file with -o")
        _note_not_shown(request)
        return None
    context = click.get_current_context(silent=True)
    target = resolve_output(
        filled(request.output, photo, values),
        content=Path(photo) if photo and photo != "-" else None,
        suffix_words=words,
        overwrite=request.overwrite,
        inputs=files,
        suffix=PAGE_SUFFIXES[0],
        reservations=context.with_resource(ExitStack()) if context else None,
    )
    if target.suffix.lower() not in PAGE_SUFFIXES:
        raise OutputError(f"{target} is not the name of a page", hint="end it in .html")
    check_writable(target)
    return target


def hold(path: Path, refusal: str, *, hint: str) -> None:
    """Keep a file or a folder from all other runs until the command ends.

    Raises:
        OutputError: another run has it; says ``refusal``.
    """
    from stylize.images.atomic import reserved

    context = click.get_current_context(silent=True)
    if context is not None and not context.with_resource(reserved(Path(os.path.realpath(path)))):
        raise OutputError(refusal, hint=hint)


def check_fits(size: tuple[int, int], target: Path | None, request: OutputRequest) -> None:
    """Refuse a picture of ``(height, width)`` that its format cannot hold, before it is painted.

    Raises:
        OutputError: a side is too long.
    """
    from stylize.images.write import check_sides, format_of

    check_sides(size, (request.format or "png") if target is None else format_of(target))


def make_folder(folder: Path, inputs: Sequence[Path], *, shared: bool) -> None:
    """A folder for previews that exists, can be written to, and holds no input by such a name.

    Unless it is ``shared``, it holds no other previews either.
    """
    from stylize.images.atomic import check_writable

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    check_writable(folder / "preview.png")
    for path in inputs:
        if path.match(PREVIEW_NAMES) and os.path.samefile(path.parent, folder):
            raise OutputError(f"{path} is an input of this run", hint="keep previews elsewhere")
    older = next(folder.glob(PREVIEW_NAMES), None)
    if older is not None and not shared:
        raise OutputError(f"{older} already exists", hint="replace it with --overwrite")


def deliver(result: Result, target: Path | None, request: OutputRequest) -> Path | None:
    """Write the picture; if that fails after all, keep it in the temporary folder.

    Returns:
        Where it was written, which is another name if the target has appeared meanwhile and must
        not be replaced; None for stdout.
    """
    depth, quality = request.depth, request.quality
    if target is None:
        stream = sys.stdout.buffer
        result.save(stream, format=request.format or "png", depth=depth, quality=quality)
        stream.flush()
        return None
    try:
        overwrite = request.overwrite
        saved = result.save(
            target, depth=depth, quality=quality, overwrite=overwrite, numbered=True
        )
    except OutputError as error:
        refuge = _kept_elsewhere(result, target.name, depth=depth, quality=quality)
        if refuge is None:
            raise
        message = f"{error.message}; the picture is kept as {refuge}"
        raise OutputError(message, hint=error.hint) from error
    if request.show and saved is not None:
        open_viewer(saved)
    return saved


def _kept_elsewhere(result: Result, name: str, *, depth: int, quality: int) -> Path | None:
    """Save a picture in the temporary folder; None if that fails, too."""
    with suppress(OutputError, OSError):
        # A new folder with an unpredictable name that no one else can write to.
        folder = Path(tempfile.mkdtemp(prefix="stylize-"))
        try:
            result.save(folder / name, depth=depth, quality=quality)
            return folder / name
        finally:
            with suppress(OSError):
                folder.rmdir()  # fails where the picture is in it
    return None


def open_viewer(path: Path) -> None:
    """Open a file in the desktop's viewer; if that fails, it is only said.

    click.launch would mix what the viewer prints with our stdout, and not notice that it failed.
    """
    if not opened_on_desktop(os.path.abspath(path)):
        say(f"no viewer could open {path}")


def opened_on_desktop(target: str) -> bool:
    """Whether the desktop could open a file or an address."""
    try:
        if sys.platform == "win32":
            os.startfile(target)
            return True
        opener = "open" if sys.platform == "darwin" else "xdg-open"
        null = subprocess.DEVNULL
        viewer = subprocess.Popen(
            [opener, target], stdin=null, stdout=null, stderr=null, start_new_session=True
        )
        return viewer.wait(_VIEWER_S) == 0
    except subprocess.TimeoutExpired:
        viewer.returncode = 0  # it is open, and nobody waits for it any more
        return True
    except OSError:
        return False


# A desktop hands the file to its viewer and returns at once; without one, the viewer is started.
_VIEWER_S = 2.0


def deliver_film(film: RunFilm, result: Result, request: OutputRequest, messages: Messages) -> None:
    """Write the film of a run, complete or not, and say where it is."""
    assert request.film is not None, "there is one only where it is asked for"
    target, quality = request.film, request.quality
    saved = film.save(result, target, quality=quality, overwrite=request.overwrite)
    if messages.as_json:
        emit("film", file=str(saved), frames=film.length)
    elif not messages.quiet:
        say(f"saved {saved} (a film of {film.length} frames)")


def say_renamed(saved: Path | None, wanted: Path, messages: Messages) -> None:
    """Say so if a file was given another name than the one that was asked for."""
    if saved is not None and saved.name != wanted.name and not messages.quiet:
        say(f"saved {saved}, because the name {wanted.name} was taken during the run")


def report(
    result: Result,
    saved: Path | None,
    seconds: float,
    messages: Messages,
    *,
    wanted: Path | None = None,
) -> None:
    """Say where the picture is.

    Args:
        result: the picture.
        saved: the file; None for stdout.
        seconds: that the command took.
        messages: what is said.
        wanted: the file it was meant for, if that may differ.
    """
    height, width = result.pixels.shape[2:]
    if messages.as_json:
        emit_done(
            saved,
            size=[width, height],
            seconds=round(seconds, 3),
            interrupted=result.interrupted,
            notes=list(result.notes),
            recipe=result.recipe,
        )
    elif saved is not None and not messages.quiet:
        state = "stopped early, saved" if result.interrupted else "saved"
        say(f"{state} {saved} ({width}×{height}, {seconds:.1f} s)")
        if wanted is not None and wanted.name != saved.name:
            say(f"the name {wanted.name} was taken during the run")


def emit_done(saved: Path | None, **values: Any) -> None:
    """Print the event that a run is over."""
    emit("done", file=None if saved is None else str(saved), **values)
