"""``stylize inspect``."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stylize.cli.inputs import files_among, open_picture, require_files
from stylize.cli.lazy import LazyGroup
from stylize.cli.messages import INTERRUPTED, say
from stylize.cli.options import (
    Decorated,
    check_streams,
    group_of,
    input_options,
    option_for,
    result_options,
)
from stylize.cli.output import choose_target, deliver
from stylize.cli.progress import stop_on_interrupt
from stylize.cli.run import load_torch
from stylize.errors import OutputError, SettingError, UsageError
from stylize.images.open import set_pixel_limit
from stylize.networks.models import find_model
from stylize.products.inspect.folder import (
    open_album,
    page_path,
    sidecar,
    state_path,
    write_inventory,
)
from stylize.settings.execution import Execution
from stylize.settings.fields import option_name
from stylize.settings.inspect import (
    ActivationsSettings,
    CaricatureSettings,
    FeatureSettings,
    FiltersSettings,
    InversionSettings,
    MapSettings,
    OcclusionSettings,
    PatchesSettings,
    SaliencySettings,
    SegmentSettings,
)

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.products.inspect.folder import Album
    from stylize.products.inspect.model import Finding
    from stylize.products.inspect.photo_map import Atlas

# What --help says of each; the command NAME is the attribute NAME of the module of that name in
# stylize.cli.inspection, imported when it is used.
SUMMARIES = {
    "filters": "The kernels of a layer, as they are.",
    "activations": "What each channel of a layer makes of a photo.",
    "patches": "The patches of many photos that excite a channel most.",
    "feature": "The picture that excites a channel most.",
    "saliency": "Which pixels a response depends on.",
    "occlude": "What a response loses where a patch hides the photo.",
    "invert": "The photo, found again from what a layer knows of it.",
    "caricature": "What a layer sees in a photo, exaggerated.",
    "map": "Many photos on one plane, what looks alike side by side.",
    "segment": "The subject of a photo, as a mask.",
}

COMMANDS = {name: __name__ for name in SUMMARIES}


@click.group(cls=LazyGroup, modules=COMMANDS, summaries=SUMMARIES, kind="inspect command")
def inspect() -> None:
    """See what the network sees."""


Found = TypeVar("Found", bound="Finding")

# Whole pictures are looked at: there are no tiles that a limit could ask for.
IDLE = ("max_memory",)

number_options = group_of(
    [
        click.option("--json", "as_json", is_flag=True, help="The numbers as JSON on stdout."),
        click.option("-q", "--quiet", is_flag=True, help="Only errors."),
        click.option(
            "-v", "--verbose", count=True, help="Say what is decided; -vv shows tracebacks."
        ),
    ]
)


def fields_options(kind: type[Any], *without: str) -> Callable[[Decorated], Decorated]:
    """An option for each field of a settings class but some."""

    def decorate(function: Any) -> Any:
        for each in reversed(dataclasses.fields(kind)):
            if each.name not in without:
                function.__dict__.setdefault("__click_params__", []).append(option_for(each))
        return function

    return decorate


def taken(kind: type[Any], options: dict[str, Any], **others: Any) -> Any:
    """Settings of what the user said, which leaves ``options``; and of what else is known."""
    said = {each.name: options.pop(each.name, None) for each in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in said.items() if value is not None} | others)


def execution_for(settings: Any, options: dict[str, Any]) -> Execution:
    """Where it is done, by what the user said, which leaves ``options``.

    Raises:
        StylizeError: what the user said of it, or a layer that the settings' network has not.
    """
    execution: Execution = taken(Execution, options)
    settings.check_layers(find_model(settings.network).architecture)
    return execution


recursive_option = click.option("-r", "--recursive", is_flag=True, help="Also below FOLDER.")

machine_options = fields_options(Execution, *IDLE)

inspect_options = group_of([result_options, machine_options, input_options, number_options])


def perform(
    look: Callable[[], Found],
    target: Path | None,
    options: dict[str, Any],
    beside: Callable[[Found, Path], object] | None = None,
) -> Found:
    """Look, write the picture, say where it is.

    Args:
        look: gives the finding; torch is there when it is called.
        target: the file to write, None for stdout.
        options: those of :data:`inspect_options`.
        beside: writes what else belongs to the picture in that file.
    """
    started = time.perf_counter()
    if "max_input_pixels" in options:
        set_pixel_limit(options["max_input_pixels"])
    load_torch()
    finding = look()
    deliver(finding.result, target, options)
    if finding.digests and target is not None:
        write_inventory(target, finding.digests)
    if beside is not None and target is not None:
        beside(finding, target)
    tell(finding, target, time.perf_counter() - started, options)
    return finding


def tell(finding: Finding, target: Path | None, seconds: float, options: dict[str, Any]) -> None:
    """The numbers as JSON, or where the picture is."""
    resolved = finding.result.recipe["resolved"]
    if options["verbose"] and "device" in resolved:
        say(f"device {resolved['device']}, {resolved['precision']}, {resolved['threads']} threads")
    if not options["quiet"]:
        for note in finding.notes:
            say(note)
    if options["as_json"]:
        document = {"output": None if target is None else str(target), "seconds": round(seconds, 3)}
        recipe = finding.result.recipe
        click.echo(json.dumps(document | finding.numbers | {"recipe": recipe}, indent=2))
    elif target is not None and not options["quiet"]:
        height, width = finding.result.pixels.shape[2:]
        state = "stopped early, saved" if finding.result.interrupted else "saved"
        say(f"{state} {target} ({width}×{height}, {seconds:.1f} s)")


def choose_picture(
    photo: str | None, words: str, options: dict[str, Any], *others: str | None
) -> Path | None:
    """As :func:`choose_target`, once it is sure that the inputs are there.

    Args:
        photo: a file or ``-`` that lends its name, if one does.
        words: what a name not given says beside that.
        options: those of :data:`inspect_options`.
        others: further inputs.
    """
    sources = [each for each in (photo, *others) if each]
    files = files_among(sources)
    check_streams(options["output"], sources, as_json=options["as_json"])
    require_files(files)
    return choose_target(photo, files, words, options)


def choose_page(
    album: Album, words: str, options: dict[str, Any], *beside: Callable[[Path], Path]
) -> Path | None:
    """As :func:`choose_target`, for a page about a folder.

    Args:
        album: its photos, which are never written to; a name not given stands beside the folder.
        words: what such a name says beside the folder's.
        options: those of :data:`inspect_options`.
        beside: give the files that are written beside the page.

    Raises:
        OutputError: one of these exists and shall not be replaced, or what that raises.
    """
    photos = [photo.path for photo in album.photos]
    # What has no name of its own, such as the current folder, has one from the root on.
    folder = os.path.normpath(album.folder)
    named = folder if Path(folder).name.strip(".") else os.path.abspath(folder)
    target = choose_target(named, photos, words, options)
    companions = [] if target is None else [path_for(target) for path_for in beside]
    for path in companions:
        if os.path.lexists(path) and not options["overwrite"]:
            raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    return target


@contextmanager
def photo_bar(photos: int, options: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    """A bar over the photos on stderr, if it is a terminal."""
    from tqdm import tqdm

    hidden = options["quiet"] or options["as_json"]
    with tqdm(total=photos, disable=True if hidden else None, leave=False, unit="photo") as bar:

        def on_step(name: str) -> None:
            bar.update()

        yield on_step


like_option = click.option(
    "--like",
    metavar="PICTURE",
    help="Ask for the likeness to this picture, at the one layer that TARGET names.",
)


@contextmanager
def step_bar(total: int, unit: str, options: dict[str, Any]) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if it is a terminal; what it gives is told how much was done."""
    from tqdm import tqdm

    hidden = options["quiet"] or options["as_json"]
    with tqdm(total=total, disable=True if hidden else None, leave=False, unit=unit) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance


