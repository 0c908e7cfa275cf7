"""A page of all pictures, before and after, in one file that needs nothing but a browser."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image, ImageFile, ImageOps

from stylize.errors import OutputError
from stylize.images import tiff16
from stylize.images.atomic import replacing
from stylize.images.color_profiles import in_srgb
from stylize.images.open import opened, pixel_limit, printable
from stylize.images.read import decode

# Caption, JPEG before, JPEG after, and the file to open, relative to the page, with slashes.
Pair = tuple[str, bytes, bytes, str]

_GENERATOR = '<meta name="generator" content="stylize">'

_HEAD_BYTES = 1024

_QUALITY = 75

# Invisible, yet parts of emoji and of Persian and Indic words.
_JOINERS = "\u200c\u200d"

# What may be read as a flat picture of 8 bits; Pillow would cut deeper grey off at 255.
_FLAT_MODES = {"L", "RGB", "CMYK"}

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{generator}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1 dir="auto">{title}</h1>
<p>{count}, before and after</p>
</header>
<main>
"""

_STYLE = """\
:root { color-scheme: light dark; --ground: #f4f4f2; --card: #fff; --ink: #1c1c1c;
  --faint: #666; --line: #ddd; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #161616; --card: #212121; --ink: #ececec; --faint: #a0a0a0; --line: #353535; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 110rem; padding: 1.5rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.4 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; overflow-wrap: anywhere; }
header p { margin: .25rem 0 1.5rem; color: var(--faint); }
main { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden;
  background: var(--card); content-visibility: auto; contain-intrinsic-size: auto 16rem; }
a { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; background: var(--line); }
a:focus-visible { outline: 3px solid Highlight; outline-offset: -3px; }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  background: var(--card); }
figcaption { padding: .5rem .75rem; font-size: .875rem; overflow-wrap: anywhere; }
"""

_FIGURE = """\
<figure>
<a href="{link}">
<img src="{before}" alt="{caption}, before" loading="lazy" decoding="async">
<img src="{after}" alt="{caption}, after" loading="lazy" decoding="async">
</a>
<figcaption dir="auto">{caption}</figcaption>
</figure>
"""

_TAIL = """\
</main>
</body>
</html>
"""


def write_gallery(output: Path, pairs: Sequence[Pair], *, title: str) -> Path:
    """Write ``index.html``: thumbnails side by side, each pair a link to its picture.

    Args:
        output: the folder of the page and of the pictures.
        pairs: captions, thumbnails and links. Captions and links may hold anything.
        title: of the page.

    Returns:
        The page, which was replaced if an earlier gallery stood there.

    Raises:
        OutputError: a page that is not ours is in the way, or the system refuses.
        ValueError: a link that is empty or absolute.
    """
    page = output / "index.html"
    if os.path.lexists(page) and not _is_ours(page):
        raise OutputError(
            f"{page} is not a gallery of stylize", hint="move it elsewhere, or do without a gallery"
        )
    with replacing(page) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_parts(pairs, title))
    return page


def thumbnail(path: Path, side_px: int = 320) -> bytes:
    """A picture made small: upright, in sRGB, over white.

    Args:
        path: of the first frame.
        side_px: of the longer side; smaller pictures keep their size.

    Returns:
        A JPEG.

    Raises:
        PictureError: missing, unreadable, no picture, too large, damaged.
        MissingExtraError: the format needs a library that is not installed.
    """
    with opened(path, title=printable(str(path)), max_pixels=pixel_limit()) as image:
        is_deep = image.mode in ("F", "I") or image.mode.startswith("I;")
        if is_deep or tiff16.is_deep_rgb(image):
            small = _developed(image)
            small.thumbnail((side_px, side_px))
        else:
            small = _shrunk(image, side_px)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def _is_ours(page: Path) -> bool:
    with suppress(OSError), page.open("rb") as file:
        return _GENERATOR.encode() in file.read(_HEAD_BYTES)
    return False


def _parts(pairs: Sequence[Pair], title: str) -> Iterator[str]:
    """The page in pieces: a thousand pictures are some 65 MB of text."""
    number = f"{len(pairs)} picture{'' if len(pairs) == 1 else 's'}"
    yield _HEAD.format(generator=_GENERATOR, title=_shown(title), count=number, style=_STYLE)
    for caption, before, after, link in pairs:
        yield _FIGURE.format(
            caption=_shown(caption), before=_inline(before), after=_inline(after), link=_href(link)
        )
    yield _TAIL


def _shown(text: str) -> str:
    """Text as it may stand anywhere in the page; what cannot be shown leaves a mark."""
    return escape("".join(c if c.isprintable() or c in _JOINERS else "�" for c in text))


def _inline(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _href(link: str) -> str:
    """A relative address, whatever the name: also a colon or a line break is a letter of it."""
    if not link or link.startswith("/"):
        raise ValueError(f"link {link!r}")
    return quote(os.fsencode(link), safe="/")


def _shrunk(image: ImageFile.ImageFile, side_px: int) -> Image.Image:
    image.draft(None, (2 * side_px, 2 * side_px))
    image.load()
    small = _upright(image)
    if small.has_transparency_data:
        small = small.convert("RGBA")
    elif small.mode not in _FLAT_MODES:
        small = small.convert("RGB")
    small.thumbnail((side_px, side_px), reducing_gap=2.0)
    if small.mode == "RGBA":
        return _over_white(in_srgb(small.convert("RGB"), []), small.getchannel("A"))
    return _over_white(in_srgb(small, []), None)


def _upright(image: Image.Image) -> Image.Image:
    with suppress(Exception):  # broken metadata must not cost the picture
        return ImageOps.exif_transpose(image)
    return image


def _over_white(colour: Image.Image, opacity: Image.Image | None) -> Image.Image:
    """On a new ground, which carries none of the file's comments and notes along."""
    ground = Image.new("RGB", colour.size, "white")
    ground.paste(colour, mask=opacity)
    return ground


def _developed(image: ImageFile.ImageFile) -> Image.Image:
    """A picture of more than 8 bits a channel, read as the pictures to be painted are."""
    raster = decode(image, [])
    colour = raster.colour
    if raster.alpha is not None:
        colour = colour * raster.alpha + (1 - raster.alpha)
    levels = (colour.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
