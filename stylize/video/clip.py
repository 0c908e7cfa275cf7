"""Read clips: video files, animations, and folders or patterns of frames.

Every frame is upright, in sRGB, with square pixels and 8 bits per channel.
"""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from stylize.errors import PictureError, SettingError, StylizeError
from stylize.extras import optional_module
from stylize.images.find import Found, collect
from stylize.images.open import HEAD_BYTES, opened, pixel_limit, printable, recognise
from stylize.images.raw import is_raw_signature
from stylize.images.read import read_picture
from stylize.images.sound import Sound, codec_of, seek, sound_stream
from stylize.runs.inputs import digest, digest_of
from stylize.video.dynamic_range import to_screen

Pixels = NDArray[np.uint8]

_MIN_FPS, _MAX_FPS = Fraction(1, 10), 240

FOLDER_FPS = 25  # of frames in a folder, which have no times

# Players take shorter delays of animations for a tenth of a second.
_LEAST_DELAY_MS, _DEFAULT_DELAY_MS = 11, 100

# FFmpeg's names of the containers, by what files begin with.
_MOV_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot"}
_EBML = b"\x1aE\xdf\xa3"

READABLE = "mp4, mov, mkv, webm, avi, animated GIF, WebP and APNG, and folders of frames"

# Values of ITU-T H.273.
_UNKNOWN, _BT709, _BT601, _BT2020 = 2, 1, (5, 6), (9, 10)
_HDR = {16: "PQ", 18: "HLG"}
# Pictures without a stated matrix follow BT.709 from so many rows on.
_HD_ROWS = 720

# A file that ends so much earlier than it says is incomplete.
_MISSING_S = Fraction(1, 4)

_FETCH_AGAIN = "download or export it again"

_NUMBER = re.compile(r"(\d+)(?=\D*$)")


@dataclass(frozen=True)
class Cut:
    """The part of a clip that is wanted, in s from its beginning.

    Attributes:
        start, end: of the interval.
        fps: frames per second, taken at regular times; None for the frames as they are.
    """

    start: Fraction | None = None
    end: Fraction | None = None
    fps: Fraction | None = None

    def check(self) -> None:
        """Check that the interval and the frame rate make sense.

        Raises:
            SettingError: they do not.
        """
        if self.fps is not None and not _MIN_FPS <= self.fps <= _MAX_FPS:
            raise SettingError(
                f"--fps: {float(self.fps):g} is no frame rate", hint="write 0.1 to 240"
            )
        if self.start is not None and self.start < 0:
            raise SettingError("--start is before the clip", hint="0 is its beginning")
        if self.end is not None and self.end <= (self.start or 0):
            raise SettingError("--end is not after --start", hint="both count from the beginning")


@dataclass(frozen=True)
class Frame:
    """A frame of a clip.

    Attributes:
        pixels: ``(H, W, 3)``, or 4 channels where the clip is transparent.
        time: when it is shown, in s from the beginning of the clip.
        name: of its file; empty for a frame of a file with all frames.
    """

    pixels: Pixels
    time: Fraction
    name: str = ""


@dataclass(frozen=True)
class Outline:
    """What a clip says about itself before its frames are decoded.

    Attributes:
        size: ``(height, width)`` as shown.
        times: when each frame is shown, in s from 0 on, and the end of the last one.
        transparent: whether frames may be transparent.
        sound: the codec of the sound; None for none.
        names: of the files of its frames; none for a file with all frames.
        notes: what a user may want to know.
    """

    size: tuple[int, int]
    times: Sequence[Fraction]
    transparent: bool = False
    sound: str | None = None
    names: Sequence[str] = ()
    notes: Sequence[str] = ()


class Clip(ABC):
    """A clip that can be read again and again.

    Attributes:
        path: the file; the folder of the first frame where there are several files.
        name: what to call it.
        outline: what it says about itself.
    """

    path: Path
    name: str
    outline: Outline

    @property
    def files(self) -> list[Path]:
        """All its files."""
        return [self.path]

    @abstractmethod
    def frames(self, start: Fraction | None = None) -> Iterator[Frame]:
        """Decode the frames from the one shown at ``start`` on, or a little earlier."""

    @abstractmethod
    def sha256(self) -> str:
        """Hash the content of all files."""

    def sound(self, start: Fraction | None, end: Fraction | None) -> Sound | None:
        """The sound of an interval, in s from the first frame; None for none."""
        return None


