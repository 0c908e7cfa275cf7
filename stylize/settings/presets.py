"""Presets: named settings in TOML files."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from stylize.errors import UnknownNameError, UsageError
from stylize.images.pipes import open_input
from stylize.networks.layer_expressions import Target, check_targets, parse_targets, to_text
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import from_document, to_document
from stylize.settings.synonyms import STYLE_HINT, is_style
from stylize.settings.transfer import TransferSettings, parse_dream

PRODUCTS: dict[str, type[Any]] = {"transfer": TransferSettings, "dream": DreamSettings}

DEFAULTS = {"transfer": "balanced", "dream": "dogs"}

DEFAULT_PRODUCT = "transfer"

MAX_BYTES = 64 * 1024

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

_KEYS = ("name", "description", "technique", "settings")


@dataclass(frozen=True)
class Preset:
    """Named settings.

    Attributes:
        name: lower-case words joined by ``-``.
        technique: ``transfer`` or ``dream``.
        description: one sentence about the look.
        settings: the values that differ from the defaults, as plain data.
    """

    name: str
    technique: str
    description: str
    settings: Mapping[str, Any]

    @property
    def recorded(self) -> str | None:
        """The name that a recipe records; None for the default, which changes nothing."""
        return self.name if self.name != DEFAULTS[self.technique] else None

    def apply(self, overrides: Mapping[str, Any] | None = None) -> Any:
        """Build settings: the defaults, then the preset's values, then ``overrides``."""
        kind = PRODUCTS[self.technique]
        return from_document(kind, overrides or {}, from_document(kind, self.settings))


@cache
def preset_directory() -> Path:
    """Find the folder of the built-in presets: in the package, or next to it in a checkout.

    An editable install links only the package, so the second place is needed.
    """
    package = Path(str(resources.files("stylize")))
    packaged = package / "_presets"
    return packaged if packaged.is_dir() else package.resolve().parent / "presets"


def preset_names(technique: str) -> list[str]:
    """List the built-in presets for the packaged networks, the default first."""
    names = sorted(path.stem for path in (preset_directory() / technique).glob("*.toml"))
    return sorted(names, key=lambda name: name != DEFAULTS[technique])


def every_preset_name(technique: str) -> list[str]:
    """List the names of the built-in presets, those for a network that has to be added last."""
    more = sorted(path.stem for path in (preset_directory() / technique).glob("*/*.toml"))
    return [*preset_names(technique), *more]


def find_preset(technique: str, wanted: str) -> Preset:
    """Find a built-in preset by name, or read a user's file.

    Args:
        technique: ``transfer`` or ``dream``.
        wanted: a name, or a path: anything with a separator or an extension.

    Raises:
        UnknownNameError: no preset of that name.
        UsageError: the file cannot be read, or is not a preset for this technique.
    """
    if is_path(wanted):
        return read_preset(Path(wanted), technique)
    if wanted not in every_preset_name(technique):
        raise _unknown_preset(technique, wanted)
    (path,) = (preset_directory() / technique).rglob(f"{wanted}.toml")
    return read_preset(path, technique)


def _unknown_preset(technique: str, wanted: str) -> UnknownNameError:
    error = UnknownNameError("preset", wanted, every_preset_name(technique))
    for other in DEFAULTS:
        if wanted in every_preset_name(other):
            error.hint = f"'{wanted}' is a preset of 'stylize {other}'"
    if technique == "transfer" and is_style(wanted):
        error.hint = STYLE_HINT
    return error


def is_path(wanted: str) -> bool:
    """Return whether it is the path of a file, not the name of a built-in preset."""
    return "/" in wanted or "\\" in wanted or Path(wanted).suffix != ""


def read_preset(path: Path, technique: str | None = None) -> Preset:
    """Read and check one file.

    Args:
        path: of the file.
        technique: the technique the preset must be for; None accepts what the file says.

    Raises:
        UsageError: the file cannot be read, is not TOML, or holds unknown or invalid values.
    """
    document = _parse(path)
    for key in document:
        if key not in _KEYS:
            require_table("settings", key, fields(TransferSettings) + fields(DreamSettings), path)
            raise UnknownNameError(f"key in {path.name}", key, _KEYS)
    name, settings = document.get("name", path.stem), document.get("settings", {})
    if not isinstance(name, str) or not _SLUG.fullmatch(name):
        raise UsageError(f"{path}: the name {name!r} is not of the form my-preset-2")
    stated = document.get("technique", technique or DEFAULT_PRODUCT)
    technique = technique or stated
    if not isinstance(technique, str) or technique not in PRODUCTS:
        raise UnknownNameError(f"technique in {path.name}", str(technique), PRODUCTS)
    if stated != technique:
        raise UsageError(f"{path} is a preset for {stated}, not for {technique}")
    if not isinstance(settings, Mapping):
        raise UsageError(f"{path}: [settings] is not a table")
    preset = Preset(name, technique, str(document.get("description", "")), settings)
    try:
        preset.apply()
    except UsageError as error:
        raise UsageError(f"{path.name}: {error.message}", hint=error.hint) from error
    return preset


