"""Finish a transfer: choose its colours and mix in the photo."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylize.images.oklab import from_oklab, in_strips, to_oklab
from stylize.images.palette import match_colours, with_colours_of, with_palette_of
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.settings.transfer import TransferSettings

# Pixels that represent several styles together: more would not change a mean or a covariance.
_PALETTE_PX = 1 << 18


def finished(
    painted: Tensor,
    photo: Picture,
    styles: Sequence[Picture],
    settings: TransferSettings,
    reference: Picture | None = None,
) -> Tensor:
    """Give a painting the requested colours and mix it with the photo.

    Args:
        painted: ``(1, 3, H, W)`` sRGB in [0, 1], on the CPU.
        photo: what was painted, of any size.
        styles: in the order of their weights.
        settings: ``color`` and ``blend`` decide.
        reference: the photo whose colours the palette replaces; by default the one painted.

    Returns:
        A tensor of the painting's shape; the painting itself with default settings.
    """
    lent = settings.color in ("luminance", "palette")
    if settings.blend == 1 and settings.strength != 0 and not lent:
        return painted
    original = resize(photo.pixels, (painted.shape[2], painted.shape[3])).clamp(0, 1).cpu()
    if settings.blend == 0 or settings.strength == 0:
        return original.contiguous()
    if lent:
        colours = original
        if settings.color == "palette":
            source = None if reference is None else reference.pixels
            colours = with_palette_of(original, palette(styles, settings.style_weights), source)
        painted = with_colours_of(painted, colours)
    return mixed(original, painted, settings.blend)


def mixed(photo: Tensor, painted: Tensor, share: float) -> Tensor:
    """Mix two pictures in OKLab, where the middle looks like the middle.

    Args:
        photo, painted: ``(1, 3, H, W)`` sRGB in [0, 1].
        share: of the painting, 0 to 1; 0 and 1 return the pictures themselves.
    """
    if share in (0, 1):
        return painted if share else photo

    def between(one: Tensor, other: Tensor) -> Tensor:
        return from_oklab(torch.lerp(to_oklab(one), to_oklab(other), share))

    return in_strips(between, photo, painted)


def palette(styles: Sequence[Picture], weights: Sequence[float]) -> Tensor:
    """Sample pixels of all styles in proportion to their weights.

    Args:
        styles: one or several.
        weights: one per style; empty for equal weights.

    Returns:
        ``(1, 3, h, w)`` sRGB in [0, 1]; the style's own pixels if there is only one.
    """
    chosen = [
        (style, weight)
        for style, weight in zip(styles, weights or (1.0,) * len(styles), strict=True)
        if weight
    ]
    if len(chosen) == 1:
        return chosen[0][0].pixels.clamp(0, 1)
    total = sum(weight for _, weight in chosen)
    parts = [_sample(style, weight / total) for style, weight in chosen]
    return torch.cat(parts, 1).clamp(0, 1).view(1, 3, 1, -1)


def _sample(style: Picture, share: float) -> Tensor:
    """Take ``(3, n)`` pixels spread evenly over a picture; averages would have less contrast."""
    flat = style.pixels.flatten(2)[0]
    count = max(1, round(share * _PALETTE_PX))
    places = (torch.arange(count, dtype=torch.float64) + 0.5) * (flat.shape[1] / count)
    return flat[:, places.long().clamp_max(flat.shape[1] - 1)]


def style_pixels(pixels: Tensor, photo: Picture, settings: TransferSettings) -> Tensor:
    """Return a style image as the network sees it: in its own colours or in those of the photo.

    Args:
        pixels: ``(1, 3, H, W)`` sRGB in [0, 1] of a style.
        photo: what is painted.
        settings: ``color`` decides.
    """
    if settings.color != "match":
        return pixels
    return match_colours(pixels, photo.pixels).clamp(0, 1)