def cut_frames(
    frames: Iterable[Frame], cut: Cut, end: Fraction
) -> Iterator[tuple[Frame, Fraction]]:
    """Choose the frames of a cut, each with the time when it is shown.

    Args:
        frames: of the clip, in order.
        cut: the wanted part.
        end: of the whole clip.
    """
    last = min(end, cut.end) if cut.end is not None else end
    ticks = 0
    for frame, until in _with_ends(frames, end):
        if cut.fps is None:
            if (cut.start is None or frame.time >= cut.start) and frame.time < last:
                yield frame, frame.time
            continue
        begin = cut.start or Fraction(0)
        while (tick := begin + ticks / cut.fps) < min(until, last):
            if tick > frame.time - 1 / cut.fps:  # the first frame may come late
                yield frame, tick
            ticks += 1


def _with_ends(frames: Iterable[Frame], end: Fraction) -> Iterator[tuple[Frame, Fraction]]:
    before: Frame | None = None
    for frame in frames:
        if before is not None:
            yield before, frame.time
        before = frame
    if before is not None:
        yield before, max(end, before.time)


def cut_times(times: Sequence[Fraction], cut: Cut) -> list[Fraction]:
    """The times of the frames of a cut, and the end of the last one; empty if there are none."""
    nothing = np.empty((0, 0, 3), np.uint8)
    frames = (Frame(nothing, time) for time in times[:-1])
    chosen = [time for _, time in cut_frames(frames, cut, times[-1])]
    if not chosen:
        return []
    end = times[-1] if cut.end is None else min(times[-1], cut.end)
    return [*chosen, end]


def open_clip(source: str, output: Path, *, name: str | None = None) -> Clip:
    """Open a clip, whatever it is.

    Args:
        source: a file, a folder or a pattern.
        output: never searched for frames.
        name: of a file, in recipes and messages; by default its own.

    Raises:
        PictureError: it is no clip, or damaged.
        MissingExtraError: PyAV is needed and not installed.
    """
    if not os.path.isfile(source):
        return FrameFiles(source, output)
    path = Path(source)
    format = container_of(path)
    return VideoFile(path, format, name) if format else Animation(path, name)


def is_clip(source: str) -> bool:
    """Whether a source is a clip, not a still picture."""
    if os.path.isdir(source):
        return True
    if not os.path.isfile(source):
        return any(letter in source for letter in "*?[")
    try:
        if container_of(Path(source)):
            return True
        with opened(Path(source), title=source, max_pixels=pixel_limit()) as image:
            return bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    except StylizeError:
        return False


