"""Whose colours a picture has: its own, another's pixel by pixel, or another's as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylize.images.oklab import from_oklab, in_strips, to_oklab

# No difference between two colours is stretched more than this: in a grey picture, or one taken in
# fog, the faint ones are noise. A style may be stretched more than a picture that people will see.
RGB_STRETCH, OKLAB_STRETCH = 8.0, 6.0

# A variance that no picture has, in place of none at all.
_NOTHING = 1e-12

# Pixels that are added up at a time, so that a poster needs no second memory.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Colours:
    """Mean and covariance of the colours of a picture, in whatever space it is given.

    Attributes:
        mean: ``(3,)`` float64.
        covariance: ``(3, 3)`` float64.
    """

    mean: Tensor
    covariance: Tensor


def colours_of(planes: Tensor) -> Colours:
    """Statistics over the pixels of ``(1, 3, H, W)``."""
    flat = planes.detach().flatten(2)[0].cpu()
    mean = torch.stack([chunk.double().sum(1) for chunk in torch.split(flat, _CHUNK, 1)]).sum(0)
    mean /= flat.shape[1]
    products = torch.zeros(3, 3, dtype=torch.float64)
    for chunk in torch.split(flat, _CHUNK, 1):
        centred = chunk.double() - mean[:, None]
        products += centred @ centred.T
    return Colours(mean, products / flat.shape[1])


def monge_map(source: Tensor, target: Tensor, *, stretch: float) -> Tensor:
    """The linear map that gives colours another covariance and moves them least.

    Args:
        source: ``(3, 3)`` covariance of the colours that are to be changed.
        target: ``(3, 3)`` covariance that they shall have.
        stretch: no direction is stretched more than this: what a picture does not have cannot be
            stretched into being.

    Returns:
        ``(3, 3)`` symmetric ``A`` with ``0 ≤ A ≤ stretch``; ``A S A = T`` if no variance of the
        target is more than ``stretch²`` times the source's in the same direction.

    Reference:
        Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for example-based
        colour transfer" (CVMP 2007).
    """
    source = _lifted(source, target / stretch**2)
    root, inverse = _root(source)
    middle, _ = _root(root @ target @ root)
    matrix: Tensor = inverse @ middle @ inverse
    return matrix


def _lifted(covariance: Tensor, least: Tensor) -> Tensor:
    """The covariance, made at least as large as another in every direction.

    The map from ``S`` to ``T`` is the geometric mean of ``S⁻¹`` and ``T``, which grows with both:
    where ``T ≤ k² S`` it is at most ``k``.
    """
    root, inverse = _root(least)
    values, vectors = torch.linalg.eigh(inverse @ covariance @ inverse)
    half: Tensor = root @ (vectors * values.clamp_min(1).sqrt())
    return torch.mm(half, half.T)


def _root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The square root of a symmetric matrix without negative eigenvalues, and its inverse."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    values = values.clamp_min(_NOTHING).sqrt()
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T


def match_colours(picture: Tensor, like: Tensor) -> Tensor:
    """A picture whose colours have the mean and covariance of another's, in sRGB.

    For a style before a run: Gatys et al. match it to the photograph, and the result has the
    photograph's colours.

    Args:
        picture: ``(1, 3, H, W)`` sRGB in [0, 1].
        like: the same of any size.

    Returns:
        Of the picture's shape. Not clamped, as in :func:`stylize.images.resize`: a few pixels
        leave [0, 1], and without them mean and covariance were not met.

    Reference:
        Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017),
        after Hertzmann, "Algorithms for Rendering in Artistic Styles" (2001); the map is Pitié's.
    """
    return _mapped(picture, colours_of(picture), colours_of(like), RGB_STRETCH)


def with_colours_of(picture: Tensor, other: Tensor) -> Tensor:
    """The lightness of one picture with hue and chroma of another, pixel by pixel.

    Args:
        picture, other: ``(1, 3, H, W)`` sRGB in [0, 1], of one size.

    Returns:
        ``(1, 3, H, W)`` sRGB in [0, 1]. Where sRGB has no such colour, it has as much of the
        chroma as there is at that lightness and hue.

    Note:
        Gatys et al. exchange the luminance in YIQ. OKLab's lightness does not change with the hue,
        so blue strokes do not come out darker than yellow ones.
    """

    def exchange(shape: Tensor, colour: Tensor) -> Tensor:
        return from_oklab(torch.cat([to_oklab(shape)[:, :1], to_oklab(colour)[:, 1:]], 1))

    return in_strips(exchange, picture, other)


def with_palette_of(picture: Tensor, style: Tensor) -> Tensor:
    """A picture whose colours have the mean and covariance of another's, in OKLab.

    Args:
        picture: ``(1, 3, H, W)`` sRGB in [0, 1].
        style: the same of any size.

    Returns:
        ``(1, 3, H, W)`` sRGB in [0, 1]: what the map sends beyond sRGB has lost chroma.
    """
    source = colours_of(in_strips(to_oklab, picture))
    target = colours_of(in_strips(to_oklab, style))

    def repaint(strip: Tensor) -> Tensor:
        return from_oklab(_mapped(to_oklab(strip), source, target, OKLAB_STRETCH))

    return in_strips(repaint, picture)


def _mapped(planes: Tensor, source: Colours, target: Colours, stretch: float) -> Tensor:
    """Every colour moved to its place in the target's distribution."""
    matrix = monge_map(source.covariance, target.covariance, stretch=stretch)
    offset = target.mean - matrix @ source.mean
    turned = torch.einsum("ij,njhw->nihw", matrix.to(planes.device, planes.dtype), planes)
    return turned + offset.to(planes.device, planes.dtype).view(1, 3, 1, 1)
