"""Requested sizes, and the size they give a picture. No torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from stylize.errors import SettingError

MAX_SIDE_PX = 100_000

_FORMS = "use 512 (long side), 640x480 (box), 12MP (area) or original"

_SIDE = re.compile(r"([0-9]{1,12})")

_BOX = re.compile(r"([0-9]{1,12})[x×]([0-9]{1,12})")

_AREA = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?|\.[0-9]{1,12})mp")


@dataclass(frozen=True)
class SizeSpec:
    """A requested size: one of three limits, or none for the picture's own size.

    Attributes:
        long_side_px: the longer side.
        box_px: ``(height, width)`` to fit inside.
        area_px: number of pixels.
    """

    long_side_px: int | None = None
    box_px: tuple[int, int] | None = None
    area_px: int | None = None

    @classmethod
    def parse(cls, text: str) -> SizeSpec:
        """Read ``512``, ``640x480`` (width first), ``12MP`` or ``original``, in any case.

        Raises:
            SettingError: another form, zero, or more than 100000 pixels per side.
        """
        word = text.strip().lower()
        if word == "original":
            return cls()
        if match := _SIDE.fullmatch(word):
            return cls(long_side_px=_side(match[1], text))
        if match := _BOX.fullmatch(word):
            return cls(box_px=(_side(match[2], text), _side(match[1], text)))
        if match := _AREA.fullmatch(word):
            return cls(area_px=_area(match[1], text))
        raise SettingError(f"no such size: '{text}'", hint=_FORMS)

    def __str__(self) -> str:
        """Write the canonical text, which :meth:`parse` reads back as the same size."""
        if self.long_side_px is not None:
            return str(self.long_side_px)
        if self.box_px is not None:
            height, width = self.box_px
            return f"{width}x{height}"
        if self.area_px is not None:
            return f"{(Decimal(self.area_px) / 1_000_000).normalize():f}MP"
        return "original"

    def fit(self, height: int, width: int, *, enlarge: bool = False) -> tuple[int, int]:
        """Compute the size for a picture of ``(height, width)`` pixels, with the same aspect ratio.

        Args:
            height, width: of the picture, at least 1.
            enlarge: also enlarge; otherwise a smaller picture keeps its size.

        Returns:
            ``(height, width)``, each rounded to the nearest and at least 1.
        """
        factor = self._factor(height, width)
        if factor == 1 or (factor > 1 and not enlarge):
            return height, width
        return _scaled(height, factor), _scaled(width, factor)

    def _factor(self, height: int, width: int) -> float:
        if self.long_side_px is not None:
            return self.long_side_px / max(height, width)
        if self.box_px is not None:
            return min(self.box_px[0] / height, self.box_px[1] / width)
        if self.area_px is not None:
            return math.sqrt(self.area_px / (height * width))
        return 1.0


def size_for_short_side(height: int, width: int, least_px: int) -> str:
    """Write the options that make the short side of a picture long enough: ``--size 640``.

    Args:
        height, width: of the picture, in pixels.
        least_px: the short side that is needed.
    """
    side = math.ceil(max(height, width) * least_px / min(height, width))
    return f"--size {side}" if min(height, width) >= least_px else f"--size {side} --enlarge"


def _scaled(side: int, factor: float) -> int:
    return max(1, math.floor(side * factor + 0.5))


def _side(digits: str, text: str) -> int:
    side = int(digits)
    if not 1 <= side <= MAX_SIDE_PX:
        raise SettingError(f"size '{text}': a side is 1 to {MAX_SIDE_PX} pixels")
    return side


def _area(megapixels: str, text: str) -> int:
    area = round(Decimal(megapixels) * 1_000_000)
    if not 1 <= area <= MAX_SIDE_PX**2:
        raise SettingError(f"size '{text}': an area is 0.000001 to {MAX_SIDE_PX**2 // 10**6} MP")
    return area