def container_of(path: Path) -> str | None:
    """FFmpeg's name of the container of a video file; None for another kind of file.

    Raises:
        PictureError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PictureError(f"{printable(str(path))} cannot be read: {reason}") from error
    if head.startswith(_EBML):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    still = is_raw_signature(head) or recognise(head) is not None  # in the container of videos
    return "mov" if head[4:8] in _MOV_BOXES and not still else None


class VideoFile(Clip):
    """A file that PyAV reads.

    Args:
        path: the file.
        format: FFmpeg's name of its container, so that no other is tried.
        name: in recipes and messages; by default that of the file.

    Raises:
        PictureError: damaged, or without pictures.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, path: Path, format: str, name: str | None = None) -> None:
        self.path, self.name, self._format = path, printable(name or path.name), format
        self._title = printable(name or str(path))
        self._av = optional_module("av", what="reading videos", requirement="av")
        with self._opened() as container:
            stream = self._stream(container)
            self._rows = stream.height
            self._origin, self._length = self._measure(container, stream)
            first, notes = self._first(container, stream)
            times = self._times(container, stream)
            sound = sound_stream(container)
            if sound is None and container.streams.audio:
                notes.append("the sound is left out: PyAV does not know its codec")
            self.outline = Outline(
                first.pixels.shape[:2],
                times,
                transparent=first.pixels.shape[2] == 4,
                sound=None if sound is None else codec_of(sound),
                notes=notes,
            )

    def sha256(self) -> str:
        return digest(self.path)

    def sound(self, start: Fraction | None, end: Fraction | None) -> Sound | None:
        if self.outline.sound is None:
            return None
        return Sound(
            self.path,
            self._format,
            None if start is None or start <= 0 else self._origin + start,
            None if end is None else self._origin + end,
            self._origin + (start or 0),
        )

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The container; whatever goes wrong inside becomes a line."""
        try:
            with self.path.open("rb") as file, self._container(file) as container:
                yield container
        except StylizeError:
            raise
        except MemoryError:
            raise PictureError(f"{self._title} does not fit in memory") from None
        except Exception as error:  # hostile bytes make a demuxer raise nearly every class
            raise PictureError(
                f"{self._title} is damaged or incomplete", hint=_FETCH_AGAIN
            ) from error

    def _container(self, file: BinaryIO) -> Any:
        return self._av.open(file, "r", format=self._format, metadata_errors="replace")

    def _stream(self, container: Any) -> Any:
        pictures = [
            each
            for each in container.streams.video
            if not each.disposition & self._av.stream.Disposition.attached_pic
        ]
        if not pictures:
            what = "only sound" if container.streams.audio else "no video"
            raise PictureError(f"{self._title} holds {what}", hint="name a file with a video")
        stream = pictures[0]
        if stream.codec_context is None:
            raise PictureError(
                f"{self._title} has a codec that this build of PyAV does not read",
                hint="convert it to H.264 first",
            )
        if stream.width * stream.height > pixel_limit():
            raise PictureError(
                f"{self._title} is too large: {stream.width}×{stream.height}",
                hint="raise the limit with --max-input-pixels",
            )
        stream.thread_type = "AUTO"
        return stream

    def _measure(self, container: Any, stream: Any) -> tuple[Fraction, Fraction | None]:
        """Time of the first frame in the file, and the length that the file claims, in s."""
        origin = Fraction(0)
        if stream.start_time is not None:
            origin = stream.start_time * stream.time_base
        if stream.duration is not None:
            return origin, stream.duration * stream.time_base
        if container.duration is not None:  # Matroska counts it from 0, not from the first frame
            length = Fraction(container.duration, self._av.time_base)
            return origin, length - max(origin, Fraction(0))
        return origin, None

    def _first(self, container: Any, stream: Any) -> tuple[Frame, list[str]]:
        notes: list[str] = []
        for raw in self._decoded(container, stream):
            frame = next(iter(self._finished([(raw, Fraction(0))], stream, notes)), None)
            if frame is not None:
                return frame, notes
        raise PictureError(f"{self._title} holds no frames", hint=_FETCH_AGAIN)

    def _times(self, container: Any, stream: Any) -> list[Fraction]:
        """When each frame is shown, from the file's index, without decoding."""
        container.seek(0)
        found: list[int | None] = []
        last, length, reached = -math.inf, Fraction(0), Fraction(0)
        for packet in container.demux([*container.streams.audio, stream]):
            stamp = packet.pts if packet.pts is not None else packet.dts
            duration = (packet.duration or 0) * packet.time_base
            if stamp is not None:
                reached = max(reached, stamp * packet.time_base + duration - self._origin)
            if packet.stream is stream and packet.size and not packet.is_discard:
                found.append(stamp)
                if stamp is None or stamp > last:  # the last frame shown comes before others
                    last = last if stamp is None else stamp
                    length = duration
        step = 1 / Fraction(stream.average_rate or stream.guessed_rate or FOLDER_FPS)
        stamps = sorted({stamp for stamp in found if stamp is not None})
        if len(stamps) < len(found):
            times = [index * step for index in range(len(found))]
        else:
            times = [stamp * stream.time_base - self._origin for stamp in stamps]
            times = [time for time in times if time >= 0] or times
        if not times:
            raise PictureError(f"{self._title} holds no frames", hint=_FETCH_AGAIN)
        if self._format == "avi":  # has no time stamps, only one frame after the other
            times = [time - times[0] for time in times]
            self._require_all_bytes()
        times.append(times[-1] + (length or step))
        self._require_whole(max(reached, times[-1]), 2 * step)
        return times

    def _require_whole(self, reached: Fraction, step: Fraction) -> None:
        """Refuse a file that ends before it should."""
        length = self._length
        if length is not None and reached < length - max(_MISSING_S, step, length / 50):
            raise PictureError(
                f"{self._title} is incomplete: it ends at {float(reached):.2f} s of"
                f" {float(length):.2f} s",
                hint=_FETCH_AGAIN,
            )

    def _require_all_bytes(self) -> None:
        """Refuse an AVI that is shorter than its head says; FFmpeg then guesses its length."""
        with self.path.open("rb") as file:
            claimed = int.from_bytes(file.read(8)[4:], "little")
        size = self.path.stat().st_size - 8
        if size < claimed < 0xFFFF_FFFF:  # which is written for an unknown size
            raise PictureError(
                f"{self._title} is incomplete: it has {size:,} of {claimed:,} bytes",
                hint=_FETCH_AGAIN,
            )

    def frames(self, start: Fraction | None = None) -> Iterator[Frame]:
        with self._opened() as container:
            stream = self._stream(container)
            if self._format == "avi":
                # What the decoder says about H.264 is in the order of the file.
                timed = zip(self._decoded(container, stream), self.outline.times, strict=False)
                yield from self._finished(timed, stream, [])
                return
            if start is not None and start > 0:
                seek(container, stream, self._origin + start)
            yield from self._finished(self._timed(container, stream), stream, [])

    def _timed(self, container: Any, stream: Any) -> Iterator[tuple[Any, Fraction]]:
        step = 1 / Fraction(stream.average_rate or stream.guessed_rate or FOLDER_FPS)
        before = -step
        for raw in self._decoded(container, stream):
            stamp = raw.pts if raw.pts is not None else raw.dts
            time = before + step if stamp is None else stamp * raw.time_base - self._origin
            if time <= before and before >= 0:
                time = before + step
            before = time
            if time >= 0:
                yield raw, time

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        decoder = self._decoder_with_alpha(stream)
        if decoder is None:
            yield from container.decode(stream)
            return
        for packet in container.demux(stream):
            for raw in decoder.decode(packet if packet.size else None):
                raw.time_base = stream.time_base
                yield raw

    def _decoder_with_alpha(self, stream: Any) -> Any:
        """The decoder of transparent VP8 and VP9, which FFmpeg's own does not know."""
        names = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
        mode = {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode")
        if mode != "1" or codec_of(stream) not in names:
            return None
        try:
            return self._av.CodecContext.create(names[codec_of(stream)], "r")
        except ValueError:  # not in this build
            return None

    def _finished(
        self, raws: Iterable[tuple[Any, Fraction]], stream: Any, notes: list[str]
    ) -> Iterator[Frame]:
        def noted() -> Iterator[tuple[Any, Fraction]]:
            for raw, time in raws:
                if not notes:
                    notes.extend(self._notes(raw, stream))
                yield raw, time

        for raw, time in _Fields(self._av).merged(noted()):
            yield Frame(self._pixels(raw, stream), time)

    def _notes(self, raw: Any, stream: Any) -> list[str]:
        notes = []
        if raw.interlaced_frame:
            notes.append("interlaced: the two fields of each frame are merged")
        if raw.color_trc in _HDR:
            notes.append(f"HDR ({_HDR[raw.color_trc]}): mapped to an ordinary screen")
        elif max(each.bits for each in raw.format.components) > 8:
            notes.append("more than 8 bits per channel: painted at 8")
        aspect = stream.sample_aspect_ratio
        if aspect and aspect != 1:
            notes.append(f"pixels of {aspect.numerator}:{aspect.denominator} become square")
        return notes

    def _pixels(self, raw: Any, stream: Any) -> Pixels:
        matrix = raw.colorspace
        if matrix == _UNKNOWN:
            matrix = _BT709 if self._rows >= _HD_ROWS else _BT601[1]
        alpha = any(each.is_alpha for each in raw.format.components)
        curve = _HDR.get(raw.color_trc)
        layout = "rgb48le" if curve else "rgba" if alpha else "rgb24"
        # A number names a row of FFmpeg's table of matrices; 0 is for RGB, which needs none.
        known = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M"}
        named = "BT2020" if matrix in _BT2020 else known.get(matrix, "ITU601")
        shown = raw.reformat(
            format=layout,
            src_colorspace=named,
            src_color_range=raw.color_range or 1,
            dst_color_range="JPEG",
            interpolation="BICUBIC",
        )
        pixels = shown.to_ndarray()
        if curve:
            pixels = to_screen(pixels, curve)
        return self._upright(pixels, raw, stream)

    def _upright(self, pixels: Pixels, raw: Any, stream: Any) -> Pixels:
        """Turn and mirror a frame as its display matrix says."""
        matrix = raw.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return _squared(pixels, stream.sample_aspect_ratio)
        # Where the axes of the frame point on the screen: x right and y down.
        (x_right, x_down), (y_right, y_down) = np.frombuffer(matrix, "i4").reshape(3, 3)[:2, :2]
        aspect = stream.sample_aspect_ratio
        if abs(int(x_down)) > abs(int(x_right)):
            pixels, aspect = pixels.swapaxes(0, 1), 1 / aspect if aspect else aspect
            x_right, y_down = y_right, x_down
        pixels = pixels[:: -1 if y_down < 0 else 1, :: -1 if x_right < 0 else 1]
        return _squared(pixels, aspect)


def _squared(pixels: Pixels, aspect: Fraction | None) -> Pixels:
    """Stretch pixels that are not square; the picture keeps its larger side or grows."""
    if not aspect or aspect == 1:
        return np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, _LANCZOS))