@contextmanager
def place_bar(options: dict[str, Any]) -> Iterator[Callable[[int, int], None]]:
    """The same where it is known only later how much there is to do."""
    from tqdm import tqdm

    hidden = options["quiet"] or options["as_json"]
    with tqdm(disable=True if hidden else None, leave=False, unit="place") as bar:

        def on_step(done: int, total: int) -> None:
            bar.total = total
            bar.update(done)

        yield on_step


@contextmanager
def stoppable(
    total: int, unit: str, options: dict[str, Any]
) -> Iterator[tuple[Callable[[int], None], Callable[[], bool]]]:
    """A bar, and a Ctrl-C that asks to stop."""
    with (
        stop_on_interrupt(quiet=options["quiet"]) as stop,
        step_bar(total, unit, options) as advance,
    ):
        yield advance, stop


def opened(source: str | None, options: dict[str, Any]) -> Picture | None:
    """The picture of an option that may be left out."""
    return None if source is None else open_picture(source, options)


def check_photo_question(
    target: str | None, like: str | None, settings: SaliencySettings | OcclusionSettings
) -> None:
    """Make sure that one thing is asked, and a likeness at one layer as a whole.

    Raises:
        SettingError: it is not so.
    """
    if settings.category is not None:
        for name, value in {"TARGET": target, "--like": like}.items():
            if value is not None:
                raise SettingError(f"--class and {name}", hint="leave one of them out")
    if like is None:
        return
    first, *others = settings.targets
    if others or first.channels is not None or first.weight != 1:
        raise SettingError("--like compares whole layers", hint="name one as TARGET: conv5_3")
    if settings.at is not None:
        raise SettingError("--like and --at", hint="leave one of them out")


