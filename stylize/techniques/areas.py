"""Where a technique applies: masks as large as the result, and the photo's own pixels elsewhere."""

from __future__ import annotations

from torch import Tensor

from stylize.errors import PictureError, SettingError
from stylize.images import Picture, resize
from stylize.inspection.subject import subject_mask
from stylize.objectives.regions import erode
from stylize.settings import Execution
from stylize.settings.areas import Parted, kept_part
from stylize.techniques.studio import Studio
from stylize.transforms.masks import feather

# Of all pixels of a mask together, where 1 is a whole one. With less there is nothing to paint.
LEAST_PX = 1.0


def area_of(
    photo: Picture | None,
    settings: Parted,
    mask: Picture | None,
    execution: Execution | None = None,
    studio: Studio | None = None,
) -> Picture | None:
    """Where a technique applies, as a picture: white where it does, black where the photo stays.

    Args:
        photo: the photo; None for none.
        settings: which part of the photo is kept.
        mask: a picture that says so itself.
        execution, studio: for the network that finds the subject.

    Returns:
        None if it applies everywhere.

    Raises:
        SettingError: two masks at once, no photo to find a subject in, or the same for both.
        MissingExtraError: OpenCV is not installed.
        StylizeError: see :func:`stylize.inspection.subject.subject_mask`.
    """
    kept = kept_part(settings)
    if kept is None:
        return mask
    if mask is not None:
        raise SettingError("a mask beside --subject or --background", hint="leave one of them out")
    if photo is None:
        raise SettingError("noise has no subject", hint="leave --subject and --background out")
    return subject_mask(photo, execution, invert=kept == "subject", studio=studio)


def doubts(area: Picture | None, mask: Picture | None) -> tuple[str, ...]:
    """Notes on a mask that was found, unlike one that was given, whose reader has told them."""
    return () if area is None or area is mask else area.notes


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
