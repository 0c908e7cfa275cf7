"""The gradient of a sum of losses, for a whole picture or tile by tile.

Activations are computed in strips (:mod:`stylize.gradients.fast_pass`), and only the sums that the
losses need are kept. If even that takes too much memory for a whole picture, a first pass adds up
the sums, and a second pass runs forward and backward on one tile at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from stylize.gradients.fast_pass import FastPass
from stylize.gradients.module_pass import ModulePass
from stylize.losses.loss import Evaluation, FeatureLoss, Objective
from stylize.losses.statistics import Moments, by_position
from stylize.networks.architecture import Rect
from stylize.networks.network import Network
from stylize.networks.vgg import VGG, exact
from stylize.planning.tiles import Tile, halo_px, tiles_of, whole_tile


class TiledEngine:
    """Evaluates an objective tile by tile, with the statistics of the whole picture.

    Args:
        vgg: gives at least the layers that the objective reads.
        objective: the losses.
        tile_px: largest side of the part that a tile owns; None for no tiles.
        halo: width of the frame around that part, in px; None for what exactness needs.
        strip_bytes: see :class:`stylize.gradients.fast_pass.FastPass`.

    Note:
        Only owned positions are seeded, but the gradient of the whole window is added. So the halo
        must cover the receptive field once. It would have to cover it twice if the gradient of each
        tile were cropped (Galerne et al., "Scaling Result Style Transfer", 2024, arXiv:2212.13459).
    """

    def __init__(
        self,
        vgg: Network,
        objective: Objective,
        *,
        tile_px: int | None,
        halo: int | None = None,
        strip_bytes: int | None = None,
    ) -> None:
        self._vgg = vgg
        self._objective = objective
        self._losses: dict[str, list[FeatureLoss]] = {name: [] for name in vgg.layers}
        for loss in objective.features:
            self._losses[loss.layer].append(loss)
        self._tile_px = tile_px
        self._halo = halo_px(vgg.architecture, vgg.layers) if halo is None else halo
        self._strip_bytes = strip_bytes

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Evaluation:
        """The objective and its gradient at ``(1, 3, H, W)`` RGB pixels in [0, 1]."""
        losses: dict[str, Tensor] = {}
        if self._objective.features:
            gradient = self._through_network(image, losses)
        else:
            gradient = torch.zeros_like(image)
        for loss in self._objective.pixels:
            value, slope = loss.value_and_gradient(image)
            losses[loss.name] = loss.weight * value
            gradient.add_(slope, alpha=loss.weight)
        return Evaluation(losses, torch.stack(list(losses.values())).sum(), gradient)

    def _through_network(self, image: Tensor, losses: dict[str, Tensor]) -> Tensor:
        sums = _Sums(self._losses, image.dtype)
        whole = whole_of(self._vgg, image)
        if self._tile_px is None:
            sweep = self._sweep(whole)
            sweep.forward(image, sums.add)
            evaluated = sums.evaluate(whole)
            gradient = sweep.backward(image, partial(self._seed, self._slopes(evaluated)))
        elif all(loss.local for loss in self._objective.features):
            gradient = self._pull(image, self._slopes(sums.evaluate(whole)), sums)
            evaluated = sums.evaluate(whole)
        else:
            self._sweep(whole).forward(image, sums.add, remember=False)
            evaluated = sums.evaluate(whole)
            gradient = self._pull(image, self._slopes(evaluated), None)
        for loss in self._objective.features:
            losses[loss.name] = loss.weight * evaluated[loss.name][0]
        return gradient.to(image.dtype)

    def _sweep(self, tile: Tile) -> FastPass | ModulePass:
        return pass_of(self._vgg, tile, self._strip_bytes)

    def _pull(self, image: Tensor, slopes: dict[str, Any], sums: _Sums | None) -> Tensor:
        """The gradient, tile by tile, and the sums of all tiles if they are not known yet."""
        assert self._tile_px is not None
        gradient = torch.zeros_like(image)
        visit = _nothing if sums is None else sums.add
        seed = partial(self._seed, slopes)
        strides, size = self._vgg.strides(), _size(image)
        positions = self._vgg.positions(size)
        for tile in tiles_of(strides, size, self._tile_px, self._halo, positions):
            sweep, window = self._sweep(tile), cut(image, tile)
            sweep.forward(window, visit)
            cut(gradient, tile).add_(sweep.backward(window, seed))
        return gradient

    def _slopes(self, evaluated: dict[str, tuple[Tensor, Any]]) -> dict[str, Any]:
        """The slopes of all losses times their weights; seeds are linear in them."""
        return {
            loss.name: scaled(evaluated[loss.name][1], loss.weight)
            for loss in self._objective.features
        }

    def _seed(self, slopes: dict[str, Any], layer: str, features: Tensor, region: Rect) -> Tensor:
        """The derivative of all losses on a part of one layer."""
        seed: Tensor | None = None
        for loss in self._losses[layer]:
            part = loss.crop(region).feature_gradient(features, slopes[loss.name])
            seed = part if seed is None else seed.add_(part)
        return torch.zeros_like(features) if seed is None else seed


class _Sums:
    """The statistics of the losses, summed over positions in double precision."""

    def __init__(self, losses: dict[str, list[FeatureLoss]], dtype: torch.dtype) -> None:
        self._losses = losses
        self._dtype = dtype
        self._total: dict[str, Any] = {}

    def add(self, layer: str, features: Tensor, region: Rect) -> None:
        """Add a part of a layer's activations."""
        for loss in self._losses[layer]:
            part = loss.crop(region).statistics(features)
            self._total[loss.name] = added(self._total.get(loss.name), part)

    def evaluate(self, whole: Tile) -> dict[str, tuple[Tensor, Any]]:
        """The unweighted value and slope of every loss; those of zeros if nothing was added."""
        found = {}
        for layer, losses in self._losses.items():
            positions = whole.regions[layer].rows * whole.regions[layer].columns
            for loss in losses:
                sums = narrowed(self._total.get(loss.name, torch.zeros(())), self._dtype)
                found[loss.name] = loss.value_and_slope(sums, positions)
        return found


