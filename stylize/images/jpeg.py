"""JPEG files that end too early: whole but for the end marker, or damaged."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageFile, JpegImagePlugin

_END = b"\xff\xd9"

# What a decoder might find where a file ends. If it makes no difference, nothing was missing.
_CONTINUATIONS = (b"", b"\x55" * 64, b"\xab" * 64)

NO_END = "the JPEG has no end marker; all of its pixels are there"


def load(image: Image.Image, notes: list[str]) -> None:
    """Decode an opened picture of any format; a JPEG may lack its end marker, but no pixels.

    Args:
        image: opened; a :meth:`PIL.Image.Image.draft` is replaced by the full size where the end
            marker is missing.
        notes: receives a line in that case.

    Raises:
        OSError: pixels are missing.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        image.load()
        return
    stream = image.fp
    try:
        image.load()
    except OSError:
        whole = _completed(stream)
        if whole is None:
            raise
        image.tile = []
        image.im = whole.im
        vars(image).update(_size=whole.size, _mode=whole.mode)
        notes.append(NO_END)


def _completed(stream: Any) -> Image.Image | None:
    stream.seek(0)
    data = _without_padding(stream.read())
    versions: list[ImageFile.ImageFile] = []
    for continuation in _CONTINUATIONS:
        image: ImageFile.ImageFile = JpegImagePlugin.JpegImageFile(
            io.BytesIO(data + continuation + _END)
        )
        try:
            image.load()
        except OSError:
            return None
        if versions and image.tobytes() != versions[0].tobytes():
            return None
        versions = versions or [image]
    return versions[0]


def _without_padding(data: bytes) -> bytes:
    """Cut off zeros after the data, as a broken transfer leaves them, and half an end marker."""
    kept = data.rstrip(b"\0")
    if not kept.endswith(b"\xff"):
        return kept
    return kept + b"\0" if len(data) > len(kept) else kept[:-1]  # FF 00 stands for FF
