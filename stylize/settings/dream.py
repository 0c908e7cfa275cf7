"""Settings of DeepDream and of its zooming film, the tunnel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stylize.errors import SettingError
from stylize.images.sizes import MAX_SIDE_PX, SizeSpec
from stylize.networks.architecture import is_vgg, usual_layer
from stylize.networks.layer_expressions import check_targets, parse_targets
from stylize.settings.fields import Group, check_fields, setting

# Presets that are meant for an architecture.
PRESETS_OF = {"googlenet": "classic-inception"}


def with_photo(photo: object | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """Add to what the user set that a photo replaces the noise that a preset starts from."""
    return {**({} if photo is None else {"from_noise": None}), **said}


@dataclass(frozen=True, kw_only=True)
class BaseDreamSettings:
    """What decides how a dream looks, be it a picture or the frame of a film."""

    size: str = setting(
        "512",
        "Size of the result: 1024 (long side in px), 640x480 (a box), 12MP (an area) or "
        "original. Never larger than the photo without --enlarge.",
        everyday=True,
    )
    enlarge: bool = setting(
        False,
        "Let the result be larger than the photo.",
        everyday=True,
        needs={"photo": ()},
    )
    from_noise: str | None = setting(
        None,
        "Dream without a photo, on noise of this size, such as 640x480.",
        everyday=True,
        metavar="WxH",
        option="--from-noise",
    )
    layers: str = setting(
        "conv4_3",
        "Layers and channels to amplify, with weights; see 'stylize layers'.",
        Group.NETWORK,
        everyday=True,
        metavar="EXPRESSION",
        option="--layer",
        joined=True,
    )
    strength: float = setting(
        60.0,
        "How much the picture changes, in grey levels: 30 subtle, 60 to 80 normal, 200 "
        "strong, 600 extreme.",
        everyday=True,
        low=0,
        high=100_000,
    )
    octaves: int = setting(
        4, "Number of sizes at which to dream, from small to large.", low=1, high=32
    )
    octave_scale: float = setting(
        1.4,
        "Ratio between the sizes of two successive octaves.",
        low=1.05,
        high=4,
        needs={"several_octaves": ()},
    )
    min_octave: int | None = setting(
        None,
        "Short side of the smallest octave in px.  [what the layer needs]",
        low=16,
        high=MAX_SIDE_PX,
        needs={"several_octaves": ()},
    )
    steps: int = setting(10, "Steps at each octave.", Group.OPTIMIZER, low=1, high=1_000_000)
    carry: str = setting(
        "detail",
        "What an octave passes on to the next: only the detail it added (detail), or the whole "
        "picture (rescale).",
        Group.OPTIMIZER,
        choices=("detail", "rescale"),
        needs={"several_octaves": ()},
    )
    palette: str = setting(
        "natural",
        "Colours of the dream: like those of photos (natural), or whatever excites the network "
        "most (neon).",
        Group.COLOUR,
        everyday=True,
        choices=("natural", "neon"),
    )
    smoothing: str = setting(
        "none",
        "Smoothing of the gradient: none, a cascade of blurs, or a Laplacian pyramid.",
        Group.OPTIMIZER,
        choices=("none", "cascade", "laplacian"),
    )
    guide_mode: str = setting(
        "match",
        "How the guide is used. match: amplify the best-matching feature at each place. channels: "
        "amplify the channels that are strong in the guide.",
        choices=("match", "channels"),
        needs={"guide": ()},
    )
    guide_size: int = setting(
        224,
        "Long side to which the guide is scaled, in px; smaller gives coarser features.",
        low=32,
        high=4096,
        needs={"guide": ()},
    )
    keep_colors: bool = setting(
        False,
        "Keep the colours of the photo: change only the brightness.",
        Group.COLOUR,
        everyday=True,
    )
    fidelity: float = setting(
        0.0, "Pull towards the photo: 0 dreams freely, 1 returns the photo.", low=0, high=1
    )
    tileable: bool = setting(False, "Make a seamless texture: opposite edges match.")
    jitter: int = setting(
        32, "Largest random shift before each step, in px.", Group.OPTIMIZER, low=0, high=4096
    )
    seed: int = setting(
        0,
        "Seed of the jitter and the noise.",
        Group.OPTIMIZER,
        low=0,
        high=2**63 - 1,
        needs={"jitter": (), "from_noise": ()},
    )
    pooling: str = setting(
        "max", "Pooling between the blocks of the network.", Group.NETWORK, choices=("max", "avg")
    )
    network: str = setting(
        "vgg16", "Network; see 'stylize models list'.", Group.NETWORK, metavar="NAME"
    )

    def __post_init__(self) -> None:
        check_fields(self)
        SizeSpec.parse(self.size)
        parse_targets(self.layers)
        if self.from_noise is not None and SizeSpec.parse(self.from_noise).box_px is None:
            raise SettingError(
                f"--from-noise: '{self.from_noise}' is not WxH", hint="for instance 640x480"
            )

    def check_layers(self, architecture: str) -> None:
        """Check the layers' names and channels against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
            SettingError: the default layer is one of VGG-16 and VGG-19, and the network is another.
        """
        default = type(self).layers
        if self.layers == default and not is_vgg(architecture):
            preset = PRESETS_OF.get(architecture)
            also = f"; --preset {preset} has one that suits" if preset else ""
            raise SettingError(
                f"{default}, the default layer, is one of VGG-16 and VGG-19, and this network is of"
                f" another kind: {architecture}",
                hint=f"name a layer, such as --layer {usual_layer(architecture)}{also}; "
                "'stylize layers' lists those of a network",
            )
        check_targets(self.layers, parse_targets(self.layers), architecture)

    @property
    def several_octaves(self) -> bool:
        """Whether the dream passes through more than one size."""
        return self.octaves > 1

    @property
    def asks_for_octaves(self) -> bool:
        """Whether the number of octaves is not the default, which is only a maximum."""
        return self.octaves != type(self).octaves

    @property
    def floor(self) -> str:
        """What decides how small an octave may be, as a user calls it."""
        return self.layers if self.min_octave is None else "--min-octave"

    @property
    def noise_size(self) -> tuple[int, int] | None:
        """``(height, width)`` of the noise to start from; None for a photo."""
        return None if self.from_noise is None else SizeSpec.parse(self.from_noise).box_px


@dataclass(frozen=True, kw_only=True)
class DreamSettings(BaseDreamSettings):
    """Settings that decide how a dream looks."""

    subject: str | None = setting(
        None,
        "Find the main subject of the photo. dream: dream only on the subject. keep: leave it "
        "unchanged. The background gets the opposite.  [dream on all]",
        Group.MASKS,
        everyday=True,
        choices=("dream", "keep"),
    )
    background: str | None = setting(
        None,
        "The same for the background: dream changes only it, keep leaves it unchanged.  "
        "[dream on all]",
        Group.MASKS,
        everyday=True,
        choices=("dream", "keep"),
    )
    feather: int = setting(
        0,
        "Width of the soft edge of masks, in px of the result. Kept areas stay untouched: the "
        "dream fades out.",
        Group.MASKS,
        low=0,
        high=MAX_SIDE_PX,
        needs={"masks": (), "subject": (), "background": ()},
    )

    TECHNIQUE: ClassVar[str] = "dream"


@dataclass(frozen=True, kw_only=True)
class TunnelSettings(BaseDreamSettings):
    """Settings that decide how a film looks that dreams its way into a picture.

    A film has no masks: no part of the photo stays in its place from frame to frame.
    """

    frames: int = setting(100, "Number of frames.", Group.FILM, everyday=True, low=1, high=100_000)
    pace: float = setting(
        0.2,
        "Share of a whole dream, in strength and steps, that each frame adds.",
        Group.FILM,
        everyday=True,
        above=0,
        high=1,
    )
    zoom: float = setting(
        1.04,
        "Zoom factor per frame; below 1 zooms out.",
        Group.FILM,
        everyday=True,
        low=0.5,
        high=2,
    )
    rotate: float = setting(
        0.0,
        "Rotation per frame, in degrees counter-clockwise.",
        Group.FILM,
        everyday=True,
        low=-180,
        high=180,
    )
    pan_x: float = setting(
        0.0,
        "Movement to the right per frame, in percent of the width.",
        Group.FILM,
        low=-50,
        high=50,
    )
    pan_y: float = setting(
        0.0, "Movement down per frame, in percent of the height.", Group.FILM, low=-50, high=50
    )
    fps: float = setting(
        15.0,
        "Frames per second.",
        Group.FILM,
        everyday=True,
        low=1,
        high=120,
        needs={"film": ()},
    )
    loop: bool = setting(
        False,
        "Make an endless loop: fade the end into the start.",
        Group.FILM,
        everyday=True,
    )

    TECHNIQUE: ClassVar[str] = "tunnel"
