from __future__ import annotations

import pytest

from stylize.images.open import recognise, recognise_foreign


def _ftyp(major: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible)
    return (len(body) + 4).to_bytes(4, "big") + body + b"\0\0\1\0meta" + b"avif"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WEBP"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"GIF89a", "GIF"),
        (b"BM....", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (_ftyp(b"avif", b"mif1"), "AVIF"),
        (_ftyp(b"mif1", b"avif", b"miaf"), "AVIF"),
        (_ftyp(b"heic", b"mif1"), "HEIF"),
        (_ftyp(b"mif1", b"heic"), "HEIF"),
        (_ftyp(b"isom", b"mp42"), None),
        (b"\xff\xff\xff\xffftyp", None),
        (b"plain text", None),
        (b"", None),
    ],
)
def test_recognise(head, kind):
    assert recognise(head) == kind


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"%!PS-Adobe-3.0 EPSF", "PostScript"),
        (b"%PDF-1.7", "PDF"),
        (b"P6\n2 2\n255\n", "Netpbm"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\0\0\0\x0cJXL \r\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
    ],
)
def test_known_foreigners(head, what):
    assert recognise(head) is None
    assert what in (recognise_foreign(head) or "")
    assert recognise_foreign(b"plain text") is None
