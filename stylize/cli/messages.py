"""Text on stdout and stderr: safe for any terminal and encoding; one line for each error."""

from __future__ import annotations

import codecs
import json
import os
import re
import shlex
import string
import subprocess
import sys
import traceback
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import click

from stylize.errors import ExpressionError, StylizeError, is_out_of_memory
from stylize.planning.limits import out_of_memory

# Exit codes of a run that Ctrl-C, or another signal, has stopped.
INTERRUPTED, TERMINATED = 130, 143

# Of a message: values from a file can have any number of words, too.
MAX_LINE = 2000

# Of an expression in a message; with its indent, a terminal's usual 80.
WINDOW_COLUMNS = 78

# Of a message: more than a path of four names of the greatest length.
LONGEST_WORD = 1100

# Format characters that emoji and Persian words contain; any other may be an attack.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"

# Replacements for characters that an encoding lacks; all others become question marks.
_SPELLED = {"…": "...", "×": "x", "–": "-", "—": "-", "−": "-", "→": "->", "·": "*", "≥": ">="}

# Characters without a meaning inside $'…', which bash, zsh and ksh understand.
_PLAIN = frozenset(string.digits + string.ascii_letters + "_-+=.,:/@% ")

_ASCII, _LENIENT = "stylize_ascii", "stylize_lenient"


def prepare_streams() -> None:
    """Let stdout and stderr take any text in any encoding, and replace the closed ones.

    What an encoding cannot express is replaced. A closed stdin, stdout or stderr becomes the null
    device, so that no picture is opened under its number.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Opened for reading, so that a picture for a closed stdout is an error.
            os.open(os.devnull, os.O_RDONLY)
    codecs.register(_find_ascii)
    codecs.register_error(_LENIENT, _spelled)
    sys.stdout, sys.stderr = _lenient(sys.stdout), _lenient(sys.stderr)


def is_closed(stream: TextIO | None) -> bool:
    """Whether a stream was closed before the program started."""
    return stream is None or getattr(stream, "name", None) == os.devnull


def _lenient(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if reconfigure := getattr(stream, "reconfigure", None):
        is_ascii = codecs.lookup(stream.encoding).name == "ascii"
        # click takes ASCII for a mistake, and writes UTF-8.
        reconfigure(encoding=_ASCII if is_ascii else None, errors=_LENIENT)
    return stream


def _find_ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII under another name."""
    if name != _ASCII:
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(
        known.encode,
        known.decode,
        incrementalencoder=known.incrementalencoder,
        incrementaldecoder=known.incrementaldecoder,
        name=_ASCII,
    )


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SPELLED.get(character, "?") for character in lacking), error.end


def shown(text: str) -> str:
    """Replace what a terminal would act on: control characters, line ends, text direction."""
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    # Screenshots of macOS have a narrow space in their names.
    is_space = unicodedata.category(character) == "Zs"
    return " " if is_space else "\N{REPLACEMENT CHARACTER}"


def echo(text: str) -> None:
    """Print one line on stdout; see :func:`shown`."""
    click.echo(shown(text))


def echo_path(path: Path) -> None:
    """Print a path on stdout: readable on a terminal, otherwise exact."""
    if os.name == "posix" and hasattr(sys.stdout, "buffer") and not sys.stdout.isatty():
        click.echo(os.fsencode(path))
    else:
        echo(str(path))


def say(*lines: str) -> None:
    """Print lines on stderr; see :func:`shown`. A closed or full stderr ends no run."""
    with suppress(OSError, ValueError):
        click.echo("\n".join(_within_limit(shown(line)) for line in lines), err=True)


def _within_limit(line: str) -> str:
    """Leave out the middle of a line that nobody reads to its end, where the remedy is."""
    half = (MAX_LINE - 3) // 2
    return line if len(line) <= MAX_LINE else f"{line[:half]} … {line[-half:]}"


def command_line(*words: str) -> str:
    """Quote a command for the shell; unprintable bytes are escaped, so that it can be copied."""
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    plain = (chr(byte) if chr(byte) in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(plain)}'"


def emit(event: str, **values: Any) -> None:
    """Print one JSON line on stdout; docs/json.md describes the events.

    A reader that has gone, or a full disk, ends no run: it is said once, and nothing more is
    printed.
    """
    try:
        click.echo(json.dumps({"event": event, **values}))
        sys.stdout.flush()
    except OSError as error:
        # Later lines, and Python's own flush at the end, go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"stdout: {(error.strerror or str(error)).lower()}; the run continues without events")


