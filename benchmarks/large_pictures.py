"""Memory that reading, resizing and saving large pictures take, measured and predicted.

    OMP_NUM_THREADS=1 python benchmarks/large_pictures.py [--megapixels 25 100] [--only TEXT]

Every case runs in a process of its own, which reports the peak of its resident memory above what
lay there before; Linux alone lets a process set that peak back. ``--only`` takes the cases whose
names hold a text, such as ``tiff`` or ``read``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image

from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.images.write import write_picture
from stylize.planning.memory import reading_bytes, saving_bytes

PHOTO = Path(__file__).parent.parent / "samples" / "photos" / "astronaut.jpg"
READING: dict[str, dict[str, Any]] = {
    "read jpg": {"format": "jpeg"},
    "read turned.jpg": {"format": "jpeg"},
    "read progressive.jpg": {"format": "jpeg"},
    "read png": {},
    "read alpha.png": {"channels": 4},
    "read grey16.png": {"channels": 1, "bits": 16},
    "read deep.png": {"channels": 3, "bits": 16},
    "read webp": {"format": "webp"},
    "read avif": {"format": "avif"},
    "read tif": {"format": "tiff"},
    "read deep.tif": {"format": "tiff", "bits": 16},
    "read deflate.tif": {"format": "tiff", "bits": 16},
    "read tiled.tif": {"format": "tiff", "bits": 16},
}
SAVING: dict[str, dict[str, Any]] = {
    "save png 8": {},
    "save png 16": {"depth": 16},
    "save tiff 8": {"format": "tiff"},
    "save tiff 16": {"format": "tiff", "depth": 16},
    "save jpeg 8": {"format": "jpeg"},
    "save webp 8": {"format": "webp"},
    "save avif 8": {"format": "avif"},
}
RESIZING = ("resize 512", "resize 4096")
SLOW = ("read avif", "save avif 8")  # minutes at 100 MP: only where they are asked for by name


def photograph(side: int) -> np.ndarray:
    """``(side, side, 3)`` uint8: a photograph over and over, under noise that does not repeat."""
    with Image.open(PHOTO) as image:
        tile = np.asarray(image.convert("RGB"))
    times = -(-side // min(tile.shape[:2]))
    values = np.tile(np.minimum(tile, 248), (times, times, 1))[:side, :side]
    return values + np.random.default_rng(0).integers(0, 8, values.shape, np.uint8)


def make_file(path: Path, side: int) -> None:
    """The file that a reading case reads, by its name."""
    values = photograph(side)
    if path.name in ("deep.tif", "deflate.tif", "tiled.tif"):
        packed = {"compression": "zlib", "predictor": True} if path.stem == "deflate" else {}
        tiles = {"tile": (256, 256)} if path.stem == "tiled" else {}
        deep = values.astype(np.uint16) * 257
        tifffile.imwrite(path, deep, photometric="rgb", **packed, **tiles)
        return
    if path.name == "deep.png":
        planes = torch.from_numpy(values).permute(2, 0, 1)[None] / 255
        write_picture(path, planes, depth=16)
        return
    image = Image.fromarray(values)
    options: dict[str, Any] = {"progressive": path.stem == "progressive", "speed": 10}
    if path.stem == "alpha":
        image.putalpha(image.getchannel("R"))
    if path.stem == "grey16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    if path.stem == "turned":
        options["exif"] = Image.Exif()
        options["exif"][274] = 6
    image.save(path, **options)


def work(name: str, side: int, folder: Path) -> Callable[[], Any]:
    """What a case does, with all that is not to be measured done."""
    kind, what, *rest = name.split()
    if kind == "read":
        return lambda: read_picture(file_of(what, folder), max_pixels=side * side)
    planes = torch.empty(1, 3, side, side)
    values = photograph(side)
    for index in range(3):
        planes[0, index] = torch.from_numpy(values[..., index])
    planes /= 255
    if kind == "resize":
        return lambda: resize(planes, (int(what), int(what)))
    target = folder / f"out.{what}"
    return lambda: write_picture(target, planes, format=what, depth=int(rest[0]))


def file_of(what: str, folder: Path) -> Path:
    """The file of a reading case."""
    return folder / (what if "." in what else f"plain.{what}")


def resident_bytes(key: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process."""
    status = Path("/proc/self/status").read_text()
    match = re.search(rf"{key}:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


def measure(name: str, side: int, folder: Path) -> None:
    """Print the bytes and seconds of one case; this process is its own."""
    if not name.startswith("read"):
        work(name, 64, folder)()  # loads the libraries
    run = work(name, side, folder)
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    started = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - started
    print(resident_bytes("VmHWM") - before, seconds)
    del result


def predicted(name: str, side: int) -> float:
    """What the program believes."""
    size = (side, side)
    if name in READING:
        return reading_bytes(size, **READING[name])
    if name in SAVING:
        return saving_bytes(size, **SAVING[name])
    to = int(name.split()[1])
    return 4 * (side * to + 3 * to * to)  # a channel of which one side is done, and the result


def child(*arguments: object) -> str:
    """What this script prints in another process."""
    words = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--only", default="")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        step, name, side, folder = options.child
        if step == "make":
            make_file(file_of(name.split()[1], Path(folder)), int(side))
        else:
            measure(name, int(side), Path(folder))
        return
    print(f"{'':22} {'MP':>5} {'measured':>10} {'predicted':>10} {'off':>6} {'B/px':>6} {'s':>6}")
    for megapixels in options.megapixels:
        for name in (*READING, *RESIZING, *SAVING):
            asked = options.only and options.only in name
            if asked or (not options.only and name not in SLOW):
                show(name, round((megapixels * 1e6) ** 0.5))


def show(name: str, side: int) -> None:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        if name in READING:
            child("--child", "make", name, side, folder)
        found, seconds = map(float, child("--child", "measure", name, side, folder).split())
    reported = predicted(name, side)
    print(
        f"{name:22} {side * side / 1e6:5.0f} {found / 1e6:7.0f} MB {reported / 1e6:7.0f} MB"
        f" {reported / found - 1:+6.0%} {found / side**2:6.2f} {seconds:6.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
