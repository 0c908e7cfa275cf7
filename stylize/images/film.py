"""Write animations: GIF, APNG and WebP by our own muxers, mp4 by PyAV."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, pairwise, repeat
from pathlib import Path
from typing import BinaryIO

from PIL import GifImagePlugin, Image

from stylize.errors import OutputError, PictureError, SettingError
from stylize.images import mp4
from stylize.images.atomic import new_file
from stylize.images.color_profiles import srgb_profile
from stylize.images.metadata import check_recipe, embed, gif_comment
from stylize.images.names import unknown_suffix
from stylize.images.open import opened, pixel_limit, printable
from stylize.images.png16 import chunk
from stylize.images.sound import Sound

MIN_FPS, MAX_FPS = 0.1, 240

STEPS_FPS = 12  # of films of a run, step by step

MAX_GIF_FPS = 50  # players take delays below 2/100 s for a tenth

_SUFFIXES = {".webp": "webp", ".gif": "gif", ".apng": "apng", ".mp4": "mp4"}

_MAX_SIDE_PX = {
    "gif": 65_535,
    "webp": 16_383,
    "mp4": 16_384,
    "webm": 16_384,
}  # limits of the formats and of x264

_MAX_PALETTE_SAMPLE_PX = 256

_MAX_RIFF_BYTES = 2**32 - 10

_WEBP_PROFILE, _WEBP_ALPHA, _WEBP_EXIF, _WEBP_ANIMATION = 0x20, 0x10, 0x08, 0x02

_WEBP_NO_BLENDING = 0x02


@dataclass(frozen=True)
class _Film:
    size: tuple[int, int]  # width, height
    length: int  # frames
    fps: float
    hold_s: float  # how much longer the last frame is shown
    recipe: str | None
    quality: int
    times: Sequence[Fraction] | None = None  # instead of fps: each start, and the end, in s
    transparent: bool = False

    def durations(self, units_per_s: int) -> list[int]:
        """How long each frame is shown, in whole units."""
        if self.times is None:
            return durations(self.length, self.fps, units_per_s, self.hold_s)
        starts = (round(time * units_per_s) for time in self.times)
        return [end - start for start, end in pairwise(starts)]


def animation_format(path: Path) -> str:
    """Return the animation format of a file's suffix: ``gif apng webp mp4``.

    Raises:
        OutputError: no animation format has this suffix.
    """
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        raise unknown_suffix(path, "animation", _SUFFIXES)
    return format


def check_animation(target: Path, *, fps: float, quality: int = 90) -> None:
    """Check suffix, frame rate and quality before the first frame is made.

    Raises:
        SettingError: the frame rate or the quality is out of range.
        OutputError: unknown suffix.
        MissingExtraError: mp4 without PyAV.
    """
    format = animation_format(target)
    if not MIN_FPS <= fps <= MAX_FPS:
        raise SettingError(
            f"the frame rate is {MIN_FPS} to {MAX_FPS} frames per second, not {fps:g}"
        )
    if format == "gif" and fps > MAX_GIF_FPS:
        raise SettingError(
            f"a gif plays at most {MAX_GIF_FPS} frames per second, not {fps:g}",
            hint="lower the rate, or write webp, apng or mp4",
        )
    if not 1 <= quality <= 100:
        raise SettingError(f"the quality is 1 to 100, not {quality}")
    if format == "mp4":
        mp4.pyav()


def write_animation(
    target: Path,
    frames: Sequence[Path],
    *,
    fps: float,
    recipe: str | None,
    hold_s: float = 0.0,
    quality: int = 90,
    overwrite: bool = True,
) -> Path:
    """Write an endlessly repeating film, completely or not at all.

    The frames are read one by one, and encoded data goes straight to a temporary file next to
    ``target``. So memory holds one frame at a time, raw and encoded; for mp4 also the frames that
    the encoder compares, about 100 bytes per pixel of a frame, however long the film is.

    Args:
        target: its suffix chooses the format.
        frames: PNG files of equal size, 8-bit RGB.
        fps: frames per second, 0.1 to 240, at most 50 for gif. Gif counts time in 1/100 s and webp
            in 1/1000 s; each frame starts at the nearest such time.
        recipe: JSON text of at most 16 kB.
        hold_s: how many seconds longer the last frame is shown.
        quality: 1 to 100, for webp and mp4.
        overwrite: see :func:`stylize.images.atomic.new_file`.

    Returns:
        The file that was written.

    Raises:
        SettingError: the frame rate or the quality is out of range.
        PictureError: a frame is missing, damaged, or of another size than the first.
        OutputError: no frames, unknown suffix, recipe too long, a picture too large for the
            format, or the system refuses to write. Nothing is left behind.
        MissingExtraError: mp4 without PyAV.
    """
    check_animation(target, fps=fps, quality=quality)
    if recipe is not None:
        check_recipe(recipe)
    if not frames:
        raise OutputError(f"cannot write {target}: there are no frames")
    format, size = animation_format(target), _size(frames[0])
    check_sides(size, format)
    film = _Film(size, len(frames), fps, hold_s, recipe, quality)
    with new_file(target, overwrite=overwrite) as new:
        _WRITERS[format](new.partial, _pictures(frames, size), film)
    return new.final


def write_clip(  # noqa: PLR0913 (what decides a file)
    target: Path,
    pictures: Iterable[Image.Image],
    times: Sequence[Fraction],
    size: tuple[int, int],
    *,
    format: str,
    codec: str | None,
    sound: Sound | None,
    transparent: bool,
    recipe: str,
    quality: int,
    overwrite: bool,
) -> Path:
    """Write a clip, completely or not at all.

    Args:
        target: the file.
        pictures: of equal size; taken one at a time.
        times: when each is shown, in s from 0 on, and the end of the last one.
        size: ``(width, height)``.
        format: ``gif apng webp mp4 webm``.
        codec: of mp4 and WebM, see :data:`stylize.images.mp4.CONTAINERS`.
        sound: for mp4 and WebM.
        transparent: whether the pictures have the mode RGBA, not RGB; not for gif and mp4.
        recipe: JSON text of at most 16 kB.
        quality: 1 to 100, for all but gif and apng.
        overwrite: see :func:`stylize.images.atomic.new_file`.

    Returns:
        The file that was written.

    Raises:
        OutputError: a picture too large for the format, the encoder fails, or the system refuses
            to write. Nothing is left behind.
        MissingExtraError: PyAV is not installed.
    """
    check_recipe(recipe)
    check_sides(size, format)
    film = _Film(size, len(times) - 1, 0.0, 0.0, recipe, quality, times, transparent)
    with new_file(target, overwrite=overwrite) as new:
        if format in mp4.CONTAINERS:
            mp4.write_video(
                new.partial,
                pictures,
                times,
                container=format,
                codec=mp4.check_codec(format, codec),
                recipe=recipe,
                quality=quality,
                sound=sound,
            )
        else:
            _WRITERS[format](new.partial, pictures, film)
    return new.final


def durations(length: int, fps: float, units_per_s: int, hold_s: float = 0.0) -> list[int]:
    """Compute the durations of frames in whole units; each frame starts at the nearest unit.

    Args:
        length: the number of frames.
        fps: frames per second.
        units_per_s: units per second.
        hold_s: how many seconds longer the last frame is shown.
    """
    starts = (round(index * units_per_s / fps) for index in range(length + 1))
    found = [end - start for start, end in pairwise(starts)]
    return [*found[:-1], found[-1] + round(hold_s * units_per_s)] if found else []


def _size(path: Path) -> tuple[int, int]:
    with opened(path, title=printable(str(path)), max_pixels=pixel_limit()) as image:
        return image.size


def check_sides(size: tuple[int, int], format: str) -> None:
    """Check that an animation format can hold frames of ``(width, height)``.

    Raises:
        OutputError: a side is too long.
    """
    limit = _MAX_SIDE_PX.get(format)
    if limit and max(size) > limit:
        raise OutputError(
            f"{format} holds at most {limit} pixels per side, the frames are {size[0]}×{size[1]}",
            hint="write apng",
        )


def _pictures(paths: Iterable[Path], size: tuple[int, int]) -> Iterator[Image.Image]:
    """Read the frames in mode RGB, each when it is needed."""
    for path in paths:
        title = printable(str(path))
        with opened(path, title=title, max_pixels=pixel_limit()) as image:
            if image.size != size:
                width, height = image.size
                raise PictureError(
                    f"{title} is {width}×{height}, the first frame of the film {size[0]}×{size[1]}"
                )
            picture = image.convert("RGB")
        yield picture


def _write_gif(partial: Path, pictures: Iterable[Image.Image], film: _Film) -> None:
    with partial.open("wb") as file:
        file.write(b"GIF89a" + struct.pack("<HHBBB", *film.size, 0x70, 0, 0))
        file.write(b"!\xff\x0bNETSCAPE2.0" + _sub_blocks(b"\1\0\0"))
        file.write(b"!\xfe" + _sub_blocks(gif_comment(film.recipe)))
        times = film.durations(100)
        for picture, duration in zip(pictures, times, strict=True):
            file.writelines(
                GifImagePlugin.getdata(
                    _in_256_colours(picture), duration=duration * 10, include_color_table=True
                )
            )
        file.write(b";")


def _sub_blocks(data: bytes) -> bytes:
    """Split data as GIF does: up to 255 bytes after their count, and a 0 at the end."""
    parts = (data[start : start + 255] for start in range(0, len(data), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _in_256_colours(picture: Image.Image) -> Image.Image:
    """Dither the picture to its own palette.

    K-means on a sample of the pixels is as good as on all of them and much faster. Sampling by
    nearest neighbour keeps rare, strong colours that averages would lose.
    """
    sample = picture.copy()
    sample.thumbnail((_MAX_PALETTE_SAMPLE_PX, _MAX_PALETTE_SAMPLE_PX), Image.Resampling.NEAREST)
    palette = sample.quantize(256, Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _write_apng(partial: Path, pictures: Iterable[Image.Image], film: _Film) -> None:
    """Write every frame in full; readers of still PNGs show the first."""
    sequence = count()
    delays = _apng_delays(film)
    with partial.open("wb") as file:
        for index, picture in enumerate(pictures):
            chunks = _png_chunks(picture, film.recipe)
            if index == 0:
                _write_png_head(file, chunks, film.length)
            times = (delays[index].numerator, delays[index].denominator)
            control = struct.pack(">5I2H2x", next(sequence), *film.size, 0, 0, *times)
            file.write(chunk(b"fcTL", control))
            for data in (data for kind, data in chunks if kind == b"IDAT"):
                if index == 0:
                    file.write(chunk(b"IDAT", data))
                else:
                    file.write(chunk(b"fdAT", struct.pack(">I", next(sequence)) + data))
        file.write(chunk(b"IEND", b""))


def _apng_delays(film: _Film) -> list[Fraction]:
    """How long each frame is shown, in s; both parts fit into 16 bits."""
    if film.times is not None:
        return [min(Fraction(each, 1000), Fraction(65)) for each in film.durations(1000)]
    delay = 1 / Fraction(film.fps).limit_denominator(255)
    held = (delay + Fraction(film.hold_s)).limit_denominator(255) if film.hold_s else delay
    return [delay] * (film.length - 1) + [held]


def _write_png_head(file: BinaryIO, chunks: Iterable[tuple[bytes, bytes]], length: int) -> None:
    file.write(b"\x89PNG\r\n\x1a\n")
    for kind, data in chunks:
        if kind not in (b"IDAT", b"IEND"):
            file.write(chunk(kind, data))
    file.write(chunk(b"acTL", struct.pack(">II", length, 0)))


def _png_chunks(picture: Image.Image, recipe: str | None) -> list[tuple[bytes, bytes]]:
    """Encode a still PNG with Pillow and return the kinds and data of its chunks."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", icc_profile=srgb_profile(), **embed(recipe, "png"))
    return list(_parts(buffer.getvalue(), start=8, big_endian=True))


