"""Settings of the ``stylize inspect`` commands."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from stylize.errors import SettingError
from stylize.images.sizes import SizeSpec
from stylize.networks.architecture import (
    deepest_layer,
    find_layer,
    has_smooth_activations,
    is_vgg,
    require_vgg,
    scales,
    unrectified,
    usual_layer,
)
from stylize.networks.layer_expressions import Target, check_targets, parse_targets
from stylize.settings.fields import Group, check_fields, option_name, setting
from stylize.settings.masks import NETWORK

NETWORK_HELP = "Network to inspect; see 'stylize models list'."

SIZE_HELP = "Size at which the network sees {}: N (long side), WxH, 12MP or original."

PHOTO_SIZE_HELP = SIZE_HELP.format("the photo")

CLASS_HELP = "Class, by number or name, in place of a target. Needs a network with classes."

_AT_HELP = "Use only the neuron at this place of the photo, given as X,Y in px."

_MAX_PLACE = 1e6

SALIENCY_METHODS = (
    "gradient",
    "guided",
    "deconvnet",
    "smoothgrad",
    "input-x-gradient",
    "grad-cam",
)


# A layer that depends on the network.
AUTO = "auto"

# By field: the layer of VGG-16 and VGG-19, and what chooses that of another architecture.
LayerDefaults = Mapping[str, tuple[str, Callable[[str], str]]]


def saliency_methods(architecture: str) -> tuple[str, ...]:
    """The saliency methods that work with an architecture."""
    of_relus = ("guided", "deconvnet")
    smooth = has_smooth_activations(architecture)
    return tuple(each for each in SALIENCY_METHODS if not smooth or each not in of_relus)


class InspectSettings:
    """Settings of an inspect command.

    Attributes:
        LAYERS: what ``auto`` means.
        ONLY_WITH: fields that matter only if another field has a value, by name: the other field
            and its value (None for any value but None).
    """

    network: str

    TECHNIQUE: ClassVar[str]
    LAYERS: ClassVar[LayerDefaults] = {}
    ONLY_WITH: ClassVar[Mapping[str, tuple[str, Any]]] = {}

    def __post_init__(self) -> None:
        check_fields(self)

    def for_network(self, architecture: str) -> Self:
        """Choose the layers that are ``auto``, and check all of them.

        Raises:
            SettingError: see :meth:`check_layers`.
        """
        chosen = {
            name: vgg if is_vgg(architecture) else other(architecture)
            for name, (vgg, other) in self.LAYERS.items()
            if getattr(self, name) == AUTO
        }
        settings: Self = dataclasses.replace(self, **chosen)  # type: ignore[type-var]
        settings.check_layers(architecture)
        return settings

    def check_layers(self, architecture: str) -> None:
        """Check layers and channels against a network.

        Raises:
            UnknownNameError: the network has no such layer.
            ExpressionError: the network has no such layer or channel.
            SettingError: there are too many channels.
        """

    def check_request(self, given: Collection[str], inputs: Mapping[str, Sequence[str]]) -> None:
        """Check what the user gave on the command line.

        Args:
            given: names of the fields that the user gave a value.
            inputs: file names, by the name of the argument or option.

        Raises:
            SettingError: an option has no effect, or contradicts another one.
        """
        fields = {each.name: each for each in dataclasses.fields(self)}  # type: ignore[arg-type]
        for name, (other, wanted) in self.ONLY_WITH.items():
            value = getattr(self, other)
            if name not in given or (value is not None if wanted is None else value == wanted):
                continue
            condition = "without" if wanted is None else "with"
            words = [condition, option_name(fields[other])]
            if isinstance(value, str) and wanted is not None:
                words.append(value)
            raise SettingError(f"{option_name(fields[name])} makes no difference {' '.join(words)}")


class Sized(InspectSettings):
    """Settings with the ``size`` at which the network sees pictures."""

    size: str

    def __post_init__(self) -> None:
        super().__post_init__()
        SizeSpec.parse(self.size)


class WithLayer(InspectSettings):
    """Settings with one ``layer``."""

    layer: str

    def check_layers(self, architecture: str) -> None:
        """Check the layer against a network.

        Raises:
            UnknownNameError: the network has no such layer.
        """
        find_layer(architecture, self.layer)


class WithTarget(InspectSettings):
    """Settings with a ``target``, an expression of layers and channels, or a class."""

    target: str
    category: str | None

    @property
    def question(self) -> dict[str, str]:
        """The target or the class, for a report."""
        return {"target": self.target} if self.category is None else {"class": self.category}

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets of the expression."""
        return parse_targets(self.target)

    def check_layers(self, architecture: str) -> None:
        """Check the layers' names and channels against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
        """
        if self.category is None:
            check_targets(self.target, self.targets, architecture)


