"""``stylize inspect``: one entry per command, made into click commands by one decorator.

A command is a function from an :class:`InspectRequest` to a finding. Its settings become options,
its docstring the help; parsing, progress, writing and reporting are common to all.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.inputs import files_among, open_optional, open_picture, require_files
from stylize.cli.messages import INTERRUPTED, say
from stylize.cli.options import (
    check_streams,
    input_options,
    option_for,
    result_options,
)
from stylize.cli.output import choose_target, deliver
from stylize.cli.progress import bar, stop_on_interrupt
from stylize.cli.requests import Messages, OutputRequest, take
from stylize.cli.run import load_torch
from stylize.errors import OutputError, SettingError, UnknownNameError, UsageError
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

# Whole pictures are looked at, so there are no tiles for a memory limit to ask for.
NOT_FOR_INSPECT = ("max_memory",)

Companion = Callable[[Path], Path]


class InspectGroup(click.Group):
    """Suggests a command for one that does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise UnknownNameError("inspect command", args[0], self.commands)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InspectGroup)
def inspect() -> None:
    """See what the network sees."""


@dataclass(frozen=True)
class InspectRequest:
    """An inspection as the command line asks for it, checked without opening a picture.

    Attributes:
        settings: of the command.
        execution: where it is done.
        photo: a file or ``-``.
        others: further pictures.
        album: the photos of a folder.
        target: the file to write, checked to be writable; None for stdout.
        output: how it is written.
        messages: what is said.
        started: when the command began, by :func:`time.perf_counter`.
    """

    settings: Any
    execution: Execution
    photo: str | None
    others: tuple[str, ...]
    album: Album | None
    target: Path | None
    output: OutputRequest
    messages: Messages
    started: float = field(default_factory=time.perf_counter)

    def open_photo(self) -> Picture:
        """Read the photo."""
        assert self.photo is not None
        return open_picture(self.photo, self.messages)

    def open_others(self) -> list[Picture]:
        """Read the further pictures."""
        return [open_picture(each, self.messages) for each in self.others]

    def open_like(self) -> Picture | None:
        """Read the picture of ``--like``, if there is one."""
        return open_optional(self.others[0] if self.others else None, self.messages)

    @contextmanager
    def steps(self, total: int, unit: str = "step") -> Iterator[tuple[Callable[..., None], Any]]:
        """A bar, and a Ctrl-C that asks to stop: callbacks ``advance`` and ``stop``."""
        with (
            stop_on_interrupt(quiet=self.messages.quiet) as stop,
            bar(total, unit, self.messages) as shown,
        ):
            yield lambda *event: shown.update(), stop

    def warn(self, line: str) -> None:
        """Say a line, unless quiet."""
        if not self.messages.quiet:
            say(line)


Show = Callable[[InspectRequest], "Finding"]
Check = Callable[[Any, set[str], Sequence[str]], None]
Beside = Callable[[Any, Path, InspectRequest], None]

ARGUMENTS = {
    "photo": click.argument("photo", metavar="PHOTO"),
    "folder": click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path)),
    "layer": click.argument("layer", metavar="LAYER"),
    "channels": click.argument("channels", metavar="LAYER:CHANNEL[,…]"),
    "target": click.argument("target", metavar="[TARGET]", required=False),
}

LIKE = click.option(
    "--like",
    "others",
    metavar="PICTURE",
    help="Measure the likeness to this picture, at the one layer that TARGET names.",
)
DIRECTION = click.option(
    "--direction",
    "others",
    multiple=True,
    metavar="PHOTO",
    help="Amplify what these photos have in common at the layer TARGET. Repeatable.",
)
RECURSIVE = click.option("-r", "--recursive", is_flag=True, help="Include folders below FOLDER.")
NUMBERS = [
    click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    click.option("-v", "--verbose", count=True, help="Print what is decided; -vv adds tracebacks."),
]


