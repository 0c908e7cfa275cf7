"""Read TIFF above 8 bits or of unusual channels, which Pillow cannot, and write 16-bit TIFF.

tifffile and imagecodecs decode; this file turns what they return into colour and opacity.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, TiffImagePlugin

from stylize.errors import MissingExtraError, PictureError
from stylize.extras import optional_module
from stylize.images.color_profiles import deep_converter, srgb_profile
from stylize.images.orientation import SIDEWAYS, orientation_number, upright
from stylize.images.samples import Samples, row_bands

Plane = NDArray[np.float32]

_SUBFILE, _BITS_PER_SAMPLE, _ORIENTATION, _SAMPLE_FORMAT = 254, 258, 274, 339

_INK_SET, _ICC_PROFILE = 332, 34675

_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3

_REDUCED = 1

_PLANAR = 2

_WEBP = 50001

# MinIsWhite, MinIsBlack, RGB, CMYK
_CHANNELS = {0: 1, 1: 1, 2: 3, 5: 4}

_MIN_IS_WHITE = 0

_PREMULTIPLIED, _NOT_PREMULTIPLIED = 1, 2

_MOST_EXTRA_CHANNELS = 8

_MOST_TILE_PX = 2**26

_MOST_PAGES = 16  # looked at to find the picture behind a thumbnail

_STRIP_BYTES = 2**18  # before compression: what other programs write too


class DeepTiff(ImageFile.ImageFile):
    """A TIFF that Pillow cannot open. Only its header is read; :func:`read` decodes it."""

    format = "TIFF"

    def _open(self) -> None:
        assert self.fp is not None
        with _tifffile().TiffFile(self.fp) as file:
            page = _main_page(file)
            height, width = page.imagelength, page.imagewidth
            sideways = orientation_number(page.tags.valueof(_ORIENTATION, 1)) in SIDEWAYS
            self._size = (height, width) if sideways else (width, height)
            self.is_animated = page is file.pages[0] and _has_more(file)
        self._mode = "RGB"


def _has_more(file: Any) -> bool:
    with suppress(IndexError):
        return file.pages[1] is not None
    return False


def opened_by_pillow(stream: BinaryIO) -> ImageFile.ImageFile | None:
    """Open a TIFF with Pillow; None if Pillow cannot, or if the first page is only a thumbnail."""
    with suppress(SyntaxError, ValueError, OSError):
        image = TiffImagePlugin.TiffImageFile(cast(Any, stream))
        subfile = image.tag_v2.get(_SUBFILE, 0)
        if not (isinstance(subfile, int) and subfile & _REDUCED):
            return image
    stream.seek(0)
    return None


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Return whether :func:`read` decodes this opened picture, and not Pillow."""
    if isinstance(image, DeepTiff):
        return True
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    tags = image.tag_v2
    if tags.get(TiffImagePlugin.COMPRESSION) == _WEBP:  # not among the codecs that Pillow brings
        return True
    if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == _PLANAR and tags.get(
        TiffImagePlugin.EXTRASAMPLES
    ):
        return True  # Pillow 13 reads such opacity as 0, or not at all
    return max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8 or set(tags.get(_SAMPLE_FORMAT, (1,))) != {
        _UNSIGNED
    }


