"""``--preset`` and ``--save-preset``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stylize.commands.options import Decorated, complete_preset, group_of
from stylize.errors import OutputError, SettingError
from stylize.images import check_writable
from stylize.images.atomic import write_atomically
from stylize.presets import DEFAULTS, Preset, changes, to_toml


def preset_options(technique: str) -> Callable[[Decorated], Decorated]:
    """The options that name a look, or keep one."""
    return group_of(
        [
            click.option(
                "--preset",
                default=DEFAULTS[technique],
                metavar="NAME|FILE",
                shell_complete=complete_preset(technique),
                help="Settings to begin from; see 'stylize presets list'."
                f"  [{DEFAULTS[technique]}]",
            ),
            click.option(
                "--save-preset",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                help="Write the settings of this run as a preset.",
            ),
        ]
    )


def check_new_preset(path: Path, *, overwrite: bool) -> None:
    """Make sure that a preset can be written there, and be told from a name by ``--preset``."""
    if path.suffix != ".toml":
        raise SettingError(f"--save-preset: {path} does not end in .toml")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    check_writable(path)


def save_preset(path: Path, settings: Any) -> None:
    """Write the settings of this run as a file that ``--preset`` takes."""
    name = "".join(c if c.isalnum() and c.isascii() else " " for c in path.stem.lower()).split()
    preset = Preset(
        "-".join(name) or "mine", settings.TECHNIQUE, "Saved from a run", changes(settings)
    )
    write_atomically(path, to_toml(preset).encode())
