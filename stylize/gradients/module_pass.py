"""Forward and backward pass through one of torchvision's classifiers, by autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.gradients.fast_pass import Seed, Visit
from stylize.networks.architecture import Rect
from stylize.networks.module import ModuleNetwork
from stylize.planning.tiles import Tile


class ModulePass:
    """The same as :class:`stylize.gradients.fast_pass.FastPass`, for any module.

    Args:
        network: gives the activations.
        tile: the window and the part of it that the tile owns; only owned positions are visited.
    """

    def __init__(self, network: ModuleNetwork, tile: Tile) -> None:
        self._network = network
        self._tile = tile
        self._leaf: Tensor | None = None
        self._features: dict[str, Tensor] = {}

    def forward(self, image: Tensor, visit: Visit, *, remember: bool = True) -> None:
        """Visit every owned activation once; see :meth:`FastPass.forward`."""
        with torch.set_grad_enabled(remember):
            self._leaf = image.detach().requires_grad_(remember)
            features = self._network(self._leaf)
        for name, found in features.items():
            owned = self._owned(name)
            if owned is not None:
                rows, columns, region = owned
                visit(name, found.detach()[:, :, rows, columns], region)
        if remember:
            self._features = features

    def backward(self, image: Tensor, seed: Seed) -> Tensor:
        """The gradient with respect to the window; see :meth:`FastPass.backward`."""
        assert self._leaf is not None
        seeds = {
            name: self._seeded(seed, name, features.detach())
            for name, features in self._features.items()
        }
        # A scalar: torch would import its compiler to check the shape of any other slope.
        with torch.enable_grad():
            parts = [(each * seeds[name]).sum() for name, each in self._features.items()]
            total = torch.stack(parts).sum()
        (gradient,) = torch.autograd.grad(total, self._leaf)
        self._features, self._leaf = {}, None
        return gradient

    def _owned(self, name: str) -> tuple[slice, slice, Rect] | None:
        """The owned rows and columns in the window's map, and their place in the picture's."""
        region, stride = self._tile.regions[name], self._tile.strides[name]
        if min(region.height, region.width) < 1:
            return None
        top = region.top - self._tile.row.start // stride
        left = region.left - self._tile.column.start // stride
        return slice(top, top + region.height), slice(left, left + region.width), region

    def _seeded(self, seed: Seed, name: str, features: Tensor) -> Tensor:
        """The seed of the whole window: zero where it is not owned."""
        whole = torch.zeros_like(features)
        owned = self._owned(name)
        if owned is not None:
            rows, columns, region = owned
            whole[:, :, rows, columns] = seed(name, features[:, :, rows, columns], region)
        return whole
