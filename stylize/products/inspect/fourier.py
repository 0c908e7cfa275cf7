"""A picture held as the amplitudes of its waves, in colours that vary on their own.

The neighbouring pixels and the three channels of a photograph go together: a step on single
pixels makes grain. A step on the amplitudes of waves, each in units of what a photograph has of
it, and on axes along which the colours of photographs do not go together, makes shapes.

Reference:
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Principal axes of the logits of red, green and blue in eight photographs, times the standard
# deviations there, relative to the first: brightness, warm against cold, green against magenta.
# The last is taken half as large again as it was measured; with less, all is orange and blue.
COLOUR_AXES = ((0.59, 0.24, 0.05), (0.58, -0.02, -0.11), (0.56, -0.23, 0.06))

# Of the noise that everything grows from, in units of what one step changes.
FIRST_AMPLITUDE = 0.01

# Contrast of a picture whose waves all have amplitude 1.
GAIN = 0.2


class FourierImage:
    """A batch of pictures of one size that follow from their amplitudes.

    Args:
        count: pictures in the batch.
        size: ``(height, width)`` in pixels.
        generator: of the noise that it begins as.
        decay: the amplitude of a wave falls with this power of its frequency; photographs
            have about 1.
        device: where it lives.
        same: whether all pictures begin as the same noise.

    Attributes:
        amplitudes: ``(count, 3, height, width // 2 + 1, 2)``, real and imaginary parts, a leaf.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        generator: torch.Generator,
        *,
        decay: float = 1.0,
        device: torch.device | str = "cpu",
        same: bool = False,
    ) -> None:
        height, width = size
        shape = (1 if same else count, 3, height, width // 2 + 1, 2)
        start = FIRST_AMPLITUDE * torch.randn(shape, generator=generator)
        self._size = size
        self._scales = wave_scales(size, decay).to(device)
        self._axes = torch.tensor(COLOUR_AXES, device=device)
        self.amplitudes = start.expand(count, *shape[1:]).clone().to(device).requires_grad_()

    def __call__(self) -> Tensor:
        """The pictures, ``(count, 3, height, width)`` RGB between 0 and 1, part of the graph."""
        waves = torch.view_as_complex(self.amplitudes) * self._scales
        planes = torch.fft.irfft2(waves, s=self._size, norm="ortho")
        return torch.sigmoid(GAIN * torch.einsum("ij,njhw->nihw", self._axes, planes))


def wave_scales(size: tuple[int, int], decay: float) -> Tensor:
    """What an amplitude of 1 means at each frequency of :func:`torch.fft.rfft2`.

    Args:
        size: ``(height, width)`` in pixels.
        decay: power of the wavelength.

    Returns:
        ``(height, width // 2 + 1)``: the wavelength in pixels to the power of ``decay``; the
        mean's is that of the longest side.
    """
    height, width = size
    down = torch.fft.fftfreq(height)[:, None]
    across = torch.fft.rfftfreq(width)[None]
    frequency = torch.hypot(down, across).clamp_min(1 / max(height, width))
    return frequency**-decay
