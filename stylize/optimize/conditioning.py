"""What a dream's gradient goes through before it is followed.

Each function maps a gradient ``(1, 3, H, W)`` to another of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stylize.transforms.blur import blur, map_bands
from stylize.transforms.periodic import wrap

Condition = Callable[[Tensor, float], Tensor]

# Colour correlations of natural pictures, from tensorflow/lucid (misc/io, Apache-2.0).
_CORRELATION = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
# Share of the low frequencies that is taken out, and where they begin.
_LOW_SHARE, _LOW_SIGMA_PX = 0.7, 10.0
_BANDS = 4
# From how far the coarsest band draws what it is at a place: about four of its pixels.
_BANDS_REACH_PX = 4 * 2**_BANDS
# The cascade's widths relative to its middle one, after gordicaleksa/pytorch-deepdream.
_CASCADE = (0.5, 1.0, 2.0)


def natural_colours(gradient: Tensor) -> Tensor:
    """Favours the colour directions of natural pictures: ``K g`` with ``K = C Cᵀ``.

    Without it VGG's dreams burn out in green and magenta: directions that photographs hardly
    have are as cheap for the gradient as those that they are made of.
    """
    matrix = torch.tensor(_CORRELATION, dtype=gradient.dtype, device=gradient.device)
    matrix = matrix / matrix.norm(dim=0).max()
    return torch.einsum("ij,njhw->nihw", matrix @ matrix.T, gradient)


def without_washes(gradient: Tensor, *, periodic: bool = False) -> Tensor:
    """Takes out most of the low frequencies, so that no octave paints large washes."""
    return gradient - _LOW_SHARE * blur(gradient, _LOW_SIGMA_PX, periodic=periodic)


def cascade(gradient: Tensor, progress: float, *, periodic: bool = False) -> Tensor:
    """Mean of three blurs that widen as the octave goes on.

    Args:
        gradient: of the objective.
        progress: share of the octave's steps that are done, 0 to 1.
        periodic: whether the picture tiles.
    """
    sigma = 0.5 + 2.0 * progress
    parts = [blur(gradient, sigma * factor, periodic=periodic) for factor in _CASCADE]
    return torch.stack(parts).mean(0)


def level_bands(gradient: Tensor, *, periodic: bool = False) -> Tensor:
    """Every band of the Laplacian pyramid divided by its root mean square.

    Large smooth shapes come to weigh as much as fine grain (TensorFlow's DeepDream tutorial of
    2015).

    Args:
        gradient: of the objective.
        periodic: whether the picture tiles.
    """
    if not periodic:
        return map_bands(gradient, _BANDS, _level)
    height, width = gradient.shape[2:]
    framed = wrap(gradient, _BANDS_REACH_PX, (_BANDS_REACH_PX, _BANDS_REACH_PX))
    levelled = map_bands(framed, _BANDS, _level)
    down, right = _BANDS_REACH_PX + height, _BANDS_REACH_PX + width
    return levelled[..., _BANDS_REACH_PX:down, _BANDS_REACH_PX:right]


def _level(band: Tensor) -> Tensor:
    tiny = torch.finfo(band.dtype).tiny ** 0.5
    return band / band.square().mean().sqrt().clamp_min(tiny)


def conditioning(palette: str, smoothing: str, *, periodic: bool = False) -> Condition:
    """The whole way of a gradient, as a function of gradient and progress.

    Args:
        palette: ``natural`` or ``neon``.
        smoothing: ``none``, ``cascade`` or ``laplacian``.
        periodic: whether the picture tiles.
    """

    def condition(gradient: Tensor, progress: float) -> Tensor:
        if smoothing == "cascade":
            gradient = cascade(gradient, progress, periodic=periodic)
        elif smoothing == "laplacian":
            gradient = level_bands(gradient, periodic=periodic)
        if palette == "natural":
            gradient = without_washes(natural_colours(gradient), periodic=periodic)
        return gradient

    return condition
