"""Where a run applies: a given mask, or the subject of the photo."""

from __future__ import annotations

import hashlib

import torch

from stylize.errors import SettingError
from stylize.images.read import Picture
from stylize.masks.subject import LAYERS, find_subject
from stylize.networks.vgg import VGG
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import NETWORK
from stylize.settings.masks import SubjectSettings, kept_part


def subject_mask(
    photo: Picture,
    execution: Execution | None = None,
    *,
    network: str = NETWORK,
    invert: bool = False,
    session: Session | None = None,
) -> Picture:
    """The subject of a photo as a mask that is used like one from a file.

    Args:
        photo: the photo.
        execution: where the network runs.
        network: that looks at it.
        invert: white on the background instead.
        session: shares the network with others.

    Returns:
        White on the subject, of the photo's size; its notes say so where that is not sure.

    Raises:
        MissingExtraError: OpenCV is not installed.
        PictureError: the photo is too narrow.
        StylizeError: the network or the device is not there.
    """
    found = find_subject(
        photo.pixels, subject_network(network, execution, session), name=photo.name
    )
    mask = 1 - found.mask if invert else found.mask
    levels = (mask * 255).round().to(torch.uint8)
    digest = hashlib.sha256(levels.numpy().tobytes()).hexdigest()
    words = "background" if invert else "subject"
    return Picture(
        mask.expand(-1, 3, -1, -1), None, f"{words} of {photo.name}", digest, found.notes
    )


def subject_network(
    network: str, execution: Execution | None = None, session: Session | None = None
) -> VGG:
    """The network as :func:`find_subject` needs it."""
    session = session or Session()
    weights = session.weights(network)
    return session.vgg(weights, LAYERS, "max", session.device(execution or Execution(), weights))


def area_of(
    photo: Picture | None,
    settings: SubjectSettings,
    mask: Picture | None,
    execution: Execution | None = None,
    session: Session | None = None,
) -> Picture | None:
    """Where a technique applies, as a picture: white where it does, black where the photo stays.

    Args:
        photo: the photo; None for none.
        settings: which part of the photo is kept.
        mask: a picture that says so itself.
        execution, session: for the network that finds the subject.

    Returns:
        None if it applies everywhere.

    Raises:
        SettingError: two masks at once, no photo to find a subject in, or the same for both.
        MissingExtraError: OpenCV is not installed.
        StylizeError: see :func:`stylize.runs.area.subject_mask`.
    """
    kept = kept_part(settings)
    if kept is None:
        return mask
    if mask is not None:
        raise SettingError("a mask beside --subject or --background", hint="leave one of them out")
    if photo is None:
        raise SettingError("noise has no subject", hint="leave --subject and --background out")
    return subject_mask(photo, execution, invert=kept == "subject", session=session)


def doubts(area: Picture | None, mask: Picture | None) -> tuple[str, ...]:
    """Notes on a mask that was found, unlike one that was given, whose reader has told them."""
    return () if area is None or area is mask else area.notes
