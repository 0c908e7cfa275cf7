"""Fields of settings: documentation, range, and conversion to plain data and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any

from stylize.errors import SettingError, UnknownNameError, quoted
from stylize.settings.synonyms import ours, plain

# Layer names and their weights, in the order given.
LayerWeights = tuple[tuple[str, float], ...]

# More than any use needs, and far below where sums and products of weights overflow.
MAX_WEIGHT = 1e9


class Group(StrEnum):
    """The groups of settings and options, in the order in which help and forms show them."""

    INPUT = "Input"
    OUTPUT = "Output"
    LOOK = "Look"
    STYLE = "Style"
    COLOUR = "Colour"
    MASKS = "Regions and masks"
    FILM = "Film"
    VIDEO = "Video"
    SHEET = "Sheet"
    BATCH = "Batch"
    NETWORK = "Layers and network"
    OPTIMIZER = "Optimizer"
    EXECUTION = "Execution"
    MESSAGES = "Messages and help"


def setting(  # noqa: PLR0913 (what a field can say)
    default: Any,
    help: str,
    group: Group = Group.LOOK,
    *,
    everyday: bool = False,
    metavar: str | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
    option: str | None = None,
    joined: bool = False,
    earlier: Any = None,
    needs: Mapping[str, tuple[Any, ...]] | None = None,
) -> Any:
    """Declare a field with its documentation and its range.

    Args:
        default: the value of the field where nothing else is set.
        help: one sentence for the help text.
        group: where help and forms show it.
        everyday: whether ``--help`` shows it; ``--help-all`` shows all.
        metavar: what the help shows for the value; by default N for a number, or the name.
        low, high: inclusive bounds.
        above: exclusive lower bound.
        choices: the values allowed.
        option: its spelling on the command line, if not that of the field.
        joined: whether it may be given several times, for a sum of all.
        earlier: the value in recipes that were written before the field existed; by default
            ``default``. A new field whose default changes pixels needs it.
        needs: when it has an effect: if any of these other fields has one of its values (none
            listed: any value but None, False and 0). A name in :data:`FACTS` is not a field, but
            something about the request.
    """
    limits = {"low": low, "high": high, "above": above, "choices": choices}
    names: dict[str, Any] = {"help": help, "option": option, "joined": joined, "metavar": metavar}
    names |= {"needs": needs or {}, "earlier": default if earlier is None else earlier}
    place = {"group": group, "everyday": everyday}
    return field(default=default, metadata=names | place | limits)


# What a setting can depend on besides other settings, as messages name it.
FACTS = {
    "several styles": "several style images",
    "guide": "--guide",
    "masks": "a mask",
    "photo": "a photo",
    "film": "a film file as the output",
}


def idle_settings(
    settings: Any, given: Collection[str], facts: Mapping[str, bool]
) -> dict[str, str]:
    """Say which of the given settings have no effect: a line for the name of each.

    Args:
        settings: the whole settings.
        given: names of the fields that the user gave a value.
        facts: about the request, by the names in :data:`FACTS`; those that are missing count as
            true.
    """
    fields = {each.name: each for each in dataclasses.fields(settings)}
    lines = {}
    for each in fields.values():
        needs = each.metadata["needs"]
        if each.name not in given or not needs:
            continue
        if any(_holds(settings, name, values, facts) for name, values in needs.items()):
            continue
        remedies = [
            words for name, values in needs.items() for words in _remedies(fields, name, values)
        ]
        *others, last = remedies
        either = f"{', '.join(others)} or {last}" if others else last
        lines[each.name] = f"{option_name(each)} has no effect without {either}"
    return lines


def _holds(settings: Any, name: str, values: Sequence[Any], facts: Mapping[str, bool]) -> bool:
    if name in FACTS:
        return facts.get(name, True)
    value = getattr(settings, name)
    return value in values if values else bool(value)


def _remedies(
    fields: Mapping[str, dataclasses.Field[Any]], name: str, values: Sequence[Any]
) -> list[str]:
    if name in FACTS:
        return [FACTS[name]]
    if name not in fields:  # a property, named as people say it
        return [name.replace("_", " ")]
    option = option_name(fields[name])
    if not values:
        return [f"{option} above 0" if fields[name].type in ("int", "float") else option]
    return [f"{option} {value}" for value in values]


def option_name(each: dataclasses.Field[Any]) -> str:
    """The command-line spelling of a field: ``--content-weight``."""
    return each.metadata["option"] or "--" + each.name.replace("_", "-")


def check_fields(settings: Any) -> None:
    """Check every field of a settings object against its declared type and range.

    Raises:
        SettingError: the first field that fails.
    """
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        if value is None and "None" in str(each.type):
            continue
        _check_kind(each, value)
        numbers: tuple[Any, ...] = (value,)
        if isinstance(value, tuple):
            numbers = tuple(item[1] if isinstance(item, tuple) else item for item in value)
        for number in numbers:
            _check_range(each, number)


def _check_kind(each: dataclasses.Field[Any], value: Any) -> None:
    kind = str(each.type).removesuffix(" | None")
    good = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": _is_number(value),
        "tuple[float, ...]": isinstance(value, tuple) and all(map(_is_number, value)),
        "tuple[str, ...]": isinstance(value, tuple) and all(isinstance(v, str) for v in value),
        "LayerWeights": isinstance(value, tuple) and all(map(_is_layer_weight, value)),
    }[kind]
    if not good:
        wanted = {
            "str": "a text",
            "bool": "true or false",
            "int": "a whole number",
            "float": "a number",
            "tuple[float, ...]": "numbers",
            "tuple[str, ...]": "a list of texts",
            "LayerWeights": "layers with weights",
        }[kind]
        raise SettingError(f"{option_name(each)}: {quoted(value)} is not {wanted}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_layer_weight(item: object) -> bool:
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], str)
        and _is_number(item[1])
    )


def _check_range(each: dataclasses.Field[Any], value: Any) -> None:
    name, limits = option_name(each), each.metadata
    if limits["choices"] and value not in limits["choices"]:
        raise UnknownNameError(f"value of {name}", str(value), limits["choices"])
    if not _is_number(value):
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{name}: {value} is not a finite number")
    low, high, above = limits["low"], limits["high"], limits["above"]
    if low is not None and value < low:
        raise SettingError(f"{name}: {_figure(value)} is too small", hint=f"at least {low:g}")
    if above is not None and value <= above:
        raise SettingError(f"{name}: {_figure(value)} is too small", hint=f"more than {above:g}")
    if high is not None and value > high:
        raise SettingError(f"{name}: {_figure(value)} is too large", hint=f"at most {high:.12g}")


def _figure(value: float) -> str:
    """A number as a message shows it; integers can be larger than any float, and than a line."""
    return f"{value:.12g}" if abs(value) < 1e300 else "the number"


def to_document(settings: Any) -> dict[str, Any]:
    """Settings as plain data for JSON or TOML: layer weights become tables, None is left out."""
    fields = dataclasses.fields(settings)
    return _document({each: getattr(settings, each.name) for each in fields})


def earlier_values(kind: type[Any]) -> dict[str, Any]:
    """What records mean that were written before fields existed: all fields, as plain data."""
    return _document({each: each.metadata["earlier"] for each in dataclasses.fields(kind)})


def _document(values: Mapping[dataclasses.Field[Any], Any]) -> dict[str, Any]:
    return {each.name: _plain(each, value) for each, value in values.items() if value is not None}


def _plain(each: dataclasses.Field[Any], value: Any) -> Any:
    if each.type == "LayerWeights":
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def from_document(kind: type[Any], document: Mapping[str, Any], base: Any = None) -> Any:
    """Settings from plain data, the inverse of :func:`to_document`.

    Args:
        kind: the settings class.
        document: untrusted: every key and value is checked.
        base: settings whose values hold where the document says nothing; the defaults if None.

    Raises:
        UnknownNameError: a key that is no setting.
        SettingError: a value of the wrong kind or out of range.
    """
    fields = {each.name: each for each in dataclasses.fields(kind)}
    values = {}
    for key, value in document.items():
        if key not in fields:
            raise unknown_setting(key, fields)
        values[key] = _from_plain(fields[key], value)
    for name, other in getattr(kind, "ALTERNATIVES", {}).items():
        if values.get(name) is not None:
            values.setdefault(other, None)
    return dataclasses.replace(base if base is not None else kind(), **values)


def unknown_setting(name: str, fields: Mapping[str, dataclasses.Field[Any]]) -> UnknownNameError:
    """The error for a setting that does not exist, with those that the user may mean."""
    options = {option_name(each): field for field, each in fields.items()}
    meant = [f"--{plain(name)}", *(each.partition(" ")[0] for each in ours(name))]
    return UnknownNameError(
        "setting", name, fields, meant=[options[each] for each in meant if each in options]
    )


def _from_plain(each: dataclasses.Field[Any], value: Any) -> Any:
    if each.type == "LayerWeights":
        if not isinstance(value, Mapping):
            raise SettingError(f"{each.name}: {quoted(value)} is not a table of layers and weights")
        return tuple(value.items())
    if each.name == "size" and each.type == "str" and type(value) is int:
        return str(value)
    return tuple(value) if isinstance(value, list) else value
