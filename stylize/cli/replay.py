"""``stylize replay``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.clip_options import CUT_TYPES
from stylize.cli.clip_output import is_pattern
from stylize.cli.clip_reruns import replay_clip
from stylize.cli.completion import FILE, complete_cell
from stylize.cli.help import Command, option
from stylize.cli.inputs import open_picture, require_files
from stylize.cli.messages import say
from stylize.cli.options import (
    changed_words,
    check_streams,
    found_inputs_option,
    given,
    input_options,
    message_options,
    note_idle,
    option_for,
    output_options,
    settings_options,
)
from stylize.cli.output import choose_target, placeholders
from stylize.cli.process import load_torch
from stylize.cli.progress import stop_on_interrupt
from stylize.cli.requests import Messages, OutputRequest, ReplayRequest, take
from stylize.cli.run import RunRequest, begin, film_of, run_job, save
from stylize.cli.tunnel import TunnelRequest, choose_replayed_film, shoot
from stylize.errors import PictureError, RecipeError, SettingError, no_such_file
from stylize.settings.dream import TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import Group, option_name, unknown_setting
from stylize.settings.presets import DEFAULTS
from stylize.settings.video import VideoSettings

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.runs.inputs import Wanted
    from stylize.runs.result import Result


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@output_options("{photo}, {style}, {preset} and any setting, such as {size}", "next to FILE")
@option(
    "--size",
    metavar="SIZE",
    group=Group.LOOK,
    everyday=True,
    help="Size of the result, instead of the one in the recipe: 2048, 640x480, 12MP.",
)
@option(
    "--enlarge",
    is_flag=True,
    group=Group.LOOK,
    everyday=True,
    help="Let the result be larger than the photo.",
)
@found_inputs_option
@option(
    "--substitute",
    is_flag=True,
    group=Group.INPUT,
    everyday=True,
    help="Use --input files in place of inputs that are not found.",
)
@option(
    "--cell",
    metavar="B3",
    group=Group.INPUT,
    everyday=True,
    shell_complete=complete_cell,
    help="Cell of a contact sheet to make large.",
)
@option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    group=Group.LOOK,
    everyday=True,
    help="Change a setting of the recipe, such as strength=70; of a clip also coherence, every, "
    "passes, start, end and fps. Repeatable.",
)
@option(
    "--content",
    type=FILE,
    metavar="PHOTO",
    group=Group.INPUT,
    everyday=True,
    help="Use this photo instead of the one in the recipe.",
)
@option(
    "--style",
    "styles",
    type=FILE,
    multiple=True,
    metavar="FILE",
    group=Group.INPUT,
    everyday=True,
    help="Use this style image instead of those in the recipe. Repeatable.",
)
@settings_options(Execution)
@input_options
@message_options
def replay(file: Path, inputs: tuple[Path, ...], **options: Any) -> int:
    """Make the picture FILE again from the recipe inside it.

    \b
    Examples:
      stylize replay painting.png --size 2048 --enlarge -o poster.png
      stylize replay painting.png --set strength=70 --content other.jpg
      stylize replay sheet.png --cell B3 --size 1024 --enlarge

    Inputs are found by their content: among the --input files, next to FILE, in the current
    folder, or where they were last used. With the same version, processor and number of threads
    every pixel is the same; otherwise the difference is printed.
    """
    request = read_request(file, inputs, options)
    if "clip" in request.recipe:
        return replay_clip(request)
    load_torch(request.paths)
    job = prepare(request)
    if isinstance(request.settings, TunnelSettings):
        words = "-".join(request.changes) or "replay"
        film = choose_replayed_film(file, request.settings, request.paths, words, request.output)
        tunnel = TunnelRequest(
            None, None, None, request.settings, Execution(), film, request.messages, request.started
        )
        return shoot(job, tunnel)
    return paint_again(job, request)


def read_request(file: Path, inputs: Sequence[Path], options: dict[str, Any]) -> ReplayRequest:
    """Read the recipe, find the inputs, and check the options."""
    from stylize.runs.inputs import find_sources, kept_inputs
    from stylize.runs.recipe import changed_settings, settings_of

    messages, output = take(Messages, options), take(OutputRequest, options)
    overrides = given(Execution, options)
    Execution(**overrides)
    check_streams(output.output, (), as_json=messages.as_json)
    recipe = read_recipe(file, options["cell"])
    said, of_clip = said_of(settings_of(recipe), options, is_clip="clip" in recipe)
    recipe = dict(with_changed_clip(recipe, of_clip))
    settings = changed_settings(recipe, said, len(options["styles"]) or None)
    is_clip = "clip" in recipe
    new = [("style", Path(style)) for style in options["styles"]]
    if options["content"]:
        new.insert(0, ("content", Path(options["content"])))
    require_files([path for _, path in new if not (is_clip and is_pattern(str(path)))])
    kept = kept_inputs(recipe, settings, [role for role, _ in new])
    substitute: bool = options["substitute"]
    places = (file.parent, Path())
    found = find_sources(kept, given=inputs, folders=places, substitute=substitute, frames=is_clip)
    wanted, paths = with_new(new, kept, found, frames=is_clip)
    more = {name: value for name, value in said.items() if name not in ("size", "enlarge")}
    note_changes(settings, more, [each.role for each in wanted])
    return ReplayRequest(
        file=file,
        cell=options["cell"],
        recipe=recipe,
        settings=settings,
        wanted=wanted,
        paths=paths,
        substitute=substitute,
        overrides=overrides,
        changes=[
            *([options["cell"]] if options["cell"] else []),
            *(path.stem for _, path in new),
            *changed_words(type(settings), said, of_recipe=True),
            *words_of_clip(of_clip),
        ],
        altered=bool(more or new or of_clip),
        of_clip=of_clip,
        output=output,
        messages=messages,
    )


def read_recipe(file: Path, cell: str | None) -> Mapping[str, Any]:
    """The recipe of a file, or of a cell of a sheet.

    Raises:
        PictureError: there is no such file.
        RecipeError: it holds no recipe, or one of a command that is not replayed.
    """
    from stylize.runs.recipe import load_recipe, of_cell

    if not file.exists():
        raise no_such_file(file)
    recipe = of_cell(load_recipe(file), cell)
    technique = str(recipe["technique"])
    if technique.startswith("inspect "):
        raise RecipeError(
            f"{file.name} was made by 'stylize {technique}', which is not replayed",
            hint=f"run that command again; 'stylize info {file}' shows its settings",
        )
    return recipe


def said_of(
    settings: Any, options: Mapping[str, Any], *, is_clip: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``--set``, ``--size`` and ``--enlarge`` change, as plain data by field.

    Returns:
        The changes of a picture, and those of the clip as a whole.

    Raises:
        UsageError: no such setting, or a value that its option would not take.
    """
    fields = {each.name: each for each in dataclasses.fields(settings)}
    video = {each.name: each for each in dataclasses.fields(VideoSettings) if is_clip}
    whole: dict[str, Callable[[str], Any]] = {
        name: partial(value_of, each) for name, each in video.items()
    }
    if is_clip:
        whole |= {name: partial(time_of, kind) for name, kind in CUT_TYPES.items()}
    spelled = {option_name(each).removeprefix("--"): name for name, each in fields.items()}
    said: dict[str, Any] = {}
    of_clip: dict[str, Any] = {}
    for assignment in options["assignments"]:
        name, equals, text = assignment.partition("=")
        name = spelled.get(name.strip().removeprefix("--").replace("_", "-"), name.strip())
        if not equals:
            raise SettingError(
                f"--set: '{assignment}' is not NAME=VALUE", hint="for instance strength=70"
            )
        try:
            if name.removeprefix("--") in whole:
                name = name.removeprefix("--")
                of_clip[name] = whole[name](text.strip())
            elif name in fields:
                said[name] = value_of(fields[name], text.strip())
            else:
                raise unknown_setting(name, fields | video)
        except click.BadParameter as error:
            error.param_hint = f"'--set {name}'"
            raise
    if options["size"]:
        said["size"] = options["size"]
    return said | ({"enlarge": True} if options["enlarge"] else {}), of_clip


