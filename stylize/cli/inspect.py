"""``stylize inspect``: a table of commands, and one function that runs them.

A new command needs a settings class, a function and a line of the table QUESTIONS in
``stylize/products/inspect``, and an entry in :data:`COMMANDS`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli import help as grouped
from stylize.cli.completion import FIELDS, FILE
from stylize.cli.help import CommandGroup, option
from stylize.cli.inputs import files_among, open_picture, require_files
from stylize.cli.messages import say
from stylize.cli.options import check_streams, group_of, input_options, option_for, result_options
from stylize.cli.output import (
    PAGE_SUFFIXES,
    choose_page,
    choose_target,
    deliver,
    placeholders,
    say_renamed,
)
from stylize.cli.process import load_torch
from stylize.cli.progress import Meter, Stop, stop_on_interrupt
from stylize.cli.requests import Messages, OutputRequest, take
from stylize.errors import OutputError
from stylize.networks.models import find_model
from stylize.products.inspect import QUESTIONS, Question, load_function
from stylize.settings.execution import Execution
from stylize.settings.fields import Group
from stylize.settings.inspect import (
    InspectSettings,
    SegmentSettings,
)

if TYPE_CHECKING:
    from stylize.products.inspect.folder import Album
    from stylize.products.inspect.result import Finding


@dataclass(frozen=True)
class Command:
    """An entry of the table.

    Attributes:
        summary: its line in the list of commands.
        question: the settings class, each field of which is an option or an argument, and the
            function that answers.
        file_words: the words of the result's default name.
        text: the help text.
        arguments: metavars by name. ``photo`` and ``folder`` are inputs, others are fields of
            the settings; ``[…]`` marks an optional argument.
        pictures: options that name further pictures; the function gets the pictures.
        on_device: whether a network runs, so that there are options for the device.
        unit: what the progress bar counts; None for no bar.
        on_interrupt: the message after the first Ctrl-C; None if it ends the run at once.
        companions: ``module:name`` of functions from a result's path to that of a file next to it.
        resumable: whether the function keeps its state in a file.
        page: whether the result is an HTML page instead of a picture.
    """

    summary: str
    question: Question
    file_words: Callable[[Any], str]
    text: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[Callable[[Any], Any], ...] = ()
    on_device: bool = True
    unit: str | None = None
    on_interrupt: str | None = None
    companions: tuple[str, ...] = ()
    resumable: bool = False
    page: bool = False

    def takes_several(self, name: str) -> bool:
        """Whether an option takes several pictures."""
        return any(each.multiple for each in _options(self.pictures) if each.name == name)


LIKE = option(
    "--like",
    type=FILE,
    metavar="PHOTO",
    group=Group.INPUT,
    everyday=True,
    help="Explain the similarity to this photo at the layer TARGET.",
)

DIRECTION = option(
    "--direction",
    type=FILE,
    multiple=True,
    metavar="PHOTO",
    group=Group.INPUT,
    everyday=True,
    help="Show more of what these photos have in common at the layer TARGET. Repeatable.",
)

SAVES = "stopping after this step and saving the picture so far"

# What a signal does to a result that is made already.
SAVES_ALL = "saving the finished result"

TARGET_TEXT = """\
        TARGET is a layer, a channel or a sum of them, as in 'stylize dream --layer'; the default
        is the deepest layer."""

COMMANDS: dict[str, Command] = {
    "filters": Command(
        "Show the kernels of a layer.",
        QUESTIONS["filters"],
        lambda settings: f"filters-{settings.layer}",
        """Show the kernels of a layer. Zero is middle grey; brighter is positive.

        \b
        Examples:
          stylize inspect filters
          stylize inspect filters --layer conv3_1 --slices 25 --normalize each
          stylize inspect filters --network vgg19 -o kernels.png

        Kernels of conv1_1 are small RGB pictures. Kernels of deeper layers have one grey slice per
        input channel. The sheet shows the first 64 filters (--count) with their first 16 slices
        (--slices).""",
        on_device=False,
    ),
    "activations": Command(
        "Show the activations of each channel of a layer.",
        QUESTIONS["activations"],
        lambda settings: f"activations-{settings.layer}",
        """Show the activations of each channel of LAYER for PHOTO, the strongest channels first.

        \b
        Examples:
          stylize inspect activations photo.jpg relu4_3
          stylize inspect activations photo.jpg relu5_1 --overlay --count 12
          stylize inspect activations photo.jpg conv2_2:3,17-20

        The label of each map shows the number of the channel and its mean absolute activation.
        Before the ReLU (conv4_3 instead of relu4_3), cool colours are negative activations.""",
        {"photo": "PHOTO", "layer": "LAYER"},
    ),
    "patches": Command(
        "Find the patches of many photos that excite a channel most.",
        QUESTIONS["patches"],
        lambda settings: f"patches-{settings.channels}",
        """Find the patches of the photos in FOLDER that excite channels most, a row per channel.

        \b
        Examples:
          stylize inspect patches photos/ relu4_3:7,21-26
          stylize inspect patches photos/ -r 'relu3_3:0-9 + relu5_1:40' -o page.png
          stylize inspect patches photos/ relu5_1:40 --top 16 --per-photo 1

        A patch is the receptive field of one position of the layer; the part outside the photo
        is grey. Photos that cannot be read are skipped. The same command continues a run that
        was stopped. PAGE.png.sha256, next to the page, lists the photos.""",
        {"folder": "FOLDER", "channels": "LAYER:CHANNEL[,…]"},
        unit="photo",
        on_interrupt="stopping after this photo; the same command continues from there",
        companions=("stylize.products.inspect.folder:inventory_path",),
        resumable=True,
    ),
    "feature": Command(
        "Make the picture that excites a channel most.",
        QUESTIONS["feature"],
        lambda settings: f"feature-{settings.category or settings.target}",
        """Make the picture that excites TARGET most: a channel, several channels, or a layer.

        \b
        Examples:
          stylize inspect feature conv5_3:100
          stylize inspect feature conv5_1 --direction cat.jpg --direction lion.jpg
          stylize inspect feature --class "golden retriever" --network vgg16-imagenet

        Channels are read before the ReLU, where even a silent channel has a gradient. Thirty
        interesting channels are shown in docs/channels.md.""",
        {"target": "[TARGET]"},
        (DIRECTION,),
        unit="step",
        on_interrupt=SAVES,
    ),
    "saliency": Command(
        "Show which pixels a response depends on.",
        QUESTIONS["saliency"],
        lambda settings: f"saliency-{settings.method}",
        f"""Show which pixels of PHOTO the response of TARGET depends on.

        \b
        Examples:
          stylize inspect saliency photo.jpg --method guided
          stylize inspect saliency photo.jpg conv4_2:7 --at 320,200 --view overlay
          stylize inspect saliency photo.jpg conv5_3 --like other.jpg

