"""Say which option or command a user means, if there is none by the name that was typed."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Sequence
from typing import Any

import click

from stylize.errors import UnknownNameError, UsageError
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.fields import option_name
from stylize.settings.presets import preset_names
from stylize.settings.synonyms import STYLE_HINT, command_for, is_style, ours, plain
from stylize.settings.transfer import TransferSettings

MOST = 3  # options in a hint

# The field of each option that is a setting.
SETTINGS = {
    option_name(each): each
    for kind in (TransferSettings, TunnelSettings, DreamSettings)
    for each in dataclasses.fields(kind)
}

# Commands whose settings come from elsewhere.
ELSEWHERE = {
    "stylize resume": "a stopped run continues with its own settings; start again to change them",
    "stylize batch run": "write settings in the job file, below [settings]",
}

# Commands that are searched for an option of that name.
OTHERS = ("transfer", "dream", "tunnel", "replay", "explore transfer", "batch transfer")

# Arguments as the synonyms call them: what a usage line and a sentence call them.
ARGUMENTS = {
    "PHOTO": (("PHOTO", "INPUT"), "the photo"),
    "STYLE": (("STYLE",), "style images"),
    "TARGET": (("TARGET",), "the target"),
    "LAYER": (("LAYER",), "the layer"),
}


def unknown_option(
    error: click.NoSuchOption, ctx: click.Context, words: Sequence[str]
) -> UsageError:
    """The error for an option that does not exist, with a hint.

    Args:
        error: click's.
        ctx: of the command.
        words: all that was typed after the command.
    """
    name, has = error.option_name, _options(ctx)
    place = next((i for i, word in enumerate(words) if word.startswith(name)), None)
    typed = name if place is None else words[place].partition("=")[0]
    value = None if place is None else _value(words, place)
    if f"-{typed}" in has:  # -size, as ImageMagick has it
        name = typed
    elif name[:2] != "--":  # one letter of several
        typed = name
    meant = [f"--{plain(typed)}", *ours(typed)]
    hint = (
        _in_group(ctx, typed, meant)
        or _as_argument(ctx, meant)
        or _any_of([each for each in meant if each.partition(" ")[0] in has])
        or _any_of([each for each in (f"{meant[0]}s", meant[0].removesuffix("s")) if each in has])
        or _as_setting(ctx, meant, value)
        or _as_value(ctx, plain(typed))
        or _in_other_command(ctx, meant)
        or _any_of(difflib.get_close_matches(meant[0], has, n=MOST))
        or f"see '{ctx.command_path} --help'"
    )
    return UsageError(f"No such option '{name}'", hint=hint)


def unexpected_argument(error: click.UsageError, ctx: click.Context) -> UsageError | None:
    """The error for an argument too many, with a hint; None if the error is another one.

    Args:
        error: click's.
        ctx: of the command.
    """
    found = _EXTRA.fullmatch(error.message)
    if found is None:
        return None
    word = found[1].split()[0]
    if "--layer" in _options(ctx) and _is_layer(word):
        hint = f"name the layer with --layer {word}"
    elif ctx.command_path == "stylize dream":
        hint = "'stylize transfer' paints in a style; --guide uses the motifs of another photo"
    else:
        hint = f"see '{ctx.command_path} --help'"
    return UsageError(error.message.replace(f"({found[1]})", f"'{found[1]}'"), hint=hint)


# click's words; the arguments in brackets.
_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)", re.DOTALL)


def _is_layer(word: str) -> bool:
    """Whether a word looks like a layer, with or without its channels."""
    return (
        re.match(r"(relu|conv|pool|mixed|inception|layer|features)[\w.]*\d", word, re.I) is not None
    )


def _any_of(options: Sequence[str]) -> str | None:
    return f"did you mean {' or '.join(options[:MOST])}?" if options else None


def _in_group(ctx: click.Context, typed: str, meant: Sequence[str]) -> str | None:
    """An option that belongs to a command, before the command."""
    known = len(meant) > 1 or meant[0] in SETTINGS
    if not isinstance(ctx.command, click.Group) or not known:
        return None
    return f"options follow a command: {ctx.command_path} COMMAND {typed}"


def _as_argument(ctx: click.Context, meant: Sequence[str]) -> str | None:
    """An argument, which has no option."""
    argument = next((each for each in meant if each in _arguments(ctx)), None)
    if argument is None:
        return None
    pieces = " ".join(ctx.command.collect_usage_pieces(ctx)[1:])
    return f"give {ARGUMENTS[argument][1]} without an option: {ctx.command_path} {pieces}"


def _as_setting(ctx: click.Context, meant: Sequence[str], value: str | None) -> str | None:
    """A setting, in a command that takes settings in another way."""
    each: dataclasses.Field[Any] | None
    each = next((SETTINGS[option] for option in meant if option in SETTINGS), None)
    if each is None or ctx.command_path in ELSEWHERE:
        return ELSEWHERE[ctx.command_path] if each else None
    shown = "true" if each.type == "bool" else value or "VALUE"
    for option, text in (("--set", shown), ("--vary", shown if "," in shown else f"{shown},…")):
        if option in _options(ctx):
            return f"did you mean {option} {each.name}={text}?"
    return None


def _as_value(ctx: click.Context, word: str) -> str | None:
    """The name of a preset, or of a style."""
    is_transfer = "transfer" in ctx.command_path
    presets = preset_names("transfer" if is_transfer else "dream")
    if "--preset" in _options(ctx) and word in presets:
        return f"did you mean --preset {word}?"
    return STYLE_HINT if is_transfer and is_style(word) else None


def _in_other_command(ctx: click.Context, meant: Sequence[str]) -> str | None:
    """The command that has such an option, or takes what it names."""
    _, _, path = ctx.command_path.partition(" ")
    if path not in (*OTHERS, "explore dream", "explore blend", "batch dream"):
        return None
    wanted = {each.partition(" ")[0] for each in meant}
    for name in OTHERS:
        other = ctx.find_root()
        for word in name.split():
            assert isinstance(other.command, click.Group)
            command = other.command.get_command(other, word)
            assert command is not None
            other = click.Context(command, info_name=word, parent=other)
        if wanted & (_options(other) | _arguments(other)):
            return f"'stylize {name}' has that"
    return None


def _value(words: Sequence[str], place: int) -> str | None:
    """What was typed as the value of the option at a place, if anything."""
    _, equals, value = words[place].partition("=")
    if equals:
        return value
    after = words[place + 1 : place + 2]
    return after[0] if after and not after[0].startswith("-") else None


def _options(ctx: click.Context) -> set[str]:
    return {
        name
        for each in ctx.command.get_params(ctx)
        if isinstance(each, click.Option) and not each.hidden
        for name in (*each.opts, *each.secondary_opts)
    }


def _arguments(ctx: click.Context) -> set[str]:
    """Those of :data:`ARGUMENTS` that the command takes."""
    arguments = [each for each in ctx.command.params if isinstance(each, click.Argument)]
    usage = " ".join(each.make_metavar(ctx) for each in arguments)
    return {
        name for name, (theirs, _) in ARGUMENTS.items() if any(each in usage for each in theirs)
    }


def unknown_command(kind: str, word: str, names: Sequence[str]) -> UnknownNameError:
    """The error for a command that does not exist.

    Args:
        kind: what the group calls its commands.
        word: that was typed.
        names: of the commands.
    """
    meant = command_for(word)
    found = [meant] if meant and (meant in names or meant.startswith("-")) else []
    if "transfer" in names and os.path.isfile(word):
        found = [f"'stylize transfer {word} …'"]
    return UnknownNameError(kind, word, names, meant=found)