@dataclass(frozen=True, kw_only=True)
class PhotoSettings(Sized, WithTarget):
    """Settings of a question about a photo: a response of all neurons, or of one."""

    target: str
    category: str | None = setting(
        None, CLASS_HELP, Group.INPUT, everyday=True, metavar="CLASS", option="--class"
    )
    at: str | None = setting(None, _AT_HELP, Group.INPUT, everyday=True, metavar="X,Y")

    LAYERS: ClassVar[LayerDefaults] = {"target": ("conv5_3", deepest_layer)}

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_targets(self.target)
        if self.at is not None:
            _place(self.at)
        ask_alone(self.category, {"--at": self.at})

    def check_request(self, given: Collection[str], inputs: Mapping[str, Sequence[str]]) -> None:
        """Check what the user gave; see :meth:`InspectSettings.check_request`."""
        super().check_request(given, inputs)
        like = inputs.get("like") or None
        target = self.target if "target" in given else None
        ask_alone(self.category, {"TARGET": target, "--like": like})
        if like is None:
            return
        if not _is_whole_layer(self.targets):
            raise SettingError("--like compares whole layers", hint="name one as TARGET: conv5_3")
        if self.at is not None:
            raise SettingError("--like cannot be combined with --at", hint="leave one of them out")

    def place_in(self, size: tuple[int, int]) -> tuple[float, float] | None:
        """The place of the neuron from the top and the left, as shares of the photo's sides.

        Args:
            size: ``(height, width)`` of the photo in px.

        Raises:
            SettingError: the place is outside the photo.
        """
        if self.at is None:
            return None
        across, down = _place(self.at)
        height, width = size
        if across >= width or down >= height:
            raise SettingError(
                f"--at {self.at} is outside the photo", hint=f"it has {width}×{height} px"
            )
        return down / height, across / width


def ask_alone(category: str | None, others: dict[str, object]) -> None:
    """Check that a class is not combined with options for layers.

    Args:
        category: the class, if any.
        others: values of other options by name; None for an option that was not given.

    Raises:
        SettingError: both are given.
    """
    for name, value in others.items():
        if category is not None and value is not None:
            raise SettingError(
                f"--class cannot be combined with {name}", hint="leave one of them out"
            )


def check_patch(step: int, patch: int) -> None:
    """Check that the places of a patch leave no gaps.

    Raises:
        SettingError: the step is longer than the patch.
    """
    if step > patch:
        raise SettingError(f"--step: {step} is too large", hint="at most --patch")


