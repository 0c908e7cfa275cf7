"""Settings of those ``stylize inspect`` commands that survey filters, channels and folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stylize.errors import SettingError
from stylize.networks.architecture import find_layer
from stylize.networks.targets import Target, check_targets, parse_targets
from stylize.settings.fields import check_fields, setting
from stylize.settings.inspect_common import (
    NETWORK_HELP,
    PHOTO_SIZE_HELP,
    SIZE_HELP,
    Sized,
    WithLayer,
)

# Rows of a page beyond which it is too long to be looked at.
MAX_ROWS = 64

_NORMALIZE_HELP = "The scale of the brightness: one for all cells, or each cell's own."


@dataclass(frozen=True, kw_only=True)
class FiltersSettings(WithLayer):
    """What of the kernels is shown."""

    layer: str = setting("conv1_1", "The layer whose kernels are shown.")
    count: int = setting(64, "How many filters, counted from the first.", low=1, high=512)
    slices: int = setting(
        16,
        "Beyond the first layer: how many of the layer's inputs, a grey slice each, counted from"
        " the first.",
        low=1,
        high=512,
    )
    normalize: str = setting("all", _NORMALIZE_HELP, choices=("all", "each"))
    columns: int = setting(8, "Cells in a row of the sheet.", low=1, high=64)
    network: str = setting("vgg16", "Network whose kernels they are; see 'stylize models list'.")

    TECHNIQUE: ClassVar[str] = "inspect filters"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class ActivationsSettings(Sized):
    """What is shown of a layer's answer to a photo."""

    layer: str = setting("relu4_3", "A layer, or some channels of one: relu4_3:7,21-26.")
    count: int = setting(24, "How many channels, the strongest first.", low=1, high=512)
    overlay: bool = setting(False, "Lay each map over the photo.")
    normalize: str = setting("each", _NORMALIZE_HELP, choices=("all", "each"))
    size: str = setting("512", PHOTO_SIZE_HELP)
    columns: int = setting(6, "Cells in a row of the sheet.", low=1, high=64)
    network: str = setting("vgg16", NETWORK_HELP)

    TECHNIQUE: ClassVar[str] = "inspect activations"

    def __post_init__(self) -> None:
        super().__post_init__()
        targets = _unweighted(self.layer, "a layer")
        if len(targets) > 1:
            raise SettingError(f"'{self.layer}' is more than one layer", hint="one at a time")

    def check_layers(self, architecture: str) -> None:
        """Check layer and channels against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
        """
        check_targets(self.layer, parse_targets(self.layer), architecture)


@dataclass(frozen=True, kw_only=True)
class PatchesSettings(Sized):
    """What is sought in the photos, and how many of it are kept."""

    channels: str = setting("relu4_3:0", "Channels, each a row of the page: relu4_3:7,21-26.")
    top: int = setting(9, "Patches for each channel.", low=1, high=64)
    per_photo: int = setting(
        2, "Patches that one photo may give a channel, at least half a field apart.", low=1, high=64
    )
    size: str = setting("512", SIZE_HELP.format("a photo"))
    cell: int = setting(128, "Side of a patch on the page, in px.", low=32, high=512)
    network: str = setting("vgg16", NETWORK_HELP)

    TECHNIQUE: ClassVar[str] = "inspect patches"

    def __post_init__(self) -> None:
        super().__post_init__()
        _unweighted(self.channels, "a channel")

    def check_layers(self, architecture: str) -> None:
        """Check layers and channels against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
            SettingError: there are more channels than a page has rows.
        """
        targets = parse_targets(self.channels)
        check_targets(self.channels, targets, architecture)
        rows = sum(len(channels_of(each, architecture)) for each in targets)
        if rows > MAX_ROWS:
            raise SettingError(
                f"{rows} channels are too many for one page",
                hint=f"at most {MAX_ROWS}: choose with LAYER:0-{MAX_ROWS - 1}",
            )


@dataclass(frozen=True, kw_only=True)
class MapSettings(Sized, WithLayer):
    """How a folder's photos are compared and laid out."""

    layer: str = setting("relu5_3", "The layer whose channels' means are compared.")
    size: str = setting("256", SIZE_HELP.format("a photo"))
    thumbnail: int = setting(
        96, "Side of a thumbnail in px; smaller where there are too many for it.", low=16, high=512
    )
    perplexity: float = setting(
        30.0, "About how many neighbours a photo has; a third of all at most.", low=1, high=1000
    )
    seed: int = setting(0, "Seed of the layout.", low=0, high=2**32 - 1)
    network: str = setting("vgg16", NETWORK_HELP)

    TECHNIQUE: ClassVar[str] = "inspect map"


def channels_of(target: Target, architecture: str) -> tuple[int, ...]:
    """The channels that a target names; all of the layer if it names none."""
    if target.channels is not None:
        return target.channels
    return tuple(range(find_layer(architecture, target.layer).channels))


def _unweighted(text: str, what: str) -> tuple[Target, ...]:
    targets = parse_targets(text)
    if any(each.weight != 1 for each in targets):
        raise SettingError(f"'{text}' has a weight or a minus", hint=f"name {what} alone")
    return targets
