"""TIFF as photographers have it, against the numbers it was made from, libtiff and ImageMagick."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from stylize.errors import MissingExtraError, PictureError
from stylize.images.color_profiles import srgb_profile
from stylize.images.find import measure
from stylize.images.read import read_picture
from tests.images.test_color_profiles import LINEAR_GREY, LINEAR_SRGB, WIDE

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

HEIGHT, WIDTH = 40, 56
ROW, COLUMN = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.dstack([COLUMN / (WIDTH - 1), ROW / (HEIGHT - 1), 1 - COLUMN / (WIDTH - 1)])
GREY = np.dstack([RGB[..., 0]] * 3)
ALPHA = np.where(COLUMN < WIDTH // 2, 1, 0.5)
LEFT_OUT = "an extra channel that is not declared as transparency was left out"


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype.startswith("f"):
        return values.astype(dtype)
    return np.round(values * np.iinfo(dtype).max).astype(dtype)


def tiff(values: np.ndarray, **options) -> bytes:
    if options.get("planarconfig") == "separate":
        values = np.moveaxis(values, -1, 0)
    stream = io.BytesIO()
    options = {"photometric": "rgb", "metadata": None, **options}
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def check(data: bytes, expected: np.ndarray, within: float = 1e-4) -> tuple[str, ...]:
    picture = read_picture(data, name="photo.tif")
    read = picture.pixels[0].permute(1, 2, 0).numpy()
    assert np.abs(read - expected).max() <= within
    return picture.notes


# No program writes a predictor without compression or with packbits.
@pytest.mark.parametrize(
    ("compression", "predictor"),
    [
        *((each, False) for each in (None, "lzw", "zlib", "zstd", "packbits", "lzma")),
        *((each, True) for each in ("lzw", "zlib", "zstd", "lzma")),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float16", "float32", "float64"])
def test_compressions(compression, predictor, dtype):
    within = {"uint8": 0.002, "float16": 6e-4}.get(dtype, 1e-4)
    for byteorder, planes, tile in [
        ("<", "contig", None),
        (">", "contig", (16, 32)),
        ("<", "separate", (16, 32)),
        (">", "separate", None),
    ]:
        data = tiff(
            stored(RGB, dtype),
            compression=compression,
            predictor=(3 if dtype.startswith("f") else 2) if predictor else None,
            byteorder=byteorder,
            planarconfig=planes,
            tile=tile,
            rowsperstrip=None if tile else 7,
        )
        check(data, RGB, within)


def test_bigtiff():
    check(tiff(stored(RGB, "uint16"), bigtiff=True, compression="lzw"), RGB)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
class TestChannels:
    def test_min_is_white(self, dtype, planes, compression):
        data = tiff(stored(1 - RGB[..., 0], dtype), photometric="miniswhite")
        check(data, GREY, 0.002)

    def test_cmyk(self, dtype, planes, compression):
        inks = np.dstack([1 - RGB, np.zeros_like(ALPHA)])
        options = {"photometric": "separated", "planarconfig": planes, "compression": compression}
        check(tiff(stored(inks, dtype), **options), RGB, 0.005)
        for kind in ("unassalpha", "unspecified"):
            data = tiff(stored(np.dstack([inks, ALPHA]), dtype), extrasamples=[kind], **options)
            check(data, RGB, 0.01)
            assert (read_picture(data).alpha is None) == (kind == "unspecified")

    @pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
    def test_alpha(self, dtype, planes, compression, kind):
        times = ALPHA if kind == "assocalpha" else np.ones_like(ALPHA)
        options = {"extrasamples": [kind], "planarconfig": planes, "compression": compression}
        rgb = np.dstack([RGB * times[..., None], ALPHA])
        check(tiff(stored(rgb, dtype), **options), RGB, 0.01)
        grey = np.dstack([RGB[..., 0] * times, ALPHA])
        data = tiff(stored(grey, dtype), photometric="minisblack", **options)
        check(data, GREY, 0.01)
        read = read_picture(data).alpha[0, 0].numpy()
        assert np.abs(read - ALPHA).max() < 0.003

    def test_an_undeclared_channel_is_left_out(self, dtype, planes, compression):
        """A selection or a depth map must not make the photo transparent."""
        options = {"planarconfig": planes, "compression": compression}
        rgb = stored(np.dstack([RGB, ALPHA * 0]), dtype)
        check(tiff(rgb, extrasamples=["unspecified"], **options), RGB, 0.002)
        rgb = stored(np.dstack([RGB, ALPHA * 0, ALPHA]), dtype)
        data = tiff(rgb, extrasamples=["unspecified", "unassalpha"], **options)
        check(data, RGB, 0.01)
        assert read_picture(data).alpha is not None


def test_a_channel_that_is_left_out_is_said():
    data = tiff(stored(np.dstack([RGB, ALPHA]), "uint16"), extrasamples=["unspecified"])
    assert check(data, RGB) == (LEFT_OUT,)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_channel_without_any_declaration(dtype):
    data = bytearray(tiff(stored(np.dstack([RGB, ALPHA]), dtype), extrasamples=["unspecified"]))
    (at,) = (i for i in range(len(data)) if data[i : i + 8] == struct.pack("<HHI", 338, 3, 1))
    data[at : at + 2] = struct.pack("<H", 65_000)  # a private tag instead
    assert check(bytes(data), RGB, 0.002) == (LEFT_OUT,)


@pytest.mark.parametrize("mark", ["<", ">"])
def test_12_bits(mark):
    """Laid out by hand: three numbers of 12 bits, one row and pixel after the other."""
    values = np.random.default_rng(0).integers(0, 4096, (3, 5, 3))
    rows = b""
    for row in values.reshape(3, -1):
        bits = "".join(format(value, "012b") for value in row)
        rows += int(bits.ljust(len(bits) + -len(bits) % 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    tags = [(256, 5), (257, 3), (258, 134), (259, 1), (262, 2), (273, 140), (277, 3), (278, 3)]
    tags += [(279, len(rows)), (284, 1)]
    head = {"<": b"II*\0", ">": b"MM\0*"}[mark] + struct.pack(f"{mark}IH", 8, len(tags))
    for tag, value in tags:
        if tag == 258:  # three numbers, elsewhere
            head += struct.pack(f"{mark}HHII", tag, 3, 3, value)
        else:
            head += struct.pack(f"{mark}HHIHH", tag, 3, 1, value, 0)
    head = head.ljust(134, b"\0") + struct.pack(f"{mark}3H", 12, 12, 12)
    check(head + rows, values / 4095)


class TestFloatingPoint:
    UNTAGGED = "floating point without a colour profile, taken as sRGB, not as linear light"

    def test_hdr_is_said(self):
        values = (RGB * 3).astype("float32")
        notes = check(tiff(values), values.clip(0, 1), 1e-6)
        cut = "HDR: values up to 3 were cut off at 1; tone-map it to keep them"
        assert notes == (cut, self.UNTAGGED)

    def test_negative_values_are_said(self):
        values = (RGB - 0.5).astype("float32")
        assert "values below 0 were cut off" in check(tiff(values), values.clip(0, 1), 1e-6)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, value):
        with pytest.raises(PictureError, match="values that are not finite"):
            read_picture(tiff(np.full((4, 4, 3), value, "float32")))

    def test_a_linear_profile_is_applied_at_full_depth(self):
        """The curve of sRGB, IEC 61966-2-1."""
        values = (RGB * 0.05).astype("float32")
        expected = np.where(values > 0.0031308, 1.055 * values ** (1 / 2.4) - 0.055, 12.92 * values)
        assert check(tiff(values, iccprofile=LINEAR_SRGB), expected, 0.002) == ()


class TestProfiles:
    @pytest.mark.parametrize("planes", ["contig", "separate"])
    @pytest.mark.parametrize("dtype", ["uint16", "float32"])
    def test_wide_colours(self, planes, dtype):
        """The matrices of both profiles, between their curves."""
        wide = np.array(
            [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
        )
        srgb = np.array(
            [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]]
        )
        light = (RGB**2.2 @ (np.linalg.inv(srgb) @ wide).T).clip(0, 1)
        expected = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
        data = tiff(stored(RGB, dtype), iccprofile=WIDE, planarconfig=planes)
        check(data, expected, 0.01)

    def test_dark_colours_keep_their_depth(self):
        ramp = np.dstack([np.arange(256, dtype="uint16").reshape(4, 64)] * 3) * 4
        read = read_picture(tiff(ramp, iccprofile=LINEAR_SRGB)).pixels[0, 0].flatten()
        assert (read.diff() > 0).all(), "8 bits would leave two or three different levels"

    def test_linear_grey(self):
        half = np.full((4, 4), 32768, "uint16")
        data = tiff(half, photometric="minisblack", iccprofile=LINEAR_GREY)
        check(data, np.full((4, 4, 3), 0.735), 0.003)

    def test_srgb_is_left_alone(self):
        values = stored(RGB, "uint16")
        plain, tagged = tiff(values), tiff(values, iccprofile=srgb_profile())
        assert torch.equal(read_picture(plain).pixels, read_picture(tagged).pixels)

    def test_one_that_cannot_be_followed(self):
        data = tiff(stored(RGB, "uint16"), iccprofile=LINEAR_GREY)
        assert check(data, RGB) == ("colour profile unreadable, taken as sRGB",)


class TestPages:
    @pytest.mark.parametrize("channels", [3, 1])
    def test_the_first_of_many(self, channels):
        options = {"photometric": "rgb" if channels == 3 else "minisblack", "metadata": None}
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream) as writer:
            for values in (RGB, 1 - RGB, 1 - RGB):
                page = stored(values, "uint16")
                if channels == 1:  # Pillow does not open 16-bit grey with opacity
                    page = np.dstack([page[..., 0], np.full_like(page[..., 0], 65535)])
                    options["extrasamples"] = ["unassalpha"]
                writer.write(page, planarconfig="contig", **options)
        notes = check(stream.getvalue(), RGB if channels == 3 else GREY)
        assert notes == ("holds several pictures: took the first",)

    @pytest.mark.parametrize("sub", [0, 1])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_never_the_thumbnail(self, tmp_path, sub, dtype):
        path = tmp_path / "photo.tif"
        with tifffile.TiffWriter(path) as writer:
            small = stored(1 - RGB[::5, ::5], "uint8")
            options = {"photometric": "rgb", "metadata": None}
            writer.write(small, subfiletype=1, **options, **({"subifds": 1} if sub else {}))
            writer.write(stored(RGB, dtype), subfiletype=0, **options)
        notes = check(path.read_bytes(), RGB, 0.002)
        assert notes == ("the first page is a thumbnail: took the full picture",)
        assert measure(path) == ((HEIGHT, WIDTH), None)


class TestRefusals:
    @pytest.mark.parametrize(
        ("values", "options", "why"),
        [
            (stored(RGB, "uint16"), {"photometric": "cielab"}, "in the colours CIELAB"),
            (RGB.astype("complex64"), {}, "of sample format 6"),
            (np.zeros((20, 8, 8), "uint16"), {"photometric": "minisblack"}, "with 20 channels"),
        ],
    )
    def test_intact_but_not_read(self, values, options, why):
        if values.shape[0] == 20:
            options = {**options, "planarconfig": "separate"}
            values = np.moveaxis(values, 0, -1)
        with pytest.raises(PictureError) as caught:
            read_picture(tiff(values, **options), name="odd.tif")
        assert str(caught.value).startswith(f"odd.tif is a TIFF {why}")
        assert "damaged" not in str(caught.value)

    @pytest.mark.parametrize("value", [-1, 65536])
    def test_signed_numbers(self, encoded, value):
        with pytest.raises(PictureError, match=r"signed values of 32 bits \(save it with 16 bits"):
            read_picture(encoded(Image.new("I", (2, 2), value), "TIFF"))

    def test_signed_numbers_within_16_bits(self, encoded):
        check(encoded(Image.new("I", (2, 2), 32768), "TIFF"), np.full((2, 2, 3), 32768 / 65535))

    @pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd"])
    @pytest.mark.parametrize("cut", [3, 100, 2000])
    def test_cut_off(self, compression, cut):
        noise = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3)).astype("uint16")
        data = tiff(noise, compression=compression, rowsperstrip=7)
        with pytest.raises(PictureError, match=r"photo\.tif is damaged or incomplete"):
            read_picture(data[:-cut], name="photo.tif")

    def test_a_strip_that_is_missing(self):
        data = bytearray(tiff(stored(RGB, "uint16"), compression="zlib", rowsperstrip=20))
        page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
        at = page.tags[279].valueoffset
        data[at : at + 4] = bytes(4)
        with pytest.raises(PictureError, match="damaged or incomplete"):
            read_picture(bytes(data))

    def test_a_bomb_is_refused_by_its_header(self):
        data = tiff(np.zeros((3000, 3000, 3), "uint16"), compression="zlib")
        with pytest.raises(PictureError, match="too large: 3000×3000"):
            read_picture(data, max_pixels=8_999_999)


class TestWithoutTheLibraries:
    def test_tifffile(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tifffile", None)
        with pytest.raises(MissingExtraError, match=r"TIFF.*pip install tifffile imagecodecs"):
            read_picture(tiff(stored(RGB, "uint16")))

    def test_plain_tiff_needs_none(self, monkeypatch, encoded):
        monkeypatch.setitem(sys.modules, "tifffile", None)
        check(encoded(Image.fromarray(stored(RGB, "uint8")), "TIFF"), RGB, 0.002)

    def test_imagecodecs(self, tmp_path):
        """In a process of its own: tifffile looks for imagecodecs once."""
        path = tmp_path / "photo.tif"
        path.write_bytes(tiff(stored(RGB, "uint16"), compression="lzw"))
        code = (
            "import sys; sys.modules['imagecodecs'] = None\n"
            "from pathlib import Path\n"
            "from stylize.errors import StylizeError\n"
            "from stylize.images.read import read_picture\n"
            "try: read_picture(Path(sys.argv[1]))\n"
            "except StylizeError as error: print(error)"
        )
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "compression LZW needs a library" in done.stdout
        assert "pip install imagecodecs" in done.stdout


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_like_libtiff(compression, dtype):
    """OpenCV reads with libtiff."""
    cv2 = pytest.importorskip("cv2")
    values = stored(np.random.default_rng(0).random((HEIGHT, WIDTH, 3)), dtype)
    data = tiff(values, compression=compression)
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    check(data, theirs / (65535 if dtype == "uint16" else 1), 1e-6)


def _imagemagick() -> str | None:
    program = shutil.which("convert")
    if program is None:
        return None
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    return program if said.stdout.startswith("Version: ImageMagick") else None


@pytest.mark.skipif(_imagemagick() is None, reason="ImageMagick is not installed")
@pytest.mark.parametrize("kind", ["rgb", "miniswhite", "separate", "lzw", "float"])
def test_like_imagemagick(tmp_path, kind):
    values, options = stored(RGB, "float32" if kind == "float" else "uint16"), {}
    if kind == "miniswhite":
        values, options = values[..., 0], {"photometric": "miniswhite"}
    if kind == "separate":
        options = {"planarconfig": "separate"}
    if kind == "lzw":
        options = {"compression": "lzw", "predictor": True}
    path = tmp_path / "photo.tif"
    path.write_bytes(tiff(values, **options))
    command = [str(_imagemagick()), str(path), "-depth", "16", "-endian", "LSB", "rgb:-"]
    theirs = subprocess.run(command, capture_output=True, check=True).stdout
    shape = (HEIGHT, WIDTH, 3)
    check(path.read_bytes(), np.frombuffer(theirs, "<u2").reshape(shape) / 65535, 1e-4)
