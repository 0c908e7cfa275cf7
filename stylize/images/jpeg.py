"""JPEG files that end too early: whole but for the end marker, or damaged.

libjpeg fills up what is missing with grey, and Pillow does not pass on its warning.
"""

from __future__ import annotations

import io
import itertools

from PIL import Image, JpegImagePlugin

_END = b"\xff\xd9"

# What a decoder might find where the pixels end. If it makes no difference, nothing was missing.
_CONTINUATIONS = (b"", b"\x55" * 64, b"\xab" * 64)

_HUFFMAN_CODED = {0xC0, 0xC1, 0xC2}

_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_SCAN = 0xDA

_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}

NO_END = "the JPEG has no end marker; all of its pixels are there"


def load(image: Image.Image, notes: list[str]) -> None:
    """Decode an opened picture of any format; a JPEG may lack its end marker, but no pixels.

    Args:
        image: opened; where the end marker is missing, the size asked for with
            :meth:`PIL.Image.Image.draft` is replaced by the full one.
        notes: receives a line in that case.

    Raises:
        OSError: pixels are missing.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        image.load()
        return
    assert image.fp is not None
    image.fp.seek(0)
    data = image.fp.read()
    frame, end = _layout(data)
    if data.startswith(_END, end):
        image.load()
        if frame in _HUFFMAN_CODED and not _is_complete(data[:end], draft=True):
            raise OSError("the JPEG ends before its pixels do")
        return
    data = _without_padding(data)
    if not _is_complete(data, draft=False):
        raise OSError("the JPEG ends before its pixels do")
    whole = _decoded(data + _END, draft=False)
    image.tile = []
    image.im = whole.im
    vars(image).update(_size=whole.size, _mode=whole.mode)
    notes.append(NO_END)


def _layout(data: bytes) -> tuple[int, int]:
    """Find the kind of frame, 0 if there is none, and where the end marker is or should be."""
    frame, at = 0, 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return frame, at if data.endswith(_END) and at == len(data) - 2 else len(data)
        marker = data[at + 1]
        if marker == _END[1]:
            return frame, at
        if marker in _WITHOUT_LENGTH or marker in (0x00, 0xFF):
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            frame = frame or marker
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _is_complete(data: bytes, *, draft: bool) -> bool:
    """Return whether the data hold all pixels, whatever comes after them.

    Args:
        data: a file up to where its end marker should be.
        draft: compare at half the size, which takes less time and finds all but fine detail.
    """
    continuations = _CONTINUATIONS[:2] if draft else _CONTINUATIONS
    versions = (_decoded(data + more + _END, draft=draft).tobytes() for more in continuations)
    return all(one == other for one, other in itertools.pairwise(versions))


def _decoded(data: bytes, *, draft: bool) -> Image.Image:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    if draft:
        image.draft(None, (max(1, image.width // 2), max(1, image.height // 2)))
    image.load()
    return image


def _without_padding(data: bytes) -> bytes:
    """Cut off zeros after the data, as a broken transfer leaves them, and half an end marker."""
    kept = data.rstrip(b"\0")
    if not kept.endswith(b"\xff"):
        return kept
    return kept + b"\0" if len(data) > len(kept) else kept[:-1]  # FF 00 stands for FF
