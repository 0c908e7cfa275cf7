"""Memory: what a run needs, and whether it is tiled. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stylize.errors import MemoryLimitError
from stylize.networks.architecture import can_be_tiled, is_vgg
from stylize.planning.cost import (
    BASE_BYTES,
    Cost,
    network_bytes,
    network_bytes_per_px,
    state_bytes_per_px,
)
from stylize.planning.limits import more_memory
from stylize.planning.tiles import deepest_stride, halo_px, spans
from stylize.settings.schedule import Scale

# Sides of the area that a tile owns; smaller ones spend most of their work on the halo.
TILES_PX = (2048, 1536, 1024, 768, 512, 256)

# Pairs of the L-BFGS history: fewer where memory is short. Ten or twenty gain nothing over five.
HISTORIES = (5, 3, 2)

# Memory in the network of a whole picture, over what its strips hold at a time: the C library
# keeps what they leave behind. Measured from 1 to 16 MP; tiles are too small for it to matter.
LEFT_OVER = 1.4

# A float32 pixel of a style image at the size at which it is measured.
MEASURED_PIXEL_BYTES = 12

# Share of the free memory that a run may plan with.
USABLE = 0.85


@dataclass(frozen=True)
class MemoryPlan:
    """A plan for holding a picture of any size in memory.

    Attributes:
        tile_px: longest side of the area that a tile owns; None for no tiles.
        history: pairs that L-BFGS keeps.
    """

    tile_px: int | None = None
    history: int = HISTORIES[0]

    @property
    def name(self) -> str:
        """The name of the plan for people and recipes."""
        return "whole" if self.tile_px is None else "tiles"

    def whole(self, size: tuple[int, int], halo: int) -> bool:
        """Whether a picture of ``(height, width)`` needs no tiles: it is no larger than one."""
        if self.tile_px is None:
            return True
        return size[0] * size[1] <= (self.tile_px + 2 * halo) ** 2


@dataclass(frozen=True)
class MemoryNeed:
    """What decides the memory of a run.

    Attributes:
        architecture, layers, precision: of the network.
        optimizer: ``lbfgs``, ``adam`` or ``ascent``.
        target_bytes_per_px: memory in addition to the optimizer's state, such as the content's
            activations.
        held_bytes: of the pictures that were read, whatever the size of the result.
    """

    architecture: str
    layers: Sequence[str]
    precision: str
    optimizer: str
    target_bytes_per_px: float = 0.0
    held_bytes: float = 0.0

    def peak_bytes(self, size: tuple[int, int], memory_plan: MemoryPlan) -> float:
        """Resident memory of the whole program at a picture of ``(height, width)``."""
        pixels = size[0] * size[1]
        state = state_bytes_per_px(self.optimizer, memory_plan.history) + self.target_bytes_per_px
        network = self._network_bytes(size, memory_plan)
        return BASE_BYTES + self.held_bytes + pixels * state + network

    def measuring_bytes(self, size: tuple[int, int]) -> float:
        """Resident memory of the whole program while it measures a style image of this size.

        Strips are left out: a picture for which they matter is small.
        """
        _, passed = network_bytes_per_px(self.architecture, self.layers, self.precision)
        pixels = size[0] * size[1]
        return BASE_BYTES + self.held_bytes + pixels * (MEASURED_PIXEL_BYTES + passed)

    def require_measurable(self, size: tuple[int, int], budget_bytes: float | None) -> None:
        """Check that there is room to measure a style image of ``(height, width)``.

        Args:
            size: of the largest style image.
            budget_bytes: None for no limit.

        Raises:
            MemoryLimitError: there is not.
        """
        needed = self.measuring_bytes(size)
        if budget_bytes is not None and needed > budget_bytes:
            raise MemoryLimitError(
                f"a style image of {size[1]}×{size[0]} px needs {needed / 1e9:.2f} GB of memory,"
                f" and {budget_bytes / 1e9:.2f} GB may be used",
                hint="make it smaller with --style-size",
            )

    def _network_bytes(self, size: tuple[int, int], memory_plan: MemoryPlan) -> float:
        halo = halo_px(self.architecture, self.layers)
        network = (self.architecture, self.layers, self.precision)
        if memory_plan.tile_px is None or memory_plan.whole(size, halo):
            left_over = LEFT_OVER if is_vgg(self.architecture) else 1.0
            return left_over * network_bytes(*network, size[0] * size[1])
        sides = [min(side, memory_plan.tile_px + 2 * halo) for side in size]
        # The first pass sees all, but keeps nothing.
        _, passed = network_bytes_per_px(*network)
        return size[0] * size[1] * passed + network_bytes(*network, sides[0] * sides[1])

    def work(self, size: tuple[int, int], memory_plan: MemoryPlan, *, passes: int) -> float:
        """Return the work in tiles as a multiple of the work without.

        Args:
            size: ``(height, width)`` of the picture.
            memory_plan: of it.
            passes: through the network, forward or backward: 2 for a whole picture; 3 where the
                gradients wait for the sums over all tiles.
        """
        halo = halo_px(self.architecture, self.layers)
        if memory_plan.tile_px is None or memory_plan.whole(size, halo):
            return 1.0
        stride = deepest_stride(self.architecture, self.layers)
        sides = [spans(side, memory_plan.tile_px, halo, stride) for side in size]
        seen = [sum(each.stop - each.start for each in found) for found in sides]
        return passes / 2 * seen[0] * seen[1] / (size[0] * size[1])

    def choose(self, size: tuple[int, int], budget_bytes: float | None) -> MemoryPlan:
        """Choose the fastest plan that fits.

        Args:
            size: ``(height, width)`` of the largest picture.
            budget_bytes: None for no limit.

        Raises:
            MemoryLimitError: none fits; the hint names a size that does.
        """
        if budget_bytes is None:
            return MemoryPlan()
        stride = deepest_stride(self.architecture, self.layers)
        histories = HISTORIES if self.optimizer == "lbfgs" else HISTORIES[:1]
        for history in histories:
            for tile in (None, *TILES_PX) if self._can_be_tiled else (None,):
                memory_plan = MemoryPlan(tile, history)
                if self.peak_bytes(size, memory_plan) <= budget_bytes:
                    return memory_plan
        how = ", even in tiles," if self._can_be_tiled else f" ({self._why_whole})"
        raise MemoryLimitError(
            f"{size[1]}×{size[0]} px need {self._least(size) / 1e9:.2f} GB of memory{how}"
            f" and {budget_bytes / 1e9:.2f} GB may be used",
            hint=self._remedy(size, budget_bytes, stride),
        )

    @property
    def _can_be_tiled(self) -> bool:
        return can_be_tiled(self.architecture, self.layers)

    @property
    def _why_whole(self) -> str:
        return f"no tiles: each position of a {self.architecture} sees the whole picture"

    def _least(self, size: tuple[int, int]) -> float:
        if not self._can_be_tiled:
            return self.peak_bytes(size, MemoryPlan(None, HISTORIES[-1]))
        last = HISTORIES[-1] if self.optimizer == "lbfgs" else HISTORIES[0]
        return self.peak_bytes(size, MemoryPlan(TILES_PX[-1], last))

    def _remedy(self, size: tuple[int, int], budget_bytes: float, stride: int) -> str:
        """Name the long side that would fit."""
        low, high = stride, max(size)
        while high - low > stride:
            middle = (low + high) // 2
            shrunk = tuple(max(1, math.ceil(side * middle / max(size))) for side in size)
            fits = self._least((shrunk[0], shrunk[1])) <= budget_bytes
            low, high = (middle, high) if fits else (low, middle)
        if low <= stride:
            return f"no size fits; {more_memory()}"
        return f"--size {low // stride * stride} fits"


def cost_in_tiles(
    cost: Cost,
    memory_need: MemoryNeed,
    scales: Sequence[Scale],
    memory_plan: MemoryPlan,
    *,
    passes: int,
) -> Cost:
    """The cost of a run whose larger scales are done in tiles.

    Args:
        cost: of the same run without tiles.
        memory_need: of its network and optimizer.
        scales: the schedule.
        memory_plan: of every scale that does not fit whole.
        passes: see :meth:`MemoryNeed.work`.
    """
    work = [each.height * each.width * each.steps for each in scales]
    share = sum(
        pixels * memory_need.work(each.size, memory_plan, passes=passes)
        for pixels, each in zip(work, scales, strict=True)
    ) / sum(work)
    peak = max(memory_need.peak_bytes(each.size, memory_plan) for each in scales)
    seconds = None if cost.seconds is None else cost.seconds * share
    return Cost(cost.tflop * share, peak, seconds)


# A band of rows while it is converted; and with the filter and the compressor of a 16-bit PNG.
BAND_BYTES, DEEP_PNG_BYTES = 15e6, 36e6

_FLOAT = 4

_PILLOW_COLOUR = 4  # of a pixel, with or without alpha

# What an encoder holds in addition to its input, in bytes per pixel: coefficients and
# planes of its own, and for lossy formats some of what they come to.
_ENCODER = {"jpeg": 6.3, "webp": 10.9, "avif": 38.0}


def reading_bytes(
    size: tuple[int, int], *, channels: int = 3, bits: int = 8, format: str = "png"
) -> float:
    """Peak memory that :func:`~stylize.images.read_picture` adds, the picture itself included.

    Args:
        size: ``(height, width)`` in pixels.
        channels: of the file: 1 grey, 2 grey with alpha, 3 colour, 4 colour with alpha.
        bits: per channel in the file, 8 or 16.
        format: ``png jpeg webp avif tiff gif bmp``.
    """
    picture = _FLOAT * (4 if channels in (2, 4) else 3)
    if bits == 16 and (channels == 1 or format == "tiff"):
        raw = 2 * channels
    else:
        raw = 1 if channels == 1 else _PILLOW_COLOUR
    return BAND_BYTES + size[0] * size[1] * (picture + raw)


def saving_bytes(size: tuple[int, int], *, depth: int = 8, format: str = "png") -> float:
    """Peak memory that :func:`~stylize.images.write_picture` adds to the picture's own.

    Args:
        size: ``(height, width)`` in pixels.
        depth: bits per channel, 8 or 16.
        format: ``png jpeg webp avif tiff``.
    """
    if depth == 16:  # goes to the file as it is made
        return DEEP_PNG_BYTES if format == "png" else BAND_BYTES
    pixels = size[0] * size[1]
    encoder = _ENCODER.get(format, 0) * pixels
    return _PILLOW_COLOUR * pixels + max(BAND_BYTES, encoder)
