"""Grow the pictures of thirty channels worth knowing, and write the page about them.

    python tools/make_channel_gallery.py docs

Writes ``channels.md`` and ``gallery/channels.webp``: a cell for each channel, grown as
``stylize inspect feature`` grows it at 160 px. Takes about three minutes on two cores. With
``--page`` the page alone is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stylize.images.contact_sheet import cell_name, contact_sheet
from stylize.images.write import write_picture
from stylize.products.inspect.feature import show_feature
from stylize.runs.session import Session
from stylize.settings.inspect import FeatureSettings

SIZE_PX, CELL_PX, COLUMNS = 160, 120, 6
# Of the packaged VGG-16: the channel, and what its picture looks like.
CHANNELS = {
    "conv3_3:84": "coloured scales",
    "conv4_2:5": "rows of houses on a slope",
    "conv4_2:10": "knitting",
    "conv4_2:157": "dunes",
    "conv4_2:195": "the patches of a giraffe",
    "conv4_2:233": "bubbles",
    "conv4_2:499": "zigzags, tie-dye",
    "conv4_3:3": "plump hands",
    "conv4_3:83": "plumage",
    "conv4_3:163": "rings of light",
    "conv4_3:283": "bright dots in dark rings",
    "conv4_3:483": "curtains",
    "conv5_1:9": "tartan shirts",
    "conv5_1:33": "honeycombs, boxes of fruit",
    "conv5_1:57": "noses of dogs",
    "conv5_1:100": "curved panels with buttons",
    "conv5_1:105": "rolled sleeves, trouser legs",
    "conv5_1:129": "faces of white terriers",
    "conv5_1:177": "glass bubbles with lights",
    "conv5_1:273": "hooks",
    "conv5_1:369": "whiskered heads, striped fur",
    "conv5_1:417": "eyes in wrinkled faces",
    "conv5_2:20": "round eyes with lashes",
    "conv5_2:86": "flowers",
    "conv5_2:110": "eyes and scales of reptiles",
    "conv5_2:158": "black spiders",
    "conv5_2:350": "cauliflowers",
    "conv5_3:100": "balls of yarn",
    "conv5_3:121": "scallop shells",
    "conv5_3:341": "spaniels",
}

HEAD = """# Thirty channels worth knowing

These thirty channels of the packaged VGG-16 are easy to recognize and good to dream with. Each
picture excites its channel most. The words describe what we see in the pictures; they do not come
from the network.

![thirty channels](gallery/channels.webp)

Grow one yourself, amplify it in a photo, or find photos that excite it:

```console
stylize inspect feature conv5_3:100 --size 512
stylize dream photo.jpg --layer conv5_3:100
stylize inspect patches photos conv5_3:100
```

| cell | channel | looks like |
|---|---|---|
"""
TAIL = """
`python tools/make_channel_gallery.py docs` makes this page and its picture.
"""


def page() -> str:
    """The page, with a row for each channel."""
    rows = [
        f"| {cell_name(*divmod(index, COLUMNS))} | `{channel}` | {words} |"
        for index, (channel, words) in enumerate(CHANNELS.items())
    ]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def sheet(path: Path) -> None:
    """Grow all of them and write the sheet."""
    session, cells = Session(), []
    for channel in CHANNELS:
        finding = show_feature(FeatureSettings(target=channel, size=SIZE_PX), session=session)
        cells.append((channel, finding.result.pixels))
        print(channel, finding.numbers["responses"], flush=True)
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    write_picture(path, contact_sheet(rows, max_cell_px=CELL_PX), quality=70)


def main(folder: Path) -> None:
    """The page, and the sheet unless only the page is wanted."""
    (folder / "channels.md").write_text(page(), encoding="utf-8")
    if "--page" not in sys.argv[2:]:
        sheet(folder / "gallery" / "channels.webp")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
