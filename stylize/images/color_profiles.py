"""Colour profiles: convert the pixels of any file to sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

from stylize.extras import optional_module

Converter = Callable[[Image.Image], Image.Image]

Colours = NDArray[Any]

DeepConverter = Callable[[Colours], Colours]

_MODE_OF_SPACE = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}

_CHANNELS_OF_SPACE = {"RGB": 3, "CMYK": 4, "GRAY": 1}

_ROUNDING = 1  # of 255

# Bytes 24 to 36 of a profile are its creation time, which is fixed so that files are reproducible.
_DATE = slice(24, 36)

_FIXED_DATE = bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])  # 2000-01-01 00:00:00


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile that every written picture contains, always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = _FIXED_DATE
    return bytes(profile)


@lru_cache(maxsize=16)
def is_srgb(profile: bytes) -> bool:
    """Return whether an ICC profile means sRGB, so that applying it would only add rounding.

    Its name proves nothing: there are linear profiles called sRGB.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space.strip() != "RGB":
            return False
        probe = _probe()
        difference = ImageChops.difference(probe, _transform(opened, "RGB").apply(probe))
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return False
    return int(np.asarray(difference).max()) <= _ROUNDING


@cache
def _probe() -> Image.Image:
    """All greys, and a grid of colours."""
    levels = (0, 32, 64, 96, 128, 160, 192, 224, 255)
    colours = [(level,) * 3 for level in range(256)] + [*product(levels, repeat=3)]
    probe = Image.new("RGB", (len(colours), 1))
    probe.putdata(colours)
    return probe


def in_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert a picture to mode RGB and sRGB colours, see :func:`srgb_converter`."""
    return srgb_converter(image.mode, image.info.get("icc_profile"), notes)(image)


def srgb_converter(mode: str, profile: bytes | None, notes: list[str]) -> Converter:
    """Make a function that converts a picture, or any part of it, to mode RGB in sRGB.

    Args:
        mode: L, RGB or CMYK, without transparency.
        profile: the file's ICC profile.
        notes: receives a line if the profile cannot be applied.
    """
    if profile:
        try:
            return _following(mode, profile)
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            notes.append("colour profile unreadable, taken as sRGB")
    elif mode == "CMYK":
        notes.append("CMYK without a colour profile, the colours are approximate")
    return _as_rgb


def _as_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _following(mode: str, data: bytes) -> Converter:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    described = _MODE_OF_SPACE.get(profile.profile.xcolor_space.strip(), "")
    through_rgb = described == "RGB" and mode == "L"
    if described != mode and not through_rgb:
        raise ValueError("the profile describes other channels than the picture has")
    if is_srgb(data):
        return _as_rgb
    transform = _transform(profile, described)
    return lambda image: transform.apply(_as_rgb(image) if through_rgb else image)


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def deep_converter(channels: int, profile: bytes | None, notes: list[str]) -> DeepConverter:
    """Make a function that converts colours of any depth to sRGB.

    Args:
        channels: 1 for grey, 3 for RGB, 4 for CMYK.
        profile: the file's ICC profile.
        notes: receives a line if the profile cannot be applied.

    Returns:
        From ``(h, w, channels)`` float32 to ``(h, w, 3)`` float32.

    Raises:
        MissingExtraError: imagecodecs is not installed and the profile is not sRGB.
    """
    if profile and not (channels == 3 and is_srgb(profile)):
        convert = _deep_following(channels, profile)
        if convert:
            return convert
        notes.append("colour profile unreadable, taken as sRGB")
    elif channels == 4:
        notes.append("CMYK without a colour profile, the colours are approximate")
    return _deep_as_rgb


def _deep_as_rgb(colours: Colours) -> Colours:
    if colours.shape[-1] == 4:
        return np.asarray((1 - colours[..., :3]) * (1 - colours[..., 3:]))
    return np.broadcast_to(colours, (*colours.shape[:2], 3))


def _deep_following(channels: int, data: bytes) -> DeepConverter | None:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = _CHANNELS_OF_SPACE.get(profile.profile.xcolor_space.strip(), 0)
        _transform(profile, {1: "L", 3: "RGB", 4: "CMYK"}.get(space, ""))
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    if space != channels and (space, channels) != (3, 1):
        return None
    codecs = optional_module(
        "imagecodecs", what="a colour profile above 8 bits", requirement="imagecodecs"
    )
    # With 16-bit integers, LittleCMS interpolates in a coarse table: errors of 10 levels of 255.
    kind = "uint16" if space == 4 else "float32"

    def convert(colours: Colours) -> Colours:
        if space != channels:
            colours = _deep_as_rgb(colours)
        if kind == "uint16":
            colours = (colours.clip(0, 1) * 65535 + 0.5).astype(np.uint16)
        converted = codecs.cms_transform(
            np.ascontiguousarray(colours[..., 0] if space == 1 else colours),
            data,
            srgb_profile(),
            colorspace={1: "gray", 3: "rgb", 4: "cmyk"}[space],
            outcolorspace="rgb",
            outdtype=kind,
            intent=int(ImageCms.Intent.RELATIVE_COLORIMETRIC),
            flags=int(ImageCms.Flags.BLACKPOINTCOMPENSATION),
        )
        scale = 65535 if kind == "uint16" else 1
        return np.asarray(np.divide(converted, scale, dtype=np.float32))

    return convert
