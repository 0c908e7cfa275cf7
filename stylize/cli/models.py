"""``stylize models``."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import click

from stylize.cli.completion import FileType, names_only, names_or_files, network_names
from stylize.cli.help import CommandGroup, option
from stylize.cli.messages import echo, echo_path, say
from stylize.cli.progress import Meter
from stylize.cli.requests import Messages
from stylize.errors import SettingError, UsageError, WeightsError
from stylize.networks import import_models as additions
from stylize.networks import models as store
from stylize.networks.architecture import architectures
from stylize.settings.fields import Group

# Downloads that a message names; there are dozens.
NAMED = (*store.DOWNLOADABLE[:3], "resnet50")


@click.group(cls=CommandGroup)
def models() -> None:
    """List, check and add networks.

    \b
    Examples:
      stylize models list
      stylize models add vgg16-imagenet
      stylize transfer photo.jpg painting.jpg --network vgg16-imagenet
    """


@models.command("list")
@option(
    "--json",
    "as_json",
    is_flag=True,
    everyday=True,
    help="Print a JSON array with every detail.",
)
def list_command(as_json: bool) -> None:
    """List the networks that are installed.

    \b
    Examples:
      stylize models list
      stylize models list --json
    """
    damaged: list[WeightsError] = []
    found = store.list_models(damaged.append)
    if as_json:
        # An error follows as a line of its own; then so is the array.
        indent = None if damaged else 2
        click.echo(json.dumps([asdict(model) for model in found], indent=indent, default=str))
        _report(damaged)
        return
    # The package that ships the weights is in --json and in NOTICE.
    rows = [("name", "architecture", "origin", "weights")]
    rows += [(each.name, each.architecture, each.origin, _weights(each)) for each in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())
    _report(damaged)


def _weights(model: store.ModelFile) -> str:
    return model.source.partition(", from ")[0] if model.origin == "package" else model.source


def _report(damaged: Sequence[WeightsError]) -> None:
    """Print the errors of damaged models, the last one by raising it."""
    for error in damaged[:-1]:
        say(str(error))
    if damaged:
        raise damaged[-1]


@models.command()
@click.argument("name", required=False, shell_complete=names_only(network_names))
def verify(name: str | None) -> None:
    """Check the SHA-256 of the network NAME, or of all networks.

    \b
    Examples:
      stylize models verify
      stylize models verify vgg19
    """
    damaged: list[WeightsError] = []
    for model in [store.find_model(name)] if name else store.list_models(damaged.append):
        try:
            store.verify(model)
        except WeightsError as err:
            damaged.append(err)
            echo(f"{model.name}: damaged")
        else:
            echo(f"{model.name}: intact, SHA-256 {model.sha256}")
    _report(damaged)


@models.command()
@click.argument("name", shell_complete=names_only(network_names))
def path(name: str) -> None:
    """Print the path of the file of the network NAME.

    \b
    Examples:
      stylize models path vgg16
    """
    echo_path(store.find_model(name).path)


@models.command()
@click.argument("name", shell_complete=names_only(store.added_names))
def remove(name: str) -> None:
    """Delete the network NAME, which 'stylize models add' has added.

    \b
    Examples:
      stylize models remove googlenet
    """
    additions.remove(name)
    say(f"removed {name}")


@models.command()
@click.argument(
    "source",
    metavar="NAME|FILE",
    shell_complete=names_or_files(lambda: store.DOWNLOADABLE),
)
@option(
    "--name",
    metavar="NAME",
    group=Group.OUTPUT,
    everyday=True,
    help="Name of the network.  [from the file name]",
)
@option(
    "--preprocessing",
    group=Group.NETWORK,
    everyday=True,
    type=click.Choice(["auto", "caffe", "torchvision", "inception"]),
    default="auto",
    help="Preprocessing that the network expects. caffe: BGR, 0 to 255, minus the mean; "
    "torchvision: RGB, 0 to 1, normalized; inception: RGB, -1 to 1; auto: what the architecture "
    "and the names in the file suggest.  [auto]",
)
@option(
    "--architecture",
    metavar="NAME",
    group=Group.NETWORK,
    everyday=True,
    help="Architecture of the network in FILE, by torchvision's name, such as googlenet or "
    "resnet50.  [recognised by the names in the file]",
    shell_complete=names_only(architectures),
)
@option(
    "--classes",
    metavar="FILE",
    type=FileType(),
    group=Group.NETWORK,
    everyday=True,
    help="Text file with the name of one class in each line, for --class.  [ImageNet's, if there "
    "are 1000]",
)
def add(
    source: str,
    name: str | None,
    preprocessing: str,
    architecture: str | None,
    classes: str | None,
) -> None:
    """Add a network: a FILE of weights, or the NAME of one to download.

    \b
    Examples:
      stylize models add googlenet
      stylize models add my-weights.safetensors
      stylize models add places.pth --architecture googlenet --classes places.txt

    FILE is .safetensors, .pth, .pt or .pth.tar; only tensors are read from it. NAME is
    vgg16-imagenet (528 MB), vgg19-imagenet (548 MB), googlenet (50 MB), inception_v3 (104 MB),
    resnet50 (98 MB) or another of torchvision's convolutional classifiers, as torchvision publishes
    them.
    """
    # No such name has the extension of weights, so a file or folder of that name cannot be weights.
    if source in store.DOWNLOADABLE:
        if name or preprocessing != "auto" or architecture or classes:
            raise SettingError(
                "--name, --preprocessing, --architecture and --classes are for files, not for"
                " downloads"
            )
        present = additions.installed(source)
        if present is not None:
            say(f"{source} ({present.architecture}) is already installed")
            echo_path(present.path)
            return
        with _bar(source) as progress:
            model = additions.download(source, progress=progress)
    elif os.path.lexists(source):
        model = additions.add_file(
            source,
            name=name,
            preprocessing=preprocessing,
            architecture=architecture,
            classes=classes,
        )
    else:
        kinds = ", ".join(each for each in additions.SUFFIXES if each != ".tar")
        near = difflib.get_close_matches(source, store.DOWNLOADABLE, n=3)
        near = near if "." not in source and os.sep not in source else []
        named = f"did you mean {' or '.join(near)}?" if near else f"{', '.join(NAMED)} …"
        raise UsageError(
            f"{source}: there is no such file, and no such network to download",
            hint=named if near else f"give a file of weights ({kinds}), or one of {named}",
        )
    say(f"added {model.name} ({model.architecture})")
    is_file = source not in store.DOWNLOADABLE
    if is_file and preprocessing == "auto" and model.architecture in additions.INCEPTIONS:
        say(
            "it gets pixels from -1 to 1, as torchvision's own file expects them; if yours was"
            " trained otherwise, add it with --preprocessing torchvision"
        )
    echo_path(model.path)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    with Meter(Messages(), None) as meter:

        def show(done_bytes: int, total_bytes: int | None) -> None:
            meter.total = total_bytes
            amount = f"{done_bytes / 1e6:.0f} MB"
            if total_bytes:
                amount = f"{done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB"
            meter.advance(done_bytes, f"downloading {name}, {amount}", amount, unit=done_bytes)

        yield show