{TARGET_TEXT} Bright pixels matter most. The brightness
        is the largest absolute gradient of the three colours.""",
        {"photo": "PHOTO", "target": "[TARGET]"},
        (LIKE,),
        unit="copy",
    ),
    "occlude": Command(
        "Show how a response drops when a patch hides part of the photo.",
        QUESTIONS["occlude"],
        lambda settings: "occlusion",
        f"""Hide parts of PHOTO with a grey patch and show where the response drops.

        \b
        Examples:
          stylize inspect occlude photo.jpg
          stylize inspect occlude photo.jpg conv5_3:100 --patch 32 --step 8
          stylize inspect occlude photo.jpg conv5_3 --like other.jpg --view heat

{TARGET_TEXT} Bright places matter most.""",
        {"photo": "PHOTO", "target": "[TARGET]"},
        (LIKE,),
        unit="place",
        on_interrupt="stopping after this batch; nothing is saved",
    ),
    "invert": Command(
        "Reconstruct a photo from the activations of a layer.",
        QUESTIONS["invert"],
        lambda settings: "inversions" if settings.strip else f"inversion-{settings.layer}",
        """Reconstruct PHOTO from the activations of one layer.

        \b
        Examples:
          stylize inspect invert photo.jpg --layer relu3_1
          stylize inspect invert photo.jpg --layer conv5_1 --steps 300
          stylize inspect invert photo.jpg --strip

        The reconstruction starts from noise. What the layer does not represent comes out at
        random. --json prints the peak signal-to-noise ratio of the pixels.""",
        {"photo": "PHOTO"},
        unit="step",
        on_interrupt=SAVES,
    ),
    "caricature": Command(
        "Exaggerate what a layer sees in a photo.",
        QUESTIONS["caricature"],
        lambda settings: f"caricature-{settings.layer}",
        """Make a picture that exaggerates what a layer sees at each place of PHOTO.

        \b
        Examples:
          stylize inspect caricature photo.jpg
          stylize inspect caricature photo.jpg --layer relu5_1
          stylize inspect caricature photo.jpg --power 0 -o wild.png

        The picture starts from noise.""",
        {"photo": "PHOTO"},
        unit="step",
        on_interrupt=SAVES,
    ),
    "map": Command(
        "Arrange many photos on a plane, similar ones side by side.",
        QUESTIONS["map"],
        lambda settings: "map",
        """Arrange the photos in FOLDER on a plane, similar ones side by side.

        \b
        Examples:
          stylize inspect map photos/
          stylize inspect map photos/ -r --thumbnail 64
          stylize inspect map photos/ --layer relu4_3 -o map.png

        Also writes two files next to the picture: MAP.html, a page to zoom and pan, with the names
        of the files, and MAP.png.sha256, the list of the photos. Photos that cannot be read are
        skipped. Needs scikit-learn (pip install scikit-learn).""",
        {"folder": "FOLDER"},
        unit="photo",
        companions=(
            "stylize.products.inspect.folder:inventory_path",
            "stylize.products.inspect.folder:page_path",
        ),
    ),
    "segment": Command(
        "Find the subject of a photo and save it as a mask.",
        QUESTIONS["segment"],
        lambda settings: f"{'background' if settings.invert else 'subject'}-{settings.view}",
        """Find the subject of PHOTO and save it as a mask.

        \b
        Examples:
          stylize inspect segment photo.jpg
          stylize inspect segment photo.jpg -o mask.png --invert
          stylize inspect segment photo.jpg --view cutout

        The mask is white on the subject and has the size of the photo. You can edit it in any
        paint program. The command finds one subject and cannot tell objects apart. It prints a
        note if the result is uncertain. Needs OpenCV (pip
        install opencv-python-headless).""",
        {"photo": "PHOTO"},
    ),
    "report": Command(
        "Explain a photo on one HTML page, for teaching.",
        QUESTIONS["report"],
        lambda settings: "report",
        """Make one HTML page that explains what the network sees in PHOTO.

        \b
        Examples:
          stylize inspect report photo.jpg
          stylize inspect report photo.jpg conv5_3:286 -o lesson.html
          stylize inspect report photo.jpg --network vgg16-imagenet

        The page shows the strongest channels of each block, the saliency of TARGET by all methods,
        what hiding parts of the photo does to it, and the photo reconstructed from a layer of each
        block. A network with classes adds its five best classes with Grad-CAM. The page needs no
        other file and no connection. It takes about a minute on two cores. TARGET is a layer, a
        channel or a sum of them; the default is the deepest layer.""",
        {"photo": "PHOTO", "target": "[TARGET]"},
        unit="step",
        page=True,
    ),
}


class InspectGroup(CommandGroup):
    """The commands of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        return click_command(cmd_name, COMMANDS[cmd_name]) if cmd_name in COMMANDS else None


