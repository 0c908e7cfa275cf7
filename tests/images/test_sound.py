"""The sound of a clip stays with its pictures, however both are cut and encoded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from stylize.images import mp4
from stylize.video.clip import Cut, cut_frames, open_clip
from tests.video.clips import write_clip

SIZE, RATE, HZ = (64, 48), 25, 48_000


def flash_and_click(path: Path, codec: str) -> Path:
    """Two seconds of darkness and silence, with a flash and a click at 1 s."""
    dark, bright = (np.full((SIZE[1], SIZE[0], 3), level, np.uint8) for level in (20, 240))
    frames = [bright if index == RATE else dark for index in range(2 * RATE)]
    silent = write_clip(path.with_suffix(".silent.mkv"), 2 * RATE, size=SIZE, frames=frames)
    wave = np.zeros((2, 2 * HZ), np.float32)
    wave[:, HZ : HZ + 480] = 0.9 * np.sin(np.arange(480) * 2 * np.pi * 1000 / HZ)
    with av.open(str(silent)) as source, av.open(str(path), "w") as film:
        pictures = film.add_stream_from_template(source.streams.video[0])
        sound = film.add_stream(codec, rate=HZ, layout="stereo")
        context = sound.codec_context
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = pictures
                film.mux(packet)
        resampler = av.AudioResampler(
            format=context.format, layout="stereo", rate=HZ, frame_size=context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = HZ, 0, Fraction(1, HZ)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            film.mux(sound.encode(part))
        film.mux(sound.encode(None))
    return path


def times_of(path: Path) -> tuple[float, float, float]:
    """When a file flashes and clicks, and when its sound ends, by PyAV."""
    with av.open(str(path)) as film:
        light = [(frame.to_ndarray(format="gray").mean(), frame) for frame in film.decode(video=0)]
        flash = max(light, key=lambda each: each[0])[1]
    moments, values = [], []
    with av.open(str(path)) as film:
        for frame in film.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float))
            planar = frame.format.is_planar
            samples = (
                samples[0] if planar else samples.reshape(-1, len(frame.layout.channels))[:, 0]
            )
            values.append(samples)
            start = float(frame.pts * frame.time_base)
            moments.append(start + np.arange(len(samples)) / frame.sample_rate)
    loud, when = np.concatenate(values), np.concatenate(moments)
    click = float(when[np.argmax(loud > loud.max() / 2)])
    return float(flash.pts * flash.time_base), click, float(when[-1])


PART = Cut(Fraction(83, 100), Fraction(14, 10))


@pytest.mark.parametrize(
    ("codec", "container", "cut"),
    [
        ("aac", "mp4", Cut()),
        ("aac", "mp4", PART),
        ("aac", "webm", PART),
        ("libopus", "webm", PART),
        ("pcm_s16le", "mp4", PART),
    ],
)
def test_a_click_stays_with_its_flash(tmp_path, codec, container, cut):
    clip = open_clip(str(flash_and_click(tmp_path / "clip.mkv", codec)), tmp_path)
    chosen = list(cut_frames(clip.frames(cut.start), cut, clip.outline.times[-1]))
    first = chosen[0][1]
    end = cut.end or clip.outline.times[-1]
    target = tmp_path / f"out.{container}"
    mp4.write_video(
        target,
        [Image.fromarray(frame.pixels) for frame, _ in chosen],
        [*(time - first for _, time in chosen), end - first],
        container=container,
        codec=mp4.check_codec(container, None),
        recipe=None,
        quality=50,
        sound=clip.sound(None if cut.start is None else first, cut.end),
    )
    flash, click, last = times_of(target)
    assert flash == pytest.approx(1 - float(first), abs=0.002)
    assert click == pytest.approx(flash, abs=0.005)
    assert last == pytest.approx(float(end - first), abs=0.03)