def _write_webp(partial: Path, pictures: Iterable[Image.Image], film: _Film) -> None:
    """Write every frame in full, as a still VP8 picture."""
    flags = _WEBP_PROFILE | _WEBP_EXIF | _WEBP_ANIMATION
    flags |= _WEBP_ALPHA if film.transparent else 0
    canvas = _uint24(film.size[0] - 1) + _uint24(film.size[1] - 1)
    exif = embed(film.recipe, "webp")["exif"].tobytes().removeprefix(b"Exif\0\0")
    with partial.open("wb") as file:
        file.write(b"RIFF\0\0\0\0WEBP")
        file.write(_riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + canvas))
        file.write(_riff_chunk(b"ICCP", srgb_profile()))
        file.write(_riff_chunk(b"ANIM", bytes(6)))  # black background, endless repetition
        times = film.durations(1000)
        for picture, duration in zip(pictures, times, strict=True):
            place = bytes(6) + canvas + _uint24(duration) + bytes([_WEBP_NO_BLENDING])
            file.write(_riff_chunk(b"ANMF", place + _vp8(picture, film.quality)))
        file.write(_riff_chunk(b"EXIF", exif))
        _close_riff(file)


def _close_riff(file: BinaryIO) -> None:
    size = file.tell() - 8
    if size > _MAX_RIFF_BYTES:
        raise OutputError("a webp film holds at most 4 GB", hint="write mp4, or a lower quality")
    file.seek(4)
    file.write(struct.pack("<I", size))


