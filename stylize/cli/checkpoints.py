"""Checkpoints on the command line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.help import option
from stylize.cli.messages import say
from stylize.cli.options import given, group_of, make_parents, settings_options
from stylize.cli.output import hold
from stylize.cli.requests import OutputRequest
from stylize.errors import OutputError, UsageError
from stylize.settings.execution import CheckpointSettings
from stylize.settings.fields import Group

if TYPE_CHECKING:
    from stylize.cli.run import Plan
    from stylize.runs.checkpoint import CheckpointPolicy, Request
    from stylize.runs.result import Result

# Runs that are predicted to take longer are kept without being asked.
LONG_S = 600.0

checkpoint_options = group_of(
    [
        option(
            "--checkpoint",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            group=Group.EXECUTION,
            help="Save the progress to FILE, so that 'stylize resume FILE' can continue the run."
            "  [OUTPUT.checkpoint if the run takes more than 10 minutes, or if SIGTERM or SIGHUP"
            " ends it after a minute]",
        ),
        option(
            "--no-checkpoint",
            is_flag=True,
            group=Group.EXECUTION,
            help="Never save the progress.",
        ),
        settings_options(CheckpointSettings),
    ]
)


@dataclass(frozen=True)
class Checkpointing:
    """What a command does about checkpoints.

    Attributes:
        request: what the run was asked for.
        path: the file that was named; None for the usual one.
        wanted: False for no checkpoint at all.
        resumed: whether the file holds this very run.
        files: inputs, never to be replaced.
    """

    request: Request
    path: Path | None = None
    wanted: bool = True
    resumed: bool = False
    files: Sequence[Path] = ()

    def begin(self, job: Plan, *, quiet: bool) -> CheckpointPolicy | None:
        """The checkpoint of a run that is about to start; None for none.

        Raises:
            OutputError: the usual file is in the way.
        """
        from stylize.runs.checkpoint import CheckpointPolicy

        path = self.path or self._usual(job)
        if not self.wanted:
            return None
        if path is None:
            return self._for_termination()
        if self.path is None:
            hold_checkpoint(path)
        if not self.resumed:
            # Again for a named file, which may have appeared while the network was loaded.
            check_free(path, self.files, overwrite=self.request.overwrite)
        if self.path is None and not quiet:
            say(f"long run: checkpoints go to {path} (--no-checkpoint turns them off)")
        if not self.resumed:
            # So that the state of an older run is never resumed by mistake.
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return CheckpointPolicy(path, self.request, say, present=self.resumed)

    def _for_termination(self) -> CheckpointPolicy | None:
        """The checkpoint of a run that needs one only if the system terminates it."""
        from stylize.images.names import neighbour
        from stylize.runs.checkpoint import SUFFIX, CheckpointPolicy

        if self.request.target is None:
            return None
        path = neighbour(Path(self.request.target), tail=SUFFIX)
        return CheckpointPolicy(path, self.request, say, only_terminated=True)

    def _usual(self, job: Plan) -> Path | None:
        from stylize.images.names import neighbour
        from stylize.runs.checkpoint import SUFFIX

        seconds = job.cost().seconds
        if self.request.target is None or seconds is None or seconds <= LONG_S:
            return None
        return neighbour(Path(self.request.target), tail=SUFFIX)


def read_checkpointing(
    target: Path | None, files: Sequence[Path], output: OutputRequest, options: dict[str, Any]
) -> Checkpointing:
    """The checkpoint of a command, from its options, which it removes.

    Args:
        target: the file that the picture goes to; None for stdout.
        files: the inputs.
        output: how the picture is written.
        options: those of :data:`checkpoint_options`.

    Raises:
        UsageError: a checkpoint and none at once.
        OutputError: the named file cannot be written, or is in the way.
    """
    from stylize.images.open import pixel_limit
    from stylize.runs.checkpoint import Request

    path, without = options.pop("checkpoint"), options.pop("no_checkpoint")
    minutes = CheckpointSettings(**given(CheckpointSettings, options)).checkpoint_every
    if path is not None and without:
        raise UsageError(
            "--checkpoint cannot be combined with --no-checkpoint", hint="leave one of them out"
        )
    taken = [*files, *([] if target is None else [target])]
    if path is not None:
        hold_checkpoint(path)
        check_free(path, taken, overwrite=output.overwrite)
    request = Request(
        target=None if target is None else os.path.abspath(target),
        format=output.format,
        depth=str(output.depth),
        quality=output.quality,
        overwrite=output.overwrite,
        max_input_pixels=pixel_limit(),
        minutes=minutes,
    )
    return Checkpointing(request, path, not without, files=files)


def hold_checkpoint(path: Path) -> None:
    """Keep a checkpoint from all other runs until the command ends.

    Raises:
        OutputError: another run has it.
    """
    hold(
        path,
        f"{path} is the checkpoint of a run that is not finished yet",
        hint="wait for its end, or name another file with --checkpoint",
    )


def check_free(path: Path, taken: Sequence[Path], *, overwrite: bool) -> None:
    """Make sure that a checkpoint can be written, and that nothing is lost by it.

    Args:
        path: of the checkpoint.
        taken: files that have another part in the run.
        overwrite: replace the checkpoint of another run.

    Raises:
        OutputError: it cannot; says what can be done.
    """
    from stylize.images.atomic import check_writable
    from stylize.runs.checkpoint import is_checkpoint

    if os.path.realpath(path) in map(os.path.realpath, taken):
        raise OutputError(f"{path} is another file of this run", hint="name another checkpoint")
    if os.path.lexists(path):
        if not is_checkpoint(path):
            raise OutputError(f"{path} exists and is not a checkpoint", hint="name another file")
        if not overwrite:
            raise OutputError(
                f"{path} holds a run that was not finished",
                hint=f"'{resume_command(path)}' continues it, --overwrite discards it",
            )
    make_parents(path)
    check_writable(path)


def resume_command(path: Path) -> str:
    """Return the command that continues a run."""
    return f"stylize resume {shlex.quote(str(path))}"


def conclude(policy: CheckpointPolicy, result: Result, *, quiet: bool) -> None:
    """Once the picture is written: drop the checkpoint, or say how to continue."""
    if not result.interrupted:
        policy.discard()
    elif policy.present and not quiet:
        say(f"'{resume_command(policy.path)}' continues the run")