def inspect_command(
    settings: type[Any],
    *arguments: str,
    words: Callable[[Any], str],
    options: Sequence[Callable[[Any], Any]] = (),
    check: Check | None = None,
    companions: Sequence[Companion] = (),
    beside: Beside | None = None,
    on_device: bool = True,
) -> Callable[[Show], click.Command]:
    """Make a command of a function that shows something.

    Args:
        settings: its fields become options, except those that are arguments.
        arguments: names in :data:`ARGUMENTS`.
        words: the name of the result, from the settings; added to the photo's.
        options: further options.
        check: gets the settings, the names of the options given, and the further pictures;
            refuses what makes no sense together.
        companions: names of files that are written next to the result, from its name.
        beside: writes them, but for the list of photos.
        on_device: whether a network runs, which takes options for the device.
    """

    def decorate(show: Show) -> click.Command:
        def command(**values: Any) -> int:
            request = read_request(settings, words, check, companions, values)
            load_torch()
            finding = show(request)
            save(finding, request, beside)
            return INTERRUPTED if finding.result.interrupted else 0

        made = click.command(show.__name__.removeprefix("show_"), help=show.__doc__)(command)
        # On a command, unlike on a function, decorators add parameters in their order.
        for decorator in (*(ARGUMENTS[name] for name in arguments), *options):
            decorator(made)
        made.params += _options(settings, arguments, on_device=on_device)
        inspect.add_command(made)
        return made

    return decorate


def _options(
    settings: type[Any], arguments: Sequence[str], *, on_device: bool
) -> list[click.Parameter]:
    """The options in the order in which the help lists them."""
    fields = [each for each in dataclasses.fields(settings) if each.name not in arguments]
    if on_device:
        fields += [
            each for each in dataclasses.fields(Execution) if each.name not in NOT_FOR_INSPECT
        ]

    @result_options
    def shared() -> None: ...

    @input_options
    def inputs() -> None: ...

    for decorator in reversed(NUMBERS):
        decorator(inputs)
    first, last = (list(reversed(each.__click_params__)) for each in (shared, inputs))  # type: ignore[attr-defined]
    return [*first, *(option_for(each) for each in fields), *last]


def read_request(
    kind: type[Any],
    words: Callable[[Any], str],
    check: Check | None,
    companions: Sequence[Companion],
    values: dict[str, Any],
) -> InspectRequest:
    """Build the request, and check all that can be checked before pictures are opened."""
    messages, output = take(Messages, values), take(OutputRequest, values)
    given = {name for name, value in values.items() if value is not None}
    others = values.pop("others", None) or ()
    others = (others,) if isinstance(others, str) else others
    settings = _taken(kind, values)
    execution = _taken(Execution, values)
    if check is not None:
        check(settings, given, others)
    model = find_model(settings.network)
    if hasattr(settings, "check_layers"):
        settings.check_layers(model.architecture)
    photo: str | None = values.pop("photo", None)
    album = None
    if "folder" in values:
        check_streams(output.output, [], as_json=messages.as_json)
        album = open_album(values["folder"], recursive=values["recursive"])
        target = choose_page(album, words(settings), output, companions)
    else:
        sources = [each for each in (photo, *others) if each]
        files = files_among(sources)
        check_streams(output.output, sources, as_json=messages.as_json)
        require_files(files)
        target = choose_target(photo, files, words(settings), output)
    return InspectRequest(settings, execution, photo, others, album, target, output, messages)


def _taken(kind: type[Any], values: dict[str, Any]) -> Any:
    """Settings from the values given, which are removed."""
    given = {each.name: values.pop(each.name, None) for each in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in given.items() if value is not None})


def choose_page(
    album: Album, words: str, output: OutputRequest, companions: Sequence[Companion]
) -> Path | None:
    """As :func:`choose_target`, for a page about a folder, next to it by default.

    Raises:
        OutputError: a companion exists and must not be replaced.
    """
    photos = [photo.path for photo in album.photos]
    # What has no name of its own, such as the current folder, has one from the root on.
    folder = os.path.normpath(album.folder)
    named = folder if Path(folder).name.strip(".") else os.path.abspath(folder)
    target = choose_target(named, photos, words, output)
    for path in [] if target is None else [each(target) for each in companions]:
        if os.path.lexists(path) and not output.overwrite:
            raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    return target


