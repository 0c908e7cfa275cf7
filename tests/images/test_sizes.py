from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.errors import SettingError
from stylize.images.sizes import SizeSpec

SIDES = st.integers(1, 5000)
SPECS = st.one_of(
    st.integers(1, 100_000).map(str),
    st.tuples(SIDES, SIDES).map(lambda size: f"{size[0]}x{size[1]}"),
    st.integers(1, 10**10).map(lambda area: f"{area / 1e6:f}MP"),
    st.just("original"),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("512", "512"),
        (" 0512 ", "512"),
        ("640x480", "640x480"),
        ("640X480", "640x480"),
        ("640×480", "640x480"),
        ("12MP", "12MP"),
        ("12.0mp", "12MP"),
        (".5Mp", "0.5MP"),
        ("100MP", "100MP"),
        ("0.000001MP", "0.000001MP"),
        ("Original", "original"),
    ],
)
def test_the_canonical_text(text, canonical):
    assert str(SizeSpec.parse(text)) == canonical


@given(SPECS)
def test_the_text_is_read_back_as_the_same_wish(text):
    spec = SizeSpec.parse(text)
    assert SizeSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    "text",
    [
        *("", "big", "0", "-1", "512px", "5.5", "1e3", "nan", "inf", "100001", "9" * 40, "٥١٢"),
        *("0x10", "10x0", "10x", "10x100001", "-5x5", "1x2x3"),
        *("0MP", "-1MP", "nanMP", "infMP", "MP", "1e2MP", "10001MP", "0.0000001MP", "."),
    ],
)
def test_nonsense_is_refused(text):
    with pytest.raises(SettingError):
        SizeSpec.parse(text)


@pytest.mark.parametrize(
    ("text", "size", "fitted"),
    [
        ("512", (1024, 2048), (256, 512)),
        ("512", (2048, 1024), (512, 256)),
        ("640x480", (3000, 4000), (480, 640)),
        ("640x480", (4000, 3000), (480, 360)),
        ("3MP", (3000, 4000), (1500, 2000)),
        ("original", (17, 31), (17, 31)),
        ("3", (2, 4), (2, 3)),
        ("10", (1, 1000), (1, 10)),
    ],
)
def test_fit(text, size, fitted):
    assert SizeSpec.parse(text).fit(*size) == fitted


@pytest.mark.parametrize("text", ["512", "640x480", "12MP"])
def test_nothing_is_enlarged_unless_asked(text):
    spec = SizeSpec.parse(text)
    assert spec.fit(10, 20) == (10, 20)
    assert spec.fit(10, 20, enlarge=True) > (100, 200)


@pytest.mark.parametrize(
    ("text", "size", "fitted"),
    [
        ("4096", (900, 1200), (3072, 4096)),
        ("4096", (1, 1000), (4, 4096)),
        ("12MP", (900, 1200), (3000, 4000)),
        ("12MP", (7, 4001), (145, 82818)),
        ("640x480", (30, 10), (480, 160)),
        ("original", (30, 10), (30, 10)),
    ],
)
def test_fit_enlarges_when_asked(text, size, fitted):
    assert SizeSpec.parse(text).fit(*size, enlarge=True) == fitted


@given(SPECS, SIDES, SIDES)
def test_with_leave_to_enlarge_nothing_shrinks_more(text, height, width):
    spec = SizeSpec.parse(text)
    without, fitted = spec.fit(height, width), spec.fit(height, width, enlarge=True)
    assert fitted >= without
    if max(fitted) <= max(height, width):
        assert fitted == without
    if spec.long_side_px:
        assert max(fitted) == spec.long_side_px
    if spec.box_px:
        assert all(side <= bound for side, bound in zip(fitted, spec.box_px, strict=True))


@given(SPECS, SIDES, SIDES)
def test_fit_keeps_its_promises(text, height, width):
    spec = SizeSpec.parse(text)
    fitted = spec.fit(height, width)
    assert 1 <= fitted[0] <= height
    assert 1 <= fitted[1] <= width
    if fitted[0] > 1 and fitted[1] > 1:
        assert abs(fitted[0] * width - fitted[1] * height) <= (height + width) / 2 + 1e-6
    if spec.box_px:
        assert fitted[0] <= spec.box_px[0]
        assert fitted[1] <= spec.box_px[1]
    if spec.long_side_px:
        assert max(fitted) == min(spec.long_side_px, max(height, width))


def test_sizes_and_destinations_do_not_import_torch():
    program = (
        "import sys; from stylize.images.destinations import resolve_output;"
        "from stylize.images.sizes import SizeSpec;"
        "SizeSpec.parse('512'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
