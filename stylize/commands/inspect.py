"""``stylize inspect``: the classic ways to look into a convolutional network, a command each."""

from __future__ import annotations

import click

from stylize.commands.lazy import LazyGroup

# What --help says of each; the command NAME is the attribute NAME of the module of that name in
# stylize.commands.inspection, imported when it is used.
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
COMMANDS = {name: f"stylize.commands.inspection.{name}" for name in SUMMARIES}


@click.group(cls=LazyGroup, modules=COMMANDS, summaries=SUMMARIES, kind="inspect command")
def inspect() -> None:
    """See what the network sees."""