def emit_error(error: Exception, words: Sequence[str], code: int) -> None:
    """Print an error as an event if the words on the command line ask for JSON."""
    options = words[: words.index("--")] if "--" in words else words
    if "--json" in options:
        message, hint = message_and_hint(error)
        emit("error", code=code, message=" ".join(message.split())[:MAX_LINE], hint=hint)


# click's words for a number that is out of its range.
_RANGE = re.compile(
    r"(?P<what>.*?(?P<value>\S+)) is not in the range "
    r"(?:(?P<low>[^\s<]+)<=)?x(?:<=(?P<high>\S+))?(?:>=(?P<least>\S+))?",
    re.DOTALL,
)


def message_and_hint(error: Exception) -> tuple[str, str | None]:
    """Say what is wrong, and the remedy if there is one."""
    if isinstance(error, StylizeError):
        return error.message, error.hint
    if not isinstance(error, click.ClickException):
        return unforeseen(error), None
    line = error.format_message().rstrip(".")
    line = line.replace("is not a valid float", "is not a number")
    line = line.replace("is not a valid integer", "is not a whole number")
    line = re.sub("is not a valid boolean.*", "is neither yes nor no", line)
    # click's own words are a sentence, or are in brackets if there are several.
    if guess := re.fullmatch(r"(.*?)\.? \(?Did you mean (.*?)\)?", line, re.DOTALL):
        return guess[1], f"did you mean {guess[2]}"
    if limits := _RANGE.fullmatch(line):
        least, most = limits["low"] or limits["least"], limits["high"]
        if least and (most is None or float(limits["value"]) < float(least)):
            return f"{limits['what']} is too small", f"at least {least}"
        return f"{limits['what']} is too large", f"at most {most}"
    return line, _where_to_look(error)


def _where_to_look(error: click.ClickException) -> str | None:
    """Name the environment variable that a wrong value comes from, or else the help."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return None
    wrong = error.param if isinstance(error, click.BadParameter) else None
    if wrong is not None and wrong.name is not None and hasattr(wrong, "variable"):
        source = context.get_parameter_source(wrong.name)
        if source is click.core.ParameterSource.ENVIRONMENT:
            return f"set by the environment variable {wrong.variable(context)}"
    return f"see '{context.command_path} --help'"


def advised(error: click.ClickException) -> str:
    """Say what click found wrong on the command line, and how to get help."""
    line, hint = message_and_hint(error)
    return f"{line} ({hint})" if hint else line


def unforeseen(error: Exception) -> str:
    """One line for an error that is not a :class:`StylizeError`."""
    text = str(error)
    if is_out_of_memory(error):
        return out_of_memory()
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"internal error: {type(error).__name__}: {text[:300]} (-vv shows where)"


def explain(error: Exception, line: str, words: Sequence[str]) -> None:
    """Print the line, and the traceback with -vv."""
    if verbosity(words) > 1:
        say(*"".join(traceback.format_exception(error)).splitlines())
    say(f"stylize: {' '.join(map(_shortened, line.split()))}")
    if isinstance(error, ExpressionError):
        say(*pointed(error.expression, error.position).splitlines())


def _shortened(word: str) -> str:
    """A word of a message; one that no file can be called is cut in its middle."""
    half = (LONGEST_WORD - 1) // 2
    return word if len(word) <= LONGEST_WORD else f"{word[:half]}…{word[-half:]}"


def pointed(expression: str, position: int) -> str:
    """The part of an expression around a position, and below it a caret, both indented."""
    first = max(0, min(position - WINDOW_COLUMNS // 2, len(expression) + 1 - WINDOW_COLUMNS))
    last = first + WINDOW_COLUMNS
    shown = "".join(map(one_column, expression[first:last]))
    if first > 0:
        shown = "…" + shown[1:]
    if last < len(expression):
        shown = shown[:-1] + "…"
    return f"  {shown}\n  {' ' * (position - first)}^"


def one_column(character: str) -> str:
    """The character, or a substitute if a terminal does not show it in one column."""
    if character.isspace():
        return " "
    marks = unicodedata.category(character) in ("Mn", "Me")
    wide = unicodedata.east_asian_width(character) in ("W", "F")
    plain = character.isprintable() and not marks and not wide
    return character if plain else "\N{REPLACEMENT CHARACTER}"


def verbosity(words: Sequence[str]) -> int:
    """Count the -v among the words, even if they are no valid command."""
    flags = (re.match(r"-[qv]+", word) for word in words)
    return words.count("--verbose") + sum(flag[0].count("v") for flag in flags if flag)
