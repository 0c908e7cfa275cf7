"""Evaluate as planned, whole or in tiles; use smaller tiles when memory runs out."""

from __future__ import annotations

import gc

import torch
from torch import Tensor

from stylize.errors import is_out_of_memory
from stylize.gradients.tiled import TiledEngine
from stylize.losses.loss import Engine, Evaluation, Objective
from stylize.networks.architecture import can_be_tiled
from stylize.networks.network import Network
from stylize.planning.memory import TILES_PX, MemoryPlan
from stylize.planning.tiles import halo_px


class AdaptiveEngine:
    """Evaluates an objective; switches to smaller tiles when memory runs out.

    Args:
        vgg: gives at least the layers that the objective reads.
        objective: the losses.
        memory_plan: the plan before the run.

    Attributes:
        memory_plan: the plan in use, with smaller tiles if memory ran out.
    """

    def __init__(self, vgg: Network, objective: Objective, memory_plan: MemoryPlan) -> None:
        self.memory_plan = memory_plan
        self._vgg = vgg
        self._objective = objective

    def __call__(self, image: Tensor) -> Evaluation:
        """The objective and its gradient at ``(1, 3, H, W)`` RGB pixels in [0, 1].

        If memory runs out, the evaluation is repeated in smaller tiles. The image does not change.
        """
        while True:
            engine = self._engine((image.shape[2], image.shape[3]))
            try:
                return engine(image)
            except (MemoryError, RuntimeError) as error:
                smaller = self._smaller((image.shape[2], image.shape[3]))
                if smaller is None or not is_out_of_memory(error):
                    raise
                self.memory_plan = smaller
            del engine
            gc.collect()
            if self._vgg.device.type == "cuda":
                torch.cuda.empty_cache()

    def _engine(self, size: tuple[int, int]) -> Engine:
        halo = halo_px(self._vgg.architecture, self._vgg.layers)
        tile_px = None if self.memory_plan.whole(size, halo) else self.memory_plan.tile_px
        return TiledEngine(self._vgg, self._objective, tile_px=tile_px)

    def _smaller(self, size: tuple[int, int]) -> MemoryPlan | None:
        """The next plan that takes less memory for a picture of this size."""
        if not can_be_tiled(self._vgg.architecture, self._vgg.layers):
            return None
        before = min(max(size), self.memory_plan.tile_px or max(size))
        tiles = [tile for tile in TILES_PX if tile < before]
        return MemoryPlan(tiles[0], self.memory_plan.history) if tiles else None