def _place(text: str) -> tuple[float, float]:
    refusal = SettingError(f"--at: '{text}' is not a place", hint="X,Y in pixels: 120,80")
    try:
        across, down = (float(word) for word in text.split(","))
    except ValueError as error:
        raise refusal from error
    if not all(math.isfinite(each) and 0 <= each <= _MAX_PLACE for each in (across, down)):
        raise refusal
    return across, down


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(WithTarget):
    """Settings of ``stylize inspect feature``."""

    target: str = setting(
        "conv5_1:100", "Target to excite: layers, channels, weights.", Group.NETWORK
    )
    category: str | None = setting(
        None, CLASS_HELP, Group.INPUT, everyday=True, metavar="CLASS", option="--class"
    )
    to: str | None = setting(
        None,
        "Second target: make a strip of pictures from the first target to this one.",
        Group.INPUT,
        everyday=True,
        metavar="TARGET",
    )
    size: int = setting(256, "Side of a picture in px.", everyday=True, low=32, high=4096)
    method: str = setting(
        "fourier",
        "Optimization method: Fourier waves, shifted, rotated and scaled at random (fourier), or "
        "pixels, as in the CS231n notes (cs231n).",
        everyday=True,
        choices=("fourier", "cs231n"),
    )
    parameterization: str = setting(
        "fourier",
        "What changes (method fourier only): amplitudes and phases of the waves (fourier), or only "
        "the phases, under the amplitudes that photos have (maco).",
        everyday=True,
        choices=("fourier", "maco"),
    )
    steps: int | None = setting(
        None, "Number of steps.  [50; cs231n: 100]", Group.OPTIMIZER, low=1, high=100_000
    )
    rate: float = setting(
        1.0,
        "Step length, as a multiple of the method's default.",
        Group.OPTIMIZER,
        above=0,
        high=100,
    )
    diversity: int = setting(
        1,
        "Make N diverse visualizations of the target, side by side (fourier only).",
        everyday=True,
        low=1,
        high=16,
    )
    frames: int = setting(5, "Number of pictures in the strip (with --to).", low=2, high=16)
    negative: bool = setting(False, "Minimize the response instead.", everyday=True)
    neuron: bool = setting(False, "Excite only the neuron in the middle of the map.", everyday=True)
    decay: float = setting(
        1.15, "Preference for large shapes (fourier only).", Group.OPTIMIZER, low=0, high=3
    )
    l2: float = setting(
        0.01,
        "Share of the contrast removed in each step (cs231n only).",
        Group.OPTIMIZER,
        low=0,
        high=1,
    )
    blur_every: int = setting(
        4,
        "Number of steps between two blurs; 0 for no blur (cs231n only).",
        Group.OPTIMIZER,
        low=0,
        high=100_000,
    )
    cut: float = setting(
        0.1,
        "Share of the pixels that are set to grey, those nearest to grey (cs231n only).",
        Group.OPTIMIZER,
        low=0,
        high=1,
    )
    seed: int = setting(
        0, "Seed of the noise and of the views.", Group.OPTIMIZER, low=0, high=2**63 - 1
    )
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect feature"
    ONLY_WITH: ClassVar[Mapping[str, tuple[str, Any]]] = {
        "parameterization": ("method", "fourier"),
        "decay": ("method", "fourier"),
        "diversity": ("method", "fourier"),
        "l2": ("method", "cs231n"),
        "blur_every": ("method", "cs231n"),
        "cut": ("method", "cs231n"),
        "frames": ("to", None),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_targets(self.target)
        if self.to is not None:
            parse_targets(self.to)
            if self.diversity > 1:
                raise SettingError(
                    "--to cannot be combined with --diversity", hint="ask for one row at a time"
                )
        ask_alone(self.category, {"--to": self.to, "--neuron": self.neuron or None})

    @property
    def steps_planned(self) -> int:
        """The number of steps, by default that of the method."""
        return self.steps or {"fourier": 50, "cs231n": 100}[self.method]

    @property
    def count(self) -> int:
        """Pictures in the row."""
        return self.diversity if self.to is None else self.frames

    def check_request(self, given: Collection[str], inputs: Mapping[str, Sequence[str]]) -> None:
        """Check what the user gave; see :meth:`InspectSettings.check_request`."""
        direction = inputs.get("direction") or None
        target = self.target if "target" in given else None
        if target is None and self.category is None:
            raise SettingError("nothing to visualize", hint="name a channel: conv5_3:100")
        ask_alone(self.category, {"TARGET": target, "--direction": direction})
        super().check_request(given, inputs)
        if "decay" in given and self.parameterization == "maco":
            raise SettingError("--decay makes no difference with --parameterization maco")
        if direction is not None:
            self.direction_layer()

    def direction_layer(self) -> str:
        """The layer of the common direction of photos, before the ReLU.

        Raises:
            SettingError: the target is not one layer, or another setting contradicts photos.
        """
        if not _is_whole_layer(self.targets):
            raise SettingError(
                f"--direction: '{self.target}' is not one layer", hint="for instance conv5_1"
            )
        if self.neuron:
            raise SettingError(
                "--direction cannot be combined with --neuron", hint="leave one of them out"
            )
        return before_relu(self.targets[0]).layer

    def check_layers(self, architecture: str) -> None:
        """Check both expressions against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
        """
        super().check_layers(architecture)
        if self.to is not None:
            check_targets(self.to, parse_targets(self.to), architecture)


@dataclass(frozen=True, kw_only=True)
class SaliencySettings(PhotoSettings):
    """Settings of ``stylize inspect saliency``."""

    target: str = setting(AUTO, "Target to explain: layers, channels, weights.", Group.NETWORK)
    method: str = setting(
        "gradient",
        "Attribution method: the gradient, its mean over noisy copies (smoothgrad), its product"
        " with the pixels (input-x-gradient), guided backpropagation (guided), deconvnet, or the"
        " layer's channels weighted by their gradients (grad-cam).",
        everyday=True,
        choices=SALIENCY_METHODS,
    )
    view: str = setting(
        "heat",
        "Show the map in colours (heat), over the photo (overlay), or in grey (mask).",
        everyday=True,
        choices=("heat", "overlay", "mask"),
    )
    samples: int = setting(
        25, "Number of noisy copies (smoothgrad only).", Group.LOOK, low=1, high=10_000
    )
    noise: float = setting(
        0.15,
        "Standard deviation of the noise, as a share of the pixel range (smoothgrad only).",
        Group.LOOK,
        above=0,
        high=1,
    )
    seed: int = setting(
        0, "Seed of the noise (smoothgrad only).", Group.LOOK, low=0, high=2**63 - 1
    )
    size: str = setting("384", PHOTO_SIZE_HELP, everyday=True)
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect saliency"
    ONLY_WITH: ClassVar[Mapping[str, tuple[str, Any]]] = {
        name: ("method", "smoothgrad") for name in ("samples", "noise", "seed")
    }

    def check_layers(self, architecture: str) -> None:
        """Check the layers' names and channels, and the method, against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
            SettingError: it does not allow the method.
        """
        super().check_layers(architecture)
        if self.method not in saliency_methods(architecture):
            raise SettingError(
                f"--method {self.method} is for networks of ReLUs, and '{self.network}' is a"
                f" {architecture}, which has other activations",
                hint="take another --method, such as smoothgrad",
            )


@dataclass(frozen=True, kw_only=True)
class OcclusionSettings(PhotoSettings):
    """Settings of ``stylize inspect occlude``."""

    target: str = setting(AUTO, "Target to watch: layers, channels, weights.", Group.NETWORK)
    patch: int = setting(
        48, "Side of the patch, in px of the scaled photo.", everyday=True, low=1, high=4096
    )
    step: int = setting(
        16,
        "Distance in px that the patch moves each time.",
        everyday=True,
        low=1,
        high=4096,
    )
    fill: float = setting(0.5, "Grey level of the patch: 0 is black, 1 is white.", low=0, high=1)
    batch: int = setting(
        8, "Number of pictures in one pass of the network.", Group.EXECUTION, low=1, high=256
    )
    view: str = setting(
        "overlay",
        "Show the map over the photo (overlay), in colours (heat), or in grey (mask).",
        everyday=True,
        choices=("overlay", "heat", "mask"),
    )
    size: str = setting("256", PHOTO_SIZE_HELP, everyday=True)
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect occlude"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_patch(self.step, self.patch)


@dataclass(frozen=True, kw_only=True)
class ReportSettings(PhotoSettings):
    """Settings of ``stylize inspect report``."""

    target: str = setting(AUTO, "Target to explain: layers, channels, weights.", Group.NETWORK)
    channels: int = setting(
        6, "Number of channels shown of each layer, the strongest first.", low=1, high=64
    )
    samples: int = setting(
        8, "Number of noisy copies (smoothgrad).", Group.OPTIMIZER, low=1, high=10_000
    )
    patch: int = setting(48, "Side of the patch that hides the photo, in px.", low=1, high=4096)
    step: int = setting(
        32, "Distance in px that the patch moves each time; at most --patch.", low=1, high=4096
    )
    steps: int = setting(
        20, "Number of steps of each inversion.", Group.OPTIMIZER, low=1, high=100_000
    )
    seed: int = setting(0, "Seed of the noise.", Group.OPTIMIZER, low=0, high=2**63 - 1)
    size: str = setting("224", PHOTO_SIZE_HELP, everyday=True)
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect report"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_patch(self.step, self.patch)


@dataclass(frozen=True, kw_only=True)
class InversionSettings(Sized, WithLayer):
    """Settings of ``stylize inspect invert``."""

    layer: str = setting(
        AUTO,
        "Layer to reconstruct the photo from. auto: relu4_1 of a VGG, else one that suits dreams.",
        Group.NETWORK,
        everyday=True,
    )
    strip: bool = setting(
        False,
        "Show the photo and its reconstructions from conv1_1 to conv5_1; of another network, from "
        "its last layer of each stride.",
        everyday=True,
    )
    steps: int = setting(100, "Number of L-BFGS steps.", Group.OPTIMIZER, low=1, high=100_000)
    smoothness: float = setting(
        0.3, "Weight of the total variation; higher is smoother.", Group.OPTIMIZER, low=0, high=1e9
    )
    seed: int = setting(
        0, "Seed of the noise at the start.", Group.OPTIMIZER, low=0, high=2**63 - 1
    )
    size: str = setting("256", PHOTO_SIZE_HELP, everyday=True)
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect invert"
    LAYERS: ClassVar[LayerDefaults] = {"layer": ("relu4_1", usual_layer)}
    ONLY_WITH: ClassVar[Mapping[str, tuple[str, Any]]] = {"layer": ("strip", False)}

    def inverted_layers(self, architecture: str) -> tuple[str, ...]:
        """The layers from which the photo is reconstructed."""
        if not self.strip:
            return (self.layer,)
        if is_vgg(architecture):
            return tuple(f"conv{block}_1" for block in range(1, 6))
        return scales(architecture)


@dataclass(frozen=True, kw_only=True)
class CaricatureSettings(Sized, WithLayer):
    """Settings of ``stylize inspect caricature``."""

    layer: str = setting(
        AUTO,
        "Layer whose activations are exaggerated. auto: relu4_2 of a VGG, else one that suits "
        "dreams.",
        Group.NETWORK,
        everyday=True,
    )
    power: float = setting(
        1.0,
        "Weight of the similarity to the photo: 0 is wild, 2 is faithful.",
        everyday=True,
        low=0,
        high=16,
    )
    steps: int = setting(60, "Number of steps.", Group.OPTIMIZER, low=1, high=100_000)
    rate: float = setting(
        1.0, "Step length, as a multiple of the default.", Group.OPTIMIZER, above=0, high=100
    )
    decay: float = setting(1.15, "Preference for large shapes.", Group.OPTIMIZER, low=0, high=3)
    seed: int = setting(
        0, "Seed of the noise and of the views.", Group.OPTIMIZER, low=0, high=2**63 - 1
    )
    size: str = setting("320", PHOTO_SIZE_HELP, everyday=True)
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect caricature"
    LAYERS: ClassVar[LayerDefaults] = {"layer": ("relu4_2", usual_layer)}


def before_relu(target: Target) -> Target:
    """The target in the output of a VGG's convolution."""
    return dataclasses.replace(target, layer=unrectified(target.layer))


@dataclass(frozen=True, kw_only=True)
class SegmentSettings(InspectSettings):
    """Settings of ``stylize inspect segment``."""

    network: str = setting(
        NETWORK,
        "Network that finds the subject; see 'stylize models list'.",
        Group.NETWORK,
        everyday=True,
        metavar="NAME",
    )
    view: str = setting(
        "mask",
        "Picture to make. mask: white on the subject. overlay: the photo, dark around the subject."
        " cutout: the photo, transparent around the subject.",
        everyday=True,
        choices=("mask", "overlay", "cutout"),
    )
    invert: bool = setting(False, "Select the background instead of the subject.", everyday=True)

    TECHNIQUE: ClassVar[str] = "inspect segment"


# Maximum number of rows of a page.
MAX_ROWS = 64

_NORMALIZE_HELP = "Brightness scale: the same for all cells (all), or one for each cell (each)."


@dataclass(frozen=True, kw_only=True)
class FiltersSettings(WithLayer):
    """Settings of ``stylize inspect filters``."""

    layer: str = setting("conv1_1", "Layer whose kernels are shown.", Group.NETWORK, everyday=True)
    count: int = setting(
        64, "Number of filters, counted from the first.", everyday=True, low=1, high=512
    )
    slices: int = setting(
        16,
        "Number of input channels, one grey slice each, counted from the first (deeper layers"
        " only).",
        everyday=True,
        low=1,
        high=512,
    )
    normalize: str = setting("all", _NORMALIZE_HELP, everyday=True, choices=("all", "each"))
    columns: int = setting(
        8, "Number of cells in a row of the sheet.", everyday=True, low=1, high=64
    )
    network: str = setting(
        "vgg16",
        "Network whose kernels are shown; see 'stylize models list'.",
        Group.NETWORK,
        everyday=True,
        metavar="NAME",
    )

    TECHNIQUE: ClassVar[str] = "inspect filters"

    def check_layers(self, architecture: str) -> None:
        """Check the network and the layer.

        Raises:
            SettingError: the network is no VGG.
            UnknownNameError: it has no such layer.
        """
        require_vgg(self.network, architecture, self.TECHNIQUE)
        super().check_layers(architecture)


@dataclass(frozen=True, kw_only=True)
class ActivationsSettings(Sized):
    """Settings of ``stylize inspect activations``."""

    layer: str = setting(
        AUTO,
        "Layer, or channels of a layer: relu4_3:7,21-26.",
        Group.NETWORK,
        everyday=True,
    )
    count: int = setting(
        24, "Number of channels, the strongest first.", everyday=True, low=1, high=512
    )
    overlay: bool = setting(False, "Show each map over the photo.", everyday=True)
    normalize: str = setting("each", _NORMALIZE_HELP, everyday=True, choices=("all", "each"))
    size: str = setting("512", PHOTO_SIZE_HELP, everyday=True)
    columns: int = setting(
        6, "Number of cells in a row of the sheet.", everyday=True, low=1, high=64
    )
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect activations"
    LAYERS: ClassVar[LayerDefaults] = {"layer": ("relu4_3", usual_layer)}

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
    """Settings of ``stylize inspect patches``."""

    channels: str = setting(AUTO, "Channels, one row each: relu4_3:7,21-26.", Group.NETWORK)
    top: int = setting(9, "Number of patches per channel.", everyday=True, low=1, high=64)
    per_photo: int = setting(
        2,
        "Maximum number of patches per photo and channel, at least half a receptive field apart.",
        everyday=True,
        low=1,
        high=64,
    )
    size: str = setting("512", SIZE_HELP.format("a photo"), everyday=True)
    cell: int = setting(128, "Side of a patch on the page in px.", low=32, high=512)
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect patches"
    LAYERS: ClassVar[LayerDefaults] = {"channels": ("relu4_3:0", lambda of: f"{usual_layer(of)}:0")}

    def __post_init__(self) -> None:
        super().__post_init__()
        _unweighted(self.channels, "a channel")

    def check_layers(self, architecture: str) -> None:
        """Check layers and channels against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
            SettingError: there are more channels than a page has rows.
        """
        check_targets(self.channels, parse_targets(self.channels), architecture)
        rows = sum(map(len, self.channels_by_layer(architecture).values()))
        if rows > MAX_ROWS:
            raise SettingError(
                f"{rows} channels are too many for one page",
                hint=f"at most {MAX_ROWS}: choose with LAYER:0-{MAX_ROWS - 1}",
            )

    def channels_by_layer(self, architecture: str) -> dict[str, tuple[int, ...]]:
        """The channels of each layer in the order of the expression, each once."""
        found: dict[str, dict[int, None]] = {}
        for target in parse_targets(self.channels):
            found.setdefault(target.layer, {}).update(
                dict.fromkeys(channels_of(target, architecture))
            )
        return {layer: tuple(channels) for layer, channels in found.items()}


@dataclass(frozen=True, kw_only=True)
class MapSettings(Sized, WithLayer):
    """Settings of ``stylize inspect map``."""

    layer: str = setting(
        AUTO,
        "Layer whose mean activations are compared. auto: relu5_3 of a VGG, else the deepest.",
        Group.NETWORK,
        everyday=True,
    )
    size: str = setting("256", SIZE_HELP.format("a photo"), everyday=True)
    thumbnail: int = setting(
        96,
        "Side of a thumbnail in px; smaller if there are too many photos.",
        everyday=True,
        low=16,
        high=512,
    )
    perplexity: float = setting(
        30.0,
        "Approximate number of neighbours of a photo; at most a third of all photos.",
        low=1,
        high=1000,
    )
    seed: int = setting(0, "Seed of the layout.", Group.LOOK, low=0, high=2**32 - 1)
    network: str = setting("vgg16", NETWORK_HELP, Group.NETWORK, everyday=True, metavar="NAME")

    TECHNIQUE: ClassVar[str] = "inspect map"
    LAYERS: ClassVar[LayerDefaults] = {"layer": ("relu5_3", deepest_layer)}


def channels_of(target: Target, architecture: str) -> tuple[int, ...]:
    """The channels of a target, by default all of the layer."""
    if target.channels is not None:
        return target.channels
    return tuple(range(find_layer(architecture, target.layer).channels))


def _unweighted(text: str, what: str) -> tuple[Target, ...]:
    targets = parse_targets(text)
    if any(each.weight != 1 for each in targets):
        raise SettingError(f"'{text}' has a weight or a minus", hint=f"name {what} alone")
    return targets


def _is_whole_layer(targets: Sequence[Target]) -> bool:
    first, *others = targets
    return not others and first.channels is None and first.weight == 1
