from __future__ import annotations

import subprocess
import sys

import pytest

from stylize.planning.memory import BAND_BYTES, reading_bytes, saving_bytes

SIZE = (5000, 4000)
PX = 20e6


@pytest.mark.parametrize(
    ("reported", "bytes_per_px"),
    [
        ({}, 4 + 12),
        ({"channels": 4}, 4 + 16),
        ({"channels": 1}, 1 + 12),
        ({"bits": 16}, 4 + 12),
        ({"channels": 1, "bits": 16}, 2 + 12),
        ({"bits": 16, "format": "tiff"}, 6 + 12),
        ({"channels": 4, "bits": 16, "format": "tiff"}, 8 + 16),
    ],
)
def test_reading_takes_what_is_stored_and_the_floats(reported, bytes_per_px):
    assert reading_bytes(SIZE, **reported) == pytest.approx(bytes_per_px * PX + BAND_BYTES)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_of_16_bits_no_copy_is_made(format):
    assert saving_bytes(SIZE, depth=16, format=format) == saving_bytes(
        (1, 1), depth=16, format=format
    )
    assert saving_bytes(SIZE, depth=16, format=format) < saving_bytes(SIZE, format=format)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_of_8_bits_the_encoder_gets_one(format):
    assert 4 * PX < saving_bytes(SIZE, format=format) < 50 * PX


MEASURED = """
import io, re, sys
from pathlib import Path
from PIL import Image
from stylize.images.read import read_picture

def resident(key):
    return int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

name = sys.argv[1]
small = io.BytesIO()
Image.new("RGB", (9, 9)).save(small, "PNG")
read_picture(small.getvalue())
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
picture = read_picture(Path(name))
print(resident("VmHWM") - before)
"""


@pytest.mark.slow  # measures a process
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux reports it")
def test_reading_takes_what_is_told(tmp_path):
    from PIL import Image

    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[274] = 6
    Image.linear_gradient("L").resize((2500, 2400)).convert("RGB").save(path, exif=exif)
    words = [sys.executable, "-c", MEASURED, str(path)]
    found = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert found == pytest.approx(reading_bytes((2400, 2500)), rel=0.2)
