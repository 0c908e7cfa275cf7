"""The subject of a photo, as a mask or cut out."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from stylize.images.read import Picture
from stylize.masks.subject import LAYERS, SURE, Subject, find_subject
from stylize.products.inspect.model import Model
from stylize.products.inspect.result import Finding, brief
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import SegmentSettings

# Brightness of an overlay outside the mask.
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
        settings: of the part and of the view.
        execution: device, precision and threads.
        session: keeps networks in memory and shares them between calls.

    Returns:
        A picture of the photo's size; the numbers hold ``area`` as a share of the photo,
        ``box`` as left, top, right and bottom in px, ``confidence`` in [0, 1] and ``sure``.
        The area and the box are those of the subject, also with ``invert``.

    Raises:
        MissingExtraError: OpenCV is not installed.
        PictureError: the photo is too narrow.
        StylizeError: the network or the device is not available.
    """
    settings = settings or SegmentSettings()
    model = Model(settings.network, execution, session)
    found = find_subject(photo.pixels, model.plain_vgg(LAYERS, "inspect segment"), name=photo.name)
    mask = 1 - found.mask if settings.invert else found.mask
    result = model.result(_page(photo, mask, settings.view), settings, [("content", photo)])
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
