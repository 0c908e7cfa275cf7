from __future__ import annotations

import errno
import io
import json
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from stylize.errors import OutputError, PictureError, SettingError
from stylize.images import film as animation
from stylize.images.color_profiles import srgb_profile
from stylize.images.film import animation_format, check_animation, durations, write_animation
from stylize.images.metadata import MAX_RECIPE_BYTES, read_recipe
from stylize.runs.recipe import load_recipe
from stylize.version import __version__

RECIPE = json.dumps(
    {"inputs": [{"name": "Grüße 猫 🎨.png"}], "quote": 'a "b" \n'}, ensure_ascii=False
)
EVERYWHERE = pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp", ".mp4"])
PILLOWS = pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
SIZE = (48, 31)


def scene(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A dark disc that moves over a gradient, ``(H, W, 3)``."""
    y, x = np.mgrid[: size[1], : size[0]]
    disc = (x - 8 - 3 * index) ** 2 + (y - 15) ** 2 < 50
    planes = [x * 5 + 10, y * 7 + 10, 200 - 3 * x]
    return np.where(disc[..., None], 30, np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def frames(tmp_path: Path) -> list[Path]:
    """Five pictures that differ, in a folder of their own."""
    folder = tmp_path / "frames"
    folder.mkdir()
    paths = [folder / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        Image.fromarray(scene(index)).save(path)
    return paths


@pytest.fixture
def target(tmp_path: Path, suffix: str) -> Path:
    """A file in an empty folder."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / f"film{suffix}"


def error(image: Image.Image, values: np.ndarray) -> float:
    """Mean difference, in levels of 255."""
    return float(np.abs(np.asarray(image.convert("RGB"), float) - values).mean())


class TestFormats:
    def test_by_suffix(self):
        names = {
            "a.gif": "gif",
            "a.apng": "apng",
            "a.webp": "webp",
            "a.Mp4": "mp4",
        }
        assert {name: animation_format(Path(name)) for name in names} == names

    @pytest.mark.parametrize("name", ["film", "film.avi", "film.png", ".gif", "film.mp4.bak"])
    def test_others_are_refused(self, tmp_path, frames, name):
        with pytest.raises(OutputError, match=r"use \.webp \.gif \.apng \.mp4"):
            write_animation(tmp_path / name, frames, fps=10, recipe=None)
        assert os.listdir(tmp_path) == ["frames"]

    @EVERYWHERE
    @pytest.mark.parametrize(
        "options",
        [{"fps": value} for value in (0, -1, 0.05, 241, float("nan"), float("inf"))]
        + [{"fps": 25, "quality": value} for value in (0, 101)],
    )
    def test_settings_out_of_range(self, suffix, options):
        with pytest.raises(SettingError, match=r" is 0\.1 to 240 | is 1 to 100"):
            check_animation(Path(f"film{suffix}"), **options)

    def test_a_gif_has_its_pace(self):
        with pytest.raises(SettingError, match=r"at most 50 .* not 60 \(lower the rate, or write"):
            check_animation(Path("film.gif"), fps=60)
        check_animation(Path("film.gif"), fps=50)
        check_animation(Path("film.webp"), fps=60)


class TestTime:
    @given(st.integers(1, 400), st.floats(0.1, 240), st.sampled_from([100, 1000]))
    def test_rounding_does_not_add_up(self, length, fps, units_per_s):
        found = durations(length, fps, units_per_s)
        assert len(found) == length
        assert abs(sum(found) - length * units_per_s / fps) <= 0.5 + 1e-6
        assert max(found) - min(found) <= 1

    @given(st.integers(1, 400), st.floats(0.1, 50))
    def test_no_frame_of_a_gif_is_too_short(self, length, fps):
        assert min(durations(length, fps, 100)) >= 2

    def test_thirty_a_second(self):
        assert durations(6, 30, 100) == [3, 4, 3, 3, 4, 3]

    @PILLOWS
    @pytest.mark.parametrize("fps", [0.1, 7, 23.976, 30, 50])
    def test_the_film_lasts_as_long_as_it_should(self, target, frames, fps):
        write_animation(target, frames, fps=fps, recipe=None)
        with Image.open(target) as film:
            shown = []
            for frame in ImageSequence.Iterator(film):
                frame.load()  # before which Pillow does not tell of WebP
                shown.append(frame.info["duration"])
        unit_ms = {"gif": 10, "webp": 1}.get(target.suffix[1:], 0)
        assert sum(shown) == pytest.approx(5 * 1000 / fps, rel=1e-5, abs=unit_ms / 2 + 1e-6)
        assert max(shown) - min(shown) <= unit_ms + 1e-6


class TestRoundTrip:
    @PILLOWS
    def test_frames_size_and_loop(self, target, frames):
        write_animation(target, frames, fps=25, recipe=None)
        with Image.open(target) as film:
            assert (film.n_frames, film.size, film.info["loop"]) == (5, SIZE, 0)

    @PILLOWS
    def test_each_frame_is_close_to_its_source(self, target, frames):
        write_animation(target, frames, fps=25, recipe=None)
        limit = {".gif": 6, ".webp": 4}.get(suffix := target.suffix, 0)
        with Image.open(target) as film:
            for index, frame in enumerate(ImageSequence.Iterator(film)):
                assert error(frame, scene(index)) <= limit, suffix

    @EVERYWHERE
    @pytest.mark.parametrize("size", [(1, 1), (7, 1), (1, 40), (301, 5)])
    def test_odd_sizes(self, tmp_path, target, size):
        values = scene(0, size)
        Image.fromarray(values).save(tmp_path / "frame.png")
        write_animation(target, [tmp_path / "frame.png"], fps=10, recipe=RECIPE)
        assert json.loads(read_recipe(target)) == json.loads(RECIPE)
        if target.suffix != ".mp4":
            with Image.open(target) as film:
                assert film.size == size
                assert error(film, values) < 12

    @PILLOWS
    def test_a_frame_that_repeats_is_kept(self, target, frames):
        write_animation(target, frames[:1] * 4, fps=25, recipe=None)
        with Image.open(target) as film:
            assert film.n_frames == 4

    @pytest.mark.parametrize("suffix", [".gif"])
    def test_a_gif_dithers(self, tmp_path, target):
        """More colours than it holds: the palette errs by little and in no direction."""
        y, x = np.mgrid[:128, :128]
        values = np.stack([x * 2, y * 2, 255 - x - y], axis=-1).clip(0, 255).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / "frame.png")
        write_animation(target, [tmp_path / "frame.png"], fps=10, recipe=None)
        with Image.open(target) as film:
            shown = np.asarray(film.convert("RGB"), float)
        assert np.abs(shown - values).mean() < 8
        blocks = (shown - values).reshape(16, 8, 16, 8, 3).mean(axis=(1, 3))
        assert np.abs(blocks).mean() < 2

    @pytest.mark.parametrize("suffix", [".gif"])
    def test_each_frame_of_a_gif_has_colours_of_its_own(self, tmp_path, target):
        colours = [(250, 3, 5), (2, 251, 7), (1, 9, 252)]
        paths = [tmp_path / f"{index}.png" for index in range(3)]
        for path, colour in zip(paths, colours, strict=True):
            Image.new("RGB", SIZE, colour).save(path)
        write_animation(target, paths, fps=10, recipe=None)
        with Image.open(target) as film:
            shown = [
                frame.convert("RGB").getpixel((9, 9)) for frame in ImageSequence.Iterator(film)
            ]
        assert shown == colours

    @pytest.mark.parametrize("suffix", [".webp", ".mp4"])
    def test_quality_costs_bytes(self, target, frames):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(frames[0])
        sizes = []
        for quality in (5, 95):
            write_animation(target, frames[:1], fps=10, recipe=None, quality=quality)
            sizes.append(target.stat().st_size)
        assert sizes[1] > 1.3 * sizes[0]

    @pytest.mark.parametrize("suffix", [".apng", ".webp"])
    def test_the_profile(self, target, frames):
        write_animation(target, frames, fps=10, recipe=None)
        with Image.open(target) as film:
            assert film.info["icc_profile"] == srgb_profile()

    @EVERYWHERE
    def test_equal_films_are_equal_files(self, target, frames):
        write_animation(target, frames, fps=10, recipe=RECIPE)
        first = target.read_bytes()
        write_animation(target, frames, fps=10, recipe=RECIPE)
        assert target.read_bytes() == first

    @EVERYWHERE
    def test_few_frames_are_held(self, target, frames, monkeypatch):
        original, seen, alive = animation._pictures, [], []

        def watched(*args) -> Iterator[Image.Image]:
            for picture in original(*args):
                seen.append(weakref.ref(picture))
                alive.append(sum(ref() is not None for ref in seen))
                yield picture

        monkeypatch.setattr(animation, "_pictures", watched)
        write_animation(target, frames * 6, fps=10, recipe=None)
        assert len(alive) == 30
        assert max(alive) <= 3