def save(finding: Finding, request: InspectRequest, beside: Beside | None) -> None:
    """Write the picture and what belongs to it; say where it is, or print the numbers."""
    deliver(finding.result, request.target, request.output)
    if finding.digests and request.target is not None:
        write_inventory(request.target, finding.digests)
    if beside is not None and request.target is not None:
        beside(finding, request.target, request)
    seconds, messages = time.perf_counter() - request.started, request.messages
    recipe = finding.result.recipe
    resolved = recipe["resolved"]
    if messages.verbose and "device" in resolved:
        say(f"device {resolved['device']}, {resolved['precision']}, {resolved['threads']} threads")
    for note in finding.notes:
        request.warn(note)
    if messages.as_json:
        output = None if request.target is None else str(request.target)
        document = {"output": output, "seconds": round(seconds, 3)}
        click.echo(json.dumps(document | finding.numbers | {"recipe": recipe}, indent=2))
    elif request.target is not None and not messages.quiet:
        height, width = finding.result.pixels.shape[2:]
        state = "stopped early, saved" if finding.result.interrupted else "saved"
        say(f"{state} {request.target} ({width}×{height}, {seconds:.1f} s)")


def check_feature(settings: FeatureSettings, given: set[str], directions: Sequence[str]) -> None:
    """One thing is asked for, and no option is without effect."""
    if "target" not in given and settings.category is None:
        raise UsageError("nothing to grow", hint="name a channel: conv5_3:100")
    if settings.category is not None:
        for name, said in {"TARGET": "target" in given, "--direction": directions}.items():
            if said:
                raise UsageError(f"--class and {name}", hint="leave one of them out")
    idle = {
        name: f"with --method {settings.method}"
        for method, names in settings.OF_METHOD.items()
        if method != settings.method
        for name in names
    }
    if settings.to is None:
        idle["frames"] = "without --to"
    refuse_idle(settings, given, idle)
    if directions:
        settings.direction_layer()


def check_saliency(settings: SaliencySettings, given: set[str], like: Sequence[str]) -> None:
    """One thing is asked for, and no option is without effect."""
    if settings.method != "smoothgrad":
        where = f"with --method {settings.method}"
        refuse_idle(settings, given, dict.fromkeys(("samples", "noise", "seed"), where))
    check_question(settings, given, like)


def check_invert(settings: InversionSettings, given: set[str], others: Sequence[str]) -> None:
    """A strip shows all layers."""
    if settings.strip:
        refuse_idle(settings, given, {"layer": "with --strip"})


def check_question(
    settings: SaliencySettings | OcclusionSettings, given: set[str], like: Sequence[str]
) -> None:
    """One thing is asked for, and a likeness at one whole layer."""
    if settings.category is not None:
        for name, said in {"TARGET": "target" in given, "--like": like}.items():
            if said:
                raise SettingError(f"--class and {name}", hint="leave one of them out")
    if not like:
        return
    first, *more = settings.targets
    if more or first.channels is not None or first.weight != 1:
        raise SettingError("--like compares whole layers", hint="name one as TARGET: conv5_3")
    if settings.at is not None:
        raise SettingError("--like and --at", hint="leave one of them out")


def refuse_idle(settings: Any, given: set[str], idle: dict[str, str]) -> None:
    """Refuse options that have no effect here.

    Raises:
        SettingError: one of them was given; says why it has none.
    """
    for name, where in idle.items():
        if name in given:
            option = option_name(type(settings).__dataclass_fields__[name])
            raise SettingError(f"{option} makes no difference {where}")


def write_map_page(atlas: Any, target: Path, request: InspectRequest) -> None:
    """The page to zoom and pan."""
    from stylize.products.inspect.map_page import write_page

    assert request.album is not None
    write_page(target, atlas, request.album)


def feature_words(settings: FeatureSettings) -> str:
    """The target in letters that every file system takes."""
    target = settings.category or settings.target
    return "feature-" + "".join(c if c.isalnum() or c in "_-" else "-" for c in target)[:72]


def subject_words(settings: SegmentSettings) -> str:
    """What the picture shows, and how."""
    return f"{'background' if settings.invert else 'subject'}-{settings.view}"


