"""Where a clip is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.options import is_typed, note
from stylize.cli.output import filled
from stylize.errors import SettingError

if TYPE_CHECKING:
    from stylize.video.request import Target


def choose_target(
    clip: str,
    sources: Sequence[str],
    words: str,
    wanted: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    is_written: bool = True,
) -> Target:
    """The file or folder to write, checked to be writable; folders above it are made.

    Args:
        clip: its name and folder are used where no output is named.
        sources: other inputs, which are never written to.
        words: added to the clip's name.
        wanted: the output options by name.
        values: of the placeholders in ``-o``.
        is_written: whether it will be; if not, it may exist.
    """
    from stylize.images.destinations import make_folder
    from stylize.video.request import FOLDER, Target, existing, folder_at, format_for

    if wanted["output"] == "-":
        raise SettingError("a clip cannot go to stdout", hint="name a file, or a folder for frames")
    content = Path(clip).parent if is_pattern(clip) else Path(clip)
    output = filled(wanted["output"], str(content), values)
    rest = {name: value for name, value in wanted.items() if name != "output"}
    inputs = existing([clip, *sources])
    made = click.get_current_context().with_resource(ExitStack())  # removes empty folders
    if output is None and (os.path.isdir(clip) or is_pattern(clip)):
        output = f"{Path(clip).parent if is_pattern(clip) else Path(clip)}-{words}/"
    if output is not None:
        make_folder(Path(output).absolute().parent, made)
    if output is not None and names_folder(output):
        target = Target(folder_at(Path(output)), FOLDER, **rest)
    else:
        replaces = wanted["overwrite"] or (output is not None and not is_written)
        path = choose_file(output, content, words, inputs, overwrite=replaces)
        target = Target(path, format_for(path), **rest)
    if is_written:
        target.require_free(inputs)
    return target


def names_folder(output: str) -> bool:
    """Whether the frames go to a folder."""
    ends = output.endswith(("/", os.sep))
    return ends or os.path.isdir(output) or not Path(output).suffix


def choose_file(
    output: str | None, content: Path, words: str, inputs: Sequence[Path], *, overwrite: bool
) -> Path:
    """The file to write: as requested, or with a name made from that of the clip."""
    from stylize.images.destinations import resolve_output
    from stylize.video.request import format_for

    suffix = content.suffix.lower()
    if suffix not in (".webm", ".gif", ".webp", ".apng"):
        suffix = ".mp4"
    if output is not None:
        format_for(Path(output))
        suffix = Path(output).suffix
    # A name of our own is not reserved: the same command continues the clip.
    return resolve_output(
        output,
        content=content,
        suffix_words=words,
        overwrite=overwrite,
        inputs=inputs,
        suffix=suffix,
    )


def note_idle_output(target: Target) -> None:
    """Say which options have no effect on what is written."""
    if is_typed("quality") and target.format in ("gif", "apng", "folder"):
        note("--quality has no effect without a .mp4, .webm or .webp clip")
    if is_typed("codec") and target.format not in ("mp4", "webm"):
        note("--codec has no effect without a .mp4 or .webm clip")
    if target.keep_frames and target.format == "folder":
        note("--keep-frames has no effect without a clip file as the output")


def is_pattern(source: str) -> bool:
    """Whether a source is a pattern for the names of frames."""
    return any(letter in source for letter in "*?[") and not os.path.exists(source)
