"""Small clips for the tests, made with PyAV alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SIZE = (96, 64)  # width, height


def scene(index: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """``(H, W, 3)``: a bright square that moves by 4 px over a smooth background."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    picture = np.stack([60 + x, 200 - 2 * y, 80 + x / 2 + y], -1).clip(0, 255)
    left = 8 + 4 * index
    picture[16:40, left : left + 20] = (230, 210, 40)
    return picture.astype(np.uint8)


def shots(*lengths: int, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    """Frames of several shots, with a cut between any two: a coarse pattern that moves by 2 px."""
    width, height = size
    frames = []
    for number, length in enumerate(lengths):
        random = np.random.default_rng(number)
        blocks = random.integers(0, 256, (height // 16 + 1, (width + 2 * length) // 16 + 1, 3))
        pattern = np.kron(blocks, np.ones((16, 16, 1))).astype(np.uint8)
        frames += [pattern[:height, 2 * index : 2 * index + width] for index in range(length)]
    return frames


def write_clip(
    path: Path,
    count: int = 5,
    *,
    codec: str = "libx264",
    rate: int = 25,
    times: Sequence[Fraction] | None = None,
    size: tuple[int, int] = SIZE,
    pix_fmt: str = "yuv420p",
    sound: str | None = None,
    rotation: int | None = None,
    aspect: Fraction | None = None,
    frames: Sequence[NDArray[Any]] | None = None,
    layout: str = "rgb24",
    tags: dict[str, int] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip, with a tone as long as it is if ``sound`` names a codec."""
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1} | (tags or {})
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        tone = film.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        for index in range(count):
            values = scene(index, size) if frames is None else frames[index]
            frame = av.VideoFrame.from_ndarray(values, format=layout)
            if layout in ("rgb24", "rgba"):
                frame = frame.reformat(format=pix_fmt, dst_colorspace="ITU709", dst_color_range=1)
            frame.pts, frame.time_base = index, Fraction(1, rate)
            if times is not None:
                frame.pts, frame.time_base = round(times[index] * 1000), Fraction(1, 1000)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
        if tone is not None:
            add_tone(film, tone, Fraction(count, rate))
    return path


def add_tone(film: Any, stream: Any, length: Fraction) -> None:
    """A tone whose pitch rises with time."""
    samples = round(length * 48_000)
    time = np.arange(samples) / 48_000
    wave = (0.3 * np.sin(2 * np.pi * (300 + 200 * time) * time)).astype(np.float32)
    resampler = av.AudioResampler(
        format=stream.codec_context.format, layout="stereo", rate=48_000, frame_size=1024
    )
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        film.mux(stream.encode(part))
    film.mux(stream.encode(None))


def read_times(path: Path, kind: str = "video") -> list[Fraction]:
    """When frames are shown, or sound begins, by PyAV."""
    with av.open(str(path)) as film:
        stream = film.streams.best(kind)
        return [frame.pts * frame.time_base for frame in film.decode(stream)]


def read_frames(path: Path) -> list[NDArray[np.uint8]]:
    """The frames of a file, by PyAV."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def length_of(path: Path, kind: str = "video") -> float:
    """How long a stream lasts, in s, by the end of its last packet."""
    with av.open(str(path)) as film:
        stream = film.streams.best(kind)
        packets = [each for each in film.demux(stream) if each.size]
        return float(max((each.pts + each.duration) * each.time_base for each in packets))