_LANCZOS = Image.Resampling.LANCZOS


class _Fields:
    """Merges the two fields of interlaced frames."""

    def __init__(self, av: Any) -> None:
        self._av = av

    def merged(self, raws: Iterable[tuple[Any, Fraction]]) -> Iterator[tuple[Any, Fraction]]:
        """The frames, whole; those that are not interlaced stay as they are."""
        graph, waiting = None, []
        for raw, time in raws:
            if graph is None and not raw.interlaced_frame:
                yield raw, time
                continue
            graph = graph or self._graph(raw)
            waiting.append(time)
            graph.push(raw)
            yield from self._ready(graph, waiting)
        if graph is not None:
            graph.push(None)
            yield from self._ready(graph, waiting)

    def _graph(self, raw: Any) -> Any:
        graph = self._av.filter.Graph()
        source = graph.add_buffer(
            width=raw.width, height=raw.height, format=raw.format, time_base=raw.time_base
        )
        graph.link_nodes(
            source,
            graph.add("bwdif", mode="send_frame", deint="interlaced"),
            graph.add("buffersink"),
        ).configure()
        return graph

    def _ready(self, graph: Any, waiting: list[Fraction]) -> Iterator[tuple[Any, Fraction]]:
        while waiting:
            try:
                frame = graph.pull()
            except (self._av.error.BlockingIOError, self._av.error.EOFError):
                return
            yield frame, waiting.pop(0)


