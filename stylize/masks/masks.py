"""Masks: read from pictures, by colour, feathered, partitioned, composited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import ImageColor
from torch import Tensor

from stylize.errors import EmptyMaskError, PictureError, SettingError
from stylize.images.blur import separable
from stylize.images.luma import LUMA
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.networks.architecture import find_layer

_COLOUR_FORM = "for example '#ff0000', '#f00' or red"

# Colours closer than this in each of R, G and B count as one: JPEG or a soft brush blurs them.
_SAME = 40 / 255

# Colours that cover less of the picture than the first are ignored; colours that cover less than
# the second, and are not requested, are edges between two others.
_LEAST_SHARE, _LEAST_REST = 0.0005, 0.005

# Levels of R, G and B when colours are counted.
_LEVELS = 16


@dataclass(frozen=True)
class FoundColour:
    """A colour of a segmentation, ``(3,)``, and the share of the picture it covers, in [0, 1]."""

    colour: Tensor
    share: float

    def __str__(self) -> str:
        levels = (round(255 * float(value)) for value in self.colour)
        return "#" + "".join(f"{level:02x}" for level in levels)


def parse_colour(text: str) -> Tensor:
    """Parse ``#ff0000``, ``#f00`` or ``red`` to ``(3,)`` float32 RGB in [0, 1].

    Raises:
        SettingError: the text is not a colour.
    """
    try:
        levels = ImageColor.getrgb(text.strip())
    except ValueError:
        raise SettingError(f"'{text}' is not a colour", hint=_COLOUR_FORM) from None
    if len(levels) != 3:
        raise SettingError(f"'{text}' is not an opaque colour", hint=_COLOUR_FORM)
    return (torch.tensor(levels, dtype=torch.float32) / 255).clamp(0, 1)


def find_colours(pixels: Tensor) -> list[FoundColour]:
    """Find the colours that a segmentation consists of, at least one, the largest first.

    Args:
        pixels: ``(1, 3, H, W)`` RGB in [0, 1].
    """
    flat = pixels.flatten(2)[0]
    cells = (flat * (_LEVELS - 1)).round().long()
    index = (cells[0] * _LEVELS + cells[1]) * _LEVELS + cells[2]
    counts = torch.bincount(index, minlength=_LEVELS**3)
    sums = [torch.bincount(index, plane.double(), minlength=_LEVELS**3) for plane in flat]
    found: list[FoundColour] = []
    for cell in counts.argsort(descending=True, stable=True).tolist():
        share = int(counts[cell]) / flat.shape[1]
        if found and share < _LEAST_SHARE:
            break
        colour = torch.stack([total[cell] for total in sums]).float() / counts[cell]
        place = _nearest(colour, found)
        if place is None:
            found.append(FoundColour(colour, share))
        else:
            found[place] = FoundColour(found[place].colour, found[place].share + share)
    return found


def masks_by_colour(
    pixels: Tensor, colours: Sequence[str], *, name: str, may_lack: bool = False
) -> Tensor:
    """Make masks from a picture in which every region has its own colour.

    Each pixel belongs to the nearest colour of the picture, so that a soft or damaged edge is
    divided between its two regions.

    Args:
        pixels: ``(1, 3, H, W)`` RGB in [0, 1].
        colours: of the regions, see :func:`parse_colour`. The picture may contain others.
        name: of the file, for error messages.
        may_lack: whether a colour that is not in the picture is an empty region.

    Returns:
        ``(R, 1, H, W)`` of zeros and ones, in the order of the colours.

    Raises:
        SettingError: a colour is invalid, not in the picture, or named twice.
    """
    found = find_colours(pixels)
    chosen = [_find(each, found, name, may_lack=may_lack) for each in colours]
    for place, each in enumerate(chosen):
        if each is not None and each in chosen[:place]:
            raise SettingError(f"{name}: the region {colours[place]} is named twice")
    shown = [i for i, each in enumerate(found) if i in chosen or each.share >= _LEAST_REST]
    labels = _labels(pixels, [found[i] for i in shown])
    places = [-1 if i is None else shown.index(i) for i in chosen]
    return torch.stack([(labels == place).float() for place in places])[:, None]


def feather(masks: Tensor, width_px: float) -> Tensor:
    """Soften the edges of masks.

    Args:
        masks: ``(R, 1, H, W)`` in [0, 1].
        width_px: at most so many pixels across a straight edge are between 0 and 1; pixels further
            away stay exactly 0 or 1. Less than 2 changes nothing.
    """
    half = (width_px + 1) / 2
    reach = int(width_px // 2)
    if reach < 1:
        return masks
    offsets = torch.arange(-reach, reach + 1, dtype=masks.dtype, device=masks.device)
    kernel = 1 - offsets.abs() / half
    soft = separable(masks, kernel / kernel.sum(), "replicate").clamp(0, 1)
    # The weights add up to 1 except for rounding.
    return torch.where(soft > 1 - 1e-6, torch.ones_like(soft), soft)


def partition(masks: Tensor) -> Tensor:
    """Scale masks so that they and the rest of the picture add up to 1.

    Args:
        masks: ``(R, 1, H, W)`` in [0, 1]; where their sum exceeds 1, they are scaled down.

    Returns:
        ``(R + 1, 1, H, W)``; the last is the rest, which no mask claims.
    """
    claimed = masks.sum(0, keepdim=True)
    shared = masks / claimed.clamp_min(1)
    return torch.cat([shared, (1 - claimed).clamp_min(0)])


def _find(text: str, found: list[FoundColour], name: str, *, may_lack: bool) -> int | None:
    place = _nearest(parse_colour(text), found)
    if place is None and not may_lack:
        known = ", ".join(f"{each} ({100 * each.share:.2g} %)" for each in found[:12])
        raise SettingError(f"{name} has no region of the colour {text}", hint=f"it has {known}")
    return place


def _nearest(colour: Tensor, found: Sequence[FoundColour]) -> int | None:
    """Return the index of the nearest colour, or None if it is visibly different."""
    distances = [float((each.colour.cpu() - colour.cpu()).abs().max()) for each in found]
    if not distances or min(distances) > _SAME:
        return None
    return distances.index(min(distances))


def _labels(pixels: Tensor, found: Sequence[FoundColour]) -> Tensor:
    """Return the index of the colour nearest to each pixel, ``(H, W)``."""
    best = torch.full(pixels.shape[2:], torch.inf, device=pixels.device, dtype=torch.float32)
    labels = torch.zeros(pixels.shape[2:], dtype=torch.long, device=pixels.device)
    for index, each in enumerate(found):
        distance = (pixels[0] - each.colour.to(pixels)[:, None, None]).square().sum(0)
        labels = torch.where(distance < best, index, labels)
        best = torch.minimum(distance, best)
    return labels


LEAST_PX = 1.0  # sum of a mask; with less there is nothing to paint


def mask_weights(mask: Picture, size: tuple[int, int], photo: Picture | None = None) -> Tensor:
    """Convert a mask to weights in [0, 1], ``(1, 1, *size)``; 0 where it is transparent.

    Args:
        mask: the mask.
        size: ``(height, width)`` of the result.
        photo: named in the error message.

    Raises:
        PictureError: the mask does not have the aspect ratio of the result.
    """
    red, green, blue = (mask.pixels[:, index : index + 1] for index in range(3))
    # By differences, so that grey keeps its exact value.
    weights = green + LUMA[0] * (red - green) + LUMA[2] * (blue - green)
    if mask.alpha is not None:
        weights = weights * mask.alpha
    return fitted(weights, size, mask.name, photo)


def fitted(
    weights: Tensor, size: tuple[int, int], name: str, photo: Picture | None = None
) -> Tensor:
    """Resize weights in [0, 1], ``(N, 1, h, w)``, to the size of the result.

    Args:
        weights: of a mask.
        size: ``(height, width)`` of the result.
        name: of the mask, for the error message.
        photo: named in the error message.

    Raises:
        PictureError: the mask does not have the aspect ratio of the result.
    """
    height, width = weights.shape[2:]
    scale = max(size) / max(height, width)
    if abs(height * scale - size[0]) > 1 or abs(width * scale - size[1]) > 1:
        rows, columns = size if photo is None else photo.size
        whole = f"a picture of {columns}×{rows} px"
        if photo is not None:
            whole = f"the photo '{photo.name}' of {columns}×{rows} px"
        raise PictureError(
            f"{name}: a mask of {width}×{height} px does not fit {whole}",
            hint=f"make it {columns}×{rows} px, or any size of the same aspect ratio",
        )
    return resize(weights, size).clamp(0, 1)


def soft_inside(mask: Tensor, width_px: float) -> Tensor:
    """Soften the edges of a mask towards its inside only, so that 0 stays exactly 0.

    Args:
        mask: ``(1, 1, H, W)`` in [0, 1].
        width_px: of the whole edge; half as many pixels across a straight edge are between 0 and 1.
            Narrower parts fade. Less than 4 changes nothing.
    """
    half = width_px / 2
    reach = int(half // 2)
    return mask if reach < 1 else feather(erode(mask, reach), half)


def require_some(mask: Tensor, name: str) -> None:
    """Refuse an empty mask.

    Raises:
        EmptyMaskError: the mask is empty.
    """
    if float(mask.double().sum()) < LEAST_PX:
        raise EmptyMaskError(
            f"{name} is empty: there is nothing to paint",
            hint="it needs a white area wider than --feather that no other mask covers",
        )


def composed(picture: Tensor, photo: Tensor, mask: Tensor) -> Tensor:
    """Composite a picture over a photo: the picture where the mask is 1, the photo where it is 0.

    Args:
        picture: ``(1, 3, H, W)`` in [0, 1].
        photo: of the same shape; where the mask is 0 the result equals the photo bit for bit.
        mask: ``(1, 1, H, W)`` in [0, 1].
    """
    return (picture - photo).mul_(mask).add_(photo).clamp_(0, 1)


# Share of the receptive field's radius that must be inside a region. With all of it most regions
# would have no position in deep layers; a position sees little through the outer half.
INSIDE = 0.5

# A region that erosion would leave with fewer positions than this is eroded less.
_LEAST_POSITIONS = 1.0


def mask_at(
    mask: Tensor, layer: str, architecture: str, *, inside: float = INSIDE, name: str = "mask"
) -> Tensor:
    """Convert a mask of the picture to a mask of the positions of a layer inside it.

    Args:
        mask: ``(1, 1, H, W)`` in [0, 1] of the picture as the network sees it: its canvas.
        layer: a layer's name.
        architecture: ``vgg16`` or ``vgg19``.
        inside: a position counts where the mask covers this share of its receptive field's radius
            in every direction; 0 for the mask averaged over the layer's strides.
        name: of the region, for error messages.

    Returns:
        ``(1, 1, H // stride, W // stride)`` in [0, 1] with a sum above 0. Where nothing is that far
        inside, the positions that are furthest inside.

    Raises:
        SettingError: the mask is empty.
    """
    found = find_layer(architecture, layer)
    averaged = F.avg_pool2d(mask, found.stride)
    if not averaged.any():
        raise SettingError(
            f"the region '{name}' is empty at {layer}",
            hint=f"it must cover at least {found.stride}×{found.stride} px of the picture",
        )
    reach = round(inside * (found.receptive_field_px // 2) / found.stride)
    for cells in range(reach, 0, -1):
        eroded = erode(averaged, cells)
        if float(eroded.sum()) >= _LEAST_POSITIONS:
            return eroded
    return averaged


def erode(mask: Tensor, cells: int) -> Tensor:
    """Take the minimum over a square of ``2 * cells + 1``, ``(1, 1, h, w)``; edges do not erode."""
    size = 2 * cells + 1
    rows = -F.max_pool2d(-mask, (size, 1), 1, (cells, 0))
    return -F.max_pool2d(-rows, (1, size), 1, (0, cells))
