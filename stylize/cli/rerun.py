"""What to do about pictures of ``stylize inspect``, whose recipes are not replayed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from stylize.cli.inspect import COMMANDS
from stylize.errors import RecipeError, UsageError
from stylize.images.open import printable
from stylize.runs.inputs import wanted_of
from stylize.runs.recipe import not_followed
from stylize.settings import inspect
from stylize.settings.fields import from_document

_FAMILY = "inspect "


# What the commands call the input of that role, where not by its role.
_ROLES = {"photo": "content"}


def refuse_inspection(recipe: Mapping[str, Any], file: Path) -> None:
    """Make sure that a picture is not one of ``stylize inspect``.

    Args:
        recipe: untrusted.
        file: that carries it.

    Raises:
        RecipeError: it is; the hint is the command that makes it again.
    """
    technique = recipe["technique"]
    if technique in [_FAMILY + name for name in COMMANDS]:
        raise RecipeError(
            f"{file.name} is of 'stylize {technique}', which is not replayed",
            hint=f"run it again: {command_of(recipe)}",
        )


def command_of(recipe: Mapping[str, Any]) -> str:
    """The line that makes a picture of ``stylize inspect`` again, inputs by their names.

    Raises:
        RecipeError: damaged, or with settings that this version does not know.
    """
    name = recipe["technique"].removeprefix(_FAMILY)
    command: click.Command = getattr(import_module(COMMANDS[name]), name)
    try:
        settings = from_document(_settings_kind(recipe["technique"]), recipe["settings"])
    except UsageError as error:
        raise not_followed(recipe, error) from error
    inputs: dict[str, list[str]] = {}
    for each in wanted_of(recipe):
        inputs.setdefault(each.role, []).append(each.name)
    words = ["stylize", "inspect", name]
    for param in command.params:
        words += (
            _setting(param, settings) if _is_setting(param, settings) else _input(param, inputs)
        )
    return printable(" ".join(words))


def _settings_kind(technique: str) -> Any:
    kinds = vars(inspect).values()
    return next(kind for kind in kinds if getattr(kind, "TECHNIQUE", None) == technique)


def _is_setting(param: click.Parameter, settings: Any) -> bool:
    return param.name in type(settings).__dataclass_fields__


def _setting(param: click.Parameter, settings: Any) -> list[str]:
    """A setting as it is said; nothing for a default that need not be."""
    value, default = (getattr(each, param.name or "") for each in (settings, type(settings)()))
    if value == default and not param.required:
        return []
    if isinstance(param, click.Argument):
        return [shlex.quote(str(value))]
    if isinstance(value, bool):
        return [param.opts[0] if value else param.secondary_opts[0]]
    return [param.opts[0], shlex.quote(str(value))]


def _input(param: click.Parameter, inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """The pictures of a parameter; of a folder, which no recipe names, what the help calls it."""
    name = param.name or ""
    names = [shlex.quote(each) for each in inputs.get(_ROLES.get(name, name), ())]
    if isinstance(param, click.Argument):
        return names or [param.human_readable_name]
    return [word for each in names for word in (param.opts[0], each)]
