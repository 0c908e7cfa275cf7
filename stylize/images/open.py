"""Open image files: recognise the format by content, turn Pillow's errors into ours. No torch."""

from __future__ import annotations

import io
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from stylize.errors import PictureError, SettingError, StylizeError
from stylize.extras import optional_module

DEFAULT_MAX_PIXELS = 80_000_000

# Their remarks on odd files are for whoever configures logging; with no handler at all, Python
# would print them on the terminal.
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

_limit = {"max_pixels": DEFAULT_MAX_PIXELS}

# Warning filters and Pillow's limit belong to the whole process: one reader at a time bends them.
_reading = threading.Lock()

# The classes themselves, not Image.open: it refuses huge pictures before telling their size, and
# it would offer the bytes to readers outside this list.
_READERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

_OPEN_FAILURES: dict[type[Exception], str] = {
    FileNotFoundError: "does not exist",
    IsADirectoryError: "is a folder, not a picture",
    PermissionError: "cannot be read: permission denied",
}


def set_pixel_limit(max_pixels: int) -> None:
    """Set how many pixels a picture may have, here and in Pillow, for the rest of the process.

    Raises:
        SettingError: the limit is below one pixel.
    """
    if max_pixels < 1:
        raise SettingError(f"the pixel limit must be at least 1, not {max_pixels}")
    _limit["max_pixels"] = max_pixels
    Image.MAX_IMAGE_PIXELS = max_pixels


def pixel_limit() -> int:
    """The limit in force, in pixels."""
    return _limit["max_pixels"]


def printable(text: str) -> str:
    """``text`` without control characters and undecodable bytes, safe for terminals and JSON."""
    return "".join(character for character in text if character.isprintable())


@contextmanager
def opened(source: Path | bytes, *, title: str, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Open a picture without decoding it. Decode within the block, where failures are translated.

    Args:
        source: a file, or a file's content.
        title: how errors call it.
        max_pixels: refuse more pixels than this, from the header alone.

    Yields:
        An image whose ``fp`` is seekable and stays open within the block. A :class:`PictureError`
        raised there is a predicate (``"is striped"``) and gets the title as its subject.

    Raises:
        PictureError: missing, unreadable, no picture, too large, damaged.
        MissingExtraError: the format needs a library that is not installed.
    """
    with (
        _failures_told(title, max_pixels),
        _stream(source) as stream,
        _hushed_pillow(max_pixels),
    ):
        image = _reader(stream)(stream)
        pixels = image.height * image.width
        if pixels > max_pixels:
            raise _too_large(f": {image.width}×{image.height} = {_mp(pixels)}", max_pixels)
        yield image


@contextmanager
def _stream(source: Path | bytes) -> Iterator[io.BufferedReader | io.BytesIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        file = source.open("rb")
    except (OSError, ValueError) as error:
        # Windows calls opening a folder a lack of permission.
        kind = IsADirectoryError if os.path.isdir(source) else type(error)
        raise PictureError(_OPEN_FAILURES.get(kind) or _reason(error)) from error
    with file:
        yield file if file.seekable() else io.BytesIO(file.read())


def _reason(error: Exception) -> str:
    return f"cannot be read: {getattr(error, 'strerror', None) or printable(str(error))}"


def _reader(stream: BinaryIO) -> Callable[[BinaryIO], ImageFile.ImageFile]:
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if not head:
        raise PictureError("is empty (0 bytes)")
    kind = recognise(head)
    if kind == "HEIF":
        heif = optional_module("pillow_heif", what="HEIC pictures", extra="heif")
        return cast(Callable[[BinaryIO], ImageFile.ImageFile], heif.HeifImageFile)
    if kind:
        return _READERS[kind]
    foreign = recognise_foreign(head)
    what = f"{foreign}, which this program does not read" if foreign else None
    raise PictureError(
        f"is {what or 'not a picture this program reads'}",
        hint=f"it reads {', '.join(READABLE)}",
    )


@contextmanager
def _hushed_pillow(max_pixels: int) -> Iterator[None]:
    """Keep Pillow's warnings to ourselves and its own limit from acting below ours."""
    with _reading, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max(before or 0, max_pixels)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _failures_told(title: str, max_pixels: int) -> Iterator[None]:
    """Make a sentence about the file of whatever goes wrong; our own errors are its predicates."""
    try:
        yield
    except Exception as error:  # hostile bytes make the decoders raise nearly every class there is
        flaw = _flaw(error, max_pixels)
        if not isinstance(flaw, PictureError):
            raise
        raise PictureError(f"{title} {flaw.message}", hint=flaw.hint) from error


def _flaw(error: Exception, max_pixels: int) -> StylizeError:
    match error:
        case StylizeError():
            return error
        case Image.DecompressionBombError():
            return _too_large("", max_pixels)
        case MemoryError():
            return PictureError("does not fit in memory")
    return PictureError("is damaged or incomplete")


def _too_large(size: str, max_pixels: int) -> PictureError:
    return PictureError(
        f"is too large{size}, the limit is {_mp(max_pixels)}",
        hint="raise it with --max-input-pixels",
    )


def _mp(pixels: int) -> str:
    """Megapixels as people write them: ``80 MP``, ``0.5 MP``; exact, so that 80.000001 shows."""
    return f"{pixels / 1e6:.12g} MP"


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
