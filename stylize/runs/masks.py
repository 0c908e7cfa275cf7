"""The mask of a run: a picture, or the subject of the photo.

What finds a subject is imported late, because it brings SciPy.
"""

from __future__ import annotations

import hashlib

import torch

from stylize.errors import SettingError
from stylize.images.read import Picture
from stylize.networks.vgg import VGG
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.masks import NETWORK, SubjectSettings, kept_part


def subject_mask(
    photo: Picture,
    execution: Execution | None = None,
    *,
    network: str = NETWORK,
    invert: bool = False,
    session: Session | None = None,
) -> Picture:
    """Find the subject of a photo and make a mask of it, like one from a file.

    Args:
        photo: the photo.
        execution: where the network runs.
        network: the network that looks at the photo.
        invert: make the background white instead.
        session: shares the loaded network.

    Returns:
        A mask of the photo's size, white on the subject; a note says if the result is uncertain.

    Raises:
        MissingExtraError: OpenCV is not installed.
        PictureError: the photo is too narrow.
        StylizeError: the network or the device is not available.
    """
    from stylize.masks.subject import find_subject  # noqa: PLC0415

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
    """Load the network with the layers that :func:`find_subject` needs."""
    from stylize.masks.subject import LAYERS  # noqa: PLC0415

    session = session or Session()
    weights = session.weights(network)
    return session.vgg(weights, LAYERS, "max", session.device(execution or Execution(), weights))


def requested_mask(
    photo: Picture | None,
    settings: SubjectSettings,
    mask: Picture | None,
    execution: Execution | None = None,
    session: Session | None = None,
) -> Picture | None:
    """Return the mask that a run asks for: white where it paints, black where the photo stays.

    Args:
        photo: the photo, or None.
        settings: which part of the photo is kept.
        mask: a mask given as a picture.
        execution, session: for the network that finds the subject.

    Returns:
        None if the whole picture is painted.

    Raises:
        SettingError: two masks at once, no photo that has a subject, or contradictory settings.
        MissingExtraError: OpenCV is not installed.
        StylizeError: see :func:`subject_mask`.
    """
    kept = kept_part(settings)
    if kept is None:
        return mask
    if mask is not None:
        raise SettingError(
            "a mask cannot be combined with --subject or --background", hint="leave one of them out"
        )
    if photo is None:
        raise SettingError("noise has no subject", hint="leave --subject and --background out")
    return subject_mask(photo, execution, invert=kept == "subject", session=session)


def subject_notes(mask: Picture | None, given: Picture | None) -> tuple[str, ...]:
    """Return the notes on a mask that was found; those on a given one were reported on reading."""
    return () if mask is None or mask is given else mask.notes
