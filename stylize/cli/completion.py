"""Completion with the Tab key: values by kind, and scripts for bash, zsh and fish."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click import shell_completion
from click.shell_completion import CompletionItem

from stylize.errors import StylizeError, UsageError
from stylize.networks.architecture import is_vgg, layer_names, listed_layers, second_names
from stylize.settings.dream import BaseDreamSettings

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps")


def files_after(prefix: str, begun: str) -> list[CompletionItem]:
    """Ask the shell to complete a file, whose name begins after ``prefix`` in the word."""
    return [CompletionItem(begun, type="file", prefix=prefix)]


def complete_file(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a file; of ``fine=FILE`` or ``MASK=STYLE`` the part after the last ``=``."""
    place = incomplete.rfind("=") + 1
    if os.path.lexists(incomplete[:place].rstrip("=")) or re.match(r"[\w#]+=", incomplete):
        return files_after(incomplete[:place], incomplete[place:])
    return files_after("", incomplete)


def names_or_files(names: Callable[[], Iterable[str]]) -> Complete:
    """Complete one of the names, or a file if no name begins like that."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        return found or files_after("", incomplete)

    return complete


def names_only(names: Callable[[], Iterable[str]]) -> Complete:
    """Complete one of the names."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]

    return complete


def parts_of_lists(names: Callable[[], Iterable[str]]) -> Complete:
    """Complete the last name of a list or sum: ``bold,dr``, ``conv4_3 + 0.5*conv5``."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        match = re.search(r"[^\s,+*]*$", incomplete)
        place = match.start() if match else 0
        done, begun = incomplete[:place], incomplete[place:]
        return [CompletionItem(done + name) for name in names() if name.startswith(begun)]

    return complete


def preset_names_of(*products: str) -> Callable[[], list[str]]:
    """A function that lists the presets of some products."""

    def names() -> list[str]:
        from stylize.settings.presets import every_preset_name

        return [name for product in products for name in every_preset_name(product)]

    return names


def network_names() -> list[str]:
    """The networks that are installed."""
    from stylize.networks.models import model_names

    return model_names()


def complete_layer(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the last layer of a list or sum, of the network that the command line names."""
    from stylize.networks.models import find_model

    try:
        architecture = find_model(_network(context)).architecture
        every = layer_names(architecture)
        # Hundreds of modules of other networks have names, too.
        listed = [] if is_vgg(architecture) else [each.name for each in listed_layers(architecture)]
        spelled = dict(zip(every, second_names(architecture), strict=False))
    except StylizeError:  # Tab must stay silent
        return []
    second = [spelled[name] for name in listed]
    found = [
        parts_of_lists(names.__iter__)(context, parameter, incomplete)
        for names in (listed, second, every, list(spelled.values()))
    ]
    return next(filter(None, found), [])


def _network(context: click.Context) -> str:
    """The network that the command line names, or that its preset has.

    Raises:
        StylizeError: the preset cannot be read.
    """
    from stylize.runs.recipe import choose_preset
    from stylize.settings.presets import DEFAULTS

    product = {"tunnel": "dream", "video": "transfer"}.get(name := str(context.info_name), name)
    network = context.params.get("network")
    if network is None and product in DEFAULTS:
        preset = context.params.get("preset") or DEFAULTS[product]
        network = choose_preset(product, preset).apply().network
    return network or BaseDreamSettings.network


