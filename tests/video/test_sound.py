"""The sound of clips: in step, of any rate, and with damage."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from stylize import video
from stylize.images.mp4 import write_video
from stylize.video.clip import open_clip
from tests.video.clips import length_of, read_frames, write_clip

BRIEF = {"size": 96, "octaves": 1, "steps": 1, "layers": "conv2_2", "precision": "fp32"}


def rewritten(source: Path, target: Path, change: Callable[[Any], Any]) -> Path:
    """Copy a clip packet by packet; a packet is left out where ``change`` gives None."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as copy:
        streams = {each: copy.add_stream_from_template(each) for each in clip.streams}
        for packet in clip.demux():
            stream = streams[packet.stream]
            changed = change(packet) if packet.size else None
            if changed is not None:
                changed.stream = stream
                copy.mux(changed)
    return target


def copied(source: Path, target: Path) -> Path:
    """Write the frames and the sound of a clip anew, without painting."""
    clip = open_clip(str(source), target)
    frames, times = [*clip.frames()], clip.outline.times
    write_video(
        target,
        [Image.fromarray(frame.pixels) for frame in frames],
        times,
        container=target.suffix[1:],
        codec={".mp4": "h264", ".webm": "vp9"}[target.suffix],
        recipe=None,
        quality=50,
        sound=clip.sound(times[0], None),
    )
    return target


@pytest.mark.usefixtures("network")
def test_sound_stays_in_step_where_the_first_frames_cannot_be_decoded(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mov", 10, sound="pcm_s16le", options={"g": "5", "bf": "0"})
    first = {"video": True}

    def change(packet: Any) -> Any:
        is_first = packet.stream.type == "video" and first.pop("video", False)
        return None if is_first else packet

    clip = rewritten(whole, tmp_path / "b.mov", change)
    made = video.dream(clip, tmp_path / "out.mp4", **BRIEF)
    assert isinstance(made, Path)
    assert len(read_frames(made)) == 5
    assert length_of(made) == pytest.approx(0.2, abs=0.001)
    assert length_of(made, "audio") == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(
    ("rate", "wanted"), [(192_000, 96_000), (48_000, 48_000), (37_800, 44_100), (6000, 7350)]
)
def test_sound_gets_a_rate_that_its_codec_takes(tmp_path: Path, rate: int, wanted: int) -> None:
    silent = write_clip(tmp_path / "a.mkv", 5)
    clip = tmp_path / "b.mkv"
    with av.open(str(silent)) as source, av.open(str(clip), "w") as film:
        pictures = film.add_stream_from_template(source.streams.video[0])
        sound = film.add_stream("pcm_s16le", rate=rate, layout="mono")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = pictures
                film.mux(packet)
        tone = (10_000 * np.sin(np.arange(rate // 5) * 2 * np.pi * 440 / rate)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        film.mux(sound.encode(frame))
        film.mux(sound.encode(None))
    made = copied(clip, tmp_path / "out.mp4")
    with av.open(str(made)) as film:
        assert film.streams.audio[0].rate == wanted
    assert length_of(made, "audio") == pytest.approx(0.2, abs=0.05)


def test_damaged_sound_is_left_out(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mkv", 25, sound="flac")
    numbers = count()

    def change(packet: Any) -> Any:
        if packet.stream.type == "audio" and next(numbers) == 3:
            damaged = av.Packet(bytes(len(bytes(packet))))
            damaged.pts, damaged.dts, damaged.time_base = packet.pts, packet.dts, packet.time_base
            return damaged
        return packet

    clip = rewritten(whole, tmp_path / "b.mkv", change)
    made = copied(clip, tmp_path / "out.webm")
    assert length_of(made, "audio") == pytest.approx(1, abs=0.05)


def test_sound_of_an_unknown_codec_is_left_out(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", 2, sound="ac3")
    clip.write_bytes(clip.read_bytes().replace(b"A_AC3", b"A_XX3"))
    outline = open_clip(str(clip), tmp_path).outline
    assert outline.sound is None
    assert any("sound" in note for note in outline.notes)
    with av.open(str(copied(clip, tmp_path / "out.mp4"))) as film:
        assert [each.type for each in film.streams] == ["video"]
