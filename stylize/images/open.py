"""Open image files: recognize the format by content, report every fault in one line. No torch."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import PIL

# Each plugin registers its format with Pillow when it is imported.
from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from stylize.errors import PictureError, SettingError, StylizeError, no_such_file
from stylize.extras import optional_module
from stylize.images import raw, tiff
from stylize.images.pipes import open_input
from stylize.images.png_chunks import PngChunks

DEFAULT_MAX_PIXELS = 80_000_000

HEAD_BYTES = 64

# Size limit for a picture from a pipe: four channels of 32 bits, plus metadata.
_MAX_BYTES_PER_PIXEL, _MAX_METADATA_BYTES = 16, 64 * 1024 * 1024

_BLOCK_BYTES = 1024 * 1024

# Formats that may store their size after the pixels.
_SIZE_ANYWHERE = ("TIFF", "AVIF", "HEIF", "raw")

READABLE = ("PNG", "JPEG", "WebP", "TIFF", "GIF", "BMP", "AVIF", "HEIC", "camera raw")

_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")

_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}

# Formats that people may try, so that the error can name them.
_FOREIGN_SIGNATURES = (
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

# The libraries log remarks on odd files. Without any handler Python would print them.
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

_limit = {"max_pixels": DEFAULT_MAX_PIXELS}

# Warning filters and Pillow's limit belong to the whole process: only one reader changes them.
_reading = threading.Lock()


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
    """Return the limit in force, in pixels."""
    return _limit["max_pixels"]


def printable(text: str) -> str:
    """Remove control characters and undecodable bytes, so that terminals and JSON can show it."""
    return "".join(character for character in text if character.isprintable())


@contextmanager
def opened(source: Path | bytes, *, title: str, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Open a picture without decoding it.

    Decode it within the block: an exception raised there becomes a :class:`PictureError`.

    Args:
        source: a file, or a file's content.
        title: the name of the picture in error messages.
        max_pixels: refuse more pixels than this, from the header alone.

    Yields:
        An image whose ``fp`` is seekable and stays open within the block.

    Raises:
        PictureError: missing, unreadable, no picture, too large, damaged.
        MissingExtraError: the format needs a library that is not installed.
    """
    with (
        _errors_as_ours(title, max_pixels),
        _stream(source, title) as stream,
        _quiet_pillow(),
    ):
        image = _open(stream, title)
        pixels = image.height * image.width
        if pixels > max_pixels:
            size = f": {image.width}×{image.height} = {_mp(pixels)}"
            raise _too_large(title, size, max_pixels)
        Image.MAX_IMAGE_PIXELS = max_pixels
        yield image


