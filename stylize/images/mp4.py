"""Write mp4 and WebM files with PyAV, and read the comment in one."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylize.errors import MissingExtraError, OutputError, PictureError
from stylize.extras import optional_module
from stylize.images.open import recognise
from stylize.images.sound import Sound, Track

_BRANDS = {b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"avc1", b"mp41", b"mp42", b"av01"}

_EBML = b"\x1aE\xdf\xa3"  # of Matroska and WebM

_BT709, _LIMITED_RANGE = 1, 1  # of ITU-T H.273, and FFmpeg's AVCOL_RANGE_MPEG

# The format is known, and FFmpeg gets a stream so that it does not interpret a path as a protocol.
_CAUTIOUS = {"mode": "r", "metadata_errors": "replace"}

_LOOK_AHEAD = 10  # frames; x264's own 40 take twice the memory, for no smaller files

# Time stamps that are not regular are counted in this unit, as in MPEG.
_TICK_S = Fraction(1, 90_000)

# Of a frame rate; irregular times are farther from any.
_ROUNDING_S = Fraction(1, 2000)


@dataclass(frozen=True)
class _Encoder:
    """An encoder of FFmpeg.

    Attributes:
        name: in FFmpeg.
        worst, best: constant rate factors for the qualities 0 and 100.
        options: further options.
        even: whether both sides must be even.
        least_px: the smallest side that it takes.
    """

    name: str
    worst: float
    best: float
    options: dict[str, str]
    even: bool = True
    least_px: int = 16


_ENCODERS = {
    "h264": _Encoder("libx264", 40, 15, {"rc-lookahead": str(_LOOK_AHEAD)}),
    "h265": _Encoder("libx265", 42, 17, {"x265-params": "log-level=none"}, least_px=64),
    "av1": _Encoder("libsvtav1", 63, 20, {"preset": "8"}, least_px=64),
    "vp9": _Encoder("libvpx-vp9", 63, 15, {"b": "0", "cpu-used": "2", "row-mt": "1"}, even=False),
}

CODECS = tuple(_ENCODERS)

# What each container takes, the usual codec first.
CONTAINERS = {"mp4": ("h264", "h265", "av1"), "webm": ("vp9", "av1")}

# Players of Apple know H.265 by this name only.
_TAGS = {"h265": "hvc1"}


def pyav() -> Any:
    """Import PyAV, which is silent by default.

    Raises:
        MissingExtraError: it is not installed.
    """
    return optional_module("av", what="mp4", requirement="av")


def is_mp4(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a film, not AVIF or HEIC."""
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS and recognise(head) is None


