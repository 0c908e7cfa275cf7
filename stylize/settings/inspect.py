"""Settings of the ``stylize inspect`` commands."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

from stylize.errors import SettingError
from stylize.images.sizes import SizeSpec
from stylize.networks.architecture import find_layer
from stylize.networks.layer_expressions import Target, check_targets, parse_targets
from stylize.settings.fields import check_fields, setting

NETWORK_HELP = "Network that sees the pictures; see 'stylize models list'."

SIZE_HELP = "Size at which the network sees {}: N (long side), WxH, 12MP or original."

PHOTO_SIZE_HELP = SIZE_HELP.format("the photo")

CLASS_HELP = "A class instead of TARGET, by number or name; the network has to know classes."

_AT_HELP = "One neuron instead of all: the one that looks at this place, as X,Y in px of the photo."

_MAX_PLACE = 1e6


class Sized:
    """Settings of which one is the ``size`` at which pictures are seen."""

    size: str

    def __post_init__(self) -> None:
        check_fields(self)
        SizeSpec.parse(self.size)


class WithLayer:
    """Settings that speak of one ``layer``."""

    layer: str

    def check_layers(self, architecture: str) -> None:
        """Check the layer against a network.

        Raises:
            UnknownNameError: the network has no such layer.
        """
        find_layer(architecture, self.layer)


class WithTarget:
    """Settings whose ``target`` is an expression of layers and channels, or else a class."""

    target: str
    category: str | None
    network: str

    @property
    def question(self) -> dict[str, str]:
        """What is asked of the network, for a report."""
        return {"target": self.target} if self.category is None else {"class": self.category}

    @property
    def targets(self) -> tuple[Target, ...]:
        """The expression, read."""
        return parse_targets(self.target)

    def check_layers(self, architecture: str) -> None:
        """Check the layers' names and channels against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
        """
        check_targets(self.target, self.targets, architecture)


@dataclass(frozen=True, kw_only=True)
class PhotoQuestion(Sized, WithTarget):
    """What is asked of a photo: a response, of all neurons or of one."""

    target: str
    category: str | None = setting(None, CLASS_HELP, option="--class")
    at: str | None = setting(None, _AT_HELP)

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_targets(self.target)
        if self.at is not None:
            _place(self.at)
        ask_alone(self.category, {"--at": self.at})

    def place_in(self, size: tuple[int, int]) -> tuple[float, float] | None:
        """How far down and to the right the neuron lies, as shares of a photo's sides.

        Args:
            size: ``(height, width)`` of the photo in px.

        Raises:
            SettingError: the place lies outside the photo.
        """
        if self.at is None:
            return None
        across, down = _place(self.at)
        height, width = size
        if across >= width or down >= height:
            raise SettingError(
                f"--at {self.at} lies outside the photo", hint=f"it has {width}×{height} px"
            )
        return down / height, across / width


def ask_alone(category: str | None, others: dict[str, object]) -> None:
    """Make sure that a class is not asked for together with what is about layers.

    Args:
        category: the class, if one is asked for.
        others: values of other options by their names, None where they were not given.

    Raises:
        SettingError: it is.
    """
    for name, value in others.items():
        if category is not None and value is not None:
            raise SettingError(f"--class and {name}", hint="leave one of them out")


def _place(text: str) -> tuple[float, float]:
    """``X,Y`` in pixels.

    Raises:
        SettingError: it is no such pair.
    """
    try:
        across, down = (float(word) for word in text.split(","))
    except ValueError as error:
        raise SettingError(f"--at: '{text}' is no place", hint="X,Y in pixels: 120,80") from error
    if not all(math.isfinite(each) and 0 <= each <= _MAX_PLACE for each in (across, down)):
        raise SettingError(f"--at: '{text}' is no place", hint="X,Y in pixels: 120,80")
    return across, down


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(WithTarget):
    """How a picture is grown that excites a channel most."""

    target: str = setting("conv5_1:100", "What shall be excited: layers, channels, weights.")
    category: str | None = setting(None, CLASS_HELP, option="--class")
    to: str | None = setting(
        None, "A second expression: a strip of pictures that go from the first to it."
    )
    size: int = setting(256, "Side of a picture in px.", low=32, high=4096)
    method: str = setting(
        "fourier",
        "How it grows: waves in random views, or the steps on pixels of the CS231n notes.",
        choices=("fourier", "cs231n"),
    )
    steps: int | None = setting(None, "Steps.  [50; cs231n: 100]", low=1, high=100_000)
    rate: float = setting(
        1.0, "Length of the steps, in units of the method's own.", above=0, high=100
    )
    diversity: int = setting(1, "Pictures, each as unlike the others as can be.", low=1, high=16)
    frames: int = setting(5, "Pictures of a strip.", low=2, high=16)
    negative: bool = setting(False, "What it likes least instead of most.")
    neuron: bool = setting(False, "Excite the one neuron in the middle, not the whole map.")
    decay: float = setting(
        1.15, "Of fourier: how much large shapes go before small ones.", low=0, high=3
    )
    l2: float = setting(
        0.01, "Of cs231n: share of the contrast that a step takes back.", low=0, high=1
    )
    blur_every: int = setting(
        4, "Of cs231n: steps between two blurs of the picture; 0 for none.", low=0, high=100_000
    )
    cut: float = setting(
        0.1, "Of cs231n: share of the pixels, the greyest, set to grey.", low=0, high=1
    )
    seed: int = setting(0, "Seed of the noise and of the views.", low=0, high=2**63 - 1)
    network: str = setting("vgg16", NETWORK_HELP)

    TECHNIQUE: ClassVar[str] = "inspect feature"
    OF_METHOD: ClassVar[dict[str, tuple[str, ...]]] = {
        "fourier": ("decay",),
        "cs231n": ("l2", "blur_every", "cut"),
    }

    def __post_init__(self) -> None:
        check_fields(self)
        parse_targets(self.target)
        if self.to is not None:
            parse_targets(self.to)
            if self.diversity > 1:
                raise SettingError("--to and --diversity", hint="ask for one row at a time")
        ask_alone(self.category, {"--to": self.to, "--neuron": self.neuron or None})

    @property
    def steps_planned(self) -> int:
        """The number of steps, the method's own where nobody says one."""
        return self.steps or {"fourier": 50, "cs231n": 100}[self.method]

    @property
    def count(self) -> int:
        """Pictures in the row."""
        return self.diversity if self.to is None else self.frames

    def direction_layer(self) -> str:
        """The layer in which photos have a direction in common, before the ReLU.

        Raises:
            SettingError: the target is not one layer, or another setting does not go with photos.
        """
        first = self.targets[0]
        if len(self.targets) > 1 or first.channels is not None or first.weight != 1:
            raise SettingError(
                f"--direction: '{self.target}' is not one layer", hint="for instance conv5_1"
            )
        if self.neuron:
            raise SettingError("--direction and --neuron", hint="leave one of them out")
        return before_relu(first).layer

    def check_layers(self, architecture: str) -> None:
        """Check both expressions against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
        """
        super().check_layers(architecture)
        if self.to is not None:
            check_targets(self.to, parse_targets(self.to), architecture)