def exit_code(finding: Finding) -> int:
    """130 where the run was stopped."""
    return INTERRUPTED if finding.result.interrupted else 0


@click.command()
@click.argument("photo", metavar="PHOTO")
@click.argument("layer", metavar="LAYER")
@fields_options(ActivationsSettings, "layer")
@inspect_options
def activations(photo: str, layer: str, **options: Any) -> None:
    """What each channel of LAYER makes of PHOTO, the strongest channels first.

    \b
    Examples:
      stylize inspect activations photo.jpg relu4_3
      stylize inspect activations photo.jpg relu5_1 --overlay --count 12
      stylize inspect activations photo.jpg conv2_2:3,17-20

    Beneath each map stand the channel's number and the mean size of its response. Before the
    ReLU (conv4_3 instead of relu4_3), cool colours are negative responses.
    """
    settings = taken(ActivationsSettings, options, layer=layer)
    execution = execution_for(settings, options)
    target = choose_picture(photo, f"activations-{layer}", options)

    def look() -> Any:
        picture = open_picture(photo, options)
        from stylize.products.inspect.activations import show_activations

        return show_activations(picture, settings, execution)

    perform(look, target, options)


@click.command()
@click.argument("photo", metavar="PHOTO")
@fields_options(CaricatureSettings)
@inspect_options
def caricature(photo: str, **options: Any) -> int:
    """Grow a picture, from noise, that exaggerates what a layer sees in PHOTO, place for place.

    \b
    Examples:
      stylize inspect caricature photo.jpg
      stylize inspect caricature photo.jpg --layer relu5_1 --power 0
    """
    settings = taken(CaricatureSettings, options)
    execution = execution_for(settings, options)
    target = choose_picture(photo, f"caricature-{settings.layer}", options)

    def look() -> Any:
        picture = open_picture(photo, options)
        from stylize.products.inspect.caricature import show_caricature

        with stoppable(settings.steps, "step", options) as (advance, stop):
            return show_caricature(
                picture,
                settings,
                execution,
                on_step=lambda step, values: advance(1),
                stop=stop,
            )

    return exit_code(perform(look, target, options))


