"""Leave margins and frames of style images out of a transfer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stylize.errors import RecipeError, SettingError
from stylize.images.crop import Crop
from stylize.images.frame import inside_frame
from stylize.images.read import Picture
from stylize.runs.session import Session
from stylize.settings.transfer import TransferSettings, parse_style_crop

# Crops of style images by SHA-256; None for the whole image.
Crops = Mapping[str, Crop | None]

_CROPS = "style_crops"  # in the resolved part of a recipe: by the first digits of the SHA-256

_DIGITS = 12


def cropped_style(
    style: Picture, settings: TransferSettings, session: Session, recorded: Crops | None = None
) -> Picture:
    """Return the part of a style image that a transfer uses.

    Args:
        style: the whole image.
        settings: ``style_crop`` decides.
        session: remembers what was found.
        recorded: what an earlier run found, for ``auto``.

    Raises:
        SettingError: the rectangle is not inside the image.
    """
    if settings.style_crop == "none":
        return style
    crop = parse_style_crop(settings.style_crop)
    if crop is None and recorded is not None and style.sha256 in recorded:
        crop = recorded[style.sha256]
    elif crop is None:
        crop = session.style_crop(style.sha256, lambda: inside_frame(style.pixels))
    if crop is None or crop == Crop.whole(style.size):
        return style
    require_inside(style, crop)
    return style.cropped(crop)


def require_inside(style: Picture, crop: Crop) -> None:
    """Check that a rectangle is part of a style image.

    Raises:
        SettingError: it is not.
    """
    if not crop.is_inside(style.size):
        height, width = style.size
        raise SettingError(
            f"--style-crop: {crop} is not inside {style.name}",
            hint=f"the picture is {width}x{height} px",
        )


def crop_notes(
    styles: Iterable[Picture], files: Iterable[Picture], settings: TransferSettings
) -> list[str]:
    """Say what was found and left out of style images.

    Args:
        styles: the parts that are used.
        files: the whole images, in the same order.
        settings: of the transfer.
    """
    if settings.style_crop != "auto":
        return []
    notes = [
        f"left out a frame of the style image {style.name}: {style.crop.left_out(file.size)};"
        " --style-crop none keeps it"
        for style, file in zip(styles, files, strict=True)
        if style.crop is not None
    ]
    return list(dict.fromkeys(notes))


def resolved_crops(styles: Iterable[Picture], settings: TransferSettings) -> dict[str, Any]:
    """Describe the crops for the resolved part of a recipe; empty if images are used whole."""
    if settings.style_crop == "none":
        return {}
    return {_CROPS: {s.sha256[:_DIGITS]: str(s.crop) for s in styles if s.crop is not None}}


def merged_crops(resolved: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The crops of several recipes, for the one of their contact sheet."""
    found = [each[_CROPS] for each in resolved if _CROPS in each]
    return {_CROPS: {key: crop for each in found for key, crop in each.items()}} if found else {}


def recorded_crops(recipe: Mapping[str, Any]) -> Crops | None:
    """Read what :func:`resolved_crops` wrote; None if a recipe does not say.

    Raises:
        RecipeError: it is damaged.
    """
    crops = recipe["resolved"].get(_CROPS)
    if crops is None:
        return None
    found = {}
    for each in recipe["inputs"]:
        sha256 = str(each.get("sha256"))
        text = crops.get(sha256[:_DIGITS]) if isinstance(crops, Mapping) else ""
        crop = Crop.parse(text) if isinstance(text, str) else None
        if text is not None and (crop is None or not crop.width or not crop.height):
            raise RecipeError("damaged recipe: an impossible crop of a style image")
        found[sha256] = crop
    return found
