"""Colour transfer: another picture's colours pixel by pixel, or their mean and covariance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylize.images.oklab import from_oklab, in_strips, to_oklab

# Limits for stretching colour differences: in a grey or foggy picture faint differences are noise.
# A style image may be stretched more than a result.
RGB_STRETCH, OKLAB_STRETCH = 8.0, 6.0

# Replaces a variance of zero; smaller than that of any picture.
_NOTHING = 1e-12

# Pixels summed at a time, to save memory.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Colours:
    """Mean and covariance of the colours of a picture, in any colour space.

    Attributes:
        mean: ``(3,)`` float64.
        covariance: ``(3, 3)`` float64.
    """

    mean: Tensor
    covariance: Tensor


def colours_of(planes: Tensor) -> Colours:
    """Compute mean and covariance over the pixels of ``(1, 3, H, W)``."""
    flat = planes.detach().flatten(2)[0].cpu()
    mean = torch.stack([chunk.double().sum(1) for chunk in torch.split(flat, _CHUNK, 1)]).sum(0)
    mean /= flat.shape[1]
    products = torch.zeros(3, 3, dtype=torch.float64)
    for chunk in torch.split(flat, _CHUNK, 1):
        centred = chunk.double() - mean[:, None]
        products += centred @ centred.T
    return Colours(mean, products / flat.shape[1])


def monge_map(source: Tensor, target: Tensor, *, stretch: float) -> Tensor:
    """Compute the linear map that changes a covariance and moves the colours least.

    Args:
        source: ``(3, 3)`` covariance of the colours to change.
        target: ``(3, 3)`` covariance to reach.
        stretch: limit for the stretch in any direction.

    Returns:
        ``(3, 3)`` symmetric ``A`` with ``0 ≤ A ≤ stretch``; ``A S A = T`` if no variance of the
        target exceeds ``stretch²`` times the source's in the same direction.

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
    """Enlarge a covariance so that it is at least another in every direction.

    The map from ``S`` to ``T`` is the geometric mean of ``S⁻¹`` and ``T``, which grows with both:
    where ``T ≤ k² S`` it is at most ``k``.
    """
    root, inverse = _root(least)
    values, vectors = torch.linalg.eigh(inverse @ covariance @ inverse)
    half: Tensor = root @ (vectors * values.clamp_min(1).sqrt())
    return torch.mm(half, half.T)


def _root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the square root of a positive semi-definite matrix, and its inverse."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    values = values.clamp_min(_NOTHING).sqrt()
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T


def match_colours(picture: Tensor, like: Tensor) -> Tensor:
    """Give a picture the mean and covariance of another's colours, in sRGB.

    Used on a style image before a run: Gatys et al. match it to the photo, so that the result has
    the photo's colours.

    Args:
        picture: ``(1, 3, H, W)`` sRGB in [0, 1].
        like: the same of any size.

    Returns:
        A tensor of the picture's shape. Not clamped: a few pixels are outside [0, 1], and clamping
        them would change mean and covariance.

    Reference:
        Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017),
        after Hertzmann, "Algorithms for Rendering in Artistic Styles" (2001); the map is Pitié's.
    """
    return _mapped(picture, colours_of(picture), colours_of(like), RGB_STRETCH)


def with_colours_of(picture: Tensor, other: Tensor) -> Tensor:
    """Combine the lightness of one picture with hue and chroma of another, pixel by pixel.

    Args:
        picture, other: ``(1, 3, H, W)`` sRGB in [0, 1], of one size.

    Returns:
        ``(1, 3, H, W)`` sRGB in [0, 1]. Colours outside sRGB lose chroma.

    Note:
        Gatys et al. exchange the luminance in YIQ. OKLab's lightness does not change with the hue,
        so blue strokes do not become darker than yellow ones.
    """

    def exchange(shape: Tensor, colour: Tensor) -> Tensor:
        return from_oklab(torch.cat([to_oklab(shape)[:, :1], to_oklab(colour)[:, 1:]], 1))

    return in_strips(exchange, picture, other)


def with_palette_of(picture: Tensor, style: Tensor, source: Tensor | None = None) -> Tensor:
    """Give a picture the mean and covariance of another's colours, in OKLab.

    Args:
        picture: ``(1, 3, H, W)`` sRGB in [0, 1].
        style: the same of any size.
        source: whose mean and covariance to replace by those of the style, of any size; by
            default the picture's own. All frames of a clip share one.

    Returns:
        ``(1, 3, H, W)`` sRGB in [0, 1]. Colours outside sRGB lose chroma.
    """
    own = colours_of(in_strips(to_oklab, picture if source is None else source))
    target = colours_of(in_strips(to_oklab, style))

    def repaint(strip: Tensor) -> Tensor:
        return from_oklab(_mapped(to_oklab(strip), own, target, OKLAB_STRETCH))

    return in_strips(repaint, picture)


def _mapped(planes: Tensor, source: Colours, target: Colours, stretch: float) -> Tensor:
    matrix = monge_map(source.covariance, target.covariance, stretch=stretch)
    offset = target.mean - matrix @ source.mean
    turned = torch.einsum("ij,njhw->nihw", matrix.to(planes.device, planes.dtype), planes)
    return turned + offset.to(planes.device, planes.dtype).view(1, 3, 1, 1)
