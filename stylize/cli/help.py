"""Help in named groups: options and commands that know where they belong, and ``stylize help``.

cloup does the same and takes as long to import as click itself, which ``--help`` would pay for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from stylize.errors import UsageError
from stylize.settings.fields import Group

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# The widest column of options; longer ones get a line of their own.
MAX_TERM_COLUMNS = 26


class Option(click.Option):
    """An option that knows its group.

    Args:
        group: the heading it is listed under.
        everyday: whether ``--help`` shows it; ``--help-all`` shows all.
    """

    def __init__(
        self, *args: Any, group: Group = Group.MESSAGES, everyday: bool = False, **others: Any
    ) -> None:
        super().__init__(*args, **others)
        self.group = group
        self.everyday = everyday

    def variable(self, ctx: click.Context) -> str | None:
        """The environment variable that sets it, named after the option, not the parameter."""
        long = [word for word in self.opts if word.startswith("--")]
        if not (long and ctx.auto_envvar_prefix and self.allow_from_autoenv):
            return None
        return f"{ctx.auto_envvar_prefix}_{long[0][2:].replace('-', '_').upper()}"

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """The value of :meth:`variable`; None if it is unset or empty."""
        return os.environ.get(self.variable(ctx) or "") or None

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Leave out the range: the help text says what makes sense."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


def option(*names: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """Decorate a command with an :class:`Option`; takes what :func:`click.option` takes."""
    return click.option(*names, cls=Option, **attributes)


def by_group(options: Sequence[click.Option]) -> dict[Group, list[click.Option]]:
    """Sort options into their groups, the everyday ones of each group first."""
    found: dict[Group, list[click.Option]] = {group: [] for group in Group}
    for everyday in (True, False):
        for each in options:
            if is_everyday(each) is everyday:
                found[getattr(each, "group", Group.MESSAGES)].append(each)
    return {group: members for group, members in found.items() if members}


def is_everyday(each: click.Option) -> bool:
    """Whether ``--help`` shows the option."""
    return getattr(each, "everyday", True)


def _show_all(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def help_all(text: str, *, hidden: bool = False) -> Option:
    """The option ``--help-all``, which works everywhere; hidden where it shows nothing more."""
    return Option(
        ["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_all,
        everyday=True,
        hidden=hidden,
        help=text,
    )


# Key in a context's meta: the help shows all options.
_ALL = "stylize.help_all"


class _Advising(click.Command):
    """Says which option a user may mean, if there is none of that name, or an argument too many."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options.

        Raises:
            UsageError: there is no such option, or an argument too many.
        """
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from stylize.cli.advice import unknown_option

            raise unknown_option(error, ctx, words) from error
        except click.UsageError as error:
            from stylize.cli.advice import unexpected_argument

            raise unexpected_argument(error, ctx) or error from error


class Command(_Advising):
    """A command whose help lists its options in groups."""

    def __init__(self, *args: Any, **others: Any) -> None:
        super().__init__(*args, **others)
        more = any(not is_everyday(each) for each in self.options)
        self.params.append(help_all("Show every option and exit.", hidden=not more))

    @property
    def options(self) -> list[click.Option]:
        """The options that help may show."""
        return [each for each in self.params if isinstance(each, click.Option) and not each.hidden]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options group by group: the everyday ones, or all."""
        everything = ctx.meta.get(_ALL, False)
        shown = [
            each
            for each in self.get_params(ctx)
            if isinstance(each, click.Option) and (everything or is_everyday(each))
        ]
        sections = {
            group.value: [row for each in members if (row := each.get_help_record(ctx))]
            for group, members in by_group(shown).items()
        }
        if not everything and (rest := self._left_out()):
            sections[Group.MESSAGES] = [
                (term, f"Show every option, including {rest}." if term == "--help-all" else text)
                for term, text in sections[Group.MESSAGES]
            ]
        write_sections(formatter, sections)

    def _left_out(self) -> str:
        """The groups of which ``--help`` shows nothing, for a sentence."""
        groups = by_group(self.options)
        names = [
            group.value
            for group, members in groups.items()
            if not any(is_everyday(each) for each in members)
        ]
        return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def write_sections(
    formatter: click.HelpFormatter, sections: Mapping[str, Sequence[tuple[str, str]]]
) -> None:
    """Write lists of terms and texts under headings, all with the same columns."""
    longest = max((len(term) for rows in sections.values() for term, _ in rows), default=0)
    width = min(longest, MAX_TERM_COLUMNS)
    for heading, rows in sections.items():
        if rows:
            with formatter.section(heading):
                formatter.write_dl([(term.ljust(width), text) for term, text in rows], width)


