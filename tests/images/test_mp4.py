from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stylize.errors import MissingExtraError, OutputError, PictureError
from stylize.images import mp4
from stylize.images.film import check_animation
from stylize.images.metadata import read_recipe
from stylize.images.sound import Sound
from tests.images.test_film import SIZE, scene
from tests.video.clips import write_clip

av = pytest.importorskip("av")

RECIPE = json.dumps({"name": "Grüße 猫 🎨.png", "long": "é" * 7000}, ensure_ascii=False)


def pictures(length: int = 5, size: tuple[int, int] = SIZE) -> Iterator[Image.Image]:
    return (Image.fromarray(scene(index, size)) for index in range(length))


def written(path: Path, images=None, *, fps=25.0, recipe: str | None = None, quality=90) -> bytes:
    mp4.write_mp4(path, images or pictures(), fps=fps, recipe=recipe, quality=quality)
    return path.read_bytes()


def decoded(data: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(data)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> bytes:
    return written(tmp_path_factory.mktemp("film") / "film.mp4", recipe=RECIPE)


# With one or two frames, libx265 leaves to chance when they are decoded.
@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_shortest_films_start_at_once(tmp_path, length):
    times = [Fraction(index, 25) for index in range(length + 1)]
    for _ in range(20):
        path = tmp_path / "film.mp4"
        mp4.write_video(
            path,
            pictures(length, (96, 64)),
            times,
            container="mp4",
            codec="h265",
            recipe=None,
            quality=90,
        )
        with av.open(str(path)) as film:
            packets = [packet for packet in film.demux(video=0) if packet.size]
            assert len(packets) == length
            for packet in packets:
                assert packet.dts <= packet.pts
                assert packet.dts * packet.time_base > -1


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(25, 25), (30, 30), (60, 60), (0.1, Fraction(1, 10)), (30000 / 1001, Fraction(30000, 1001))],
)
def test_pace_and_length(tmp_path, fps, rate):
    data = written(tmp_path / "film.mp4", pictures(70), fps=fps)
    with av.open(io.BytesIO(data)) as film:
        stream = film.streams.video[0]
        times = [frame.pts * frame.time_base for frame in film.decode(stream)]
        assert stream.average_rate == rate
        assert abs(stream.duration * stream.time_base - 70 / rate) < Fraction(1, 1000)
    assert len(times) == 70
    assert all(abs(time - index / rate) < Fraction(1, 1000) for index, time in enumerate(times))


def test_what_every_player_takes(film):
    with av.open(io.BytesIO(film)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        assert context.color_range == 1


def test_it_plays_before_it_is_whole(film):
    assert film.index(b"moov") < film.index(b"mdat")


def test_frames_are_close_to_their_sources(film):
    for index, frame in enumerate(decoded(film)):
        error = frame[: SIZE[1], : SIZE[0]].astype(float) - scene(index)
        assert np.abs(error).mean() < 8


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 160, 30)])
def test_colours_are_those_of_bt_709(tmp_path, colour):
    """By its formula, not by a decoder's: BT.601 is off by up to 40 levels."""
    data = written(tmp_path / "film.mp4", [Image.new("RGB", (64, 48), colour)])
    with av.open(io.BytesIO(data)) as film:
        [frame] = film.decode(video=0)
        planes = [np.frombuffer(plane, np.uint8)[0] for plane in frame.planes]
    red, green, blue = (level / 255 for level in colour)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    scaled = [219 * light - 112, 112 / 0.9278 * (blue - light), 112 / 0.7874 * (red - light)]
    assert planes == pytest.approx([128 + value for value in scaled], abs=2)


@pytest.mark.parametrize("size", [(64, 48), (63, 48), (64, 47), (63, 47), (1, 1)])
def test_odd_sides_get_the_last_line_again(tmp_path, size):
    smooth = Image.fromarray(np.tile(np.arange(size[0], dtype=np.uint8) * 4, (size[1], 1)))
    [frame] = decoded(written(tmp_path / "film.mp4", [smooth.convert("RGB")], quality=100))
    width, height = (side + side % 2 for side in size)
    assert frame.shape == (height, width, 3)
    assert np.abs(frame[: size[1], : size[0], 0].astype(int) - np.asarray(smooth)).max() <= 8
    assert abs(int(frame[-1, -1, 0]) - (size[0] - 1) * 4) <= 8


def test_the_comment_is_the_recipe(film):
    with av.open(io.BytesIO(film)) as container:
        assert container.metadata["comment"] == RECIPE
    assert read_recipe(film) == RECIPE


def test_an_encoder_that_fails_is_told(tmp_path, monkeypatch):
    def fail(*_):
        raise av.error.ExternalError(1, "no such luck")

    monkeypatch.setattr(mp4, "_stream", fail)
    with pytest.raises(OutputError, match="mp4 encoder failed: no such luck"):
        written(tmp_path / "film.mp4")


def test_writing_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"mp4 needs .*pip install av"):
        check_animation(Path("film.mp4"), fps=10)


