"""Write films as mp4 (H.264) with PyAV, and read the comment in one."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylize.errors import OutputError, PictureError
from stylize.extras import optional_module
from stylize.images.open import recognise

_BRANDS = {b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"avc1", b"mp41", b"mp42"}

_BT709, _LIMITED_RANGE = 1, 1  # of ITU-T H.273, and FFmpeg's AVCOL_RANGE_MPEG

# The format is known, and FFmpeg gets a stream so that it does not interpret a path as a protocol.
_CAUTIOUS = {"mode": "r", "format": "mp4", "metadata_errors": "replace"}

_LOOK_AHEAD = 10  # frames; x264's own 40 take twice the memory, for no smaller files


def pyav() -> Any:
    """Import PyAV, which is silent by default.

    Raises:
        MissingExtraError: it is not installed.
    """
    return optional_module("av", what="mp4", requirement="av")


def is_mp4(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a film, not AVIF or HEIC."""
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS and recognise(head) is None


def write_mp4(
    path: Path, pictures: Iterable[Image.Image], *, fps: float, recipe: str | None, quality: int
) -> None:
    """Encode a film.

    The last row or column is repeated where the number of pixels is odd, because colour is stored
    at half the resolution.

    Args:
        path: the file, absolute, so that FFmpeg does not see a protocol; overwritten.
        pictures: at least one, mode RGB, of equal size; taken one at a time.
        fps: frames per second.
        recipe: text of the ``comment``.
        quality: 1 to 100, for x264's constant rate factors from 40 to 15.

    Raises:
        OSError: the system refuses to write.
        OutputError: the encoder fails.
        MissingExtraError: PyAV is not installed.
    """
    av = pyav()
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
            if recipe is not None:
                film.metadata["comment"] = recipe
            _encode(av, film, pictures, Fraction(fps).limit_denominator(1001), 40 - quality / 4)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OutputError(f"the mp4 encoder failed: {error.strerror}") from error


def read_comment(source: Path | bytes, title: str) -> str | None:
    """Read the comment in an mp4 file, which is untrusted.

    Args:
        source: a file, or its content.
        title: the name of the film in error messages.

    Raises:
        PictureError: damaged.
        MissingExtraError: PyAV is not installed.
    """
    av = pyav()
    try:
        with _stream_of(source) as file, av.open(file, **_CAUTIOUS) as film:
            comment: str | None = film.metadata.get("comment")
            return comment
    except Exception as error:  # hostile bytes make a demuxer raise nearly every class there is
        raise PictureError(f"{title} is damaged or incomplete") from error


def _stream_of(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _encode(
    av: Any, film: Any, pictures: Iterable[Image.Image], rate: Fraction, crf: float
) -> None:
    stream = None
    for index, picture in enumerate(pictures):
        values = _even(np.asarray(picture))
        stream = stream or _stream(film, values, rate, crf)
        frame = av.VideoFrame.from_ndarray(values, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = index, 1 / rate
        film.mux(stream.encode(frame))
    if stream:
        film.mux(stream.encode())


def _stream(film: Any, values: NDArray[np.uint8], rate: Fraction, crf: float) -> Any:
    options = {"crf": f"{crf:g}", "rc-lookahead": str(_LOOK_AHEAD)}
    stream = film.add_stream("libx264", rate=rate, options=options)
    stream.height, stream.width = values.shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED_RANGE
    return stream


def _even(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column of ``(H, W, 3)`` where their number is odd."""
    height, width = values.shape[:2]
    return np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
