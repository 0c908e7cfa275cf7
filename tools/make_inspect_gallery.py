"""Make the pictures of docs/inspect.md: real outputs of ``stylize inspect`` on the samples.

    python tools/make_inspect_gallery.py docs/gallery

A picture is what one command wrote, with its recipe, or a sheet of several; those that are there
already stay. Takes about five minutes on two cores.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageOps
from torch import Tensor

from stylize.images.contact_sheet import contact_sheet
from stylize.images.read import read_picture
from stylize.images.write import write_picture

CAT, ASTRONAUT = "samples/photos/chelsea.jpg", "samples/photos/astronaut.jpg"
YARN, EYES = "feature conv5_3:100 --size 192", "relu5_1:178"
QUALITY = 75
# What one command writes.
ALONE = {
    "filters": "filters",
    "activations": f"activations {CAT} relu5_1 --overlay --count 12",
    "patches": "patches samples -r 'relu4_3:82,309 + relu5_1:26,178' --top 6",
    "invert": f"invert {CAT} --strip",
    "map": "map samples -r",
}
# Width and height of a cell, and rows of cells: what is written beneath, and what is shown, a
# photo or what a command writes. A strip fills several cells.
Rows = list[dict[str, str]]
SHEETS: dict[str, tuple[tuple[int, int], Rows]] = {
    "feature": (
        (192, 192),
        [
            {
                "conv5_3:100": YARN,
                "--negative": f"{YARN} --negative",
                "--neuron": f"{YARN} --neuron",
                "--method cs231n": f"{YARN} --method cs231n",
            },
            {"conv5_1:57 --diversity 4": "feature conv5_1:57 --diversity 4 --size 192"},
            {
                "conv4_3:483 --to conv5_2:86": (
                    "feature conv4_3:483 --to conv5_2:86 --frames 4 --size 192"
                )
            },
        ],
    ),
    "saliency": (
        (300, 200),
        [
            {
                "gradient": f"saliency {CAT}",
                "guided": f"saliency {CAT} --method guided",
                "deconvnet": f"saliency {CAT} --method deconvnet",
            },
            {
                "smoothgrad": f"saliency {CAT} --method smoothgrad",
                "input-x-gradient": f"saliency {CAT} --method input-x-gradient",
                "conv5_3:100 --at 150,120": f"saliency {CAT} conv5_3:100 --at 150,120"
                " --view overlay",
            },
        ],
    ),
    "occlude": (
        (300, 200),
        [
            {
                "the photo": CAT,
                "conv5_3": f"occlude {CAT} --patch 40 --step 8",
                EYES: f"occlude {CAT} {EYES} --patch 40 --step 8",
            }
        ],
    ),
    "caricature": ((384, 256), [{"the photo": CAT, "relu4_2": f"caricature {CAT}"}]),
    "segment": (
        (300, 300),
        [
            {
                "the photo": photo,
                "the mask": f"segment {photo}",
                "--view cutout": f"segment {photo} --view cutout",
            }
            for photo in (ASTRONAUT, CAT)
        ],
    ),
}
# Of a cutout's ground, and between the pictures of a strip.
GROUND, GAP_PX = (236, 233, 225, 255), 8


def inspect(words: str, target: Path) -> Path:
    """Run the command, and say where its picture is."""
    print("stylize inspect", words, flush=True)
    command = [sys.executable, "-m", "stylize", "inspect", *shlex.split(words), "-o", str(target)]
    subprocess.run([*command, "--quality", str(QUALITY)], check=True)
    return target


def pictures(path: Path, size: tuple[int, int], folder: Path) -> Iterator[Tensor]:
    """What a file shows, cropped to cells of this size; of a strip, one after the other."""
    with Image.open(path) as image:
        shown = image.convert("RGBA")
    # Side by side with gaps, or one picture of whatever size.
    count, rest = divmod(shown.width + GAP_PX, size[0] + GAP_PX)
    width = size[0] if rest == 0 else shown.width
    for index in range(count if rest == 0 else 1):
        left = index * (width + GAP_PX)
        part = shown.crop((left, 0, left + width, shown.height))
        cell = ImageOps.fit(part, size, centering=(0.5, 0.3))
        ground = Image.new("RGBA", size, GROUND)
        Image.alpha_composite(ground, cell).convert("RGB").save(folder / "cell.png")
        yield read_picture(folder / "cell.png").pixels


def sheet(size: tuple[int, int], rows: Rows, folder: Path) -> Tensor:
    """Do all that the cells show, and lay it out."""
    cells = []
    for row in rows:
        line = []
        for label, words in row.items():
            source = Path(words)
            if not source.exists():
                source = inspect(words, folder / f"{len(cells)}-{len(line)}.png")
            line += [(label, each) for each in pictures(source, size, folder)]
        cells.append(line)
    return contact_sheet(cells, max_cell_px=max(size))


def main(folder: Path) -> None:
    """Make what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as made:
        for name, words in ALONE.items():
            target = folder / f"inspect-{name}.jpg"
            if not target.exists():
                target.write_bytes(inspect(words, Path(made, target.name)).read_bytes())
        for name, (size, rows) in SHEETS.items():
            target = folder / f"inspect-{name}.jpg"
            if not target.exists():
                below = Path(made, name)
                below.mkdir()
                write_picture(target, sheet(size, rows, below), quality=QUALITY)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
