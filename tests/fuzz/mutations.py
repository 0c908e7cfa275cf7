"""Damage files and documents where it hurts: fields, lengths, counts, types, and plain bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.structure import Field, Structure, structure_of

Draw = Callable[[st.SearchStrategy[Any]], Any]

# Stand for what no serializer writes.
_DEEP, _HUGE = "@@deep@@", "@@huge@@"

_DEPTH = 20_000


class File(bytes):
    """The content of a file, which is too long for a report."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes, {self[:40]!r} …>"


@st.composite
def damaged(draw: Draw, seeds: Sequence[bytes]) -> File:
    """One of the files, with one to four faults."""
    data = draw(st.sampled_from(seeds))
    found = structure_of(data)
    for _ in range(draw(st.sampled_from((1, 1, 2, 4)))):
        data = draw(st.sampled_from(_FAULTS))(draw, data, found, seeds)
    return File(found.repair(data) if draw(st.integers(0, 9)) else data)


def _set_field(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    field: Field = draw(st.sampled_from(found.fields))
    before = int.from_bytes(data[field.at : field.at + field.width], field.order)  # type: ignore[arg-type]
    most = 256**field.width - 1
    near = [before + 1, before - 1, 2 * before, before // 2, len(data), len(data) - field.at]
    usual = [0, 1, 2, 3, 4, 5, 8, 16, 17, 32, 255, 256, 65535, most, most - 1, most // 2]
    value = draw(st.sampled_from([*usual, *near]) | st.integers(0, most)) & most
    new = value.to_bytes(field.width, field.order)  # type: ignore[arg-type]
    return data[: field.at] + new + data[field.at + field.width :]


def _without_block(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    start, end = _block(draw, data, found)
    return data[:start] + data[end:]


def _repeat_block(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    start, end = _block(draw, data, found)
    return data[:end] + data[start:end] * draw(st.sampled_from((1, 1, 2, 50))) + data[end:]


def _move_block(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    (start, end), (there, _) = _block(draw, data, found), _block(draw, data, found)
    block, rest = data[start:end], data[:start] + data[end:]
    return rest[:there] + block + rest[there:]


def _cut(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    return data[: _place(draw, data)]


def _splice(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(seeds))
    return data[: _place(draw, data)] + other[_place(draw, other) :]


def _insert(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    at = _place(draw, data)
    return data[:at] + draw(st.binary(min_size=1, max_size=16)) + data[at:]


def _overwrite(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    at, new = _place(draw, data), draw(st.binary(min_size=1, max_size=8))
    return data[:at] + new + data[at + len(new) :]


def _blank(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    at = _place(draw, data)
    end = min(len(data), at + draw(st.integers(1, 200)))
    return data[:at] + draw(st.sampled_from((b"\0", b"\xff"))) * (end - at) + data[end:]


def _append(draw: Draw, data: bytes, found: Structure, seeds: Sequence[bytes]) -> bytes:
    return data + draw(st.binary(min_size=1, max_size=4)) * draw(st.sampled_from((1, 20_000)))


# Twice what finds most.
_FAULTS = [_set_field] * 8 + [_without_block, _repeat_block, _move_block, _cut, _splice]
_FAULTS += [_insert, _overwrite, _overwrite, _blank, _append]


def _block(draw: Draw, data: bytes, found: Structure) -> tuple[int, int]:
    if found.blocks:
        return draw(st.sampled_from(found.blocks))
    start = _place(draw, data)
    return start, min(len(data), start + draw(st.integers(1, 64)))


def _place(draw: Draw, data: bytes) -> int:
    return draw(st.integers(0, len(data)))


# Stands for the sandbox, which is elsewhere each time.
ROOT = "@@root@@"

# Texts that a program may take for a path, a number, a command or its own markup.
HOSTILE_TEXTS = [
    "",
    " ",
    "\0",
    "x" * 5000,
    "\ud800",
    "\x1b]0;pwned\x07",
    "\u202egnp.exe\n\r\u2028",
    "../../outside/new.png",
    "../outside/precious.txt",
    f"{ROOT}/outside/new.png",
    f"{ROOT}/outside/precious.txt",
    "~/.bashrc",
    "/dev/stdin",
    "/dev/full",
    "-o",
    ".",
    "..",
    "nul",
    "é",
    "e\u0301" * 200,
    "%s%n{0.__class__}{settings}",
    "{{ 7 * 7 }}<script>alert(1)</script>",
    "1e309",
    "nan",
    "-1",
    "99999999999999999999",
    "100000x100000",
    "1x1",
    "1000000MP",
    "0",
    "original",
    "conv1_1:0-99999999",
    "(" * 3000,
    "conv1_1" + "+conv1_1" * 3000,
    "𝟙𝟚",
    "٣",
    _DEEP,
    _HUGE,
]


_NUMBERS = [0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, -1e308, 5e-324, 0.5]
_NUMBERS += [float("nan"), float("inf"), float("-inf")]

_OTHERS = [None, True, False, [], {}, [[]], [None], {"": None}, [1, 2], [1, 2, 3], ["a", 1]]
_OTHERS += [[[1] * 3] * 2000, {"x": 1}, [_DEEP], ["\ud800"]]

_HOSTILE_VALUES: list[Any] = [*HOSTILE_TEXTS, *_NUMBERS, *_OTHERS]


@st.composite
def documents(draw: Draw, seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One of the documents, with one to four values or keys changed."""
    document = {"root": copy.deepcopy(draw(st.sampled_from(seeds)))}
    for _ in range(draw(st.sampled_from((1, 1, 2, 4)))):
        places = [place for place in _places(document) if place[0] is not document]
        if places:
            holder, key = draw(st.sampled_from(places))
            draw(st.sampled_from(_CHANGES))(draw, holder, key, places)
    return document["root"]


def _places(tree: Any) -> Iterable[tuple[Any, Any]]:
    """Every value of a tree, as its holder and its key there."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items)[:60]:
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _replace(draw: Draw, holder: Any, key: Any, places: Any) -> None:
    holder[key] = copy.deepcopy(draw(st.sampled_from(_HOSTILE_VALUES)))


def _nudge(draw: Draw, holder: Any, key: Any, places: Any) -> None:
    """A value of the right type, but another one."""
    match holder[key]:
        case bool(value):
            holder[key] = not value
        case int(value):
            change = st.sampled_from((-value, 1 - value, -1, 1, value, 10 * value, 2**31))
            holder[key] = value + draw(change)
        case float(value):
            holder[key] = value * draw(st.sampled_from((-1.0, 0.0, 1e-300, 1e3, 1e300)))
        case str(value):
            others = (value[:-1], value * 2, value.upper(), value + "\n")
            holder[key] = draw(st.sampled_from(others))
        case list(value) | dict(value) if value:
            first = next(iter(value))
            holder[key] = [*value, *value] if isinstance(value, list) else {first: value[first]}


def _retype(draw: Draw, holder: Any, key: Any, places: Any) -> None:
    """The same value in another type."""
    value = holder[key]
    kinds = (str, lambda each: [each], lambda each: {"value": each}, lambda each: [each] * 3)
    holder[key] = draw(st.sampled_from(kinds))(value)


def _remove(draw: Draw, holder: Any, key: Any, places: Any) -> None:
    del holder[key]


def _rename(draw: Draw, holder: Any, key: Any, places: Any) -> None:
    if isinstance(holder, dict):
        holder[draw(st.sampled_from(HOSTILE_TEXTS))] = holder.pop(key)


def _add(draw: Draw, holder: Any, key: Any, places: Any) -> None:
    value = copy.deepcopy(draw(st.sampled_from(_HOSTILE_VALUES)))
    if isinstance(holder, dict):
        holder[draw(st.sampled_from(("x", "name", "size", *HOSTILE_TEXTS)))] = value
    else:
        holder.insert(key, value)


def _swap(draw: Draw, holder: Any, key: Any, places: Any) -> None:
    other, there = draw(st.sampled_from(places))
    if there in other if isinstance(other, dict) else there < len(other):
        holder[key] = copy.deepcopy(other[there])


_CHANGES = [_replace, _replace, _replace, _nudge, _nudge, _retype, _remove, _rename, _add, _swap]


def to_json(document: Any) -> str:
    """JSON, with what stands for deep nesting and long numbers."""
    return _hardened(json.dumps(document, separators=(",", ":")))


def _hardened(text: str) -> str:
    deep = "[" * _DEPTH + "]" * _DEPTH
    return text.replace(f'"{_DEEP}"', deep).replace(f'"{_HUGE}"', "1" + "0" * 5000)


def to_toml(document: dict[str, Any]) -> str:
    """TOML, written for what tomli_w refuses, too."""
    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    plain = [key for key in document if key not in tables]
    lines = [f"{_toml(key)} = {_toml(document[key])}" for key in plain]
    for key, table in tables.items():
        lines += ["", f"[{_toml(key)}]"]
        lines += [f"{_toml(name)} = {_toml(value)}" for name, value in table.items()]
    return _hardened("\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
        case None:
            return "null"
    # JSON's strings are TOML's, but for what Python leaves as it is.
    return json.dumps(value).replace("\x7f", "\\u007f")


@st.composite
def texts(draw: Draw, document: st.SearchStrategy[str]) -> File:
    """A text as a file, sometimes cut off, in another encoding, or with other bytes in it."""
    text = draw(document)
    data = text.encode(errors="surrogatepass")
    at = draw(st.integers(0, len(data)))
    match draw(st.integers(0, 19)):
        case 0:
            encoding = draw(st.sampled_from(("utf-16", "utf-32", "utf-8-sig", "utf-7")))
            return File(text.encode(encoding, errors="replace"))
        case 1:
            return File(data[:at])
        case 2:
            return File(data[:at] + draw(st.binary(min_size=1, max_size=8)) + data[at:])
        case 3:
            return File(data.replace(b"\n", b"\r"))
        case 4:
            return File(data * 2)
    return File(data)
