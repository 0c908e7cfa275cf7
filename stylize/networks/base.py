"""What all networks on a device have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stylize.networks.architecture import find_layer, positions

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}


class NetworkBase:
    """A network's name, requested layers, precision and place.

    Args:
        architecture: such as ``vgg16``.
        sha256: of the file of weights.
        layers: names of the activations to return.
        pooling: ``"max"`` or ``"avg"``.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp64"``.
        device: where the network runs.
    """

    def __init__(
        self,
        architecture: str,
        sha256: str,
        layers: Sequence[str],
        *,
        pooling: str,
        precision: str,
        device: torch.device | str,
    ) -> None:
        self.architecture, self._sha256 = architecture, sha256
        self.layers = tuple(layers)
        self.pooling, self.precision = pooling, precision
        self.device = torch.device(device)
        self.memory_format = (
            # Convolution's backward pass returns a wrong layout on MPS (PyTorch issue 174269).
            torch.contiguous_format if self.device.type == "mps" else torch.channels_last
        )

    @property
    def identity(self) -> tuple[str, ...]:
        """Weights, pooling and precision: equal networks have equal activations."""
        return self._sha256, self.pooling, self.precision

    @property
    def dtype(self) -> torch.dtype:
        """The type of the activations."""
        return _DTYPES[self.precision]

    def strides(self) -> dict[str, int]:
        """Return the image pixels between neighbouring positions, by layer name."""
        return {name: find_layer(self.architecture, name).stride for name in self.layers}

    def positions(self, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """Return the rows and columns of each map for a picture of ``(height, width)``."""
        return {name: positions(self.architecture, name, size) for name in self.layers}
