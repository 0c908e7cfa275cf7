"""``stylize tunnel``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.dream import check_beginning
from stylize.cli.inputs import files_among, open_picture, require_files
from stylize.cli.messages import INTERRUPTED, say
from stylize.cli.options import (
    check_streams,
    complete_preset,
    given,
    input_options,
    message_options,
    settings_options,
)
from stylize.cli.progress import emit, stop_on_interrupt
from stylize.cli.run import announce, load_torch
from stylize.errors import OutputError, SettingError
from stylize.images.atomic import check_writable
from stylize.images.destinations import resolve_output
from stylize.images.open import set_pixel_limit
from stylize.settings.dream import TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import from_document
from stylize.settings.presets import DEFAULTS, find_preset

if TYPE_CHECKING:
    from stylize.products.dream.film import Reel
    from stylize.products.dream.tunnel import Tunnel

FILM_SUFFIXES = (".gif", ".apng", ".png", ".webp", ".mp4")


@dataclass(frozen=True)
class Output:
    """Where a film goes.

    Attributes:
        film: one file for all; None for a folder of frames.
        folder: of the frames, or of the raw frames on the way to a film.
    """

    film: Path | None
    folder: Path

    @property
    def name(self) -> Path:
        """What the user gets."""
        return self.film or self.folder


@click.command(
    epilog="--strength and --steps are those of a whole dream; --pace says how much of it"
    " lies between two frames."
)
@click.argument("photo", metavar="[IMAGE]", required=False)
@click.option(
    "-o",
    "--output",
    metavar="FILE|DIR",
    help="A film (.webp .gif .apng .mp4), or a folder for its frames.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing film, or foreign frames.")
@click.option("--quality", type=click.IntRange(1, 100), default=90, help="Of WebP and mp4.  [90]")
@click.option("--keep-frames", is_flag=True, help="Keep the frames beside the film.")
@click.option(
    "--preset",
    default=DEFAULTS["dream"],
    metavar="NAME|FILE",
    shell_complete=complete_preset("dream"),
    help=f"The dream's look; see 'stylize presets list'.  [{DEFAULTS['dream']}]",
)
@click.option("--guide", metavar="PICTURE", help="Dream with the motifs of this picture.")
@settings_options(TunnelSettings)
@settings_options(Execution)
@input_options
@message_options
def tunnel(photo: str | None, **options: Any) -> int:
    """Dream one's way into IMAGE: a film that zooms, turns and dreams on.

    \b
    Examples:
      stylize tunnel photo.jpg -o film.webp
      stylize tunnel photo.jpg -o film.mp4 --frames 300 --rotate 1 --preset eyes
      stylize tunnel --from-noise 640x360 --loop -o loop.gif

    A film that was stopped goes on where it stopped when the same command is given again. mp4
    needs the extra 'video'.
    """
    said = given(TunnelSettings, options)
    execution = Execution(**given(Execution, options))
    preset = find_preset("dream", options["preset"])
    settings: TunnelSettings = from_document(
        TunnelSettings, said, from_document(TunnelSettings, preset.settings)
    )
    check_beginning(photo, settings, sized="size" in said)
    from stylize.networks.models import find_model

    settings.check_layers(find_model(settings.network).architecture)
    sources = {"content": photo, "guide": options["guide"]}
    check_streams(None, [each for each in sources.values() if each], as_json=False)
    files = files_among(sources.values())
    require_files(files)
    output = choose_output(photo, files, f"tunnel-{preset.name}", settings, options)

    def prepare() -> Tunnel:
        pictures = {
            role: open_picture(source, options) if source else None
            for role, source in sources.items()
        }
        load_torch()
        from stylize.products.dream.tunnel import Tunnel

        return Tunnel(
            pictures["content"],
            settings,
            execution,
            guide=pictures["guide"],
            preset=preset.recorded,
        )

    return shoot(prepare, output, options)


def choose_output(
    photo: str | None,
    files: Sequence[Path],
    words: str,
    settings: TunnelSettings,
    options: Mapping[str, Any],
) -> Output:
    """The film or the folder to write, proved writable."""
    from stylize.images.film import check_animation

    wanted = options["output"]
    _refuse_stdout(wanted)
    if wanted is not None and not wanted.lower().endswith(FILM_SUFFIXES):
        folder = Path(wanted)
        if folder.suffix and not folder.is_dir():
            check_animation(folder, fps=settings.fps)  # says which suffixes there are
        _check_folder(folder)
        return Output(None, folder)
    target = resolve_output(
        wanted,
        content=Path(photo) if photo and photo != "-" else None,
        suffix_words=words if photo else f"noise-{words}",
        overwrite=options["overwrite"],
        inputs=files,
        suffix=".webp",
    )
    check_animation(target, fps=settings.fps, quality=options["quality"])
    return _film_at(target)


def _refuse_stdout(output: str | None) -> None:
    if output == "-":
        raise SettingError("a film cannot go to stdout", hint="name a file, or a folder for frames")


def _film_at(target: Path) -> Output:
    check_writable(target)
    folder = target.with_name(f"{target.name}.frames")
    _check_folder(folder)
    return Output(target, folder)


def _check_folder(folder: Path) -> None:
    """Make sure that a folder is there and can be written to, or that it can be made."""
    if folder.is_dir():
        check_writable(folder / "frame-00001.png.part")
    elif os.path.lexists(folder):
        raise OutputError(f"{folder} is not a folder")
    else:
        check_writable(folder)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {(error.strerror or '').lower()}") from error
    return folder


def shoot(prepare: Callable[[], Tunnel], output: Output, options: dict[str, Any]) -> int:
    """Prepare, dream all frames, put the film together; the exit code."""
    started = time.perf_counter()
    set_pixel_limit(options["max_input_pixels"])
    job = prepare()
    announce(job, options)
    reel = begin(job, output, overwrite=options["overwrite"])
    with (
        stop_on_interrupt(quiet=options["quiet"], action="stopping after this frame") as stop,
        frame_bar(job.raw_frames, options) as on_step,
    ):
        complete = reel.shoot(job, on_step, stop)
    if complete:
        finish(job, reel, output, options)
    report(job, reel, output, time.perf_counter() - started, complete, options)
    return 0 if complete else INTERRUPTED


def begin(job: Tunnel, output: Output, *, overwrite: bool) -> Reel:
    """The frames to go on from: those of this very film, or none."""
    from stylize.products.dream.film import Reel

    folder, reels = output.folder, []
    if output.film is None and job.settings.loop:
        # What a loop has faded is of no use for going on.
        reels.append(Reel(folder, laid_out=True))
        folder = folder / "raw"
    reels.append(Reel(folder))
    for reel in reels:
        if not overwrite:
            reel.require(job)
        elif not reel.is_of(job):
            reel.clear()
    _made(output.folder)
    _made(folder)
    return reels[-1]


def finish(job: Tunnel, reel: Reel, output: Output, options: dict[str, Any]) -> None:
    """Make of the raw frames what the user asked for."""
    from stylize.products.dream.film import develop, lay_out

    if output.film is not None:
        develop(job, reel, output.film, quality=options["quality"])
        if not options["keep_frames"]:
            reel.clear()
    elif job.settings.loop:
        lay_out(job, reel, output.folder)


@contextmanager
def frame_bar(frames: int, options: dict[str, Any]) -> Iterator[Callable[[int], None]]:
    """A bar over the frames on stderr, if it is a terminal; or JSON lines on stdout."""
    from tqdm import tqdm

    hidden = options["quiet"] or options["as_json"]
    with tqdm(total=frames, disable=True if hidden else None, leave=False, unit="frame") as bar:

        def on_step(number: int) -> None:
            bar.update(number - bar.n)
            if options["as_json"]:
                emit("frame", frame=number, frames=frames)

        yield on_step


def report(
    job: Tunnel,
    reel: Reel,
    output: Output,
    seconds: float,
    complete: bool,
    options: dict[str, Any],
) -> None:
    """Say where the film is, or how it goes on."""
    if options["as_json"]:
        emit(
            "done",
            output=os.fspath(output.name) if complete else None,
            frames=len(reel.numbers()) if not complete else job.settings.frames,
            seconds=round(seconds, 3),
            recipe=job.recipe(job.settings.frames, {}),
        )
    elif not options["quiet"]:
        height, width = job.size
        if complete:
            say(
                f"saved {output.name} ({job.settings.frames} frames of {width}×{height},"
                f" {seconds:.1f} s)"
            )
        else:
            say(
                f"stopped after {len(reel.numbers())} of {job.raw_frames} frames in {reel.folder};"
                " the same command goes on"
            )


def replay_tunnel(
    file: Path,
    prepare: Callable[[], Any],
    settings: TunnelSettings,
    inputs: Sequence[Path],
    options: dict[str, Any],
) -> int:
    """Make a film again, for ``stylize replay``.

    Args:
        file: the film, or one of its frames.
        prepare: opens the pictures and loads the network.
        settings: of the film.
        inputs: the pictures.
        options: of ``stylize replay``.
    """
    from stylize.images.film import check_animation

    _refuse_stdout(options["output"])
    for name in ("format", "save_steps"):
        if options[name]:
            raise SettingError(f"--{name.replace('_', '-')} is not for films")
    target = resolve_output(
        options["output"],
        content=file,
        suffix_words="replay",
        overwrite=options["overwrite"],
        inputs=[file, *inputs],
        suffix=file.suffix if file.suffix.lower() in FILM_SUFFIXES else ".webp",
    )
    check_animation(target, fps=settings.fps, quality=options["quality"])
    return shoot(prepare, _film_at(target), options | {"keep_frames": False})
