"""Settings of style transfer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from stylize.errors import SettingError
from stylize.images.sizes import MAX_SIDE_PX, SizeSpec
from stylize.networks.architecture import find_layer
from stylize.settings.fields import MAX_WEIGHT, LayerWeights, check_fields, option_name, setting

# What the recipe in the picture has room for, with all their names and hashes.
MAX_STYLES = 40


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """All that decides how a transfer looks."""

    size: str = setting(
        "512", "Size of the result: N (long side in px), WxH (a box), 12MP (an area) or original."
    )
    enlarge: bool = setting(False, "Let the result be larger than the photograph.")
    style_size: int | None = setting(
        None,
        "Long side of the style picture; smaller gives finer strokes.  [as the result]",
        low=32,
        high=MAX_SIDE_PX,
    )
    style_weights: tuple[float, ...] = setting(
        (),
        "Share of each style, in the order of the styles.  [equal]",
        low=0,
        high=MAX_WEIGHT,
        option="--style-weight",
    )
    style_loss: str = setting(
        "moments",
        "What a style is: covariance and mean of the activations, or their raw Gram matrix.",
        choices=("moments", "gram"),
    )
    style_layers: LayerWeights = setting(
        (("relu1_1", 16), ("relu2_1", 8), ("relu3_1", 4), ("relu4_1", 2), ("relu5_1", 1)),
        "Layers of the style and their weights, as NAME:WEIGHT,…; normalised.",
        low=0,
        high=MAX_WEIGHT,
    )
    content_layers: LayerWeights = setting(
        (("relu4_2", 1),),
        "Layers of the content and their weights; normalised.",
        low=0,
        high=MAX_WEIGHT,
    )
    content_weight: float = setting(
        0.05,
        "Weight of the content beside the style; 0 leaves it to the start alone.",
        low=0,
        high=MAX_WEIGHT,
    )
    smoothness: float = setting(
        0.5,
        "Weight of the total variation: more is smoother, with fewer fine strokes.",
        low=0,
        high=MAX_WEIGHT,
    )
    init: str = setting(
        "content",
        "What the optimisation starts from: content, noise, style, or a picture file.",
        choices=("content", "noise", "style", "file"),
    )
    seed: int = setting(0, "Seed of the noise.", low=0, high=2**63 - 1)
    optimizer: str = setting("lbfgs", "How the gradient is followed.", choices=("lbfgs", "adam"))
    steps: int = setting(
        100, "Steps at the coarsest scale; they fall to the final steps.", low=1, high=1_000_000
    )
    final_steps: int | None = setting(
        None, "Steps at the finest scale.  [three tenths of --steps]", low=1, high=1_000_000
    )
    min_size: int = setting(
        128,
        "Long side of the coarsest scale; the scales grow by √2 from there.",
        low=32,
        high=MAX_SIDE_PX,
    )
    learning_rate: float = setting(
        0.02, "Step of a pixel in Adam, as a share of the range of values.", above=0, high=1
    )
    averaging: float = setting(
        0.9, "Decay of the average of iterates in Adam; 0 takes the last.", low=0, high=0.9999
    )
    tolerance: float = setting(
        0.001,
        "End a scale when ten steps improve it by less than this share; 0 never.",
        low=0,
        high=1,
    )
    network: str = setting("vgg16", "Network that sees the pictures; see 'stylize models list'.")
    pooling: str = setting("max", "Pooling between the blocks.", choices=("max", "avg"))

    TECHNIQUE: ClassVar[str] = "transfer"

    def __post_init__(self) -> None:
        check_fields(self)
        SizeSpec.parse(self.size)
        for each in dataclasses.fields(self):
            if each.type == "LayerWeights" and not any(w for _, w in getattr(self, each.name)):
                raise SettingError(f"{option_name(each)} needs a layer with a weight above 0")
        if self.style_weights and not any(self.style_weights):
            raise SettingError("--style-weight: all are 0", hint="give one style a weight above 0")

    def check_layers(self, architecture: str) -> None:
        """Check the layers' names against a network.

        Raises:
            UnknownNameError: the network has no such layer.
        """
        for name, _ in self.style_layers + self.content_layers:
            find_layer(architecture, name)

    def check_styles(self, count: int) -> None:
        """Check the number of style pictures.

        Raises:
            SettingError: none, too many for one recipe, or not as many as there are weights.
        """
        if not 1 <= count <= MAX_STYLES:
            raise SettingError(f"{count} style pictures", hint=f"1 to {MAX_STYLES} can be blended")
        if self.style_weights and len(self.style_weights) != count:
            raise SettingError(f"{len(self.style_weights)} style weights for {count} styles")

    @property
    def steps_at_the_end(self) -> int:
        """Steps at the finest scale."""
        return self.final_steps or max(1, round(0.3 * self.steps))