@click.command()
@click.argument("target", metavar="[TARGET]", required=False)
@click.option(
    "--direction",
    multiple=True,
    metavar="PHOTO",
    help="More of what these photos have in common at the layer TARGET. Repeatable.",
)
@fields_options(FeatureSettings, "target")
@inspect_options
def feature(target: str | None, direction: tuple[str, ...], **options: Any) -> int:
    """Grow the picture that excites TARGET most: a channel, several, or a layer.

    \b
    Examples:
      stylize inspect feature conv5_3:100
      stylize inspect feature conv5_1:7 --diversity 4
      stylize inspect feature conv4_3:30 --to conv4_3:100
      stylize inspect feature conv5_1 --direction cat.jpg --direction lion.jpg
      stylize inspect feature conv5_2:20 --recipe cs231n
      stylize inspect feature --class "golden retriever" --network vgg16-imagenet

    A channel is taken before the ReLU, where even a silent one has a slope. docs/channels.md
    shows thirty channels worth knowing.
    """
    check_question(target, options["category"], direction)
    settings = feature_settings(target, options)
    execution = execution_for(settings, options)
    if direction:
        settings.direction_layer()
    place = choose_picture(None, words_of(target or settings.category or ""), options, *direction)

    def look() -> Any:
        photos = [open_picture(each, options) for each in direction]
        from stylize.products.inspect.feature import show_feature

        with stoppable(settings.steps_planned, "step", options) as (advance, stop):
            return show_feature(
                settings,
                execution,
                photos=photos,
                on_step=lambda step, responses: advance(1),
                stop=stop,
            )

    return exit_code(perform(look, place, options))


def words_of(target: str) -> str:
    """What the name of the result says, in letters that every file system takes."""
    return "feature-" + "".join(c if c.isalnum() or c in "_-" else "-" for c in target)[:72]


def check_question(target: str | None, category: str | None, direction: tuple[str, ...]) -> None:
    """Make sure that one thing is asked for.

    Raises:
        UsageError: none, or a class and something else.
    """
    if target is None and category is None:
        raise UsageError("nothing to grow", hint="name a channel: conv5_3:100")
    if category is not None:
        for name, value in {"TARGET": target, "--direction": direction}.items():
            if value:
                raise UsageError(f"--class and {name}", hint="leave one of them out")


def feature_settings(target: str | None, options: dict[str, Any]) -> FeatureSettings:
    """The settings, and nothing said that makes no difference.

    Raises:
        SettingError: an option of the other recipe, or of a strip that is none.
    """
    said = {name for name, value in options.items() if value is not None}
    settings: FeatureSettings = taken(
        FeatureSettings, options, **({} if target is None else {"target": target})
    )
    idle = [
        name
        for recipe, names in settings.OF_RECIPE.items()
        if recipe != settings.recipe
        for name in names
    ]
    if settings.to is None:
        idle.append("frames")
    fields = settings.__dataclass_fields__
    for name in idle:
        if name in said:
            where = "without --to" if name == "frames" else f"with --recipe {settings.recipe}"
            raise SettingError(f"{option_name(fields[name])} makes no difference {where}")
    return settings


@click.command()
@group_of([result_options, fields_options(FiltersSettings), number_options])
def filters(**options: Any) -> None:
    """The kernels of a layer, as they are: zero is middle grey, what is brighter is positive.

    \b
    Examples:
      stylize inspect filters
      stylize inspect filters --layer conv3_1 --slices 25 --normalize each

    Those of conv1_1 are little pictures in RGB. A deeper layer's have a slice for each channel
    before them; a cell shows the first 16 of these (--slices), in grey, of the first 64 filters
    (--count).
    """
    settings = taken(FiltersSettings, options)
    settings.check_layers(find_model(settings.network).architecture)
    check_streams(options["output"], [], as_json=options["as_json"])
    target = choose_target(None, [], f"filters-{settings.layer}", options)

    def look() -> Any:
        from stylize.products.inspect.filters import show_filters

        return show_filters(settings)

    perform(look, target, options)


