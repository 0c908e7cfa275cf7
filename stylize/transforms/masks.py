"""Masks: where something applies, read from pictures, softened, and made to share the picture.

A mask is ``(1, 1, H, W)`` float32 in [0, 1], 1 where it applies; several are ``(R, 1, H, W)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import ImageColor
from torch import Tensor

from stylize.errors import SettingError
from stylize.transforms.blur import separable

# Rec. 601, as every program converts to grey.
_LUMA = (0.299, 0.587, 0.114)

_COLOUR_FORM = "for example '#ff0000', '#f00' or red"

# Colours of a segmentation closer than this, in each of R, G and B, are one colour: a JPEG, or a
# brush with a soft edge.
_SAME = 40 / 255
# A colour with less of the picture than this is not looked for; one with less than this, that is
# not asked for, is an edge between two others.
_LEAST_SHARE, _LEAST_REST = 0.0005, 0.005
# Levels of R, G and B that are told apart when colours are counted.
_LEVELS = 16


@dataclass(frozen=True)
class Swatch:
    """A colour of a segmentation and its share of the picture, in [0, 1]."""

    colour: Tensor
    share: float

    def __str__(self) -> str:
        levels = (round(255 * float(value)) for value in self.colour)
        return "#" + "".join(f"{level:02x}" for level in levels)


def parse_colour(text: str) -> Tensor:
    """``#ff0000``, ``#f00`` or ``red`` as ``(3,)`` float32 RGB in [0, 1].

    Raises:
        SettingError: it is no colour.
    """
    try:
        levels = ImageColor.getrgb(text.strip())
    except ValueError:
        raise SettingError(f"'{text}' is not a colour", hint=_COLOUR_FORM) from None
    if len(levels) != 3:
        raise SettingError(f"'{text}' is not an opaque colour", hint=_COLOUR_FORM)
    return (torch.tensor(levels, dtype=torch.float32) / 255).clamp(0, 1)


def mask_from(pixels: Tensor, alpha: Tensor | None = None) -> Tensor:
    """White where it applies, black where not, grey in between.

    Args:
        pixels: ``(1, 3, H, W)`` RGB in [0, 1].
        alpha: ``(1, 1, H, W)``; what is transparent does not apply.

    Returns:
        ``(1, 1, H, W)`` in [0, 1].
    """
    luma = torch.tensor(_LUMA, dtype=pixels.dtype, device=pixels.device).view(1, 3, 1, 1)
    # Rounded, since the weights of white do not quite add up to 1.
    grey = ((pixels * luma).sum(1, keepdim=True) * 65535).round() / 65535
    return grey.clamp(0, 1) if alpha is None else grey.clamp(0, 1) * alpha


def swatches(pixels: Tensor) -> list[Swatch]:
    """The colours that a segmentation is made of, the largest first; never none.

    Args:
        pixels: ``(1, 3, H, W)`` RGB in [0, 1].
    """
    flat = pixels.flatten(2)[0]
    cells = (flat * (_LEVELS - 1)).round().long()
    index = (cells[0] * _LEVELS + cells[1]) * _LEVELS + cells[2]
    counts = torch.bincount(index, minlength=_LEVELS**3)
    sums = [torch.bincount(index, plane.double(), minlength=_LEVELS**3) for plane in flat]
    found: list[Swatch] = []
    for cell in counts.argsort(descending=True, stable=True).tolist():
        share = int(counts[cell]) / flat.shape[1]
        if found and share < _LEAST_SHARE:
            break
        colour = torch.stack([total[cell] for total in sums]).float() / counts[cell]
        place = _nearest(colour, found)
        if place is None:
            found.append(Swatch(colour, share))
        else:
            found[place] = Swatch(found[place].colour, found[place].share + share)
    return found


def masks_by_colour(pixels: Tensor, colours: Sequence[str], *, name: str) -> Tensor:
    """Masks of a picture in which every region has a colour of its own.

    Every pixel belongs to the colour of the picture that is nearest to it, so that soft or
    damaged edges between two regions are divided between them.

    Args:
        pixels: ``(1, 3, H, W)`` RGB in [0, 1].
        colours: of the regions, see :func:`parse_colour`. Others may stand in the picture too.
        name: of the file, for messages.

    Returns:
        ``(R, 1, H, W)`` of zeros and ones, in the order of the colours.

    Raises:
        SettingError: no colour, one that the picture does not have, or one named twice.
    """
    found = swatches(pixels)
    chosen = [_find(each, found, name) for each in colours]
    for place, each in enumerate(chosen):
        if each in chosen[:place]:
            raise SettingError(f"{name}: the region {colours[place]} is named twice")
    shown = [i for i, each in enumerate(found) if i in chosen or each.share >= _LEAST_REST]
    labels = _labels(pixels, [found[i] for i in shown])
    return torch.stack([(labels == shown.index(i)).float() for i in chosen])[:, None]


def feather(masks: Tensor, width_px: float) -> Tensor:
    """Masks with soft edges.

    Args:
        masks: ``(R, 1, H, W)`` in [0, 1].
        width_px: across a straight edge no more pixels than this are neither in nor out; what is
            further away stays exactly 0 or 1. Less than 2 changes nothing.
    """
    half = (width_px + 1) / 2
    reach = int(width_px // 2)
    if reach < 1:
        return masks
    offsets = torch.arange(-reach, reach + 1, dtype=masks.dtype, device=masks.device)
    kernel = 1 - offsets.abs() / half
    soft = separable(masks, kernel / kernel.sum(), "replicate").clamp(0, 1)
    # The weights add up to 1 but for rounding.
    return torch.where(soft > 1 - 1e-6, torch.ones_like(soft), soft)


def partition(masks: Tensor) -> Tensor:
    """Masks that share the picture, and the rest.

    Args:
        masks: ``(R, 1, H, W)`` in [0, 1]; where they add up to more than 1, each gets its part.

    Returns:
        ``(R + 1, 1, H, W)`` that add up to 1; the last is what no mask claims.
    """
    claimed = masks.sum(0, keepdim=True)
    shared = masks / claimed.clamp_min(1)
    return torch.cat([shared, (1 - claimed).clamp_min(0)])


def _find(text: str, found: list[Swatch], name: str) -> int:
    """Which of the colours found is meant."""
    place = _nearest(parse_colour(text), found)
    if place is None:
        known = ", ".join(f"{each} ({100 * each.share:.2g} %)" for each in found[:12])
        raise SettingError(f"{name} has no region of the colour {text}", hint=f"it has {known}")
    return place


def _nearest(colour: Tensor, found: Sequence[Swatch]) -> int | None:
    """The index of the nearest colour, if it is the same for the eye."""
    distances = [float((each.colour.cpu() - colour.cpu()).abs().max()) for each in found]
    if not distances or min(distances) > _SAME:
        return None
    return distances.index(min(distances))


def _labels(pixels: Tensor, found: Sequence[Swatch]) -> Tensor:
    """The index of the colour nearest to each pixel, ``(H, W)``."""
    best = torch.full(pixels.shape[2:], torch.inf, device=pixels.device)
    labels = torch.zeros(pixels.shape[2:], dtype=torch.long, device=pixels.device)
    for index, each in enumerate(found):
        distance = (pixels[0] - each.colour.to(pixels)[:, None, None]).square().sum(0)
        labels = torch.where(distance < best, index, labels)
        best = torch.minimum(distance, best)
    return labels
