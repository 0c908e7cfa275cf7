"""What kind of file some bytes begin, whatever the file is called."""

from __future__ import annotations

READABLE = ("PNG", "JPEG", "WebP", "TIFF", "GIF", "BMP", "AVIF", "HEIC")
HEAD_BYTES = 64

_READABLE_MAGIC = (
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("JPEG", b"\xff\xd8\xff"),
    ("GIF", b"GIF87a"),
    ("GIF", b"GIF89a"),
    ("BMP", b"BM"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
    ("TIFF", b"II+\0"),
    ("TIFF", b"MM\0+"),
)

_FOREIGN_MAGIC = (
    ("a PDF document", b"%PDF"),
    ("a PostScript drawing", b"%!PS"),
    ("a PostScript drawing", b"\xc5\xd0\xd3\xc6"),
    ("a Photoshop document", b"8BPS"),
    ("an SVG drawing", b"<svg"),
    ("a JPEG XL picture", b"\xff\x0a"),
    ("a JPEG XL picture", b"\0\0\0\x0cJXL "),
    ("a JPEG 2000 picture", b"\0\0\0\x0cjP  "),
    ("an icon", b"\0\0\1\0"),
    ("an OpenEXR picture", b"v/1\1"),
    *(("a Netpbm picture", b"P%d\n" % kind) for kind in range(1, 8)),
)

_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def recognise(head: bytes) -> str | None:
    """The format of a picture that this program reads, or None.

    Args:
        head: the first :data:`HEAD_BYTES` bytes of a file, fewer if it is shorter.

    Returns:
        One of ``PNG JPEG WEBP TIFF GIF BMP AVIF HEIF``.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _recognise_brands(head)
    return next((name for name, magic in _READABLE_MAGIC if head.startswith(magic)), None)


def recognise_foreign(head: bytes) -> str | None:
    """What a file is that this program knows of but does not read: ``"a PDF document"``."""
    return next((what for what, magic in _FOREIGN_MAGIC if head.startswith(magic)), None)


def _recognise_brands(head: bytes) -> str | None:
    """AVIF and HEIC share one container; the brands in its first box tell them apart."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[start : start + 4] for start in (8, *range(16, length - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None