@click.command()
@click.argument("photo", metavar="PHOTO")
@fields_options(InversionSettings)
@inspect_options
def invert(photo: str, **options: Any) -> int:
    """Find PHOTO again, from noise, by what one layer knows of it.

    \b
    Examples:
      stylize inspect invert photo.jpg --layer relu3_1
      stylize inspect invert photo.jpg --strip

    What a layer has forgotten comes back as anything that it cannot tell from the photo. --json
    says how near the pixels are, as their signal-to-noise ratio.
    """
    if options["strip"] and options["layer"] is not None:
        raise SettingError("--layer makes no difference with --strip")
    settings = taken(InversionSettings, options)
    execution = execution_for(settings, options)
    words = "inversions" if settings.strip else f"inversion-{settings.layer}"
    target = choose_picture(photo, words, options)

    def look() -> Any:
        picture = open_picture(photo, options)
        from stylize.products.inspect.inversion import show_inversion

        steps = settings.steps * len(settings.layers)
        with stoppable(steps, "step", options) as (advance, stop):
            return show_inversion(
                picture, settings, execution, on_step=lambda event: advance(1), stop=stop
            )

    return exit_code(perform(look, target, options))


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@recursive_option
@fields_options(MapSettings)
@inspect_options
def map(folder: Path, **options: Any) -> None:
    """Lay out the photos in FOLDER on one plane, what looks alike side by side.

    \b
    Examples:
      stylize inspect map photos/
      stylize inspect map photos/ -r --layer relu4_3 --thumbnail 64 -o map.png

    Beside the picture stand MAP.html, a page to zoom and pan that shows the files' names, and
    MAP.png.sha256, the list of the photos. Photos that cannot be read are skipped. Needs the
    extra 'inspect'.
    """
    settings = taken(MapSettings, options)
    execution = execution_for(settings, options)
    check_streams(options["output"], [], as_json=options["as_json"])
    album = open_album(folder, recursive=options["recursive"])
    target = choose_page(album, "map", options, sidecar, page_path)

    def look() -> Atlas:
        from stylize.products.inspect.photo_map import make_map

        warned = (lambda line: None) if options["quiet"] else say
        with photo_bar(len(album.photos), options) as on_step:
            return make_map(album, settings, execution, on_step=on_step, warned=warned)

    def beside(atlas: Atlas, target: Path) -> None:
        from stylize.products.inspect.map_page import write_page

        write_page(target, atlas, album)

    perform(look, target, options, beside)


@click.command()
@click.argument("photo", metavar="PHOTO")
@click.argument("target", metavar="[TARGET]", required=False)
@like_option
@fields_options(OcclusionSettings, "target")
@inspect_options
def occlude(photo: str, like: str | None, **options: Any) -> int:
    """Hide PHOTO with a grey patch, place by place, and show where the response of TARGET falls.

    \b
    Examples:
      stylize inspect occlude photo.jpg
      stylize inspect occlude photo.jpg conv5_3:100 --patch 32 --step 8
      stylize inspect occlude photo.jpg conv5_3 --like other.jpg --view heat

    TARGET is a layer, a channel or a sum of them, as in 'stylize dream --layer'; without it,
    the deepest layer. Bright is where hiding costs most.
    """
    said = options["target"]
    settings = taken(OcclusionSettings, options)
    execution = execution_for(settings, options)
    check_photo_question(said, like, settings)
    target = choose_picture(photo, "occlusion", options, like)

    def look() -> Any:
        picture, other = open_picture(photo, options), opened(like, options)
        from stylize.products.inspect.occlusion import show_occlusion

        action = "stopping after this batch; nothing is saved"
        with (
            stop_on_interrupt(quiet=options["quiet"], action=action) as stop,
            place_bar(options) as on_step,
        ):
            return show_occlusion(
                picture, settings, execution, like=other, on_step=on_step, stop=stop
            )

    return exit_code(perform(look, target, options))


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("channels", metavar="LAYER:CHANNEL[,…]")
@recursive_option
@fields_options(PatchesSettings, "channels")
@inspect_options
def patches(folder: Path, channels: str, **options: Any) -> None:
    """The patches of the photos in FOLDER that excite channels most, a row for each channel.

    \b
    Examples:
      stylize inspect patches photos/ relu4_3:7,21-26
      stylize inspect patches photos/ -r 'relu3_3:0-9 + relu5_1:40' --top 16 -o page.png

    A patch is all that one position of the layer sees; what of it lies outside the photo is
    grey. Photos that cannot be read are skipped. A run that was stopped goes on when the same
    command is given again. PAGE.sha256, beside the page, lists the photos.
    """
    settings = taken(PatchesSettings, options, channels=channels)
    execution = execution_for(settings, options)
    check_streams(options["output"], [], as_json=options["as_json"])
    album = open_album(folder, recursive=options["recursive"])
    target = choose_page(album, f"patches-{channels}", options, sidecar)
    state = None if target is None else state_path(target)

    def look() -> Any:
        from stylize.products.inspect.patches import PatchSearch

        search = PatchSearch(album, settings, execution)
        warned = (lambda line: None) if options["quiet"] else say
        action = "stopping after this photo; the same command goes on from there"
        with (
            stop_on_interrupt(quiet=options["quiet"], action=action) as stop,
            photo_bar(len(album.photos), options) as on_step,
        ):
            return search.run(state, on_step, warned, stop)

    perform(look, target, options)


