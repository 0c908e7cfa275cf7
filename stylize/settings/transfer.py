"""Settings of style transfer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from stylize.errors import SettingError, quoted
from stylize.images.crop import Crop
from stylize.images.sizes import MAX_SIDE_PX, SizeSpec
from stylize.networks.architecture import find_layer, require_vgg
from stylize.settings.fields import (
    MAX_WEIGHT,
    Group,
    LayerWeights,
    check_fields,
    option_name,
    setting,
)

PARTS = ("all", "fine", "coarse")

# Grain, strokes and colour; from the next block on, forms and how they are arranged.
_LAST_FINE_BLOCK = 3

# From this block on, a position sees a large part of the picture: a whole motif.
_FIRST_MOTIF_BLOCK = 5


def sees_motifs(layer: str) -> bool:
    """Whether a position of a layer sees a whole motif, as one of ``relu5_1`` does."""
    return _block_of(layer) >= _FIRST_MOTIF_BLOCK


def _block_of(layer: str) -> int:
    """The number of a layer's block; 0 for another name."""
    digit = layer[4:5]
    return int(digit) if digit.isdecimal() else 0


def serves(part: str, layer: str) -> bool:
    """Whether a style that plays a part is asked for at a layer.

    Args:
        part: one of ``PARTS``.
        layer: such as ``relu3_1``; another name belongs to no group.
    """
    block = _block_of(layer)
    return part == "all" or (block > 0 and (block <= _LAST_FINE_BLOCK) == (part == "fine"))


def shares_of_styles(
    layer: str, parts: Sequence[str], weights: Sequence[float], count: int
) -> list[tuple[int, float]]:
    """Which styles a layer is asked for, and with which weights.

    Args:
        layer: its name.
        parts: one a style; none for all.
        weights: one a style; none for equal ones.
        count: of the styles.

    Returns:
        Index and weight of each whose weight is above 0.
    """
    found = zip(parts or ("all",) * count, weights or (1.0,) * count, strict=True)
    return [
        (index, weight)
        for index, (part, weight) in enumerate(found)
        if weight and serves(part, layer)
    ]


def painted_layers(
    layers: LayerWeights, parts: Sequence[str], weights: Sequence[float], count: int
) -> LayerWeights:
    """The layers of positive weight that a style is asked for."""
    return tuple(
        (name, weight)
        for name, weight in layers
        if weight and shares_of_styles(name, parts, weights, count)
    )


DEFAULT_STRENGTH = 50.0

# Weight of the content loss at the default strength, and how fast it falls; both chosen by eye.
_MIDDLE_WEIGHT, _STEEPNESS = 0.012, 1.5


def content_weight_of(strength: float) -> float:
    """The weight of the content loss, falling from the largest to 0.

    Args:
        strength: 0 (the photo) to 100 (all paint).
    """
    odds = (100 - strength) / max(strength, 1e-6)
    return float(min(MAX_WEIGHT, _MIDDLE_WEIGHT * odds**_STEEPNESS))


# Strength from which on the picture is paint.
_PAINTED = 20.0

