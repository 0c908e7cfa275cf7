r"""Write and read the recipe in a file: one JSON text, in the place that each format has.

=================  ==========================================================
PNG, APNG          iTXt chunk with the keyword ``stylize``
JPEG, WebP, AVIF   EXIF UserComment, in ASCII if possible, else UTF-16
TIFF               ImageDescription, in ASCII: other letters as ``\uXXXX``
GIF                comment, on the line below our name, also in ASCII
MP4, WebM          ``comment``
=================  ==========================================================
"""

from __future__ import annotations

import codecs
import json
import sys
from pathlib import Path
from typing import Any

from PIL import ExifTags, GifImagePlugin, Image, ImageFile, PngImagePlugin, TiffImagePlugin

from stylize.errors import OutputError
from stylize.images import mp4
from stylize.images.open import HEAD_BYTES, opened, printable
from stylize.version import __version__

KEYWORD = "stylize"

SOFTWARE = f"stylize {__version__}"

MAX_RECIPE_BYTES = 16 * 1024  # EXIF holds 64 kB in all, and UTF-16 may double this

_DESCRIPTION, _SOFTWARE = 270, 305

_ASCII, _UNICODE = b"ASCII\0\0\0", b"UNICODE\0"


def check_recipe(recipe: str) -> None:
    """Check that a recipe fits into every format.

    Raises:
        OutputError: it takes more than 16 kB of UTF-8.
    """
    size = len(recipe.encode())
    if size > MAX_RECIPE_BYTES:
        raise OutputError(
            f"the recipe takes {size} bytes, a picture carries at most {MAX_RECIPE_BYTES}"
        )


def embed(recipe: str | None, format: str) -> dict[str, Any]:
    """Make the keyword arguments of Pillow's ``save`` that embed a recipe and our name.

    Args:
        recipe: JSON text of at most 16 kB, or None for our name only.
        format: ``png jpeg webp avif tiff``.
    """
    if format == "png":
        return {"pnginfo": _png_info(recipe)}
    if format == "tiff":
        description = {} if recipe is None else {_DESCRIPTION: ascii_json(recipe)}
        return {"tiffinfo": {**description, _SOFTWARE: SOFTWARE}}
    return {"exif": _exif(recipe)}


def gif_comment(recipe: str | None) -> bytes:
    """Write our name and, on the next line, the recipe; the name identifies our comments."""
    return "\n".join([SOFTWARE] + ([] if recipe is None else [ascii_json(recipe)])).encode("ascii")


def ascii_json(text: str) -> str:
    """Escape the letters of a JSON document that are not ASCII; they occur in strings only."""
    return "".join(letter if letter.isascii() else json.dumps(letter)[1:-1] for letter in text)


def read_recipe(source: Path | bytes) -> str | None:
    """Read the recipe in a picture or a film. It is untrusted and unchecked.

    Returns:
        The text of a JSON object, or None if the file contains none.

    Raises:
        PictureError: not a picture, or unreadable.
        MissingExtraError: the format needs a library that is not installed.
    """
    title = "the picture" if isinstance(source, bytes) else printable(str(source))
    if mp4.is_video(_head(source)):
        text = mp4.read_comment(source, title)
    else:
        text = _picture_recipe(source, title)
    return text if text is not None and _is_json_object(text) else None


def _picture_recipe(source: Path | bytes, title: str) -> str | None:
    # Nothing is decoded, so pictures above the pixel limit are fine.
    with opened(source, title=title, max_pixels=sys.maxsize) as image:
        try:
            return _carried(image)
        except Exception:  # odd metadata counts as no recipe
            return None


def _head(source: Path | bytes) -> bytes:
    """Read the beginning of a file; empty for a pipe, which can be read only once, or on errors."""
    if isinstance(source, bytes):
        return source[:HEAD_BYTES]
    try:
        if not source.is_file():
            return b""
        with source.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError):
        return b""


def _png_info(recipe: str | None) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", SOFTWARE)
    if recipe is not None:
        info.add_itxt(KEYWORD, recipe)
    return info


def _exif(recipe: str | None) -> Image.Exif:
    exif = Image.Exif()
    exif[_SOFTWARE] = SOFTWARE
    if recipe is not None:
        comment = (
            _ASCII + recipe.encode("ascii")
            if recipe.isascii()
            else _UNICODE + recipe.encode("utf-16-be")
        )
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif


def _carried(image: ImageFile.ImageFile) -> str | None:
    if isinstance(image, PngImagePlugin.PngImageFile):
        text = image.info.get(KEYWORD)
    elif isinstance(image, GifImagePlugin.GifImageFile):
        text = _below_our_name(image.info.get("comment"))
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        text = image.tag_v2.get(_DESCRIPTION)
    else:
        text = _user_comment(image.getexif())
    return str(text) if isinstance(text, str) else None


def _below_our_name(comment: Any) -> str | None:
    if not isinstance(comment, bytes):
        return None
    name, _, recipe = comment.decode("ascii").partition("\n")
    return recipe if name.startswith(f"{KEYWORD} ") else None


def _user_comment(exif: Image.Exif) -> str | None:
    comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if not isinstance(comment, bytes):
        return None
    if comment.startswith(_UNICODE):
        return _utf16(comment.removeprefix(_UNICODE))
    return comment.removeprefix(_ASCII).decode("ascii") if comment.startswith(_ASCII) else None


def _utf16(text: bytes) -> str:
    """Decode in either byte order: programs that edit EXIF use that of the file, or a mark."""
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return text.decode("utf-16")
    return text.decode("utf-16-le" if text[1:2] == b"\0" else "utf-16-be")


def _is_json_object(text: str) -> bool:
    if len(text) > 6 * MAX_RECIPE_BYTES:  # \uXXXX takes six
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