OF_SMOOTHGRAD = ("samples", "noise", "seed")


@click.command()
@click.argument("photo", metavar="PHOTO")
@click.argument("target", metavar="[TARGET]", required=False)
@like_option
@fields_options(SaliencySettings, "target")
@inspect_options
def saliency(photo: str, like: str | None, **options: Any) -> int:
    """Show which pixels of PHOTO the response of TARGET depends on.

    \b
    Examples:
      stylize inspect saliency photo.jpg
      stylize inspect saliency photo.jpg conv5_3:100 --method guided
      stylize inspect saliency photo.jpg conv4_2:7 --at 320,200 --view overlay
      stylize inspect saliency photo.jpg conv5_3 --like other.jpg --method smoothgrad

    TARGET is a layer, a channel or a sum of them, as in 'stylize dream --layer'; without it,
    the deepest layer. The picture shows the size of the gradient, the largest of the three
    colours at each pixel.
    """
    said = options["target"]
    settings = saliency_settings(options)
    execution = execution_for(settings, options)
    check_photo_question(said, like, settings)
    target = choose_picture(photo, f"saliency-{settings.method}", options, like)

    def look() -> Any:
        picture, other = open_picture(photo, options), opened(like, options)
        from stylize.products.inspect.saliency import show_saliency

        copies = settings.samples if settings.method == "smoothgrad" else 1
        with step_bar(copies, "copy", options) as advance:
            return show_saliency(
                picture, settings, execution, like=other, on_step=lambda: advance(1)
            )

    perform(look, target, options)
    return 0


def saliency_settings(options: dict[str, Any]) -> SaliencySettings:
    """The settings, and nothing said that makes no difference.

    Raises:
        SettingError: an option of smoothgrad without it.
    """
    said = [f"--{name}" for name in OF_SMOOTHGRAD if options[name] is not None]
    settings: SaliencySettings = taken(SaliencySettings, options)
    if said and settings.method != "smoothgrad":
        raise SettingError(f"{said[0]} makes no difference with --method {settings.method}")
    return settings


@click.command()
@click.argument("photo", metavar="PHOTO")
@fields_options(SegmentSettings)
@inspect_options
def segment(photo: str, **options: Any) -> int:
    """Find the subject of PHOTO and save it as a mask.

    \b
    Examples:
      stylize inspect segment photo.jpg
      stylize inspect segment photo.jpg -o mask.png --invert
      stylize inspect segment photo.jpg --view cutout

    The mask is white on the subject, as large as the photo, and can be painted over in any
    program before it is used. A line says so where the result is not sure. Needs the extra
    'masks'.
    """
    settings = taken(SegmentSettings, options)
    execution = taken(Execution, options)
    find_model(settings.network)
    target = choose_picture(photo, words(settings), options)

    def look() -> Any:
        picture = open_picture(photo, options)
        from stylize.products.inspect.segment import show_subject

        return show_subject(picture, settings, execution)

    perform(look, target, options)
    return 0


def words(settings: SegmentSettings) -> str:
    """What the name of the result says."""
    part = "background" if settings.invert else "subject"
    return f"{part}-{settings.view}"
