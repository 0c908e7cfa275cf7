from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageFile

from stylize.errors import MissingExtraError, NumericalError, OutputError, SettingError
from stylize.images.color_profiles import srgb_profile
from stylize.images.read import read_picture
from stylize.images.write import write_picture

SUFFIXES = [".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".PNG"]
SMOOTH = torch.linspace(0.1, 0.9, 32).expand(1, 3, 24, 32)


def _picture(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(values, -1, 0)[None].astype(np.float32))


def _written(pixels: torch.Tensor, **options) -> bytes:
    stream = io.BytesIO()
    write_picture(stream, pixels, **options)
    return stream.getvalue()


def _array(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


COLOURS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda size: (*size, 3)),
    elements=st.floats(-0.5, 1.5, width=32),
)


class TestRounding:
    @given(COLOURS, st.sampled_from(["png", "tiff"]))
    def test_8_bits_are_rounded_to_the_nearest(self, values, format):
        read = read_picture(_written(_picture(values), format=format))
        error = read.pixels - _picture(values).clamp(0, 1)
        assert error.abs().max() <= 0.5 / 255 + 1e-6

    @given(COLOURS)
    def test_16_bits_are_rounded_to_the_nearest(self, values):
        pytest.importorskip("tifffile")
        read = read_picture(_written(_picture(values), format="tiff", depth=16))
        error = read.pixels - _picture(values).clamp(0, 1)
        assert error.abs().max() <= 0.5 / 65535 + 1e-7

    @given(arrays(np.uint8, (3, 5, 3)), st.sampled_from(["png", "tiff"]))
    def test_what_was_8_bits_comes_back_the_same(self, values, format):
        data = _written(_picture(values) / 255, format=format)
        np.testing.assert_array_equal(_array(data), values)
        assert torch.equal(read_picture(data).pixels, _picture(values) / 255)

    @given(arrays(np.uint16, (3, 5, 3)))
    def test_what_was_16_bits_comes_back_the_same(self, values):
        tifffile = pytest.importorskip("tifffile")
        data = _written(_picture(values) / 65535, format="tiff", depth=16)
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), values)
        assert torch.equal(read_picture(data).pixels, _picture(values) / 65535)

    def test_every_level_of_16_bits(self):
        levels = np.arange(65536, dtype=np.uint16)[None, :, None].repeat(3, axis=2)
        tifffile = pytest.importorskip("tifffile")
        data = _written(_picture(levels) / 65535, format="tiff", depth=16)
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), levels)

    def test_halves_go_up_and_nothing_is_cut_short(self):
        values = np.array([[[0.4, 0.5, 0.6]]]) / 255
        assert _array(_written(_picture(values))).tolist() == [[[0, 1, 1]]]

    def test_a_double_on_a_strange_layout(self):
        pixels = torch.rand(1, 3, 4, 6, dtype=torch.float64).transpose(2, 3).requires_grad_()
        read = read_picture(_written(pixels))
        assert (read.pixels - pixels).abs().max() < 0.51 / 255


class TestFormats:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_the_suffix_decides(self, tmp_path, suffix):
        path = tmp_path / f"out{suffix}"
        write_picture(path, SMOOTH)
        with Image.open(path) as image:
            assert image.size == (32, 24)
            assert image.info["icc_profile"] == srgb_profile()
            assert image.format.lower()[:3] == suffix.lower()[1:4].replace("jpg", "jpe")
        assert (read_picture(path).pixels - SMOOTH).abs().max() < 0.03
        assert os.listdir(tmp_path) == [path.name]

    def test_the_format_goes_before_the_suffix(self, tmp_path):
        write_picture(tmp_path / "out.dat", SMOOTH, format="webp")
        assert (tmp_path / "out.dat").read_bytes()[8:12] == b"WEBP"

    def test_a_stream_gets_png_and_stays_open(self):
        stream = io.BytesIO()
        write_picture(stream, SMOOTH)
        assert stream.getvalue().startswith(b"\x89PNG")

    @pytest.mark.parametrize("name", ["out", "out.gif", "out.png.bak", ".png"])
    def test_other_suffixes_are_refused(self, tmp_path, name):
        with pytest.raises(OutputError, match=r"use \.png \.jpg"):
            write_picture(tmp_path / name, SMOOTH)

    @pytest.mark.parametrize(
        "options",
        [
            {"format": "gif"},
            {"depth": 12},
            {"depth": 16, "format": "jpeg"},
            {"depth": 16, "format": "webp"},
            {"quality": 0},
            {"quality": 101},
        ],
    )
    def test_settings_out_of_range(self, options):
        with pytest.raises(SettingError):
            _written(SMOOTH, **options)

    def test_quality_costs_bytes(self):
        noise = torch.rand(1, 3, 64, 64)
        for format in ("jpeg", "webp", "avif"):
            low, high = (len(_written(noise, format=format, quality=q)) for q in (30, 95))
            assert high > 1.5 * low

    def test_jpeg_keeps_colour_at_full_resolution(self):
        image = Image.open(io.BytesIO(_written(SMOOTH, format="jpeg")))
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}

    @pytest.mark.parametrize("quality", [95, 100])
    def test_noise_fits_into_a_jpeg(self, quality):
        noise = torch.rand(1, 3, 200, 300, generator=torch.Generator().manual_seed(0))
        data = _written(noise, format="jpeg", quality=quality)
        assert len(data) > 2 * 200 * 300
        assert (read_picture(data).pixels - noise).abs().max() < 0.2

    def test_pillows_buffers_are_as_before(self):
        before = ImageFile.MAXBLOCK
        _written(SMOOTH, format="jpeg")
        assert before == ImageFile.MAXBLOCK

    @pytest.mark.parametrize(("format", "side"), [("jpeg", 65_501), ("webp", 16_384)])
    def test_a_side_too_long_for_the_format(self, format, side):
        with pytest.raises(OutputError, match=f"at most {side - 1} pixels per side"):
            _written(torch.zeros(1, 3, 1, side), format=format)

    def test_an_encoder_that_fails_is_told(self, monkeypatch):
        def fail(*_, **__):
            raise RuntimeError("no such luck")

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(OutputError, match="png encoder failed: no such luck"):
            _written(SMOOTH)

    @pytest.mark.parametrize("options", [{}, {"depth": 16}, {"format": "jpeg"}, {"format": "tiff"}])
    def test_equal_pictures_are_equal_files(self, options):
        assert _written(SMOOTH, **options) == _written(SMOOTH, **options)

    def test_16_bit_tiff_without_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tifffile", None)
        with pytest.raises(MissingExtraError, match=r"16-bit TIFF.*pip install tifffile"):
            _written(SMOOTH, format="tiff", depth=16)

    @pytest.mark.parametrize("format", ["png", "tiff"])
    def test_16_bits_are_announced_and_profiled(self, format):
        data = _written(SMOOTH, format=format, depth=16)
        image = Image.open(io.BytesIO(data))
        assert image.info["icc_profile"] == srgb_profile()
        assert image.mode == "RGB"
        bits = image.tag_v2[258] if format == "tiff" else (data[24],)
        assert set(bits) == {16}