def require_table(table: str, key: str, within: Iterable[Field[Any]], path: Path) -> None:
    """Refuse a key at the top of a file that belongs in a table, and say so.

    Args:
        table: the name of the table.
        key: found at the top of the file.
        within: the fields of the table.
        path: of the file.

    Raises:
        UsageError: it belongs there.
    """
    if key in {each.name for each in within}:
        raise UsageError(
            f"{path.name}: {key} is not in [{table}]", hint=f"write [{table}] above it"
        )


def _parse(path: Path) -> dict[str, Any]:
    return read_toml(path, "a preset", MAX_BYTES, missing="see 'stylize presets list'")


def read_toml(
    path: Path, what: str, max_bytes: int, *, missing: str | None = None
) -> dict[str, Any]:
    """Read a small TOML file of a user; see :func:`decode_text` for its encoding.

    Args:
        path: the file.
        what: the kind of file it should be, in error messages.
        max_bytes: a larger file is refused after so many bytes.
        missing: the remedy if it cannot be read.

    Raises:
        UsageError: it cannot be read, is too large or is not TOML.
    """
    try:
        with open_input(path) as file:
            content = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        if isinstance(error, FileNotFoundError):
            reason = "there is no such file"
        raise UsageError(f"{path}: {reason}", hint=missing) from error
    if len(content) > max_bytes:
        raise UsageError(f"{path} is too large for {what}", hint=f"at most {max_bytes} bytes")
    try:
        # TOML has no NUL, so one of the first two bytes tells UTF-16 without a mark.
        guess = {(True, False): codecs.BOM_UTF16_BE, (False, True): codecs.BOM_UTF16_LE}
        mark = guess.get((content[:1] == b"\0", content[1:2] == b"\0"), b"")
        return tomllib.loads(decode_text(mark + content))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not TOML: it is not UTF-8 text", hint="save it as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:  # also numbers of more digits than Python takes
        raise UsageError(f"{path} is not TOML: {error}") from error


def decode_text(content: bytes, errors: str = "strict") -> str:
    """Decode a text file: UTF-8, or what its byte order mark says, which Windows writes.

    Args:
        content: the whole file.
        errors: as for :meth:`bytes.decode`; not for UTF-16 and UTF-32.

    Raises:
        UnicodeDecodeError: it is none of these.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(
                encoding, errors if encoding == "utf-8" else "strict"
            )
    return content.decode("utf-8", errors)


def to_toml(preset: Preset) -> str:
    """Write the preset as the text of a file, the inverse of :func:`read_preset`."""
    import tomli_w  # noqa: PLC0415

    document: dict[str, Any] = {
        "name": preset.name,
        "technique": preset.technique,
        "description": preset.description,
    }
    if preset.settings:
        document["settings"] = dict(preset.settings)
    return "".join(map(_shown, tomli_w.dumps(document)))


def _shown(character: str) -> str:
    """Escape what would act on a terminal; TOML allows it in strings, and only there."""
    if character == "\n" or character.isprintable():
        return character
    return f"\\U{ord(character):08x}"


def changes(settings: Any) -> dict[str, Any]:
    """Return the values that differ from the defaults, as plain data."""
    default = to_document(type(settings)())
    return {key: value for key, value in to_document(settings).items() if default.get(key) != value}


def dream_targets(text: str | None) -> tuple[Target, ...]:
    """Return the layers of a dream preset; their absolute weights add up to the given weight.

    Args:
        text: as :func:`parse_dream` reads it; empty for None or a weight of 0.

    Raises:
        UnknownNameError: there is no dream preset of this name.
        SettingError: the weight is not a number from 0 to 1000.
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
    """Check that a network has the layers and channels, also those of a transfer's dream.

    Raises:
        UnknownNameError: there is no such layer, or no such dream preset.
        ExpressionError: the network does not have a channel.
    """
    settings.check_layers(architecture)
    if isinstance(settings, TransferSettings) and (targets := dream_targets(settings.dream)):
        check_targets(to_text(targets), targets, architecture)
