"""From a picture back to the request that made it, and from a request to a command or a script."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stylize.batches.tasks import Clips
from stylize.errors import RecipeError, UsageError
from stylize.runs.inputs import wanted_of
from stylize.runs.recipe import check_recipe, of_cell, settings_of
from stylize.settings.execution import Execution
from stylize.settings.fields import option_name
from stylize.settings.masks import KEEP
from stylize.settings.presets import DEFAULTS, every_preset_name, find_preset
from stylize.settings.video import VideoSettings
from stylize.studio.library import Known
from stylize.studio.requests import FORMATS, JobRequest, changed_from_preset, read_request
from stylize.video.recipe import read_clip

Find = Callable[[str], Known | None]

_REGION = re.compile(r"region ([1-9][0-9]?)(?: (.+))?")


def recall(known: Known, find: Find, cell: str | None = None) -> dict[str, Any]:
    """Find the request that makes a picture again, and its command.

    Args:
        known: made by stylize.
        find: looks for a picture by its id.
        cell: of a contact sheet, such as ``B3``.

    Raises:
        SettingError: the cell's name is invalid.
        RecipeError: it has no recipe, or one that no job can follow.
    """
    if known.recipe is None:
        raise RecipeError(
            f"{known.name} carries no recipe", hint="only pictures made by stylize do"
        )
    check_recipe(known.recipe, known.name)
    recipe = of_cell(known.recipe, cell)
    kind = recipe["technique"]
    if kind not in DEFAULTS:
        raise RecipeError(f"{known.name} was made by 'stylize {kind}', which is no job")
    settings = settings_of(recipe)
    wanted = wanted_of(recipe)
    found = {each.sha256: find(each.sha256) for each in wanted}
    missing = [each for each in wanted if found[each.sha256] is None]
    roles = [(each.role, each.sha256) for each in wanted if found[each.sha256] is not None]
    name = recipe.get("preset")
    preset = find_preset(kind, name if name in every_preset_name(kind) else DEFAULTS[kind])
    request = {"kind": kind, "preset": preset.name, **_pictures(roles)}
    whole = JobRequest(preset, settings, Execution(), request.get("photo"))
    request["settings"] = changed_from_preset(whole)
    if "clip" in recipe and known.clip is not None:
        request |= _of_clip(recipe, known) | {"kind": f"video-{kind}"}
        if "photo" in request:
            request["clip"] = request.pop("photo")
    interrupted = bool(recipe.get("interrupted"))
    texts: dict[str, Any] = {"command": None, "python": None}
    if not missing and interrupted:
        texts = _replay(known, [each for each in found.values() if each is not None])
    elif not missing:
        texts = texts_of(read_request(request), find)
    return {
        "request": request,
        "missing": [dataclasses.asdict(each) for each in missing],
        "recipe": dict(known.recipe),
        "interrupted": interrupted,
        **texts,
    }


def _of_clip(recipe: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """List what the request of a clip says besides the look of its frames."""
    cut, video = read_clip(recipe)
    given = {name: float(value) for name, value in vars(cut).items() if value is not None}
    changed = _changed_video(video)
    format = known.path.suffix[1:].lower()
    return {
        **({"cut": given} if given else {}),
        **({"video": changed} if changed else {}),
        **({"format": format} if format in FORMATS[1:] else {}),
    }


def _changed_video(video: VideoSettings) -> dict[str, Any]:
    values = {each.name: getattr(video, each.name) for each in dataclasses.fields(video)}
    default = VideoSettings()
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def _pictures(roles: list[tuple[str, str]]) -> dict[str, Any]:
    """List the pictures of a request by the keys under which it names them."""
    request: dict[str, Any] = {}
    regions: dict[int, dict[str, str]] = {}
    for role, id in roles:
        if role == "content":
            request["photo"] = id
        elif role == "style":
            request.setdefault("styles", []).append(id)
        elif role in ("start", "guide", "mask"):
            request[role] = id
        elif match := _REGION.fullmatch(role):
            region = regions.setdefault(int(match[1]), {"style": KEEP})
            if match[2] == "style":
                region["style"] = id
            else:
                region["mask"] = id
                if match[2]:
                    region["colour"] = match[2]
    whole = [regions[number] for number in sorted(regions) if "mask" in regions[number]]
    return request | ({"regions": whole} if whole else {})


def texts_of(request: JobRequest, find: Find) -> dict[str, str]:
    """Write the command and the Python script that make the same picture.

    Args:
        request: its pictures are known.
        find: looks for a picture by its id.

    Raises:
        UsageError: a picture is not known.
    """

    def path(id: str) -> str:
        known = find(id)
        if known is None:
            raise UsageError(f"there is no picture {id[:8]}…")
        return str(known.path)

    return {"command": _command(request, path), "python": _python(request, path)}


def _command(request: JobRequest, path: Callable[[str], str]) -> str:
    kind = request.preset.technique
    words = [
        "stylize",
        *(["video"] if request.clips else []),
        kind,
        *(path(id) for id in _arguments(request)),
    ]
    if request.preset.recorded:
        words += ["--preset", request.preset.name]
    for role in ("guide", "mask"):
        if (id := getattr(request, role)) is not None:
            words += [f"--{role}", path(id)]
    maps = {each.mask for each in request.regions if each.colour}
    for mask in maps:
        words += ["--regions", path(mask)]
    for each in request.regions:
        style = KEEP if each.style is None else path(each.style)
        if each.colour:
            words += ["--region", f"{each.colour}={style}"]
        else:
            words += ["--mask", f"{path(each.mask)}={style}"]
    words += [*_options(request, path), *_clip_options(request)]
    words += ["-o", _result_name(request, path)]
    return quoted_command(words)


def _clip_options(request: JobRequest) -> Iterator[str]:
    """Yield the options for how the frames of a clip follow from each other."""
    if request.clips is not None:
        for name, value in _clip_values(request.clips).items():
            yield from (f"--{name}", _plain(value))


def _clip_values(clips: Clips) -> dict[str, Any]:
    cut = {name: float(value) for name, value in vars(clips.cut).items() if value is not None}
    return cut | _changed_video(clips.video)


def _arguments(request: JobRequest) -> Iterator[str]:
    if request.photo is not None:
        yield request.photo
    yield from request.styles


def _options(request: JobRequest, path: Callable[[str], str]) -> Iterator[str]:
    """Yield the options for what differs from the preset."""
    changed = changed_from_preset(request)
    for each in (*dataclasses.fields(request.settings), *dataclasses.fields(Execution)):
        name = option_name(each)
        if each.name in changed:
            value = changed[each.name]
        elif getattr(request.execution, each.name, each.default) != each.default:
            value = getattr(request.execution, each.name)
        else:
            continue
        if each.name == "init" and request.start is not None:
            yield from (name, path(request.start))
        elif isinstance(value, bool):
            yield name if value else f"--no-{name.removeprefix('--')}"
        elif isinstance(value, list):
            for item in value:
                yield from (name, _plain(item))
        elif isinstance(value, Mapping):
            layers = ",".join(f"{layer}:{_plain(weight)}" for layer, weight in value.items())
            yield from (name, layers)
        elif value is not None:
            yield from (name, _plain(value))


def _plain(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _result_name(request: JobRequest, path: Callable[[str], str]) -> str:
    named = [re.sub(r"-[0-9a-f]{8}$", "", Path(path(id)).stem) for id in _arguments(request)]
    words = named or ["noise"]
    if not request.styles:
        words = [*words, request.preset.name]
    suffix = ".png" if request.clips is None else f".{request.clips.format}"
    return "-".join(words)[:80] + suffix


def _python(request: JobRequest, path: Callable[[str], str]) -> str:
    kind = request.preset.technique
    arguments: list[str] = []
    if request.photo is not None:
        arguments.append(repr(path(request.photo)))
    if kind == "transfer":
        arguments.append(repr([path(id) for id in request.styles]))
    if request.preset.recorded:
        arguments.append(f"preset={request.preset.name!r}")
    for role in ("start", "guide", "mask"):
        if (id := getattr(request, role)) is not None:
            arguments.append(f"{role}={path(id)!r}")
    if request.regions:
        regions = ", ".join(
            _region(each.mask, each.style, each.colour, path) for each in request.regions
        )
        arguments.append(f"regions=[{regions}]")
    for name, value in _named_values(request).items():
        arguments.append(f"{name}={value!r}")
    target = _result_name(request, path)
    if request.clips is not None:
        values = _clip_values(request.clips) | {"output": target}
        arguments += [f"{name}={value!r}" for name, value in values.items()]
        return f"from stylize import video\n\nvideo.{kind}(\n{_indented(arguments)})\n"
    return (
        f"import stylize\n\nresult = stylize.{kind}(\n{_indented(arguments)})\n"
        f"result.save({target!r})\n"
    )


def _indented(arguments: list[str]) -> str:
    return "".join(f"    {each},\n" for each in arguments)


def _region(mask: str, style: str | None, colour: str | None, path: Callable[[str], str]) -> str:
    words = [repr(path(mask)), "None" if style is None else repr(path(style))]
    return f"({', '.join([*words, *([repr(colour)] if colour else [])])})"


def _named_values(request: JobRequest) -> dict[str, Any]:
    values = {
        k: v for k, v in changed_from_preset(request).items() if k != "init" or not request.start
    }
    for each in dataclasses.fields(Execution):
        value = getattr(request.execution, each.name)
        if value != each.default:
            values[each.name] = value
    return values


def _replay(known: Known, inputs: list[Known]) -> dict[str, str]:
    """Write how to make a picture again that was stopped early."""
    target = f"{known.path.stem}-again.png"
    paths = list(dict.fromkeys(str(each.path) for each in inputs))
    words = ["stylize", "replay", str(known.path)]
    for each in paths:
        words += ["--input", each]
    python = (
        "import stylize\n\n"
        f"result = stylize.replay({str(known.path)!r}, inputs={paths!r})\n"
        f"result.save({target!r})\n"
    )
    return {"command": quoted_command([*words, "-o", target]), "python": python}


def quoted_command(words: list[str]) -> str:
    """Quote a command for the system's shell."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