class Animation(Clip):
    """An animated picture: GIF, WebP, APNG or AVIF; a still picture is a clip of one frame.

    Args:
        path: the file.
        name: in recipes and messages; by default that of the file.

    Raises:
        PictureError: it cannot be read.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path, self.name = path, printable(name or path.name)
        self._title = printable(name or str(path))
        times, transparent, size = [Fraction(0)], False, (1, 1)
        for image in self._images():
            size = (image.height, image.width)
            transparent = transparent or _is_transparent(image)
            delay = round(image.info.get("duration", _DEFAULT_DELAY_MS))
            delay = delay if delay >= _LEAST_DELAY_MS else _DEFAULT_DELAY_MS
            times.append(times[-1] + Fraction(delay, 1000))
        self.outline = Outline(size, times, transparent)

    def sha256(self) -> str:
        return digest(self.path)

    def frames(self, start: Fraction | None = None) -> Iterator[Frame]:
        mode = "RGBA" if self.outline.transparent else "RGB"
        for image, time in zip(self._images(), self.outline.times, strict=False):
            yield Frame(np.asarray(image.convert(mode)), time)

    def _images(self) -> Iterator[Image.Image]:
        try:
            with opened(self.path, title=self._title, max_pixels=pixel_limit()) as image:
                # The picture for programs without animations may be no part of this one.
                first = int(getattr(image, "default_image", False))
                for each in islice(ImageSequence.Iterator(image), first, None):
                    each.load()
                    yield each
        except PictureError as error:
            if "not a picture" not in error.message:
                raise
            message = error.message.replace("not a picture", "not a clip")
            raise PictureError(message, hint=f"it reads {READABLE}") from error


def _is_transparent(image: Image.Image) -> bool:
    """Whether some pixel is not opaque."""
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA"))[..., 3].min() < 255)


def _is_transparent_file(path: Path) -> bool:
    """Whether some pixel of a picture is not opaque."""
    with opened(path, title=printable(str(path)), max_pixels=pixel_limit()) as image:
        return _is_transparent(image)


class FrameFiles(Clip):
    """Frames in a folder, or those that match a pattern, in natural order.

    Args:
        source: the folder or the pattern.
        output: never searched.

    Raises:
        PictureError: there are none, one is missing or cannot be read, or their sizes differ.
    """

    def __init__(self, source: str, output: Path) -> None:
        title = printable(source)
        found = collect([source], recursive=False, output=output, include_results=True).found
        if not found:
            raise PictureError(f"{title} holds no frames", hint=f"a clip is {READABLE}")
        self._found = found
        self.path = found[0].path.parent
        self.name = printable(Path(source).name or self.path.name)
        _require_alike(found)
        _require_whole([each.path.name for each in found], title)
        size = found[0].size
        assert size is not None
        self.outline = Outline(
            size,
            [Fraction(index, FOLDER_FPS) for index in range(len(found) + 1)],
            transparent=any(_is_transparent_file(each.path) for each in found),
            names=[each.path.name for each in found],
        )

    def at_rate(self, fps: Fraction) -> None:
        """Show so many frames per second; the frames themselves do not say."""
        self.at([index / fps for index in range(len(self._found) + 1)])

    def at(self, times: Sequence[Fraction]) -> None:
        """Show one frame at each of these times, of which the last is the end."""
        count = len(self._found) + 1
        later = (times[-1] + index for index in range(1, count))  # more frames than times
        self.outline = replace(self.outline, times=[*times, *later][:count])

    @property
    def files(self) -> list[Path]:
        return [each.path for each in self._found]

    def sha256(self) -> str:
        return digest_of(self.files)

    def frames(self, start: Fraction | None = None) -> Iterator[Frame]:
        for each, (time, end) in zip(self._found, pairwise(self.outline.times), strict=True):
            if start is None or end > start:
                yield Frame(self._read(each), time, each.path.name)

    def _read(self, found: Found) -> Pixels:
        picture = read_picture(found.path)
        planes = [picture.pixels[0].numpy()]
        if self.outline.transparent:  # then every frame has four channels
            opaque = np.ones_like(planes[0][:1])
            planes.append(opaque if picture.alpha is None else picture.alpha[0].numpy())
        values = np.concatenate(planes).transpose(1, 2, 0)
        levels: Pixels = (values * 255 + 0.5).astype(np.uint8)
        return levels


def _require_alike(found: Sequence[Found]) -> None:
    first = found[0]
    for each in found:
        if each.size is None:
            raise PictureError(each.problem or f"{printable(str(each.path))} cannot be read")
        if first.size is not None and each.size != first.size:
            raise PictureError(
                f"{printable(str(each.path))} is {each.size[1]}×{each.size[0]},"
                f" {printable(first.path.name)} is {first.size[1]}×{first.size[0]}",
                hint="all frames of a clip have one size",
            )


def _require_whole(names: Sequence[str], title: str) -> None:
    """Refuse a hole in frames that are numbered one by one."""
    matches = [_NUMBER.search(Path(name).stem) for name in names]
    if not all(matches):
        return
    if len({match.string[: match.start()] for match in matches if match}) > 1:
        return
    numbers = sorted(int(match[1]) for match in matches if match)
    steps = [after - before for before, after in pairwise(numbers)]
    usual = min(steps, default=1)
    # Numbers far apart are no count of frames.
    if usual < 1 or sum(step == usual for step in steps) * 2 < len(steps):
        return
    for number, step in zip(numbers, steps, strict=False):
        if step != usual:
            raise PictureError(
                f"{title} lacks frame {number + usual}",
                hint="add it, or number the frames without a hole",
            )
