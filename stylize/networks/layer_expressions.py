"""Layer expressions, such as ``conv4_3 + 0.5*conv3_3:30-40 - 0.2*conv5_1:7``.

::

    expression = [sign] term {sign term}
    term       = [number "*"] layer | layer "*" number
    layer      = name {"." name} [":" channels]
    channels   = range {"," range}      without spaces, close to the colon
    range      = number ["-" number]    counted from 0, both ends included

No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from stylize.errors import ExpressionError, UnknownNameError
from stylize.networks.architecture import Layer, find_layer

MAX_CHARACTERS = 2000

MAX_TERMS = 64

# Larger weights make no sense; sums and products of these are far from overflow.
MAX_WEIGHT = 1e9

# More than any layer has; limits a range before the network is known.
MAX_CHANNEL = 9999

_SPACE = re.compile(r"\s*")

_SIGN = re.compile(r"[+-]")

_TIMES = re.compile(r"\*")

_COLON = re.compile(r":")

_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")

_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")

_COMMA = re.compile(r",")

_EXAMPLE = "for example conv4_3 + 0.5*conv3_3:30-40"

_CHANNELS_FORM = "channels are numbers and ranges without spaces: conv5_1:7,21-26"


@dataclass(frozen=True)
class Target:
    """A layer, or some of its channels, with a weight.

    Attributes:
        layer: its name, such as ``conv4_3``, ``relu4_3`` or ``inception_4c.branch2``.
        weight: not 0; a negative weight suppresses the layer.
        channels: sorted, each once, at least one; None for all.
    """

    layer: str
    weight: float
    channels: tuple[int, ...] | None


@dataclass(frozen=True)
class _Range:
    first: int
    last: int
    position: int


@dataclass(frozen=True)
class _Term:
    target: Target
    position: int
    ranges: tuple[_Range, ...]


def parse_targets(text: str) -> tuple[Target, ...]:
    """Parse an expression; :func:`check_targets` checks it against a network.

    Args:
        text: at most 2000 characters and 64 terms.

    Raises:
        ExpressionError: a syntax error, with its column.
    """
    return tuple(term.target for term in _parse(text))


def check_targets(text: str, targets: Sequence[Target], architecture: str) -> None:
    """Check an expression against a network.

    Args:
        text: the expression, for the column of an error.
        targets: the result of :func:`parse_targets`.
        architecture: of the network.

    Raises:
        ExpressionError: the network has no such layer or channel.
    """
    for target, term in zip(targets, _parse(text), strict=True):
        layer = _find(target, term, text, architecture)
        for each in term.ranges:
            if each.last >= layer.channels:
                raise ExpressionError(
                    f"no channel {max(each.first, layer.channels)}: {target.layer} of"
                    f" {architecture} has {layer.channels} channels",
                    text,
                    each.position,
                    hint=f"0 to {layer.channels - 1}",
                )


def to_text(targets: Sequence[Target]) -> str:
    """Write the canonical text, which :func:`parse_targets` reads back as the same targets."""
    words = [word for target in targets for word in (_sign(target), _term_text(target))]
    text = " ".join(words)
    return "-" + text[2:] if text.startswith("- ") else text.removeprefix("+ ")


def _sign(target: Target) -> str:
    return "-" if target.weight < 0 else "+"


def _term_text(target: Target) -> str:
    weight = repr(float(abs(target.weight))).removesuffix(".0")
    factor = "" if weight == "1" else f"{weight}*"
    return factor + _layer_text(target)


def _layer_text(target: Target) -> str:
    if target.channels is None:
        return target.layer
    ranges = (f"{a}-{b}" if b > a else f"{a}" for a, b in _runs(target.channels))
    return f"{target.layer}:{','.join(ranges)}"


def _runs(channels: Iterable[int]) -> list[tuple[int, int]]:
    """Return first and last of each unbroken run in sorted numbers."""
    runs: list[tuple[int, int]] = []
    for channel in channels:
        if runs and runs[-1][1] == channel - 1:
            runs[-1] = (runs[-1][0], channel)
        else:
            runs.append((channel, channel))
    return runs


def _parse(text: str) -> list[_Term]:
    reader = _Reader(text)
    if len(text) > MAX_CHARACTERS:
        reader.fail_for_length()
    if not text.strip():
        reader.fail("no layer is named", 0, hint=_EXAMPLE)
    terms = reader.terms()
    _refuse_repetition(terms, reader)
    # The canonical text may be longer than this one, and must be readable too.
    if len(to_text([term.target for term in terms])) > MAX_CHARACTERS:
        reader.fail_for_length()
    return terms


def _refuse_repetition(terms: Iterable[_Term], reader: _Reader) -> None:
    seen = set()
    for term in terms:
        what = (term.target.layer, term.target.channels)
        if what in seen:
            name = _shortened(_layer_text(term.target))
            reader.fail(f"'{name}' is named twice", term.position, hint="add its weights up")
        seen.add(what)


def _find(target: Target, term: _Term, text: str, architecture: str) -> Layer:
    try:
        return find_layer(architecture, _shortened(target.layer))
    except UnknownNameError as error:
        raise ExpressionError(error.message, text, term.position, hint=error.hint) from error


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


class _Reader:
    """Parses an expression from left to right; ``position`` is the current column."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def terms(self) -> list[_Term]:
        self.skip_space()
        sign = self.take(_SIGN)
        found = [self.term(sign)]
        while self.position < len(self.text):
            sign = self.take(_SIGN)
            if sign is None:
                self.fail_for("+ or -", hint=self.likely_cause())
            if len(found) == MAX_TERMS:
                self.fail("too many terms", hint=f"at most {MAX_TERMS}")
            found.append(self.term(sign))
        return found

    def term(self, sign: str | None) -> _Term:
        self.skip_space()
        weight = self.number()
        if weight is not None:
            self.need(_TIMES, "* after the weight", hint="0.5*conv4_3")
            self.skip_space()
        position = self.position
        name = self.need(_NAME, "a layer" if weight else "a layer or a weight", hint=_EXAMPLE)
        ranges = self.ranges() if self.take(_COLON) else ()
        self.skip_space()
        if weight is None:
            weight = self.factor()
        channels = {n for each in ranges for n in range(each.first, each.last + 1)}
        signed = -weight if sign == "-" else weight
        target = Target(name, signed, tuple(sorted(channels)) if ranges else None)
        return _Term(target, position, ranges)

    def factor(self) -> float:
        """Parse the weight after a layer; 1 if there is none."""
        if self.take(_TIMES) is None:
            return 1.0
        self.skip_space()
        weight = self.number()
        if weight is None:
            self.fail_for("a number after *", hint="conv4_3*0.5")
        return weight

    def number(self) -> float | None:
        position = self.position
        digits = self.take(_NUMBER)
        if digits is None:
            return None
        weight = float(digits)
        if weight == 0:
            self.fail("a weight of 0 has no effect", position, hint="leave the layer out")
        if weight > MAX_WEIGHT:
            what = f"the weight {_shortened(digits)} is too large"
            self.fail(what, position, hint=f"at most {MAX_WEIGHT:.12g}")
        self.skip_space()
        return weight

    def ranges(self) -> tuple[_Range, ...]:
        found = [self.range()]
        while self.take(_COMMA):
            found.append(self.range())
        return tuple(found)

    def range(self) -> _Range:
        match = _RANGE.match(self.text, self.position)
        if match is None:
            self.fail_for("a channel's number", hint=_CHANNELS_FORM)
        first, last = int(match[1]), int(match[2] or match[1])
        if max(first, last) > MAX_CHANNEL:
            self.fail("no layer has that many channels", hint=f"at most {MAX_CHANNEL}")
        if first > last:
            what = f"the range {first}-{last} runs backwards"
            self.fail(what, hint="the smaller number first; a minus needs a space before it")
        found = _Range(first, last, self.position)
        self.position = match.end()
        return found

    def likely_cause(self) -> str | None:
        """Guess why the text after a term is wrong, for a hint."""
        before, rest = self.text[: self.position].rstrip(), self.text[self.position :]
        if rest[0] in ":,":
            return _CHANNELS_FORM
        if rest[0] in ".*" and re.search(r":[0-9,-]*-[0-9]+$", before):
            return "a minus after a channel needs a space before it"
        return None

    def skip_space(self) -> None:
        self.take(_SPACE)

    def take(self, pattern: re.Pattern[str]) -> str | None:
        """Return the text here and advance, if it matches the pattern."""
        match = pattern.match(self.text, self.position)
        if match is None:
            return None
        self.position = match.end()
        return match[0]

    def need(self, pattern: re.Pattern[str], what: str, *, hint: str) -> str:
        """Like :meth:`take`, but the text must match."""
        found = self.take(pattern)
        if found is None:
            self.fail_for(what, hint=hint)
        return found

    def fail_for(self, wanted: str, *, hint: str | None) -> NoReturn:
        rest = self.text[self.position :]
        found = f"'{rest[0]}'" if rest else "the end"
        self.fail(f"expected {wanted}, found {found}", hint=hint)

    def fail_for_length(self) -> NoReturn:
        where = min(len(self.text), MAX_CHARACTERS)
        self.fail("the expression is too long", where, hint=f"at most {MAX_CHARACTERS} characters")

    def fail(self, what: str, position: int | None = None, *, hint: str | None) -> NoReturn:
        """Raise an error at a column, by default the current one."""
        at = self.position if position is None else position
        raise ExpressionError(what, self.text, at, hint=hint)