@dataclass(frozen=True, kw_only=True)
class SaliencySettings(PhotoQuestion):
    """Of what, how, and how it is shown."""

    target: str = setting("conv5_3", "Whose response is explained: layers, channels, weights.")
    method: str = setting(
        "gradient",
        "What goes back through the network: the gradient, its mean over noisy copies"
        " (smoothgrad), its product with the pixels, or the rules of guided backpropagation or"
        " of the deconvnet.",
        choices=("gradient", "guided", "deconvnet", "smoothgrad", "input-x-gradient"),
    )
    view: str = setting(
        "heat",
        "How it is shown: colours from black to white, the same over the photo, or a grey mask.",
        choices=("heat", "overlay", "mask"),
    )
    samples: int = setting(25, "Of smoothgrad: noisy copies.", low=1, high=10_000)
    noise: float = setting(
        0.15, "Of smoothgrad: the noise, as a share of the range of the pixels.", above=0, high=1
    )
    seed: int = setting(0, "Of smoothgrad: seed of the noise.", low=0, high=2**63 - 1)
    size: str = setting("384", PHOTO_SIZE_HELP)
    network: str = setting("vgg16", NETWORK_HELP)

    TECHNIQUE: ClassVar[str] = "inspect saliency"


@dataclass(frozen=True, kw_only=True)
class OcclusionSettings(PhotoQuestion):
    """What is hidden, and of what the response is watched."""

    target: str = setting("conv5_3", "Whose response is watched: layers, channels, weights.")
    patch: int = setting(48, "Side of the patch in px, at the size of --size.", low=1, high=4096)
    step: int = setting(16, "Way of the patch from one place to the next, in px.", low=1, high=4096)
    fill: float = setting(0.5, "Grey of the patch: 0 black, 1 white.", low=0, high=1)
    batch: int = setting(8, "Pictures that the network sees at a time.", low=1, high=256)
    view: str = setting(
        "overlay",
        "How it is shown: colours over the photo, those alone, or a grey mask.",
        choices=("overlay", "heat", "mask"),
    )
    size: str = setting("256", PHOTO_SIZE_HELP)
    network: str = setting("vgg16", NETWORK_HELP)

    TECHNIQUE: ClassVar[str] = "inspect occlude"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step > self.patch:
            raise SettingError(
                f"--step: {self.step} is too large", hint="at most --patch, or places stay unseen"
            )