def _nothing(layer: str, features: Tensor, region: Rect) -> None:
    """Ignore a visit."""


def pass_of(network: Network, tile: Tile, strip_bytes: int | None) -> FastPass | ModulePass:
    """A pass through a network: the fast one if it is a VGG."""
    if isinstance(network, VGG):
        return FastPass(network, tile, strip_bytes=strip_bytes)
    return ModulePass(network, tile)


def whole_of(network: Network, image: Tensor) -> Tile:
    """The tile that is all of a picture ``(1, 3, H, W)``."""
    size = _size(image)
    return whole_tile(network.strides(), size, network.positions(size))


@torch.no_grad()
def features_of(
    vgg: Network, image: Tensor, names: Sequence[str], *, strip_bytes: int | None = None
) -> dict[str, Tensor]:
    """Activations of a whole picture, in the network's precision, without a backward pass.

    Args:
        vgg: gives at least these layers.
        image: ``(1, 3, H, W)`` RGB in [0, 1].
        names: of the layers to keep.
        strip_bytes: see :class:`stylize.gradients.fast_pass.FastPass`.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str, features: Tensor, region: Rect) -> None:
        if name not in names:
            return
        if name not in kept:
            shape = (features.shape[0], features.shape[1], region.rows, region.columns)
            kept[name] = torch.empty(
                shape, dtype=vgg.dtype, device=features.device, memory_format=vgg.memory_format
            )
        kept[name][:, :, region.top : region.top + region.height] = features

    sweep = pass_of(vgg, whole_of(vgg, image), strip_bytes)
    sweep.forward(image, keep, remember=False)
    return kept


@torch.no_grad()
def moments_of_layers(
    vgg: Network, image: Tensor, names: Sequence[str], *, strip_bytes: int | None = None
) -> dict[str, Moments]:
    """Moments of a whole picture's activations, added up in double precision."""
    total: dict[str, Any] = {}
    positions: dict[str, int] = {}

    def count(name: str, features: Tensor, region: Rect) -> None:
        if name in names:
            rows = by_position(exact(features))
            total[name] = added(total.get(name), (rows.sum(0), rows.T @ rows))
            positions[name] = region.rows * region.columns

    sweep = pass_of(vgg, whole_of(vgg, image), strip_bytes)
    sweep.forward(image, count, remember=False)
    return {
        name: Moments(*(each / positions[name] for each in narrowed(total[name], image.dtype)))
        for name in names
    }


def cut(image: Tensor, tile: Tile) -> Tensor:
    """A tile's window of ``(1, C, H, W)``, a view."""
    return image[..., tile.row.start : tile.row.stop, tile.column.start : tile.column.stop]


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[2], image.shape[3]


def added(total: Any, part: Any) -> Any:
    """Add sums in double precision if the device has it."""
    if isinstance(part, tuple):
        totals = total if total is not None else (None,) * len(part)
        return tuple(added(*pair) for pair in zip(totals, part, strict=True))
    wide = part if part.device.type == "mps" else part.double()
    return wide if total is None else total + wide


def scaled(value: Any, factor: float) -> Any:
    """Multiply a slope, of any number of parts, by a factor."""
    if isinstance(value, tuple):
        return tuple(scaled(each, factor) for each in value)
    return value * factor


def narrowed(value: Any, dtype: torch.dtype) -> Any:
    """Convert sums to the precision of the losses."""
    if isinstance(value, tuple):
        return tuple(narrowed(each, dtype) for each in value)
    return value.to(dtype)
