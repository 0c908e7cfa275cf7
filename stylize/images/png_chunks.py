"""Read PNG chunks that Pillow refuses or skips."""

# ruff: noqa: N802 (Pillow finds the methods by the names of the chunks)

from __future__ import annotations

import zlib
from collections.abc import Callable

from PIL import ImageFile, PngImagePlugin

_MOST_PROFILE_BYTES = 2**25


class PngChunks(PngImagePlugin.PngStream):
    """Pillow's reader of chunks, which skips large texts and reads large profiles.

    Pillow calls a file with more text than it wants to hold damaged.
    """

    def chunk_tEXt(self, pos: int, length: int) -> bytes:
        return self._unless_large(super().chunk_tEXt, pos, length)

    def chunk_zTXt(self, pos: int, length: int) -> bytes:
        return self._unless_large(super().chunk_zTXt, pos, length)

    def chunk_iTXt(self, pos: int, length: int) -> bytes:
        return self._unless_large(super().chunk_iTXt, pos, length)

    def chunk_iCCP(self, pos: int, length: int) -> bytes:
        data = self._unless_large(super().chunk_iCCP, pos, length)
        if "icc_profile" not in self.im_info:
            self.im_info["icc_profile"] = _inflated(data.partition(b"\0")[2][1:])
        return data

    def chunk_cICP(self, pos: int, length: int) -> bytes:
        data = self._data(pos, length)
        self.im_info["cicp"] = data
        return data

    def _unless_large(self, read: Callable[[int, int], bytes], pos: int, length: int) -> bytes:
        try:
            return read(pos, length)
        except ValueError:
            return self._data(pos, length)

    def _data(self, pos: int, length: int) -> bytes:
        assert self.fp is not None
        self.fp.seek(pos)
        return ImageFile._safe_read(self.fp, length)


def _inflated(data: bytes) -> bytes:
    """Decompress a large profile; one beyond all measure counts as unreadable."""
    inflate = zlib.decompressobj()
    profile = inflate.decompress(data, _MOST_PROFILE_BYTES)
    return b"too large" if inflate.unconsumed_tail else profile