def time_of(kind: click.ParamType[Fraction], text: str) -> Fraction | None:
    """A time or a frame rate of a clip, as its option reads it."""
    return None if text == "none" else kind.convert(text, None, None)


def with_changed_clip(recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recipe with changes of the clip as a whole.

    Raises:
        SettingError: a value is not allowed.
    """
    if not changes:
        return recipe
    VideoSettings(**{name: value for name, value in changes.items() if name not in CUT_TYPES})
    plain = {
        name: str(value) if isinstance(value, Fraction) else value
        for name, value in changes.items()
    }
    return {**recipe, "clip": {**recipe["clip"], **plain}}


def words_of_clip(changes: Mapping[str, Any]) -> list[str]:
    """Words for the file name: ``coherence-0.5``."""
    values = {
        name: float(value) if isinstance(value, Fraction) else value
        for name, value in changes.items()
    }
    return [f"{name}-{'none' if value is None else f'{value:g}'}" for name, value in values.items()]


def value_of(each: dataclasses.Field[Any], text: str) -> Any:
    """A setting's value from text, read as its option reads it; ``none`` where it may be None."""
    if text == "none" and "None" in str(each.type):
        return None
    taken = option_for(each)
    if taken.multiple and not each.metadata["joined"]:
        return [taken.type.convert(part.strip(), taken, None) for part in text.split(",")]
    value = taken.type.convert(text, taken, None)
    return dict(value) if each.type == "LayerWeights" else value


def note_changes(settings: Any, said: Mapping[str, Any], roles: Sequence[str]) -> None:
    """Say which of the settings that were set have no effect."""
    note_idle(
        settings,
        said,
        "--set ",
        several_styles=roles.count("style") > 1,
        guide="guide" in roles,
        photo="content" in roles,
        masks=bool(set(roles) - {"content", "style", "start", "guide"}),
    )


def with_new(
    new: Sequence[tuple[str, Path]],
    kept: Sequence[Wanted],
    found: Sequence[Path],
    *,
    frames: bool,
) -> tuple[list[Wanted], list[Path]]:
    """List all inputs with their files, the new ones first.

    Args:
        new: role and file of each.
        kept: inputs of the recipe.
        found: the file of each of those.
        frames: whether a photo may be a folder of frames, or a pattern.
    """
    from stylize.runs.inputs import Wanted, digest, frames_digest

    wanted = []
    for role, path in new:
        several = frames and role == "content" and not path.is_file()
        wanted.append(Wanted(role, path.name, frames_digest(path) if several else digest(path)))
    return [*wanted, *kept], [*(path for _, path in new), *found]


def prepare(request: ReplayRequest) -> Any:
    """Open the pictures and load the network."""
    from stylize.reruns.replay import execution_of, job_of

    pictures = open_inputs(
        request.wanted, request.paths, request.messages, substitute=request.substitute
    )
    execution = execution_of(request.recipe, request.overrides)
    return job_of(request.recipe, pictures, request.settings, execution, changed=request.altered)


def paint_again(job: Any, request: ReplayRequest) -> int:
    """Make a picture again and compare it with the old one."""
    from stylize.reruns.replay import recorded_steps, run_until

    files = [request.file, *request.paths]
    words = "-".join(request.changes) or "replay"
    names = {"preset": str(request.recipe.get("preset") or DEFAULTS[request.recipe["technique"]])}
    styles = [each.name for each in request.wanted if each.role == "style"]
    if styles:
        names["style"] = "-".join(Path(style).stem for style in styles)
    values = {**names, **placeholders(request.settings)}
    target = choose_target(str(request.file), files, words, request.output, values)
    run = RunRequest(target, files, request.output, request.messages, started=request.started)
    begin(job, run)
    steps = None if request.altered else recorded_steps(request.recipe)
    with stop_on_interrupt(quiet=request.messages.quiet) as stop, film_of(job, run) as film:
        result = run_job(job, run, None, stop, partial(run_until, job, steps), film)
        # The first frame of a film is not the picture that the recipe makes.
        same = not request.cell and not request.altered and not request.recipe.get("film")
        if not request.messages.quiet and same:
            say(comparison(request.file, result))
        return save(result, run, stop, film=film)


def open_inputs(
    wanted: Sequence[Wanted], paths: Sequence[Path], messages: Messages, *, substitute: bool
) -> list[tuple[str, Picture]]:
    """The pictures of a recipe with their roles."""
    pictures = [open_picture(str(path), messages) for path in paths]
    for each, path, picture in zip(wanted, paths, pictures, strict=True):
        if picture.sha256 != each.sha256 and not substitute:
            raise RecipeError(f"{path} has changed since it was found")
    return [(each.role, picture) for each, picture in zip(wanted, pictures, strict=True)]


def comparison(file: Path, result: Result) -> str:
    """Say how the new picture differs from the old one."""
    from stylize.images.read import read_picture
    from stylize.reruns.replay import difference

    try:
        found = difference(read_picture(file), result)
    except PictureError as error:  # which is no reason to lose the new one
        return error.message
    if found is None:
        return f"not compared: {file.name} has another size"
    if found[0] == 0:
        return f"every pixel as in {file.name}"
    return (
        f"differs from {file.name} by {found[0]:.0f} grey levels at most, {found[1]:.2g} on average"
    )
