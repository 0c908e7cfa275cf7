"""Colour profiles: convert the pixels of any file to sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

from PIL import Image, ImageCms

Converter = Callable[[Image.Image], Image.Image]

_MODE_OF_SPACE = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}

# Bytes 24 to 36 of a profile are its creation time, which is fixed so that files are reproducible.
_DATE = slice(24, 36)

_FIXED_DATE = bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])  # 2000-01-01 00:00:00


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile that every written picture contains, always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = _FIXED_DATE
    return bytes(profile)


def is_srgb(profile: bytes) -> bool:
    """Return whether an ICC profile is sRGB, so that applying it would only add rounding."""
    try:
        return _is_srgb(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError):
        return False


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
    if _is_srgb(profile):
        return _as_rgb
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        described,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return lambda image: transform.apply(_as_rgb(image) if through_rgb else image)


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    description = profile.profile.profile_description or ""
    return profile.profile.xcolor_space.strip() == "RGB" and description.startswith("sRGB")
