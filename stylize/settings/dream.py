"""Settings of DeepDream and of its zooming film, the tunnel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stylize.errors import SettingError
from stylize.images.sizes import MAX_SIDE_PX, SizeSpec
from stylize.networks.layer_expressions import check_targets, parse_targets
from stylize.settings.fields import check_fields, setting


@dataclass(frozen=True, kw_only=True)
class DreamSettings:
    """All that decides how a dream looks."""

    size: str = setting(
        "512", "Size of the result: N (long side in px), WxH (a box), 12MP (an area) or original."
    )
    enlarge: bool = setting(False, "Let the result be larger than the photo.")
    from_noise: str | None = setting(
        None, "Dream without a photo, from noise of this size: WxH.", option="--from-noise"
    )
    layers: str = setting(
        "conv4_3",
        "Layers and channels to amplify, with weights; see 'stylize layers'.",
        option="--layer",
        joined=True,
    )
    strength: float = setting(
        60.0,
        "How much the picture changes, in grey levels: 30 subtle, 60 to 80 normal, 200 "
        "strong, 600 extreme.",
        low=0,
        high=100_000,
    )
    octaves: int = setting(4, "Number of sizes to dream at, from small to large.", low=1, high=32)
    octave_scale: float = setting(1.4, "Ratio between neighbouring octaves.", low=1.05, high=4)
    min_octave: int | None = setting(
        None,
        "Short side of the smallest octave in px.  [what the layer needs]",
        low=16,
        high=MAX_SIDE_PX,
    )
    steps: int = setting(10, "Iterations at each octave.", low=1, high=1_000_000)
    carry: str = setting(
        "detail",
        "What an octave passes on: the detail it added to the photo, or its whole picture.",
        choices=("detail", "rescale"),
    )
    palette: str = setting(
        "natural",
        "Colours of the dream: like those of photos, or whatever the network prefers.",
        choices=("natural", "neon"),
    )
    smoothing: str = setting(
        "none",
        "Smoothing of the gradient: none, a cascade of blurs, or a Laplacian pyramid.",
        choices=("none", "cascade", "laplacian"),
    )
    guide_mode: str = setting(
        "match",
        "How --guide works: the best-matching feature at each place, or the guide's channels.",
        choices=("match", "channels"),
    )
    guide_size: int = setting(
        224, "Long side of the guide in px; smaller gives coarser features.", low=32, high=4096
    )
    keep_colors: bool = setting(False, "Change the brightness only and keep all colours.")
    fidelity: float = setting(
        0.0, "Share of the change that each octave undoes; 1 leaves the photo.", low=0, high=1
    )
    subject: str | None = setting(
        None,
        "Find the subject of the photo and dream only on it (dream), or on all but it "
        "(keep).  [dream on all]",
        choices=("dream", "keep"),
    )
    background: str | None = setting(
        None,
        "What to do with the background (see --subject).  [dream on all]",
        choices=("dream", "keep"),
    )
    feather: int = setting(
        0,
        "Feather width in px of the result. Kept areas stay untouched: only the dreamt side fades.",
        low=0,
        high=MAX_SIDE_PX,
    )
    tileable: bool = setting(False, "Make opposite edges meet, for a seamless texture.")
    jitter: int = setting(
        32, "Largest random shift before each iteration, in px.", low=0, high=4096
    )
    seed: int = setting(0, "Seed of the jitter and the noise.", low=0, high=2**63 - 1)
    pooling: str = setting(
        "max", "Pooling between the blocks of the network.", choices=("max", "avg")
    )
    network: str = setting("vgg16", "Network; see 'stylize models list'.")

    TECHNIQUE: ClassVar[str] = "dream"

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
        """
        check_targets(self.layers, parse_targets(self.layers), architecture)

    @property
    def floor(self) -> str:
        """What decides how small an octave may be, as a user calls it."""
        return self.layers if self.min_octave is None else "--min-octave"

    @property
    def noise_size(self) -> tuple[int, int] | None:
        """``(height, width)`` of the noise to begin from; None for a photograph."""
        return None if self.from_noise is None else SizeSpec.parse(self.from_noise).box_px


@dataclass(frozen=True, kw_only=True)
class TunnelSettings(DreamSettings):
    """All that decides how a film looks that dreams its way into a picture."""

    frames: int = setting(100, "Number of frames.", low=1, high=100_000)
    pace: float = setting(
        0.2, "Share of a whole dream, in strength and iterations, per frame.", above=0, high=1
    )
    zoom: float = setting(1.04, "Zoom per frame; below 1 moves away.", low=0.5, high=2)
    rotate: float = setting(
        0.0, "Rotation per frame, in degrees counter-clockwise.", low=-180, high=180
    )
    pan_x: float = setting(
        0.0, "Movement to the right per frame, in percent of the width.", low=-50, high=50
    )
    pan_y: float = setting(
        0.0, "Movement down per frame, in percent of the height.", low=-50, high=50
    )
    fps: float = setting(15.0, "Frames per second.", low=1, high=120)
    loop: bool = setting(False, "Fade the end into the start, for an endless loop.")

    # Masks are of stills: nothing stays where it was from frame to frame.
    subject: ClassVar[None] = None  # type: ignore[misc]
    background: ClassVar[None] = None  # type: ignore[misc]
    feather: ClassVar[int] = 0  # type: ignore[misc]

    TECHNIQUE: ClassVar[str] = "tunnel"
