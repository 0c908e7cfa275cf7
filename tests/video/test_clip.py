from __future__ import annotations

import struct
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from stylize import video
from stylize.errors import PictureError, SettingError
from stylize.video.clip import Cut, FrameFiles, cut_frames, cut_times, open_clip
from tests.video.clips import scene, write_clip

NOWHERE = Path("nowhere")


def read(path: Path | str, cut: Cut | None = None):
    clip = open_clip(str(path), NOWHERE)
    end = clip.outline.times[-1]
    frames = list(cut_frames(clip.frames(cut.start if cut else None), cut or Cut(), end))
    return clip, [frame for frame, _ in frames], [time for _, time in frames]


def mean_error(pixels: np.ndarray, expected: np.ndarray) -> float:
    assert pixels.shape == expected.shape
    return float(np.abs(pixels.astype(float) - expected).mean())


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "libx264"),
        ("a.mkv", "libx265"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mpeg4"),
    ],
)
def test_video_files(tmp_path, name, codec):
    options = {"x265-params": "log-level=none:bframes=0"} if codec == "libx265" else None
    path = write_clip(tmp_path / name, 5, codec=codec, options=options)
    clip, frames, times = read(path)
    assert clip.outline.size == (64, 96)
    assert [float(each) for each in times] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16], abs=2e-3)
    assert float(clip.outline.times[-1]) == pytest.approx(0.2, abs=2e-3)
    for index, frame in enumerate(frames):
        assert mean_error(frame.pixels, scene(index)) < 8


def test_every_frame_of_h264_in_avi(tmp_path):
    """Such files hold no time stamps, and their frames are in another order than shown."""
    path = write_clip(tmp_path / "a.avi", 12, options={"bf": "3"})
    clip, frames, times = read(path)
    assert times == [Fraction(index, 25) for index in range(12)]
    assert clip.outline.times == [*times, Fraction(12, 25)]
    for index, frame in enumerate(frames):
        assert mean_error(frame.pixels, scene(index)) < mean_error(frame.pixels, scene(index + 1))
    assert read(path, Cut(Fraction(8, 25)))[2] == times[8:]


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")])
def test_a_clip_that_begins_after_its_sound_is_whole(tmp_path, name, codec):
    late = [Fraction(each, 25) for each in range(25, 30)]
    path = write_clip(tmp_path / name, codec=codec, times=late, sound="libopus")
    assert read(path)[2] == [each - 1 for each in late]


