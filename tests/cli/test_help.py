"""Help in groups: what a beginner sees, what ``--help-all`` adds, ``stylize help``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from stylize.cli.main import WISHES, cli
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import Group
from stylize.settings.transfer import TransferSettings
from tests.cli.conftest import Run, complaint, done

WIDE = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
HEADING = re.compile(r"^(\w[\w ]*):$", re.MULTILINE)
# Commands that make pictures, and their groups of options in --help.
PAINTING = {
    "transfer": ["Output", "Look", "Style", "Colour", "Regions and masks"],
    "dream": ["Output", "Look", "Colour", "Regions and masks", "Layers and network"],
    "tunnel": ["Output", "Look", "Colour", "Film", "Layers and network"],
    "explore transfer": ["Output", "Sheet"],
    "explore dream": ["Output", "Look", "Sheet"],
    "explore blend": ["Output", "Look", "Sheet"],
    "batch transfer": [
        *("Input", "Output", "Look", "Style", "Colour", "Regions and masks", "Batch"),
    ],
    "batch dream": [
        *("Input", "Output", "Look", "Colour", "Regions and masks", "Batch", "Layers and network"),
    ],
    "replay": ["Input", "Output", "Look"],
    "inspect saliency": ["Input", "Output", "Look", "Layers and network"],
}


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*words, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


EVERY = list(commands(cli))


def find(words: tuple[str, ...]) -> tuple[click.Command, click.Context]:
    """The command of these words, and a context of it."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return command, click.Context(command, info_name=words[-1])


def options_in(text: str) -> list[str]:
    """The long names of the options that a help lists, in its order."""
    return re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)


@pytest.mark.parametrize("name", PAINTING)
def test_everyday_options_come_in_groups(run: Run, name: str) -> None:
    shown = done(run(*name.split(), "--help")).stdout
    assert HEADING.findall(shown) == [*PAINTING[name], "Messages and help"]


def test_the_ten_that_matter_come_first(run: Run) -> None:
    shown = options_in(done(run("transfer", "--help")).stdout)
    assert shown[:10] == [
        *("--output", "--overwrite", "--preset", "--size", "--enlarge"),
        *("--strength", "--edges", "--blend", "--variants", "--style-size"),
    ]
    assert len(shown) <= 20


def test_the_help_of_a_transfer_fits_two_screens(run: Run) -> None:
    shown = done(run("transfer", "--help", env={"COLUMNS": "80"})).stdout
    assert len(shown.splitlines()) <= 70


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_all_has_every_option_once(run: Run, words: tuple[str, ...]) -> None:
    command, _ = find(words)
    wanted = [
        next(name for name in each.opts if name.startswith("--"))
        for each in command.params
        if isinstance(each, click.Option) and not each.hidden
    ]
    shown = options_in(done(run(*words, "--help-all")).stdout)
    assert sorted(shown) == sorted([*wanted, "--help"])
    everyday = options_in(done(run(*words, "--help")).stdout)
    assert [name for name in shown if name in everyday] == everyday


def test_help_names_the_groups_it_leaves_out(run: Run) -> None:
    shown = " ".join(done(run("transfer", "--help")).stdout.split())
    assert "including Layers and network, Optimizer and Execution" in shown
    assert "--learning-rate" not in shown
    everything = done(run("transfer", "--help-all")).stdout
    assert HEADING.findall(everything)[-4:] == [
        *("Layers and network", "Optimizer", "Execution", "Messages and help"),
    ]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_of_a_command_is_its_own_help(run: Run, words: tuple[str, ...]) -> None:
    shown = done(run("help", *words)).stdout
    assert shown == done(run(*words, "--help")).stdout
    assert f"Usage: stylize {' '.join(words)} " in shown


def test_help_of_the_program(run: Run) -> None:
    assert done(run("help")).stdout == done(run("--help")).stdout
    assert (
        done(run("help", "transfer", "--all")).stdout == done(run("transfer", "--help-all")).stdout
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trasnfer"], "unknown command 'trasnfer' (did you mean transfer?)"),
        (["inspect", "featrue"], "unknown inspect command 'featrue' (did you mean feature?)"),
        (["transfer", "photo.jpg"], "'stylize transfer' has no commands (leave photo.jpg out)"),
    ],
)
def test_help_of_what_there_is_not(run: Run, words: list[str], said: str) -> None:
    assert complaint(run("help", *words), 2) == said


def test_help_all_of_the_program_lists_the_commands_of_groups(run: Run) -> None:
    few = done(run("--help")).stdout
    shown = done(run("--help-all")).stdout
    for words in EVERY:
        assert f"  {' '.join(words)}  " in shown
        assert (f"  {' '.join(words)}  " in few) == (len(words) == 1)


@pytest.mark.parametrize("words", [words for words in EVERY], ids=" ".join)
def test_examples_come_before_the_options_and_are_understood(
    run: Run, words: tuple[str, ...]
) -> None:
    shown = done(run(*words, "--help", env=WIDE)).stdout
    block = re.search(r"\n  Examples:\n((?:    stylize .*\n)+)", shown)
    assert block is not None
    lines = block[1].splitlines()
    assert len(lines) <= 3
    assert max(map(len, lines)) <= 80
    if " ".join(words) in PAINTING:
        assert len(lines) == 3
    first = HEADING.search(shown)
    assert first is not None
    assert block.start() < first.start()
    for line in lines:
        understood(line)


@pytest.mark.parametrize("wish", WISHES)
def test_what_users_often_want_is_understood(run: Run, wish: str) -> None:
    shown = done(run("--help", env={"COLUMNS": "80"})).stdout
    assert re.search(rf"^  {wish}  +{re.escape(WISHES[wish])}$", shown, re.MULTILINE)
    if WISHES[wish].startswith("stylize"):
        understood(WISHES[wish])


def understood(line: str) -> None:
    """Read a command as the program does."""
    words = shlex.split(re.split(r"[<>|]", line)[0])[1:]
    context = click.Context(cli, info_name="stylize", help_option_names=["-h", "--help"])
    command: click.Command = cli
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("kind", [TransferSettings, DreamSettings])
def test_every_setting_says_where_it_belongs(kind: type) -> None:
    for each in kind.__dataclass_fields__.values():  # type: ignore[attr-defined]
        if each.metadata:
            assert isinstance(each.metadata["group"], Group)
            assert isinstance(each.metadata["everyday"], bool)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_option_is_explained_in_sentences(words: tuple[str, ...]) -> None:
    command, context = find(words)
    for each in command.params:
        if isinstance(each, click.Option) and not each.hidden:
            record = each.get_help_record(context)
            assert record is not None
            text = re.sub(r"(  \[[^]]+\])+$", "", record[1])
            assert text[0].isupper() or text.startswith("FILE: "), record
            assert text.endswith("."), record


RIDDLES = re.compile(
    r"\b(shall|told|one's|beside|lies|stands|foreign|mend|likeness|CONTENT|IMAGE|PICTURE)\b"
)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_is_plain_english(run: Run, words: tuple[str, ...]) -> None:
    shown = done(run("help", *words, "--all")).stdout
    assert RIDDLES.findall(shown) == []
    assert re.search(r"^  [A-Z][^\n]*", shown, re.MULTILINE)
