"""Messages on stderr: one line for each error, with a remedy."""

from __future__ import annotations

import re
import traceback
import unicodedata
from collections.abc import Sequence

import click

from stylize.errors import ExpressionError, is_out_of_memory
from stylize.planning.limits import out_of_memory

# Exit codes of a run that Ctrl-C, or another signal, has stopped.
INTERRUPTED, TERMINATED = 130, 143

# Of an expression in a message; with its indent, a terminal's usual 80.
WINDOW_COLUMNS = 78

# Of a message: more than a path of four names of the greatest length.
LONGEST_WORD = 1100


def advised(error: click.ClickException) -> str:
    """What click found wrong on the command line, and how to get help."""
    line = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or "Did you mean" in line:
        return line
    return f"{line} (see '{context.command_path} --help')"


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
        say("".join(traceback.format_exception(error)).rstrip())
    say(f"stylize: {' '.join(map(_shortened, line.split()))}")
    if isinstance(error, ExpressionError):
        say(pointed(error.expression, error.position))


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


def say(text: str) -> None:
    """Print a message to stderr, without control characters from file names."""
    printable = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    click.echo(printable, err=True)