def test_times_are_kept(tmp_path):
    wanted = [Fraction(each, 1000) for each in (0, 30, 130, 150, 400)]
    _, _, times = read(write_clip(tmp_path / "a.mkv", times=wanted))
    assert times == wanted


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_turned_clip_is_upright(tmp_path, turn):
    clip, frames, _ = read(write_clip(tmp_path / "a.mp4", 2, rotation=turn))
    assert clip.outline.size == frames[0].pixels.shape[:2]
    with av.open(str(tmp_path / "a.mp4")) as film:
        told = next(film.decode(video=0)).rotation
    assert abs(told) == abs(turn)
    assert mean_error(frames[0].pixels, np.rot90(scene(0), told // 90)) < 8


MATRICES = [*product((1, -1), (0,), (0,), (1, -1)), *product((0,), (1, -1), (1, -1), (0,))]


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_mirrored_clip_is_shown_as_its_file_says(tmp_path, matrix):
    path = write_clip(tmp_path / "a.mp4", 1)
    content = path.read_bytes()
    one = 1 << 16
    place = content.find(
        struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30), content.find(b"tkhd")
    )
    right, right_down, down_right, down = (each * one for each in matrix)
    turned = struct.pack(">9i", right, right_down, 0, down_right, down, 0, 0, 0, 1 << 30)
    path.write_bytes(content[:place] + turned + content[place + 36 :])
    y, x = np.mgrid[:64, :96]
    columns, rows = (matrix[0] * x + matrix[2] * y), (matrix[1] * x + matrix[3] * y)
    rows, columns = rows - rows.min(), columns - columns.min()
    wanted = np.zeros((rows.max() + 1, columns.max() + 1, 3), np.uint8)
    wanted[rows, columns] = scene(0)
    assert mean_error(read(path)[1][0].pixels, wanted) < 8


def test_pixels_become_square(tmp_path):
    clip, frames, _ = read(write_clip(tmp_path / "a.mp4", 2, aspect=Fraction(4, 3)))
    assert clip.outline.size == (64, 128)
    wanted = np.asarray(Image.fromarray(scene(0)).resize((128, 64), Image.Resampling.LANCZOS))
    assert mean_error(frames[0].pixels, wanted) < 8
    assert any("4:3" in note for note in clip.outline.notes)


@pytest.mark.parametrize(("matrix", "range_"), [(1, 1), (6, 1), (1, 2), (6, 2)])
def test_matrix_and_range(tmp_path, matrix, range_):
    colour = np.array([200, 60, 30], float)
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}[matrix]
    r, g, b = colour / 255
    luma = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - luma) / (2 - 2 * kb), (r - luma) / (2 - 2 * kr)
    if range_ == 1:
        values = [16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr]
    else:
        values = [255 * luma, 128 + 255 * cb, 128 + 255 * cr]
    planes = [np.full(64 * 96, round(values[0]))]
    planes += [np.full(64 * 96 // 4, round(each)) for each in values[1:]]
    flat = np.concatenate(planes).astype(np.uint8).reshape(96, 96)
    tags = {"colorspace": matrix, "color_range": range_}
    path = write_clip(
        tmp_path / "a.mp4",
        2,
        frames=[flat, flat],
        layout="yuv420p",
        tags=tags,
        options={"crf": "1"},
    )
    _, frames, _ = read(path)
    assert np.abs(frames[0].pixels.reshape(-1, 3).mean(0) - colour).max() < 4


def test_ten_bits_are_read_at_eight(tmp_path):
    path = write_clip(
        tmp_path / "a.mkv",
        2,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"x265-params": "log-level=none:bframes=0"},
    )
    clip, frames, _ = read(path)
    assert mean_error(frames[0].pixels, scene(0)) < 8
    assert any("8" in note for note in clip.outline.notes)


def pq(light: float) -> float:
    """The signal for a luminance in cd/m², by the formula of SMPTE ST 2084."""
    power = (light / 10_000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


# White paper is 203 cd/m², 75 % of the HLG signal (ITU-R BT.2408).
@pytest.mark.parametrize(("curve", "signal"), [(16, pq(203)), (18, 0.75)])
def test_white_of_hdr_is_white(tmp_path, curve, signal):
    level = round(64 + 876 * signal)
    flat = np.full((96, 96), 512, np.uint16)
    flat.reshape(-1)[: 64 * 96] = level
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": curve, "color_range": 1}
    path = write_clip(
        tmp_path / "a.mkv",
        2,
        codec="libx265",
        pix_fmt="yuv420p10le",
        layout="yuv420p10le",
        frames=[flat, flat],
        tags=tags,
        options={"x265-params": "log-level=none:bframes=0"},
    )
    clip, frames, _ = read(path)
    assert frames[0].pixels.min() > 235
    assert any("HDR" in note for note in clip.outline.notes)


def test_fields_are_merged(tmp_path):
    # An edge that moves by 4 px from field to field: every other row differs.
    torn = [np.full((64, 96, 3), 40, np.uint8) for _ in range(5)]
    for index, values in enumerate(torn):
        values[0::2, : 20 + 8 * index] = values[1::2, : 24 + 8 * index] = 220
    path = write_clip(
        tmp_path / "a.mkv",
        5,
        codec="mpeg2video",
        frames=torn,
        options={"flags": "+ilme+ildct", "b": "4M"},
    )
    with av.open(str(path)) as film:
        raw = list(film.decode(video=0))[2]
        assert raw.interlaced_frame
        assert np.abs(np.diff(raw.to_ndarray()[20:40, 38].astype(float))).max() > 120
    clip, frames, _ = read(path)
    assert len(frames) == 5
    rows = frames[2].pixels[20:40, 38].astype(float).mean(-1)
    assert np.abs(np.diff(rows)).max() < 90
    assert any("interlaced" in note for note in clip.outline.notes)


def test_transparency_of_webm_and_mov(tmp_path):
    values = np.concatenate([scene(0), np.full((64, 96, 1), 255, np.uint8)], -1)
    values[:, :48, 3] = 0
    webm = write_clip(
        tmp_path / "a.webm",
        2,
        codec="libvpx-vp9",
        pix_fmt="yuva420p",
        frames=[values, values],
        layout="rgba",
        options={"auto-alt-ref": "0"},
    )
    for path in (webm,):
        clip, frames, _ = read(path)
        assert clip.outline.transparent
        alpha = frames[1].pixels[..., 3]
        assert alpha[:, :40].max() < 20
        assert alpha[:, 56:].min() > 235


def test_animations(tmp_path):
    images = [Image.fromarray(scene(index)) for index in range(3)]
    for name in ("a.gif", "a.webp", "a.png"):
        images[0].save(
            tmp_path / name, save_all=True, append_images=images[1:], duration=[50, 100, 250]
        )
        clip, frames, times = read(tmp_path / name)
        assert [float(each) for each in times] == pytest.approx([0, 0.05, 0.15])
        assert float(clip.outline.times[-1]) == pytest.approx(0.4)
        assert mean_error(frames[2].pixels, scene(2)) < 12


def test_the_picture_for_programs_without_animations_is_no_frame(tmp_path):
    other, *images = [Image.fromarray(scene(index)) for index in (5, 0, 1)]
    path, kept = tmp_path / "a.png", {"save_all": True, "default_image": True}
    other.save(path, append_images=images, duration=[50, 100], **kept)
    clip, frames, times = read(path)
    assert [*map(float, times), float(clip.outline.times[-1])] == pytest.approx([0, 0.05, 0.15])
    assert [mean_error(frame.pixels, scene(i)) for i, frame in enumerate(frames)] == [0, 0]


def frames_in(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for index, name in enumerate(names):
        Image.fromarray(scene(index)).save(folder / name)
    return folder


def test_frames_in_a_folder_are_in_natural_order(tmp_path):
    folder = frames_in(tmp_path / "f", ["s8.png", "s9.png", "s10.png"])
    _, frames, _ = read(folder)
    assert [frame.name for frame in frames] == ["s8.png", "s9.png", "s10.png"]
    assert all((frame.pixels == scene(i)).all() for i, frame in enumerate(frames))
    _, frames, _ = read(f"{folder}/s?.png")
    assert [frame.name for frame in frames] == ["s8.png", "s9.png"]


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (["1.png", "2.png", "3.png", "5.png"], "lacks frame 4"),
        (["a.png", "b.png"], None),
        (["f0002.png", "f0004.png", "f0006.png"], None),
        (["IMG_20240101_10.png", "IMG_20240103_77.png", "IMG_20250101_5.png"], None),
    ],
)
def test_a_hole_among_frames(tmp_path, names, lacking):
    folder = frames_in(tmp_path / "f", names)
    if lacking is None:
        assert len(read(folder)[1]) == len(names)
        return
    with pytest.raises(PictureError, match=lacking):
        read(folder)


def test_frames_that_are_transparent_later(tmp_path):
    folder = frames_in(tmp_path / "f", ["1.png", "2.png"])
    later = Image.fromarray(scene(2)).convert("RGBA")
    later.putalpha(Image.linear_gradient("L").resize(later.size))
    later.save(folder / "3.png")
    clip, frames, _ = read(folder)
    assert clip.outline.transparent
    assert (frames[0].pixels[..., 3] == 255).all()
    assert (frames[2].pixels[..., 3] == np.asarray(later)[..., 3]).all()


def test_frames_of_different_sizes(tmp_path):
    folder = frames_in(tmp_path / "f", ["1.png", "2.png"])
    Image.new("RGB", (90, 64)).save(folder / "3.png")
    with pytest.raises(PictureError, match=r"3\.png is 90×64, 1\.png is 96×64"):
        read(folder)


def test_cuts():
    times = [Fraction(index, 10) for index in range(11)]
    assert cut_times(times, Cut()) == times
    assert cut_times(times, Cut(Fraction(3, 10), Fraction(6, 10))) == times[3:7]
    assert cut_times(times, Cut(Fraction(35, 100), Fraction(55, 100))) == [
        Fraction(4, 10),
        Fraction(5, 10),
        Fraction(55, 100),
    ]
    assert cut_times(times, Cut(fps=Fraction(5))) == times[::2]
    assert cut_times(times, Cut(Fraction(1, 2), fps=Fraction(20))) == [
        Fraction(index, 20) for index in range(10, 21)
    ]
    assert cut_times(times, Cut(Fraction(2))) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fps": 0}, "no frame rate"),
        ({"fps": "many"}, "are numbers"),
        ({"start": -1}, "before the clip"),
        ({"start": 2, "end": 1}, "not after start"),
    ],
)
def test_a_part_that_makes_no_sense(tmp_path, wrong, message):
    style = tmp_path / "style.png"
    Image.fromarray(scene(0)).save(style)
    with pytest.raises(SettingError, match=message):
        video.transfer("clip.mp4", style, tmp_path / "out.mp4", **wrong)