@inspect_command(FiltersSettings, words=lambda s: f"filters-{s.layer}", on_device=False)
def show_filters(request: InspectRequest) -> Finding:
    """Show the kernels of a layer: zero is middle grey, positive values are brighter.

    \b
    Examples:
      stylize inspect filters
      stylize inspect filters --layer conv3_1 --slices 25 --normalize each

    The kernels of conv1_1 are small RGB pictures. Those of a deeper layer have one slice for each
    input channel; a cell shows the first 16 slices (--slices) in grey, of the first 64 filters
    (--count).
    """
    from stylize.products.inspect.filters import show_filters

    return show_filters(request.settings)


@inspect_command(ActivationsSettings, "photo", "layer", words=lambda s: f"activations-{s.layer}")
def show_activations(request: InspectRequest) -> Finding:
    """Show how each channel of LAYER responds to PHOTO, the strongest channels first.

    \b
    Examples:
      stylize inspect activations photo.jpg relu4_3
      stylize inspect activations photo.jpg relu5_1 --overlay --count 12
      stylize inspect activations photo.jpg conv2_2:3,17-20

    Below each map are the channel's number and the mean size of its response. Before the ReLU
    (conv4_3 instead of relu4_3), cool colours are negative responses.
    """
    from stylize.products.inspect.activations import show_activations

    return show_activations(request.open_photo(), request.settings, request.execution)


@inspect_command(
    PatchesSettings,
    "folder",
    "channels",
    words=lambda s: f"patches-{s.channels}",
    options=[RECURSIVE],
    companions=[sidecar],
)
def show_patches(request: InspectRequest) -> Finding:
    """Show the patches of the photos in FOLDER that excite channels most, one row per channel.

    \b
    Examples:
      stylize inspect patches photos/ relu4_3:7,21-26
      stylize inspect patches photos/ -r 'relu3_3:0-9 + relu5_1:40' --top 16 -o page.png

    A patch is all that one position of the layer sees; the part outside the photo is grey. Photos
    that cannot be read are skipped. To continue a run that was stopped, give the same command
    again. PAGE.sha256, next to the page, lists the photos.
    """
    from stylize.products.inspect.patches import PatchSearch

    assert request.album is not None
    state = None if request.target is None else state_path(request.target)
    search = PatchSearch(request.album, request.settings, request.execution)
    action = "stopping after this photo; the same command continues from there"
    with (
        stop_on_interrupt(quiet=request.messages.quiet, action=action) as stop,
        bar(len(request.album.photos), "photo", request.messages) as shown,
    ):
        return search.run(state, lambda name: shown.update(), request.warn, stop)


@inspect_command(
    FeatureSettings, "target", words=feature_words, options=[DIRECTION], check=check_feature
)
def show_feature(request: InspectRequest) -> Finding:
    """Grow the picture that excites TARGET most: a channel, several, or a layer.

    \b
    Examples:
      stylize inspect feature conv5_3:100
      stylize inspect feature conv5_1:7 --diversity 4
      stylize inspect feature conv4_3:30 --to conv4_3:100
      stylize inspect feature conv5_1 --direction cat.jpg --direction lion.jpg
      stylize inspect feature conv5_2:20 --method cs231n
      stylize inspect feature --class "golden retriever" --network vgg16-imagenet

    A channel is taken before the ReLU, where even a silent one has a gradient. docs/channels.md
    shows thirty channels worth knowing.
    """
    from stylize.products.inspect.feature import show_feature

    settings = request.settings
    photos = request.open_others()
    with request.steps(settings.steps_planned) as (advance, stop):
        return show_feature(settings, request.execution, photos=photos, on_step=advance, stop=stop)


@inspect_command(
    SaliencySettings,
    "photo",
    "target",
    words=lambda s: f"saliency-{s.method}",
    options=[LIKE],
    check=check_saliency,
)
def show_saliency(request: InspectRequest) -> Finding:
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
    from stylize.products.inspect.saliency import show_saliency

    settings, photo, like = request.settings, request.open_photo(), request.open_like()
    copies = settings.samples if settings.method == "smoothgrad" else 1
    with bar(copies, "copy", request.messages) as shown:
        return show_saliency(photo, settings, request.execution, like=like, on_step=shown.update)


