"""Rectangles of a picture, as ImageMagick writes them. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GEOMETRY = re.compile(r"([0-9]{1,6})[x×]([0-9]{1,6})\+([0-9]{1,6})\+([0-9]{1,6})")


@dataclass(frozen=True)
class Crop:
    """A rectangle of a picture, in px of the picture when it is upright.

    Attributes:
        left, top: its first column and row, from 0.
        width, height: its size.
    """

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Crop | None:
        """Read ``WxH+X+Y``, such as ``800x600+40+30``; None for any other text."""
        match = _GEOMETRY.fullmatch(text.strip().lower())
        if match is None:
            return None
        width, height, left, top = map(int, match.groups())
        return cls(left, top, width, height)

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Crop:
        """The whole of a picture of ``(height, width)``."""
        return cls(0, 0, size[1], size[0])

    def __str__(self) -> str:
        """Write the text that :meth:`parse` reads."""
        return f"{self.width}x{self.height}+{self.left}+{self.top}"

    def is_inside(self, size: tuple[int, int]) -> bool:
        """Return whether it is part of a picture of ``(height, width)``."""
        return self.left + self.width <= size[1] and self.top + self.height <= size[0]

    def left_out(self, size: tuple[int, int]) -> str:
        """Say what it leaves out of a picture of ``(height, width)``: ``40 px on the left``."""
        places = {
            "on the left": self.left,
            "on the right": size[1] - self.left - self.width,
            "at the top": self.top,
            "at the bottom": size[0] - self.top - self.height,
        }
        return ", ".join(f"{px} px {place}" for place, px in places.items() if px)
