"""A finished picture with everything that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from stylize.images import write_picture
from stylize.recipes import to_text


@dataclass(frozen=True)
class Painting:
    """The result of a technique.

    Attributes:
        pixels: ``(1, 3, H, W)`` float32 RGB in [0, 1], on the CPU.
        alpha: ``(1, 1, H, W)`` of the content picture, or None if it is opaque.
        recipe: the document that makes it again, see :mod:`stylize.recipes`.
        interrupted: whether the run was stopped; the picture is what there was.
    """

    pixels: Tensor
    alpha: Tensor | None
    recipe: dict[str, Any]
    interrupted: bool

    def save(
        self,
        target: str | Path | BinaryIO,
        *,
        format: str | None = None,
        depth: int = 8,
        quality: int = 95,
    ) -> None:
        """Write the picture with its recipe inside, see :func:`stylize.images.write_picture`.

        Raises:
            StylizeError: it cannot be written; an existing file is then untouched.
        """
        write_picture(
            Path(target) if isinstance(target, str) else target,
            self.pixels,
            alpha=self.alpha,
            recipe=to_text(self.recipe),
            format=format,
            depth=depth,
            quality=quality,
        )
