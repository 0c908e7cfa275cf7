"""Continue a clip, or make it again from its recipe."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylize.cli.clip_options import CUT_TYPES, QUALITY, require_libraries
from stylize.cli.clip_output import choose_target
from stylize.cli.clip_run import Reporting, announce, paint_clip
from stylize.cli.inputs import open_picture
from stylize.cli.options import is_typed, note_idle
from stylize.cli.output import placeholders
from stylize.cli.process import load_torch
from stylize.cli.requests import ReplayRequest
from stylize.errors import CheckpointError, OutputError, SettingError

if TYPE_CHECKING:
    from stylize.video.record import Record


def resume_clip(folder: Path, more: Sequence[str]) -> int:
    """Continue a clip that was stopped, given its work folder; the exit code.

    Args:
        folder: the work folder.
        more: words added to the command that began it.

    Raises:
        CheckpointError: there is none to continue.
    """
    from stylize.video.record import is_work_folder, read_record

    try:
        record = read_record(folder)
    except OutputError:  # it holds other files
        record = None
    if record is None and is_work_folder(folder):
        raise CheckpointError(
            f"{folder} was stopped before the first frame", hint="run the first command again"
        )
    if record is None:
        raise CheckpointError(
            f"{folder} is not the folder of an unfinished clip",
            hint="name a checkpoint, or a folder such as clip.mp4.frames",
        )
    place, words = command_of(folder, record)
    words += more
    with contextlib.chdir(place):
        root = click.get_current_context().find_root().command
        code = root.main(words, "stylize", standalone_mode=False, obj=words)
    return int(code or 0)


def command_of(folder: Path, record: Record) -> tuple[str, list[str]]:
    """Where an unfinished clip was begun, and the words of its command.

    Raises:
        CheckpointError: they are not known, or lead to another folder.
    """
    from stylize.video.record import folder_for

    place, *words = record.command or ("",)
    if words[:1] not in (["video"], ["replay"]):
        raise CheckpointError(
            f"{folder} does not say which command made it", hint="repeat that command"
        )
    if not os.path.isdir(place):
        raise CheckpointError(
            f"{place}, where the clip was begun, is gone",
            hint=f"repeat the command: {shlex.join(['stylize', *words])}",
        )
    expected = folder_for(Path(record.target))
    if os.path.realpath(folder) != os.path.realpath(expected):
        raise CheckpointError(
            f"{folder} has another name than its clip gives it",
            hint=f"rename it first: {shlex.join(['mv', str(folder), str(expected)])}",
        )
    return place, words


def replay_clip(request: ReplayRequest) -> int:
    """Make a clip again from its recipe, or with a change; the exit code."""
    from stylize.reruns.clips import clip_request
    from stylize.runs.inputs import remember
    from stylize.video.clip import is_clip, open_clip
    from stylize.video.inputs import ClipInputs

    require_libraries()
    output, messages = request.output, request.messages
    for name in ("format", "save_steps", "film"):
        if getattr(output, name):
            raise SettingError(f"--{name.replace('_', '-')} is not for clips")
    quality = output.quality if is_typed("quality") else QUALITY
    wanted = {"output": output.output, "overwrite": output.overwrite, "quality": quality}
    files = [str(path) for path in request.paths]
    target = choose_target(
        str(request.file),
        files,
        "-".join(request.changes) or "replay",
        {**wanted, "codec": None},
        placeholders(request.settings),
    )
    load_torch()
    clip, inputs = None, ClipInputs()
    for each, path in zip(request.wanted, request.paths, strict=True):
        if each.role == "content":
            clip = open_clip(str(path), target.path)
        elif is_clip(str(path)):
            inputs.masks[each.role] = open_clip(str(path), target.path)
        else:
            inputs.pictures.append((each.role, open_picture(str(path), messages)))
            continue
        remember(path, each.sha256)
    job = clip_request(request.recipe, request.settings, request.overrides, clip, inputs, target)
    said = {name: value for name, value in request.of_clip.items() if name not in CUT_TYPES}
    note_idle(job.video, said, "--set ")
    context = click.get_current_context()
    job = dataclasses.replace(job, command=(os.getcwd(), *context.find_root().obj))
    announce(job)
    return paint_clip(job, Reporting(messages, show=output.show, started=request.started))