@inspect_command(
    OcclusionSettings,
    "photo",
    "target",
    words=lambda s: "occlusion",
    options=[LIKE],
    check=check_question,
)
def show_occlude(request: InspectRequest) -> Finding:
    """Hide PHOTO with a grey patch, place by place, and show where the response of TARGET falls.

    \b
    Examples:
      stylize inspect occlude photo.jpg
      stylize inspect occlude photo.jpg conv5_3:100 --patch 32 --step 8
      stylize inspect occlude photo.jpg conv5_3 --like other.jpg --view heat

    TARGET is a layer, a channel or a sum of them, as in 'stylize dream --layer'; without it,
    the deepest layer. Bright is where hiding costs most.
    """
    from stylize.products.inspect.occlusion import show_occlusion

    photo, like = request.open_photo(), request.open_like()
    action = "stopping after this batch; nothing is saved"
    with (
        stop_on_interrupt(quiet=request.messages.quiet, action=action) as stop,
        bar(None, "place", request.messages) as shown,
    ):

        def on_batch(done: int, total: int) -> None:
            shown.total = total
            shown.update(done)

        return show_occlusion(
            photo, request.settings, request.execution, like=like, on_step=on_batch, stop=stop
        )


@inspect_command(
    InversionSettings,
    "photo",
    words=lambda s: "inversions" if s.strip else f"inversion-{s.layer}",
    check=check_invert,
)
def show_invert(request: InspectRequest) -> Finding:
    """Reconstruct PHOTO, from noise, from what one layer knows of it.

    \b
    Examples:
      stylize inspect invert photo.jpg --layer relu3_1
      stylize inspect invert photo.jpg --strip

    What a layer has lost comes back as anything that it cannot tell from the photo. --json prints
    how close the pixels are, as their signal-to-noise ratio.
    """
    from stylize.products.inspect.inversion import show_inversion

    settings, photo = request.settings, request.open_photo()
    with request.steps(settings.steps * len(settings.layers)) as (advance, stop):
        return show_inversion(photo, settings, request.execution, on_step=advance, stop=stop)


@inspect_command(CaricatureSettings, "photo", words=lambda s: f"caricature-{s.layer}")
def show_caricature(request: InspectRequest) -> Finding:
    """Grow a picture, from noise, that exaggerates what a layer sees in PHOTO, place for place.

    \b
    Examples:
      stylize inspect caricature photo.jpg
      stylize inspect caricature photo.jpg --layer relu5_1 --power 0
    """
    from stylize.products.inspect.caricature import show_caricature

    settings, photo = request.settings, request.open_photo()
    with request.steps(settings.steps) as (advance, stop):
        return show_caricature(photo, settings, request.execution, on_step=advance, stop=stop)


@inspect_command(
    MapSettings,
    "folder",
    words=lambda s: "map",
    options=[RECURSIVE],
    companions=[sidecar, page_path],
    beside=write_map_page,
)
def show_map(request: InspectRequest) -> Finding:
    """Arrange the photos in FOLDER on a plane, with similar ones next to each other.

    \b
    Examples:
      stylize inspect map photos/
      stylize inspect map photos/ -r --layer relu4_3 --thumbnail 64 -o map.png

    Next to the picture are written MAP.html, a page to zoom and pan that shows the file names, and
    MAP.png.sha256, the list of the photos. Photos that cannot be read are skipped. Needs
    scikit-learn (pip install scikit-learn).
    """
    from stylize.products.inspect.photo_map import make_map

    assert request.album is not None
    with bar(len(request.album.photos), "photo", request.messages) as shown:
        return make_map(
            request.album,
            request.settings,
            request.execution,
            on_step=lambda name: shown.update(),
            warned=request.warn,
        )


@inspect_command(SegmentSettings, "photo", words=subject_words)
def show_segment(request: InspectRequest) -> Finding:
    """Find the subject of PHOTO and save it as a mask.

    \b
    Examples:
      stylize inspect segment photo.jpg
      stylize inspect segment photo.jpg -o mask.png --invert
      stylize inspect segment photo.jpg --view cutout

    The mask is white on the subject and as large as the photo; you can edit it in any program
    before you use it. A line says so if the result is uncertain. Needs OpenCV
    (pip install opencv-python-headless).
    """
    from stylize.products.inspect.segment import show_subject

    return show_subject(request.open_photo(), request.settings, request.execution)
