"""The tiled engine: the same gradient as of the whole picture, in the memory of one tile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylize.engine.evaluation import Evaluation
from stylize.engine.layout import Layout
from stylize.engine.tiles import Region, Span, halo_px, owned_region, spans
from stylize.networks.trunk import Trunk
from stylize.objectives.moments import Moments, by_position, moments_of
from stylize.objectives.objective import FeatureTerm, Objective


@dataclass(frozen=True)
class Tile:
    """A window of the picture, and what of each layer it owns."""

    row: Span
    column: Span
    regions: dict[str, Region]
    strides: dict[str, int]

    def cut(self, image: Tensor) -> Tensor:
        """The window of ``(1, C, H, W)``."""
        rows, columns = self.row, self.column
        return image[..., rows.start : rows.stop, columns.start : columns.stop]

    def owned(self, layer: str, features: Tensor) -> Tensor:
        """The owned part of the window's ``(1, C, h, w)`` activations, a view."""
        region, stride = self.regions[layer], self.strides[layer]
        top = region.top - self.row.start // stride
        left = region.left - self.column.start // stride
        return features[..., top : top + region.height, left : left + region.width]


class TiledEngine:
    """Evaluates an objective tile by tile, with the statistics of the whole picture.

    A first pass adds up the sums that the terms ask for; a second seeds the activations with the
    slopes that follow from them. Where no term needs the sums of all for its slopes, one pass does
    both.

    Args:
        trunk: gives at least the layers that the objective reads.
        objective: what is wanted.
        tile_px: side of what a tile owns at most.
        halo: pixels around that; what exactness needs, if None.

    Note:
        Only owned positions are seeded, but the gradient of the whole window is added: so the halo
        has to cover what a position sees once, not twice, as it must where every tile's gradient is
        cropped (Galerne et al., "Scaling Painting Style Transfer", 2024, arXiv:2212.13459).
    """

    def __init__(
        self, trunk: Trunk, objective: Objective, *, tile_px: int, halo: int | None = None
    ) -> None:
        self._trunk = trunk
        self._objective = objective
        self._terms: dict[str, list[FeatureTerm]] = {name: [] for name in objective.layers}
        for term in objective.features:
            self._terms[term.layer].append(term)
        self._halo = halo
        self._tile_px = tile_px

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Evaluation:
        """The objective and its gradient at ``(1, 3, H, W)`` RGB pixels in [0, 1]."""
        losses: dict[str, Tensor] = {}
        gradient = torch.zeros_like(image)
        if self._terms:
            size = _size(image)
            tiles = list(tiles_of(self._trunk, size, self._terms, self._tile_px, self._halo))
            gradient = self._through_network(image, tiles, losses)
        for term in self._objective.pixels:
            value, slope = term.value_and_gradient(image)
            losses[term.name] = term.weight * value
            gradient.add_(slope, alpha=term.weight)
        return Evaluation(losses, torch.stack(list(losses.values())).sum(), gradient)

    def _through_network(
        self, image: Tensor, tiles: list[Tile], losses: dict[str, Tensor]
    ) -> Tensor:
        positions = {
            name: region.rows * region.columns for name, region in tiles[0].regions.items()
        }
        terms = [term for found in self._terms.values() for term in found]
        if all(term.local for term in terms):
            slopes = {
                term.name: term.evaluate(image.new_zeros(()), positions[term.layer])[1]
                for term in terms
            }
            sums, gradient = self._pull(image, tiles, slopes)
        else:
            sums = self._add_up(image, tiles)
            slopes = {
                term.name: term.evaluate(sums[term.name], positions[term.layer])[1]
                for term in terms
            }
            _, gradient = self._pull(image, tiles, slopes, count=False)
        for term in terms:
            value, _ = term.evaluate(sums[term.name], positions[term.layer])
            losses[term.name] = term.weight * value
        return gradient

    def _add_up(self, image: Tensor, tiles: list[Tile]) -> dict[str, Any]:
        """The sums of every term over all positions."""
        total: dict[str, Any] = {}
        for tile in tiles:
            features = self._trunk(tile.cut(image))
            for name, terms in self._terms.items():
                owned = _exact(tile.owned(name, features[name]))
                for term in terms:
                    part = term.at(tile.regions[name]).sums(owned)
                    total[term.name] = _added(total.get(term.name), part)
        return _as_exact(total, image)

    def _pull(
        self,
        image: Tensor,
        tiles: list[Tile],
        slopes: dict[str, Any],
        *,
        count: bool = True,
    ) -> tuple[dict[str, Any], Tensor]:
        """The sums, if they are to be counted, and the gradient, tile by tile."""
        total: dict[str, Any] = {}
        gradient = torch.zeros_like(image)
        for tile in tiles:
            leaf = tile.cut(image).detach().clone().requires_grad_()
            with torch.enable_grad():
                features = self._trunk(leaf)
            seeds = []
            for name, terms in self._terms.items():
                owned = _exact(tile.owned(name, features[name].detach()))
                here = [term.at(tile.regions[name]) for term in terms]
                if count:
                    for term in here:
                        total[term.name] = _added(total.get(term.name), term.sums(owned))
                seeds.append(self._seed(tile, name, features[name], owned, here, slopes))
            outputs = [features[name] for name in self._terms]
            (part,) = torch.autograd.grad(outputs, leaf, seeds)
            tile.cut(gradient).add_(part)
            # The next window's activations shall not lie beside this one's.
            del leaf, features, owned, seeds, outputs, part
        return _as_exact(total, image), gradient

    @staticmethod
    def _seed(
        tile: Tile,
        layer: str,
        features: Tensor,
        owned: Tensor,
        terms: list[FeatureTerm],
        slopes: dict[str, Any],
    ) -> Tensor:
        """The derivative at owned positions, 0 elsewhere in the window."""
        seed = torch.zeros_like(features)
        place = tile.owned(layer, seed)
        for term in terms:
            place.add_(term.seed(owned, slopes[term.name]).mul_(term.weight).to(seed.dtype))
        return seed


