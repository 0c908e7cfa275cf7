"""``stylize models``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from stylize.cli.completion import names_only, names_or_files, network_names
from stylize.cli.help import CommandGroup, option
from stylize.cli.messages import echo, echo_path, say
from stylize.cli.progress import Meter
from stylize.cli.requests import Messages
from stylize.errors import SettingError, WeightsError
from stylize.networks import import_models as additions
from stylize.networks import models as store
from stylize.settings.fields import Group


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
    """List the networks that are installed or can be downloaded.

    \b
    Examples:
      stylize models list
      stylize models list --json
    """
    found = store.list_models()
    if as_json:
        click.echo(json.dumps([asdict(model) for model in found], indent=2, default=str))
        return
    for model in found:
        echo(f"{model.name:<16}  {model.architecture}  {model.origin:<7}  {model.source}")
    for name in store.DOWNLOADABLE:
        if name not in {model.name for model in found}:
            say(f"to download {name}: stylize models add {name}")


@models.command()
@click.argument("name", required=False, shell_complete=names_only(network_names))
def verify(name: str | None) -> None:
    """Check the SHA-256 of the network NAME, or of all networks.

    \b
    Examples:
      stylize models verify
      stylize models verify vgg19
    """
    damaged = []
    for model in [store.find_model(name)] if name else store.list_models():
        try:
            store.verify(model)
        except WeightsError as err:
            damaged.append(err)
            echo(f"{model.name}: damaged")
        else:
            echo(f"{model.name}: intact, SHA-256 {model.sha256}")
    for error in damaged[:-1]:
        say(str(error))
    if damaged:
        raise damaged[-1]


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
@click.argument(
    "source",
    metavar="NAME|FILE",
    shell_complete=names_or_files(lambda: store.DOWNLOADABLE),
)
@option(
    "--name",
    metavar="NAME",
    group=Group.NETWORK,
    everyday=True,
    help="Name of the network.  [from the file name]",
)
@option(
    "--preprocessing",
    group=Group.NETWORK,
    everyday=True,
    type=click.Choice(["auto", "caffe", "torchvision"]),
    default="auto",
    help="Preprocessing that the network expects. caffe: BGR, 0 to 255, minus the mean; "
    "torchvision: RGB, 0 to 1, normalized; auto: detected from the file.  [auto]",
)
def add(source: str, name: str | None, preprocessing: str) -> None:
    """Add a VGG-16 or VGG-19: a FILE of weights, or the NAME of one to download.

    \b
    Examples:
      stylize models add vgg16-imagenet
      stylize models add my-weights.safetensors
      stylize models add vgg19.pth --name my-vgg

    FILE is .safetensors, .pth or .pt; only tensors are read from it. NAME is vgg16-imagenet
    (528 MB) or vgg19-imagenet (548 MB), as torchvision publishes them.
    """
    if source in store.DOWNLOADABLE:
        if name or preprocessing != "auto":
            raise SettingError("--name and --preprocessing are for files, not for downloads")
        with _bar(source) as progress:
            model = additions.download(source, progress=progress)
    elif os.path.lexists(source):
        model = additions.add_file(source, name=name, preprocessing=preprocessing)
    else:
        kinds = ", ".join(additions.SUFFIXES)
        raise WeightsError(
            f"{source}: there is no such file or model",
            hint=f"give a file of weights ({kinds}), or {' or '.join(store.DOWNLOADABLE)}",
        )
    say(f"added {model.name}, a {model.architecture}")
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