def complete_cell(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the cells of the contact sheet that the command line names."""
    from stylize.runs.recipe import load_recipe

    # An option without its value keeps click from reading the arguments: they are left over.
    sheet = next(filter(None, [context.params["file"], *context.args]), None)
    try:
        if sheet is None or not Path(sheet).is_file():  # a pipe would be waited for
            return []
        cells = load_recipe(Path(sheet)).get("cells", {})
    except Exception:  # whatever is wrong with the file, Tab must stay silent
        return []
    return [CompletionItem(name) for name in cells if name.upper().startswith(incomplete.upper())]


class FileType(click.ParamType[Any]):
    """The name of a file, or ``-``; a plain text that the shell completes as a file."""

    name = "FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text as it is; an unset variable leaves an empty one, which names no file."""
        if value == "" and isinstance(param, click.Option):
            raise UsageError(f"{max(param.opts, key=len)} is empty", hint="name a file")
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Files; of ``fine=FILE`` the part after ``=``."""
        return complete_file(ctx, param, incomplete)


FILE = FileType()

# How the fields of settings are completed, by name; choices and numbers complete themselves.
FIELDS: dict[str, Complete] = {
    "style_layers": complete_layer,
    "content_layers": complete_layer,
    "layers": complete_layer,
    "layer": complete_layer,
    "target": complete_layer,
    "channels": complete_layer,
    "to": complete_layer,
    "network": names_only(network_names),
    "device": names_only(lambda: DEVICES),
    "dream": names_only(preset_names_of("dream")),
    "style_crop": names_only(lambda: ("auto", "none")),
    "init": names_or_files(lambda: ("content", "noise", "style")),
}


def option_before(word: str) -> str:
    """``--preset=`` of ``--preset=bo``: click completes the value alone."""
    match = re.match(r"--[\w-]+=", word)
    return match[0] if match else ""


def _is_quoted(line: str) -> bool:
    """Whether the end of a command line is within quotes."""
    try:
        shlex.split(line)
    except ValueError:
        return True
    return False


@shell_completion.add_completion_class
class BashComplete(shell_completion.BashComplete):
    """Bash, given the whole line: its own words end at every ``=`` and ``:``."""

    source_template = """\
%(complete_func)s() {
    local type value before
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            before) before=$value ;;
            after) compopt -o nospace
                mapfile -t COMPREPLY < <(compgen -P "$before" -f -- "$value") ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2> /dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor's, and the word as far as it is typed."""
        # The letter at the end shows whether a new word has begun.
        words = shell_completion.split_arg_string(os.environ.get("COMP_LINE", "") + "x")
        self._word = words[-1].removesuffix("x")
        return words[1:-1], self._word

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """The item from the last character on at which bash breaks the word."""
        if item.type == "file" and item.prefix and _is_quoted(os.environ.get("COMP_LINE", "")):
            # Bash does not break the word at = within quotes, so it would look for a wrong file.
            before = option_before(self._word) + item.prefix
            return f"before,{before}\nafter,{item.value}"
        if item.type != "plain":
            return f"{item.type},"
        breaks = [each for each in "=:" if each in os.environ.get("COMP_WORDBREAKS", "")]
        place = max((self._word.rfind(each) + 1 for each in breaks), default=0)
        return f"plain,{(option_before(self._word) + item.value)[place:]}"


@shell_completion.add_completion_class
class ZshComplete(shell_completion.ZshComplete):
    """Zsh, which replaces whole words, also those of ``fine=FILE`` and ``--preset=NAME``."""

    source_template = shell_completion.ZshComplete.source_template.replace(
        "_path_files", '[[ "$descr" != _ ]] && compset -P "*="; _path_files'
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """As click's; remembers the word at the cursor."""
        words, self._word = super().get_completion_args()
        return words, self._word

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """As click's, with what precedes a file in the place of its description."""
        option = option_before(self._word)
        if item.type == "plain":
            item.value = option + item.value
        elif before := option + (item.prefix or ""):
            item.help = before
        return super().format_completion(item)


@shell_completion.add_completion_class
class FishComplete(shell_completion.FishComplete):
    """Fish, which replaces whole words, also those of ``fine=FILE`` and ``--preset=NAME``."""

    source_template = shell_completion.FishComplete.source_template.replace(
        "__fish_complete_path $metadata[2];",
        "for path in (__fish_complete_path $metadata[2]); echo $metadata[3]$path; end;",
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """As click's; remembers the word at the cursor."""
        words, self._word = super().get_completion_args()
        return words, self._word

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """As click's, with what precedes a file after it."""
        option = option_before(self._word)
        if item.type == "file":
            return f"file,{item.value},{option}{item.prefix or ''}"
        item.value = option + item.value
        return super().format_completion(item)
