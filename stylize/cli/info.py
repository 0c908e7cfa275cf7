"""``stylize info``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from stylize.cli.help import Command, option
from stylize.cli.messages import echo
from stylize.errors import PictureError, RecipeError, StylizeError


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@option(
    "--json",
    "as_json",
    is_flag=True,
    everyday=True,
    help="Print the recipe as one JSON document.",
)
def info(file: Path, as_json: bool) -> None:
    """Show the recipe inside the picture or clip FILE: how it was made.

    \b
    Examples:
      stylize info result.png
      stylize info result.png --json
      stylize info painted.mp4.frames

    FILE may also be a folder of painted frames, the folder of an unfinished clip, or a checkpoint.
    """
    state: dict[str, Any] = {}
    source: Path | None = file
    if file.is_dir():
        state, source = look_into(file)
    recipe = {} if source is None else read_recipe(source)
    if as_json:
        click.echo(json.dumps(recipe | state, indent=2))
        return
    try:
        lines = [*describe_state(file, state), *(describe(recipe) if recipe else ())]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RecipeError(
            f"{file.name} carries a damaged recipe", hint="--json shows it"
        ) from error
    for line in lines:
        echo(line)


def read_recipe(file: Path) -> dict[str, Any]:
    """The recipe of a picture, a clip or a checkpoint.

    Raises:
        StylizeError: the file has none.
    """
    from stylize.runs.recipe import load_recipe

    try:
        return load_recipe(file)
    except PictureError:
        # Only now: this imports torch.
        from stylize.runs import checkpoint

        if not checkpoint.is_checkpoint(file):
            raise
        return {**checkpoint.describe(file).recipe, "interrupted": True}


def look_into(folder: Path) -> tuple[dict[str, Any], Path | None]:
    """What is worth knowing about a folder, and the file whose recipe counts.

    Raises:
        RecipeError: it holds nothing of interest.
    """
    from stylize.batches.records import state_folder
    from stylize.images.names import natural_key
    from stylize.runs.recipe import load_recipe
    from stylize.video.record import PASSES, is_work_folder

    if is_work_folder(folder):
        painted = sorted(each for name in PASSES for each in (folder / name).glob("*.png"))
        return {"unfinished": state_of(folder)}, next(iter(painted), None)
    if state_folder(folder).is_dir():
        raise RecipeError(
            f"{folder} is the folder of a batch",
            hint=f"'stylize batch status {folder}' shows its state; or name a picture in it",
        )
    for picture in sorted(folder.glob("*.png"), key=lambda path: natural_key(path.name)):
        with suppress(StylizeError):
            load_recipe(picture)
            return {}, picture
    raise RecipeError(
        f"{folder} is a folder, not a picture, and holds no painted frames",
        hint="name a picture or a clip",
    )


def state_of(folder: Path) -> dict[str, Any]:
    """How far an unfinished clip is."""
    from stylize.video.record import count_frames, read_record

    record = read_record(folder)
    if record is None:
        return {"frames_done": 0}
    done, again = count_frames(folder, record)
    place, *words = record.command or ("",)
    return {
        "file": record.target,
        "frames": record.count,
        "frames_done": done,
        **({"second_pass": again} if record.essence["video"]["passes"] > 1 else {}),
        "folder": place,
        "command": words,
    }


def describe_state(folder: Path, state: Mapping[str, Any]) -> list[str]:
    """How far an unfinished clip is, and how to go on; nothing for another file."""
    if "unfinished" not in state:
        return []
    clip = state["unfinished"]
    if "frames" not in clip:
        return [f"{folder} was stopped before the first frame: run the command again"]
    done = f"{clip['frames_done']} of {clip['frames']} frames"
    if "second_pass" in clip:
        done += f", {clip['second_pass']} of them a second time"
    lines = [f"unfinished {clip['file']}: {done} are painted"]
    if clip["command"]:
        words = shlex.join(["stylize", *clip["command"]])
        lines.append(f"continue   stylize resume {shlex.quote(str(folder))}")
        lines.append(f"begun as   {words}, in {clip['folder']}")
    else:
        lines.append("continue   run again what began it")
    return lines


def describe(recipe: dict[str, Any]) -> list[str]:
    """The recipe for people, a line for each thing worth knowing."""
    resolved = recipe["resolved"]
    preset = f", preset {recipe['preset']}" if recipe.get("preset") else ""
    lines = [
        f"{recipe['technique']}, made by stylize {recipe.get('version')}{preset}"
        + (" (interrupted)" if recipe.get("interrupted") else "")
    ]
    if isinstance(clip := recipe.get("clip"), dict):
        lines.append(f"clip       {_clip(clip)}")
    for each in recipe["inputs"]:
        crop = resolved.get("style_crops", {}).get(str(each.get("sha256"))[:12])
        lines.append(
            f"{each.get('role', 'input'):<10} {each.get('name')}, {_extent(each)},"
            f" sha256 {str(each.get('sha256'))[:12]}…" + (f", used {crop}" if crop else "")
        )
    weights = recipe.get("weights", {})
    lines.append(f"network    {weights.get('name')}, sha256 {str(weights.get('sha256'))[:12]}…")
    lines.append(f"resolved   {_size(resolved.get('size'))}{_machine(resolved)}")
    # An inspection may have neither.
    if scales := resolved.get("scales", []):
        lines.append("steps      " + ", ".join(f"{w}×{h}: {steps}" for w, h, steps in scales))
    if losses := recipe.get("losses", {}):
        named = (f"{name} {value:g}" for name, value in losses.items())
        lines.append("losses     " + ", ".join(named))
    lines += [f"{name:<16} {_value(value)}" for name, value in recipe["settings"].items()]
    return lines


def _clip(clip: dict[str, Any]) -> str:
    """Say how many frames a clip has, and how they follow from each other."""
    others = {name: value for name, value in clip.items() if name not in ("frames", "frame")}
    frame = f"frame {clip['frame']} of " if "frame" in clip else ""
    named = (f"{name} {_amount(value)}" for name, value in others.items())
    return ", ".join([f"{frame}{clip['frames']} frames", *named])


def _amount(value: Any) -> str:
    """A number; times and rates are fractions such as ``2/25``."""
    return f"{float(Fraction(value)):g}" if isinstance(value, str) else _value(value)


def _machine(resolved: dict[str, Any]) -> str:
    """Say where a picture was made; nothing if no network was used."""
    if "device" not in resolved:
        return ""
    return (
        f" on {resolved['device']}, {resolved.get('precision')}, {resolved.get('threads')} threads,"
        f" torch {resolved.get('torch')}"
    )


def _extent(entry: dict[str, Any]) -> str:
    """Say how large an input was: the size of a picture, or the number of photos."""
    return f"{entry['count']} photos" if "count" in entry else _size(entry.get("size"))


def _size(size: Any) -> str:
    return f"{size[0]}×{size[1]} px" if isinstance(size, list) and len(size) == 2 else "?"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}:{weight:g}" for name, weight in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value)
