"""Settings of those ``stylize inspect`` commands that follow or hide what excites a network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from stylize.errors import SettingError
from stylize.networks.targets import Target, check_targets, parse_targets
from stylize.settings.fields import check_fields, setting
from stylize.settings.inspect_common import (
    CLASS_HELP,
    NETWORK_HELP,
    PHOTO_SIZE_HELP,
    PhotoQuestion,
    Sized,
    WithLayer,
    WithTarget,
    ask_alone,
)


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(WithTarget):
    """How a picture is grown that excites a channel most."""

    target: str = setting("conv5_1:100", "What shall be excited: layers, channels, weights.")
    category: str | None = setting(None, CLASS_HELP, option="--class")
    to: str | None = setting(
        None, "A second expression: a strip of pictures that go from the first to it."
    )
    size: int = setting(256, "Side of a picture in px.", low=32, high=4096)
    recipe: str = setting(
        "fourier",
        "How it grows: waves in random views, or the steps on pixels of the CS231n notes.",
        choices=("fourier", "cs231n"),
    )
    steps: int | None = setting(None, "Steps.  [50; cs231n: 100]", low=1, high=100_000)
    rate: float = setting(
        1.0, "Length of the steps, in units of the recipe's own.", above=0, high=100
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
    OF_RECIPE: ClassVar[dict[str, tuple[str, ...]]] = {
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
        """The number of steps, the recipe's own where nobody says one."""
        return self.steps or {"fourier": 50, "cs231n": 100}[self.recipe]

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
