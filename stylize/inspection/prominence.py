"""What of a picture stands out to a network that was taught to name things.

Four witnesses are added, each in [0, 1]:

* the gradient of the deepest layer's response, the largest over the channels, blurred;
* the strength of the activations at two layers of the last block, the first of which still knows
  where and the last of which knows best what;
* whichever side of the first principal component of the directions of the activations has the
  more of the other three: what is of one kind, as far as it reaches.

References:
    Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", 2013, who let the
    gradient seed GrabCut; Wei, Zhang, Wu, Shen and Zhou, "Unsupervised object discovery and
    co-localization by deep descriptor transforming", 2019, for the principal component, there
    over several pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylize.images import resize
from stylize.inspection.response import TargetResponse
from stylize.inspection.saliency import saliency_map
from stylize.networks.targets import Target
from stylize.networks.trunk import Trunk
from stylize.transforms.blur import blur

EARLY, LATE = LAYERS = ("relu5_1", "relu5_3")
# Of the longer side: a gradient is grain that has to become an area.
GRADIENT_BLUR, ENERGY_BLUR = 0.03, 0.015
# Single pixels have gradients many times the rest's.
CLIPPED = 0.99
# Shares of the values that are 0 and 1 afterwards.
LOW, HIGH = 0.01, 0.99
_TINY = 1e-6


@dataclass(frozen=True)
class Prominence:
    """How much each place stands out.

    Attributes:
        amounts: ``(1, 1, h, w)`` float32 in [0, 1], on the CPU.
        strength: of the activations where they are strongest, in the network's own units.
    """

    amounts: Tensor
    strength: float


def prominence(trunk: Trunk, image: Tensor, size: tuple[int, int]) -> Prominence:
    """What stands out in a picture.

    Args:
        trunk: gives at least :data:`LAYERS`.
        image: ``(1, 3, H, W)`` RGB in [0, 1], as the network shall see it; some 384 px wide.
        size: ``(height, width)`` of the result.
    """
    response = TargetResponse((Target(LATE, 1.0, None),))
    leaf = image.detach().requires_grad_()
    found = trunk(leaf)
    (pull,) = torch.autograd.grad(response(found).sum(), leaf)
    gradient = saliency_map(pull).float().cpu()
    early, late = (found[name].detach().float().cpu() for name in LAYERS)
    strength = late.norm(dim=1, keepdim=True)
    witnesses = [
        _shares(_area(gradient.clamp_max(gradient.quantile(CLIPPED)), size, GRADIENT_BLUR)),
        _shares(_area(early.norm(dim=1, keepdim=True), size, ENERGY_BLUR)),
        _shares(_area(strength, size, ENERGY_BLUR)),
    ]
    seen = torch.stack(witnesses).sqrt().sum(0)
    kind = _shares(_towards(resize(_principal(early), size), seen))
    return Prominence(_shares(seen + kind), float(strength.quantile(0.95)))


def _area(amounts: Tensor, size: tuple[int, int], share: float) -> Tensor:
    return blur(resize(amounts, size), share * max(size))


def _shares(amounts: Tensor) -> Tensor:
    """Any values as [0, 1]; 0 everywhere if they are all alike."""
    low, high = (float(amounts.quantile(q)) for q in (LOW, HIGH))
    if high - low <= _TINY * max(abs(high), abs(low)):
        return torch.zeros_like(amounts)
    return ((amounts - low) / (high - low)).clamp(0, 1)


def _principal(features: Tensor) -> Tensor:
    """Along the direction in which normalised activations vary most, ``(1, 1, h, w)``."""
    flat = features[0].flatten(1)
    flat = flat / flat.norm(dim=0).clamp_min(_TINY)
    centred = (flat - flat.mean(1, keepdim=True)).double()
    _, vectors = torch.linalg.eigh(centred @ centred.T)
    along: Tensor = vectors[:, -1] @ centred
    return along.float().view(1, 1, *features.shape[2:])


def _towards(amounts: Tensor, others: Tensor) -> Tensor:
    """The amounts or their negative, whichever goes with the others."""
    together = (amounts - amounts.mean()) * (others - others.mean())
    return -amounts if float(together.sum()) < 0 else amounts
