"""The result of a run: a picture with its recipe."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylize.images.read import Picture
from stylize.images.resampling import resize_clamped
from stylize.images.write import write_picture
from stylize.optimize.snapshot import ScaleOutcome
from stylize.planning.device import Device
from stylize.planning.memory import MemoryPlan
from stylize.runs.recipe import to_text


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """The result of a run.

    Attributes:
        pixels: ``(1, 3, H, W)`` float32 RGB in [0, 1], on the CPU.
        alpha: ``(1, 1, H, W)`` of the photo, or None if it is opaque.
        recipe: see :mod:`stylize.runs.recipe`.
        interrupted: whether the run was stopped early.
        notes: what a user may want to know, a line each.
    """

    pixels: Tensor
    alpha: Tensor | None
    recipe: dict[str, Any]
    interrupted: bool
    notes: tuple[str, ...] = ()

    def save(
        self,
        target: str | Path | BinaryIO,
        *,
        format: str | None = None,
        depth: int = 8,
        quality: int = 95,
        token: str | None = None,
        overwrite: bool = False,
        numbered: bool = False,
        follow_links: bool = True,
    ) -> Path | None:
        """Write the picture and its recipe, see :func:`stylize.images.write.write_picture`.

        Args:
            target: a file, or a stream that is open for binary writing.
            format: ``png``, ``jpeg`` …; by default what the suffix says, for a stream png.
            depth: bits per channel, 8 or 16.
            quality: 1 to 100, for the lossy formats.
            token: gives the temporary file a predictable name.
            overwrite: replace an existing file.
            numbered: save the picture as ``NAME-2``, ``NAME-3`` … if the name is taken.
            follow_links: replace the file that a symbolic link points to, not the link itself.

        Returns:
            The file that was written; None for a stream.

        Raises:
            OutputError: the name is taken, or the system refuses; an existing file is unchanged.
            StylizeError: the format cannot be written like this.
        """
        return self._write(
            Path(target) if isinstance(target, str) else target,
            {"format": format, "depth": depth, "quality": quality},
            token=token,
            overwrite=overwrite,
            numbered=numbered,
            follow_links=follow_links,
        )

    def _write(
        self, target: Path | BinaryIO, encoding: Mapping[str, Any], **naming: Any
    ) -> Path | None:
        recipe = to_text(self.recipe)
        return write_picture(
            target, self.pixels, alpha=self.alpha, recipe=recipe, **encoding, **naming
        )

    def to_pil(self) -> Image.Image:
        """Make a Pillow image: RGB, or RGBA where the photo was transparent."""
        return Image.fromarray((np.asarray(self) * 255 + 0.5).astype(np.uint8))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return ``(H, W, 3)`` float32 in [0, 1]; four channels where the photo was transparent."""
        if copy is False:
            raise ValueError("the array of a result is always a copy")
        planes = self.pixels if self.alpha is None else torch.cat([self.pixels, self.alpha], 1)
        values = planes[0].permute(1, 2, 0).clamp(0, 1).contiguous().numpy()
        return np.array(values, dtype=dtype)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.save(buffer, format="png")
        return buffer.getvalue()

    def __repr__(self) -> str:
        height, width = self.pixels.shape[-2:]
        technique = self.recipe.get("technique", "picture")
        return f"<{type(self).__name__} of {technique}, {width}×{height} px>"


def resolution(
    device: Device,
    size: tuple[int, int],
    outcomes: Sequence[ScaleOutcome],
    memory_plan: MemoryPlan | None = None,
) -> dict[str, Any]:
    """Describe what a run chose itself, for the recipe."""
    memory_plan = memory_plan or MemoryPlan()
    return {
        "size": [size[1], size[0]],
        "device": device.name,
        "precision": device.precision,
        "threads": device.threads,
        "torch": str(torch.__version__),
        "engine": memory_plan.name,
        "tile_px": memory_plan.tile_px,
        "history": memory_plan.history,
        "scales": [[each.scale.width, each.scale.height, each.steps_done] for each in outcomes],
    }


def alpha_of(picture: Picture, size: tuple[int, int]) -> Tensor | None:
    """Resize the transparency of a picture to ``(1, 1, *size)``."""
    return None if picture.alpha is None else resize_clamped(picture.alpha, size)
