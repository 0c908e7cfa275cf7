"""The subject of a photo as a picture to look at, or to use as a mask."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from stylize.images.read import Picture
from stylize.masks.subject import LAYERS, SURE, Subject, find_subject
from stylize.products.inspect.model import Finding, Lens, brief
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import SegmentSettings

# Of an overlay: what is left of the light outside the mask.
DIMMED = 0.25


def show_subject(
    photo: Picture,
    settings: SegmentSettings | None = None,
    execution: Execution | None = None,
    *,
    session: Session | None = None,
) -> Finding:
    """The subject of a photo, or its background.

    Args:
        photo: the photo.
        settings: which of the two, and how it is shown.
        execution: where the network runs.
        session: shares the network with others.

    Returns:
        A picture of the photo's size; the numbers hold ``area`` as a share of the photo,
        ``box`` as left, top, right and bottom in px, ``confidence`` in [0, 1] and ``sure``.
        The area and the box are the subject's, also where the background is shown.

    Raises:
        MissingExtraError: OpenCV is not installed.
        PictureError: the photo is too narrow.
        StylizeError: the network or the device is not there.
    """
    settings = settings or SegmentSettings()
    lens = Lens(settings.network, execution, session)
    found = find_subject(photo.pixels, lens.vgg(LAYERS), name=photo.name)
    mask = 1 - found.mask if settings.invert else found.mask
    result = lens.result(_page(photo, mask, settings.view), settings, [("content", photo)])
    if settings.view == "cutout":
        alpha = mask if photo.alpha is None else mask * photo.alpha
        result = dataclasses.replace(result, alpha=alpha)
    return Finding(result, _numbers(found), notes=list(found.notes))


def _numbers(found: Subject) -> dict[str, Any]:
    return {
        "area": brief(found.area),
        "box": None if found.box is None else list(found.box),
        "confidence": round(found.confidence, 3),
        "sure": found.confidence >= SURE,
    }


def _page(photo: Picture, mask: Tensor, view: str) -> Tensor:
    if view == "mask":
        return mask.expand(-1, 3, -1, -1)
    if view == "overlay":
        return photo.pixels * (DIMMED + (1 - DIMMED) * mask)
    return photo.pixels
