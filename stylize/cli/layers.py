"""``stylize layers``."""

from __future__ import annotations

import json
from typing import Any

import click

from stylize.cli.completion import names_only, network_names
from stylize.cli.help import Command, option
from stylize.networks.architecture import Layer, is_vgg, least_octave_px, listed_layers
from stylize.networks.models import find_model
from stylize.planning.cost import network_flop_per_px
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import Group

# What grows in a dream of a layer of the packaged VGG-16.
LOOKS = {
    "conv1": "colour and edge grain",
    "conv2": "fine strokes, grids, weave",
    "conv3_1": "scales, knit, small curls",
    "conv3_2": "scales, knit, small curls",
    "conv3_3": "scrolls and swirls",
    "conv4_1": "fur, feathers, bead rows",
    "conv4_2": "eyes",
    "conv4_3": "dog faces, snouts, crests",
    "conv5_1": "large loose animal bodies, birds",
    "conv5_2": "large loose animal bodies, birds",
    "conv5_3": "sparse objects, best channel by channel",
}

DEEPEST_KNOWN = 3

HEADINGS = ("layer", "channels", "field", "stride", "octave", "GFLOP/MP", "look")

LINE = "{:<{}}{:>8}{:>9}{:>8}{:>9}{:>10}  {}"

NAME_WIDTH = 9


@click.command(cls=Command)
@option(
    "--network",
    group=Group.NETWORK,
    everyday=True,
    default=DreamSettings.network,
    metavar="NAME",
    help=f"Network; see 'stylize models list'.  [{DreamSettings.network}]",
    shell_complete=names_only(network_names),
)
@option("--json", "as_json", is_flag=True, everyday=True, help="Print a JSON array.")
def layers(network: str, as_json: bool) -> None:
    """List the layers that a dream can amplify, and what it looks like.

    \b
    Examples:
      stylize layers
      stylize layers --network googlenet
      stylize layers --json

    \b
    field     side of the receptive field: the patch that one position of the layer sees
    stride    distance between neighbouring positions, in pixels of the picture
    octave    smallest short side of a picture for a dream at this layer
    GFLOP/MP  cost of one step, forward and back, per million pixels

    Each layer of a VGG has a second name for its output after the ReLU: relu4_3 for conv4_3. The
    looks were observed with vgg16. vgg19 gives similar ones; a network that was trained differently
    gives others.

    Of other networks, the blocks, their branches and the convolutions of the stem are listed. Every
    other module that makes maps, and runs only once, is a layer too, by torchvision's name:
    layer3.0.conv2 of a ResNet.
    """
    architecture = find_model(network).architecture
    rows = [row(architecture, layer) for layer in listed_layers(architecture)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(NAME_WIDTH, *(len(each["name"]) + 2 for each in rows))
    headings = HEADINGS if is_vgg(architecture) else (*HEADINGS[:-1], "")
    click.echo(LINE.format(headings[0], width, *headings[1:]).rstrip())
    for each in rows:
        click.echo(line(each, width))


def row(architecture: str, layer: Layer) -> dict[str, Any]:
    """A layer and what is to be known of it."""
    flop_per_px = network_flop_per_px(architecture, [layer.name])
    return {
        "name": layer.name,
        "channels": layer.channels,
        "receptive_field_px": layer.receptive_field_px,
        "stride_px": layer.stride,
        "least_octave_px": least_octave_px(layer),
        "gflop_per_mp": round(flop_per_px / 1e3, 1),
        "look": look(layer.name) if is_vgg(architecture) else "",
    }


def look(name: str) -> str:
    """Describe what grows in a dream of a layer; VGG-19's fourth of a block is like the third."""
    block, index = name.split("_")
    return LOOKS.get(f"{block}_{min(int(index), DEEPEST_KNOWN)}") or LOOKS[block]


def line(each: dict[str, Any], width: int = NAME_WIDTH) -> str:
    """A row for people, with its units."""
    return LINE.format(
        each["name"],
        width,
        each["channels"],
        f"{each['receptive_field_px']} px",
        f"{each['stride_px']} px",
        f"{each['least_octave_px']} px",
        f"{each['gflop_per_mp']:.0f}",
        each["look"],
    ).rstrip()
