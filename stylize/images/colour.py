"""Colour profiles: whatever a file claims, the pixels leave here as sRGB."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image, ImageCms

_MODE_OF_SPACE = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}

# Bytes 24 to 36 of a profile hold its time of making: fixed, so that equal runs give equal files.
_DATE = slice(24, 36)
_FIXED_DATE = bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])  # 2000-01-01 00:00:00


@cache
def srgb_profile() -> bytes:
    """The ICC profile that goes into every picture we write; the same bytes in every run."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = _FIXED_DATE
    return bytes(profile)


def is_srgb(profile: bytes) -> bool:
    """Whether an ICC profile calls itself sRGB, so that applying it would only add rounding."""
    try:
        return _is_srgb(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError):
        return False


def in_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """A picture in mode RGB and sRGB colours.

    Args:
        image: mode L, RGB or CMYK, without transparency; its profile stands in its ``info``.
        notes: is told when the profile could not be followed.
    """
    profile = image.info.get("icc_profile")
    if profile:
        try:
            return _applied(image, profile)
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            notes.append("colour profile unreadable, taken as sRGB")
    elif image.mode == "CMYK":
        notes.append("CMYK without a colour profile, the colours are approximate")
    return image.convert("RGB")


def _applied(image: Image.Image, data: bytes) -> Image.Image:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    mode = _MODE_OF_SPACE.get(profile.profile.xcolor_space.strip())
    if mode == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if mode != image.mode:
        raise ValueError("the profile describes other channels than the picture has")
    if _is_srgb(profile):
        return image
    converted = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if converted is None:
        raise ValueError("the profile was not applied")
    return converted


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    description = profile.profile.profile_description or ""
    return profile.profile.xcolor_space.strip() == "RGB" and description.startswith("sRGB")
