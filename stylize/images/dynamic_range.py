"""Say when a file's numbers are not meant for an ordinary screen: HDR curves, linear light."""

from __future__ import annotations

from typing import Any

from PIL import Image

# Transfer characteristics of ITU-T H.273, which PNG, AVIF, HEIF and ICC profiles share.
_MEANINGS = {
    8: "linear light",
    16: "HDR with the PQ curve",
    18: "HDR with the HLG curve",
}

_SEARCHED_BYTES = 2**16  # the description of an AVIF or HEIF picture comes first

_SRGB_GAMMA = 1 / 2.2


def dynamic_range_notes(image: Any) -> list[str]:
    """Describe what is unusual about the curve of an opened picture.

    Args:
        image: a Pillow image, not loaded; the position of its stream is kept.
    """
    transfer = _transfer(image)
    if transfer in _MEANINGS:
        return [
            f"{_MEANINGS[transfer]}, taken as sRGB: colours look wrong;"
            " convert it to sRGB in the program that made it"
        ]
    gamma = image.info.get("gamma")
    if (
        image.format == "PNG"
        and isinstance(gamma, float)
        and "srgb" not in image.info
        and not image.info.get("icc_profile")
        and abs(gamma - _SRGB_GAMMA) > 0.05
    ):
        return [f"the PNG declares gamma {gamma:.3g}: taken as sRGB"]
    return []


def _transfer(image: Image.Image) -> int | None:
    cicp = image.info.get("cicp")
    if isinstance(cicp, bytes) and len(cicp) == 4:
        return cicp[1]
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and (found := _of_profile(profile)) is not None:
        return found
    nclx = image.info.get("nclx_profile")
    if isinstance(nclx, dict):
        return int(nclx.get("transfer_characteristics", 0))
    return _of_boxes(image) if image.format == "AVIF" else None


def _of_profile(profile: bytes) -> int | None:
    """Read the tag cicp of an ICC profile of version 4.4."""
    count = min(int.from_bytes(profile[128:132], "big"), 100)
    for start in range(132, 132 + 12 * count, 12):
        if profile[start : start + 4] == b"cicp":
            offset = int.from_bytes(profile[start + 4 : start + 8], "big")
            data = profile[offset : offset + 12]
            return data[9] if len(data) == 12 else None
    return None


def _of_boxes(image: Any) -> int | None:
    """Read the transfer characteristics of an AVIF, which Pillow does not report."""
    position = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(_SEARCHED_BYTES)
    image.fp.seek(position)
    at = head.find(b"colrnclx")
    return int.from_bytes(head[at + 10 : at + 12], "big") if at >= 0 else None