class CommandGroup(_Advising, click.Group):
    """A group of commands whose help is grouped."""

    command_class = Command

    def __init__(self, *args: Any, **others: Any) -> None:
        super().__init__(*args, **others)
        self.params.append(help_all("Show the commands and exit.", hidden=True))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were defined."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands before the options, which are few."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first word.

        Raises:
            UnknownNameError: there is no such command; says which are similar.
        """
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            if ctx.resilient_parsing:  # Tab was pressed: no message may get into the line.
                return None, None, []
            from stylize.cli.advice import unknown_command

            raise unknown_command(self.kind, args[0], names)
        return super().resolve_command(ctx, args)

    @property
    def kind(self) -> str:
        """The noun for the commands of the group in messages."""
        return "command" if self.name == "cli" else f"{self.name} command"


class LazyGroup(CommandGroup):
    """A group whose commands are imported when they are used, so that help is instant.

    Args:
        package: holds a module for each command, which has an attribute of the same name.
        sections: the summary of each command, by heading and name.
        wishes: what users often want, and the command that does it.
    """

    def __init__(
        self,
        *args: Any,
        package: str,
        sections: Mapping[str, Mapping[str, str]],
        wishes: Mapping[str, str],
        **others: Any,
    ) -> None:
        super().__init__(*args, **others)
        self._package = package
        self._sections = sections
        self._wishes = wishes
        self.params[-1] = help_all("Show the commands of every group, too, and exit.")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of the help."""
        return [name for section in self._sections.values() for name in section]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and the wishes; imports the commands only for ``--help-all``."""
        everything = ctx.meta.get(_ALL, False)
        sections = {
            heading: [
                row
                for name, summary in section.items()
                for row in [(name, summary), *(self._below(ctx, name) if everything else [])]
            ]
            for heading, section in self._sections.items()
        }
        write_sections(formatter, sections)
        write_sections(formatter, {"How to": list(self._wishes.items())})

    def _below(
        self, ctx: click.Context, name: str, group: click.Command | None = None
    ) -> Iterator[tuple[str, str]]:
        """The commands of a group and of the groups in it, with their summaries."""
        group = group or self.get_command(ctx, name)
        if isinstance(group, click.Group):
            for below in group.list_commands(ctx):
                command = group.get_command(ctx, below)
                assert command is not None
                yield f"{name} {below}", command.get_short_help_str(limit=78)
                yield from self._below(ctx, f"{name} {below}", command)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(import_module(f"{self._package}.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin like this, with their summaries; imports none."""
        found = [
            CompletionItem(name, help=summary)
            for section in self._sections.values()
            for name, summary in section.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


def _walk(ctx: click.Context, words: Sequence[str]) -> Iterator[click.Context]:
    """The contexts from the program to the command that the words name."""
    here = ctx.find_root()
    yield here
    for word in words:
        group = here.command
        if not isinstance(group, click.Group):
            raise UsageError(f"'{here.command_path}' has no commands", hint=f"leave {word} out")
        name, command, _ = group.resolve_command(here, [word])
        if command is None:
            return
        here = click.Context(command, info_name=name, parent=here)
        yield here


def _complete_words(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of commands, and of the commands below a group."""
    words = ctx.params.get("words") or ()
    try:
        *before, last = _walk(ctx, words)
    except UsageError:  # Tab was pressed after a word that is no command
        return []
    group = last.command
    if len(before) < len(words) or not isinstance(group, click.Group):
        return []
    return [each for each in group.shell_complete(last, incomplete) if each.value[:1] != "-"]


@click.command(cls=Command)
@click.argument("words", metavar="[COMMAND]...", nargs=-1, shell_complete=_complete_words)
@option("--all", "everything", is_flag=True, everyday=True, help="Show every option.")
@click.pass_context
def help(ctx: click.Context, words: tuple[str, ...], everything: bool) -> None:
    """Show the help of a command.

    \b
    Examples:
      stylize help
      stylize help transfer
      stylize help batch dream --all
    """
    *_, last = _walk(ctx, words)
    last.meta[_ALL] = everything
    click.echo(last.get_help(), color=ctx.color)