@click.group(cls=InspectGroup)
def inspect() -> None:
    """See what the network sees.

    \b
    Examples:
      stylize inspect activations photo.jpg relu4_3
      stylize inspect saliency photo.jpg --method guided
      stylize inspect feature conv5_3:100
    """


recursive_option = option(
    "-r",
    "--recursive",
    is_flag=True,
    group=Group.INPUT,
    everyday=True,
    help="Also search the subfolders of FOLDER.",
)

number_options = group_of(
    [
        option(
            "--json",
            "as_json",
            is_flag=True,
            everyday=True,
            help="Print the numbers as one JSON document.",
        ),
        option("-q", "--quiet", is_flag=True, everyday=True, help="Print errors only."),
        option(
            "-v",
            "--verbose",
            count=True,
            everyday=True,
            help="Print the device and the precision; -vv adds tracebacks.",
        ),
    ]
)


def click_command(name: str, entry: Command) -> click.Command:
    """The click command of an entry of the table."""

    def callback(**options: Any) -> int:
        return run(entry, options)

    def fields(kind: type[Any], *without: str) -> list[click.Option]:
        return [option_for(each) for each in dataclasses.fields(kind) if each.name not in without]

    # Inspections never work in tiles: a memory limit has no effect.
    device = [*fields(Execution, "max_memory"), *_options([input_options])]
    parameters = [
        *_options(entry.pictures),
        *(_options([recursive_option]) if "folder" in entry.arguments else []),
        *fields(entry.question.settings, *entry.arguments),
        *_result_options(entry),
        *(device if entry.on_device else []),
        *_options([number_options]),
    ]
    arguments = [
        click.Argument(
            [each],
            metavar=metavar,
            type=FILE if each in ("photo", "folder") else None,
            required=not metavar.startswith("["),
            shell_complete=FIELDS.get(each),
        )
        for each, metavar in entry.arguments.items()
    ]
    return grouped.Command(
        name,
        callback=callback,
        params=[*arguments, *parameters],
        help=entry.text,
        short_help=entry.summary,
    )


