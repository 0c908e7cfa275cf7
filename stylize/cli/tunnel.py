"""``stylize tunnel``."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.completion import FILE
from stylize.cli.dream import add_octave_notes, check_beginning
from stylize.cli.help import Command, option
from stylize.cli.inputs import files_among, open_optional, require_files
from stylize.cli.messages import emit, say
from stylize.cli.options import (
    changed_words,
    check_streams,
    choose_preset,
    given,
    guide_option,
    input_options,
    is_typed,
    make_parents,
    message_options,
    note,
    note_idle,
    open_option,
    preset_option,
    settings_options,
)
from stylize.cli.output import emit_done, filled, hold, open_viewer, placeholders
from stylize.cli.process import load_torch
from stylize.cli.progress import Meter, stop_on_interrupt
from stylize.cli.requests import Messages, OutputRequest, take
from stylize.cli.run import announce, emit_start, estimate_of, plan_of
from stylize.errors import OutputError, SettingError
from stylize.networks.models import find_model
from stylize.settings.dream import DreamSettings, TunnelSettings, with_photo
from stylize.settings.execution import Execution
from stylize.settings.fields import Group, from_document

if TYPE_CHECKING:
    from stylize.products.dream.film import Reel
    from stylize.products.dream.tunnel import Tunnel

FILM_SUFFIXES = (".webp", ".gif", ".apng", ".mp4")


@dataclass(frozen=True)
class FilmLook:
    """Options for writing a film.

    Attributes:
        quality: of WebP and mp4.
        overwrite: replace an existing film, or frames of another one.
        keep_frames: keep the frames next to the film.
        show: open the film in the desktop's viewer.
    """

    quality: int
    overwrite: bool
    keep_frames: bool = False
    show: bool = False


@dataclass(frozen=True)
class FilmOutput:
    """The files of a film.

    Attributes:
        film: one file for all; None for a folder of frames.
        folder: of the frames, or of the raw frames on the way to a film.
        look: how it is written.
    """

    film: Path | None
    folder: Path
    look: FilmLook

    @property
    def name(self) -> Path:
        """The file or folder that the user gets."""
        return self.film or self.folder


@dataclass(frozen=True)
class TunnelRequest:
    """A film as the command line asks for it, checked without opening a picture."""

    photo: str | None
    guide: str | None
    preset: str | None
    settings: TunnelSettings
    execution: Execution
    output: FilmOutput
    messages: Messages
    started: float = field(default_factory=time.perf_counter)
    says_octaves: bool = False


@click.command(cls=Command)
@click.argument("photo", metavar="[PHOTO]", type=FILE, required=False)
@option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE|DIR",
    group=Group.OUTPUT,
    everyday=True,
    help="Film (.webp .gif .apng .mp4), or folder for the frames. The name can contain {photo}, "
    "{preset} and any setting, such as {frames}.  [next to the photo]",
)
@option(
    "--overwrite",
    is_flag=True,
    group=Group.OUTPUT,
    everyday=True,
    help="Replace an existing film, or frames of another one.",
)
@option(
    "--quality",
    type=click.IntRange(1, 100),
    default=90,
    metavar="N",
    group=Group.OUTPUT,
    help="Quality for WebP and mp4, 1 to 100.  [90]",
)
@open_option
@option("--keep-frames", is_flag=True, group=Group.OUTPUT, help="Keep the frames next to the film.")
@preset_option("dream")
@guide_option
@settings_options(TunnelSettings)
@settings_options(Execution)
@input_options
@message_options
def tunnel(photo: str | None, **options: Any) -> int:
    """Make a DeepDream film: an endless zoom that starts from PHOTO.

    \b
    Examples:
      stylize tunnel photo.jpg -o film.webp
      stylize tunnel photo.jpg -o film.mp4 --frames 300 --rotate 1 --preset eyes
      stylize tunnel --from-noise 640x360 --loop -o loop.gif

    Each frame adds a share (--pace) of a whole dream (--strength). To continue a film that was
    stopped, run the same command again. mp4 needs PyAV (pip install av).
    """
    request = read_request(photo, options)
    load_torch(files_among((request.photo, request.guide)))
    job = prepare(request)
    return shoot(job, request)


def read_request(photo: str | None, options: dict[str, Any]) -> TunnelRequest:
    """Build the request, and check all that can be checked before pictures are opened."""
    messages = take(Messages, options)
    said = given(TunnelSettings, options)
    execution = Execution(**given(Execution, options))
    preset = choose_preset("tunnel", options["preset"])
    settings: TunnelSettings = from_document(
        TunnelSettings,
        with_photo(photo, said),
        from_document(TunnelSettings, preset.settings),
    )
    check_beginning(photo, settings, sized="size" in said)
    settings.check_layers(find_model(settings.network).architecture)
    guide: str | None = options["guide"]
    sources = [each for each in (photo, guide) if each]
    check_streams(None, sources, as_json=False)
    files = files_among(sources)
    require_files(files)
    film = choose_film(
        filled(options["output"], photo, {"preset": preset.name, **placeholders(settings)}),
        photo=photo,
        files=files,
        words="-".join(["tunnel", preset.name, *changed_words(DreamSettings, said)]),
        settings=settings,
        look=FilmLook(
            options["quality"], options["overwrite"], options["keep_frames"], options["show"]
        ),
    )
    one_file = film.film is not None
    note_idle(settings, said, guide=bool(guide), photo=photo is not None, film=one_file)
    if is_typed("quality") and film.name.suffix.lower() not in (".webp", ".mp4"):
        note("--quality has no effect without a .webp or .mp4 film")
    if is_typed("keep_frames") and not one_file:
        note("--keep-frames has no effect without a film file as the output")
    return TunnelRequest(
        photo,
        guide,
        preset.recorded,
        settings,
        execution,
        film,
        messages,
        says_octaves="octaves" in said or bool(messages.verbose),
    )


def prepare(request: TunnelRequest) -> Tunnel:
    """Open the pictures and load the network."""
    from stylize.products.dream.tunnel import Tunnel

    photo, guide = (
        open_optional(source, request.messages) for source in (request.photo, request.guide)
    )
    job = Tunnel(photo, request.settings, request.execution, guide=guide, preset=request.preset)
    if request.says_octaves:
        add_octave_notes(job)
    return job


def choose_film(
    wanted: str | None,
    *,
    photo: str | None,
    files: Sequence[Path],
    words: str,
    settings: TunnelSettings,
    look: FilmLook,
) -> FilmOutput:
    """The film or the folder to write, checked to be writable."""
    from stylize.images.destinations import resolve_output
    from stylize.images.film import check_animation

    _refuse_stdout(wanted)
    if wanted is not None and not wanted.lower().endswith(FILM_SUFFIXES):
        folder = Path(wanted)
        if folder.suffix and not folder.is_dir():
            check_animation(folder, fps=settings.fps)  # says which suffixes there are
        _check_folder(folder)
        return FilmOutput(None, folder, look)
    context = click.get_current_context(silent=True)
    # A name of our own is not reserved: the same command continues the film.
    target = resolve_output(
        wanted,
        content=Path(photo) if photo and photo != "-" else None,
        suffix_words=words if photo else f"noise-{words}",
        overwrite=look.overwrite,
        inputs=files,
        suffix=".webp",
        reservations=context.with_resource(ExitStack()) if context and wanted else None,
    )
    check_animation(target, fps=settings.fps, quality=look.quality)
    return _film_at(target, look)


def _refuse_stdout(output: str | None) -> None:
    if output == "-":
        raise SettingError("a film cannot go to stdout", hint="name a file, or a folder for frames")


def _film_at(target: Path, look: FilmLook) -> FilmOutput:
    from stylize.images.atomic import check_writable
    from stylize.images.names import neighbour

    check_writable(target)
    folder = neighbour(target, tail=".frames")
    _refuse_link(folder)
    _check_folder(folder)
    return FilmOutput(target, folder, look)


def _check_folder(folder: Path) -> None:
    """Make sure that a folder is there and can be written to, or that it can be made."""
    from stylize.images.atomic import check_writable

    if folder.is_dir():
        check_writable(folder / "frame-00001.png.part")
    elif os.path.lexists(folder):
        raise OutputError(f"{folder} is not a folder")
    else:
        make_parents(folder)
        check_writable(folder)


def _refuse_link(folder: Path) -> None:
    """Make sure that a folder which the user has not named is no link to another one."""
    if folder.is_symlink():
        raise OutputError(f"{folder} is a link to another folder", hint="remove it")


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {(error.strerror or '').lower()}") from error
    return folder


def shoot(job: Tunnel, request: TunnelRequest) -> int:
    """Dream all frames, put the film together, report; the exit code."""
    messages, output = request.messages, request.output
    announce(job, messages)
    cost = job.cost()
    reel = open_reel(job, output)
    with (
        stop_on_interrupt(quiet=messages.quiet, action="stopping after this frame") as stop,
        Meter(messages, job.raw_frames, estimate_s=cost.seconds) as meter,
    ):
        if messages.as_json:
            plan = plan_of(job) | {"frames": job.settings.frames}
            emit_start(output.name, plan, estimate_of(cost), job.notes)

        def on_frame(number: int) -> None:
            place = f"frame {number} of {job.raw_frames}"
            # The first frame is the photo itself, or one of an earlier run.
            meter.advance(number, f"dreaming, {place}", place, unit=0)
            if messages.as_json:
                emit("frame", frame=number, frames=job.raw_frames)

        complete = reel.shoot(job, on_frame, stop)
        meter.close()
        if complete:
            output = finish(job, reel, output)
    report_film(job, reel, dataclasses.replace(request, output=output), complete=complete)
    return 0 if complete else stop.exit_code


def open_reel(job: Tunnel, output: FilmOutput) -> Reel:
    """The frames to continue from: those of this very film, or none."""
    from stylize.products.dream.film import Reel

    hold(
        output.folder,
        f"{output.folder} holds the frames of a film that another run is making",
        hint="wait for its end, or name another film with -o",
    )
    folder, reels = output.folder, []
    if output.film is None and job.settings.loop:
        # The faded frames of a loop cannot be continued from.
        reels.append(Reel(folder, laid_out=True))
        folder = folder / "raw"
        _refuse_link(folder)
    reels.append(Reel(folder))
    for reel in reels:
        if not output.look.overwrite:
            reel.require(job)
        elif not reel.is_of(job):
            reel.clear()
    _made(output.folder)
    _made(folder)
    return reels[-1]


def finish(job: Tunnel, reel: Reel, output: FilmOutput) -> FilmOutput:
    """Turn the raw frames into what the user asked for; where that was written."""
    from stylize.products.dream.film import develop, lay_out

    if output.film is not None:
        look = output.look
        saved = develop(job, reel, output.film, quality=look.quality, overwrite=look.overwrite)
        output = dataclasses.replace(output, film=saved)
        if not output.look.keep_frames:
            reel.clear()
    elif job.settings.loop:
        lay_out(job, reel, output.folder, overwrite=output.look.overwrite)
    return output


def report_film(job: Tunnel, reel: Reel, request: TunnelRequest, *, complete: bool) -> None:
    """Say where the film is, or how to continue it."""
    output, seconds = request.output, time.perf_counter() - request.started
    height, width = job.size
    if request.messages.as_json:
        emit_done(
            output.name if complete else None,
            size=[width, height],
            notes=list(job.notes),
            interrupted=not complete,
            frames=len(reel.numbers()) if not complete else job.settings.frames,
            seconds=round(seconds, 3),
            recipe=job.recipe(job.settings.frames, {}),
        )
    elif not request.messages.quiet:
        if complete:
            count = job.settings.frames
            frames = f"{count} frame{'s' * (count > 1)} of {width}×{height}"
            say(f"saved {output.name} ({frames}, {seconds:.1f} s)")
        else:
            done = f"{len(reel.numbers())} of {job.raw_frames} frames in {reel.folder}"
            say(f"stopped after {done}; the same command continues")
    if complete and output.look.show:
        open_viewer(output.name)


def choose_replayed_film(
    file: Path,
    settings: TunnelSettings,
    inputs: Sequence[Path],
    words: str,
    output: OutputRequest,
) -> FilmOutput:
    """Choose the file to which ``stylize replay`` writes a film.

    Args:
        file: the film, or one of its frames.
        settings: of the film.
        inputs: the pictures.
        words: added to the file's name.
        output: the options of ``stylize replay``.
    """
    from stylize.images.destinations import resolve_output
    from stylize.images.film import check_animation

    _refuse_stdout(output.output)
    for name in ("format", "save_steps", "film"):
        if getattr(output, name):
            raise SettingError(f"--{name.replace('_', '-')} is not for films")
    target = resolve_output(
        filled(output.output, str(file), placeholders(settings)),
        content=file,
        suffix_words=words,
        overwrite=output.overwrite,
        inputs=[file, *inputs],
        suffix=file.suffix if file.suffix.lower() in FILM_SUFFIXES else ".webp",
    )
    check_animation(target, fps=settings.fps, quality=output.quality)
    return _film_at(target, FilmLook(output.quality, output.overwrite, show=output.show))
