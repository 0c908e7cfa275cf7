"""Paint the style pictures of samples/styles/, the same ones each time.

    python tools/make_styles.py samples/styles
    python tools/make_styles.py samples/styles --only brushwork

Needs numpy, scipy and Pillow. The painters are in tools/styles/, one module to a technique.
"""

from __future__ import annotations

import argparse
import io
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from styles import STYLES

LARGEST = 300_000  # bytes


def encode(picture: Image.Image) -> bytes:
    """As a JPEG of the best quality that stays under the largest size."""
    for quality in range(93, 40, -1):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() < LARGEST:
            break
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description="Paint the style pictures.")
    parser.add_argument("folder", type=Path, metavar="OUTDIR", help="where the pictures go")
    parser.add_argument("--only", choices=sorted(STYLES), metavar="NAME", help="paint this one")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another picture")
    parser.add_argument("--png", action="store_true", help="write lossless PNG files")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else STYLES:
        start = time.perf_counter()
        rng = np.random.default_rng([options.seed, zlib.crc32(name.encode())])
        picture = STYLES[name](rng)
        path = options.folder / f"{name}.{'png' if options.png else 'jpg'}"
        if options.png:
            picture.save(path)
        else:
            path.write_bytes(encode(picture))
        size, seconds = path.stat().st_size // 1000, time.perf_counter() - start
        print(f"{path}: {picture.width} × {picture.height}, {size} kB, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