class TestRecipe:
    @EVERYWHERE
    def test_it_survives(self, target, frames):
        write_animation(target, frames, fps=10, recipe=RECIPE)
        assert json.loads(read_recipe(target)) == json.loads(RECIPE)
        assert read_recipe(target.read_bytes()) == read_recipe(target)

    @EVERYWHERE
    @pytest.mark.parametrize("letter", ["x", "é"])
    def test_the_longest_survives(self, target, frames, letter):
        room = MAX_RECIPE_BYTES - len(json.dumps({"text": ""}))
        recipe = json.dumps({"text": letter * (room // len(letter.encode()))}, ensure_ascii=False)
        write_animation(target, frames[:1], fps=10, recipe=recipe)
        assert json.loads(read_recipe(target)) == json.loads(recipe)

    @EVERYWHERE
    def test_a_longer_one_is_refused(self, target, frames):
        with pytest.raises(OutputError, match="at most 16384"):
            write_animation(target, frames, fps=10, recipe=json.dumps("x" * MAX_RECIPE_BYTES))
        assert not os.listdir(target.parent)

    @EVERYWHERE
    def test_without_one_there_is_none(self, target, frames):
        write_animation(target, frames, fps=10, recipe=None)
        assert read_recipe(target) is None

    @pytest.mark.parametrize("suffix", [".gif"])
    def test_a_gif_names_the_program(self, target, frames):
        write_animation(target, frames, fps=10, recipe=None)
        with Image.open(target) as film:
            assert film.info["comment"] == f"stylize {__version__}".encode()

    @EVERYWHERE
    def test_the_program_reads_it(self, target, frames):
        document = {"tool": "stylize", "schema": 1, "technique": "tunnel"}
        document |= {"settings": {}, "inputs": [], "resolved": {}}
        write_animation(target, frames, fps=10, recipe=json.dumps(document))
        assert load_recipe(target) == document

    @pytest.mark.parametrize(
        "comment",
        [b"stylize", b"stylize 1\n", b"stylize 1\n[1]", b"stylize 1\n{\xff}", b'\n{"a":1}'],
    )
    def test_odd_comments_of_a_gif_are_no_recipe(self, encoded, comment):
        assert read_recipe(encoded(Image.new("RGB", (8, 8)), "GIF", comment=comment)) is None


@contextmanager
def disk_for(limit_bytes: int) -> Iterator[None]:
    """No file may grow beyond the limit: a write fails as it does on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@EVERYWHERE
class TestRefusals:
    def test_a_full_disk_leaves_everything_as_it_was(self, target, frames):
        write_animation(target, frames, fps=10, recipe=RECIPE)
        before = target.read_bytes()
        for limit in (0, 5, 100, len(before) // 2, len(before) - 1):
            with disk_for(limit), pytest.raises(OutputError, match=r"cannot write .*too large"):
                write_animation(target, frames, fps=10, recipe=RECIPE)
            assert os.listdir(target.parent) == [target.name]
            assert target.read_bytes() == before
        with disk_for(len(before)):
            write_animation(target, frames, fps=10, recipe=RECIPE)

    @pytest.mark.parametrize("function", ["fsync", "replace"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
    def test_the_system_refuses(self, target, frames, monkeypatch, function, code):
        def refuse(*_):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, function, refuse)
        with pytest.raises(OutputError, match=f"cannot write .*: {os.strerror(code).lower()}"):
            write_animation(target, frames, fps=10, recipe=None)
        assert not os.listdir(target.parent)

    def test_an_interrupt_leaves_nothing(self, target, frames, monkeypatch):
        def interrupted(*_):
            yield Image.new("RGB", SIZE)
            raise KeyboardInterrupt

        monkeypatch.setattr(animation, "_pictures", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_animation(target, frames, fps=10, recipe=None)
        assert not os.listdir(target.parent)

    def test_no_frames(self, target):
        with pytest.raises(OutputError, match="there are no frames"):
            write_animation(target, [], fps=10, recipe=None)
        assert not os.listdir(target.parent)

    @pytest.mark.parametrize("index", [0, 3])
    def test_a_frame_that_cannot_be_read(self, target, frames, index):
        for damage, complaint in (
            (lambda path: path.write_bytes(path.read_bytes()[:-60]), "damaged"),
            (lambda path: path.write_bytes(b"no picture"), "not a picture"),
            (lambda path: path.unlink(), "there is no such file"),
        ):
            damage(frames[index])
            with pytest.raises(PictureError, match=rf"{index}\.png.*{complaint}"):
                write_animation(target, frames, fps=10, recipe=None)
            assert not os.listdir(target.parent)

    def test_a_frame_of_another_size(self, target, frames):
        Image.new("RGB", (48, 32)).save(frames[2])
        with pytest.raises(PictureError, match=r"2\.png is 48×32, the first frame .* 48×31"):
            write_animation(target, frames, fps=10, recipe=None)
        assert not os.listdir(target.parent)

    def test_a_folder_in_the_way(self, target, frames):
        target.mkdir()
        with pytest.raises(OutputError, match="not a regular file"):
            write_animation(target, frames, fps=10, recipe=None)

    def test_no_folder(self, target, frames):
        with pytest.raises(OutputError, match="no such file or directory"):
            write_animation(target.parent / "gone" / target.name, frames, fps=10, recipe=None)

    @pytest.mark.skipif(os.name == "nt", reason="permissions are of another kind there")
    def test_the_umask_is_honoured(self, target, frames):
        before = os.umask(0o027)
        try:
            write_animation(target, frames, fps=10, recipe=None)
        finally:
            os.umask(before)
        assert stat.S_IMODE(target.stat().st_mode) == 0o640

    def test_odd_names_are_only_names(self, target, frames, monkeypatch):
        """What FFmpeg takes for a protocol or a pattern, relative to where we are."""
        monkeypatch.chdir(target.parent)
        name = f"pipe:%03d{target.suffix}"
        write_animation(Path(name), frames, fps=10, recipe=RECIPE)
        assert os.listdir() == [name]
        assert json.loads(read_recipe(Path(name))) == json.loads(RECIPE)


@pytest.mark.parametrize(
    ("suffix", "side"), [(".gif", 65_536), (".webp", 16_384), (".mp4", 16_386)]
)
def test_a_side_too_long_for_the_format(tmp_path, target, side):
    Image.new("RGB", (side, 1)).save(tmp_path / "long.png")
    with pytest.raises(
        OutputError, match=rf"pixels per side, the frames are {side}×1 \(write apng"
    ):
        write_animation(target, [tmp_path / "long.png"], fps=10, recipe=None)


@given(st.data())
def test_a_damaged_gif_is_told(data):
    film = bytearray(GIF)
    for _ in range(data.draw(st.integers(1, 8))):
        film[data.draw(st.integers(0, len(film) - 1))] = data.draw(st.integers(0, 255))
    try:
        recipe = read_recipe(bytes(film[: data.draw(st.integers(0, len(film)))]))
    except PictureError:
        return
    assert recipe is None or isinstance(json.loads(recipe), dict)


def _gif() -> bytes:
    buffer = io.BytesIO()
    pictures = [Image.fromarray(scene(index, (8, 8))) for index in range(2)]
    comment = b'stylize 1\n{"a": 1}'
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], comment=comment)
    return buffer.getvalue()


GIF = _gif()