@dataclass(frozen=True, kw_only=True)
class InversionSettings(Sized, WithLayer):
    """From which layer the photo is found again, and how long it is sought."""

    layer: str = setting("relu4_1", "The layer whose activations are all that is known.")
    strip: bool = setting(False, "The photo, and what each of conv1_1 to conv5_1 knows of it.")
    steps: int = setting(100, "Steps of L-BFGS.", low=1, high=100_000)
    smoothness: float = setting(
        0.3, "Weight of the total variation: more is smoother.", low=0, high=1e9
    )
    seed: int = setting(0, "Seed of the noise that it begins as.", low=0, high=2**63 - 1)
    size: str = setting("256", PHOTO_SIZE_HELP)
    network: str = setting("vgg16", NETWORK_HELP)

    TECHNIQUE: ClassVar[str] = "inspect invert"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are inverted."""
        if self.strip:
            return tuple(f"conv{block}_1" for block in range(1, 6))
        return (self.layer,)


@dataclass(frozen=True, kw_only=True)
class CaricatureSettings(Sized, WithLayer):
    """How strongly which layer's answer is exaggerated."""

    layer: str = setting("relu4_2", "The layer whose activations are exaggerated.")
    power: float = setting(
        1.0,
        "How much the likeness counts beside the strength: 0 is wild, 2 faithful.",
        low=0,
        high=16,
    )
    steps: int = setting(60, "Steps.", low=1, high=100_000)
    rate: float = setting(1.0, "Length of the steps, in units of the usual.", above=0, high=100)
    decay: float = setting(1.15, "How much large shapes go before small ones.", low=0, high=3)
    seed: int = setting(0, "Seed of the noise and of the views.", low=0, high=2**63 - 1)
    size: str = setting("320", PHOTO_SIZE_HELP)
    network: str = setting("vgg16", NETWORK_HELP)

    TECHNIQUE: ClassVar[str] = "inspect caricature"


def before_relu(target: Target) -> Target:
    """The target in the convolution's output."""
    return dataclasses.replace(target, layer=target.layer.replace("relu", "conv"))


NETWORK = "vgg16"


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Who looks for the subject, and how it is shown."""

    network: str = setting(NETWORK, "Network that looks at the photo; see 'stylize models list'.")
    view: str = setting(
        "mask",
        "mask: white on the subject; overlay: the photo, dark around it; cutout: the photo,"
        " transparent around it.",
        choices=("mask", "overlay", "cutout"),
    )
    invert: bool = setting(False, "The background instead of the subject.")

    TECHNIQUE: ClassVar[str] = "inspect segment"

    def __post_init__(self) -> None:
        check_fields(self)


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