class TestAlpha:
    ALPHA = (torch.arange(32) >= 16).float().expand(1, 1, 24, 32)

    @pytest.mark.parametrize(
        ("format", "depth"),
        [("png", 8), ("webp", 8), ("avif", 8), ("tiff", 8), ("png", 16), ("tiff", 16)],
    )
    def test_it_is_written(self, format, depth):
        read = read_picture(_written(SMOOTH, alpha=self.ALPHA, format=format, depth=depth))
        assert (read.alpha - self.ALPHA).abs().max() < 0.03
        assert (read.pixels - SMOOTH)[..., 16:].abs().max() < 0.03

    def test_jpeg_gets_white_below(self):
        read = read_picture(_written(SMOOTH * 0, alpha=self.ALPHA * 0.5, format="jpeg"))
        assert read.alpha is None
        assert read.pixels[..., :12].min() > 0.97
        assert abs(float(read.pixels[..., 20:].mean()) - 0.5) < 0.02


class _FullDisk(io.BytesIO):
    def write(self, data):
        raise OSError(28, "No space left on device")


class TestRefusals:
    @pytest.mark.parametrize(
        ("suffix", "depth"),
        [("png", 8), ("jpg", 8), ("webp", 8), ("tif", 8), ("png", 16), ("tif", 16)],
    )
    def test_a_full_disk_is_called_so(self, tmp_path, monkeypatch, suffix, depth):
        target = tmp_path / f"out.{suffix}"
        target.write_bytes(b"precious")
        plain = Path.open

        def full(path, mode="r"):
            return _FullDisk() if mode == "wb" else plain(path, mode)

        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(OutputError, match=r"cannot write .*: no space left on device"):
            write_picture(target, SMOOTH, depth=depth)
        monkeypatch.undo()
        assert target.read_bytes() == b"precious"
        assert os.listdir(tmp_path) == [target.name]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    @pytest.mark.parametrize("format", ["png", "jpeg"])
    def test_values_that_are_no_numbers(self, tmp_path, value, format):
        pixels = SMOOTH.clone()
        pixels[0, 1, 2, 3] = value
        with pytest.raises(NumericalError):
            write_picture(tmp_path / "out.png", pixels, format=format)
        with pytest.raises(NumericalError):
            _written(SMOOTH, alpha=pixels[:, 1:2], format=format)
        assert not os.listdir(tmp_path)

    @pytest.mark.parametrize("shape", [(3, 4, 4), (2, 3, 4, 4), (1, 1, 4, 4)])
    def test_other_shapes(self, shape):
        with pytest.raises(ValueError, match=r"expected \(1, 3, H, W\)"):
            _written(torch.zeros(shape))

    @pytest.mark.parametrize("format", ["png", "jpeg"])
    def test_alpha_of_another_size(self, format):
        with pytest.raises(ValueError, match="alpha is"):
            _written(SMOOTH, alpha=torch.ones(1, 1, 1, 1), format=format)


class _Narrow(io.RawIOBase):
    """A raw stream that takes a few bytes at a time, up to its limit."""

    def __init__(self, limit: int) -> None:
        self.taken, self._limit = b"", limit

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        part = bytes(data[: min(100, self._limit - len(self.taken))])
        self.taken += part
        return len(part)


def test_short_writes_to_a_raw_stream() -> None:
    whole = _written(SMOOTH)
    stream = _Narrow(len(whole))
    write_picture(stream, SMOOTH)
    assert stream.taken == whole
    with pytest.raises(OutputError, match="takes no more"):
        write_picture(_Narrow(len(whole) - 1), SMOOTH)
