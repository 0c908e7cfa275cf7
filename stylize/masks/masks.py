"""Masks: read from pictures, by colour, feathered, made to share the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import ImageColor
from torch import Tensor

from stylize.errors import PictureError, SettingError
from stylize.images.blur import separable
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.networks.architecture import find_layer

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


# Of all pixels of a mask together, where 1 is a whole one. With less there is nothing to paint.
LEAST_PX = 1.0


def mask_weights(mask: Picture, size: tuple[int, int]) -> Tensor:
    """A mask as weights in [0, 1], ``(1, 1, *size)``; where it is transparent, 0.

    Raises:
        PictureError: its sides have another ratio than the picture's.
    """
    weights = mask.pixels.mean(1, keepdim=True)
    if mask.alpha is not None:
        weights = weights * mask.alpha
    return fitted(weights, size, mask.name)


def fitted(weights: Tensor, size: tuple[int, int], name: str) -> Tensor:
    """``(N, 1, h, w)`` weights in [0, 1] at the size of the result, ``(N, 1, *size)``.

    Raises:
        PictureError: their sides have another ratio than the picture's; says the mask's name.
    """
    height, width = weights.shape[2:]
    scale = max(size) / max(height, width)
    if abs(height * scale - size[0]) > 1 or abs(width * scale - size[1]) > 1:
        raise PictureError(
            f"{name}: a mask of {width}×{height} px does not fit a picture of"
            f" {size[1]}×{size[0]} px",
            hint="give it the same ratio of sides",
        )
    return resize(weights, size).clamp(0, 1)


def soft_inside(mask: Tensor, width_px: float) -> Tensor:
    """A mask with the inner half of a soft edge: what was 0 stays exactly 0.

    Args:
        mask: ``(1, 1, H, W)`` in [0, 1].
        width_px: of the whole edge: across a straight one, half as many pixels are neither in nor
            out. What is narrower fades. Less than 4 changes nothing.
    """
    half = width_px / 2
    reach = int(half // 2)
    return mask if reach < 1 else feather(erode(mask, reach), half)


def require_some(mask: Tensor, name: str) -> None:
    """Make sure that a mask holds something.

    Raises:
        PictureError: it is empty.
    """
    if float(mask.double().sum()) < LEAST_PX:
        raise PictureError(
            f"{name} is empty: there is nothing to paint",
            hint="a mask is white where it applies, and wider than --feather; of two, one may"
            " cover the other",
        )


def composed(picture: Tensor, photo: Tensor, area: Tensor) -> Tensor:
    """A picture where a mask is 1, a photo where it is 0, a mix in between.

    Args:
        picture: ``(1, 3, H, W)`` in [0, 1].
        photo: of the same shape; where ``area`` is 0 the result is ``photo`` to the bit.
        area: ``(1, 1, H, W)`` in [0, 1].
    """
    return (picture - photo).mul_(area).add_(photo).clamp_(0, 1)


# Share of the receptive field's radius that has to lie within a region. All of it would leave
# deep layers no position of most regions; positions see little through the field's outer half.
INSIDE = 0.5

# A region of fewer positions than this, once eroded, is eroded less.
_LEAST_POSITIONS = 1.0


def mask_at(
    mask: Tensor, layer: str, architecture: str, *, inside: float = INSIDE, name: str = "mask"
) -> Tensor:
    """A mask of the picture as one of the positions of a layer that lie inside it.

    Args:
        mask: ``(1, 1, H, W)`` in [0, 1] of the picture as the network sees it: its canvas.
        layer: a layer's name.
        architecture: ``vgg16`` or ``vgg19``.
        inside: a position counts where the mask holds this share of its receptive field's radius,
            in every direction; 0 for the mask averaged over the layer's strides.
        name: of the region, for messages.

    Returns:
        ``(1, 1, H // stride, W // stride)`` in [0, 1], of which the sum is not 0. Where nothing
        lies that far inside, what lies as far inside as anything does.

    Raises:
        SettingError: the mask is empty.
    """
    found = find_layer(architecture, layer)
    averaged = F.avg_pool2d(mask, found.stride)
    if not averaged.any():
        raise SettingError(
            f"the region '{name}' is empty at {layer}",
            hint=f"it has to cover some of the picture, at least {found.stride} px a side",
        )
    reach = round(inside * (found.receptive_field_px // 2) / found.stride)
    for cells in range(reach, 0, -1):
        eroded = erode(averaged, cells)
        if float(eroded.sum()) >= _LEAST_POSITIONS:
            return eroded
    return averaged


def erode(mask: Tensor, cells: int) -> Tensor:
    """The least value within so many cells, ``(1, 1, h, w)``; outside the picture is no border."""
    size = 2 * cells + 1
    rows = -F.max_pool2d(-mask, (size, 1), 1, (cells, 0))
    return -F.max_pool2d(-rows, (1, size), 1, (0, cells))