class TestReading:
    @pytest.mark.parametrize("kind", [bytes, Path])
    def test_without_the_extra(self, tmp_path, film, monkeypatch, kind):
        (tmp_path / "film.mp4").write_bytes(film)
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(MissingExtraError, match=r"mp4 needs .*pip install av"):
            read_recipe(film if kind is bytes else tmp_path / "film.mp4")

    @pytest.mark.parametrize("comment", ["", "text", "[1]", '{"a"', "{" * 5000])
    def test_what_is_no_object_is_no_recipe(self, tmp_path, comment):
        assert read_recipe(written(tmp_path / "film.mp4", recipe=comment)) is None

    def test_an_endless_foreign_text_is_no_recipe(self, tmp_path):
        comment = json.dumps({"a": "x" * 200_000})
        assert read_recipe(written(tmp_path / "film.mp4", recipe=comment)) is None

    def test_letters_that_are_none(self, film):
        assert read_recipe(film.replace("é".encode(), b"\xff\xfe")) is not None
        assert read_recipe(film.replace(b'{"name"', b'\xff"name"')) is None

    def test_a_damaged_film(self, tmp_path, film):
        path = tmp_path / "film.mp4"
        path.write_bytes(film[:36])
        with pytest.raises(PictureError, match=r"film\.mp4 is damaged or incomplete"):
            read_recipe(path)
        with pytest.raises(PictureError, match="the picture is damaged"):
            read_recipe(film[:24])

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_any_damage_is_told(self, film, data):
        damaged = bytearray(film)
        for _ in range(data.draw(st.integers(1, 8))):
            place = data.draw(st.integers(0, film.index(b"mdat")))
            damaged[place] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
        try:
            recipe = read_recipe(bytes(damaged[: data.draw(st.integers(0, len(film)))]))
        except PictureError as error:
            assert "\n" not in str(error)
        else:
            assert recipe is None or isinstance(json.loads(recipe), dict)

    @pytest.mark.parametrize(
        "head", [b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", b"\0\0\0\x10ftypM4A \0\0\0\0"]
    )
    def test_other_films_are_no_pictures(self, head):
        with pytest.raises(PictureError, match="not a picture"):
            read_recipe(head)

    def test_neighbours_in_the_container_are_pictures(self, encoded):
        assert read_recipe(encoded(Image.new("RGB", (64, 64)), "AVIF")) is None
        assert not mp4.is_mp4(b"\0\0\0\x1cftypmp41\0\0\0\0mp41heic\0\0\0\0")
        assert mp4.is_mp4(b"\0\0\0\x1cftypisom\0\0\2\0isomiso2avc1mp41")

    def test_nothing_is_printed(self, film, capfd, caplog):
        caplog.set_level(logging.DEBUG)
        for cut in (30, 200, 1000, len(film) - 50):
            try:
                read_recipe(film[:cut])
            except PictureError:
                continue
        assert capfd.readouterr() == ("", "")
        assert not caplog.records


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="only Linux tells")
@pytest.mark.parametrize("codec", ["vp9", "av1"])
@pytest.mark.parametrize("loud", [False, True])
def test_encoders_leave_the_thread_as_it_was(tmp_path, codec, loud):
    """For root, SVT-AV1 makes it a real-time one. Sound that is encoded again comes first."""
    clip = write_clip(tmp_path / "clip.mp4", 2, sound="aac")
    sound = Sound(clip, "mov,mp4,m4a,3gp,3g2,mj2", None, None, Fraction(0)) if loud else None
    write = partial(mp4.write_video, container="webm", recipe=None, quality=90, sound=sound)
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    write(tmp_path / "out.webm", pictures(2, (64, 64)), [0, Fraction(1), Fraction(2)], codec=codec)
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before


@pytest.mark.parametrize(
    ("container", "codec", "found"),
    [
        ("mp4", "h264", "h264"),
        ("mp4", "h265", "hevc"),
        ("mp4", "av1", "av1"),
        ("webm", "vp9", "vp9"),
        ("webm", "av1", "av1"),
    ],
)
def test_clips_keep_their_irregular_times(tmp_path, container, codec, found):
    times = [Fraction(each, 1000) for each in (0, 40, 140, 150, 400, 460)]
    path = tmp_path / f"clip.{container}"
    mp4.write_video(
        path,
        pictures(5, (97, 71)),
        times,
        container=container,
        codec=codec,
        recipe=RECIPE,
        quality=90,
    )
    even = codec == "vp9"
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert stream.codec_context.codec.canonical_name == found
        frames = list(film.decode(stream))
    assert [float(each.pts * each.time_base) for each in frames] == pytest.approx(
        [float(each) for each in times[:-1]], abs=0.0006
    )
    for index, frame in enumerate(frames):
        assert (frame.width, frame.height) == ((97, 71) if even else (98, 72))
        error = frame.to_ndarray(format="rgb24")[:71, :97].astype(float) - scene(index, (97, 71))
        assert np.abs(error).mean() < 8
    assert read_recipe(path) == RECIPE
    with av.open(str(path)) as film:
        ends = [
            (each.pts + each.duration) * each.time_base for each in film.demux(video=0) if each.size
        ]
    assert float(max(ends)) == pytest.approx(0.46, abs=0.002)