# What the recipe in the picture has room for, with all their names and hashes.
MAX_STYLES = 40


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """Settings that decide how a painting looks."""

    size: str = setting(
        "512",
        "Size of the result: 1024 (long side in px), 640x480 (a box), 12MP (an area) or "
        "original. Never larger than the photo without --enlarge.",
        everyday=True,
    )
    enlarge: bool = setting(False, "Let the result be larger than the photo.", everyday=True)
    style_size: int | None = setting(
        None,
        "Stroke size: the style image is scaled to this long side in px. Half of --size: "
        "finer strokes; twice: broader ones.  [size of the result]",
        Group.STYLE,
        everyday=True,
        low=32,
        high=MAX_SIDE_PX,
    )
    style_crop: str = setting(
        "auto",
        "Part of the style image to use. auto: without margins and frames. none: all of it. "
        "WxH+X+Y: this rectangle, in px of the style image.",
        Group.STYLE,
        metavar="auto|none|WxH+X+Y",
        earlier="none",
    )
    clarity: float = setting(
        1.0,
        "How crisp strokes and how clean areas are: 0 keeps the grain of the style image, 1 "
        "removes it and sharpens the strokes, 2 exaggerates.",
        Group.STYLE,
        low=0,
        high=2,
        earlier=0.0,
    )
    style_weights: tuple[float, ...] = setting(
        (),
        "Share of a style image, one for each, in their order.  [equal]",
        Group.STYLE,
        everyday=True,
        low=0,
        high=MAX_WEIGHT,
        option="--style-weight",
        needs={"several styles": ()},
    )
    style_parts: tuple[str, ...] = setting(
        (),
        "What a style contributes: fine strokes, coarse shapes, or all. You can also write "
        "it before the file: fine=FILE.  [all]",
        Group.STYLE,
        choices=PARTS,
        option="--style-part",
    )
    style_loss: str = setting(
        "wasserstein",
        "How styles are compared. wasserstein: distributions of activations, for pure colours. "
        "moments: mean and covariance, for busier strokes. gram: as in Gatys et al.",
        Group.STYLE,
        choices=("wasserstein", "moments", "gram"),
    )
    style_variance: float = setting(
        0.95,
        "Share of the style's variance in layers with 512 channels that is compared direction by "
        "direction; the rest counts as one amount. 0.99 and relu5_1 bring large shapes.",
        Group.STYLE,
        above=0,
        high=1,
        needs={"style_loss": ("wasserstein",)},
    )
    style_layers: LayerWeights = setting(
        (("relu1_1", 256), ("relu2_1", 41), ("relu3_1", 16), ("relu4_1", 20)),
        "Layers that describe the style, with relative weights.",
        Group.STYLE,
        low=0,
        high=MAX_WEIGHT,
    )
    motifs: str = setting(
        "anywhere",
        "Where style layers from relu5_1 on may paint motifs, such as suns and swirls: anywhere, "
        "or only in plain areas of the photo, such as the sky. See --preset motifs.",
        Group.STYLE,
        choices=("anywhere", "plain"),
        needs={"deep_style_layers": ()},
    )
    content_layers: LayerWeights = setting(
        (("relu4_2", 1),),
        "Layers that describe the photo, with relative weights.",
        Group.NETWORK,
        low=0,
        high=MAX_WEIGHT,
        needs={"content_loss_weight": ()},
    )
    strength: float | None = setting(
        None,
        "How much style: 0 is the photo, 100 is all paint. Try 30 for faces.  [50]",
        everyday=True,
        low=0,
        high=100,
    )
    content_weight: float | None = setting(
        None,
        "Weight of the content loss, instead of --strength: 0.003 gives more style, 0.06 more "
        "photo.  [set by --strength]",
        low=0,
        high=MAX_WEIGHT,
    )
    smoothness: float = setting(
        0.75,
        "Weight of the total variation: larger is smoother, with less fine detail.",
        low=0,
        high=MAX_WEIGHT,
    )
    cleanup: float = setting(
        1.0,
        "Clean up the finished painting along its strokes: 0 not at all, 1 joins broken strokes "
        "and clears grain and weave, 2 to 4 simplify.",
        low=0,
        high=4,
        earlier=0.0,
    )
    retouch: float = setting(
        1.0,
        "Redraw the finest detail of the finished painting with pieces of the style image: 0 not "
        "at all, 0.5 half of it, 1 all of it.",
        Group.STYLE,
        low=0,
        high=1,
        earlier=0.0,
    )
    grain: float = setting(
        0.5,
        "Lay the grain of the style image, such as the tooth of canvas, over calm areas of the "
        "finished painting: 0 not at all, 1 as strong as there, 2 twice. Clips have none.",
        Group.STYLE,
        low=0,
        high=2,
        earlier=0.0,
    )
    edges: float = setting(
        0.006,
        "How strictly to keep the photo's outlines; for faces, try 0.05 with --edges-kept all.",
        everyday=True,
        low=0,
        high=MAX_WEIGHT,
        needs={"content_loss_weight": (), "edges_kept": ("all",)},
        earlier=0.0,
    )
    edges_kept: str = setting(
        "clear",
        "Outlines that --edges keeps. clear: only clear ones, so plain areas are left to the "
        "style; weaker above strength 50. all: every outline, so plain areas stay plain.",
        choices=("clear", "all"),
        needs={"edges": ()},
        earlier="all",
    )
    match: float = setting(
        0.3,
        "How closely each part of the photo borrows from similar parts of the style image: 0 not "
        "at all, which lets motifs wander; up to 1, for calm areas.",
        Group.STYLE,
        low=0,
        high=1,
        needs={"coarse_style_parts": ()},
        earlier=0.0,
    )
    color: str = setting(
        "style",
        "Colours. style: those of the style image. luminance: those of the photo, exactly. "
        "match: those of the photo, in the strokes of the style. palette: those of the style "
        "image, arranged as in the photo.",
        Group.COLOUR,
        everyday=True,
        choices=("style", "luminance", "match", "palette"),
    )
    blend: float = setting(
        1.0,
        "Mix of painting and photo: 1 is the painting, 0 the photo.",
        everyday=True,
        low=0,
        high=1,
    )
    dream: str | None = setting(
        None,
        "Mix a dream into the painting: a preset of 'stylize dream', such as dogs:2.  [no dream]",
        metavar="PRESET[:WEIGHT]",
    )
    init: str = setting(
        "content",
        "Picture to start from: content (the photo), noise, style, or a file.",
        Group.OPTIMIZER,
        metavar="START|FILE",
        choices=("content", "noise", "style", "file"),
    )
    detail: float = setting(
        0.5,
        "Share of the photo's fine detail that is added back at each larger size.",
        low=0,
        high=1,
        needs={"init": ("content", "file")},
    )
    subject: str | None = setting(
        None,
        "Find the main subject of the photo. style: paint only the subject. keep: leave it "
        "unpainted. The background gets the opposite.  [paint all]",
        Group.MASKS,
        everyday=True,
        choices=("style", "keep"),
    )
    background: str | None = setting(
        None,
        "The same for the background: style paints only it, keep leaves it unpainted.  [paint all]",
        Group.MASKS,
        everyday=True,
        choices=("style", "keep"),
    )
    feather: int = setting(
        12,
        "Width of the soft edge of masks, in px of the result. Kept areas stay untouched: the "
        "painted side fades out.",
        Group.MASKS,
        low=0,
        high=MAX_SIDE_PX,
        needs={"masks": (), "subject": (), "background": ()},
    )
    seed: int | None = setting(
        None,
        "Make a variant: each seed changes the start a little, and so the strokes.  [no change]",
        low=0,
        high=2**63 - 1,
    )
    optimizer: str = setting(
        "lbfgs", "Optimization method.", Group.OPTIMIZER, choices=("lbfgs", "adam")
    )
    steps: int = setting(
        80,
        "Steps at the smallest size; fewer at each larger size, down to --final-steps.",
        Group.OPTIMIZER,
        low=1,
        high=1_000_000,
    )
    final_steps: int | None = setting(
        None,
        "Steps at the full size.  [10, or a sixteenth of --steps if that is more]",
        Group.OPTIMIZER,
        low=1,
        high=1_000_000,
    )
    min_size: int = setting(
        128,
        "Approximate long side of the smallest size in px.",
        Group.OPTIMIZER,
        low=32,
        high=MAX_SIDE_PX,
    )
    size_ratio: float = setting(
        1.6,
        "Ratio between successive sizes: a smaller one, such as 1.41, refines shapes more "
        "gradually and takes longer.",
        Group.OPTIMIZER,
        low=1.2,
        high=4,
        earlier=2.0,
    )
    learning_rate: float = setting(
        0.02,
        "Learning rate of Adam; pixel values range from 0 to 1.",
        Group.OPTIMIZER,
        above=0,
        high=1,
        needs={"optimizer": ("adam",)},
    )
    averaging: float = setting(
        0.9,
        "Decay of the average over Adam's iterates; 0 takes the last iterate.",
        Group.OPTIMIZER,
        low=0,
        high=0.9999,
        needs={"optimizer": ("adam",)},
    )
    tolerance: float = setting(
        0.001,
        "Go to the next size early if ten steps improve the loss by less than this share; 0 "
        "never does.",
        Group.OPTIMIZER,
        low=0,
        high=1,
    )
    network: str = setting(
        "vgg19", "Network; see 'stylize models list'.", Group.NETWORK, metavar="NAME"
    )
    pooling: str = setting(
        "max", "Pooling between the blocks of the network.", Group.NETWORK, choices=("max", "avg")
    )

    TECHNIQUE: ClassVar[str] = "transfer"

    # Two ways to say the same: a value of one replaces the other's in a preset or a recipe.
    ALTERNATIVES: ClassVar[Mapping[str, str]] = {
        "strength": "content_weight",
        "content_weight": "strength",
    }

    def __post_init__(self) -> None:
        check_fields(self)
        SizeSpec.parse(self.size)
        parse_style_crop(self.style_crop)
        for each in dataclasses.fields(self):
            if each.type == "LayerWeights" and not any(w for _, w in getattr(self, each.name)):
                raise SettingError(f"{option_name(each)} needs a layer with a weight above 0")
        if self.dream is not None:
            parse_dream(self.dream)
        if self.strength is None and self.content_weight is None:
            object.__setattr__(self, "strength", DEFAULT_STRENGTH)
        if self.strength is not None and self.content_weight is not None:
            raise SettingError(
                "--strength and --content-weight exclude each other",
                hint="--strength sets the content weight",
            )
        if self.style_weights and not any(self.style_weights):
            raise SettingError(
                "--style-weight: all weights are 0", hint="give one style a weight above 0"
            )

    @property
    def cleanup_amount(self) -> float:
        """``cleanup``; less where the strength is so low that the result is nearly the photo."""
        return self.cleanup * self._paint

    @property
    def retouch_amount(self) -> float:
        """``retouch``, reduced like ``cleanup_amount``."""
        return self.retouch * self._paint

    @property
    def grain_amount(self) -> float:
        """``grain``, reduced like ``cleanup_amount``."""
        return self.grain * self._paint

    @property
    def _paint(self) -> float:
        return 1.0 if self.strength is None else min(1.0, self.strength / _PAINTED)

    def check_layers(self, architecture: str) -> None:
        """Check the layers' names against a network.

        Raises:
            SettingError: the network is no VGG.
            UnknownNameError: the network has no such layer.
        """
        require_vgg(self.network, architecture, "transfer")
        for name, _ in self.style_layers + self.content_layers:
            find_layer(architecture, name)

    def check_styles(self, count: int, *, regions: int = 0) -> None:
        """Check the number of style pictures.

        Args:
            count: of those of the whole picture.
            regions: that have styles of their own; where there are any, the whole needs none.

        Raises:
            SettingError: none, too many for one recipe, or not as many as there are weights or
                parts; or none that has any of the layers, or that is to be started from.
        """
        if not (0 if regions else 1) <= count <= MAX_STYLES:
            raise SettingError(
                f"{count} style images cannot be blended", hint=f"give 1 to {MAX_STYLES}"
            )
        if self.style_weights and len(self.style_weights) != count:
            raise SettingError(
                f"--style-weight: {len(self.style_weights)} given for {_images(count)}",
                hint="give it once for each",
            )
        if self.style_parts and len(self.style_parts) != count:
            raise SettingError(
                f"--style-part: {len(self.style_parts)} given for {_images(count)}",
                hint="give it once for each",
            )
        if not count and self.init == "style":
            raise SettingError("--init style needs a style image for the whole picture")
        if not self.painted_layers(count or 1):
            raise SettingError(
                "no style is left for any layer", hint="see --style-layers and --style-part"
            )

    def painted_layers(self, count: int) -> LayerWeights:
        """The layers of the style, of those that any of so many styles is asked for."""
        return painted_layers(self.style_layers, self.style_parts, self.style_weights, count)

    @property
    def deep_style_layers(self) -> tuple[str, ...]:
        """The style layers that see whole motifs."""
        return tuple(name for name, weight in self.style_layers if weight and sees_motifs(name))

    @property
    def coarse_style_parts(self) -> bool:
        """Whether a style image contributes its coarse shapes."""
        weights = self.style_weights or (1.0,) * len(self.style_parts)
        parts = {part for part, weight in zip(self.style_parts, weights, strict=False) if weight}
        return parts != {"fine"}

    @property
    def content_loss_weight(self) -> float:
        """The weight of the content loss: as given, or as the strength implies."""
        if self.strength is not None:
            return content_weight_of(self.strength)
        return self.content_weight or 0.0

    @property
    def edges_weight(self) -> float:
        """Weight of the edges loss; for clear outlines, it falls with the content weight."""
        if self.edges_kept == "all":
            return self.edges
        return self.edges * min(1.0, self.content_loss_weight / content_weight_of(DEFAULT_STRENGTH))

    @property
    def steps_at_the_end(self) -> int:
        """Steps at the finest scale."""
        return self.final_steps or min(self.steps, max(10, round(self.steps / 16)))


