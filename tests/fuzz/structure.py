"""Where the fields and the blocks of a file are, for each format that the program reads."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Field:
    """A number in a file."""

    at: int
    width: int
    order: str = "big"


@dataclass
class Structure:
    """What a file is made of.

    Attributes:
        fields: sizes, counts, types, offsets.
        blocks: beginning and end of what can be left out, repeated or moved.
        repair: makes the checksums right again after a change.
    """

    fields: list[Field] = field(default_factory=list)
    blocks: list[tuple[int, int]] = field(default_factory=list)
    repair: Callable[[bytes], bytes] = bytes


def structure_of(data: bytes) -> Structure:
    """The structure of a picture, with that of the EXIF data and the colour profile inside."""
    found = _outer(data)
    for match in re.finditer(rb"II\*\0|MM\0\*|II\+\0|MM\0\+", data):
        _add_tiff(found, data, match.start())
    for match in re.finditer(rb"acsp", data):
        _add_profile(found, data, match.start() - 36)
    found.fields = [each for each in found.fields if 0 <= each.at <= len(data) - each.width]
    found.fields = found.fields or [Field(at, 1) for at in range(min(64, len(data)))]
    return found


def _outer(data: bytes) -> Structure:
    if data[4:8] == b"ftyp":
        found = Structure()
        _add_boxes(found, data, 0, len(data))
        return found
    known: dict[bytes, Callable[[bytes], Structure]] = {
        b"\x89PNG": _png,
        b"\xff\xd8": _jpeg,
        b"RIFF": _riff,
        b"GIF8": _gif,
        b"BM": _bmp,
        b"PK": _zip,
    }
    parse = next((find for magic, find in known.items() if data.startswith(magic)), None)
    return parse(data) if parse else Structure()


def _png_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Beginning of each chunk, and length of what it holds."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield at, length
        at += 12 + length


def _png(data: bytes) -> Structure:
    found = Structure(repair=_with_checksums)
    for at, length in _png_chunks(data):
        found.blocks.append((at, at + 12 + length))
        found.fields += [Field(at, 4), Field(at + 4, 1), Field(at + 8, 4), Field(at + 12, 4)]
        found.fields += [Field(at + 8 + place, 1) for place in range(min(length, 26))]
    return found


def _with_checksums(data: bytes) -> bytes:
    """Of a PNG, as far as its chunks can be recognized."""
    repaired = bytearray(data)
    for at, length in _png_chunks(data):
        end = at + 8 + length
        if end + 4 <= len(data):
            repaired[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
    return bytes(repaired)


def _jpeg(data: bytes) -> Structure:
    found, at = Structure(), 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found.blocks.append((at, at + 2 + length))
        found.fields += [Field(at + 1, 1), Field(at + 2, 2), Field(at + 5, 2), Field(at + 7, 2)]
        found.fields += [Field(at + 4 + place, 1) for place in range(min(length - 2, 24))]
        if data[at + 1] == 0xDA:  # the picture itself follows
            break
        at += 2 + length
    return found


def _riff(data: bytes) -> Structure:
    found, at = Structure(fields=[Field(4, 4, "little")]), 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        found.blocks.append((at, end))
        found.fields += [Field(at, 1), Field(at + 4, 4, "little"), Field(at + 8, 4, "little")]
        found.fields += [Field(at + 8 + place, 1) for place in range(min(length, 24))]
        at = end
    return found


def _gif(data: bytes) -> Structure:
    found = Structure(fields=[Field(6, 2, "little"), Field(8, 2, "little"), Field(10, 1)])
    for match in re.finditer(rb"\x21[\xf9\xfe\xff\x01]|\x2c", data):
        at = match.start()
        found.blocks.append((at, min(at + 10, len(data))))
        found.fields += [Field(at + place, 1) for place in range(12)]
        found.fields += [Field(at + place, 2, "little") for place in (1, 3, 5, 7)]
    return found


def _bmp(data: bytes) -> Structure:
    places = [(2, 4), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4), (34, 4)]
    return Structure([Field(at, width, "little") for at, width in [*places, (46, 4), (50, 4)]])


_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"moov": 0, b"trak": 0, b"mdia": 0}
_CONTAINERS |= {b"minf": 0, b"stbl": 0, b"udta": 0, b"ilst": 0, b"dinf": 0, b"edts": 0}


def _add_boxes(found: Structure, data: bytes, at: int, end: int) -> None:
    """Of AVIF, HEIC and mp4: boxes in boxes."""
    while at + 8 <= end:
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if length < 8 or at + length > end:
            return
        found.blocks.append((at, at + length))
        found.fields += [Field(at, 4), Field(at + 4, 1), Field(at + 8, 4), Field(at + 12, 4)]
        if kind in _CONTAINERS:
            _add_boxes(found, data, at + 8 + _CONTAINERS[kind], at + length)
        elif kind != b"mdat":
            found.fields += [Field(at + 8 + place, 1) for place in range(min(length - 8, 32))]
            found.fields += [Field(at + 8 + 4 * n, 4) for n in range(min((length - 8) // 4, 12))]
        at += length


def _add_tiff(found: Structure, data: bytes, base: int) -> None:
    """The first directories of a TIFF, or of EXIF data; also of BigTIFF."""
    order = "little" if data[base : base + 1] == b"I" else "big"
    number = lambda at, width: int.from_bytes(data[at : at + width], order)  # noqa: E731
    is_big = number(base + 2, 2) == 43
    count_width, entry, wide = (8, 20, 8) if is_big else (2, 12, 4)
    found.fields += [Field(base + 2, 2, order), Field(base + (8 if is_big else 4), wide, order)]
    start = base + number(base + (8 if is_big else 4), wide)
    for _ in range(4):
        count = number(start, count_width)
        if not base < start < len(data) or count > 200:
            return
        found.fields.append(Field(start, count_width, order))
        for at in range(start + count_width, start + count_width + entry * count, entry):
            found.blocks.append((at, at + entry))
            found.fields += [Field(at, 2, order), Field(at + 2, 2, order)]
            found.fields += [Field(at + 4, wide, order), Field(at + 4 + wide, wide, order)]
            found.fields.append(Field(at + 4 + wide, 2, order))
            if number(at, 2) in (0x8769, 258, 339, 273, 279):
                inner = base + number(at + 4 + wide, wide)
                found.fields += [Field(inner, 2, order), Field(inner + 2, 2, order)]
        start = base + number(start + count_width + entry * count, wide)


def _add_profile(found: Structure, data: bytes, base: int) -> None:
    """The header and the table of an ICC profile."""
    if base < 0:
        return
    found.fields += [Field(base + place, 4) for place in (0, 8, 12, 16, 20, 64, 128)]
    count = min(int.from_bytes(data[base + 128 : base + 132], "big"), 30)
    for at in range(base + 132, base + 132 + 12 * count, 12):
        found.blocks.append((at, at + 12))
        found.fields += [Field(at + 4, 4), Field(at + 8, 4)]
        inner = base + int.from_bytes(data[at + 4 : at + 8], "big")
        found.fields += [Field(inner, 4), Field(inner + 8, 4), Field(inner + 12, 2)]


def _zip(data: bytes) -> Structure:
    """An archive, as torch.save writes one."""
    found = Structure()
    for match in re.finditer(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06|PK\x06\x06|PK\x06\x07", data):
        at = match.start()
        found.blocks.append((at, min(at + 46, len(data))))
        found.fields += [Field(at + place, 2, "little") for place in range(4, 44, 2)]
        found.fields += [Field(at + place, 4, "little") for place in range(4, 44, 4)]
    # The opcodes of the pickle inside.
    start = max(data.find(b"\x80\x02"), 0)
    found.fields += [Field(start + place, 1) for place in range(400)]
    return found
