from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from stylize.images.color_profiles import is_srgb, srgb_profile
from stylize.images.read import read_picture


def _s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + _s15(x) + _s15(y) + _s15(z)


def _profile(space: bytes, name: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 2 display profile, laid out by hand."""
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" * 80
    tags = {b"desc": description, b"wtpt": _xyz(0.9642, 1, 0.8249), **tags}
    table, body, offset = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for signature, data in tags.items():
        table += signature + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"test", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28
    header += _s15(0.9642) + _s15(1) + _s15(0.8249)
    return header.ljust(128, b"\0") + table + body


# The primaries of Display P3, adapted to D50; a plain gamma stands in for its curve.
WIDE = _profile(
    b"RGB ",
    b"Wide",
    {
        b"rXYZ": _xyz(0.5151, 0.2412, -0.0011),
        b"gXYZ": _xyz(0.2920, 0.6922, 0.0419),
        b"bXYZ": _xyz(0.1571, 0.0666, 0.7841),
        b"rTRC": _curve(2.2),
        b"gTRC": _curve(2.2),
        b"bTRC": _curve(2.2),
    },
)
# The primaries of sRGB, adapted to D50, in linear light, under the name that editors give it.
LINEAR_SRGB = _profile(
    b"RGB ",
    b"sRGB-elle-V2-g10.icc",
    {
        b"rXYZ": _xyz(0.43607, 0.22249, 0.01392),
        b"gXYZ": _xyz(0.38515, 0.71687, 0.09708),
        b"bXYZ": _xyz(0.14307, 0.06061, 0.7141),
        b"rTRC": b"curv\0\0\0\0\0\0\0\0",
        b"gTRC": b"curv\0\0\0\0\0\0\0\0",
        b"bTRC": b"curv\0\0\0\0\0\0\0\0",
    },
)
LINEAR_GREY = _profile(b"GRAY", b"Linear grey", {b"kTRC": _curve(1.0)})


def _mean(picture):
    return picture.pixels[0].mean((1, 2)).tolist()


def test_a_wide_profile_is_converted(encoded):
    picture = read_picture(
        encoded(Image.new("RGB", (4, 4), (200, 50, 50)), "PNG", icc_profile=WIDE)
    )
    red, green, blue = _mean(picture)
    # The same numbers mean a stronger red on a wide display.
    assert red > 210 / 255
    assert green < 40 / 255
    assert picture.notes == ()
    assert blue == pytest.approx(green, abs=0.1)


def test_neutrals_stay_neutral(encoded):
    picture = read_picture(encoded(Image.new("RGB", (4, 4), "white"), "PNG", icc_profile=WIDE))
    assert _mean(picture) == pytest.approx([1, 1, 1], abs=0.01)


def test_alpha_survives_a_profile(encoded):
    image = Image.new("RGBA", (2, 1), (200, 50, 50, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    picture = read_picture(encoded(image, "PNG", icc_profile=WIDE))
    assert picture.alpha.tolist() == [[[[1, 0]]]]
    assert picture.pixels[0, 0, 0, 1] > 210 / 255


def test_a_palette_is_converted_too(encoded):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 50, 50])
    assert _mean(read_picture(encoded(image, "PNG", icc_profile=WIDE)))[0] > 210 / 255


def test_a_profile_is_judged_by_its_content(encoded):
    """Half the light is 0.735 in sRGB (IEC 61966-2-1), whatever the profile is called."""
    assert not is_srgb(LINEAR_SRGB)
    image = Image.new("RGB", (4, 4), (128, 128, 128))
    picture = read_picture(encoded(image, "PNG", icc_profile=LINEAR_SRGB))
    assert _mean(picture) == pytest.approx([0.735] * 3, abs=0.005)


def test_srgb_under_another_name_is_left_alone(encoded):
    renamed = srgb_profile().replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    assert renamed != srgb_profile()
    assert is_srgb(renamed)


def test_linear_grey_is_brightened(encoded):
    data = encoded(Image.new("L", (4, 4), 55), "PNG", icc_profile=LINEAR_GREY)
    assert _mean(read_picture(data)) == pytest.approx([0.502] * 3, abs=0.01)


def test_grey_with_a_colour_profile(encoded):
    data = encoded(Image.new("L", (4, 4), 128), "PNG", icc_profile=WIDE)
    picture = read_picture(data)
    assert _mean(picture) == pytest.approx([0.5] * 3, abs=0.02)
    assert picture.notes == ()


def test_srgb_is_left_alone(encoded):
    image = Image.effect_noise((16, 16), 80).convert("RGB")
    plain = read_picture(encoded(image, "PNG"))
    tagged = read_picture(encoded(image, "PNG", icc_profile=srgb_profile()))
    assert torch.equal(plain.pixels, tagged.pixels)


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense",
        srgb_profile()[:200],
        LINEAR_GREY,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ],
)
def test_a_profile_that_cannot_be_followed_is_told(encoded, profile):
    data = encoded(Image.new("RGB", (4, 4), (255, 51, 0)), "PNG", icc_profile=profile)
    picture = read_picture(data)
    assert picture.notes == ("colour profile unreadable, taken as sRGB",)
    assert _mean(picture) == pytest.approx([1, 0.2, 0])


def test_cmyk_with_a_foreign_profile_is_told(encoded):
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", icc_profile=WIDE)
    picture = read_picture(data)
    assert picture.notes == ("colour profile unreadable, taken as sRGB",)
    assert _mean(picture) == pytest.approx([1, 0, 0], abs=0.02)


def test_a_deep_tiff_with_a_profile(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = np.full((4, 4, 3), (51400, 12850, 12850), np.uint16)
    path = tmp_path / "wide.tif"
    tifffile.imwrite(path, values, photometric="rgb", iccprofile=WIDE)
    assert _mean(read_picture(path))[0] > 210 / 255


def test_our_profile():
    assert srgb_profile() is srgb_profile()
    assert is_srgb(srgb_profile())
    assert not is_srgb(WIDE)
    assert not is_srgb(LINEAR_GREY)
    assert not is_srgb(b"")
    described = ImageCms.getOpenProfile(io.BytesIO(srgb_profile()))
    assert described.profile.creation_date.year == 2000
