"""Groups whose commands are imported when they are used, so that help and errors are instant."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from stylize.errors import UnknownNameError


class LazyGroup(click.Group):
    """A group of commands of which only names, modules and summaries are known at first.

    Args:
        modules: the name of each command, and the module whose attribute of the same name it is.
        summaries: what the help says of each.
        kind: what a command of the group is called where a name is none.
    """

    def __init__(
        self,
        *args: Any,
        modules: Mapping[str, str],
        summaries: Mapping[str, str],
        kind: str = "command",
        **others: Any,
    ) -> None:
        super().__init__(*args, **others)
        self._modules = modules
        self._summaries = summaries
        self._kind = kind

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the table."""
        return list(self._modules)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their summaries, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self._modules:
            return None
        command = getattr(import_module(self._modules[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own, but able to suggest commands that are not imported yet."""
        if args[0] not in self._modules and not args[0].startswith("-"):
            raise UnknownNameError(self._kind, args[0], self._modules)
        return super().resolve_command(ctx, args)
