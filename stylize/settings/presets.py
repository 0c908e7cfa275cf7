"""Presets: named settings in TOML files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from stylize.errors import SettingError, UnknownNameError, UsageError
from stylize.networks.layer_expressions import Target, check_targets, parse_targets, to_text
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import from_document, to_document
from stylize.settings.transfer import TransferSettings, parse_dream

PRODUCTS: dict[str, type[Any]] = {"transfer": TransferSettings, "dream": DreamSettings}

DEFAULTS = {"transfer": "balanced", "dream": "dogs"}

DEFAULT_PRODUCT = "transfer"

MAX_BYTES = 64 * 1024

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

_KEYS = ("name", "description", "technique", "settings")


@dataclass(frozen=True)
class Preset:
    """A look with a name.

    Attributes:
        name: a slug.
        technique: ``transfer`` …
        description: one sentence on the look.
        settings: the values that differ from the defaults, as plain data.
    """

    name: str
    technique: str
    description: str
    settings: Mapping[str, Any]

    @property
    def recorded(self) -> str | None:
        """Its name for a recipe; None for the default, which changes nothing."""
        return self.name if self.name != DEFAULTS[self.technique] else None

    def apply(self, overrides: Mapping[str, Any] | None = None) -> Any:
        """Settings: the defaults, under the preset's values, under ``overrides``."""
        kind = PRODUCTS[self.technique]
        return from_document(kind, overrides or {}, from_document(kind, self.settings))


@cache
def preset_directory() -> Path:
    """Where the presets of the program lie: in the package, or beside it in a checkout.

    An editable install links the package only, which is why the second place is needed.
    """
    package = Path(str(resources.files("stylize")))
    packaged = package / "_presets"
    return packaged if packaged.is_dir() else package.resolve().parent / "presets"


def preset_names(technique: str) -> list[str]:
    """Names of the program's own presets, the default first."""
    names = sorted(path.stem for path in (preset_directory() / technique).glob("*.toml"))
    return sorted(names, key=lambda name: name != DEFAULTS[technique])


def find_preset(technique: str, wanted: str) -> Preset:
    """A preset by name, or by the path of a user's file.

    Args:
        technique: what the preset is for.
        wanted: a name, or a path: anything with a separator or ending in ``.toml``.

    Raises:
        UnknownNameError: no preset of that name.
        UsageError: the file cannot be read, or is no preset of this technique.
    """
    if is_path(wanted):
        return read_preset(Path(wanted), technique)
    if wanted not in preset_names(technique):
        raise UnknownNameError("preset", wanted, preset_names(technique))
    return read_preset(preset_directory() / technique / f"{wanted}.toml", technique)


def is_path(wanted: str) -> bool:
    """Whether it names a file, not one of the program's own presets."""
    return "/" in wanted or "\\" in wanted or wanted.endswith(".toml")


def read_preset(path: Path, technique: str | None = None) -> Preset:
    """Read and check one file.

    Args:
        path: of the file.
        technique: what the preset has to be for; what the file says, if None.

    Raises:
        UsageError: it cannot be read, is no TOML, or holds what no preset may hold.
    """
    document = _parse(path)
    for key in document:
        if key not in _KEYS:
            raise UnknownNameError(f"key in {path.name}", key, _KEYS)
    name, settings = document.get("name", path.stem), document.get("settings", {})
    if not isinstance(name, str) or not _SLUG.fullmatch(name):
        raise UsageError(f"{path}: the name {name!r} is not of the form my-preset-2")
    told = document.get("technique", technique or DEFAULT_PRODUCT)
    technique = technique or told
    if technique not in PRODUCTS:
        raise UnknownNameError(f"technique in {path.name}", str(technique), PRODUCTS)
    if told != technique:
        raise UsageError(f"{path} is a preset for {told}, not for {technique}")
    if not isinstance(settings, Mapping):
        raise UsageError(f"{path}: [settings] is not a table")
    preset = Preset(name, technique, str(document.get("description", "")), settings)
    try:
        preset.apply()
    except UsageError as error:
        raise UsageError(f"{path.name}: {error.message}", hint=error.hint) from error
    return preset


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="see 'stylize presets list'") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} is too large for a preset", hint=f"at most {MAX_BYTES} bytes")
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # also numbers of more digits than Python takes
        raise UsageError(f"{path} is not TOML: {error}") from error


def to_toml(preset: Preset) -> str:
    """The preset as a file's text, the inverse of :func:`read_preset`."""
    lines = [
        f"name = {_value(preset.name)}",
        f"technique = {_value(preset.technique)}",
        f"description = {_value(preset.description)}",
    ]
    if preset.settings:
        lines += ["", "[settings]"]
        lines += [f"{key} = {_value(value)}" for key, value in preset.settings.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A TOML value: the few kinds that settings have."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise SettingError(f"{value!r} has no place in a preset")


def _escaped(character: str) -> str:
    """As it may stand in a file and on a terminal."""
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def changes(settings: Any) -> dict[str, Any]:
    """The values that differ from the defaults, as plain data."""
    default = to_document(type(settings)())
    return {key: value for key, value in to_document(settings).items() if default.get(key) != value}


def dream_targets(text: str | None) -> tuple[Target, ...]:
    """What is to be amplified, with weights whose sizes add up to that of the motif.

    Args:
        text: as :func:`parse_dream` reads it; None, or a weight of 0, is nothing.

    Raises:
        UnknownNameError: the program has no dream of this name.
        SettingError: the weight is no number from 0 to 1000.
    """
    if text is None:
        return ()

    name, weight = parse_dream(text)
    if name not in preset_names("dream"):
        raise UnknownNameError("dream preset", name, preset_names("dream"))
    if not weight:
        return ()
    targets = parse_targets(find_preset("dream", name).apply().layers)
    total = sum(abs(each.weight) for each in targets)
    return tuple(
        Target(each.layer, weight * each.weight / total, each.channels) for each in targets
    )


def check_layers(settings: Any, architecture: str) -> None:
    """Check layers and channels against a network, those of a transfer's dream included.

    Raises:
        UnknownNameError: the network has no such layer, or the program no such dream preset.
        ExpressionError: a channel that the network does not have.
    """
    settings.check_layers(architecture)
    if isinstance(settings, TransferSettings) and (targets := dream_targets(settings.dream)):
        check_targets(to_text(targets), targets, architecture)