@pytest.mark.parametrize("clip", [5, [Path("1.png"), Path("2.png")]], ids=("number", "list"))
def test_only_a_path_is_a_clip(clip, tmp_path):
    with pytest.raises(PictureError, match=f"clip: an object of type {type(clip).__name__} "):
        video.dream(clip, tmp_path / "out.gif")


def test_another_rate_takes_the_frame_shown_at_each_time(tmp_path):
    _, frames, times = read(write_clip(tmp_path / "a.mp4", 6), Cut(fps=Fraction(10)))
    assert [float(each) for each in times] == pytest.approx([0, 0.1, 0.2])
    assert mean_error(frames[1].pixels, scene(2)) < 8
    assert mean_error(frames[2].pixels, scene(5)) < 8


def test_an_interval_begins_where_it_should(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 30, options={"g": "10"})
    _, frames, times = read(path, Cut(Fraction(6, 10), Fraction(7, 10)))
    assert [float(each) for each in times] == pytest.approx([0.6, 0.64, 0.68])
    assert mean_error(frames[0].pixels, scene(15)) < 8


def test_a_folder_has_the_rate_it_is_given(tmp_path):
    clip = FrameFiles(str(frames_in(tmp_path / "f", ["1.png", "2.png"])), NOWHERE)
    clip.at_rate(Fraction(10))
    assert clip.outline.times == [0, Fraction(1, 10), Fraction(2, 10)]
