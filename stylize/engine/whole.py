"""The plain engine: the whole picture at once."""

from __future__ import annotations

from stylize.engine.tiled import TiledEngine
from stylize.networks.trunk import Trunk
from stylize.objectives.objective import Objective


class WholeEngine(TiledEngine):
    """Evaluates an objective on the whole picture, without tiles.

    Args:
        trunk: gives at least the layers that the objective reads.
        objective: what is wanted.
    """

    def __init__(self, trunk: Trunk, objective: Objective) -> None:
        super().__init__(trunk, objective, tile_px=None)