def _result_options(entry: Command) -> list[click.Option]:
    kept = ("output", "overwrite", "show")
    photo = "{photo} and " if "photo" in entry.arguments else ""
    places = {"photo": "next to the photo", "folder": "next to the folder"}
    default = next((places[each] for each in entry.arguments if each in places), "current folder")
    every = _options([result_options(f"{photo}any setting, such as {{network}}", default)])
    return [each for each in every if not entry.page or each.name in kept]


def _options(decorators: Iterable[Callable[[Any], Any]]) -> list[click.Option]:
    """The options that decorators add to a function."""

    def function() -> None: ...

    options: list[click.Option] = group_of(decorators)(function).__dict__.get(
        "__click_params__", []
    )
    return options[::-1]


@dataclass(frozen=True)
class InspectRequest:
    """What the user asked for.

    Attributes:
        entry: the command.
        settings, execution: with the values that the user gave.
        given: names of the settings that the user gave.
        pictures: names of the input pictures, by argument or option.
        album: the photos of the input folder, if the input is a folder.
        output, messages: how the result is written, and what is printed.
    """

    entry: Command
    settings: InspectSettings
    execution: Execution
    given: frozenset[str]
    pictures: Mapping[str, tuple[str, ...]]
    album: Album | None
    output: OutputRequest
    messages: Messages

    @classmethod
    def take(cls, entry: Command, options: dict[str, Any]) -> InspectRequest:
        """Read the values of all options and arguments.

        Raises:
            StylizeError: a value is not allowed, or the folder holds no photos.
        """
        from stylize.products.inspect.folder import open_album

        output, messages = take(OutputRequest, options), take(Messages, options)
        given, execution = _given(entry.question.settings, options), _given(Execution, options)
        settings = entry.question.settings(**given)
        settings = settings.for_network(find_model(settings.network).architecture)
        album = None
        if "folder" in entry.arguments:
            check_streams(output.output, (), as_json=messages.as_json)
            album = open_album(Path(options.pop("folder")), recursive=options.pop("recursive"))
        # What is left are names of pictures: one, several, or None.
        pictures = {
            name: value if isinstance(value, tuple) else (value,) if value else ()
            for name, value in options.items()
        }
        return cls(
            entry,
            settings,
            Execution(**execution),
            frozenset(given),
            pictures,
            album,
            output,
            messages,
        )

    def choose_target(self) -> Path | None:
        """The file to write, None for stdout.

        Raises:
            PictureError: an input does not exist.
            OutputError: a file is in the way.
        """
        from stylize.images.atomic import check_writable

        words = self.entry.file_words(self.settings)
        if self.album is None:
            names = [name for several in self.pictures.values() for name in several]
            check_streams(self.output.output, names, as_json=self.messages.as_json)
            files = [Path(name) for name in names if name != "-"]
            require_files(files)
            photo = next(iter(self.pictures.get("photo", ())), None)
            choose = choose_page if self.entry.page else choose_target
            return choose(photo, files, words, self.output, placeholders(self.settings))
        # The current folder, for instance, has a name only as an absolute path.
        folder = os.path.normpath(self.album.folder)
        named = folder if Path(folder).name.strip(".") else os.path.abspath(folder)
        photos = [each.path for each in self.album.photos]
        target = choose_target(named, photos, words, self.output, placeholders(self.settings))
        for path in self.companions(target) if target else []:
            if os.path.lexists(path) and not self.output.overwrite:
                raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
            check_writable(path)
        return target

    def check_transparency(self, target: Path | None) -> None:
        """Check that the format holds transparency where the picture needs it.

        Raises:
            SettingError: it does not.
        """
        from stylize.images.write import check_alpha, format_of

        if not isinstance(self.settings, SegmentSettings) or self.settings.view != "cutout":
            return
        format = (self.output.format or "png") if target is None else format_of(target)
        check_alpha(format, "--view cutout")

    def companions(self, target: Path) -> list[Path]:
        """The files that go next to a picture."""
        return [load_function(name)(target) for name in self.entry.companions]


