from __future__ import annotations

import io
import itertools
import logging
import os
import sys
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stylize.errors import MissingExtraError, PictureError, SettingError, StylizeError
from stylize.images import open as opening
from stylize.images.open import set_pixel_limit
from stylize.images.read import read_picture
from tests.conftest import unprivileged

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")


def _sample(format: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


SAMPLES = {format: _sample(format) for format in FORMATS}


@pytest.fixture(autouse=True)
def limits_restored(monkeypatch):
    monkeypatch.setitem(opening._limit, "max_pixels", opening.DEFAULT_MAX_PIXELS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


def _complaint(source: Path | bytes, **options) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("format", FORMATS)
def test_every_listed_format_is_read_whatever_the_file_is_called(tmp_path, format):
    path = tmp_path / "misnamed.txt"
    path.write_bytes(SAMPLES[format])
    assert read_picture(path).size == (16, 24)


def test_no_such_file(tmp_path):
    assert _complaint(tmp_path / "gone.png") == f"{tmp_path}/gone.png: there is no such file"


def test_a_folder(tmp_path):
    assert "is a folder, not a picture" in _complaint(tmp_path)


def test_no_permission(tmp_path):
    (tmp_path / "secret.png").touch(0)
    with unprivileged():
        assert "permission denied" in _complaint(tmp_path / "secret.png")


posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such pipes")


def _through_pipe(blocks, **options) -> tuple[str | None, int]:
    """What a reader of a pipe says of it, and how many bytes the writer got rid of."""
    ours, theirs = os.pipe()
    written = 0

    def write() -> None:
        nonlocal written
        try:
            for block in blocks:
                written += os.write(theirs, block)
        except BrokenPipeError:
            pass
        finally:
            os.close(theirs)

    writer = threading.Thread(target=write)
    writer.start()
    path = Path(f"/dev/fd/{ours}")
    try:
        read_picture(path, **options)
        said = None
    except PictureError as error:
        said = str(error)
    finally:
        os.close(ours)
        writer.join()
    return said, written


@posix
def test_a_picture_through_a_pipe():
    assert _through_pipe([SAMPLES["PNG"][:10], SAMPLES["PNG"][10:]])[0] is None


@posix
def test_a_pipe_is_looked_at_before_it_is_read():
    said, written = _through_pipe(itertools.repeat(bytes(65536)))
    assert "is not a picture" in said
    assert written < 1_000_000


@posix
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF"])
def test_an_endless_picture_in_a_pipe(format):
    """What follows a picture is not read beyond what the picture could take."""
    set_pixel_limit(1000)
    blocks = itertools.chain([SAMPLES[format]], itertools.repeat(bytes(65536)))
    said, written = _through_pipe(blocks)
    assert "is too long: more than 67 MB for a picture of its size (save it to a file" in said
    assert written < 75_000_000


@posix
def test_an_endless_stream_that_only_begins_like_a_picture():
    blocks = itertools.chain([SAMPLES["PNG"][:8]], itertools.repeat(bytes(65536)))
    said, written = _through_pipe(blocks)
    assert "is damaged or incomplete" in said
    assert written < 75_000_000


def test_an_impossible_name():
    assert "cannot be read" in _complaint(Path("a\0b.png"))
    assert "name too long" in _complaint(Path("n" * 300)).lower()


def test_an_empty_file(tmp_path):
    path = tmp_path / "nothing.png"
    path.touch()
    assert _complaint(path).endswith("nothing.png is empty (0 bytes)")


def test_text_is_not_a_picture():
    message = _complaint(b"dear diary", name="notes.txt")
    assert message.startswith("notes.txt is not a picture this program reads (it reads PNG, JPEG,")


@pytest.mark.parametrize("format", ["EPS", "PPM", "ICO", "PDF", "TGA", "PCX"])
def test_formats_off_the_list_are_refused(encoded, format):
    data = encoded(Image.new("RGB", (16, 16)), format)
    assert "this program" in _complaint(data, name="picture.png")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_truncated_file_is_damaged(format, share):
    data = SAMPLES[format]
    message = _complaint(data[: int(len(data) * share)], name="half.jpg")
    assert message == "half.jpg is damaged or incomplete"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_only_our_errors_escape_from_hostile_bytes(format, changes):
    data = bytearray(SAMPLES[format])
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        picture = read_picture(bytes(data), max_pixels=10_000)
    except StylizeError:
        return
    assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1


def test_control_characters_stay_out_of_errors():
    assert _complaint(b"", name="\x1b[31mred\n.png").startswith("[31mred.png is empty")


class TestPixelLimit:
    def test_a_bomb_is_refused_by_its_header(self, raw_png):
        side = 20_000
        bomb = raw_png(side, side, 1, 0, (b"\0" * (side // 8 + 1)) * side)
        assert len(bomb) < 100_000
        tracemalloc.start()
        message = _complaint(bomb, name="bomb.png")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert message == (
            "bomb.png is too large: 20000×20000 = 400 MP, the limit is 80 MP"
            " (raise it with --max-input-pixels)"
        )
        assert peak < 2_000_000

    def test_the_boundary_is_exact(self):
        assert read_picture(SAMPLES["PNG"], max_pixels=16 * 24).size == (16, 24)
        assert "24×16 = 0.000384 MP, the limit is 0.000383 MP" in _complaint(
            SAMPLES["PNG"], max_pixels=16 * 24 - 1
        )

    @pytest.mark.parametrize("format", FORMATS)
    def test_pillows_own_limit_does_not_interfere_below_ours(self, monkeypatch, format):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        assert read_picture(SAMPLES[format]).size == (16, 24)
        assert Image.MAX_IMAGE_PIXELS == 100

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("limit", [10, 300])
    def test_every_format_is_refused_beyond_the_limit(self, monkeypatch, format, limit):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "is too large" in _complaint(SAMPLES[format], max_pixels=limit)

    def test_the_limit_is_set_here_and_in_pillow(self):
        set_pixel_limit(200)
        assert Image.MAX_IMAGE_PIXELS == 200
        assert "is too large" in _complaint(SAMPLES["PNG"])
        set_pixel_limit(500)
        assert read_picture(SAMPLES["PNG"]).size == (16, 24)

    def test_a_limit_below_one_makes_no_sense(self):
        with pytest.raises(SettingError):
            set_pixel_limit(0)


def test_running_out_of_memory_is_told(monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("stylize.images.read.decode", exhausted)
    assert "does not fit in memory" in _complaint(SAMPLES["PNG"])


def test_warnings_are_swallowed_and_the_filters_restored(encoded):
    exif = Image.Exif()
    exif[274] = 1
    data = encoded(Image.new("RGB", (4, 4)), "TIFF", exif=exif)
    before = list(warnings.filters)
    read_picture(data + b"\0" * 3)
    assert warnings.filters == before


@pytest.mark.parametrize("library", ["PIL", "tifffile"])
def test_remarks_of_the_libraries_are_not_printed(library):
    assert any(isinstance(it, logging.NullHandler) for it in logging.getLogger(library).handlers)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_like_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(SAMPLES["PNG"],))
    writer.start()
    picture = read_picture(pipe)
    writer.join()
    assert picture.sha256 == read_picture(SAMPLES["PNG"]).sha256


class TestHeic:
    def test_without_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(MissingExtraError, match=r"HEIC pictures.*pip install pillow-heif"):
            read_picture(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")

    def test_with_the_extra(self):
        heif = pytest.importorskip("pillow_heif")
        buffer = io.BytesIO()
        heif.from_pillow(Image.new("RGB", (64, 48), (200, 100, 50))).save(buffer, quality=95)
        picture = read_picture(buffer.getvalue())
        assert picture.size == (48, 64)
        assert abs(float(picture.pixels[0, 0].mean()) - 200 / 255) < 0.02
        assert picture.notes == ()


def test_libraries_print_nothing_about_damaged_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """libtiff writes to stderr itself, past Python."""
    path = tmp_path / "damaged.tiff"
    Image.new("RGB", (32, 24), "red").save(path, compression="tiff_lzw")
    data = path.read_bytes()
    path.write_bytes(data.replace(data[8:20], bytes(12), 1))
    with pytest.raises(PictureError):
        read_picture(path)
    assert capfd.readouterr() == ("", "")
