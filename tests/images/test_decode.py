from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from stylize.errors import PictureError
from stylize.images.find import measure
from stylize.images.read import read_picture
from tests.images.test_color_profiles import LINEAR_GREY

RED, GREEN = (255, 0, 0), (0, 255, 0)


def _pixel(picture, y=0, x=0):
    return picture.pixels[0, :, y, x].tolist()


def _grey(value):
    return pytest.approx([value] * 3)


class TestModes:
    def test_rgb(self, encoded):
        picture = read_picture(encoded(Image.new("RGB", (5, 3), (255, 51, 0)), "PNG"))
        assert picture.pixels.shape == (1, 3, 3, 5)
        assert picture.pixels.dtype == torch.float32
        assert picture.pixels.is_contiguous()
        assert picture.alpha is None
        assert picture.notes == ()
        assert _pixel(picture) == pytest.approx([1, 0.2, 0])

    def test_one_bit(self, encoded):
        image = Image.new("1", (3, 1))
        image.putpixel((1, 0), 1)
        picture = read_picture(encoded(image, "PNG"))
        assert picture.pixels[0, :, 0].tolist() == [[0, 1, 0]] * 3

    def test_grey(self, encoded):
        assert _pixel(read_picture(encoded(Image.new("L", (2, 2), 51), "PNG"))) == _grey(0.2)

    def test_grey_with_alpha(self, encoded):
        image = Image.new("LA", (2, 1), (51, 255))
        image.putpixel((1, 0), (255, 0))
        picture = read_picture(encoded(image, "PNG"))
        assert picture.alpha.tolist() == [[[[1, 0]]]]
        assert _pixel(picture, x=1) == _grey(0.2)

    def test_palette(self, encoded):
        image = Image.new("P", (2, 1), 0)
        image.putpalette([*RED, *GREEN])
        image.putpixel((1, 0), 1)
        picture = read_picture(encoded(image, "PNG"))
        assert [_pixel(picture, x=x) for x in (0, 1)] == [[1, 0, 0], [0, 1, 0]]

    @pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
    def test_palette_with_transparency(self, encoded, transparency):
        image = Image.new("P", (2, 1), 0)
        image.putpalette([*RED, *GREEN])
        image.putpixel((1, 0), 1)
        picture = read_picture(encoded(image, "PNG", transparency=transparency))
        assert picture.alpha.tolist() == [[[[1, 0]]]]
        assert _pixel(picture, x=1) == [1, 0, 0]

    @pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7))])
    def test_a_transparent_colour(self, encoded, mode, key):
        image = Image.new(mode, (2, 1), "white")
        image.putpixel((1, 0), key)
        picture = read_picture(encoded(image, "PNG", transparency=key))
        assert picture.alpha.tolist() == [[[[1, 0]]]]
        assert _pixel(picture, x=1) == [1, 1, 1]

    def test_cmyk_without_a_profile(self, encoded):
        picture = read_picture(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
        assert _pixel(picture) == pytest.approx([1, 0, 0], abs=0.02)
        assert picture.notes == ("CMYK without a colour profile, the colours are approximate",)

    def test_an_exotic_mode_is_named(self, encoded):
        data = encoded(Image.new("LAB", (4, 4)), "TIFF")
        with pytest.raises(PictureError, match=r"^lab\.tif has the unsupported colour mode LAB"):
            read_picture(data, name="lab.tif")


class TestDeepGrey:
    def test_16_bits_do_not_saturate(self, raw_png):
        rows = b"\0" + struct.pack(">4H", 0, 1, 32768, 65535)
        picture = read_picture(raw_png(4, 1, 16, 0, rows))
        expected = torch.tensor([0, 1, 32768, 65535]) / 65535
        torch.testing.assert_close(picture.pixels[0], expected.expand(3, 1, 4))

    def test_a_transparent_grey(self, raw_png):
        rows = b"\0" + struct.pack(">2H", 32768, 700)
        picture = read_picture(raw_png(2, 1, 16, 0, rows, (b"tRNS", struct.pack(">H", 700))))
        assert picture.alpha.tolist() == [[[[1, 0]]]]
        assert _pixel(picture, x=1) == _grey(32768 / 65535)

    def test_its_profile_is_applied(self, raw_png):
        """Half the light of a linear picture is 0.735 in sRGB (IEC 61966-2-1)."""
        profile = b"p\0\0" + zlib.compress(LINEAR_GREY)
        data = raw_png(1, 1, 16, 0, b"\0" + struct.pack(">H", 32768), (b"iCCP", profile))
        assert _pixel(read_picture(data)) == pytest.approx([0.735] * 3, abs=0.005)


class TestDeepColour:
    def test_png_is_read_at_8_bits(self, raw_png):
        rows = b"\0" + struct.pack(">3H", 65535, 32768, 0)
        assert _pixel(read_picture(raw_png(1, 1, 16, 2, rows))) == pytest.approx([1, 128 / 255, 0])


class TestTransparency:
    def test_hidden_colours_do_not_leak(self, encoded):
        image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
        image.putpixel((1, 0), (0, 255, 0, 255))
        picture = read_picture(encoded(image, "PNG"))
        assert _pixel(picture) == [0, 1, 0]
        assert picture.alpha.tolist() == [[[[0, 1]]]]

    def test_the_mean_is_weighted_by_alpha(self, encoded):
        image = Image.new("RGBA", (3, 1), (0, 0, 255, 0))
        image.putpixel((1, 0), (255, 0, 0, 255))
        image.putpixel((2, 0), (0, 255, 0, 51))
        picture = read_picture(encoded(image, "PNG"))
        red, green = 1 / 1.2, 0.2 / 1.2
        assert _pixel(picture) == pytest.approx([red, green, 0])

    def test_a_pixel_that_shows_a_little_keeps_its_colour(self, encoded):
        image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
        image.putpixel((1, 0), (0, 51, 204, 1))
        assert _pixel(read_picture(encoded(image, "PNG")), x=1) == pytest.approx([0, 0.2, 0.8])

    def test_nothing_visible_is_grey(self, encoded):
        picture = read_picture(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), "PNG"))
        assert _pixel(picture) == [0.5, 0.5, 0.5]
        assert not picture.alpha.any()

    def test_opaque_everywhere_is_no_alpha(self, encoded):
        picture = read_picture(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 255)), "PNG"))
        assert picture.alpha is None

    @given(arrays(np.uint8, (4, 5, 4)), st.randoms())
    def test_hidden_colours_never_matter(self, values, random):
        other = values.copy()
        hidden = other[..., 3] == 0
        other[hidden, :3] = random.randrange(256)
        pictures = [read_picture(_png(array)) for array in (values, other)]
        assert torch.equal(pictures[0].pixels, pictures[1].pixels)


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


