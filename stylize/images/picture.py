"""A picture as the rest of the program sees it, and how it is read."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from PIL import ImageFile
from torch import Tensor

from stylize.images.decoding import Raster, decode
from stylize.images.opening import opened, pixel_limit, printable

_MANY_FRAMES = {"GIF", "PNG", "WEBP", "AVIF"}


@dataclass(frozen=True)
class Picture:
    """A decoded picture: upright, sRGB, with its transparency set aside.

    Attributes:
        pixels: ``(1, 3, H, W)`` float32 RGB in [0, 1]; where the file is transparent, the mean of
            its visible colour shows through.
        alpha: ``(1, 1, H, W)`` float32 in [0, 1]; None when opaque everywhere.
        name: the file's name without its folders and without control characters.
        sha256: hexadecimal digest of the file's bytes.
        notes: what a user may want to know of how it was read.
    """

    pixels: Tensor
    alpha: Tensor | None
    name: str
    sha256: str
    notes: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @property
    def nbytes(self) -> int:
        """Memory of the pixels, with their transparency."""
        return self.pixels.nbytes + (0 if self.alpha is None else self.alpha.nbytes)


def read_picture(
    source: Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF or HEIC picture, told by its content.

    Args:
        source: a file, or a file's content.
        name: what to call it; by default the file's own name.
        max_pixels: refuse more pixels than this before decoding; by default the limit in force,
            see :func:`~stylize.images.set_pixel_limit`.

    Raises:
        PictureError: missing, unreadable, no picture, too large, damaged.
        MissingExtraError: the format needs a library that is not installed.
    """
    given = name if name is not None else "" if isinstance(source, bytes) else str(source)
    title = printable(given) or "the picture"
    notes: list[str] = []
    limit = pixel_limit() if max_pixels is None else max_pixels
    with opened(source, title=title, max_pixels=limit) as image:
        stream = cast(
            io.BufferedReader, image.fp
        )  # some readers let go of it once they have decoded
        notes.extend(_frame_notes(image))
        raster = decode(image, notes)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    pixels, alpha = _tensors(raster)
    return Picture(pixels, alpha, _base_name(given), digest, tuple(notes))


def _base_name(path: str) -> str:
    return printable(re.split(r"[/\\]", path)[-1]) or "picture"


def _frame_notes(image: ImageFile.ImageFile) -> list[str]:
    frames = getattr(image, "n_frames", 1)
    if frames < 2:
        return []
    if image.format in _MANY_FRAMES:
        return [f"animated, {frames} frames: took the first"]
    return [f"holds {frames} pictures: took the first"]


def _tensors(raster: Raster) -> tuple[Tensor, Tensor | None]:
    alpha = None if raster.alpha is None else torch.from_numpy(raster.alpha)[None, None]
    return torch.from_numpy(raster.colour)[None], alpha