def _vp8(picture: Image.Image, quality: int) -> bytes:
    """Encode a still WebP and return the chunks of its colour and its transparency."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    chunks = _parts(buffer.getvalue(), start=12)
    return b"".join(_riff_chunk(*each) for each in chunks if each[0] in (b"ALPH", b"VP8 "))


def _riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _uint24(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _parts(file: bytes, *, start: int, big_endian: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """Yield kinds and data of the chunks in a PNG (big-endian) or RIFF file that we made."""
    while start < len(file):
        if big_endian:
            size, kind = struct.unpack_from(">I4s", file, start)
        else:
            kind, size = struct.unpack_from("<4sI", file, start)
        yield kind, file[start + 8 : start + 8 + size]
        start += size + (12 if big_endian else 8 + size % 2)


def _write_mp4(partial: Path, pictures: Iterable[Image.Image], film: _Film) -> None:
    more = round(film.hold_s * film.fps)
    repeated = _held(pictures, more) if more else pictures
    mp4.write_mp4(partial, repeated, fps=film.fps, recipe=film.recipe, quality=film.quality)


def _held(pictures: Iterable[Image.Image], more: int) -> Iterator[Image.Image]:
    """Repeat the last picture, which costs a video next to nothing."""
    picture = None
    for picture in pictures:
        yield picture
    if picture is not None:
        yield from repeat(picture, more)


_WRITERS: dict[str, Callable[[Path, Iterable[Image.Image], _Film], None]] = {
    "gif": _write_gif,
    "apng": _write_apng,
    "webp": _write_webp,
    "mp4": _write_mp4,
}
