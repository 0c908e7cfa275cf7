from __future__ import annotations

import io
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stylize.images import samples as bands
from stylize.images.read import read_picture
from stylize.images.samples import BAND_PX, row_bands
from stylize.images.write import write_picture
from tests.images.test_color_profiles import WIDE

SIZE = (37, 23)  # in bands of 4 rows, the last of 1


@given(st.integers(1, 3000), st.integers(1, 2 * BAND_PX))
def test_every_row_is_in_one_band(height: int, width: int) -> None:
    found = list(row_bands((height, width)))
    assert found[0].start == 0
    assert found[-1].stop == height
    assert all(above.stop == below.start for above, below in pairwise(found))
    assert all(0 < (rows.stop - rows.start) * width <= max(BAND_PX, width) for rows in found)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("L", {"icc_profile": WIDE}),
        ("LA", {}),
        ("P", {"transparency": bytes(range(200))}),
        ("RGB", {"icc_profile": WIDE}),
        ("RGB", {"transparency": (1, 2, 3)}),
        ("RGBA", {"icc_profile": WIDE}),
    ],
)
def test_a_picture_read_in_many_bands_is_the_same(encoded, monkeypatch, mode, options):
    values = np.random.default_rng(1).integers(0, 256, (*SIZE, 4), dtype=np.uint8)
    values[:9, :, 3] = 255
    exif = Image.Exif()
    exif[274] = 6
    data = encoded(Image.fromarray(values).convert(mode), "PNG", exif=exif, **options)
    whole = read_picture(data)
    monkeypatch.setattr(bands, "BAND_PX", 100)
    parts = read_picture(data)
    assert torch.equal(whole.pixels, parts.pixels)
    assert (whole.alpha is None) == (parts.alpha is None)
    assert whole.alpha is None or torch.equal(whole.alpha, parts.alpha)


class TestWriting:
    """A file written in many bands holds the same as one written in one."""

    @pytest.mark.parametrize("with_alpha", [False, True])
    @pytest.mark.parametrize(
        ("format", "depth"), [("png", 8), ("tiff", 8), ("jpeg", 8), ("png", 16), ("tiff", 16)]
    )
    def test_same_picture(self, monkeypatch, format, depth, with_alpha):
        pytest.importorskip("tifffile")
        pixels = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
        alpha = pixels[:, :1] if with_alpha else None

        def written() -> bytes:
            stream = io.BytesIO()
            write_picture(stream, pixels, alpha=alpha, format=format, depth=depth)
            return stream.getvalue()

        whole = written()
        monkeypatch.setattr(bands, "BAND_PX", 100)
        monkeypatch.setattr("stylize.images.tiff._STRIP_BYTES", 1000)
        whole_picture, picture = read_picture(whole), read_picture(written())
        assert torch.equal(picture.pixels, whole_picture.pixels)
        assert (picture.alpha is None) == (alpha is None or format == "jpeg")
        if format != "tiff" or depth == 8:
            assert written() == whole

    @pytest.mark.parametrize("format", ["png", "tiff"])
    def test_16_bits_go_to_the_file_as_they_are_made(self, tmp_path, format):
        """What is allocated on the way is small compared with the 12 MB of numbers in the file."""
        pytest.importorskip("tifffile")
        pixels = torch.rand(1, 3, 4000, 500, generator=torch.Generator().manual_seed(0))
        write_picture(tmp_path / f"warm.{format}", pixels[..., :9, :9], depth=16, format=format)
        write_picture(tmp_path / f"first.{format}", pixels[..., :100, :], depth=16)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bands, "BAND_PX", 20_000)
            tracemalloc.start()
            write_picture(tmp_path / f"out.{format}", pixels, depth=16)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert (tmp_path / f"out.{format}").stat().st_size > 8_000_000
        assert peak < 3_000_000
