"""Periodic pictures, whose right edge continues at the left, and the lower one at the upper."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def periodic_part(image: Tensor) -> Tensor:
    """Remove the jump across the edges of a picture, ``(N, C, H, W)``.

    Returns:
        The periodic component; the rest is smooth and mostly near the edges.

    Reference:
        Moisan, "Periodic Plus Smooth Image Decomposition", J. Math. Imaging Vis. 39 (2011).
    """
    height, width = image.shape[2:]
    jump = torch.zeros_like(image)
    across, down = image[..., -1] - image[..., 0], image[..., -1, :] - image[..., 0, :]
    jump[..., 0] += across
    jump[..., -1] -= across
    jump[..., 0, :] += down
    jump[..., -1, :] -= down
    y = torch.arange(height, device=image.device, dtype=image.dtype).view(-1, 1)
    x = torch.arange(width // 2 + 1, device=image.device, dtype=image.dtype)
    # 2 cos 2a − 2, in a form that is precise for small a.
    rows, columns = torch.sin(math.pi * y / height), torch.sin(math.pi * x / width)
    laplacian = -4 * (rows.square() + columns.square())
    laplacian[0, 0] = 1
    spectrum = torch.fft.rfft2(jump) / laplacian
    spectrum[..., 0, 0] = 0
    smooth: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return image - smooth


def resize_periodic(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample by cropping or padding the spectrum, so that the edges still match.

    Args:
        image: ``(N, C, H, W)``.
        size: ``(height, width)`` in pixels.
    """
    if image.shape[2:] == size:
        return image
    old, new = (image.shape[2], image.shape[3]), size
    spectrum = torch.fft.fft2(image)
    resized = spectrum.new_zeros((*image.shape[:2], *new))
    # Only frequencies that both sizes have, without the unpaired one of an even size.
    rows = _shared_frequencies(old[0], new[0], image.device)
    columns = _shared_frequencies(old[1], new[1], image.device)
    resized[:, :, rows[:, None], columns] = spectrum[:, :, rows[:, None], columns]
    gain = (new[0] * new[1]) / (old[0] * old[1])
    # Half a pixel differs between the two grids.
    picture: Tensor = torch.fft.ifft2(resized * gain * _phase(old, new, image))
    return picture.real.contiguous()


def _shared_frequencies(old: int, new: int, device: torch.device) -> Tensor:
    reach = (min(old, new) - 1) // 2
    return torch.arange(-reach, reach + 1, device=device)


def _phase(old: tuple[int, int], new: tuple[int, int], like: Tensor) -> Tensor:
    """Return the shift that aligns the centres of both pictures, as a factor of the spectrum."""
    turns = [
        torch.fft.fftfreq(count, dtype=like.dtype, device=like.device)
        * count
        * (0.5 / count - 0.5 / before)
        for before, count in zip(old, new, strict=True)
    ]
    angle = 2 * math.pi * (turns[0].view(-1, 1) + turns[1])
    return torch.polar(torch.ones_like(angle), angle)


def wrap(image: Tensor, before: int, after: tuple[int, int]) -> Tensor:
    """Pad a picture with its periodic continuation.

    Args:
        image: ``(N, C, H, W)``.
        before: pixels above and to the left.
        after: pixels below and to the right.
    """
    rows, columns = _indices(image, before, after)
    return image[..., rows, :][..., columns]


def unwrap(wrapped: Tensor, before: int, size: tuple[int, int]) -> Tensor:
    """Apply the adjoint of :func:`wrap`: add the padding to where it was copied from."""
    height, width = size
    folded = wrapped.new_zeros((*wrapped.shape[:2], height, wrapped.shape[3]))
    rows = (torch.arange(wrapped.shape[2], device=wrapped.device) - before) % height
    folded.index_add_(2, rows, wrapped)
    result = wrapped.new_zeros((*wrapped.shape[:2], height, width))
    columns = (torch.arange(wrapped.shape[3], device=wrapped.device) - before) % width
    return result.index_add_(3, columns, folded)


def _indices(image: Tensor, before: int, after: tuple[int, int]) -> tuple[Tensor, Tensor]:
    height, width = image.shape[2:]
    rows = torch.arange(-before, height + after[0], device=image.device) % height
    columns = torch.arange(-before, width + after[1], device=image.device) % width
    return rows, columns
