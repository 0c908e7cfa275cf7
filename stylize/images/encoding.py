"""From rows of integers to the bytes of a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylize.errors import OutputError, SettingError
from stylize.images import deep_tiff, png16
from stylize.images.colour import srgb_profile
from stylize.images.metadata import KEYWORD, SOFTWARE, ascii_json, embed

FORMATS = ("png", "jpeg", "webp", "avif", "tiff")
DEEP_FORMATS = ("png", "tiff")
WITHOUT_ALPHA = ("jpeg",)

_SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".avif": "avif",
    ".tif": "tiff",
    ".tiff": "tiff",
}

_MAX_SIDE_PX = {"jpeg": 65_500, "webp": 16_383, "avif": 65_536}  # of the encoders in use


def format_of(path: Path) -> str:
    """The format that a file's suffix stands for.

    Raises:
        OutputError: it stands for none that can be written.
    """
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        what = f"suffix '{path.suffix}'" if path.suffix else "name without a suffix"
        raise OutputError(
            f"{path.name}: no picture format for a {what}", hint=f"use {' '.join(_SUFFIXES)}"
        )
    return format


def check_request(format: str, *, depth: int, quality: int) -> None:
    """Refuse what no encoder can do, before there is anything to encode.

    Raises:
        SettingError: unknown format, depth or quality, or a format that lacks the depth.
    """
    if format not in FORMATS:
        raise SettingError(f"no such picture format: '{format}'", hint=f"use {' '.join(FORMATS)}")
    if depth not in (8, 16):
        raise SettingError(f"the depth is 8 or 16 bits a channel, not {depth}")
    if depth == 16 and format not in DEEP_FORMATS:
        raise SettingError(
            f"{format} holds 8 bits a channel, not 16", hint=f"use {' or '.join(DEEP_FORMATS)}"
        )
    if not 1 <= quality <= 100:
        raise SettingError(f"the quality is 1 to 100, not {quality}")


def encode(
    values: NDArray[np.uint8 | np.uint16], format: str, *, recipe: str | None, quality: int
) -> bytes:
    """A picture file with an sRGB profile and its recipe.

    Args:
        values: ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA; uint16 for png and tiff only.
        format: one of :data:`FORMATS`; ``jpeg`` takes no alpha.
        recipe: JSON text of at most 16 kB.
        quality: 1 to 100, for the lossy formats.

    Raises:
        OutputError: the format cannot hold a picture of this size.
        MissingExtraError: the format needs a library that is not installed.
    """
    _check_sides(values, format)
    if values.dtype == np.uint16:
        return _encode_deep(values.astype(np.uint16, copy=False), format, recipe)
    buffer = io.BytesIO()
    try:
        Image.fromarray(values).save(
            buffer,
            format.upper(),
            icc_profile=srgb_profile(),
            **_options(format, quality),
            **embed(recipe, format),
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(f"the {format} encoder failed: {error}") from error
    return buffer.getvalue()


def _encode_deep(values: NDArray[np.uint16], format: str, recipe: str | None) -> bytes:
    if format == "tiff":
        description = None if recipe is None else ascii_json(recipe)
        return deep_tiff.encode(values, description=description, software=SOFTWARE)
    texts = {"Software": SOFTWARE} | ({} if recipe is None else {KEYWORD: recipe})
    return png16.encode(values, profile=srgb_profile(), texts=texts)


def _options(format: str, quality: int) -> dict[str, Any]:
    """4:4:4 wherever there is a choice: stylised pictures live on fine coloured strokes."""
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"quality": quality, "subsampling": 0, "optimize": True, "progressive": True},
        "webp": {"quality": quality},
        "avif": {"quality": quality, "subsampling": "4:4:4"},
        "tiff": {"compression": "tiff_adobe_deflate"},
    }
    return options.get(format, {})


def _check_sides(values: NDArray[Any], format: str) -> None:
    limit = _MAX_SIDE_PX.get(format)
    if limit and max(values.shape[:2]) > limit:
        height, width = values.shape[:2]
        raise OutputError(
            f"{format} holds at most {limit} pixels a side, the picture is {width}×{height}",
            hint="write png or tiff",
        )