def is_video(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is mp4, Matroska or WebM."""
    return is_mp4(head) or head.startswith(_EBML)


def check_codec(container: str, codec: str | None) -> str:
    """Return the codec for a container; the usual one if none is named.

    Raises:
        OutputError: the container does not take it, or this build of PyAV cannot encode it.
        MissingExtraError: PyAV is not installed.
    """
    taken = CONTAINERS[container]
    codec = codec or taken[0]
    if codec not in taken:
        raise OutputError(f"{container} files hold no {codec}", hint=f"use {' or '.join(taken)}")
    av = pyav()
    try:
        av.Codec(_ENCODERS[codec].name, "w")
    except ValueError as error:
        raise OutputError(
            f"this build of PyAV has no encoder for {codec}", hint="choose another --codec"
        ) from error
    return codec


def check_least_side(size: tuple[int, int], codec: str) -> None:
    """Check that frames are large enough for a codec.

    Raises:
        OutputError: they are not.
    """
    least = _ENCODERS[codec].least_px
    if min(size) < least:
        raise OutputError(f"{codec} needs at least {least} pixels a side", hint="use another codec")


def needs_even_sides(codec: str) -> bool:
    """Return whether a codec holds only even numbers of rows and columns."""
    return _ENCODERS[codec].even


def write_mp4(
    path: Path, pictures: Iterable[Image.Image], *, fps: float, recipe: str | None, quality: int
) -> None:
    """Encode a film without sound; see :func:`write_video`.

    Args:
        path: the file.
        pictures: at least one, mode RGB, of equal size; taken one at a time.
        fps: frames per second.
        recipe, quality: see :func:`write_video`.
    """
    rate = Fraction(fps).limit_denominator(1001)
    frames = ((np.asarray(each), index / rate) for index, each in enumerate(pictures))
    _write(path, frames, rate, "mp4", "h264", recipe=recipe, quality=quality, sound=None)


def write_video(
    path: Path,
    pictures: Iterable[Image.Image],
    times: Sequence[Fraction],
    *,
    container: str,
    codec: str,
    recipe: str | None,
    quality: int,
    sound: Sound | None = None,
) -> None:
    """Encode a clip.

    The last row or column is repeated where the number of pixels is odd and the codec stores colour
    at half the resolution in even sizes only.

    Args:
        path: the file, absolute, so that FFmpeg does not see a protocol; overwritten.
        pictures: at least one, mode RGB or, for vp9, RGBA, of equal size; taken one at a time.
        times: when each is shown, in s from 0 on, and the end of the last one.
        container, codec: see :data:`CONTAINERS`.
        recipe: text of the ``comment``.
        quality: 1 to 100.
        sound: of the same interval.

    Raises:
        OSError: the system refuses to write.
        OutputError: the encoder fails.
        MissingExtraError: PyAV is not installed.
    """
    frames = zip(map(np.asarray, pictures), times[:-1], strict=True)
    rate = frame_rate(times)
    _write(path, frames, rate, container, codec, recipe, quality, sound, end=times[-1])


def frame_rate(times: Sequence[Fraction]) -> Fraction | None:
    """Return the frame rate of regular times; None for irregular ones.

    Args:
        times: in s, at least two.
    """
    step = (times[-1] - times[0]) / (len(times) - 1)
    if step <= 0:
        return None
    rate = (1 / step).limit_denominator(1001)
    regular = all(
        abs(time - times[0] - index / rate) <= _ROUNDING_S for index, time in enumerate(times)
    )
    return rate if regular else None


def _write(
    path: Path,
    frames: Iterable[tuple[NDArray[np.uint8], Fraction]],
    rate: Fraction | None,
    container: str,
    codec: str,
    recipe: str | None,
    quality: int,
    sound: Sound | None,
    end: Fraction | None = None,
) -> None:
    av = pyav()
    options = {"movflags": "faststart"} if container == "mp4" else {}
    try:
        with av.open(str(path), "w", format=container, options=options) as film:
            if recipe is not None:
                film.metadata["comment"] = recipe
            _encode(av, film, frames, rate, codec, quality, sound, end)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OutputError(f"the {container} encoder failed: {error.strerror}") from error


def read_comment(source: Path | bytes, title: str) -> str | None:
    """Read the comment in an mp4 or WebM file, which is untrusted.

    Args:
        source: a file, or its content.
        title: the name of the film in error messages.

    Raises:
        PictureError: damaged.
        MissingExtraError: PyAV is not installed.
    """
    av = pyav()
    try:
        with _stream_of(source) as file:
            format = "matroska" if file.read(len(_EBML)) == _EBML else "mp4"
            file.seek(0)
            with av.open(file, format=format, **_CAUTIOUS) as film:
                names = {key.lower(): value for key, value in film.metadata.items()}
                comment: str | None = names.get("comment")
                return comment
    except MissingExtraError:
        raise
    except Exception as error:  # hostile bytes make a demuxer raise nearly every class there is
        raise PictureError(f"{title} is damaged or incomplete") from error


def _stream_of(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _encode(
    av: Any,
    film: Any,
    frames: Iterable[tuple[NDArray[np.uint8], Fraction]],
    rate: Fraction | None,
    codec: str,
    quality: int,
    sound: Sound | None,
    end: Fraction | None,
) -> None:
    stream, track = None, None
    lengths: dict[int, int] = {}
    unit = _TICK_S if rate is None else 1 / rate
    count = 0
    for values, time, duration in _with_durations(frames, unit, end):
        count += 1
        picture = _even(values) if _ENCODERS[codec].even else values
        if stream is None:
            stream = _stream(film, picture, rate, codec, quality)
            track = Track(av, film, sound) if sound else None
        if track:
            track.write_until(time)
        layout = "rgba" if picture.shape[2] == 4 else "rgb24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=layout)
        frame = frame.reformat(
            format=stream.pix_fmt, dst_colorspace="ITU709", dst_color_range=_LIMITED_RANGE
        )
        frame.pts, frame.time_base = round(time / unit), unit
        lengths[frame.pts] = max(1, round(duration / unit))
        film.mux(_lasting(stream.encode(frame), lengths))
    if stream:
        packets = _lasting(stream.encode(), lengths)
        if codec == "h265" and count <= 2:
            for packet in packets:  # libx265 leaves the time of decoding to chance
                packet.dts = packet.pts
        film.mux(packets)
    if track:
        track.close()


def _lasting(packets: list[Any], lengths: dict[int, int]) -> list[Any]:
    """Say how long each frame is shown; encoders do not pass it on."""
    for packet in packets:
        packet.duration = lengths.pop(packet.pts, packet.duration)
    return packets


def _with_durations(
    frames: Iterable[tuple[NDArray[np.uint8], Fraction]], unit: Fraction, end: Fraction | None
) -> Iterator[tuple[NDArray[np.uint8], Fraction, Fraction]]:
    """Add how long each frame is shown: until the next, the last until the end or for a unit."""
    before: tuple[NDArray[np.uint8], Fraction] | None = None
    for values, time in frames:
        if before is not None:
            yield *before, time - before[1]
        before = values, time
    if before is not None:
        yield *before, unit if end is None else end - before[1]


def _stream(
    film: Any, values: NDArray[np.uint8], rate: Fraction | None, codec: str, quality: int
) -> Any:
    encoder = _ENCODERS[codec]
    crf = encoder.worst + (encoder.best - encoder.worst) * quality / 100
    options = {"crf": f"{crf:g}" if encoder.name.startswith("libx") else f"{round(crf)}"}
    transparent = values.shape[2] == 4
    if transparent:
        options["auto-alt-ref"] = "0"  # which libvpx refuses together with transparency
    stream = film.add_stream(encoder.name, rate=rate or 30, options=options | encoder.options)
    stream.height, stream.width = values.shape[:2]
    stream.pix_fmt = "yuva420p" if transparent else "yuv420p"
    context = stream.codec_context
    # With several threads, equal frames once gave different bytes; the cause was not found.
    context.thread_count = 1
    if rate is None:
        context.time_base = _TICK_S
        # mp4 stores when frames are decoded; only in the order in which they are shown does that
        # also say how long the last one is shown.
        context.max_b_frames = 0
    if codec in _TAGS:
        context.codec_tag = _TAGS[codec]
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED_RANGE
    with _scheduling_kept():
        context.open(strict=False)
    return stream


@contextmanager
def _scheduling_kept() -> Iterator[None]:
    """Keep how the system schedules this thread.

    When run as root, SVT-AV1 gives the thread that opens it real-time priority, and threads that
    are started later inherit it. Those that compute would keep all others from running.
    """
    before = None
    with suppress(AttributeError, OSError):  # not Linux, or not allowed
        before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if before and (os.sched_getscheduler(0), os.sched_getparam(0)) != before:
            os.sched_setscheduler(0, *before)


def _even(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column of ``(H, W, C)`` where their number is odd."""
    height, width = values.shape[:2]
    return np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
