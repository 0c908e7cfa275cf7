"""A web page of all pictures of a batch, before and after, in one file."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from PIL import Image, ImageFile

from stylize.errors import OutputError, PictureError
from stylize.images import tiff
from stylize.images.atomic import new_file
from stylize.images.color_profiles import in_srgb
from stylize.images.open import opened, pixel_limit, printable
from stylize.images.orientation import load_upright
from stylize.images.raw import RawPicture
from stylize.images.read import decode
from stylize.video.clip import open_clip

if TYPE_CHECKING:
    from jinja2 import Template

_GENERATOR = '<meta name="generator" content="stylize">'

_HEAD_BYTES = 1024

_QUALITY = 75

# Invisible, yet parts of emoji and of Persian and Indic words.
_JOINERS = "\u200c\u200d"

# What may be read as a flat picture of 8 bits; Pillow would cut deeper grey off at 255.
_FLAT_MODES = {"L", "RGB", "CMYK"}

# Pieces of the page that are written at once.
_CHUNKS = 64


@dataclass(frozen=True)
class Card:
    """A picture before and after.

    Attributes:
        caption: any text.
        before: a JPEG; None if the original cannot be shown.
        after: a JPEG; None if there is no result.
        original: the file of the original, relative to the page or absolute.
        result: the file of the result, relative to the page, with slashes.
        problem: why there is no result.
    """

    caption: str
    before: bytes | None
    after: bytes | None
    original: str
    result: str
    problem: str | None = None


def write_gallery(
    output: Path, cards: Sequence[Card], *, title: str, command: str | None = None
) -> Path:
    """Write ``index.html``: thumbnails side by side, each a link to its file.

    Args:
        output: the folder of the page and of the pictures.
        cards: the pictures with their thumbnails; failures come first.
        title: heading of the page.
        command: that made the pictures, shown below the heading.

    Returns:
        Path of the page. An earlier gallery in this folder is replaced, no other file ever is: if
        one appears meanwhile, the page is ``index-2.html``.

    Raises:
        OutputError: another page has this name, or the system refuses.
        ValueError: a result's link is empty or absolute.
    """
    page = output / "index.html"
    check_gallery(output)
    with (
        new_file(page, overwrite=_is_ours(page), follow_links=False) as new,
        new.partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        # In chunks: a thousand pictures are about 65 MB of text.
        shown = [_shown_card(card) for card in sorted(cards, key=lambda card: not card.problem)]
        page_stream = _template().stream(
            title=_shown(title),
            cards=shown,
            failures=sum(card.problem is not None for card in cards),
            command=_shown(command or ""),
        )
        page_stream.enable_buffering(_CHUNKS)
        file.writelines(page_stream)
    return new.final


def check_gallery(output: Path) -> None:
    """Check that a gallery can be written to a folder.

    Raises:
        OutputError: another page has its name.
    """
    page = output / "index.html"
    if os.path.lexists(page) and not _is_ours(page):
        raise OutputError(
            f"{page} was not made by stylize", hint="move it elsewhere, or leave out --gallery"
        )


def thumbnail(
    path: Path, side_px: int = 320, *, name: str | None = None, format: str = "jpeg"
) -> bytes:
    """Make a small copy of a picture: upright, in sRGB, over white.

    Args:
        path: the picture; of an animation, the first frame is used.
        side_px: length of the longer side; smaller pictures keep their size.
        name: of the picture in error messages; by default its path.
        format: ``jpeg`` or ``png``.

    Raises:
        PictureError: the file is missing, unreadable, no picture, too large, or damaged.
        MissingExtraError: the format needs a library that is not installed.
    """
    with opened(path, title=printable(name or str(path)), max_pixels=pixel_limit()) as image:
        if isinstance(image, RawPicture) or tiff.is_deep(image) or image.mode.startswith("I"):
            small = _developed(image)
            small.thumbnail((side_px, side_px))
        else:
            small = _shrunk(image, side_px)
    return _as_file(small, format)


def clip_thumbnail(
    path: Path, side_px: int = 320, *, name: str | None = None, format: str = "jpeg"
) -> bytes:
    """Make a small copy of the first frame of a clip, over white.

    Args:
        path, side_px, name, format: see :func:`thumbnail`.

    Raises:
        PictureError: the file is missing, no clip, or damaged.
        MissingExtraError: PyAV is not installed.
    """
    frame = next(open_clip(str(path), path, name=name).frames(), None)
    if frame is None:
        raise PictureError(f"{printable(name or str(path))} holds no frames")
    small = Image.fromarray(frame.pixels)
    small.thumbnail((side_px, side_px))
    alpha = small.getchannel("A") if small.mode == "RGBA" else None
    return _as_file(_over_white(small.convert("RGB"), alpha), format)


def _as_file(small: Image.Image, format: str) -> bytes:
    buffer = io.BytesIO()
    options = {"quality": _QUALITY, "optimize": True} if format == "jpeg" else {}
    small.save(buffer, format, **options)
    return buffer.getvalue()


def _is_ours(page: Path) -> bool:
    # A pipe would be waited for, and what a link points to is not of this batch.
    if os.path.islink(page) or not os.path.isfile(page):
        return False
    with suppress(OSError), page.open("rb") as file:
        return _GENERATOR.encode() in file.read(_HEAD_BYTES)
    return False


def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("stylize.batches", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("gallery.html")


def _shown_card(card: Card) -> dict[str, str]:
    if not card.result or card.result.startswith("/"):
        raise ValueError(f"link {card.result!r} is not relative")
    return {
        "caption": _shown(card.caption),
        "before": _encoded(card.before),
        "after": _encoded(card.after),
        "original": _href(card.original),
        "result": _href(card.result),
        "problem": _shown(card.problem or ""),
    }


def _encoded(thumbnail: bytes | None) -> str:
    return base64.b64encode(thumbnail or b"").decode()


def _shown(text: str) -> str:
    """Text with a mark for what cannot be shown."""
    return "".join(c if c.isprintable() or c in _JOINERS else "�" for c in text)


def _href(link: str) -> str:
    quoted = quote(os.fsencode(link), safe="/")
    return f"file://{quoted}" if link.startswith("/") else quoted


def _shrunk(image: ImageFile.ImageFile, side_px: int) -> Image.Image:
    image.draft(None, (2 * side_px, 2 * side_px))
    load_upright(image, [])
    small: Image.Image = image
    if small.has_transparency_data:
        small = small.convert("RGBA")
    elif small.mode not in _FLAT_MODES:
        small = small.convert("RGB")
    small.thumbnail((side_px, side_px), reducing_gap=2.0)
    if small.mode == "RGBA":
        return _over_white(in_srgb(small.convert("RGB"), []), small.getchannel("A"))
    return _over_white(in_srgb(small, []), None)


def _over_white(colour: Image.Image, opacity: Image.Image | None) -> Image.Image:
    # A new picture, so that comments and metadata of the file are left out.
    ground = Image.new("RGB", colour.size, "white")
    ground.paste(colour, mask=opacity)
    return ground


def _developed(image: ImageFile.ImageFile) -> Image.Image:
    # More than 8 bits per channel: decoded in the same way as a photo.
    raster = decode(image, [])
    colour = raster.colour
    if raster.alpha is not None:
        colour = colour * raster.alpha + (1 - raster.alpha)
    levels = (colour.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
