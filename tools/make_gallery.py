"""Make the pictures of docs/gallery.md: results of the commands it shows.

    python tools/make_gallery.py docs/gallery

Every picture is the result of one ``stylize transfer`` on the samples, saved as JPEG.
``overview.jpg``, the strip at the top of the README, shows two of them with their photos and style
images. ``dreams.jpg`` is the sheet of all dream presets.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

SAMPLES = Path("samples")
# Photo, style image, further words of the command.
PAINTINGS = [
    ("coffee", "brushwork", ()),
    ("chelsea", "ukiyo", ()),
    ("astronaut", "mosaic", ()),
    ("chelsea", "woodcut", ()),
    ("astronaut", "stained-glass", ("--preset", "faithful")),
    ("coffee", "ink-wash", ()),
    ("chelsea", "marbling", ("--preset", "bold")),
]
OVERVIEW = PAINTINGS[:2]
CELL, GAP, WIDE_GAP = (200, 150), 4, 16


def paint(photo: str, style: str, words: tuple[str, ...], folder: Path) -> Path:
    """Run the command, unless its picture is there already."""
    target = folder / f"{photo}-{style}.jpg"
    if not target.exists():
        inputs = (SAMPLES / "photos" / f"{photo}.jpg", SAMPLES / "styles" / f"{style}.jpg")
        command = ["stylize", "transfer", *map(str, inputs), *words, "-o", str(target)]
        print(" ".join(command))
        subprocess.run([*command, "--quality", "88"], check=True)
    return target


def dream(folder: Path) -> None:
    """Make the sheet of all dream presets, unless it is there already."""
    target = folder / "dreams.jpg"
    if not target.exists():
        command = ["stylize", "explore", "dream", str(SAMPLES / "photos" / "chelsea.jpg")]
        command += ["--size", "320", "--quality", "78", "-o", str(target)]
        print(" ".join(command))
        subprocess.run(command, check=True)


def cell(path: Path) -> Image.Image:
    """A picture scaled and cropped to one cell of the overview."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    grow = max(CELL[0] / picture.width, CELL[1] / picture.height)
    picture = picture.resize((round(picture.width * grow), round(picture.height * grow)))
    left, top = (picture.width - CELL[0]) // 2, (picture.height - CELL[1]) // 3
    return picture.crop((left, top, left + CELL[0], top + CELL[1]))


def overview(folder: Path) -> Image.Image:
    """One strip with the photo, style image and result of each painting."""
    width, group = CELL[0] + GAP, 3 * CELL[0] + 2 * GAP + WIDE_GAP
    sheet = Image.new("RGB", (len(OVERVIEW) * group - WIDE_GAP, CELL[1]), "white")
    for number, (photo, style, _) in enumerate(OVERVIEW):
        paths = (
            SAMPLES / "photos" / f"{photo}.jpg",
            SAMPLES / "styles" / f"{style}.jpg",
            folder / f"{photo}-{style}.jpg",
        )
        for column, path in enumerate(paths):
            sheet.paste(cell(path), (number * group + column * width, 0))
    return sheet


def main(folder: Path) -> None:
    """Paint what is missing, then the overview."""
    folder.mkdir(parents=True, exist_ok=True)
    for photo, style, words in PAINTINGS:
        paint(photo, style, words, folder)
    dream(folder)
    overview(folder).save(folder / "overview.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