class TestOrientation:
    UPRIGHT = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3

    # What a camera stores so that a viewer which follows the tag shows UPRIGHT.
    STORED = (
        (1, UPRIGHT),
        (2, UPRIGHT[:, ::-1]),
        (3, UPRIGHT[::-1, ::-1]),
        (4, UPRIGHT[::-1]),
        (5, UPRIGHT.swapaxes(0, 1)),
        (6, np.rot90(UPRIGHT, 1)),
        (7, UPRIGHT.swapaxes(0, 1)[::-1, ::-1]),
        (8, np.rot90(UPRIGHT, -1)),
    )

    @pytest.mark.parametrize(("orientation", "stored"), STORED)
    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_all_eight(self, encoded, format, orientation, stored):
        exif = Image.Exif()
        exif[274] = orientation
        image = Image.fromarray(np.ascontiguousarray(stored))
        self._check(read_picture(encoded(image, format, exif=exif)), 255, self.UPRIGHT)

    @pytest.mark.parametrize(("orientation", "stored"), STORED)
    @pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
    def test_all_eight_in_lossy_formats(self, encoded, format, orientation, stored):
        exif = Image.Exif()
        exif[274] = orientation
        blocks = np.ascontiguousarray(stored).repeat(16, axis=0).repeat(16, axis=1)
        image = Image.fromarray(blocks)
        picture = read_picture(encoded(image, format, exif=exif, quality=95))
        expected = torch.from_numpy(self.UPRIGHT / np.float32(255)).permute(2, 0, 1)
        centres = picture.pixels[0, :, 8::16, 8::16]
        torch.testing.assert_close(centres, expected, atol=0.03, rtol=0)

    @pytest.mark.parametrize(("orientation", "stored"), STORED)
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("type_code", [1, 3, 4])  # BYTE, SHORT, LONG
    def test_all_eight_in_a_tiff(self, tmp_path, type_code, dtype, orientation, stored):
        tifffile = pytest.importorskip("tifffile")
        path = tmp_path / "turned.tif"
        tag = (274, type_code, 1, orientation, True)
        tifffile.imwrite(path, stored.astype(dtype), photometric="rgb", extratags=[tag])
        self._check(read_picture(path), np.iinfo(dtype).max, self.UPRIGHT)
        assert measure(path) == (self.UPRIGHT.shape[:2], None)

    @pytest.mark.parametrize(("orientation", "stored"), STORED)
    def test_stored_as_a_byte(self, tmp_path, encoded, orientation, stored):
        """Some cameras store the number as BYTE instead of SHORT; ImageMagick follows it too."""
        directory = struct.pack("<IHHHIBxxxI", 8, 1, 274, 1, 1, orientation, 0)
        image = Image.fromarray(np.ascontiguousarray(stored))
        path = tmp_path / "byte.webp"
        path.write_bytes(encoded(image, "WEBP", lossless=True, exif=b"Exif\0\0II*\0" + directory))
        self._check(read_picture(path), 255, self.UPRIGHT)
        assert measure(path) == (self.UPRIGHT.shape[:2], None)

    def test_alpha_turns_with_the_colour(self, encoded):
        exif = Image.Exif()
        exif[274] = 6
        image = Image.new("RGBA", (2, 1), (*RED, 255))
        image.putpixel((1, 0), (*RED, 0))
        picture = read_picture(encoded(image, "PNG", exif=exif))
        assert picture.size == (2, 1)
        assert picture.alpha.tolist() == [[[[1], [0]]]]

    def test_an_orientation_that_does_not_exist(self, encoded):
        exif = Image.Exif()
        exif[274] = 99
        data = encoded(Image.fromarray(self.UPRIGHT), "PNG", exif=exif)
        self._check(read_picture(data), 255, self.UPRIGHT)

    def test_broken_metadata_does_not_cost_the_picture(self, encoded):
        data = encoded(Image.fromarray(self.UPRIGHT), "PNG", exif=b"Exif\0\0nonsense")
        self._check(read_picture(data), 255, self.UPRIGHT)

    @staticmethod
    def _check(picture, full_scale, upright):
        expected = torch.from_numpy(upright.astype(np.float32) / full_scale).permute(2, 0, 1)
        torch.testing.assert_close(picture.pixels[0], expected)