def _images(count: int) -> str:
    return "1 style image" if count == 1 else f"{count} style images"


LEAST_STYLE_CROP_PX = 16


def parse_style_crop(text: str) -> Crop | None:
    """Read the rectangle of ``style_crop``; None for ``auto`` and ``none``.

    Raises:
        SettingError: another text, or a side below 16 px.
    """
    if text in ("auto", "none"):
        return None
    crop = Crop.parse(text)
    if crop is None:
        raise SettingError(
            f"--style-crop: {quoted(text)} is not auto, none or WxH+X+Y",
            hint="800x600+40+30 is 800 px wide, 600 high, 40 from the left and 30 from the top",
        )
    if min(crop.width, crop.height) < LEAST_STYLE_CROP_PX:
        raise SettingError(
            f"--style-crop: {crop} is too small", hint=f"at least {LEAST_STYLE_CROP_PX} px a side"
        )
    return crop


MAX_DREAM_WEIGHT = 1000.0


def parse_dream(text: str) -> tuple[str, float]:
    """The name of a dream preset, and its weight.

    Raises:
        SettingError: the weight is no number from 0 to 1000.
    """
    name, colon, number = text.partition(":")
    try:
        weight = float(number) if colon else 1.0
    except ValueError:
        weight = math.nan
    if not name or not 0 <= weight <= MAX_DREAM_WEIGHT:
        raise SettingError(
            f"--dream: '{text}' is not PRESET or PRESET:WEIGHT",
            hint=f"for instance dogs:0.5; the weight is 0 to {MAX_DREAM_WEIGHT:g}",
        )
    return name, weight
