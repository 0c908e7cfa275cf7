"""Write docs/cli.md from the program's own help texts.

python tools/make_cli_docs.py          write the page
python tools/make_cli_docs.py --check  exit with 1 if it is not up to date
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from stylize.cli.main import cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
INTRODUCTION = """# Every command and option

What `stylize … --help` says, collected by `tools/make_cli_docs.py`.
"""


def sections(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
    """A heading and the help of a command and of all below it."""
    context = click.Context(
        command,
        info_name=" ".join(words),
        terminal_width=100,
        max_content_width=100,
        help_option_names=cli.context_settings["help_option_names"],
    )
    help_text = command.get_help(context)
    yield f"## `{' '.join(words)}`\n\n```text\n{help_text}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from sections(below, (*words, name))


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *sections(cli, ("stylize",))])


def main() -> int:
    """Write or check the page."""
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
