"""Measure style images at the size that gives a transfer the right strokes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from stylize.gradients.tiled import moments_of_layers
from stylize.images.clarity import clarified
from stylize.images.crop import Crop
from stylize.images.grain import Grain, grain_of
from stylize.images.palette import match_colours
from stylize.images.read import Picture
from stylize.images.resampling import resize_clamped
from stylize.images.retouch import Patches, patches_of
from stylize.losses.statistics import Moments
from stylize.networks.architecture import find_layer
from stylize.networks.vgg import VGG
from stylize.planning.device import Device
from stylize.products.transfer.color import style_pixels
from stylize.products.transfer.matching import Places, places_of
from stylize.runs.session import Session
from stylize.settings.layers import MATCH_LAYERS
from stylize.settings.transfer import TransferSettings

# A style image is never shrunk below this short side, even for the smallest size.
LEAST_STYLE_SIDE = 32

# Layers up to this stride (relu1_1 to relu2_2) see edges and grain. They never see an enlarged
# style image.
GRAIN_STRIDE = 2

StyleTargets = dict[str, Moments]


class Clearing(NamedTuple):
    """How a style image is cleared of grain, see :func:`stylize.images.clarity.clarified`.

    Attributes:
        size: ``(height, width)`` at which the grain is removed.
        amount, sharpening: as the function takes them.
    """

    size: tuple[int, int]
    amount: float
    sharpening: float


@dataclass(frozen=True)
class Measurement:
    """Everything except the image that the statistics of a style image depend on.

    Attributes:
        size: ``(height, width)`` at which the style is measured.
        layers: names.
        network: weights, pooling and precision, see :attr:`stylize.networks.vgg.VGG.identity`.
        device: where it is measured.
        colors_of: SHA-256 of the photo whose colours the style takes; None for its own.
        crop: the part of the style image that is measured; None for all of it.
        clearing: how the grain is removed; None if it is not.
    """

    size: tuple[int, int]
    layers: tuple[str, ...]
    network: tuple[str, ...]
    device: Device
    colors_of: str | None
    crop: Crop | None = None
    clearing: Clearing | None = None


@dataclass(frozen=True)
class StyleStatistics:
    """Measures styles as one transfer sees them.

    Attributes:
        vgg: gives the layers.
        photo: the photo; styles may get its colours.
        settings: of the transfer.
        device: the device that does the work.
        session: remembers the statistics.
        side: long side of the style images at the largest scale, in px.
    """

    vgg: VGG
    photo: Picture
    settings: TransferSettings
    device: Device
    session: Session
    side: float
    _cleared: dict[str, Tensor] = field(default_factory=dict, init=False)
    _grains: dict[str, Grain] = field(default_factory=dict, init=False)
    _patches: dict[tuple[tuple[str, float], ...], Patches] = field(default_factory=dict, init=False)

    def seen(self, style: Picture) -> Tensor:
        """The pixels of a style image in the colours that the network sees, grain included."""
        return style_pixels(style.pixels, self.photo, self.settings)

    def places(self, style: Picture, side: float) -> Places:
        """What is matched of a style image at a long side in px."""
        measurement = self._measurement(style, self.size(style, side), MATCH_LAYERS)

        def find() -> Places:
            whole = style_pixels(self._clear(style), self.photo, self.settings)
            pixels = resize_clamped(whole, measurement.size).to(self.device.name)
            return places_of(self.vgg, pixels)

        found = self.session.places((style.sha256, measurement), find)
        return Places(*found)

    def grain(self, style: Picture) -> Grain:
        """The grain of a style image at the largest scale; never enlarged."""
        key = _key(style)
        if key not in self._grains:
            self._grains[key] = grain_of(self._unenlarged(style))
        return self._grains[key]

    def patches(self, styles: Sequence[tuple[Picture, float]]) -> Patches:
        """Patches of style images at the largest scale, by their weights; never enlarged."""
        key = tuple((_key(style), weight) for style, weight in styles)
        if key not in self._patches:
            total = sum(weight for _, weight in styles)
            self._patches[key] = patches_of(
                (self._unenlarged(style), weight / total) for style, weight in styles if weight
            )
        return self._patches[key]

    def _unenlarged(self, style: Picture) -> Tensor:
        """What is seen of a style image at the largest scale, or at its own size if it is less."""
        pixels = resize_clamped(style.pixels, _size(style, min(1.0, _scale(style, self.side))))
        return style_pixels(pixels, self.photo, self.settings)

    def size(self, style: Picture, side: float) -> tuple[int, int]:
        """``(height, width)`` at which a style image is measured for a long side in px."""
        return _size(style, _scale(style, side))

    def cleared_bytes(self, styles: Sequence[Picture]) -> int:
        """The memory that these styles without their grain take, at most."""
        found = [self._clearing(style) for style in styles]
        return sum(12 * math.prod(each.size) for each in found if each is not None)

    def moments(self, style: Picture, side: float, layers: Sequence[str]) -> StyleTargets:
        """The moments of a style image by layer.

        If the style image has to be enlarged, the shallow layers see it at its original size. This
        gives strokes of the right size that are still sharp.

        Args:
            style: the picture.
            side: its long side in pixels.
            layers: names.
        """
        scale = _scale(style, side)
        architecture = self.vgg.architecture
        grain = [x for x in layers if find_layer(architecture, x).stride <= GRAIN_STRIDE]
        if scale <= 1 or not grain:
            return self._measured(style, scale, layers)
        strokes = [name for name in layers if name not in grain]
        return self._measured(style, 1.0, grain) | (
            self._measured(style, scale, strokes) if strokes else {}
        )

    def _measured(self, style: Picture, scale: float, layers: Sequence[str]) -> StyleTargets:
        measurement = self._measurement(style, _size(style, scale), layers)
        return self.session.statistics(
            style.sha256,
            measurement,
            lambda: measure(self.vgg, self._clear(style), self.photo.pixels, measurement),
        )

    def _measurement(
        self, style: Picture, size: tuple[int, int], layers: Sequence[str]
    ) -> Measurement:
        return Measurement(
            size=size,
            layers=tuple(layers),
            network=self.vgg.identity,
            device=self.device,
            colors_of=self.photo.sha256 if self.settings.color == "match" else None,
            crop=style.crop,
            clearing=self._clearing(style),
        )

    def _clearing(self, style: Picture) -> Clearing | None:
        if not self.settings.clarity:
            return None
        scale = _scale(style, self.side)
        # The smallest strokes of an enlarged image would become speckles.
        sharpening = min(max(2.0 - scale, 0.0), 1.0)
        return Clearing(_size(style, min(1.0, scale)), self.settings.clarity, sharpening)

    def _clear(self, style: Picture) -> Tensor:
        """The pixels of a style image without its grain, made once for all scales."""
        clearing = self._clearing(style)
        if clearing is None:
            return style.pixels
        key = _key(style)
        if key not in self._cleared:
            image = resize_clamped(style.pixels, clearing.size).to(self.device.name)
            cleared = clarified(image, clearing.amount, clearing.sharpening)
            self._cleared[key] = cleared.cpu()
        return self._cleared[key]


def _key(style: Picture) -> str:
    return f"{style.sha256} {style.crop}"


def _scale(style: Picture, side: float) -> float:
    height, width = style.size
    return max(side / max(height, width), LEAST_STYLE_SIDE / min(height, width))


def _size(style: Picture, scale: float) -> tuple[int, int]:
    return round(style.size[0] * scale), round(style.size[1] * scale)


def measure(vgg: VGG, style: Tensor, photo: Tensor, measurement: Measurement) -> StyleTargets:
    """Compute the moments of a style image by layer.

    Apart from the pixels, the result depends on ``measurement`` alone, which is the cache's key.

    Args:
        vgg: the network, with the identity that the measurement names.
        style: ``(1, 3, H, W)`` sRGB in [0, 1], cleared as the measurement says; this function
            resizes it.
        photo: ``(1, 3, H, W)``; its colours are used if the measurement names their source.
        measurement: size, layers, device and colours.
    """
    pixels = resize_clamped(style, measurement.size)
    if measurement.colors_of is not None:
        pixels = match_colours(pixels, photo).clamp(0, 1)
    return moments_of_layers(vgg, pixels.to(measurement.device.name), measurement.layers)
