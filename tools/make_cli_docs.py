"""Write docs/cli.md from the program's own commands and options.

python tools/make_cli_docs.py          write the page
python tools/make_cli_docs.py --check  exit with 1 if it is not up to date
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import click

from stylize.cli.help import by_group
from stylize.cli.main import COMMANDS, EPILOG, WISHES, cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
INTRODUCTION = """# Commands and options

`stylize COMMAND --help` shows the everyday options of a command, `--help-all` shows all of them.
This page lists all of them. `tools/make_cli_docs.py` generates it.
"""
DEFAULTS = """The section of a command names those of these options that it takes. Square brackets
show the default; a `--preset` can change it. Every option can also be set in the environment:
`STYLIZE_TRANSFER_SIZE=1024` sets `--size 1024` for `stylize transfer`. Several values of one
option are separated by spaces, several files by `:` (on Windows `;`).
"""
COMPLETION = r"""## Tab completion

The Tab key completes commands, options, files, presets, layers, networks, devices, and the cells of
a contact sheet. Add a line to the start-up file of your shell:

| shell | file | line |
|---|---|---|
| bash 4.4 or newer | `~/.bashrc` | `eval "$(_STYLIZE_COMPLETE=bash_source stylize)"` |
| zsh | `~/.zshrc`, after `compinit` | `eval "$(_STYLIZE_COMPLETE=zsh_source stylize)"` |
| fish | `~/.config/fish/config.fish` | `_STYLIZE_COMPLETE=fish_source stylize \| source` |
"""
# An option with the same text in so many commands is described once, at the top.
SHARED_FROM = 5

# A command, as it is typed, and its context.
Found = dict[str, click.Context]
# An option as the help shows it: its spelling and its text.
Record = tuple[str, str]


def find_commands(context: click.Context) -> Found:
    """Every command below a group, in the order of the help, the groups included."""
    found: Found = {}
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=context)
        found[below.command_path] = below
        if isinstance(command, click.Group):
            found |= find_commands(below)
    return found


def records(context: click.Context) -> dict[str, list[Record]]:
    """The options of a command by the heading of their group."""
    options = [
        each for each in context.command.get_params(context) if isinstance(each, click.Option)
    ]
    return {
        group.value: [row for each in members if (row := each.get_help_record(context))]
        for group, members in by_group(options).items()
    }


def count_records(contexts: Iterable[click.Context]) -> Counter[Record]:
    """In how many commands each option has the same text."""
    return Counter(
        row for context in contexts for rows in records(context).values() for row in rows
    )


def link(path: str) -> str:
    """A link to the section of a command."""
    return f"[`{path}`](#{path.replace(' ', '-')})"


def spelling(term: str) -> str:
    """The long name of an option: ``--output`` of ``-o, --output FILE``."""
    return next(word for word in term.replace(",", " ").split() if word.startswith("--"))


def paragraphs(text: str) -> Iterator[str]:
    """A help text as Markdown: examples and tables become blocks of code."""
    for block in inspect.cleandoc(text).replace("\b\n", "\b").split("\n\n"):
        lines = block.removeprefix("\b").splitlines()
        if lines[0] == "Examples:":
            yield "```console\n" + "\n".join(line.strip() for line in lines[1:]) + "\n```"
        elif block.startswith("\b"):
            yield "```text\n" + "\n".join(lines) + "\n```"
        else:
            yield "\n".join(line.replace("*", "\\*") for line in lines)


def option_lists(groups: dict[str, list[Record]]) -> Iterator[str]:
    """A list of options for each group."""
    for heading, rows in groups.items():
        if rows:
            lines = (f"- `{term}`: {' '.join(text.split())}" for term, text in rows)
            yield f"**{heading}**\n\n" + "\n".join(lines)


def without(groups: dict[str, list[Record]], others: Collection[Record]) -> dict[str, list[Record]]:
    """The groups without some of their options."""
    return {heading: [row for row in rows if row not in others] for heading, rows in groups.items()}


def section(path: str, context: click.Context, shared: set[Record], seen: Found) -> Iterator[str]:
    """The section of a command.

    Args:
        path: the command as it is typed.
        context: of the command.
        shared: options that are described at the top.
        seen: the commands that have a section already.
    """
    command = context.command
    yield f"## {path}"
    yield "```text\n" + " ".join(command.get_usage(context).split()) + "\n```"
    yield from paragraphs(command.help or "")
    if isinstance(command, click.Group):
        names = command.list_commands(context)
        yield "Commands: " + ", ".join(link(f"{path} {name}") for name in names) + "."
        return
    own = records(context)
    likewise = []
    for other, its_context in seen.items():
        theirs = {row for rows in records(its_context).values() for row in rows} - shared
        same = [row for rows in own.values() for row in rows if row in theirs]
        if same:
            names = ", ".join(f"`{spelling(term)}`" for term, _ in same)
            likewise.append(f"As in {link(other)}: {names}.")
            own = {
                heading: [row for row in rows if row not in same] for heading, rows in own.items()
            }
    general = [row for rows in own.values() for row in rows if row in shared]
    yield from option_lists(without(own, shared))
    yield from likewise
    names = ", ".join(f"`{spelling(term)}`" for term, _ in general)
    yield f"[Shared options](#shared-options): {names}."


def contents() -> Iterator[str]:
    """The table of contents, and what users often want."""
    for heading, commands in COMMANDS.items():
        lines = (f"- {link(f'stylize {name}')}: {text}" for name, text in commands.items())
        yield f"**{heading}**\n\n" + "\n".join(lines)
    lines = (f"- {wish}: `{line}`" for wish, line in WISHES.items())
    yield "**How to**\n\n" + "\n".join(lines)
    yield EPILOG


def page() -> str:
    """The whole page."""
    settings = cli.context_settings
    root = click.Context(
        cli,
        info_name="stylize",
        terminal_width=10_000,
        max_content_width=10_000,
        help_option_names=settings["help_option_names"],
    )
    found = find_commands(root)
    leaves = {
        path: each for path, each in found.items() if not isinstance(each.command, click.Group)
    }
    counted = count_records(leaves.values())
    # Of several texts for one option, the most common is shared.
    usual = {term: (term, text) for (term, text), _ in reversed(counted.most_common())}
    shared = {row for row in usual.values() if counted[row] >= SHARED_FROM}
    common: dict[str, list[Record]] = {}
    for context in leaves.values():
        for heading, rows in records(context).items():
            known = common.setdefault(heading, [])
            known += [row for row in rows if row in shared and row not in known]
    parts = [INTRODUCTION.strip(), *contents(), COMPLETION.strip(), "## Shared options"]
    parts.append(DEFAULTS.strip())
    parts += option_lists(common)
    seen: Found = {}
    for path, context in found.items():
        parts += section(path, context, shared, seen)
        if path in leaves:
            seen[path] = context
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write or check the page."""
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