@contextmanager
def _stream(source: Path | bytes, title: str) -> Iterator[io.BufferedReader | io.BytesIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        file = open_input(source)
    except (OSError, ValueError) as error:
        raise _not_opened(source, title, error) from error
    with file:
        yield file if file.seekable() else io.BytesIO(read_stream(file, title))


def read_stream(stream: BinaryIO, title: str) -> bytes:
    """Read a picture from a pipe: its first bytes, and the rest only if they are of a picture.

    Args:
        stream: cannot be read twice.
        title: the name of the picture in error messages.

    Raises:
        PictureError: it is no picture, or too long for one of as many pixels as are allowed.
    """
    head = stream.read(HEAD_BYTES)
    looked = _recognised(head, title) in _SIZE_ANYWHERE
    most = _MAX_BYTES_PER_PIXEL * pixel_limit() + _MAX_METADATA_BYTES
    content = io.BytesIO()
    content.write(head)
    # In blocks, because one read would allocate memory for the whole limit.
    while block := stream.read(_BLOCK_BYTES):
        content.write(block)
        if not looked and content.tell() > _MAX_METADATA_BYTES:
            looked = True
            with opened(content.getvalue(), title=title, max_pixels=pixel_limit()) as image:
                if not getattr(image, "is_animated", False):
                    pixels = image.height * image.width
                    most = _MAX_BYTES_PER_PIXEL * pixels + _MAX_METADATA_BYTES
        if content.tell() > most:
            raise PictureError(
                f"{title} is too long: more than {most / 1e6:.0f} MB for a picture of its size",
                hint="save it to a file first",
            )
    return content.getvalue()


def _not_opened(source: Path, title: str, error: Exception) -> PictureError:
    if os.path.isdir(source):  # Windows reports that as a lack of permission
        return PictureError(
            f"{title} is a folder, not a picture",
            hint="name a picture in it; 'stylize batch' takes folders of photos",
        )
    match error:
        case FileNotFoundError():
            return no_such_file(title)
        case PermissionError():
            return PictureError(f"{title} cannot be read: permission denied")
    reason = getattr(error, "strerror", None) or printable(str(error))
    return PictureError(f"{title} cannot be read: {reason}")


def _open(stream: BinaryIO, title: str) -> ImageFile.ImageFile:
    head = stream.read(HEAD_BYTES)
    kind = _recognised(head, title)
    stream.seek(0)
    if kind == "raw" or (kind == "TIFF" and raw.is_raw(head, stream)):
        return raw.open_raw(stream, title)
    if kind == "TIFF":
        return tiff.opened_by_pillow(stream) or tiff.DeepTiff(cast(Any, stream))
    if kind == "HEIF":
        heif = optional_module(
            "pillow_heif", what="reading HEIC pictures", requirement="pillow-heif"
        )
        return cast(ImageFile.ImageFile, heif.HeifImageFile(stream))
    return Image.open(stream, formats=[kind])


def _recognised(head: bytes, title: str) -> str:
    """The kind of picture that these bytes begin.

    Raises:
        PictureError: it is empty, or of no kind that is read.
    """
    if not head:
        raise PictureError(f"{title} is empty (0 bytes)")
    if kind := "raw" if raw.is_raw_signature(head) else recognise(head):
        return kind
    if _is_video(head):
        raise PictureError(
            f"{title} is a video, not a picture",
            hint="paint it with 'stylize video', or save one of its frames as a picture",
        )
    foreign = recognise_foreign(head)
    what = f"{foreign}, which this program does not read" if foreign else None
    raise PictureError(
        f"{title} is {what or 'not a picture this program reads'}",
        hint=f"it reads {', '.join(READABLE)}",
    )


@cache
def _silence_libtiff() -> None:
    """Keep libtiff, with which Pillow decodes, from writing about damaged files to stderr."""
    loaded = {str(path) for path in Path(PIL.__file__).parent.glob(".dylibs/libtiff*")}
    with suppress(OSError):
        maps = Path("/proc/self/maps").read_text(errors="surrogateescape")
        loaded |= {path for path in re.findall(r"/.*", maps) if "/libtiff" in path}
    for path in loaded:
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(path)
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Suppress warnings, and switch Pillow's limits off: its errors do not name the size."""
    _silence_libtiff()
    with _reading, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, stream = Image.MAX_IMAGE_PIXELS, PngImagePlugin.PngStream
        Image.MAX_IMAGE_PIXELS = None
        PngImagePlugin.PngStream = PngChunks  # type: ignore[misc]
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
            PngImagePlugin.PngStream = stream  # type: ignore[misc]


@contextmanager
def _errors_as_ours(title: str, max_pixels: int) -> Iterator[None]:
    try:
        yield
    except StylizeError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(title, "", max_pixels) from error
    except MemoryError as error:
        raise PictureError(f"{title} does not fit in memory") from error
    except Exception as error:  # hostile bytes make the decoders raise nearly every class there is
        raise PictureError(f"{title} is damaged or incomplete") from error


def _too_large(title: str, size: str, max_pixels: int) -> PictureError:
    return PictureError(
        f"{title} is too large{size}, the limit is {_mp(max_pixels)}",
        hint="raise it with --max-input-pixels",
    )


def _mp(pixels: int) -> str:
    """Format megapixels: ``80 MP``, ``0.5 MP``; exact, so that 80.000001 shows."""
    return f"{pixels / 1e6:.12g} MP"


def recognise(head: bytes) -> str | None:
    """Recognise a picture that this program reads.

    Args:
        head: the first :data:`HEAD_BYTES` bytes of a file, fewer if it is shorter.

    Returns:
        One of ``PNG JPEG WEBP TIFF GIF BMP AVIF HEIF``, or None.
    """
    if head[4:8] == b"ftyp":
        return _recognise_brands(head)
    for name in _PILLOW_FORMATS:
        accepts = Image.OPEN[name][1]
        if accepts and accepts(head[:16]):
            return name
    return None


def recognise_foreign(head: bytes) -> str | None:
    """Name a known format that this program does not read, such as ``"a PDF document"``."""
    return next((what for what, magic in _FOREIGN_SIGNATURES if head.startswith(magic)), None)


def _is_video(head: bytes) -> bool:
    """Whether bytes that begin no picture begin an mp4, mov, Matroska, WebM or AVI file."""
    if head[4:8] == b"ftyp":
        return not head[8:12].startswith((b"M4A", b"M4B"))
    return (
        head[4:8] in (b"moov", b"mdat")
        or head.startswith(b"\x1aE\xdf\xa3")
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
    )


def _recognise_brands(head: bytes) -> str | None:
    """Tell AVIF from HEIC by the brands in the first box of their common container."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[start : start + 4] for start in (8, *range(16, length - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None