@torch.no_grad()
def features_in_tiles(
    trunk: Trunk, image: Tensor, names: Sequence[str], tile_px: int
) -> dict[str, Tensor]:
    """Activations of the whole picture, computed tile by tile.

    Args:
        trunk: gives at least these layers.
        image: ``(1, 3, H, W)`` RGB in [0, 1].
        names: of the layers to keep.
        tile_px: side of what a tile owns at most.
    """
    size = _size(image)
    kept: dict[str, Tensor] = {}
    for tile in tiles_of(trunk, size, names, tile_px):
        features = trunk(tile.cut(image).contiguous())
        for name in names:
            region = tile.regions[name]
            if name not in kept:
                whole = (1, features[name].shape[1], region.rows, region.columns)
                kept[name] = features[name].new_empty(whole)
            rows = slice(region.top, region.top + region.height)
            columns = slice(region.left, region.left + region.width)
            kept[name][..., rows, columns] = tile.owned(name, features[name])
    return kept


@torch.no_grad()
def moments_in_tiles(
    trunk: Trunk, image: Tensor, names: Sequence[str], tile_px: int
) -> dict[str, Moments]:
    """Moments of the whole picture's activations, added up tile by tile in double precision."""
    size = _size(image)
    total: dict[str, Any] = {}
    positions: dict[str, int] = {}
    for tile in tiles_of(trunk, size, names, tile_px):
        features = trunk(tile.cut(image).contiguous())
        for name in names:
            rows = by_position(_exact(tile.owned(name, features[name])))
            total[name] = _added(total.get(name), (rows.sum(0), rows.T @ rows))
            positions[name] = tile.regions[name].rows * tile.regions[name].columns
    return {
        name: Moments(*(each.to(image.dtype) / positions[name] for each in sums))
        for name, sums in total.items()
    }


def features_of(
    trunk: Trunk, image: Tensor, names: Sequence[str], layout: Layout
) -> dict[str, Tensor]:
    """Activations of the whole picture, in tiles where the layout wants them."""
    if layout.tile_px is None or layout.whole(_size(image), _halo(trunk)):
        with torch.no_grad():
            features = trunk(image)
        return {name: features[name] for name in names}
    return features_in_tiles(trunk, image, names, layout.tile_px)


def moments_of_layers(
    trunk: Trunk, image: Tensor, names: Sequence[str], layout: Layout
) -> dict[str, Moments]:
    """Moments of the whole picture's activations, in tiles where the layout wants them."""
    if layout.tile_px is None or layout.whole(_size(image), _halo(trunk)):
        with torch.no_grad():
            features = trunk(image)
        return {name: moments_of(features[name]) for name in names}
    return moments_in_tiles(trunk, image, names, layout.tile_px)


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[2], image.shape[3]


def _halo(trunk: Trunk) -> int:
    return halo_px(trunk.architecture, trunk.layers)


def tiles_of(
    trunk: Trunk,
    size: tuple[int, int],
    names: Iterable[str],
    tile_px: int,
    halo: int | None = None,
) -> Iterator[Tile]:
    """The tiles of a picture, row by row.

    Args:
        trunk: decides halo and alignment, which have to suit its deepest layer.
        size: ``(height, width)`` of the picture.
        names: layers whose owned regions are wanted.
        tile_px: side of what a tile owns at most.
        halo: pixels around that; what exactness needs, if None.
    """
    strides = trunk.strides()
    stride = max(strides.values())
    halo = _halo(trunk) if halo is None else halo
    for row in spans(size[0], tile_px, halo, stride):
        for column in spans(size[1], tile_px, halo, stride):
            regions = {name: owned_region(row, column, size, strides[name]) for name in names}
            yield Tile(row, column, regions, strides)


def _exact(features: Tensor) -> Tensor:
    return features.float() if features.dtype is torch.bfloat16 else features


def _added(total: Any, part: Any) -> Any:
    """Sums in double precision, where the device has it."""
    if isinstance(part, tuple):
        totals = total if total is not None else (None,) * len(part)
        return tuple(_added(*pair) for pair in zip(totals, part, strict=True))
    wide = part if part.device.type == "mps" else part.double()
    return wide if total is None else total + wide


def _as_exact(total: dict[str, Any], like: Tensor) -> dict[str, Any]:
    """The sums in the precision in which the terms compute."""

    def narrow(value: Any) -> Any:
        return tuple(map(narrow, value)) if isinstance(value, tuple) else value.to(like.dtype)

    return {name: narrow(value) for name, value in total.items()}
