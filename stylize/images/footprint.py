"""What reading and saving a picture take in memory, before it is done. Pure arithmetic, no torch.

The figures are those of Pillow's buffers and its encoders'; ``benchmarks/large_pictures.py``
measures them.
"""

from __future__ import annotations

# A band of rows in its several forms; with the filter and the compressor of a 16-bit PNG.
BAND_BYTES, DEEP_PNG_BYTES = 15e6, 36e6

_FLOAT = 4
_PILLOW_COLOUR = 4  # of a pixel, with or without alpha
# What an encoder holds beside the pixels that it is given, in bytes a pixel: coefficients and
# planes of its own, and for lossy formats some of what they come to.
_ENCODER = {"jpeg": 6.3, "webp": 10.9, "avif": 38.0}


def reading_bytes(
    size: tuple[int, int], *, channels: int = 3, bits: int = 8, format: str = "png"
) -> float:
    """Peak memory that :func:`~stylize.images.read_picture` adds, the picture itself included.

    Args:
        size: ``(height, width)`` in pixels.
        channels: of the file: 1 grey, 2 grey with alpha, 3 colour, 4 colour with alpha.
        bits: a channel in the file, 8 or 16.
        format: ``png jpeg webp avif tiff gif bmp``.
    """
    picture = _FLOAT * (4 if channels in (2, 4) else 3)
    if bits == 16 and (channels == 1 or format == "tiff"):
        raw = 2 * channels
    else:
        raw = 1 if channels == 1 else _PILLOW_COLOUR
    return BAND_BYTES + size[0] * size[1] * (picture + raw)


def saving_bytes(size: tuple[int, int], *, depth: int = 8, format: str = "png") -> float:
    """Peak memory that :func:`~stylize.images.write_picture` adds to the picture's own.

    Args:
        size: ``(height, width)`` in pixels.
        depth: bits a channel, 8 or 16.
        format: ``png jpeg webp avif tiff``.
    """
    if depth == 16:  # goes to the file as it is made
        return DEEP_PNG_BYTES if format == "png" else BAND_BYTES
    pixels = size[0] * size[1]
    encoder = _ENCODER.get(format, 0) * pixels
    return _PILLOW_COLOUR * pixels + max(BAND_BYTES, encoder)