def declares_alpha(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Return whether a channel is declared as opacity: a selection or a depth map is not."""
    kinds = image.tag_v2.get(TiffImagePlugin.EXTRASAMPLES, ())
    return bool({_PREMULTIPLIED, _NOT_PREMULTIPLIED} & set(kinds))


def read(image: ImageFile.ImageFile, title: str, notes: list[str]) -> tuple[Plane, Plane | None]:
    """Decode the first page at full depth: upright, in sRGB.

    Args:
        image: opened, for which :func:`is_deep` holds; within the pixel limit.
        title: the name of the picture in error messages.
        notes: receives what a user may want to know.

    Returns:
        ``(3, H, W)`` colour and ``(H, W)`` opacity in [0, 1], not premultiplied; no opacity if the
        file declares none.

    Raises:
        PictureError: a kind of TIFF that is not read.
        MissingExtraError: tifffile or imagecodecs is not installed.
    """
    tifffile, stream = _tifffile(), cast(BinaryIO, image.fp)
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = _main_page(file)
        if page is not file.pages[0]:
            notes.append("the first page is a thumbnail: took the full picture")
        size = page.imagelength * page.imagewidth
        if size != image.height * image.width:
            raise ValueError("two readers see two sizes")
        _check(page, title, tifffile)
        values = _decoded(page)
        colour, alpha = _in_srgb(page, values, title, notes)
        turn = orientation_number(page.tags.valueof(_ORIENTATION, 1))
    return upright(colour, turn), None if alpha is None else upright(alpha, turn)


def _main_page(file: Any) -> Any:
    """Find the first page that is not a reduced copy of another one."""
    first = file.pages[0]
    if not first.is_reduced:
        return first
    pages = [*(first.pages or ())][:_MOST_PAGES]
    for index in range(1, _MOST_PAGES):
        try:
            pages.append(file.pages[index])
        except IndexError:
            break
    full = (page for page in pages if isinstance(page.imagelength, int) and not page.is_reduced)
    return next(full, first)


def _check(page: Any, title: str, tifffile: Any) -> None:
    """Refuse what is intact but not read, before it is decoded."""
    why = _odd_channels(page) or _odd_samples(page)
    if why:
        raise PictureError(
            f"{title} is a TIFF {why}, which is not read", hint="save it as RGB with 16 bits"
        )
    try:
        missing = ""
        if page.compression != 1:
            _ = tifffile.TIFF.DECOMPRESSORS[page.compression]
        if page.predictor != 1:
            _ = tifffile.TIFF.UNPREDICTORS[page.predictor]
        if page.bitspersample not in (8, 16, 32, 64) or page.fillorder == 2:
            optional_module("imagecodecs", what="", requirement="imagecodecs")
    except KeyError as error:
        missing = str(error)
    except MissingExtraError:
        missing = "imagecodecs"
    if "imagecodecs" in missing:
        raise MissingExtraError(f"{title}: {_kind(page)}", "imagecodecs")
    if missing:
        raise PictureError(
            f"{title} is a {_kind(page)}, which is not read", hint="save it uncompressed"
        )


def _kind(page: Any) -> str:
    compression = getattr(page.compression, "name", page.compression)
    return f"{page.bitspersample}-bit TIFF with the compression {compression}"


def _odd_channels(page: Any) -> str:
    photometric, channels = int(page.photometric), int(page.samplesperpixel)
    if photometric not in _CHANNELS:
        return f"in the colours {getattr(page.photometric, 'name', photometric)}"
    needed = _CHANNELS[photometric]
    if not needed <= channels <= needed + _MOST_EXTRA_CHANNELS:
        return f"with {channels} channels"
    if photometric == 5 and page.tags.valueof(_INK_SET, 1) != 1:
        return "in other inks than CMYK"
    if page.imagedepth != 1 or getattr(page, "tiledepth", 1) not in (0, 1):
        return "of a volume"
    return "with reduced colour resolution" if page.is_subsampled else ""


def _odd_samples(page: Any) -> str:
    kind = page.sampleformat
    if page.dtype is None or kind not in (_UNSIGNED, _SIGNED, _FLOAT):
        return f"of sample format {kind} with {page.bitspersample} bits"
    if not isinstance(page.bitspersample, int) or page.bitspersample > 64:
        return f"of {page.bitspersample} bits"
    if page.predictor != 1 and page.bitspersample not in (8, 16, 32, 64):
        return f"of {page.bitspersample} bits with a predictor"
    formats = page.tags.valueof(_SAMPLE_FORMAT, kind)
    if isinstance(formats, tuple) and len(set(formats)) > 1:
        return "with channels of several kinds"
    return ""


def _decoded(page: Any) -> NDArray[Any]:
    """Decode to ``(H, W, channels)``."""
    if page.is_tiled and page.tilewidth * page.tilelength > _MOST_TILE_PX:
        raise ValueError("tiles larger than any picture")
    segments = int(np.prod(page.chunked))
    if page.tags.get(_offsets_tag(page)) is None or len(page.dataoffsets) < segments:
        raise ValueError("not all strips or tiles are in the file")
    if not all(page.databytecounts[:segments]):
        raise ValueError("empty strips or tiles")
    values = page.asarray(squeeze=False)[:, 0]
    return np.asarray(np.moveaxis(values[..., 0], 0, -1) if len(values) > 1 else values[0])


def _offsets_tag(page: Any) -> int:
    return 324 if page.is_tiled else 273


def _in_srgb(
    page: Any, values: NDArray[Any], title: str, notes: list[str]
) -> tuple[Plane, Plane | None]:
    channels = _CHANNELS[int(page.photometric)]
    scale = _full_scale(page, values[..., :channels], title, notes)
    profile = page.tags.valueof(_ICC_PROFILE)
    is_float = page.sampleformat == _FLOAT
    convert = deep_converter(channels, profile, notes)
    index, premultiplied = _alpha_channel(page, channels, values.shape[-1], notes)
    colour = np.empty((3, *values.shape[:2]), dtype=np.float32)
    alpha = np.empty(values.shape[:2], dtype=np.float32) if index else None
    for rows in row_bands(values.shape[:2]):
        band = np.divide(values[rows, :, :channels], scale, dtype=np.float32)
        if alpha is not None:
            alpha[rows] = np.divide(values[rows, :, index], scale, dtype=np.float32).clip(0, 1)
            if premultiplied:
                band /= np.maximum(alpha[rows, :, None], np.float32(1e-6))
                band = band if is_float else band.clip(0, 1)
        if page.photometric == _MIN_IS_WHITE:
            band = 1 - band
        colour[:, rows] = convert(band).transpose(2, 0, 1).clip(0, 1)
    return colour, alpha


def _alpha_channel(page: Any, channels: int, stored: int, notes: list[str]) -> tuple[int, bool]:
    """Find the channel of the opacity, 0 for none, and whether colours are multiplied by it."""
    for index, kind in enumerate(page.extrasamples[: stored - channels]):
        if kind in (_PREMULTIPLIED, _NOT_PREMULTIPLIED):
            return channels + index, kind == _PREMULTIPLIED
    if stored > channels:
        notes.append(UNDECLARED)
    return 0, False


UNDECLARED = "an extra channel that is not declared as transparency was left out"


def _full_scale(
    page: Any, colours: NDArray[Any], title: str, notes: list[str]
) -> np.float32 | np.float64:
    """The value of white. Adds a note if floating point may mean more than screen colours."""
    if page.sampleformat == _UNSIGNED:
        return np.float64(2**page.bitspersample - 1)
    least, most = colours.min(), colours.max()
    if page.sampleformat == _SIGNED:
        if least < 0 or most > 65535 or page.bitspersample < 16:
            raise PictureError(
                f"{title} holds signed values of {page.bitspersample} bits",
                hint="save it with 16 bits",
            )
        return np.float64(65535)
    if not (np.isfinite(least) and np.isfinite(most)):
        raise PictureError(f"{title} holds values that are not finite")
    if most > 1:
        notes.append(f"HDR: values up to {most:.4g} were cut off at 1; tone-map it to keep them")
    if least < 0:
        notes.append("values below 0 were cut off")
    if not page.tags.valueof(_ICC_PROFILE):
        notes.append("floating point without a colour profile, taken as sRGB, not as linear light")
    return np.float64(1)


def encode(file: BinaryIO, samples: Samples, *, description: str | None, software: str) -> None:
    """Write a TIFF file with an sRGB profile, strip by strip.

    Args:
        file: empty, and seekable.
        samples: 16 bits per channel; alpha not premultiplied.
        description: ASCII text for the ImageDescription.
        software: ASCII text for the Software tag.

    Raises:
        MissingExtraError: tifffile is not installed.
    """
    tifffile = optional_module("tifffile", what="16-bit TIFF", requirement="tifffile")
    height, width = samples.size
    strip = max(1, _STRIP_BYTES // (2 * samples.channels * width))
    tifffile.imwrite(
        file,
        _strips(samples, strip),
        shape=(height, width, samples.channels),
        dtype=np.uint16,
        byteorder="<",
        photometric="rgb",
        extrasamples=["unassalpha"] if samples.channels == 4 else None,
        compression="zlib",
        predictor=True,
        rowsperstrip=strip,
        iccprofile=srgb_profile(),
        description=description,
        software=software,
        metadata=None,
    )


def _strips(samples: Samples, strip: int) -> Iterator[bytes]:
    """Compress strips of rows with deflate and TIFF's predictor 2: differences between pixels."""
    for top in range(0, samples.size[0], strip):
        values = samples.rows(slice(top, top + strip))
        values[:, 1:] -= values[:, :-1].copy()
        yield zlib.compress(values.astype("<u2").tobytes())


def _tifffile() -> Any:
    return optional_module("tifffile", what="this kind of TIFF", requirement="tifffile imagecodecs")
