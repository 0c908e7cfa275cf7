"""The subject of a photo, found without being told: what to paint, to dream on, or to leave alone.

What stands out to the network (:mod:`stylize.inspection.prominence`) seeds cuts of several sizes;
the best (:mod:`stylize.inspection.proposals`) is cut again along the edges of a larger picture
and softened (:mod:`stylize.inspection.matte`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylize.errors import PictureError
from stylize.images import Picture, SizeSpec, resize
from stylize.inspection.grabcut import Levels, opencv
from stylize.inspection.lens import Lens
from stylize.inspection.matte import refined, softened
from stylize.inspection.prominence import LAYERS, Prominence, prominence
from stylize.inspection.proposals import Proposal, best_of, propose
from stylize.networks.trunk import Trunk
from stylize.settings import Execution
from stylize.settings.inspect_segment import NETWORK
from stylize.techniques.studio import Studio

# Longer sides of what the network sees, what is cut in many ways, and, at most, what is cut well.
SEEN_PX, PROPOSED_PX, CUT_PX = 384, 160, 512
# Of the shorter side as the network sees it: two positions of its last block.
LEAST_SEEN_PX = 32
# Activations of a thing that the packaged networks know, measured on fifteen photos; skies, rivers
# and old towns stay below. VGG-19's do not part the two as well, nor do its masks fit as well.
STRENGTH = {"vgg16": 220.0, "vgg19": 900.0}
# Of the picture.
LEAST_AREA, MOST_AREA = 0.01, 0.97
# Parts what was found whole from landscapes and from fur before fur, on fifteen photos. Two of the
# ten above it were wrong all the same: a painted portrait lost its coat, a bus took the street
# along.
SURE = 0.5
REMEDY = "look at the mask, or draw one and give it with --mask FILE"


@dataclass(frozen=True)
class Subject:
    """What a photo is of.

    Attributes:
        mask: ``(1, 1, H, W)`` float32 in [0, 1], 1 on the subject, of the photo's size.
        confidence: in [0, 1]; from 0.5 on it is mostly right.
        notes: a line on why it is not, if so.
    """

    mask: Tensor
    confidence: float
    notes: tuple[str, ...]

    @property
    def area(self) -> float:
        """Share of the photo."""
        return float(self.mask.mean())

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """``(left, top, right, bottom)`` of what is more in than out, in pixels, the last two
        exclusive; None where there is nothing."""
        inside = self.mask[0, 0] >= 0.5
        rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
        if not len(rows):
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def find_subject(pixels: Tensor, trunk: Trunk, *, name: str = "the photo") -> Subject:
    """The subject of a photo: a person, an animal, a thing, as a whole.

    Args:
        pixels: ``(1, 3, H, W)`` RGB in [0, 1].
        trunk: gives at least :data:`stylize.inspection.prominence.LAYERS`.
        name: what messages call the photo.

    Raises:
        MissingExtraError: OpenCV is not installed.
        PictureError: more than twelve times as long as wide.
    """
    opencv()
    seen = _at(pixels, SEEN_PX)
    if min(seen.shape[2:]) < LEAST_SEEN_PX:
        raise PictureError(
            f"{name}: too narrow to look for a subject", hint="crop it, or give --mask FILE"
        )
    proposed, large = _at(pixels, PROPOSED_PX), _at(pixels, CUT_PX, enlarge=False)
    found = prominence(trunk, seen.to(trunk.device), (proposed.shape[2], proposed.shape[3]))
    best, steadiness = best_of(propose(_levels(proposed), found.amounts[0, 0].numpy()))
    mask = softened(refined(_levels(large), best.cut), large, pixels)
    doubts = _doubts(best, steadiness, found, trunk.architecture, float(mask.mean()))
    confidence = float(np.prod(list(doubts.values())))
    if confidence >= SURE:
        return Subject(mask, confidence, ())
    reason = min(doubts, key=lambda each: doubts[each])
    return Subject(mask, confidence, (f"{name}: not sure of the subject: {reason}; {REMEDY}",))


def subject_mask(
    photo: Picture,
    execution: Execution | None = None,
    *,
    network: str = NETWORK,
    invert: bool = False,
    studio: Studio | None = None,
) -> Picture:
    """The subject of a photo as a mask that is used like one from a file.

    Args:
        photo: the photo.
        execution: where the network runs.
        network: that looks at it.
        invert: white on the background instead.
        studio: shares the network with others.

    Returns:
        White on the subject, of the photo's size; its notes say so where that is not sure.

    Raises:
        MissingExtraError: OpenCV is not installed.
        PictureError: the photo is too narrow.
        StylizeError: the network or the device is not there.
    """
    found = find_subject(photo.pixels, subject_trunk(network, execution, studio), name=photo.name)
    mask = 1 - found.mask if invert else found.mask
    levels = (mask * 255).round().to(torch.uint8)
    digest = hashlib.sha256(levels.numpy().tobytes()).hexdigest()
    words = "background" if invert else "subject"
    return Picture(
        mask.expand(-1, 3, -1, -1), None, f"{words} of {photo.name}", digest, found.notes
    )


def subject_trunk(
    network: str, execution: Execution | None = None, studio: Studio | None = None
) -> Trunk:
    """The network as :func:`find_subject` needs it."""
    return Lens(network, execution, studio).trunk(LAYERS)


def _at(pixels: Tensor, long_side_px: int, *, enlarge: bool = True) -> Tensor:
    wanted = SizeSpec(long_side_px=long_side_px)
    size = wanted.fit(pixels.shape[2], pixels.shape[3], enlarge=enlarge)
    return resize(pixels, size).clamp(0, 1)


def _levels(pixels: Tensor) -> Levels:
    levels: Levels = (pixels[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(levels)


def _doubts(
    best: Proposal, steadiness: float, found: Prominence, architecture: str, area: float
) -> dict[str, float]:
    """How good each sign is, in [0, 1], by what is wrong where it is bad."""
    fits = LEAST_AREA <= area <= MOST_AREA
    return {
        "what stands out follows no outline in the photo": best.agreement**0.5,
        "several outlines fit about as well": steadiness,
        "it looks like a landscape": 1 - best.horizon,
        "nothing stands out much": min(1.0, found.strength / STRENGTH[architecture]),
        "it fills nearly nothing or nearly all": 1.0 if fits else 0.25,
    }