def _given(kind: type[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Remove the fields of a settings class from ``options``; return those with a value."""
    found = {each.name: options.pop(each.name, None) for each in dataclasses.fields(kind)}
    return {name: value for name, value in found.items() if value is not None}


def run(entry: Command, options: dict[str, Any]) -> int:
    """Check the request, run the function of an entry, and save its result.

    Returns:
        The exit code.
    """
    request = InspectRequest.take(entry, options)
    request.settings.check_request(request.given, request.pictures)
    target = request.choose_target()
    request.check_transparency(target)
    started = time.perf_counter()
    load_torch(files_among(chain.from_iterable(request.pictures.values())))
    quiet, action = request.messages.quiet, entry.on_interrupt
    with ExitStack() as stack:
        stop = Stop()
        if action is not None:
            stop = stack.enter_context(stop_on_interrupt(quiet=quiet, action=action))
        finding = look(request, target, stop)
        if not stop():  # else the user was told that the next signal ends the command at once
            stack.enter_context(stop_on_interrupt(quiet=quiet, action=SAVES_ALL))
        saved = save(finding, request, target)
        report(finding, saved, time.perf_counter() - started, request.messages)
    return stop.exit_code if finding.result.interrupted else 0


def save(finding: Finding, request: InspectRequest, target: Path | None) -> Path | None:
    """Write the result and what goes next to it; return where it is, None for stdout.

    The state of a search is removed only then, because it can make the result again.
    """
    from stylize.products.inspect.folder import state_path

    saved = deliver(finding.result, target, request.output)
    if saved is None or target is None:
        return None
    companions = finding.save_companions(saved, overwrite=request.output.overwrite)
    for path, usual in zip(companions, finding.companions(saved), strict=True):
        say_renamed(path, usual, request.messages)
    if request.entry.resumable:
        with suppress(OSError):
            state_path(target).unlink()
    return saved


def look(request: InspectRequest, target: Path | None, stop: Stop) -> Finding:
    """Read the pictures and call the function of the command."""
    from stylize.products.inspect.folder import state_path

    entry, messages = request.entry, request.messages
    positional: list[Any] = [] if request.album is None else [request.album]
    named: dict[str, Any] = {}
    for name, sources in request.pictures.items():
        pictures = [open_picture(source, messages) for source in sources]
        if name == "photo":
            positional += pictures
        elif pictures:
            named[name] = pictures if entry.takes_several(name) else pictures[0]
    positional += [request.settings, request.execution] if entry.on_device else [request.settings]
    if request.album is not None:
        named["on_skip"] = _ignore if messages.quiet else say
    if entry.resumable:
        named["state"] = None if target is None else state_path(target)
    if entry.on_interrupt is not None:
        named["stop"] = stop
    function: Callable[..., Finding] = entry.question.function
    with ExitStack() as stack:
        if entry.unit is not None:
            meter = stack.enter_context(Meter(messages, None))

            def on_step(done: int, total: int) -> None:
                meter.total = total
                meter.advance(done, f"{entry.unit} {done} of {total}")

            named["on_step"] = on_step
        return function(*positional, **named)


def _ignore(line: str) -> None: ...


def report(finding: Finding, target: Path | None, seconds: float, messages: Messages) -> None:
    """Print the numbers as JSON, or the path of the picture."""
    result = finding.result
    resolved = result.recipe["resolved"]
    if messages.verbose and "device" in resolved:
        say(f"device {resolved['device']}, {resolved['precision']}, {resolved['threads']} threads")
    if not messages.quiet:
        for note in finding.notes:
            say(note)
    if messages.as_json:
        document = {"file": None if target is None else str(target), "seconds": round(seconds, 3)}
        click.echo(json.dumps(document | finding.numbers | {"recipe": result.recipe}, indent=2))
    elif target is not None and not messages.quiet:
        height, width = result.pixels.shape[2:]
        size = "" if target.suffix.lower() in PAGE_SUFFIXES else f"{width}×{height}, "
        state = "stopped early, saved" if result.interrupted else "saved"
        say(f"{state} {target} ({size}{seconds:.1f} s)")
