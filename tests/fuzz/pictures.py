"""Intact pictures of all formats, depths and kinds of metadata, each of a few kilobytes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from stylize.images.png16 import chunk
from tests.conftest import photo, strokes


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """A file of the picture."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(mode: str = "RGB", side: int = 24) -> Image.Image:
    """A small picture of some mode."""
    levels = (photo(side, side + 8)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    image = Image.fromarray(levels)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(levels[..., 0]))
    return image.convert(mode)


def tiff(levels: np.ndarray, **options: Any) -> bytes:
    """A TIFF as tifffile writes it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels, **options)
    return buffer.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[274], exif[305] = 6, "camera"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0no recipe"
    exif.get_ifd(0x8825)[1] = "N"
    return exif


@cache
def pictures() -> list[bytes]:
    """All of them."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    unfit = profile[:16] + b"GRAY" + profile[20:]
    carried = {"icc_profile": profile, "exif": _exif()}
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * 300)
    text.add_text("Title", "b" * 4000, zip=True)
    text.add_itxt("stylize", '{"tool": "stylize"}')
    text.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    frames = [picture("P"), picture("P").rotate(90)]
    found = [
        encoded(picture(), "PNG", pnginfo=text, **carried),
        encoded(picture("P"), "PNG", transparency=3),
        encoded(picture("LA"), "PNG"),
        encoded(picture("1"), "PNG"),
        encoded(Image.fromarray(_deep()[..., 0]), "PNG", transparency=7),
        encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        _deep_png(),
        _interlaced_png(),
        encoded(picture(), "JPEG", xmp=xmp, comment=b"hello", **carried),
        encoded(picture("L"), "JPEG", progressive=True, icc_profile=unfit),
        encoded(picture("CMYK"), "JPEG", restart_marker_rows=1),
        encoded(picture(), "WEBP", xmp=xmp, **carried),
        encoded(picture("RGBA"), "WEBP", lossless=True),
        encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"stylize 1\n{"),
        encoded(picture(), "BMP"),
        encoded(picture("1"), "BMP"),
        encoded(picture("P"), "BMP"),
        encoded(picture(), "AVIF", xmp=xmp, **carried),
        encoded(picture("RGBA"), "AVIF"),
        _heif(picture("RGBA"), profile),
        *_tiffs(carried, xmp),
    ]
    assert all(len(each) < 20_000 for each in found)
    return found


def _deep(channels: int = 3) -> np.ndarray:
    ramp = np.linspace(0, 65535, 24 * 32 * channels).astype(np.uint16)
    return ramp.reshape(24, 32, channels)


def _deep_png() -> bytes:
    levels = _deep(4).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    header = (32).to_bytes(4, "big") + (24).to_bytes(4, "big") + bytes((16, 6, 0, 0, 0))
    parts = [chunk(b"IHDR", header), chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"sBIT", b"\x10" * 4)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [*parts, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def _interlaced_png() -> bytes:
    """Of one pixel, where Adam7 has one pass."""
    header = b"\0\0\0\x01" * 2 + bytes((8, 2, 0, 0, 1))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0abc")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _heif(image: Image.Image, profile: bytes) -> bytes:
    buffer = io.BytesIO()
    heif = pillow_heif.from_pillow(image)
    heif.save(buffer, exif=_exif().tobytes(), icc_profile=profile)
    return buffer.getvalue()


def _tiffs(carried: dict[str, Any], xmp: bytes) -> Iterator[bytes]:
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield encoded(picture(), "TIFF", compression=compression, **carried)
    yield encoded(picture("1"), "TIFF", compression="group4")
    yield encoded(picture("CMYK"), "TIFF")
    yield encoded(picture("P"), "TIFF")
    yield encoded(picture(), "TIFF", save_all=True, append_images=[picture("L")], big_tiff=True)
    yield encoded(picture().convert("F"), "TIFF")
    deep = _deep()
    yield tiff(deep, photometric="rgb", extratags=[(700, 1, len(xmp), xmp, True)])
    yield tiff(deep, photometric="rgb", compression="zlib", predictor=True, byteorder=">")
    yield tiff(deep, photometric="rgb", compression="lzw", predictor=True)
    yield tiff(deep.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate")
    yield tiff(_deep(4), photometric="rgb", extrasamples=["assocalpha"], tile=(16, 16))
    yield tiff(deep[..., 0], photometric="miniswhite", bigtiff=True)
    yield tiff((deep / 65535).astype(np.float32), photometric="rgb", compression="zstd")
    yield tiff((deep[..., 0] / 65535).astype(np.float16), photometric="minisblack")
    yield tiff((deep // 16)[..., 0].astype(np.uint16), photometric="minisblack", compression="zlib")


@cache
def photo_file() -> bytes:
    """An intact photo."""
    return encoded(picture(), "PNG")


@cache
def style_file() -> bytes:
    """An intact style image."""
    levels = (strokes(32, 32)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    return encoded(Image.fromarray(levels), "PNG")
