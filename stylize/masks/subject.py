"""Find the subject of a photo.

Whatever stands out to the network seeds cuts of several sizes (:mod:`stylize.masks.outline`). The
best one is refined along the edges of a larger picture and softened (:mod:`stylize.masks.matte`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylize.errors import PictureError
from stylize.images.blur import blur
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.masks.matte import refined, softened
from stylize.masks.outline import Levels, Proposal, best_of, opencv, propose
from stylize.networks.vgg import VGG, exact

LAYERS = ("relu5_1", "relu5_3")

# Shares of the longer side. A gradient is as noisy as grain and must become an even patch.
GRADIENT_BLUR, ENERGY_BLUR = 0.03, 0.015

# Quantile to clip gradients at: those of single pixels are many times the others.
CLIPPED = 0.99

# Quantiles of the values that become 0 and 1.
LOW, HIGH = 0.01, 0.99

_TINY = 1e-6


@dataclass(frozen=True)
class Prominence:
    """How much each place stands out.

    Attributes:
        amounts: ``(1, 1, h, w)`` float32 in [0, 1], on the CPU.
        strength: of the strongest activations, in the network's own units.
    """

    amounts: Tensor
    strength: float


def prominence(vgg: VGG, image: Tensor, size: tuple[int, int]) -> Prominence:
    """Measure what stands out in a picture.

    Args:
        vgg: returns at least :data:`LAYERS`.
        image: ``(1, 3, H, W)`` RGB in [0, 1], about 384 px wide.
        size: ``(height, width)`` of the result.
    """
    leaf = image.detach().requires_grad_()
    found = vgg(leaf)
    energy = exact(found[LAYERS[-1]]).relu().square().sum(1).div(2).mean((1, 2))
    (pull,) = torch.autograd.grad(energy.sum(), leaf)
    gradient = pull.abs().amax(1, keepdim=True).float().cpu()
    early, late = (found[name].detach().float().cpu() for name in LAYERS)
    strength = late.norm(dim=1, keepdim=True)
    signs = [
        _shares(_smooth(gradient.clamp_max(gradient.quantile(CLIPPED)), size, GRADIENT_BLUR)),
        _shares(_smooth(early.norm(dim=1, keepdim=True), size, ENERGY_BLUR)),
        _shares(_smooth(strength, size, ENERGY_BLUR)),
    ]
    seen = torch.stack(signs).sqrt().sum(0)
    kind = _shares(_towards(resize(_principal(early), size), seen))
    return Prominence(_shares(seen + kind), float(strength.quantile(0.95)))


def _smooth(amounts: Tensor, size: tuple[int, int], share: float) -> Tensor:
    return blur(resize(amounts, size), share * max(size))


def _shares(amounts: Tensor) -> Tensor:
    """Scale values to [0, 1]; 0 everywhere if they are all alike."""
    low, high = (float(amounts.quantile(q)) for q in (LOW, HIGH))
    if high - low <= _TINY * max(abs(high), abs(low)):
        return torch.zeros_like(amounts)
    return ((amounts - low) / (high - low)).clamp(0, 1)


def _principal(features: Tensor) -> Tensor:
    """Project normalized activations on their first principal component, ``(1, 1, h, w)``."""
    flat = features[0].flatten(1)
    flat = flat / flat.norm(dim=0).clamp_min(_TINY)
    centred = (flat - flat.mean(1, keepdim=True)).double()
    _, vectors = torch.linalg.eigh(centred @ centred.T)
    along: Tensor = vectors[:, -1] @ centred
    return along.float().view(1, 1, *features.shape[2:])


def _towards(amounts: Tensor, others: Tensor) -> Tensor:
    """Choose the sign of the amounts so that they correlate with the others."""
    together = (amounts - amounts.mean()) * (others - others.mean())
    return -amounts if float(together.sum()) < 0 else amounts


# Longer sides: for the network, for the proposed cuts, and at most for the final cut.
SEEN_PX, PROPOSED_PX, CUT_PX = 384, 160, 512

# Least shorter side for the network: two positions of its last block.
LEAST_SEEN_PX = 32

# Strength of the activations on objects that the networks know, measured on fifteen photos; skies,
# rivers and old towns are below. VGG-19 separates the two less well, and its masks fit less well.
STRENGTH = {"vgg16": 220.0, "vgg19": 900.0}

# Shares of the picture.
LEAST_AREA, MOST_AREA = 0.01, 0.97

# Separates good masks from those of landscapes and of fur against fur, on fifteen photos. Two of
# the ten above it were wrong: a painted portrait lost its coat, a bus included the street.
SURE = 0.5

REMEDY = "look at the mask, or draw one and give it with --mask FILE"


@dataclass(frozen=True)
class Subject:
    """The subject of a photo.

    Attributes:
        mask: ``(1, 1, H, W)`` float32 in [0, 1], 1 on the subject, of the photo's size.
        confidence: in [0, 1]; the mask is mostly right from 0.5.
        notes: one line with the reason if the mask is uncertain.
    """

    mask: Tensor
    confidence: float
    notes: tuple[str, ...]

    @property
    def area(self) -> float:
        """The share of the photo."""
        return float(self.mask.mean())

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """The bounding box ``(left, top, right, bottom)`` of mask values from 0.5, in pixels, the
        last two exclusive; None for an empty mask."""
        inside = self.mask[0, 0] >= 0.5
        rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
        if not len(rows):
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def find_subject(pixels: Tensor, vgg: VGG, *, name: str = "the photo") -> Subject:
    """Find the subject of a photo: a whole person, animal or thing.

    Args:
        pixels: ``(1, 3, H, W)`` RGB in [0, 1].
        vgg: returns at least :data:`stylize.masks.subject.LAYERS`.
        name: the name of the photo in messages.

    Raises:
        MissingExtraError: OpenCV is not installed.
        PictureError: the photo is more than twelve times as long as wide.
    """
    opencv()
    seen = _at(pixels, SEEN_PX)
    if min(seen.shape[2:]) < LEAST_SEEN_PX:
        raise PictureError(
            f"{name}: too narrow to look for a subject", hint="crop it, or give --mask FILE"
        )
    proposed, large = _at(pixels, PROPOSED_PX), _at(pixels, CUT_PX, enlarge=False)
    found = prominence(vgg, seen.to(vgg.device), (proposed.shape[2], proposed.shape[3]))
    best, steadiness = best_of(propose(_levels(proposed), found.amounts[0, 0].numpy()))
    mask = softened(refined(_levels(large), best.cut), large, pixels)
    doubts = _doubts(best, steadiness, found, vgg.architecture, float(mask.mean()))
    confidence = float(np.prod(list(doubts.values())))
    if confidence >= SURE:
        return Subject(mask, confidence, ())
    reason = min(doubts, key=lambda each: doubts[each])
    return Subject(mask, confidence, (f"{name}: not sure of the subject: {reason}; {REMEDY}",))


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
    """Rate each sign in [0, 1]; the key says what is wrong where the rating is low."""
    fits = LEAST_AREA <= area <= MOST_AREA
    return {
        "the subject follows no outline in the photo": best.agreement**0.5,
        "several outlines fit about as well": steadiness,
        "it looks like a landscape": 1 - best.horizon,
        "no part of the photo stands out": min(1.0, found.strength / STRENGTH[architecture]),
        "it fills almost none or almost all of the photo": 1.0 if fits else 0.25,
    }
